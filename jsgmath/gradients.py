"""Derivatives of the divergences between diagonal Gaussians, computed by `formula.py`."""

# pyright: reportConstantRedefinition=false

import decimal
import math
from collections.abc import Callable
from decimal import Context, Decimal
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula
from jsgmath.checks import check_convention, check_dimensions, common_shape, weight_array
from jsgmath.gaussian import GaussianLike
from jsgmath.hints import Convention
from jsgmath.interop import gaussian_pair
from jsgmath.nearest import DIGITS, EXACT, Scalars, decimal_kernel, pair_scalars, rounded, variance_of
from jsgmath.reduction.pairs import common_dtype
from jsgmath.rounding_many import AT_ONCE, LEAST_WEIGHT, Flat, flat, scalars
from jsgmath.wide import Wide, kernels

LOST = 2.0**-16  # the share of a difference that may be left of the numbers whose rounding errors it has


class Gradient(NamedTuple):
    """Derivatives of a divergence between diagonal Gaussians: shape ``(..., n)``, but ``(...)`` for alpha."""

    mean1: np.ndarray
    var1: np.ndarray
    logvar1: np.ndarray
    mean2: np.ndarray
    var2: np.ndarray
    logvar2: np.ndarray
    alpha: np.ndarray


def jsg_grad(N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy") -> Gradient:
    """Derivatives of `jsg` with respect to all parameters of two diagonal Gaussians and alpha.

    Args:
        N1, N2, alpha, convention: as in `jsg`; the Gaussians are of NumPy.

    Returns:
        A `Gradient`.  It has derivatives with respect to both variances and log-variances, for any form of the input.

    Raises:
        TypeError, ValueError: as in `jsg`, and for a Gaussian that is not diagonal.

    Accuracy: within 0.51 ulp of the sum of the sizes of the terms of a derivative, over the whole range of float64 and
    on every machine (``tests/test_gradients.py``).  All derivatives of equal Gaussians are 0.

    >>> from jsgmath import Gaussian
    >>> gradient = jsg_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5)
    >>> print(gradient.mean1, gradient.var1, gradient.alpha)
    [-0.25] [-0.0625] 0.0
    """
    return _gradient(False, N1, N2, alpha, convention)


def jsg_dual_grad(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> Gradient:
    """Derivatives of `jsg_dual`, with the arguments, result and errors of `jsg_grad`.

    >>> from jsgmath import Gaussian
    >>> print(jsg_dual_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5).mean2)
    [0.25]
    """
    return _gradient(True, N1, N2, alpha, convention)


def _gradient(dual: bool, N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, convention: Convention) -> Gradient:
    check_convention(convention)
    N1, N2 = gaussian_pair(N1, N2)
    weight = weight_array("alpha", alpha)
    check_dimensions(N1.dim, N2.dim)
    batch = common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, "alpha": weight.shape})
    for name, N in (("N1", N1), ("N2", N2)):
        if not N.is_diagonal:
            raise ValueError(f"{name} must be diagonal (var=, logvar= or std=) for its gradient, got {N.form}=")
    weight = np.broadcast_to(weight, batch).ravel().astype(float)
    whole = flat([N1, N2], [(1 - weight).reshape(batch), weight.reshape(batch)], batch)
    reverse = convention == "deasy"
    found = [np.empty((len(weight), N1.dim)) for _ in range(6)] + [np.empty(len(weight))]
    step = max(1, AT_ONCE // N1.dim)
    with np.errstate(all="ignore"):
        for start in range(0, len(weight), step):
            cut = slice(start, start + step)
            part = Flat(whole.forms, *(x[:, cut] for x in whole[1:]))
            numbers, sound = _wide_numbers(part)
            values = _derivatives(dual, reverse, Wide.of(weight[cut, None]), *numbers, partial(_kernel, dual))
            for to, value in zip(found, values, strict=True):
                to[cut] = value.high
            for row in (start + np.flatnonzero(~sound)).tolist():
                for to, value in zip(found, _in_decimals(dual, reverse, whole, row), strict=True):
                    to[row] = value
        dtype = common_dtype(N1, N2)
        return Gradient(*(x.astype(dtype).reshape(batch + x.shape[1:])[()] for x in found))


def _derivatives(
    dual: bool, reverse: bool, alpha: Any, pair: Scalars, i1: Any, i2: Any, v1: Any, v2: Any, kernel: Callable[..., Any]
) -> tuple[Any, ...]:
    """The numbers of a `Gradient`, for numbers of any type; ``i1 = 1/sqrt(v1)``, ``i2 = 1/sqrt(v2)``."""
    w1, w2 = 1 - alpha, alpha
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)
    if dual:
        terms, derivatives, by_alpha = formula.from_mean, formula.from_mean_grad, formula.from_mean_by_alpha
    else:
        terms, derivatives, by_alpha = formula.to_mean, formula.to_mean_grad, formula.to_mean_by_alpha
    kl1, kl2 = terms(g1, g2, *pair, kernel)
    numbers = w1, w2, g1, g2, *pair[1:], i1, i2
    mean1, logvar1 = derivatives(*numbers)
    _, logvar2 = derivatives(*formula.exchanged(*numbers))
    derivative = by_alpha(w1, w2, g1, g2, slope, kl1, kl2, *pair[1:]).sum(-1)
    return mean1, logvar1 / v1, logvar1, -mean1, logvar2 / v2, logvar2, derivative


