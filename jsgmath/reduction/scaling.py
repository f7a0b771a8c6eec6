"""Dense pairs as `dense.py` takes them: in units of about one, each Gaussian in the form in which it was given."""

from typing import NamedTuple

import numpy as np

from jsgmath.gaussian import inverse_of_tril
from jsgmath.reduction import exact
from jsgmath.reduction.twofold import Twofold

FAR = 200  # exponents by which the scale of N1 may differ from that of N2 before it gets a unit of its own


class FlatBatch(NamedTuple):
    """A batch of Gaussians as float64 arrays with a single batch axis."""

    form: str
    mean: np.ndarray
    scale: np.ndarray
    factor: np.ndarray


class GivenCovariance(NamedTuple):
    """A batch of covariances, or of whatever determines them."""

    kind: str  # "square": itself; "factor": L of L L^T; "inverse": the precision
    given: Twofold

    def transformed(self, W: Twofold) -> tuple[Twofold, Twofold]:
        """``W S W^T``, and ``W S`` or W times the factor."""
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
    """What is to be diagonalised; "unit" means the exponent of a power of two that has been taken out."""

    half: np.ndarray  # any H with H H^T = S1, in float64,
    whitening: np.ndarray  # and the inverse of one with H H^T = S2
    first: GivenCovariance
    second: GivenCovariance
    difference: Twofold | None  # first - second, if they are of one kind; of use where they have one unit
    swapped: bool  # two precisions stand in the place of the covariances
    displacement: Twofold  # m1 - m2, as a column
    unit: np.ndarray  # of the coordinates, (batch, n),
    unit1: np.ndarray  # of the whole of N1 beside N2, (batch,),
    unit_displacement: np.ndarray  # and of the displacement, (batch,)


def scaled_pair(side1: FlatBatch, side2: FlatBatch) -> ScaledPair:
    """The `ScaledPair` of two batches of equal size."""
    swapped = side1.form == side2.form == "precision"
    (half, _), (half2, whitening) = (_halves(side, swapped) for side in (side1, side2))

    unit, size = (np.frexp(np.abs(x).max(2))[1] for x in (half2, half))
    rows, columns = -unit[:, :, None], -unit[:, None, :]
    size = np.max(size - unit, axis=1)
    unit1 = np.where(np.abs(size) > FAR, size, 0)
    own = -unit1[:, None, None]

    def matrix(side: FlatBatch, own: np.ndarray) -> GivenCovariance:
        kind, given = given_covariance(side, swapped)
        shift = {"square": rows + columns + 2 * own, "factor": rows + own, "inverse": -rows - columns - 2 * own}
        return GivenCovariance(kind, given.scaled(shift[kind]))

    first, second = matrix(side1, own), matrix(side2, np.zeros_like(own))
    # Of halves, which do not overflow.
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
        displacement=delta.scaled((toward - unit_displacement[:, None])[:, :, None]),
        unit=unit,
        unit1=unit1,
        unit_displacement=unit_displacement + 1,
    )


def _halves(side: FlatBatch, swapped: bool) -> tuple[np.ndarray, np.ndarray]:
    """Any H with ``H H^T`` the covariance, or the precision if they are swapped, and its inverse."""
    if not np.isfinite(side.factor).all():  # a log-variance may be beyond the range of a variance
        raise np.linalg.LinAlgError
    inverse = inverse_of_tril(side.factor)
    if side.form == "precision" and not swapped:
        return inverse.swapaxes(1, 2), side.factor.swapaxes(1, 2)
    return side.factor, inverse


def given_covariance(side: FlatBatch, swapped: bool) -> GivenCovariance:
    """What a side determines its covariance by, or its precision if they are swapped."""
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
