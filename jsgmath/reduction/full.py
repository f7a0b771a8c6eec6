r"""Reduces two Gaussians of full covariance to independent one-dimensional pairs, accurately at any condition.

A divergence does not change when one invertible matrix W maps both Gaussians.  So W need not be accurate; only the
mapped covariances must be.  ``W S1 W^T``, ``W S2 W^T`` and, so that near-equal Gaussians lose nothing,
``W (S1 - S2) W^T`` are computed in twice the precision of float64 (`twofold.py`), and W is improved until they are
diagonal.  Their diagonals are the variances of the one-dimensional pairs.  The off-diagonal entries bound the error;
verification/README.md derives how.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.gaussian import Gaussian
from jsgmath.reduction.pairs import Reduced, ScalarPairs, finite, positive
from jsgmath.reduction.scaling import FlatBatch, ScaledPair, scaled_pair
from jsgmath.reduction.twofold import EPS, Twofold

STEPS, TURNS = 8, 3
ROUGH = 2.0**-26  # if the off-diagonal part exceeds this, the matrices are diagonalised again; otherwise W is corrected
APART = 2.0**-26  # if a correction exceeds this, two directions are nearly equal, and the first order is too rough
FINE = 2.0**-62  # a smaller correction changes nothing
AT_ONCE = 2**21  # largest number of matrix entries that are processed together


class NotDiagonalised(ValueError):
    """Two Gaussians that float64 cannot diagonalise together."""


def full_pairs(N1: Gaussian, N2: Gaussian) -> tuple[Reduced, np.ndarray]:
    """The pairs, and a basis ``A`` with ``S1 = A diag(r1) A^T``, ``S2 = A A^T`` and ``m1 - m2 = A d2``."""
    return joined(in_parts(N1, N2, diagonalised_pair), np.broadcast_shapes(N1.batch_shape, N2.batch_shape))


def in_parts(
    N1: Gaussian, N2: Gaussian, function: Callable[[ScaledPair], tuple[np.ndarray, ...]]
) -> list[tuple[np.ndarray, ...]]:
    """Applies a function to each part of a batch and returns its arrays; an empty batch returns those of one pair."""
    batch, n = np.broadcast_shapes(N1.batch_shape, N2.batch_shape), N1.dim
    count, step = int(np.prod(batch)), max(1, AT_ONCE // n**2)
    sides = [flat(N, batch) for N in (N1, N2)]
    if not count:  # LAPACK refuses an empty batch; one pair gives the shapes
        sides = 2 * [FlatBatch("cov", np.zeros((1, n)), *2 * [np.eye(n)[None]])]
    starts = range(0, max(count, 1), step)
    parts = [[FlatBatch(s.form, *(x[i : i + step] for x in s[1:])) for s in sides] for i in starts]
    return [_reduce(side1, side2, function) for side1, side2 in parts]


@np.errstate(all="ignore")
def flat(N: Gaussian, batch: tuple[int, ...]) -> FlatBatch:
    """A Gaussian, broadcast to a batch shape, with a single batch axis."""
    arrays = [(N.mean, 1), (N.scale, 1 if N.is_diagonal else 2), (N.factor, 2)]
    shaped = (np.broadcast_to(x, (*batch, *x.shape[-axes:])) for x, axes in arrays)
    return FlatBatch(N.form, *(x.reshape((-1, *x.shape[len(batch) :])).astype(np.float64) for x in shaped))


def joined(parts: list[tuple[np.ndarray, ...]], batch: tuple[int, ...]) -> tuple[Reduced, np.ndarray]:
    """The pairs and the basis of a batch, from those of its parts."""
    whole = (np.concatenate(arrays)[: int(np.prod(batch))] for arrays in zip(*parts, strict=True))
    shaped = [x.reshape((*batch, *x.shape[1:])) for x in whole]
    size = len(ScalarPairs._fields)
    return Reduced(ScalarPairs(*shaped[:size]), shaped[size], ScalarPairs(*shaped[size + 1 : -1])), shaped[-1]


class Transformed:
    """Both covariances after the map W, and measures of how far they are from diagonal."""

    def __init__(self, given: ScaledPair, W: Twofold):
        self.W = W
        (self.S1, half1), (self.S2, half2) = given.first.transformed(W), given.second.transformed(W)
        if given.difference is None:
            self.difference = self.S1 + -self.S2
        elif given.first.kind == "factor":
            part = W @ given.difference
            self.difference = part @ half1.T + half2 @ part.T
        else:
            self.difference = W @ given.difference @ W.T
        self.displacement = (half2 if given.swapped and not given.mapped else W) @ given.displacement
        self.columns = (W if given.swapped else half2).high.swapaxes(1, 2)
        if given.second.kind == "factor":
            self.columns = given.second.given.high @ self.columns

        self.c1, self.c2, e = (np.diagonal(x.high, axis1=1, axis2=2) for x in (self.S1, self.S2, self.difference))
        self.sizes1, self.sizes2 = (np.sqrt(c[:, :, None] * c[:, None, :]) for c in (self.c1, self.c2))
        r = self.c1 / self.c2
        self.near = (given.unit1 == 0) & ((r > 0.5) & (r < 2)).all(1)
        self.length = np.where(self.near, np.linalg.norm(e, axis=1), 0)
        # All are off-diagonal parts relative to the diagonals: the plain one; one with weights, because an error in a
        # direction of large ratio counts more in one of small ratio; and that of the difference, if the two are near.
        self.off = 1 - np.eye(r.shape[1])
        ratios = r[:, :, None] / r[:, None, :]
        self.weight = np.sqrt(np.maximum(ratios, 1 / ratios)) * self.off
        sides = (self.S1, self.sizes1), (self.S2, self.sizes2)
        share = sum((np.abs(x.high) + x.error) / sizes for x, sizes in sides)
        self.off_diagonal, self.weighted = (np.linalg.norm(share * w, axis=(1, 2)) for w in (self.off, self.weight))
        self.rest = _ratio(np.linalg.norm(self.difference.high * self.off, axis=(1, 2)), self.length)

    def correction(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """K such that ``I + K`` makes both diagonal to first order, the size of K, and the rest of S1.

        Two directions that are nearly equal are only made orthogonal.
        """
        near = self.near[:, None, None]
        A, S2, c2 = np.where(near, self.difference.high, self.S1.high), self.S2.high, self.c2[:, None, :]
        q = np.diagonal(A, axis1=1, axis2=2) / self.c2
        K = (A - q[:, :, None] * S2) / (c2 * (q[:, :, None] - q[:, None, :]))
        size = np.abs(K) * np.maximum(self.sizes2 / self.c2[:, :, None], self.sizes1 / self.c1[:, :, None])
        apart = np.maximum(size, size.swapaxes(1, 2)) < APART
        K = np.where(apart, K, -S2 / (2 * c2)) * self.off
        size = np.abs(K) * self.sizes2 / self.c2[:, :, None] * self.weight
        left = _ratio(np.abs(A), np.where(near, self.length[:, None, None], self.sizes1))
        return K, size.max((1, 2)), (left * self.off * ~apart).max((1, 2))


def diagonalised(given: ScaledPair) -> Transformed:
    """The `Transformed` of the final W."""
    start = np.zeros_like(given.half)
    for i, (whitening, half) in enumerate(zip(given.whitening, given.half, strict=True)):
        start[i] = _turn(whitening @ half) @ whitening
    transformed, n = Transformed(given, Twofold(start)), given.half.shape[1]
    for step in range(STEPS):
        correction, size, left = transformed.correction()
        rough = ~(transformed.off_diagonal + transformed.rest < ROUGH) | ((left > n * EPS / 2) & (step < TURNS))
        if (~rough & (size < FINE)).all():
            break
        high, low = np.tile(np.eye(n), (len(rough), 1, 1)), correction
        for i in np.flatnonzero(rough):
            matrices = (x.high[i] for x in (transformed.S1, transformed.S2, transformed.difference))
            high[i], low[i] = _diagonaliser(transformed.near[i], *matrices), 0
        W = Twofold(high, low) @ transformed.W
        transformed = Transformed(given, Twofold(W.high, W.low))
    if not (transformed.off_diagonal < ROUGH).all():
        raise np.linalg.LinAlgError
    return transformed


def _diagonaliser(near: np.bool, S1: np.ndarray, S2: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """A matrix that diagonalises both in float64, made of the eigenvectors of the difference or of singular vectors."""
    whitening = np.linalg.inv(np.linalg.cholesky(S2))
    if near:
        excess = whitening @ difference @ whitening.T
        return np.linalg.eigh(excess + excess.T)[1].T @ whitening
    return _turn(whitening @ np.linalg.cholesky(S1)) @ whitening


def _turn(matrix: np.ndarray) -> np.ndarray:
    """Left singular vectors, as rows, to relative accuracy also for small singular values (one-sided Jacobi)."""
    if not np.isfinite(matrix).all():
        raise np.linalg.LinAlgError
    from scipy.linalg import lapack  # imported here, because the import takes long

    jacobi: Any = lapack.get_lapack_funcs("gejsv")
    return jacobi(matrix, joba=2, jobu=0, jobv=3, jobr=0)[1].T


def _reduce(
    side1: FlatBatch, side2: FlatBatch, function: Callable[[ScaledPair], tuple[np.ndarray, ...]]
) -> tuple[np.ndarray, ...]:
    """Applies a function such as `diagonalised_pair` to two batches of equal size."""
    try:
        with np.errstate(all="ignore"):
            return function(scaled_pair(side1, side2))
    except np.linalg.LinAlgError:
        raise NotDiagonalised(
            "N1 and N2 cannot be diagonalised together in float64: their scales are too ill-conditioned, or too far "
            "apart; jsgmath.jsg and jsgmath.certified have no such limit"
        ) from None


@np.errstate(all="ignore")
def diagonalised_pair(given: ScaledPair) -> tuple[np.ndarray, ...]:
    """The arrays of a `Reduced`, then the basis."""
    return pair_arrays(given, diagonalised(given))


def pair_arrays(given: ScaledPair, transformed: Transformed) -> tuple[np.ndarray, ...]:
    """The arrays of a `Reduced`, from covariances that have been diagonalised."""
    (c1, error1), (c2, error2), (e, e_error) = (
        x.diagonal(special.WORK) for x in (transformed.S1, transformed.S2, transformed.difference)
    )
    unit1 = 2 * given.unit1[:, None]
    r1, r2 = positive(np.ldexp(c1 / c2, unit1)), positive(np.ldexp(c2 / c1, -unit1))
    e1, e2 = np.where(unit1 == 0, e / c2, r1 - 1), np.where(unit1 == 0, -e / c1, r2 - 1)
    if given.swapped:
        r1, r2, e1, e2 = r2, r1, e2, e1
    y = transformed.displacement
    d2, d2_error = (
        finite(np.ldexp(x[:, :, 0] / np.sqrt(c2), given.unit_displacement[:, None]))
        for x in (y.high + special.WORK(1) * y.low, y.error)
    )
    pair = ScalarPairs(np.log(r1), r1, r2, e1, e2, d2 / np.sqrt(r1), d2)

    near, n = transformed.near, c1.shape[1]
    share = np.maximum(error1 / c1, error2 / c2) + np.where(near[:, None], 0, e_error / np.maximum(c1, c2))
    share = np.max(share + np.where(unit1 == 0, 0, 2.0**-62), axis=1)
    noise = np.where(near, np.linalg.norm(transformed.difference.error, axis=(1, 2)), 0)
    relative = 4 * transformed.weighted + np.where(near, 64, 8 * n) * (share + _ratio(noise, transformed.length))
    relative = special.WORK(1) * (relative + 256 * n * (transformed.weighted + transformed.rest) ** 2)
    slack = _slack(pair, np.sqrt(d2_error) * np.sqrt(2 * np.abs(d2) + d2_error), special.WORK(64) * noise[:, None])

    basis = transformed.columns / np.sqrt(c2).astype(float)[:, None, :]
    basis = np.ldexp(basis, (-given.unit if given.swapped else given.unit)[:, :, None])
    return *pair, relative, *slack, basis


def _slack(pair: ScalarPairs, d2: np.ndarray, e1: np.ndarray) -> list[np.ndarray]:
    """Scalar pairs that differ only by the displacements ``d2``, then one that differs only by the excess ``e1``."""
    none, still = 0 * d2, 0 * e1
    moved = ScalarPairs(pair.log_r1, pair.r1, pair.r2, none, none, d2 / np.sqrt(pair.r1), d2)
    scaled = ScalarPairs(np.log1p(e1), 1 + e1, 1 / (1 + e1), e1, -e1 / (1 + e1), still, still)
    return [np.concatenate(x, axis=1) for x in zip(moved, scaled, strict=True)]


def _ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``x/y``, or 0 where y is 0."""
    return np.divide(x, y, out=np.zeros_like(x), where=y > 0)
