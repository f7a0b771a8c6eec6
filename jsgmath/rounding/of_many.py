"""The divergence of several diagonal Gaussians, correctly rounded; `of_pairs.py` does this for two.

The compiled core, or `several.py` in about twice the precision of float64, gives a value and a bound on its error;
`nearest_many.py` computes the few values for which the bound does not decide which float is the nearest.
"""

# pyright: reportConstantRedefinition=false

import math
from collections.abc import Sequence
from operator import is_
from typing import NamedTuple

import numpy as np

from jsgmath import native, special
from jsgmath.gaussian import Gaussian
from jsgmath.reduction import wide
from jsgmath.reduction.full import NotDiagonalised
from jsgmath.reduction.product import pairs_with_product
from jsgmath.reduction.wide import Wide
from jsgmath.rounding.nearest_many import Member, moments, nearest_diagonal, reference
from jsgmath.rounding.several import (
    Scalars,
    Unit,
    exact_weights,
    pairs_of_weights,
    product,
    twice_divergences,
    wide_weights,
)
from jsgmath.special import two_sum
from jsgmath.working import divergence_of

Weights = Sequence[np.ndarray]  # an array for each Gaussian
# Limits of the fast path, within which no intermediate result leaves the range of a double: for the logarithms of
# variances, differences of means, weights and values.
LARGEST_LOGVAR, LARGEST, LEAST_WEIGHT, LEAST_VALUE = 100 * np.log(2), 2.0**200, 2.0**-200, 2.0**-800
AT_ONCE = 2**14  # numbers of one kind that are processed together, to bound the memory
FEW = 6  # up to so many means, decimal numbers take less time
# Times for full covariances, in units of one product of whole numbers: what a value takes in addition to n^3 products,
# and the least that the fast path takes.
OWN_COST, NUMPY_COST = 1500, 20000
UNIT = Unit(wide.ELEMENTARY, wide.KERNELS)


class Flat(NamedTuple):
    """K batches of diagonal Gaussians: means and scales of shape ``(K, rows, n)``, and weights ``(K, rows)``."""

    forms: list[str]
    means: np.ndarray
    scales: np.ndarray
    w: np.ndarray
    g: np.ndarray

    def members(self, row: int) -> list[Member]:
        """The Gaussians of a row whose weight is not zero."""
        weights = (exact_weights(x[:, row].tolist()) for x in (self.w, self.g))
        numbers = zip(self.forms, self.means[:, row].tolist(), self.scales[:, row].tolist(), *weights, strict=True)
        return [Member(*x) for x in numbers if any(x[3:])]

    def scalars(self) -> tuple[Scalars, Wide, np.ndarray, np.ndarray]:
        """The scalars of `several.py`, the weights of the mean, the places of the references, and the rows in range."""
        g = wide_weights(self.g)
        shares = [reference(form, s, x[:, None]) for form, s, x in zip(self.forms, self.scales, g.high, strict=True)]
        place = np.argmax(shares, axis=0)[None]
        s, sound = scalars(self.forms, self.means, self.scales, place, (self.w > 0) | (self.g > 0))
        for x in (self.w, self.g):
            sound &= ((x == 0) | (x >= LEAST_WEIGHT)).all(0)
        return s, g[..., None], place, sound


def flat(found: Sequence[Gaussian], w: Weights, batch: tuple[int, ...], g: Weights | None = None) -> Flat:
    """The Gaussians and their unchanged weights, broadcast to a batch shape; g is w by default."""
    means, scales = (
        np.stack([np.broadcast_to(x, (*batch, x.shape[-1])).reshape(-1, x.shape[-1]) for x in y]).astype(float)
        for y in ([N.mean for N in found], [N.scale for N in found])
    )
    return Flat([N.form for N in found], means, scales, *(_rows(x, batch) for x in (w, w if g is None else g)))


def _rows(weights: Weights, batch: tuple[int, ...]) -> np.ndarray:
    return np.stack([np.broadcast_to(x, batch).ravel() for x in weights])


def divergence_of_many(
    found: Sequence[Gaussian], w: Weights, g: Weights, dual: bool, batch: tuple[int, ...], single: bool
) -> np.ndarray:
    """Values of the shape ``batch``, each the nearest float; the weights are those of the user."""
    values, left = np.full(batch, np.nan), math.prod(batch)
    if native.CORE is not None:
        weights = _numbers_of(w, g, batch)
        forms, means, scales = zip(*((N.form, N.mean, N.scale) for N in found), strict=True)
        values, left = native.many(forms, means, scales, weights, dual, batch, found[0].dim, single)
    if left:
        _decide(values.reshape(-1), flat(found, w, batch, g), dual, single)
    return values


