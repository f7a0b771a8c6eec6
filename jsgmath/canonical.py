"""A pair of Gaussians as independent one-dimensional pairs, in the quantities that `formula.py` takes.

The excesses ``e = r - 1`` come from a difference of the two scales in the form in which they were given, so that
near-equal Gaussians lose nothing.  Diagonal pairs are computed in `special.WORK`, dense ones diagonalised in float64.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from jsgmath import special


class Pair(NamedTuple):
    """The scalars of `formula.py`, one per direction: shape ``(..., n)``."""

    log_r1: np.ndarray
    r1: np.ndarray
    r2: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    d1: np.ndarray
    d2: np.ndarray

    def exchanged(self):
        """The same pair with N1 and N2 exchanged."""
        return Pair(-self.log_r1, self.r2, self.r1, self.e2, self.e1, self.d2, self.d1)


def common_batch(N1, N2):
    """The batch shape to which both broadcast, or a ValueError that says why they make no pair."""
    if N1.dim != N2.dim:
        raise ValueError(f"N1 has dimension {N1.dim} but N2 has {N2.dim}; divergences need equal dimensions")
    try:
        return np.broadcast_shapes(N1.batch_shape, N2.batch_shape)
    except ValueError:
        raise ValueError(
            f"batch shapes {N1.batch_shape} of N1 and {N2.batch_shape} of N2 do not broadcast; make them equal or 1"
        ) from None


def canonical(N1, N2):
    """The `Pair` of two Gaussians of equal dimension."""
    if N1.is_diagonal and N2.is_diagonal:
        common_batch(N1, N2)
        return diagonal_pair(N1, N2)
    return dense_pair(N1, N2)[0]


def diagonal_pair(N1, N2):
    """Both scales diagonal: the directions are the coordinates."""
    (v1, i1), (v2, i2) = spread(N1), spread(N2)
    s1, s2 = N1.scale.astype(special.WORK), N2.scale.astype(special.WORK)
    if N1.form == N2.form == "logvar":
        log_r1, low = special.difference(s1, s2)
        low = np.where(np.abs(log_r1) < np.log(np.finfo(special.WORK).max), low, 0)
        r1, r2 = positive(np.exp(log_r1)), positive(np.exp(-log_r1))
        e1, e2 = np.expm1(log_r1) + low * r1, np.expm1(-log_r1) - low * r2
        r1, r2 = positive(r1 + low * r1), positive(r2 - low * r2)
        # Where a ratio was cut off, the displacements follow it, so that the pair stays consistent.
        i1, i2 = np.minimum(i1, i2 * np.sqrt(r2)), np.minimum(i2, i1 * np.sqrt(r1))
    else:
        difference = (s1 - s2) * (s1 + s2) if N1.form == N2.form == "std" else v1 - v2
        r1, r2 = positive(v1 / v2), positive(v2 / v1)
        e1, e2 = difference / v2, -difference / v1
        log_r1 = np.log(r1)
    delta = N1.mean.astype(special.WORK) - N2.mean.astype(special.WORK)
    return Pair(log_r1, r1, r2, finite(e1), finite(e2), finite(delta * i1), finite(delta * i2))


def spread(N):
    """Variances and reciprocal standard deviations of a diagonal Gaussian."""
    scale = N.scale.astype(special.WORK)
    if N.form == "logvar":
        return positive(np.exp(scale)), positive(np.exp(-scale / 2))
    if N.form == "std":
        return scale * scale, 1 / scale
    return scale, 1 / np.sqrt(scale)


def finite(x):
    """``x`` with an overflow replaced by the largest number, so that a weight of zero makes it zero."""
    largest = np.finfo(x.dtype).max
    return np.clip(x, -largest, largest)


def positive(x):
    """Likewise for ``x > 0``, and with an underflow replaced by the smallest normal number."""
    return np.maximum(finite(x), np.finfo(x.dtype).tiny)


def dense_pair(N1, N2):
    """The `Pair`, and the basis ``A`` with ``S1 = A diag(r1) A^T``, ``S2 = A A^T`` and ``m1 - m2 = A d2``."""
    batch, n = common_batch(N1, N2), N1.dim
    N1, N2 = N1.astype(np.float64), N2.astype(np.float64)
    form = N1.form if N1.form == N2.form and N1.form in ("scale_tril", "precision") else "cov"
    operands = []
    for N in (N1, N2):
        matrix, factor = (N.precision, N.factor) if form == "precision" else (N.cov, N.scale_tril)
        operands += [np.broadcast_to(a, (*batch, n, n)) for a in (matrix, factor)]
    delta = np.broadcast_to(N1.mean - N2.mean, (*batch, n))
    pair, basis = np.empty((len(Pair._fields), *batch, n), special.WORK), np.empty((*batch, n, n))
    for index in np.ndindex(batch):
        pair[:, *index], basis[index] = diagonalise(form, *(a[index] for a in (*operands, delta)))
    return Pair(*pair), basis


def diagonalise(form, matrix1, factor1, matrix2, factor2, delta):
    """One dense pair, by the whitening that loses least.

    In the whitening of N2 the excesses of N1 are the eigenvalues of a difference, whose error does not grow as
    the two approach each other; 1 + e is sound while e > -1/2.  Otherwise N2 is taken in the whitening of N1, and
    when neither holds the two are far apart and the singular values of ``factor2^-1 factor1`` serve.
    """
    if (near := eigenvalues(excess(form, matrix1, factor1, matrix2, factor2))) is not None:
        return assemble(form, factor2, delta, *near)
    if (near := eigenvalues(excess(form, matrix2, factor2, matrix1, factor1))) is not None:
        pair, basis = assemble(form, factor1, delta, *near)
        return pair.exchanged(), basis * np.sqrt(pair.r1).astype(float)
    vectors, s, _ = np.linalg.svd(solve_triangular(factor2, factor1, lower=True))
    s = s.astype(special.WORK)
    return assemble(form, factor2, delta, vectors, s * s, (s - 1) * (s + 1), (1 / s - 1) * (1 / s + 1))


def eigenvalues(matrix):
    """Of an excess: vectors, ``1 + e``, ``e`` and ``-e/(1 + e)``; None where an entry overflowed or some e <= -1/2."""
    if not np.isfinite(matrix).all():
        return None
    e, vectors = np.linalg.eigh(matrix)
    return (vectors, 1 + e, e, -e / (1 + e)) if e[0] > -0.5 else None


def excess(form, matrix1, factor1, matrix2, factor2):
    """``factor2^-1 matrix1 factor2^-T - I``, from a difference."""
    if form == "scale_tril":
        x = solve_triangular(factor2, factor1 - factor2, lower=True, check_finite=False)
        return x + x.T + x @ x.T
    half = solve_triangular(factor2, matrix1 - matrix2, lower=True, check_finite=False)
    e = solve_triangular(factor2, half.T, lower=True, check_finite=False)
    return (e + e.T) / 2


def assemble(form, factor, delta, vectors, r, e, inverse_e):
    """The `Pair` and the basis from the eigenvalues ``r = 1 + e`` of one matrix in the whitening of the other."""
    r, e, inverse_e = (x.astype(special.WORK) for x in (r, e, inverse_e))
    if form == "precision":
        d2 = vectors.T @ (factor.T @ delta)
        basis = solve_triangular(factor, vectors, lower=True, trans=1)
        return Pair(-np.log(r), 1 / r, r, inverse_e, e, d2 * np.sqrt(r), d2), basis
    d2 = vectors.T @ solve_triangular(factor, delta, lower=True)
    return Pair(np.log(r), r, 1 / r, e, inverse_e, d2 / np.sqrt(r), d2), factor @ vectors
