"""The computation of `triton/diagonal.py` in plain torch operations, on any device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C import (
    _are_functorch_transforms_active,  # pyright: ignore[reportPrivateUsage]
    _len_torch_dispatch_stack,  # pyright: ignore[reportPrivateUsage]
)
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from jsgmath import formula, special
from jsgmath.torch.eager import far
from jsgmath.torch.typed import Alpha, Asked, work_type

WIDEST = {torch.float32: 87.0, torch.float64: 708.0}  # the limit of differences of log-variances
FAR = {torch.float32: 86.0, torch.float64: 640.0}  # the limit beyond which `far.py` takes elements
HALF = {torch.float32: 2.0**64, torch.float64: 2.0**512}  # the root of the range
ORDINARY = {torch.float32: (2.0**28, 43.5), torch.float64: (2.0**230, 354.0)}  # limits for means and log-variances
ONE: Any = 1.0  # or a tensor of ones
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

        pair: list[Any] = [part(x) for x in (mean1, logvar1, mean2, logvar2)]
        options: Any = dict(dual=dual, reverse=reverse, scale=scale, upstream=part(upstream))
        wanted = values, *gradients, d_alpha
        results = [x if x is None else x[block] for x in wanted]
        ordinary = is_ordinary_pair(*pair)
        found: Sequence[Any] = [] if ordinary else take_far(pair, part(alpha), **options)
        near: Any = evaluate_block(
            pair[0], pair[1], pair[2], pair[3], part(alpha), value=value, grad=grad, by_alpha=by_alpha,
            ordinary=ordinary or (bool(found) and is_ordinary_pair(*pair)), **options,
        )  # fmt: skip
        for result, computed in zip(results, near, strict=True):
            if result is not None:
                result.copy_(computed)
        if found:
            put_far(found, results)
    return values, *gradients, d_alpha


def is_ordinary_pair(mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None) -> bool:
    return are_ordinary(mean1, logvar1) and (mean2 is None or logvar2 is None or are_ordinary(mean2, logvar2))


def take_far(
    pair: list[Any], alpha: Alpha, *, dual: bool, reverse: bool, scale: float, upstream: Tensor | None
) -> Sequence[Tensor]:  # fmt: skip
    """Computes the elements that are `far.is_far`, and replaces them by equal Gaussians in the pair.

    Returns their places, rows and results, or nothing if there are none.
    """
    if not (far.WIDE and is_plain(pair[0])):
        return []
    work = work_type(pair[0])
    wide: Any = [x if x is None else x.to(work) for x in pair]
    which: Any = far.is_far(wide[0], wide[1], wide[2], wide[3], alpha, FAR[work])
    if not which.any():
        return []
    row = which.nonzero()[:, 0]
    one = (alpha, scale if upstream is None else scale * upstream)
    alphas, factors = (x[row] if isinstance(x, Tensor) and x.numel() > 1 else x for x in one)
    apart: Any = [x if x is None else x[which] for x in wide]
    results = far.evaluate(apart[0], apart[1], apart[2], apart[3], alphas, factors, dual, reverse)
    pair[:] = (x if x is None else x.masked_fill(which, 0.0) for x in pair)
    return [which, row, *results]


def put_far(found: Sequence[Tensor], results: Sequence[Any]) -> None:
    """Puts what `take_far` returned into the results of the others."""
    which, row, value, *gradients, by_alpha = found
    for result, sums in zip((results[0], results[4]), (value, by_alpha), strict=True):
        if result is not None:
            result.copy_(result.double().index_add(0, row, sums))
    for result, numbers in zip(results[1:4], gradients, strict=True):
        if result is not None:
            result[which] = numbers.to(result.dtype)


def rescaled(
    gradients: Asked, *pair: Any,
    upstream: Tensor, scale: float, compute: Callable[..., Asked] | None = None, **options: Any,
) -> Asked:  # fmt: skip
    """The gradients, multiplied by ``upstream`` in place of ``scale``."""
    if upstream.device.type == "cpu" and (upstream == scale).all():
        return gradients
    if gradients[0].dtype != upstream.dtype:  # computed again, so that they are rounded only once
        compute = compute or evaluate
        return compute(*pair, value=False, by_alpha=gradients[3] is not None, upstream=upstream, **options)[1:]
    return [x if x is None else times(x, upstream / scale) for x in gradients]


def times(x: Tensor, factor: Tensor) -> Tensor:
    """``x``, with each row multiplied by its factor."""
    return x * factor.reshape(-1, *[1] * (x.ndim - 1))


def evaluate_block(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None, ordinary: bool = False,
) -> Asked:  # fmt: skip
    """`evaluate` without blocks, in operations that torch can differentiate.

    ``ordinary`` says that the inputs are `are_ordinary`; then half of the operations suffice.
    """
    dtype = mean1.dtype
    work = work_type(mean1)
    widest, half = WIDEST[work], HALF[work]
    if not isinstance(alpha, torch.Tensor):
        alpha = mean1.new_full((1,), alpha, dtype=torch.float64)
    w1, w2 = (w.to(work).reshape(-1, 1) for w in (1 - alpha.double(), alpha))
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)

    mean1, logvar1 = mean1.to(work), logvar1.to(work)
    mean2, logvar2 = (x if x is None else x.to(work) for x in (mean2, logvar2))
    held, stretching = (unchanged, unchanged) if ordinary else (within, stretched)
    beyond, r1, r2, e1, e2, d1, d2, i1, i2 = special.log_variance_pair(
        mean1, logvar1, mean2, logvar2, widest, torch.finfo(work).max,
        stretching, torch.exp, exp_and_expm1, held, torch.where,
    )  # fmt: skip
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)
    derivatives, derivative = (
        (formula.from_mean_grad, formula.from_mean_by_alpha)
        if dual
        else (formula.to_mean_grad, formula.to_mean_by_alpha)
    )
    if ordinary:
        up = down2 = growth = one = ONE
        kl1, kl2 = terms(g1, g2, 0.0, r1, r2, e1, e2, d1, d2, kernel)
        small1, small2, counted = d1, d2, (kl1, kl2)
    else:
        growth = beyond.abs().clamp(max=widest).exp()
        one = torch.ones_like(growth)
        if dual:  # the share of the wider one in the precision of the mean is inversely proportional to the ratio
            d1 = d1 / torch.where((beyond < 0) & (g1 != 0), growth, one)
            d2 = d2 / torch.where((beyond > 0) & (g2 != 0), growth, one)
        # A displacement whose square leaves the range is divided by ``up`` until the last multiplication.  A divergence
        # that leaves the range is divided by it until it is multiplied by its weight.
        far = torch.maximum(d1.abs(), d2.abs()) > half / 2
        up = torch.where(far, half * one, torch.where(beyond == 0, one, half**0.5 * one))
        down = 1 / up
        small1, small2, down2 = d1 * down, d2 * down, down * down

        def scaled(x: Tensor, k: Tensor, other_k: Tensor, beyond: Tensor) -> Tensor:
            # The part that was cut off the log-ratio matters only where k is the ratio itself.  There g, or 1/k, is
            # proportional to it.
            beyond = torch.where((k < 2) & (k * half > 16 / half), 0.0, beyond)
            grown = beyond < 0 if dual else beyond > 0
            return kernel(x, k, other_k, beyond) * down2 * torch.where(grown, growth, one)

        kl1, kl2 = terms(g1, g2, beyond, r1, r2, e1, e2, small1, small2, scaled)
        # An infinite divergence of weight 0 must not make the sum NaN.
        counted = (torch.where(w == 0, 0.0, kl) for w, kl in ((w1, kl1), (w2, kl2)))
    results: list[Tensor | None] = [None] * 5
    if value:
        results[0] = times_square(formula.skew(w1, w2, *counted), up).sum(-1)
    factor = scale if upstream is None else (scale * upstream).reshape(-1, 1)
    w1, w2 = factor * w1, factor * w2
    if by_alpha:
        # This part of the derivative may be smaller than its terms.
        part1, part2, part_kl1, part_kl2 = down2 * w1 / 16, down2 * w2 / 16, factor * kl1 / 16, factor * kl2 / 16
        numbers = part1, part2, g1, g2, slope, part_kl1, part_kl2, r1, r2, e1, e2, d1, d2
        results[4] = times_square(16 * derivative(*numbers), up).sum(-1)
    if grad:
        if not ordinary:
            grown1, grown2 = beyond > 0, beyond < 0
            if dual:
                grown1, grown2 = grown1 & (g2 == 0), grown2 & (g1 == 0)
            growth = growth.clamp(max=half)  # so that the ratios stay finite
            e1, e2 = (e * down2 * torch.where(grown, growth, one) for e, grown in ((e1, grown1), (e2, grown2)))
        numbers = w1, w2, g1, g2, r1, r2, e1, e2, small1, small2, i1, i2
        by_mean1, by_logvar1 = derivatives(*numbers)
        if not ordinary:
            by_mean1, _ = derivatives(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2)  # not a square
        results[1:3] = by_mean1.to(dtype), times_square(by_logvar1, up).to(dtype)
        if mean2 is not None:
            results[3] = times_square(derivatives(*formula.exchanged(*numbers))[1], up).to(dtype)
    return results


def is_plain(x: Tensor) -> bool:
    """Whether the numbers of x can be read: not on another device, nor where torch traces operations."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu" and not _len_torch_dispatch_stack()


