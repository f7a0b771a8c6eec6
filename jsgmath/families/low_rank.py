r"""Gaussians whose covariance is ``D + W W^T``, D diagonal, W of few columns; no matrix of n rows and n columns.

In units in which the D of N2 is the identity, let ``S1 = I + E + U U^T`` and ``S2 = I + V V^T``.  With the Cholesky
factor L of ``I + V^T V`` the matrix ``H = I - V B V^T``, ``B = L^-T (L + I)^-1``, is a root of ``S2^-1 = H H^T``
[3], and what `formula.py` calls e1 and k1 are

    M = H^T (S1 - S2) H = E + Y T Y^T,      K = I + w M = (I + w E) + w Y T Y^T

with Y of few columns and a small matrix T (`excess`).  Every part of M vanishes where the Gaussians are equal.  By the
determinant lemma, with ``Z = I + w E`` and ``A = w T Y^T Z^-1 Y``,

    tr(w M) - log det K         = sum g(w E)  + tr g(A)  + w^2 tr(T Y^T (E/Z) Y)
    tr(K^-1 - I) + log det K    = sum gs(w E) + tr gs(A) + w^2 tr((I + A)^-1 T Y^T (E/Z^2) Y)

where nothing of first order in the difference is left to cancel.  Far from each other they do lose digits, and there
the trace and the determinants themselves are taken.

Accuracy: that of float64 times ``max(W^2/D)``, at most, or the root of it; between covariances that are near-equal by
factors that are not, only to that of their difference (``tests/torch/test_low_rank.py``).

[3] Andrews 1968, A square root formulation of the Kalman covariance equations
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np

from jsgmath import formula, special
from jsgmath.families.arithmetic import Arithmetic, Array, arithmetic, library_of
from jsgmath.families.distribution import Distribution
from jsgmath.hints import Convention

Parts = tuple[Array, Array, Array]  # mean, factor, diagonal
FAR = 1 / 16  # of a divergence that no eigenvalue of M near -1 leaves so small
TINY = 1e-200  # beside any weight


@dataclass(frozen=True)
class Matrices:
    """What is done with matrices, in float64 of NumPy or torch."""

    double: Callable[[Any], Any]
    eye: Callable[[int, Any], Any]
    """``(n, like)``"""
    zeros: Callable[[Any, Any], Any]
    """``(shape, like)``"""
    cholesky: Callable[[Any], Any]
    solve: Callable[[Any, Any], Any]
    logdet: Callable[[Any], Any]
    concatenate: Callable[[Any], Any]
    """Along the last axis."""
    size: Callable[[Any], Any]
    """Of each matrix the largest magnitude, with a last axis; a constant to derivatives."""
    spectral: Callable[[Any, Any, Any, bool], Any]
    """``(A, gram, Y, dual)``: the sum of g, or gs, over the eigenvalues of ``A gram``, gram being ``Y^T Y``."""


def spectral(A: np.ndarray, gram: np.ndarray, Y: np.ndarray, dual: bool) -> np.ndarray:
    # R's columns are right to the last digits where gram's root would lose half of them.
    R: Any = np.linalg.qr(Y, mode="r")
    x = np.linalg.eigvalsh(R @ A @ R.swapaxes(-1, -2))
    x = np.maximum(x, np.finfo(float).eps - 1)  # 1 + x is positive but for rounding
    return special.numpy_kernel(special.gs if dual else special.g)(x, 1 + x, 1 + x, 0.0).sum(-1)


def size(matrix: np.ndarray) -> np.ndarray:
    return np.abs(matrix).max((-2, -1), initial=0)[..., None]


@cache
def matrices(library: str) -> Matrices:
    if library == "torch":
        from jsgmath.torch.low_rank import TORCH

        return TORCH
    return Matrices(
        double=lambda x: np.asarray(x, np.float64),
        eye=lambda n, like: np.eye(n),
        zeros=lambda shape, like: np.zeros(shape),
        cholesky=np.linalg.cholesky,
        solve=np.linalg.solve,
        logdet=lambda x: np.linalg.slogdet(x)[1],
        concatenate=lambda arrays: np.concatenate(arrays, -1),
        size=size,
        spectral=spectral,
    )


def column(x: Array) -> Array:
    return x[..., None]


def root_of_inverse(m: Matrices, V: Array) -> Array:
    """The B with ``(I - V B V^T)(I - V B V^T)^T = (I + V V^T)^-1``."""
    eye = m.eye(V.shape[-1], V)
    L = m.cholesky(eye + V.mT @ V)
    return m.solve(L.mT, m.solve(L + eye, 0 * L + eye))  # torch takes a lone eye for vectors where there are n of L


def excess(m: Matrices, E: Array, V: Array, difference: Array, total: Array, B: Array) -> tuple[Array, Array]:
    """Y and T, with ``H^T (E + U U^T - V V^T) H = E + Y T Y^T``; U is given by ``U - V`` and ``U + V``."""

    def mapped(X: Array) -> Array:  # by H^T
        return X - V @ (B.mT @ (V.mT @ X))

    # Both are brought to a size of about one, so that T is as small as the difference throughout.
    # Of none it is the other's, or 1: derivatives do not vanish with the difference.
    of_E, of_W = column(m.size(column(E))), column(m.size(difference))
    size_E, size_W = (x + (x == 0) * (y + (y == 0)) for x, y in ((of_E, of_W), (of_W, of_E)))
    EV = column(E) / size_E * V
    Y = m.concatenate([V, EV, mapped(difference / size_W), mapped(total)])
    inner = B.mT @ (V.mT @ EV) @ B * size_E
    zero = 0 * inner
    half = zero + m.eye(V.shape[-1], V) * size_W / 2
    columns = (  # of a symmetric matrix
        [inner, -B * size_E, zero, zero],
        [-B.mT * size_E, zero, zero, zero],
        [zero, zero, zero, half],
        [zero, zero, half, zero],
    )
    return Y, m.concatenate([m.concatenate([x.mT for x in blocks]).mT for blocks in columns])


def twice_kl(m: Matrices, library: Arithmetic, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool) -> Array:
    """``2 KL(N1||G)``, or of the dual ``2 KL(G||N1)``, with G's weights, of shape ``(..., 1)``."""
    kernel = library.gs if dual else library.g
    (mean1, W1, D1), (mean2, W2, D2) = first, second
    unit = D2**-0.5
    E, r = (D1 - D2) / D2, D1 / D2
    U, V, delta = column(unit) * W1, column(unit) * W2, column(unit * (mean1 - mean2))
    B = root_of_inverse(m, V)
    Y, T = excess(m, E, V, column(unit) * (W1 - W2), U + V, B)

    Z = g1 + g2 * r
    A = column(g2) * T
    Y = Y / column(Z**0.5)
    gram = Y.mT @ Y
    if dual:
        inner = m.solve(m.eye(A.shape[-1], A) + A @ gram, A)
        crossed = (inner * (Y.mT @ (column(g2 * E / Z) * Y))).sum((-2, -1))
    else:
        crossed = (A * (Y.mT @ (column(g2 * E) * Y))).sum((-2, -1))
    diagonal, small = kernel(g2 * E, Z, Z, 0.0).sum(-1), m.spectral(A, gram, Y, dual)

    # kappa = (g1 S2 + g2 S1)^-1 (m1 - m2): G is S1 kappa g2 away from N1.
    R, of_1, of_2 = m.concatenate([V, U]), 0 * V[..., 0, :] + g1, 0 * V[..., 0, :] + g2
    RZ, weights = R / column(Z), column(m.concatenate([of_1, of_2]))
    system = m.eye(R.shape[-1], R) + (R.mT @ RZ) * weights.mT
    onto = m.solve(system, RZ.mT @ delta)  # R^T kappa, from which kappa would have to be subtracted to be found
    kappa = (delta - R @ (weights * onto)) / column(Z)
    projected = onto[..., V.shape[-1] :, :]
    square = (column(r) * kappa * kappa).sum((-2, -1)) + (projected * projected).sum((-2, -1))

    # Far from each other these lose less than the sum above: a trace and determinants of positive matrices.
    far = (small > FAR) | (library.largest(abs(g2 * E))[..., 0] > 0.5)
    logdet = m.logdet(system) - m.logdet(m.eye(V.shape[-1], V) + V.mT @ V)  # of K, but for log Z
    g1, g2 = g1[..., 0], g2[..., 0]
    if dual:
        # In units of N1 the covariance of G is 1/Z + Q (I + N^T N/Z w)^-1 w' Q^T, with N = [U, -V] and weights w, w'.
        own = U / column(r**0.5)
        B1 = root_of_inverse(m, own)
        Q = m.concatenate([own, column(r**0.5) * V]) / column(Z)
        P = Q - own @ (B1.mT @ (own.mT @ Q))
        N = m.concatenate([U, -V])
        balance = m.eye(N.shape[-1], N) + (N.mT @ (N / column(Z))) * column(m.concatenate([of_2, of_1])).mT
        shares = m.solve(balance, column(m.concatenate([of_1, of_2])) * (P.mT @ P))
        trace = (shares * m.eye(N.shape[-1], N)).sum((-2, -1)) - (leverage(m, own) / Z).sum(-1)
        return library.where(far, diagonal + trace + logdet, diagonal + small + crossed) + g2 * g2 * square
    HU = U - V @ (B.mT @ (V.mT @ U))
    trace = (HU * HU).sum((-2, -1)) - (r * leverage(m, V)).sum(-1)
    moved = column(r) * kappa + U @ projected
    moved = moved - V @ (B.mT @ (V.mT @ moved))
    quadratic = g2 * (g2 * (g1 * square + g2 * (moved * moved).sum((-2, -1))))
    return library.where(far, diagonal + g2 * trace - logdet, diagonal + small + crossed) + quadratic