def _kernel(dual: bool, x: Wide, k: Wide, *_: Any) -> Wide:
    return kernels(x, k, dual)


def _wide_numbers(part: Flat) -> tuple[tuple[Scalars, Wide, Wide, Wide, Wide], np.ndarray]:
    """The scalars, reciprocal deviations and variances, and where all have their digits and are in range."""
    place = np.ones((1, *part.means.shape[1:]), int)
    s, sound = scalars(part.forms, part.means, part.scales, place, np.ones(part.w.shape, bool))
    sound &= ((part.w == 0) | (part.w >= LEAST_WEIGHT)).all(0) & (s.size_e * LOST <= np.abs(s.e.high)).all((0, -1))
    v1, v2 = s.variance[0], s.variance[1]
    i1, i2 = 1.0 / v1.root(), 1.0 / v2.root()
    delta = s.delta[0]
    return ((0.0, s.r[0], s.inverse_r[0], s.e[0], s.y[0], delta * i1, delta * i2), i1, i2, v1, v2), sound


def _in_decimals(dual: bool, reverse: bool, whole: Flat, row: int) -> list[Any]:
    """The same for one row, in decimal numbers, which have no range that a float leaves."""
    with decimal.localcontext(Context(prec=DIGITS[0], Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)):
        (form1, form2), numbers = whole.forms, [x[:, row].tolist() for x in (whole.means, whole.scales)]
        (means1, means2), (scales1, scales2) = numbers
        coordinates = list(zip(means1, scales1, means2, scales2, strict=True))
        columns: list[Any] = []
        for s, (m1, s1, m2, s2) in zip(pair_scalars((form1, form2), coordinates), coordinates, strict=True):
            v1, v2 = (variance_of(form, Decimal(x)) for form, x in ((form1, s1), (form2, s2)))
            i1, i2 = 1 / v1.sqrt(), 1 / v2.sqrt()
            delta = EXACT.subtract(Decimal(m1), Decimal(m2))
            columns.append([*s[:5], delta * i1, delta * i2, i1, i2, v1, v2])
        log_r1, r1, r2, e1, e2, d1, d2, *rest = np.array(columns, object).T
        alpha = Decimal(float(whole.w[1, row]))
        i1, i2, v1, v2 = rest
        pair = log_r1, r1, r2, e1, e2, d1, d2
        values = _derivatives(dual, reverse, alpha, pair, i1, i2, v1, v2, decimal_kernel(dual))
        return [_floats(x) for x in values]


def _float(x: Decimal) -> float:
    return math.copysign(rounded(abs(x), single=False), x)


_floats: Any = np.frompyfunc(_float, 1, 1)