def _numbers_of(w: Weights, g: Weights, batch: tuple[int, ...]) -> np.ndarray:
    """The weights as `native.many` takes them, in a single row if all rows have the same."""
    rows = batch if any(x.shape for x in (*w, *g)) else ()
    if not rows:
        pairs = [pairs_of_weights([float(x) for x in y]) for y in ((w,) if all(map(is_, w, g)) else (w, g))]
        return np.array([list(part) for pair in (pairs[0], pairs[-1]) for part in zip(*pair, strict=True)])[..., None]
    sums = wide_weights(_rows(w, rows))
    means = sums if all(map(is_, w, g)) else wide_weights(_rows(g, rows))
    return np.stack([sums.high, sums.low, means.high, means.low])


def _decide(values: np.ndarray, whole: Flat, dual: bool, single: bool) -> None:
    """Replaces NaN by the nearest float, in values of one axis."""
    rows = np.flatnonzero(np.isnan(values))
    count, _, n = whole.means.shape
    step = max(1, AT_ONCE // max(1, count * n))
    for start in range(0, len(rows) if len(rows) * count * n > FEW else 0, step):
        chosen = rows[start : start + step]
        values[chosen] = _rounded(Flat(whole.forms, *(x[:, chosen] for x in whole[1:])), dual, single)
    for row in np.flatnonzero(np.isnan(values)).tolist():
        values[row] = nearest_diagonal(whole.members(row), dual, single)


def diagonal_product(
    found: Sequence[Gaussian], g: Weights, batch: tuple[int, ...]
) -> tuple[np.ndarray, str, np.ndarray]:
    """Mean, form and scale of the product of experts; its form is that of the Gaussians if all are log-variances."""
    whole = flat(found, g, batch)
    s, share, place, sound = whole.scalars()
    k, shift = product(s, share)
    mean, last = (np.take_along_axis(x, place, 0)[0] for x in (whole.means, whole.scales))
    form = "logvar" if {*whole.forms} == {"logvar"} else "var"
    mean = (shift + mean).high
    scale = (last - wide.kernels(k - 1.0, k, None)).high if form == "logvar" else (s.reference_variance / k).high
    for row in np.flatnonzero(~sound).tolist():
        exact = moments(whole.members(row), form)
        mean[row], scale[row] = np.array(exact, float).T
    shape = (*batch, found[0].dim)
    return mean.reshape(shape), form, scale.reshape(shape)


def full_divergence_of_many(
    found: Sequence[Gaussian], w: Weights, g: Weights, dual: bool, batch: tuple[int, ...], single: bool
) -> np.ndarray:
    """Computes `divergence_of_many` if at least one covariance is full."""
    from jsgmath.rounding.nearest_many_full import Member, nearest_full  # imported here, because few programs need them

    n = found[0].dim
    values, left = np.full(batch, np.nan), math.prod(batch)
    forms, means, scales = zip(*((N.form, N.mean, N.scale) for N in found), strict=True)
    if native.CORE is not None and native.takes_many(forms, n):
        values, left = native.many(forms, means, scales, _numbers_of(w, g, batch), dual, batch, n, single)
    if left == 0:
        return values
    if left * (n**3 + OWN_COST) > NUMPY_COST:
        by_numpy = _full_by_numpy(found, w, g, dual, batch, single)
        values = np.where(np.isnan(values), by_numpy, values)
    shares = [_rows(x, batch) for x in (w, g)]
    means = [np.broadcast_to(N.mean, (*batch, n)) for N in found]
    scales = [np.broadcast_to(N.scale, (*batch, *N.scale.shape[-1 if N.is_diagonal else -2 :])) for N in found]
    for row, i in enumerate(np.ndindex(batch)):
        if np.isnan(values[i]):
            weights = (exact_weights(x[:, row].tolist()) for x in shares)
            numbers = zip(found, means, scales, *weights, strict=True)
            members = [Member(m[i], N.form, s[i], *both) for N, m, s, *both in numbers if any(both)]
            values[i] = nearest_full(members, dual, single)
    return values


def _full_by_numpy(
    found: Sequence[Gaussian], w: Weights, g: Weights, dual: bool, batch: tuple[int, ...], single: bool
) -> np.ndarray:
    """The nearest floats, or NaN where the bound does not decide or the working precision is only that of float64."""
    weights, shares = (wide_weights(_rows(x, batch)).reshaped((len(found), *batch)) for x in (w, g))
    try:
        parts = pairs_with_product(found, [shares[k] for k in range(len(found))])
    except NotDiagonalised:
        return np.full(batch, np.nan)
    one, zero = np.array([[1], [0]], special.WORK)
    value = error = np.zeros(batch, special.WORK)
    rounding = (special.ROUNDING + found[0].dim + len(found)) * np.finfo(special.WORK).eps
    for k, (pair, relative, slack) in enumerate(parts):
        term, lost = (divergence_of(x, one, zero, zero, one, dual) for x in (pair, slack))
        share = weights.high[k]
        value = value + np.where(share == 0, 0, (share + weights.low[k].astype(special.WORK)) * term)
        error = error + np.where(share == 0, 0, share * ((rounding + relative) * term + lost))
    sound = (value > LEAST_VALUE) & (value < 1 / LEAST_VALUE)
    dtype = np.float32 if single else np.float64
    lower, upper = (x.astype(dtype).astype(np.float64) for x in (value - error, value + error))
    return np.where((lower == upper) & sound, lower, np.nan)


def _rounded(part: Flat, dual: bool, single: bool) -> np.ndarray:
    """The nearest floats of the rows, or NaN where the bound does not decide."""
    s, g, _, sound = part.scalars()

    def kernel(e: Wide, r: Wide, *_: Wide) -> Wide:
        return wide.kernels(e, r, dual)

    values, errors = twice_divergences(s, g, dual, kernel, _size, UNIT)
    w, counted = wide_weights(part.w)[..., None], part.w[..., None] > 0
    value = (w * wide.where(counted, values, 0.0)).sum(0).sum(-1) * 0.5
    rounding = (4 + len(part.w) + part.means.shape[-1]) * wide.ROUNDING
    error = (w.high * np.where(counted, errors, 0.0)).sum((0, -1)) + rounding * value.high
    sound &= (value.high == 0) & (error == 0) | (value.high > LEAST_VALUE)
    return nearest_of(value, error, sound, single)


def nearest_of(value: Wide, error: np.ndarray, sound: np.ndarray, single: bool) -> np.ndarray:
    """The float to which all numbers within the error round, as float64; NaN if there are two, or it is not sound."""
    lower, upper = ((value + x).high for x in (-error, error))
    if single:  # a float64 in the middle between two of float32 does not tell on which side the value was
        ends = np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)
        lower, upper = (np.where(lower == 0, 0.0, x).astype(np.float32).astype(float) for x in ends)
    return np.where((lower == upper) & sound, lower, np.nan)


