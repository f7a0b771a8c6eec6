"""The computation of `triton/diagonal.py` by the compiled core, on a CPU: value and gradients in one pass over memory.

Floats are computed in doubles and doubles in pairs of doubles, so that each result is rounded once.  Threads share the
rows; the bits of a row depend neither on the threads nor on the other rows.  Scales with three axes are the Cholesky
factors of full covariances, for `full.py`.
"""

import math
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jsgmath import native
from jsgmath.torch.eager import diagonal as eager
from jsgmath.torch.eager import full_far
from jsgmath.torch.typed import Alpha, Asked, split, watched, work_type

# The struct Tensors of tensors.hpp: addresses, strides, four whole numbers, alpha and factor, four truth values.
ASKED = struct.Struct("@13P7q4q2d4i")
ELEMENTS_PER_THREAD = 50_000


def evaluate(
    mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns."""
    wanted: Any = dict(dual=dual, reverse=reverse, value=value, grad=grad, by_alpha=by_alpha, scale=scale)
    if watched():
        return _as_operators(mean1, scale1, mean2, scale2, alpha, upstream=upstream, **wanted)
    core = checked_core(mean1)
    rows = mean1.shape[0]
    dtype, work = mean1.dtype, work_type(mean1)
    if dtype != work:
        wider: Any = [x if x is None else x.to(work) for x in (mean1, scale1, mean2, scale2)]
        results: Any = list(evaluate(*wider, alpha=alpha, upstream=upstream, **wanted))
        results[1:4] = (x if x is None else x.to(dtype) for x in results[1:4])
        return results
    values, d_alpha = (mean1.new_empty(rows) if needed else None for needed in (value, by_alpha))
    # The results share one block of memory, which the next call can reuse; two large ones would go back to the system.
    gradients: list[Any] = [None, None, None]
    blocks: list[Any] = [values, d_alpha]
    if grad:
        shapes = [x.shape for x in (mean1, scale1, scale2) if x is not None]
        sizes = [shape.numel() for shape in shapes]
        blocks.append(mean1.new_empty(sum(sizes)))
        parts = split(blocks[-1], sizes)
        gradients[: len(shapes)] = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
    results = values, *gradients, d_alpha
    pair: list[Any] = [mean1, scale1, mean2, scale2]
    options: Any = dict(upstream=upstream, scale=scale)
    beyond = call(core, pair, alpha, (dual, reverse), results, **options)
    if beyond and (found := eager.take_far(pair, alpha, dual=dual, reverse=reverse, **options)):
        call(core, pair, alpha, (dual, reverse), results, **options)
        eager.put_far(found, results)
    if scale1.ndim == 3 and not all(x is None or math.isfinite(x.sum().item()) for x in blocks):
        none = torch.zeros(rows, dtype=torch.bool, device=mean1.device)
        full_far.replace(pair, alpha, results, wrong=none, dual=dual, reverse=reverse, **options)
    return results


def call(
    core: native.Core, gaussians: Sequence[Any], alpha: Alpha, options: tuple[bool, bool],
    results: Sequence[Tensor | None], *, upstream: Tensor | None = None, scale: float = 1.0,
    by_sample: Tensor | None = None, sample: Tensor | None = None, seed: int = 0, first_row: int = 0,
) -> bool:  # fmt: skip
    """Computes ``results``, five tensors or None; fills ``sample``, or adds the part of ``by_sample`` to gradients.

    Returns whether diagonal Gaussians have numbers so large that results may be wrong.
    """
    mean, full = gaussians[0], gaussians[1].ndim == 3
    rows, n = mean.shape
    if full:
        gaussians = [x if x.stride()[1:] == (n, 1)[3 - x.ndim :] else x.contiguous() for x in gaussians]
    number, alphas = (0.0, alpha.double()) if isinstance(alpha, Tensor) else (alpha, None)
    inputs = *gaussians, alphas, upstream
    asked = ASKED.pack(
        *[0 if x is None else x.data_ptr() for x in (*inputs, *results, by_sample, sample)],
        *[0 if x is None or x.numel() == 1 else x.stride(0) for x in (*inputs, by_sample)],
        rows, n, seed, first_row * n, number, scale, *options, mean.dtype == torch.float64, full,
    )  # fmt: skip
    busy = min(rows, rows * n * (n * n if full else 1) // ELEMENTS_PER_THREAD)
    return core.tensors(asked, core.place, min(torch.get_num_threads(), busy) if busy > 1 else 1) > 0


rescaled: Callable[..., Asked] = partial(eager.rescaled, compute=evaluate)


def checked_core(x: Tensor) -> native.Core:
    """The compiled core, if it can compute tensors like x."""
    if native.CORE is None:
        raise ValueError(f"backend='native' needs the compiled core, but {native.REASON}; use backend='eager'")
    if x.device.type != "cpu":
        raise ValueError(f"backend='native' needs tensors on a CPU, got {x.device.type}; use backend='eager'")
    return native.CORE


def _as_operators(
    mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool, grad: bool, by_alpha: bool, scale: float, upstream: Tensor | None,
) -> Asked:  # fmt: skip
    """`evaluate` by the operators of `autograd.py`."""
    number, alphas = (0.0, alpha) if isinstance(alpha, Tensor) else (alpha, None)
    implementation = "native.full" if scale1.ndim == 3 else "native.diagonal"
    arguments = mean1, scale1, mean2, scale2, alphas, number, dual, reverse, implementation
    values = torch.ops.jsgmath.divergence(*arguments) if value else None
    if not (grad or by_alpha):
        return values, None, None, None, None
    if upstream is None:
        upstream = mean1.new_full(mean1.shape[:1], scale, dtype=work_type(mean1))
    *gradients, d_alpha = torch.ops.jsgmath.gradient(upstream, *arguments, by_alpha)
    needed = grad, grad, grad and mean2 is not None
    return (
        values,
        *(x if wanted else None for x, wanted in zip(gradients, needed, strict=True)),
        d_alpha if by_alpha else None,
    )
