"""Triton kernels for values and gradients of JSG and JSG* between Gaussians with full covariances, in one launch.

`torch/full_terms.py` has the notation and the formulas.  Here ``Y = X K^-1``, the pivots of K and the squares of C and
H all come out of one Gauss-Jordan elimination of X: step p replaces it by

    Y - g2 y y' / k_p,   y the p-th column of Y,   k_p = 1 + g2 y_p the p-th pivot

but for row and column p, ``y / k_p``.  There ``g2 y_i / sqrt(k_p)`` is ``C_ip`` where i > p, and ``-H_pi`` where i < p.

There are two kernels: `full_lanes.py` up to n = 8 (3 in float64), and `full_tiles.py` above.
"""

import math
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jsgmath.torch.eager import full as eager
from jsgmath.torch.triton.diagonal import LANES, check_device, on_device, row_stride, stored_type
from jsgmath.torch.triton.full_lanes import lane_kernel
from jsgmath.torch.triton.full_tiles import tile_kernel
from jsgmath.torch.triton.scalar import INTERPRETED
from jsgmath.torch.typed import Alpha, Asked, work_type

LARGEST_TILE = 64


def tiling(count: int, n: int, itemsize: int, lanes: int) -> tuple[Any, dict[str, int], int]:
    """The kernel for ``count`` pairs of ``n`` dimensions, its constants and its number of warps, by a static rule.

    ``lanes`` is the number of threads of a warp.  Compiling showed which sizes fit in registers.
    """
    if n <= (3 if itemsize == 8 else 8):
        block = 64
        if INTERPRETED:
            block = min(4096, triton.next_power_of_2(count))
        width = 16 // itemsize  # 128 bits
        constants = dict(WIDTH=math.gcd(n * n, width), SIZE=triton.next_power_of_2(n * n))
        constants |= dict(MEAN_WIDTH=math.gcd(n, width), MEAN_SIZE=triton.next_power_of_2(n))
        return lane_kernel, dict(BLOCK=block, **constants), 64 // lanes
    size = max(16, triton.next_power_of_2(n))
    pairs = min(2**18 // size**2, triton.next_power_of_2(count)) if INTERPRETED else 1
    threads = {16: 32, 32: 128, 64: 256} if itemsize == 4 else {16: 32, 32: 256, 64: 512}
    return tile_kernel, dict(PAIRS=pairs, SIZE=size), max(1, threads[size] // lanes)


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns, for full covariances.

    Means have shape ``(rows, n)``, Cholesky factors ``(rows, n, n)``; all have one type, and only the lower triangles
    are read.  Above n = 64, `eager.full.evaluate` computes the results.
    """
    check_device(mean1)
    pair = mean1, tril1, mean2, tril2
    if mean1.shape[-1] > LARGEST_TILE:
        wanted = dict(value=value, grad=grad, by_alpha=by_alpha, scale=scale, upstream=upstream)
        return eager.evaluate(*pair, alpha, dual=dual, reverse=reverse, **wanted)
    count, work = mean1.shape[0], work_type(mean1)
    stored = stored_type(mean1)
    new = partial(torch.empty, device=mean1.device)
    values, d_alpha = (new(count, dtype=work) if wanted else None for wanted in (value, by_alpha))
    gradients = [new(x.shape, dtype=stored) if grad or by_alpha else None for x in (mean1, tril1, tril2)]
    launch(*pair, alpha, values, *gradients, d_alpha, dual, reverse, scale, upstream, False)
    return values, *(x.to(mean1.dtype) if grad else None for x in gradients), d_alpha


def rescaled(
    gradients: Asked, mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, scale: float, upstream: Tensor,
) -> Asked:  # fmt: skip
    """See `triton.diagonal.rescaled`."""
    pair, options = (mean1, tril1, mean2, tril2, alpha), dict(dual=dual, reverse=reverse, upstream=upstream)
    if mean1.shape[-1] > LARGEST_TILE:
        return eager.rescaled(gradients, *pair, scale=scale, **options)
    if INTERPRETED and mean1.dtype == torch.bfloat16:
        return evaluate(*pair, value=False, by_alpha=gradients[3] is not None, **options)[1:]
    launch(*pair, None, *gradients, dual, reverse, scale, upstream, True)
    return gradients


def launch(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha | None, values: Tensor | None,
    by_mean1: Tensor | None, by_tril1: Tensor | None, by_tril2: Tensor | None, by_alpha: Tensor | None,
    dual: bool, reverse: bool, scale: float, upstream: Tensor | None, stored: bool,
) -> None:  # fmt: skip
    count, n = mean1.shape
    if not count:
        return
    work = work_type(mean1)
    kernel, constants, warps = tiling(count, n, work.itemsize, LANES)
    programs = triton.cdiv(count, constants.get("BLOCK") or constants["PAIRS"])
    per_row = isinstance(alpha, torch.Tensor)
    with on_device(mean1):
        kernel[(programs,)](
            *(x.contiguous() for x in (mean1, tril1, mean2, tril2)),
            0.0 if per_row else float(alpha), alpha if per_row else None, upstream,
            values, by_mean1, by_tril1, by_tril2, by_alpha, count, float(scale), n, **constants,
            S_ALPHA=row_stride(alpha) if per_row else 0, S_UPSTREAM=0 if upstream is None else row_stride(upstream),
            FLOAT=tl.float64 if work == torch.float64 else tl.float32, DUAL=dual, REVERSE=reverse,
            GRAD=by_mean1 is not None, LARGEST=torch.finfo(work).max, STORED=stored, num_warps=warps,
        )  # fmt: skip