def _size(x: Wide) -> np.ndarray:
    return np.abs(x.high)


def scalars(
    forms: Sequence[str], means: np.ndarray, scales: np.ndarray, place: np.ndarray, counted: np.ndarray
) -> tuple[Scalars, np.ndarray]:
    """The scalars of `several.py`, and for which rows they are within the limits.

    Args:
        place: which Gaussian is the reference, for each coordinate.
        counted: which Gaussians of a row have a weight; the others are replaced by the reference.
    """
    kept = np.broadcast_to(counted[..., None], means.shape)
    means = np.where(kept, means, np.take_along_axis(means, place, 0))
    delta = Wide(*two_sum(means, -np.take_along_axis(means, place, 0)))
    size = np.abs(delta.high)
    sound = ((size == 0) | (size >= 1 / LARGEST) & (size <= LARGEST)).all((0, -1))
    if all(form == "logvar" for form in forms):
        scales = np.where(kept, scales, np.take_along_axis(scales, place, 0))
        difference = Wide(*two_sum(scales, -np.take_along_axis(scales, place, 0)))
        sound &= (np.abs(scales) < LARGEST_LOGVAR).all((0, -1))
        (r, e), (inverse_r, y) = (wide.exp_and_expm1(x) for x in (difference, -difference))
        variance, _ = wide.exp_and_expm1(Wide.of(scales))
        last = _at(variance, place)
    else:
        pairs = [_variance(form, x) for form, x in zip(forms, scales, strict=True)]
        variance = Wide(np.stack([x.high for x in pairs]), np.stack([x.low for x in pairs]))
        variance = wide.where(kept, variance, _at(variance, place))
        logs = np.abs(np.log(variance.high))
        sound &= (logs < LARGEST_LOGVAR).all((0, -1))
        last = _at(variance, place)
        difference = variance - last
        r, e, inverse_r, y = variance / last, difference / last, last / variance, -difference / variance
    size_e, size_y = _size(e), _size(y)
    if "logvar" in forms and {*forms} != {"logvar"}:  # the exponential was rounded before the difference was taken
        size_e, size_y = 1 + _size(r), 1 + _size(inverse_r)
    return Scalars(None, r, inverse_r, e, y, size_e, size_y, delta, variance, last), sound


def _at(x: Wide, place: np.ndarray) -> Wide:
    return Wide(*(np.take_along_axis(y, place, 0)[0] for y in (x.high, x.low)))


def _variance(form: str, scale: np.ndarray) -> Wide:
    if form == "logvar":
        return wide.exp_and_expm1(Wide.of(scale))[0]
    return Wide(*wide.two_product(scale, scale)) if form == "std" else Wide.of(scale)
