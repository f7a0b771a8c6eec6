"""Scales two Gaussians of full covariance to units of about one, each in the form in which it was given."""

from typing import NamedTuple

import numpy as np

from jsgmath.gaussian import inverse_of_tril
from jsgmath.reduction import exact
from jsgmath.reduction.twofold import Twofold

FAR = 200  # if the exponents of the two scales differ by more than this, N1 gets its own unit


class FlatBatch(NamedTuple):
    """A batch of Gaussians as float64 arrays with a single batch axis."""

    form: str
    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray


class GivenCovariance(NamedTuple):
    """A batch of covariances, in the form in which they were given."""

    kind: str  # "square": the covariance; "factor": L with covariance L L^T; "inverse": the precision
    given: Twofold

    def transformed(self, W: Twofold) -> tuple[Twofold, Twofold]:
        """``W S W^T``, and ``W S``, or for a factor W times the factor."""
        if self.kind == "factor":
            half = W @ self.given
            return half @ half.T, half
        if self.kind == "inverse":
            back = W.inverse()
            congruent = (back.T @ self.given @ back).inverse()
            return congruent, congruent @ back.T
        half = W @ self.given
        return half @ W.T, half


class ScaledPair(NamedTuple):
    """Two scaled covariances and means; each "unit" is the exponent of the power of two that it was divided by."""

    half: np.ndarray  # any H with H H^T = S1, in float64
    whitening: np.ndarray  # the inverse of any H with H H^T = S2
    first: GivenCovariance
    second: GivenCovariance
    difference: Twofold | None  # first - second if they are of one kind; used where unit1 is 0
    swapped: bool  # whether precisions take the place of the covariances
    displacement: Twofold  # m1 - m2, as a column
    mapped: bool  # whether the displacement is given as ``S2^-1 (m1 - m2)``; only if swapped
    unit: np.ndarray  # of the coordinates, (batch, n)
    unit1: np.ndarray  # of N1 relative to N2, (batch,)
    unit_displacement: np.ndarray  # of the displacement, (batch,)


def scaled_pair(side1: FlatBatch, side2: FlatBatch) -> ScaledPair:
    """The `ScaledPair` of two batches of equal size."""
    swapped = side1.form == side2.form == "precision"
    (half, _), (half2, whitening) = (_halves(side, swapped) for side in (side1, side2))

    unit = exponents(half2)
    rows, columns = -unit[:, :, None], -unit[:, None, :]
    unit1 = own_unit(half, unit)
    own = -unit1[:, None, None]

    def matrix(side: FlatBatch, own: np.ndarray) -> GivenCovariance:
        kind, given = given_covariance(side, swapped)
        shift = {"square": rows + columns + 2 * own, "factor": rows + own, "inverse": -rows - columns - 2 * own}
        return GivenCovariance(kind, given.scaled(shift[kind]))

    first, second = matrix(side1, own), matrix(side2, np.zeros_like(own))
    # The halves of the means do not overflow when they are subtracted.
    toward = unit if swapped else -unit
    delta = Twofold(side1.mean[:, :, None] / 2) + -Twofold(side2.mean[:, :, None] / 2)
    unit_displacement = np.max(np.frexp(delta.high[:, :, 0])[1] + toward, axis=1)
    return ScaledPair(
        half=np.ldexp(half, rows + own),
        whitening=np.ldexp(whitening, -columns),
        first=first,
        second=second,
        difference=first.given + -second.given if first.kind == second.kind else None,
        swapped=swapped,
        mapped=False,
        displacement=delta.scaled((toward - unit_displacement[:, None])[:, :, None]),
        unit=unit,
        unit1=unit1,
        unit_displacement=unit_displacement + 1,
    )


def exponents(half: np.ndarray) -> np.ndarray:
    """The exponent of the largest entry of each row."""
    return np.frexp(np.abs(half).max(2))[1]


def own_unit(half: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The exponent of the power of two that N1 is divided by, mostly 0.

    ``half`` is that of N1, and ``unit`` has the exponents of the half of N2.
    """
    size = np.max(exponents(half) - unit, axis=1)
    return np.where(np.abs(size) > FAR, size, 0)


def _halves(side: FlatBatch, swapped: bool) -> tuple[np.ndarray, np.ndarray]:
    """Any H such that ``H H^T`` is the covariance, or the precision if swapped, and the inverse of H."""
    if not np.isfinite(side.factor).all():  # the variance of a log-variance may overflow
        raise np.linalg.LinAlgError
    inverse = inverse_of_tril(side.factor)
    if side.form == "precision" and not swapped:
        return inverse.swapaxes(1, 2), side.factor.swapaxes(1, 2)
    return side.factor, inverse


def given_covariance(side: FlatBatch, swapped: bool) -> GivenCovariance:
    """The `GivenCovariance` of a Gaussian; if swapped, its precision takes the place of the covariance."""
    if side.form == "precision":
        return GivenCovariance("square" if swapped else "inverse", Twofold(side.scale))
    if side.form == "logvar":
        return GivenCovariance("square", _exp(side.scale))
    scale = side.scale if side.scale.ndim == 3 else _diagonal(side.scale)
    return GivenCovariance("factor" if side.form in ("scale_tril", "std") else "square", Twofold(scale))


def _exp(logvar: np.ndarray) -> Twofold:
    halves = [exact.two_floats(exact.variance("logvar", x)) for x in logvar.ravel().tolist()]
    high, low = (_diagonal(x) for x in np.array(halves).reshape((*logvar.shape, 2)).transpose(2, 0, 1))
    return Twofold(high, low, 2.0**-105 * high)


def _diagonal(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, :, None] * np.eye(vectors.shape[-1])
