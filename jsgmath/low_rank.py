r"""Gaussians whose covariance is ``D + W W^T``, D diagonal, W of few columns; no matrix of n rows and n columns.

In units in which the D of N2 is the identity, let ``S1 = I + E + U U^T`` and ``S2 = I + V V^T``.  With the Cholesky
factor L of ``I + V^T V`` the matrix ``H = I - V B V^T``, ``B = L^-T (L + I)^-1``, is a root of ``S2^-1 = H H^T``
[3], and what `formula.py` calls e1 and k1 are

    M = H^T (S1 - S2) H = E + Y T Y^T,      K = I + w M = (I + w E) + w Y T Y^T

with Y of few columns and a small matrix T (`excess`).  Every part of M vanishes where the Gaussians are equal.  By the
determinant lemma, with ``Z = I + w E`` and ``A = w T Y^T Z^-1 Y``,

    tr(w M) - log det K         = sum g(w E)  + tr g(A)  + w^2 tr(T Y^T (E/Z) Y)
    tr(K^-1 - I) + log det K    = sum gs(w E) + tr gs(A) + w^2 tr((I + A)^-1 T Y^T (E/Z^2) Y)

where nothing of first order in the difference is left to cancel.

[3] Andrews 1968, A square root formulation of the Kalman covariance equations
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np

from jsgmath import formula, special
from jsgmath.arithmetic import Arithmetic, Array, arithmetic, library_of
from jsgmath.distribution import Distribution
from jsgmath.hints import Convention

Parts = tuple[Array, Array, Array]  # mean, factor, diagonal
FAR = 64  # times a result is what it is the difference of


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
    # Of none it is 1: derivatives do not vanish with the difference.
    size_E, size_W = (x + (x == 0) for x in (column(m.size(column(E))), column(m.size(difference))))
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


def twice_kl(
    m: Matrices, kernel: Any, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool
) -> tuple[Array, Array]:
    """``2 KL(N1||G)``, or of the dual ``2 KL(G||N1)``, and whether it lost digits.

    G's weights have the shape ``(..., 1)``.
    """
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
    value = diagonal + small + crossed
    far = diagonal + small > FAR * abs(value)

    # kappa = (g1 S2 + g2 S1)^-1 (m1 - m2): G is S1 kappa g2 away from N1.
    R, weights = m.concatenate([V, U]), column(m.concatenate([0 * V[..., 0, :] + g1, 0 * U[..., 0, :] + g2]))
    RZ = R / column(Z)
    system = m.eye(R.shape[-1], R) + (R.mT @ RZ) * weights.mT
    onto = m.solve(system, RZ.mT @ delta)  # R^T kappa, from which kappa would have to be subtracted to be found
    kappa = (delta - R @ (weights * onto)) / column(Z)
    projected = onto[..., V.shape[-1] :, :]
    square = (column(r) * kappa * kappa).sum((-2, -1)) + (projected * projected).sum((-2, -1))
    g1, g2 = g1[..., 0], g2[..., 0]
    if dual:
        return value + g2 * g2 * square, far
    moved = column(r) * kappa + U @ projected
    moved = moved - V @ (B.mT @ (V.mT @ moved))
    return value + g2 * (g2 * (g1 * square + g2 * (moved * moved).sum((-2, -1)))), far


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

    def expanded(self, other: Self, alphas: tuple[int, ...]) -> Parts:
        """In float64, in the common batch of both and of alphas, and of the larger rank."""
        m, library = matrices(self.library), self.arithmetic
        (n, k), n2 = self.factor.shape[-2:], other.factor.shape[-2]
        if n != n2:
            raise ValueError(f"one Gaussian has dimension {n} but the other {n2}; divergences need equal dimensions")
        batch = np.broadcast_shapes(self.batch_shape, other.batch_shape, tuple(alphas))
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        mean, factor, diagonal = (library.broadcast(m.double(x), (*batch, *x.shape[-axes:])) for x, axes in arrays)
        zeros = m.zeros((*batch, n, max(other.factor.shape[-1] - k, 0)), mean)
        return mean, m.concatenate([factor, zeros]), diagonal

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG, or its dual, of two batches of one library, computed in float64."""
        w1, w2, g1, g2 = self.weights("alpha", alpha, convention)
        first, second = self.expanded(other, w1.shape), other.expanded(self, w1.shape)
        with np.errstate(all="ignore"):
            twice1 = self.twice_kl(first, second, column(g1), column(g2), dual)
            twice2 = self.twice_kl(second, first, column(g2), column(g1), dual)
            value = formula.skew(w1, w2, twice1 / 2, twice2 / 2)
        value = self.arithmetic.where(value < 0, 0.0, value)  # of equal ones rounding may leave less
        return self.arithmetic.rounded(value, self.arithmetic.result_type(*self.arrays(), *other.arrays()))

    def twice_kl(self, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool) -> Array:
        """`twice_kl` by the way that keeps more digits: to ``KL(G||N1)`` through G itself, where G is far from N1."""
        m, library = matrices(self.library), self.arithmetic
        value, far = twice_kl(m, library.gs if dual else library.g, first, second, g1, g2, dual)
        if not dual:
            return value
        N1, N2 = type(self)(*first), type(self)(*second)
        G = self.product([N1, N2], [g1[..., 0], g2[..., 0]])
        sides = G.expanded(N1, ()), N1.expanded(G, ())
        through_mean, _ = twice_kl(m, library.g, *sides, 0 * g1, 0 * g1 + 1, dual=False)
        return library.where(far, through_mean, value)

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean: its covariance is diagonal but for the two ranks together."""
        _, _, g1, g2 = self.weights("weight", weight, "nielsen")
        return self.product([self, other], [g1, g2])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members: its rank is the sum of theirs."""
        first = members[0]
        m, library = matrices(first.library), first.arithmetic
        weights = [column(m.double(w)) for w in weights]
        arrays = [[m.double(x) for x in N.arrays()] for N in members]
        halves = [half_of_lack(m, W, D) for _, W, D in arrays]
        inverse = sum(w / D for w, (_, _, D) in zip(weights, arrays, strict=True))
        delta = [column(mean - arrays[0][0]) for mean, _, _ in arrays]
        force = sum(
            column(w) * (d / column(D) - h @ (h.mT @ d))
            for w, (_, _, D), h, d in zip(weights, arrays, halves, delta, strict=True)
        )
        # G's precision is diagonal less A A^T.
        batch = np.broadcast_shapes(*(tuple((column(w) * h).shape[:-2]) for w, h in zip(weights, halves, strict=True)))
        positive = (library.where(w > 0, w, 1.0) for w in weights)  # a root has no derivative at 0
        roots = (column((w > 0) * x**0.5) for w, x in zip(weights, positive, strict=True))
        scaled = [root * h for root, h in zip(roots, halves, strict=True)]
        A = m.concatenate([library.broadcast(h, (*batch, *h.shape[-2:])) for h in scaled])
        R = m.cholesky(m.eye(A.shape[-1], A) - A.mT @ (A / column(inverse)))
        factor = m.solve(R, (A / column(inverse)).mT).mT
        mean = arrays[0][0] + (force / column(inverse) + factor @ (factor.mT @ force))[..., 0]
        dtypes = (library.result_type(*same) for same in zip(*(N.arrays() for N in members), strict=True))
        parts = zip((mean, factor, 1 / inverse), dtypes, strict=True)
        return cls(*(library.rounded(x, dtype) for x, dtype in parts))

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


def half_of_lack(m: Matrices, W: Array, D: Array) -> Array:
    """The h with ``(D + W W^T)^-1 = 1/D - h h^T``."""
    scaled = W / column(D)
    L = m.cholesky(m.eye(W.shape[-1], W) + W.mT @ scaled)
    return m.solve(L, scaled.mT).mT
