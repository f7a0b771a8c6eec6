"""Divergences of Gaussians, correctly rounded: each value is the float nearest to the true value.

Fast arithmetic gives a value and a bound on its error.  If all numbers within the bound round to the same float, that
float is the result (Ziv's rounding test).  `nearest.py`, or `nearest_full.py` for full covariances, computes the few
others.  So the bits do not depend on the fast arithmetic: the compiled core (`native`), or NumPy in the longest float
of the machine.
"""

import math
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula, native, special
from jsgmath.checks import check_convention, check_dimensions, common_shape, weight_array
from jsgmath.gaussian import Gaussian
from jsgmath.hints import Convention
from jsgmath.reduction.diagonal import diagonal_pairs
from jsgmath.reduction.full import NotDiagonalised
from jsgmath.reduction.pairs import ScalarPairs, common_dtype, finite
from jsgmath.rounding.nearest import Divergence, nearest
from jsgmath.special import g, gs, numpy_kernel
from jsgmath.working import evaluated

# NumPy's bound is proved if variances and displacements, and alpha, are within these limits.  (The core has wider ones,
# in diagonal.hpp.)
LARGEST, LEAST_ALPHA = 2.0**100, 2.0**-60
# If the core leaves at least so many rows times dimensions undecided, NumPy is tried next; for fewer, the last path
# takes no longer.
NUMPY_FROM = 12
# NumPy rounds divergences of full covariances up to this one; no intermediate result leaves the range of a double.
LARGEST_VALUE = 2.0**900
# From this dimension on, the core takes longer than the last path for Gaussians of low rank.
SLIM_FROM = 100
# Variances of two forms must differ by at least this share; the difference of closer ones has lost too many digits.
APART = 0.125


def rounded_divergence(
    divergence: Divergence,
    N1: Gaussian,
    N2: Gaussian,
    alpha: ArrayLike,
    convention: Convention,
    return_error: bool,
) -> Any:
    """The nearest floats, in the common type of both Gaussians; with ``return_error`` a bound on their error as well.

    Raises:
        ValueError: the convention, alpha or a shape is not valid.
        ArithmeticError: a value is so near to the middle of two floats that the last path does not decide it.
    """
    check_convention(convention)
    weight = weight_array("alpha", alpha)
    check_dimensions(N1.dim, N2.dim)
    shape = common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, "alpha": weight.shape})
    values = nearest_values(divergence, convention == "deasy", N1, N2, weight, shape)[()]
    if not return_error:
        return values
    with np.errstate(all="ignore"):
        half_unit = np.maximum(np.spacing(values) / 2, np.finfo(values.dtype).smallest_subnormal)
    return values, np.where(np.isfinite(values), half_unit, np.inf).astype(values.dtype)[()]


