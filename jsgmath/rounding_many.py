"""The divergence of several diagonal Gaussians, correctly rounded, as `rounding.py` has it for two.

`several.py` in about twice the precision of float64 gives a value and a bound on its error; `nearest_many.py` takes the
few values for which the bound leaves open which float is the nearest.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from jsgmath import nearest_many_full, wide
from jsgmath.gaussian import Gaussian
from jsgmath.nearest_many import Member, nearest_diagonal, reference
from jsgmath.several import Scalars, Unit, twice_divergences
from jsgmath.special import two_sum
from jsgmath.weights import exact_weights, wide_weights
from jsgmath.wide import Wide

# Limits of the fast path, in which no intermediate result leaves the range of a double: of the logarithms of variances,
# of differences of means and of weights.
LARGEST_LOGVAR, LARGEST, LEAST_WEIGHT, LEAST_VALUE = 100 * np.log(2), 2.0**200, 2.0**-200, 2.0**-800
AT_ONCE = 2**14  # numbers of one kind that are processed together
UNIT = Unit(wide.ELEMENTARY, wide.KERNELS)


def divergence_of_many(
    found: Sequence[Gaussian], w: Sequence[np.ndarray], g: Sequence[np.ndarray], dual: bool, batch: tuple[int, ...], single: bool
) -> np.ndarray:
    """Values of that batch shape, each the nearest float; the weights are as they were given."""
    n = found[0].dim
    means, scales = ([np.broadcast_to(x, (*batch, n)).reshape(-1, n) for x in y] for y in _arrays(found))
    shares = [np.stack([np.broadcast_to(x, batch).ravel() for x in y]) for y in (w, g)]
    values = np.empty(shares[0].shape[1])
    step = max(1, AT_ONCE // (n * len(found)))
    for start in range(0, len(values), step):
        cut = slice(start, start + step)
        part = [np.stack([x[cut] for x in y]).astype(float) for y in (means, scales)]
        values[cut] = _rounded([N.form for N in found], *part, *(x[:, cut] for x in shares), dual, single)
    for row in np.flatnonzero(np.isnan(values)):
        weights = (exact_weights(x[:, row].tolist()) for x in shares)
        numbers = zip(found, means, scales, *weights, strict=True)
        members = [Member(N.form, m[row].tolist(), s[row].tolist(), *both) for N, m, s, *both in numbers if any(both)]
        values[row] = nearest_diagonal(members, dual, single)
    return values.reshape(batch)


def full_divergence_of_many(
    found: Sequence[Gaussian],
    w: Sequence[np.ndarray],
    g: Sequence[np.ndarray],
    dual: bool,
    batch: tuple[int, ...],
    single: bool,
) -> np.ndarray:
    """As `divergence_of_many`, where a covariance is full."""
    n = found[0].dim
    values = np.full(batch, np.nan)
    shares = [[np.broadcast_to(x, batch) for x in y] for y in (w, g)]
    means = [np.broadcast_to(N.mean, (*batch, n)) for N in found]
    scales = [np.broadcast_to(N.scale, (*batch, *N.scale.shape[-1 if N.is_diagonal else -2 :])) for N in found]
    for i in np.ndindex(batch):
        weights = (exact_weights([float(x[i]) for x in y]) for y in shares)
        numbers = zip(found, means, scales, *weights, strict=True)
        members = [nearest_many_full.Member(m[i], N.form, s[i], *both) for N, m, s, *both in numbers if any(both)]
        values[i] = nearest_many_full.nearest_full(members, dual, single)
    return values


def _arrays(found: Sequence[Gaussian]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [N.mean for N in found], [N.scale for N in found]


def _rounded(
    forms: Sequence[str], means: np.ndarray, scales: np.ndarray, w: np.ndarray, g: np.ndarray, dual: bool, single: bool
) -> np.ndarray:
    """The nearest floats of rows of Gaussians, NaN where the bound leaves them open; the first axis has length K."""
    w_all, g_all = (wide_weights(x) for x in (w, g))
    counted = (w > 0) | (g > 0)
    shares = np.stack([reference(form, s, x[:, None]) for form, s, x in zip(forms, scales, g_all.high, strict=True)])
    s, sound = scalars(forms, means, scales, np.argmax(shares, axis=0)[None], counted)
    weights, of_mean = w_all[..., None], g_all[..., None]

    def kernel(e: Wide, r: Wide, k: Wide, log_r: Any) -> Wide:
        return wide.kernels(e, r, dual)

    values, errors = twice_divergences(s, of_mean, dual, kernel, _size, UNIT)
    used = w[..., None] > 0
    whole = (weights * wide.where(used, values, 0.0)).sum(0).sum(-1) * 0.5
    rounding = (4 + len(w) + means.shape[-1]) * wide.ROUNDING
    error = (w[..., None] * np.where(used, errors, 0.0)).sum((0, -1)) + rounding * whole.high
    for x in (w, g):
        sound &= ((x == 0) | (x >= LEAST_WEIGHT)).all(0)
    sound &= (whole.high == 0) & (error == 0) | (whole.high > LEAST_VALUE)
    return nearest_of(whole, error, sound, single)


def nearest_of(value: Wide, error: np.ndarray, sound: np.ndarray, single: bool) -> np.ndarray:
    """The float that all numbers within the error round to, in float64; NaN if there is none, or if it is not sound."""
    lower, upper = ((value + x).high for x in (-error, error))
    if single:  # a float64 that is rounded to the middle between two of float32 does not tell on which side it lay
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
