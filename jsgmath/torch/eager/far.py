"""Pairs of numbers out of proportion, in NumPy's long double, whose range is the square of the square of double's.

`eager/diagonal.py` and the compiled core leave elements to it whose log-variances or displacements leave their range.
An infinite mean is a very large number here, so that results are the limits.  Where a long double is a double, nothing
is left to it.
"""

from typing import Any

import numpy
import torch
from torch import Tensor

from jsgmath import formula, special
from jsgmath.torch.typed import Alpha, Asked

np: Any = numpy  # whose hints lack long doubles
from_numpy: Any = getattr(torch, "from_numpy")  # noqa: B009

WIDE = np.finfo(np.longdouble).maxexp > 10_000
# Products of the ratio of two variances and of the square of a displacement stay below 10^4500 with these limits.
WIDEST, STEEPEST = np.longdouble(4000), np.longdouble(10_000)
INFINITE, DOMINANT = (np.longdouble(10) ** exponent if WIDE else np.inf for exponent in (900, 500))


def is_far(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, widest: float
) -> Tensor:
    """Which elements are left to this module: where a ratio of variances or a displacement's square is out of range.

    If a weight is tiny, its product with them may be out of range before they are.
    """
    alpha = torch.as_tensor(alpha, dtype=torch.float64, device=mean1.device).reshape(-1, 1)
    least = torch.where(alpha > 0.5, 1 - alpha, alpha)
    limit = torch.where((least > 0) & (least.log() < -widest / 8), widest / 4, widest).to(mean1.dtype)
    difference = logvar1 if logvar2 is None else logvar1 - logvar2
    delta = (mean1 if mean2 is None else mean1 - mean2).abs()
    steepest = logvar1 if logvar2 is None else torch.minimum(logvar1, logvar2)
    longest = 2 * delta.log() - steepest.clamp(max=0)
    far = (difference.abs() > limit) | (steepest < -limit) | (longest > limit)
    if logvar2 is not None:
        far |= torch.maximum(logvar1, logvar2) > limit
    known = [~x.isnan() for x in (mean1, logvar1, mean2, logvar2, delta) if x is not None]
    return torch.stack([far, *known]).all(0)


def evaluate(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, factor: Any,
    dual: bool, reverse: bool,
) -> Asked:  # fmt: skip
    """The value of each element and the derivatives of `eager.diagonal.evaluate`, multiplied by ``factor``."""
    numbers = [x if x is None else x.detach().numpy().astype(np.longdouble) for x in (mean1, logvar1, mean2, logvar2)]
    w2, factor = (np.asarray(x.detach() if isinstance(x, Tensor) else x, np.longdouble) for x in (alpha, factor))
    with np.errstate(all="ignore"):
        results = _evaluate(numbers, w2, factor, dual, reverse)
        return [from_numpy(np.broadcast_to(x, mean1.shape).astype(np.float64)) for x in results]


def _evaluate(numbers: Any, w2: Any, factor: Any, dual: bool, reverse: bool) -> Any:
    mean1, logvar1, mean2, logvar2 = numbers
    mean2, logvar2 = (np.zeros_like(mean1), np.zeros_like(mean1)) if mean2 is None else (mean2, logvar2)
    w1 = 1 - w2
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)
    # Unless their difference is cut, the log-variances are moved to opposite numbers; the displacement makes it good.
    log_r1 = np.clip(logvar1 - logvar2, -WIDEST, WIDEST)
    cut = log_r1 != logvar1 - logvar2
    beyond = np.clip(logvar1, -INFINITE, INFINITE) - np.clip(logvar2, -INFINITE, INFINITE) - log_r1
    beyond = np.where(cut, beyond, 0)
    moved = np.where(cut, 0, logvar2 + log_r1 / 2)
    s1, s2 = (
        np.where(cut, np.clip(x, -WIDEST / 2, WIDEST / 2), half)
        for x, half in ((logvar1, log_r1 / 2), (logvar2, -log_r1 / 2))
    )
    shrink = np.exp(np.clip(-moved / 2, -STEEPEST, STEEPEST))
    delta = np.clip(mean1, -INFINITE, INFINITE) - np.clip(mean2, -INFINITE, INFINITE)
    delta = np.where(abs(delta) < INFINITE, np.clip(delta * shrink, -INFINITE, INFINITE), delta)
    i1, i2 = np.exp(-s1 / 2), np.exp(-s2 / 2)
    ratios = np.exp(log_r1), np.exp(-log_r1), np.expm1(log_r1), np.expm1(-log_r1)
    terms, kernel, gradient, along_alpha, sign = (
        (formula.from_mean, special.gs, formula.from_mean_grad, formula.from_mean_by_alpha, 1)
        if dual
        else (formula.to_mean, special.g, formula.to_mean_grad, formula.to_mean_by_alpha, -1)
    )
    plain = special.numpy_kernel(kernel)

    def counting(x: Any, k: Any, other_k: Any, log_r: Any) -> Any:
        """What was cut off the ratio of the variances counts where it is k."""
        cut = np.where((k > DOMINANT) | (k * DOMINANT < 1), np.where(log_r == log_r1, beyond, -beyond), 0)
        return plain(x, k, other_k, log_r) + sign * cut

    pair = (g1, g2, log_r1, *ratios, delta * i1, delta * i2)
    kl1, kl2 = terms(*pair, counting)
    r1, r2, e1, e2, d1, d2 = pair[3:]
    value = formula.skew(w1, w2, kl1, kl2)
    f1, f2 = factor * w1, factor * w2
    arguments = f1, f2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2
    by_mean1, by_logvar1 = gradient(*arguments)
    by_logvar2 = gradient(*formula.exchanged(*arguments))[1]
    by_alpha = along_alpha(f1, f2, g1, g2, slope, factor * kl1, factor * kl2, r1, r2, e1, e2, d1, d2)
    return value, by_mean1 * shrink, by_logvar1, by_logvar2, by_alpha