def nearest_values(
    divergence: Divergence, reverse: bool, N1: Gaussian, N2: Gaussian, alpha: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Values of the given shape, each the nearest float."""
    dtype = common_dtype(N1, N2)
    single = dtype == np.float32
    diagonal = N1.is_diagonal and N2.is_diagonal
    forms, arrays = (N1.form, N2.form), (N1.mean, N1.scale, N2.mean, N2.scale)
    compute = native.diagonal if diagonal else native.full
    slim = "low_rank" in forms and N1.dim > max(SLIM_FROM, _rank(N1) + _rank(N2))
    if native.CORE is not None and (diagonal or native.takes(forms, N1.dim)) and not slim:
        values, left = compute(divergence, reverse, forms, arrays, alpha, shape, N1.dim, single)
        if left * N1.dim >= NUMPY_FROM and not (diagonal or "low_rank" in forms):
            open_ = np.isnan(values)
            parts = _part(N1, shape, open_), _part(N2, shape, open_)
            alphas = np.broadcast_to(alpha, shape)[open_]
            values[open_] = _full_by_numpy(divergence, reverse, *parts, alphas, alphas.shape, dtype)
            left = np.count_nonzero(np.isnan(values))
    elif "low_rank" in forms:
        values, left = np.full(shape, np.nan), math.prod(shape)
    else:
        by_numpy = _by_numpy if diagonal else _full_by_numpy
        values = by_numpy(divergence, reverse, N1, N2, alpha, shape, dtype)
        left = np.count_nonzero(np.isnan(values))
    if left:
        _decide(values, divergence, reverse, N1, N2, alpha, single)
    return values if dtype == np.float64 else values.astype(dtype)


def _decide(
    values: np.ndarray,
    divergence: Divergence,
    reverse: bool,
    N1: Gaussian,
    N2: Gaussian,
    alpha: np.ndarray,
    single: bool,
) -> None:
    """Replaces NaN by the nearest float."""
    from jsgmath.rounding.nearest_full import nearest_full  # imported here, because few values need them
    from jsgmath.rounding.nearest_low_rank import nearest_low_rank

    means, scales = zip(*(broadcast(N, values.shape) for N in (N1, N2)), strict=True)
    forms, alpha = (N1.form, N2.form), np.broadcast_to(alpha, values.shape)
    for i in map(tuple, np.argwhere(np.isnan(values))):
        (m1, m2), (s1, s2), weight = (x[i] for x in means), (x[i] for x in scales), float(alpha[i])
        if N1.is_diagonal and N2.is_diagonal:
            coordinates = list(zip(*(x.tolist() for x in (m1, s1, m2, s2)), strict=True))
            values[i] = nearest(divergence, reverse, forms, coordinates, weight, single)
        elif "low_rank" in forms and _rank(N1) + _rank(N2) < N1.dim:
            first, second = ((m, s[:, :-1], s[:, -1]) for m, s in ((m1, s1), (m2, s2)))
            values[i] = nearest_low_rank(divergence, reverse, first, second, weight, single)
        else:
            values[i] = nearest_full(divergence, reverse, (m1, forms[0], s1), (m2, forms[1], s2), weight, single)


def _rank(N: Gaussian) -> int:
    """The rank of a Gaussian of low rank."""
    return N.scale.shape[-1] - 1


def broadcast(N: Gaussian, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of N, broadcast to a batch shape."""
    axes = 1 if N.is_diagonal else 2
    return np.broadcast_to(N.mean, (*shape, N.dim)), np.broadcast_to(N.scale, (*shape, *N.scale.shape[-axes:]))


def _part(N: Gaussian, shape: tuple[int, ...], where: np.ndarray) -> Gaussian:
    """The chosen Gaussians of a batch that is broadcast to a shape."""
    mean, scale = broadcast(N, shape)
    factor = np.broadcast_to(N.factor, (*shape, N.dim, N.dim))
    return Gaussian.checked(N.form, mean[where], scale[where], factor[where])


def _full_by_numpy(
    divergence: Divergence,
    reverse: bool,
    N1: Gaussian,
    N2: Gaussian,
    alpha: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> np.ndarray:
    """Returns what `_by_numpy` returns, for pairs in which one Gaussian or both have a full covariance."""
    ends = (0.0, 1.0) if divergence is Divergence.JEFFREYS else (alpha,)
    weights = [(1 - w2, w2) for w2 in (np.asarray(end, special.WORK)[..., None] for end in ends)]
    dual = divergence is Divergence.JSG_DUAL
    try:
        parts = [evaluated(N1, N2, *w, *formula.mean_weights(*w, reverse)[:2], dual) for w in weights]
    except NotDiagonalised:
        return np.full(shape, np.nan)
    with np.errstate(all="ignore"):
        value, error = (reduce(add, x) for x in zip(*parts, strict=True))
        sound = (value > 1 / LARGEST_VALUE) & (value < LARGEST_VALUE) & ((alpha == 0) | (alpha >= LEAST_ALPHA))
        return _rounded(value, error, sound, shape, dtype)


def _by_numpy(
    divergence: Divergence,
    reverse: bool,
    N1: Gaussian,
    N2: Gaussian,
    alpha: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> np.ndarray:
    """Values in float64, or NaN where the bound does not decide which float is the nearest."""
    with np.errstate(all="ignore"):
        pairs = diagonal_pairs(N1, N2)
        value, error = bounded(divergence, reverse, N1, N2, pairs, alpha)
        sound = _within_limits(N1, N2, alpha)
        if N1.form != N2.form:
            sound &= (np.abs(pairs.e1) >= APART).all(-1)
        return _rounded(value, error, sound, shape, dtype)


def _rounded(
    value: np.ndarray, error: np.ndarray, sound: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    """The float to which all numbers within the error round, as float64; NaN if there are two, or it is not sound."""
    lower, upper = (x.astype(dtype).astype(np.float64) for x in (value - error, value + error))
    return np.broadcast_to(np.where((lower == upper) & sound, lower, np.nan), shape).copy()


def bounded(
    divergence: Divergence, reverse: bool, N1: Gaussian, N2: Gaussian, pairs: ScalarPairs, alpha: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The divergence in the working precision, and a bound on its error within the limits."""
    ends = (0.0, 1.0) if divergence is Divergence.JEFFREYS else (alpha,)
    terms, kernel = (formula.from_mean, gs) if divergence is Divergence.JSG_DUAL else (formula.to_mean, g)
    value = np.zeros((), special.WORK)
    for end in ends:
        w2 = np.asarray(end, special.WORK)[..., None]
        w1 = 1 - w2
        g1, g2, _ = formula.mean_weights(w1, w2, reverse or len(ends) == 2)
        kl1, kl2 = map(finite, terms(g1, g2, *pairs, numpy_kernel(kernel)))
        value = value + formula.skew(w1, w2, kl1, kl2).sum(-1)
    # If the variances were given in two forms, their difference has up to twice the error.
    units = special.ROUNDING * (1 if N1.form == N2.form else 2) + N1.dim
    return value, units * np.finfo(special.WORK).eps * value


def _within_limits(N1: Gaussian, N2: Gaussian, alpha: np.ndarray) -> np.ndarray:
    sound = (alpha == 0) | (alpha >= LEAST_ALPHA)
    for N in (N1, N2):
        scale = N.scale.astype(special.WORK)
        logvar = scale if N.form == "logvar" else np.log(scale) * (2 if N.form == "std" else 1)
        sound = sound & (np.abs(logvar) < np.log(LARGEST)).all(-1)
    if N1.form == N2.form == "logvar":
        sound = sound & _zero_or_sound(N1.scale, N2.scale)
    return sound & _zero_or_sound(N1.mean, N2.mean)


def _zero_or_sound(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether ``a - b`` is 0, or within the limits."""
    size = np.abs(a.astype(special.WORK) - b.astype(special.WORK))
    return ((size == 0) | ((size >= 1 / LARGEST) & (size <= LARGEST))).all(-1)