def are_ordinary(mean: Tensor, logvar: Tensor) -> bool:
    """Whether no ratio of variances, and no square of a displacement in their units, can leave the range.

    It reads the numbers, so it is False where they are on another device or torch traces operations.
    """
    if not is_plain(mean):
        return False
    if not mean.numel():
        return True
    limits = ORDINARY.get(mean.dtype, ORDINARY[torch.float32])
    extremes: Any = torch.stack([*mean.aminmax(), *logvar.aminmax()])
    return all(abs(x) < limits[i // 2] for i, x in enumerate(extremes.tolist()))


def times_square(x: Tensor, factor: Any) -> Tensor:
    """``x * factor^2``, where the square may leave the range."""
    return x if isinstance(factor, float) else x * factor * factor


def within(x: Tensor, limit: float) -> Tensor:
    """``x`` clamped to ``[-limit, limit]``."""
    return x.clamp(-limit, limit)


def stretched(x: Tensor, y: Tensor) -> Tensor:
    """``x exp(y)``, clamped to finite numbers."""
    return within(x * within(y, WIDEST[x.dtype]).exp(), torch.finfo(x.dtype).max)


def unchanged(x: Tensor, _: Any) -> Tensor:
    return x


def exp_and_expm1(x: Tensor) -> tuple[Tensor, Tensor]:
    power = x.exp()
    if not torch.compiler.is_compiling():
        return power, x.expm1()
    # Compiled programs would subtract 1 from the exponential, which loses the digits of small numbers.
    from jsgmath.series import EXPM1

    series = x * special.polynomial(x, EXPM1[BITS[x.dtype]])
    return power, torch.where(x.abs() < 0.34, series, power - 1)


BITS = {torch.float32: 24, torch.float64: 53}


def new_coefficients(dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """The coefficients of `tail` as tensors, for `torch.addcmul`."""
    from jsgmath.series import TAIL

    return [torch.tensor(c, dtype=dtype, device=device) for c in TAIL[BITS[dtype]]]


@cache
def coefficients(dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """`new_coefficients`, made once outside of all modes."""
    with _disable_current_modes(), torch.inference_mode(False):
        return new_coefficients(dtype, device)


def tail(w: Tensor) -> Tensor:
    """``2 P(w)`` of `special.split_g`."""
    if torch.compiler.is_compiling():
        from jsgmath.series import TAIL

        return special.polynomial(w, TAIL[BITS[w.dtype]])
    # Fake tensors, for example, work only with other fake tensors, which belong to a mode and must not be cached.  The
    # same is true for tensors that are made within a transform of torch.func.
    plain = type(w) is Tensor and not _are_functorch_transforms_active()
    made = coefficients if plain else new_coefficients
    first, second, *others = made(w.dtype, w.device)
    p = torch.addcmul(second, w, first)
    for c in others:
        p = torch.addcmul(c, p, w)
    return p


g, gs = special.split_kernels(torch.clamp, torch.log, tail)