def leverage(m: Matrices, V: Array) -> Array:
    """The diagonal of ``V (I + V^T V)^-1 V^T``."""
    return (V * m.solve(m.eye(V.shape[-1], V) + V.mT @ V, V.mT).mT).sum(-1)


def pair_product(m: Matrices, first: Parts, second: Parts, g1: Array, g2: Array) -> Parts:
    """The geometric mean: with ``t = g1 D2 + g2 D1`` and ``N = [sqrt(g2) W1, -sqrt(g1) W2]`` its covariance is

        D1 D2/t + Q (I + N^T N/t)^-1 Q^T,        Q = [sqrt(g1) D2/t W1, sqrt(g2) D1/t W2]

    where nothing is subtracted.
    """
    (mean1, W1, D1), (mean2, W2, D2) = first, second
    root1, root2 = (column((g + TINY * m.double(g == 0)) ** 0.5) for g in (g1, g2))  # at 0 a root has no derivative
    t = g1 * D2 + g2 * D1
    N = m.concatenate([root2 * W1, -root1 * W2])
    L = m.cholesky(m.eye(N.shape[-1], N) + N.mT @ (N / column(t)))
    Q = m.concatenate([root1 * (column(D2 / t) * W1), root2 * (column(D1 / t) * W2)])
    # m1 + g2 S1 kappa, kappa being (g1 S2 + g2 S1)^-1 (m2 - m1)
    R, weights = m.concatenate([W2, W1]), column(m.concatenate([0 * W2[..., 0, :] + g1, 0 * W1[..., 0, :] + g2]))
    delta, RT = column(mean2 - mean1), R / column(t)
    onto = m.solve(m.eye(R.shape[-1], R) + (R.mT @ RT) * weights.mT, RT.mT @ delta)
    kappa = (delta - R @ (weights * onto)) / column(t)
    mean = mean1 + g2 * (column(D1) * kappa + W1 @ onto[..., W2.shape[-1] :, :])[..., 0]
    return mean, m.solve(L, Q.mT).mT, D1 * D2 / t


