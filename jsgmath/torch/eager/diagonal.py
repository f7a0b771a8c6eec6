"""The computation of `triton/diagonal.py` in plain torch operations, on any device."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from jsgmath import formula, special
from jsgmath.torch.typed import Alpha, Asked, work_type

WIDEST = {torch.float32: 87.0, torch.float64: 708.0}  # limits of log-variances and of their differences
# So many numbers form a block on a CPU, so that it stays in the cache from one operation to the next.
BLOCK = 2**16


def evaluate(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns."""
    count, n = mean1.shape
    work = work_type(mean1)
    values, d_alpha = (mean1.new_empty(count, dtype=work) if needed else None for needed in (value, by_alpha))
    gradients = [mean1.new_empty(count, n) if grad and needed else None for needed in (True, True, mean2 is not None)]
    step = max(BLOCK // n, 1) if mean1.device.type == "cpu" else max(count, 1)
    for first in range(0, count, step):
        block = slice(first, first + step)

        def part(x: Any, block: slice = block) -> Any:
            return x[block] if isinstance(x, torch.Tensor) and x.numel() > 1 else x

        results = evaluate_block(
            *(part(x) for x in (mean1, logvar1, mean2, logvar2, alpha)),
            dual=dual, reverse=reverse, value=value, grad=grad, by_alpha=by_alpha, scale=scale, upstream=part(upstream),
        )  # fmt: skip
        for whole, result in zip((values, *gradients, d_alpha), results, strict=True):
            if whole is not None:
                whole[block] = result
    return values, *gradients, d_alpha


def rescaled(
    gradients: Asked, *pair: Any,
    upstream: Tensor, scale: float, compute: Callable[..., Asked] | None = None, **options: Any,
) -> Asked:  # fmt: skip
    """The gradients, which were multiplied by ``scale``, multiplied by ``upstream`` instead."""
    if upstream.device.type == "cpu" and (upstream == scale).all():
        return gradients
    if gradients[0].dtype != upstream.dtype:  # computed again, so that they are rounded once
        compute = compute or evaluate
        return compute(*pair, value=False, by_alpha=gradients[3] is not None, upstream=upstream, **options)[1:]
    return [x if x is None else times(x, upstream / scale) for x in gradients]


def times(x: Tensor, factor: Tensor) -> Tensor:
    """``x``, with each row multiplied by its factor."""
    return x * factor.reshape(-1, *[1] * (x.ndim - 1))


def evaluate_block(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """`evaluate` without blocks, in operations that torch can differentiate."""
    dtype = mean1.dtype
    work = work_type(mean1)
    largest = torch.finfo(work).max
    widest, furthest = WIDEST[work], 2.0**512 if work == torch.float64 else 2.0**64
    inside = not isinstance(alpha, torch.Tensor) and 0 < alpha < 1
    if not isinstance(alpha, torch.Tensor):
        alpha = mean1.new_full((1,), alpha, dtype=torch.float64)
    w1, w2 = (w.to(work).reshape(-1, 1) for w in (1 - alpha.double(), alpha))
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)

    mean1, logvar1 = mean1.to(work), logvar1.to(work)
    mean2, logvar2 = (x if x is None else x.to(work) for x in (mean2, logvar2))
    ends = reverse and not inside
    beyond, r1, r2, e1, e2, d1, d2, i1, i2 = special.log_variance_pair(
        mean1, logvar1, mean2, logvar2, w1, w2, ends, widest, furthest, torch.exp, exp_and_expm1, within, torch.where
    )
    pair = r1, r2, e1, e2, d1, d2
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)
    kl1, kl2 = (kl.clamp(max=largest) for kl in terms(g1, g2, beyond, *pair, kernel))
    results: list[Tensor | None] = [formula.skew(w1, w2, kl1, kl2).sum(-1) if value else None, None, None, None, None]
    factor = scale if upstream is None else (scale * upstream).reshape(-1, 1)
    w1, w2 = factor * w1, factor * w2
    if grad:
        derivatives = formula.from_mean_grad if dual else formula.to_mean_grad
        numbers = w1, w2, g1, g2, *pair, i1, i2
        results[1:3] = (x.to(dtype) for x in derivatives(*numbers))
        if mean2 is not None:
            results[3] = derivatives(*formula.exchanged(*numbers))[1].to(dtype)
    if by_alpha:
        derivative = formula.from_mean_by_alpha if dual else formula.to_mean_by_alpha
        results[4] = derivative(w1, w2, g1, g2, slope, factor * kl1, factor * kl2, *pair).sum(-1)
    return results


def within(x: Tensor, limit: float) -> Tensor:
    """``x`` clamped to ``[-limit, limit]``."""
    return x.clamp(-limit, limit)


def exp_and_expm1(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.exp(), x.expm1()


def new_coefficients(dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """The coefficients of `tail` as tensors, for `torch.addcmul`."""
    terms = 13 if dtype == torch.float64 else 6
    return [torch.tensor(c, dtype=dtype, device=device) for c in special.split_tail(terms)]


@cache
def coefficients(dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """`new_coefficients`, made once outside of all modes."""
    with _disable_current_modes():
        return new_coefficients(dtype, device)


def tail(w: Tensor) -> Tensor:
    """``2 P(w)`` of `special.split_g`."""
    # Fake tensors, say, operate only with their like, which belong to a mode and must not be kept.
    made = coefficients if type(w) is Tensor else new_coefficients
    first, second, *others = made(w.dtype, w.device)
    p = torch.addcmul(second, w, first)
    for c in others:
        p = torch.addcmul(c, p, w)
    return p


g, gs = special.split_kernels(torch.clamp, torch.log, tail)
