"""Derivatives of diagonal Gaussians: by the core, or by a function of their scalars in pairs of doubles or decimals.

The results of the function are right to about 80 bits, relative to the sizes of their terms.  The core's bound on its
error allows for that, and where it does not decide which float NumPy finds, the core returns NaN.
"""

# pyright: reportConstantRedefinition=false

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from jsgmath import native
from jsgmath.gaussian import Gaussian
from jsgmath.reduction.exact import context
from jsgmath.reduction.wide import Wide, kernels
from jsgmath.rounding.nearest import (
    DIGITS,
    EXACT,
    Divergence,
    compressed,
    decimal_kernel,
    pair_scalars,
    rounded,
    variance_of,
)
from jsgmath.rounding.of_many import AT_ONCE, LEAST_WEIGHT, Flat, flat, scalars
from jsgmath.rounding.of_pairs import broadcast

LOST = 2.0**-16  # a difference that is a smaller share of its terms has lost too many digits
# A function of alpha, the scalars of `formula.py`, both 1/sqrt(v), both v, and g or gs.
Function = Callable[..., tuple[Any, ...]]


def derivatives_of(
    function: Function,
    dual: bool,
    reverse: bool,
    N1: Gaussian,
    N2: Gaussian,
    alpha: np.ndarray,
    batch: tuple[int, ...],
) -> list[np.ndarray]:
    """The numbers of a `Gradient`; zeros are 0.0.

    The function returns the results of `native.gradient`, and computes those that the core does not decide.
    """
    if native.CORE is None:
        found, left = of_scalar_pairs(function, dual, N1, N2, np.broadcast_to(alpha, batch)), 0
    else:
        forms, arrays = (N1.form, N2.form), (N1.mean, N1.scale, N2.mean, N2.scale)
        divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
        found, left = native.gradient(divergence, reverse, forms, arrays, alpha, batch, N1.dim)
    if left:
        rows = np.isnan(found[-1])
        first, second = (
            Gaussian.checked(N.form, *(x[rows] for x in broadcast(N, batch)), factor=None) for N in (N1, N2)
        )
        values = of_scalar_pairs(function, dual, first, second, np.broadcast_to(alpha, batch)[rows])
        for to, value in zip(found, values, strict=True):
            to[rows] = value
    mean1, var1, logvar1, *rest = (x + 0.0 for x in found)
    return [mean1, var1, logvar1, 0.0 - mean1, *rest]


@np.errstate(all="ignore")
def of_scalar_pairs(function: Function, dual: bool, N1: Gaussian, N2: Gaussian, alpha: np.ndarray) -> list[np.ndarray]:
    """The results of a function in float64, in the batch shape of alpha, with the last axis if they have one."""
    batch, alpha = alpha.shape, alpha.astype(float)
    whole = flat([N1, N2], [1 - alpha, alpha], batch)
    rows, step = whole.w.shape[1], max(1, AT_ONCE // N1.dim)
    parts: list[list[np.ndarray]] = []
    for start in range(0, max(1, rows), step):
        cut = slice(start, start + step)
        part = Flat(whole.forms, *(x[:, cut] for x in whole[1:]))
        numbers, sound = _wide_numbers(part)
        values = [x.high.copy() for x in function(Wide.of(part.w[1, :, None]), *numbers, partial(_kernel, dual))]
        for row in np.flatnonzero(~sound).tolist():
            for to, value in zip(values, _in_decimals(function, dual, part, row), strict=True):
                to[row] = value
        parts.append(values)
    joined = (np.concatenate(x) for x in zip(*parts, strict=True))
    return [x.reshape(batch + x.shape[1:]) for x in joined]


def _kernel(dual: bool, x: Wide, k: Wide, *_: Any) -> Wide:
    return kernels(x, k, dual)


def _wide_numbers(part: Flat) -> tuple[tuple[Any, ...], np.ndarray]:
    """The scalars, reciprocal deviations and variances, and for which rows all are accurate and in range."""
    place = np.ones((1, *part.means.shape[1:]), int)
    s, sound = scalars(part.forms, part.means, part.scales, place, np.ones(part.w.shape, bool))
    sound &= ((part.w == 0) | (part.w >= LEAST_WEIGHT)).all(0) & (s.size_e * LOST <= np.abs(s.e.high)).all((0, -1))
    v1, v2 = s.variance[0], s.variance[1]
    i1, i2 = 1.0 / v1.root(), 1.0 / v2.root()
    delta = s.delta[0]
    return ((0.0, s.r[0], s.inverse_r[0], s.e[0], s.y[0], delta * i1, delta * i2), (i1, i2, v1, v2)), sound


def _in_decimals(function: Function, dual: bool, whole: Flat, row: int) -> list[Any]:
    """The results for one row, in decimal numbers, whose range no float leaves."""
    with decimal.localcontext(context(DIGITS[0])):
        (form1, form2), numbers = whole.forms, [x[:, row].tolist() for x in (whole.means, whole.scales)]
        (means1, means2), (scales1, scales2) = numbers
        coordinates = list(zip(means1, scales1, means2, scales2, strict=True))
        columns: list[Any] = []
        for s, (m1, s1, m2, s2) in zip(pair_scalars((form1, form2), coordinates), coordinates, strict=True):
            scales = compressed((form1, form2), (Decimal(s1), Decimal(s2)))
            v1, v2 = variance_of(form1, scales[0]), variance_of(form2, scales[1])
            i1, i2 = 1 / v1.sqrt(), 1 / v2.sqrt()
            delta = EXACT.subtract(Decimal(m1), Decimal(m2))
            columns.append([*s[:5], delta * i1, delta * i2, i1, i2, v1, v2])
        log_r1, r1, r2, e1, e2, d1, d2, *rest = np.array(columns, object).T
        alpha = Decimal(float(whole.w[1, row]))
        pair = log_r1, r1, r2, e1, e2, d1, d2
        values = function(alpha, pair, rest, decimal_kernel(dual))
        return [_floats(x) for x in values]


def _float(x: Decimal) -> float:
    return math.copysign(rounded(abs(x), single=False), x)


_floats: Any = np.frompyfunc(_float, 1, 1)