class LowRank(Distribution):
    """Means ``(..., n)``, factors ``W`` of shape ``(..., n, k)`` and diagonals D, ``(..., n)``, of NumPy or torch."""

    mean: Array
    factor: Array
    diag: Array
    library: str

    def __init__(self, mean: Array, factor: Array, diagonal: Array):
        self.mean, self.factor, self.diag = mean, factor, diagonal
        self.library = library_of(mean) or "NumPy"

    @classmethod
    def diagonal(cls, mean: Array, std: Array) -> Self:
        """One of rank 0."""
        return cls(mean, 0 * std[..., None][..., :0], std * std)

    @property
    def arithmetic(self) -> Arithmetic:
        return arithmetic(self.library)

    def covariance(self) -> Array:
        """All of it, ``(..., n, n)``."""
        eye = matrices(self.library).eye(self.diag.shape[-1], self.diag)
        return self.factor @ self.factor.mT + self.diag[..., None] * eye

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.mean.shape[:-1], self.factor.shape[:-2], self.diag.shape[:-1])

    def expanded(self, other: Self, alphas: tuple[int, ...], same_rank: bool = True) -> Parts:
        """In float64, in the common batch of both and of alphas, and of the larger rank."""
        m, library = matrices(self.library), self.arithmetic
        (n, k), n2 = self.factor.shape[-2:], other.factor.shape[-2]
        if n != n2:
            raise ValueError(f"one Gaussian has dimension {n} but the other {n2}; divergences need equal dimensions")
        batch = np.broadcast_shapes(self.batch_shape, other.batch_shape, tuple(alphas))
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        mean, factor, diagonal = (library.broadcast(m.double(x), (*batch, *x.shape[-axes:])) for x, axes in arrays)
        if not same_rank:
            return mean, factor, diagonal
        zeros = m.zeros((*batch, n, max(other.factor.shape[-1] - k, 0)), mean)
        return mean, m.concatenate([factor, zeros]), diagonal

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG, or its dual, of two batches of one library, computed in float64."""
        m = matrices(self.library)
        w1, w2, g1, g2 = self.weights("alpha", alpha, convention)
        first, second = self.expanded(other, w1.shape), other.expanded(self, w1.shape)
        with self.arithmetic.quiet():
            twice1 = twice_kl(m, self.arithmetic, first, second, column(g1), column(g2), dual)
            twice2 = twice_kl(m, self.arithmetic, second, first, column(g2), column(g1), dual)
            value = formula.skew(w1, w2, twice1 / 2, twice2 / 2)
        value = self.arithmetic.where(value < 0, 0.0, value)  # of equal ones rounding may leave less
        return self.arithmetic.rounded(value, self.arithmetic.result_type(*self.arrays(), *other.arrays()))

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean: its covariance is diagonal but for the two ranks together."""
        _, _, g1, g2 = self.weights("weight", weight, "nielsen")
        return self.product([self, other], [g1, g2])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members: its rank is the sum of theirs."""
        first = members[0]
        m, library = matrices(first.library), first.arithmetic
        shape = np.broadcast_shapes(*(tuple(w.shape) for w in weights))
        G, so_far = first.expanded(first, shape), m.double(weights[0])
        for N, weight in zip(members[1:], weights[1:], strict=True):
            so_far, share = so_far + m.double(weight), m.double(weight)
            share = share / (so_far + (so_far == 0))
            sides = cls(*G).expanded(N, shape, same_rank=False), N.expanded(cls(*G), shape, same_rank=False)
            G = pair_product(m, *sides, column(1 - share), column(share))
        dtypes = (library.result_type(*same) for same in zip(*(N.arrays() for N in members), strict=True))
        return cls(*(library.rounded(x, dtype) for x, dtype in zip(G, dtypes, strict=True)))

    def held(self) -> Any:
        if self.library != "torch":
            return self
        from torch.distributions import LowRankMultivariateNormal

        return LowRankMultivariateNormal(*self.arrays())

    def arrays(self) -> Parts:
        return self.mean, self.factor, self.diag

    def weights(self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        m, library = matrices(self.library), self.arithmetic
        alpha = library.weight(name, alpha, self.mean)
        w1, w2 = (m.double(library.array(w, self.mean)) for w in (1 - alpha, alpha))
        g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
        return w1, w2, g1, g2
