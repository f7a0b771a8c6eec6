r"""Gaussians with covariance ``D + W W^T``: D diagonal, W with few columns.  No n-by-n matrix is formed.

In units in which the D of N2 is the identity, let ``S1 = I + E + U U^T`` and ``S2 = I + V V^T``.  With the Cholesky
factor L of ``I + V^T V`` the matrix ``H = I - V B V^T``, ``B = L^-T (L + I)^-1``, satisfies ``S2^-1 = H H^T`` [3].  The
matrices that correspond to e1 and k1 in `formula.py` are

    M = H^T (S1 - S2) H = E + Y T Y^T,      K = I + w M = (I + w E) + w Y T Y^T

where Y has few columns and T is small (`excess`).  Every part of M vanishes if the Gaussians are equal.  By the
determinant lemma, with ``Z = I + w E`` and ``A = w T Y^T Z^-1 Y``,

    tr(w M) - log det K         = sum g(w E)  + tr g(A)  + w^2 tr(T Y^T (E/Z) Y)
    tr(K^-1 - I) + log det K    = sum gs(w E) + tr gs(A) + w^2 tr((I + A)^-1 T Y^T (E/Z^2) Y)

and no terms of first order in the difference cancel.  For Gaussians that are far apart these sums lose digits, and the
trace and the determinants are computed directly instead.

Accuracy: in NumPy, values are correctly rounded for factors that have together up to 200 columns, in any number of
dimensions, and in up to 200 dimensions for any factors (``tests/rounding/test_nearest_low_rank.py``).  The core
takes W and D of up to 100 dimensions, and whole numbers the rest.  Beyond, and in torch, all is computed in float64;
the relative error is the epsilon of float64 times at most ``max(W^2/D)``, or its square root; with at least as many
columns as rows it is a small multiple of epsilon (`twice_kl_of_wide`).  For covariances that are nearly equal although
their factors differ, it is relative to the difference of the factors (``tests/torch/test_low_rank.py``).

[3] Andrews 1968, A square root formulation of the Kalman covariance equations
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Sequence
from numbers import Real
from typing import Any, Protocol, Self

import numpy as np

from jsgmath import formula, special
from jsgmath.checks import check_dimensions, check_pair, common_shape, weight_array
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, library_of, total
from jsgmath.families.normal import Normal
from jsgmath.gaussian import Gaussian
from jsgmath.hints import Convention
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.of_pairs import nearest_values

Parts = tuple[Array, Array, Array]  # mean, factor, diagonal
FAR = 1 / 16  # if the sum over the eigenvalues exceeds this, an eigenvalue of M may be near -1
ROUNDED_UP_TO = 200  # columns of both factors, or dimensions if they are fewer; beyond, whole numbers take seconds
SURELY_FAR = 1.0  # if twice KL exceeds this, the other formula need not be computed
TINY = 1e-200  # negligible compared with any weight


class Small(Protocol):
    """What depends on the library: a sum over eigenvalues, and whether a condition is known to hold everywhere."""

    def spectral(self, A: Array, gram: Array, Y: Array, dual: bool) -> Array: ...

    def certain(self, condition: Array) -> bool: ...


def double(m: Arithmetic, x: Array) -> Array:
    return m.rounded(x, m.xp.float64)


def eye(m: Arithmetic, n: int, like: Array) -> Array:
    return m.xp.eye(n, dtype=like.dtype, device=like.device)


def concatenate(m: Arithmetic, arrays: Sequence[Array]) -> Array:
    """Concatenates along the last axis."""
    return m.xp.concatenate(arrays, -1)


def size(m: Arithmetic, matrix: Array) -> Array:
    """The largest magnitude in each matrix, with a last axis of length 1; 0 if it has no entries."""
    if 0 in matrix.shape:
        return m.xp.zeros((*matrix.shape[:-2], 1), dtype=matrix.dtype, device=matrix.device)
    return m.xp.amax(abs(m.constant(matrix)), (-2, -1))[..., None]


def logdet(m: Arithmetic, matrix: Array) -> Array:
    return m.xp.linalg.slogdet(matrix)[1]


def triangular(m: Arithmetic, root: Array) -> Array:
    """The lower triangular L of positive diagonal with ``L L^T = root root^T``."""
    R = m.xp.linalg.qr(root.mT)[1]
    pivots = (R * eye(m, R.shape[-1], R)).sum(-1)
    return (R * m.where(pivots < 0, -1.0, 1.0)[..., None]).mT


def solve_triangular(m: Arithmetic, T: Array, X: Array, upper: bool) -> Array:
    if m.library == "torch":
        return m.xp.linalg.solve_triangular(T, X, upper=upper)
    import scipy.linalg  # here, because it takes long

    if 0 in X.shape:
        return X
    batch = np.broadcast_shapes(T.shape[:-2], X.shape[:-2])
    T, X = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (T, X))
    solve: Any = scipy.linalg.solve_triangular
    return solve(T, X, lower=not upper)


def column(x: Array) -> Array:
    return x[..., None]


def root_of_inverse(m: Arithmetic, V: Array) -> Array:
    """B such that ``(I - V B V^T)(I - V B V^T)^T = (I + V V^T)^-1``."""
    identity = eye(m, V.shape[-1], V)
    L, solve = m.xp.linalg.cholesky(identity + V.mT @ V), m.xp.linalg.solve
    # 0 * L gives the identity the batch shape of L: for a batch of n matrices L, torch takes a single n-by-n matrix for
    # n vectors.
    return solve(L.mT, solve(L + identity, 0 * L + identity))


def excess(m: Arithmetic, E: Array, V: Array, difference: Array, total: Array, B: Array) -> tuple[Array, Array]:
    """Y and T such that ``H^T (E + U U^T - V V^T) H = E + Y T Y^T``; ``difference`` is U - V and ``total`` is U + V."""

    def mapped(X: Array) -> Array:
        """``H^T X``"""
        return X - V @ (B.mT @ (V.mT @ X))

    # E and the difference are scaled to a size of about one, so that every entry of T is as small as the difference.
    # Where one of them vanishes it gets the scale of the other, or 1, because its derivatives do not vanish.
    of_E, of_W = column(size(m, column(E))), column(size(m, difference))
    size_E, size_W = (x + (x == 0) * (y + (y == 0)) for x, y in ((of_E, of_W), (of_W, of_E)))
    EV = column(E) / size_E * V
    Y = concatenate(m, [V, EV, mapped(difference / size_W), mapped(total)])
    inner = B.mT @ (V.mT @ EV) @ B * size_E
    zero = 0 * inner
    half = zero + eye(m, V.shape[-1], V) * size_W / 2
    blocks = (  # by columns; the matrix is symmetric
        [inner, -B * size_E, zero, zero],
        [-B.mT * size_E, zero, zero, zero],
        [zero, zero, zero, half],
        [zero, zero, half, zero],
    )
    return Y, concatenate(m, [concatenate(m, [x.mT for x in parts]).mT for parts in blocks])


def twice_kl(m: Arithmetic, small: Small, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool) -> Array:
    """``2 KL(N1||G)``, or ``2 KL(G||N1)`` if dual, for the weights g1, g2 of shape ``(..., 1)``."""
    kernel = m.gs if dual else m.g
    (mean1, W1, D1), (mean2, W2, D2) = first, second
    unit = D2**-0.5
    E, r = (D1 - D2) / D2, D1 / D2
    U, V, delta = column(unit) * W1, column(unit) * W2, column(unit * (mean1 - mean2))
    B = root_of_inverse(m, V)
    Z = g1 + g2 * r
    diagonal = kernel(g2 * E, Z, Z, 0.0).sum(-1)

    # With kappa = (g1 S2 + g2 S1)^-1 (m1 - m2), the mean of G is m1 - g2 S1 kappa.
    R, of_1, of_2 = concatenate(m, [V, U]), 0 * V[..., 0, :] + g1, 0 * V[..., 0, :] + g2
    RZ, weights = R / column(Z), column(concatenate(m, [of_1, of_2]))
    system = eye(m, R.shape[-1], R) + (R.mT @ RZ) * weights.mT
    onto = m.xp.linalg.solve(system, RZ.mT @ delta)  # R^T kappa, without a subtraction
    kappa = (delta - R @ (weights * onto)) / column(Z)
    projected = onto[..., V.shape[-1] :, :]
    square = (column(r) * kappa * kappa).sum((-2, -1)) + (projected * projected).sum((-2, -1))

    # If the two are far apart, a trace and determinants of positive matrices are more accurate than the sum below.
    logdet_K = logdet(m, system) - logdet(m, eye(m, V.shape[-1], V) + V.mT @ V)  # without the part log Z
    if dual:
        # In units of N1 the covariance of G is 1/Z + Q (I + N^T N/Z w)^-1 w' Q^T, with N = [U, -V] and weights w, w'.
        own = U / column(r**0.5)
        B1 = root_of_inverse(m, own)
        Q = concatenate(m, [own, column(r**0.5) * V]) / column(Z)
        P = Q - own @ (B1.mT @ (own.mT @ Q))
        N = concatenate(m, [U, -V])
        balance = eye(m, N.shape[-1], N) + (N.mT @ (N / column(Z))) * column(concatenate(m, [of_2, of_1])).mT
        shares = m.xp.linalg.solve(balance, column(concatenate(m, [of_1, of_2])) * (P.mT @ P))
        trace = (shares * eye(m, N.shape[-1], N)).sum((-2, -1)) - (leverage(m, own) / Z).sum(-1)
        apart = diagonal + trace + logdet_K
        quadratic = g2[..., 0] * (g2[..., 0] * square)
    else:
        HU = U - V @ (B.mT @ (V.mT @ U))
        trace = (HU * HU).sum((-2, -1)) - (r * leverage(m, V)).sum(-1)
        apart = diagonal + g2[..., 0] * trace - logdet_K
        moved = column(r) * kappa + U @ projected
        moved = moved - V @ (B.mT @ (V.mT @ moved))
        quadratic = g2 * (g2 * (g1 * column(square) + g2 * (moved * moved).sum(-2)))
        quadratic = quadratic[..., 0]
    far = m.largest(abs(g2 * E))[..., 0] > 0.5
    if small.certain(far | (apart > SURELY_FAR)):
        return apart + quadratic

    Y, T = excess(m, E, V, column(unit) * (W1 - W2), U + V, B)
    A = column(g2) * T
    Y = Y / column(Z**0.5)
    gram = Y.mT @ Y
    if dual:
        inner = m.xp.linalg.solve(eye(m, A.shape[-1], A) + A @ gram, A)
        crossed = (inner * (Y.mT @ (column(g2 * E / Z) * Y))).sum((-2, -1))
    else:
        crossed = (A * (Y.mT @ (column(g2 * E) * Y))).sum((-2, -1))
    eigenvalues = small.spectral(A, gram, Y, dual)
    return m.where(far | (eigenvalues > FAR), apart, diagonal + eigenvalues + crossed) + quadratic


def twice_kl_of_wide(
    m: Arithmetic, small: Small, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool
) -> Array:
    """`twice_kl` for factors with at least as many columns as rows, by n-by-n matrices.

    The roots of the weights have no derivatives at 0; `twice_kl` provides those by the weights.

    With the Cholesky factor L of S2 in units of its D, ``M = L^-1 (S1 - S2) L^-T`` and ``P P^T = I + M``.  A factor of
    ``g1 I + g2 P P^T`` comes from ``[sqrt(g1) I, sqrt(g2) P]``, which keeps its digits at any condition.
    """
    by_weight: Any = 0.0
    if getattr(g1, "requires_grad", False):
        g, constant = (g1, g2), (m.constant(g1), m.constant(g2))
        by_weight = total(s * twice_kl(m, small, first, second, *x, dual) for s, x in ((1, g), (-1, constant)))
        g1, g2 = constant
    (mean1, W1, D1), (mean2, W2, D2) = first, second
    unit = column(D2**-0.5)
    identity = eye(m, W1.shape[-2], W1) + 0 * W1[..., :1]
    E, U, V = column((D1 - D2) / D2), unit * W1, unit * W2
    L = triangular(m, concatenate(m, [V, identity]))

    def mapped(X: Array) -> Array:
        return solve_triangular(m, L, X, upper=False)

    z = mapped(unit * column(mean1 - mean2))
    half = mapped(unit * (W1 - W2)) @ mapped(U + V).mT / 2
    M = half + half.mT + mapped(mapped(E * identity).mT).mT
    P = mapped(concatenate(m, [U, column((D1 / D2) ** 0.5) * identity]))
    root1, root2 = column(g1**0.5), column(g2**0.5)
    R = triangular(m, concatenate(m, [root1 * identity, root2 * P]))
    pivots = (R * identity).sum(-1)
    near = small.spectral(column(g2) * M, identity, identity, dual)
    logdet_K, n = 2 * m.log(pivots).sum(-1), W1.shape[-2]
    kappa = solve_triangular(m, R.mT, solve_triangular(m, R, z, upper=False), upper=True)
    p = P.mT @ kappa
    g1, g2 = g1[..., 0], g2[..., 0]
    inner = (p * p).sum((-2, -1))
    if dual:
        far, quadratic = (solve_triangular(m, R, identity, upper=False) ** 2).sum((-2, -1)) - n + logdet_K, inner
    else:
        far = g2 * ((P * P).sum((-2, -1)) - n) - logdet_K
        moved = P @ p
        quadratic = g1 * inner + g2 * (moved * moved).sum((-2, -1))
    return m.where(near > FAR, far, near) + g2 * (g2 * quadratic) + by_weight


def leverage(m: Arithmetic, V: Array) -> Array:
    """The diagonal of ``V (I + V^T V)^-1 V^T``."""
    return (V * m.xp.linalg.solve(eye(m, V.shape[-1], V) + V.mT @ V, V.mT).mT).sum(-1)


def pair_product(m: Arithmetic, first: Parts, second: Parts, g1: Array, g2: Array) -> Parts:
    """The geometric mean.  With ``t = g1 D2 + g2 D1`` and ``N = [sqrt(g2) W1, -sqrt(g1) W2]`` its covariance is

        D1 D2/t + Q (I + N^T N/t)^-1 Q^T,        Q = [sqrt(g1) D2/t W1, sqrt(g2) D1/t W2]

    in which nothing cancels.
    """
    (mean1, W1, D1), (mean2, W2, D2) = first, second
    root1, root2 = (column((g + TINY * double(m, g == 0)) ** 0.5) for g in (g1, g2))  # a root has no derivative at 0
    t = g1 * D2 + g2 * D1
    N = concatenate(m, [root2 * W1, -root1 * W2])
    L = m.xp.linalg.cholesky(eye(m, N.shape[-1], N) + N.mT @ (N / column(t)))
    Q = concatenate(m, [root1 * (column(D2 / t) * W1), root2 * (column(D1 / t) * W2)])
    # The mean is m1 + g2 S1 kappa = m2 - g1 S2 kappa with kappa = (g1 S2 + g2 S1)^-1 (m2 - m1).
    R, weights = concatenate(m, [W2, W1]), column(concatenate(m, [0 * W2[..., 0, :] + g1, 0 * W1[..., 0, :] + g2]))
    delta, RT = column(mean2 - mean1), R / column(t)
    onto = m.xp.linalg.solve(eye(m, R.shape[-1], R) + (R.mT @ RT) * weights.mT, RT.mT @ delta)
    kappa = (delta - R @ (weights * onto)) / column(t)
    rank = W2.shape[-1]
    from_1 = mean1 + g2 * (column(D1) * kappa + W1 @ onto[..., rank:, :])[..., 0]
    from_2 = mean2 - g1 * (column(D2) * kappa + W2 @ onto[..., :rank, :])[..., 0]
    mean = m.where(g1 < g2, from_2, from_1)
    return mean, m.xp.linalg.solve(L, Q.mT).mT, D1 * D2 / t


class LowRankMultivariateNormal(Distribution):
    """Means ``(..., n)``, factors ``W`` of shape ``(..., n, k)`` and diagonals D, ``(..., n)``, of NumPy or torch."""

    event_dim = 1

    def __init__(self, mean: Array, factor: Array, diagonal: Array):
        self.mean, self.factor, self.diagonal = mean, factor, diagonal
        self.library = library_of(mean) or "NumPy"

    @staticmethod
    def spectral(A: Array, gram: Array, Y: Array, dual: bool) -> Array:
        """The sum of g, or gs, over the eigenvalues of ``A gram``, where ``gram = Y^T Y``."""
        # The columns of R are accurate to the last digits; a root of gram would lose half of them.
        R: Any = np.linalg.qr(Y, mode="r")
        x = np.linalg.eigvalsh(R @ A @ R.swapaxes(-1, -2))
        x = np.maximum(x, np.finfo(float).eps - 1)  # 1 + x is positive except for rounding
        return special.numpy_kernel(special.gs if dual else special.g)(x, 1 + x, 1 + x, 0.0).sum(-1)

    @staticmethod
    def certain(condition: Array) -> bool:
        """Whether a condition is known to hold everywhere."""
        return bool(np.all(condition))

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """A diagonal Gaussian as one of rank 0; any other distribution is returned unchanged."""
        if not isinstance(other, Normal) or other.event_dim != 1:
            return other
        return cls(other.mean, 0 * other.std[..., None][..., :0], other.std * other.std)

    def scale_tril(self) -> Array:
        """Lower Cholesky factors of the covariances, ``(..., n, n)``, in float64.

        Computed from ``[W, sqrt(D)]``; the covariance itself would lose twice as many digits.
        """
        m = self.arithmetic
        _, W, D = self.expanded(self.batch_shape, 0)
        return triangular(m, concatenate(m, [W, column(D**0.5) * eye(m, self.dim, D)]))

    @property
    def dim(self) -> int:
        return self.factor.shape[-2]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.mean.shape[:-1], self.factor.shape[:-2], self.diagonal.shape[:-1])

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        m, batch = self.arithmetic, self.batch_shape
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        return type(self)(*(m.broadcast(x, (*batch, *x.shape[-axes:]))[index] for x, axes in arrays))

    def expanded(self, batch: tuple[int, ...], rank: int) -> Parts:
        """Mean, factor and diagonal in float64, in that batch shape; the factor has zero columns up to that rank."""
        m = self.arithmetic
        arrays = zip(self.arrays(), (1, 2, 1), strict=True)
        mean, factor, diagonal = (m.broadcast(double(m, x), (*batch, *x.shape[-axes:])) for x, axes in arrays)
        missing = rank - factor.shape[-1]
        if missing <= 0:
            return mean, factor, diagonal
        zeros = m.xp.zeros((*batch, self.dim, missing), dtype=mean.dtype, device=mean.device)
        return mean, concatenate(m, [factor, zeros]), diagonal

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG or JSG* between two batches of one library, computed in float64."""
        check_pair(self, other)
        check_dimensions(self.dim, other.dim)
        m = self.arithmetic
        w1, w2, g1, g2 = self.weights("alpha", alpha, convention)
        batch = common_shape(
            "batch shapes", {"N1": self.batch_shape, "N2": other.batch_shape, "alpha": tuple(w1.shape)}
        )
        rank = max(self.factor.shape[-1], other.factor.shape[-1])
        ranks = self.factor.shape[-1] + other.factor.shape[-1]
        if m.library == "NumPy" and min(self.dim, ranks) <= ROUNDED_UP_TO:
            divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
            pair = self._as_gaussian(), other._as_gaussian()
            return nearest_values(divergence, convention == "deasy", *pair, weight_array("alpha", alpha), batch)[()]
        first, second = self.expanded(batch, rank), other.expanded(batch, rank)
        compute = twice_kl if rank < self.dim else twice_kl_of_wide
        with m.quiet():
            # At alpha 0 and 1 one of the two has weight zero.
            twice1 = twice2 = 0.0
            if not isinstance(alpha, Real) or alpha != 1:
                twice1 = compute(m, self, first, second, column(g1), column(g2), dual)
            if not isinstance(alpha, Real) or alpha != 0:
                twice2 = compute(m, self, second, first, column(g2), column(g1), dual)
            value = formula.skew(w1, w2, twice1 / 2, twice2 / 2)
        value = m.where(value < 0, 0.0, value)  # rounding may make the divergence of equal Gaussians negative
        return m.rounded(value, m.result_type(*self.arrays(), *other.arrays()))

    def _as_gaussian(self) -> Gaussian:
        """A `Gaussian` of a form of its own, whose scale is ``[W, D]``."""
        m, batch = self.arithmetic, self.batch_shape
        dtype = m.result_type(*self.arrays())
        W = m.broadcast(self.factor, (*batch, *self.factor.shape[-2:]))
        D = m.broadcast(self.diagonal, (*batch, self.dim))[..., None]
        return Gaussian.checked("low_rank", self.mean.astype(dtype), np.concatenate([W, D], -1).astype(dtype), None)

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean; its rank is the sum of the two ranks."""
        _, _, g1, g2 = self.weights("weight", weight, "nielsen")
        return self.product([self, other], [g1, g2])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members; its rank is the sum of their ranks."""
        m = members[0].arithmetic
        shapes = {f"gaussians[{i}]": N.batch_shape for i, N in enumerate(members)}
        shapes |= {f"weights[{i}]": tuple(w.shape) for i, w in enumerate(weights)}
        batch = common_shape("batch shapes", shapes)
        G, so_far = members[0].expanded(batch, 0), double(m, weights[0])
        for N, weight in zip(members[1:], weights[1:], strict=True):
            check_dimensions(members[0].dim, N.dim)
            so_far, share = so_far + double(m, weight), double(m, weight)
            share = share / (so_far + (so_far == 0))
            G = pair_product(m, G, N.expanded(batch, 0), column(1 - share), column(share))
        dtypes = (m.result_type(*same) for same in zip(*(N.arrays() for N in members), strict=True))
        return cls(*(m.rounded(x, dtype) for x, dtype in zip(G, dtypes, strict=True)))

    def arrays(self) -> Parts:
        return self.mean, self.factor, self.diagonal

    def weights(self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        """``w1, w2, g1, g2`` in float64, one per member of the batch."""
        m = self.arithmetic
        alpha = m.weight(name, alpha, self.mean)
        w1, w2 = (double(m, m.array(w, self.mean)) for w in (1 - alpha, alpha))
        g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
        return w1, w2, g1, g2
