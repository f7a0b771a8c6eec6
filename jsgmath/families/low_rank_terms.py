r"""The divergences and the geometric mean of Gaussians with covariance ``D + W W^T``, without an n-by-n matrix.

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

[3] Andrews 1968, A square root formulation of the Kalman covariance equations
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jsgmath.families.libraries.arithmetic import Arithmetic, Array, total

Parts = tuple[Array, Array, Array]  # mean, factor, diagonal
FAR = 1 / 16  # if the sum over the eigenvalues exceeds this, an eigenvalue of M may be near -1
SURELY_FAR = 1.0  # if twice KL exceeds this, the formula for close Gaussians is not needed
TINY = 1e-200  # negligible compared with any weight


class Spectrum(Protocol):
    """The functions that NumPy and torch compute differently: a sum over eigenvalues, and whether a condition holds."""

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
    if m.library == "torch":
        return m.xp.log(abs(m.xp.diagonal(m.xp.linalg.lu_factor(matrix)[0], 0, -2, -1))).sum(-1)
    return m.xp.linalg.slogdet(matrix)[1]


def solve(m: Arithmetic, A: Array, B: Array) -> Array:
    """``A^-1 B``; torch's own `solve` and `slogdet` give other last bits to a gradient with ``create_graph=True``."""
    if m.library == "torch":
        return m.xp.linalg.lu_solve(*m.xp.linalg.lu_factor(A), B)
    return m.xp.linalg.solve(A, B)


def triangular(m: Arithmetic, root: Array) -> Array:
    """The lower triangular L with a positive diagonal and ``L L^T = root root^T``."""
    R = m.xp.linalg.qr(root.mT)[1]
    pivots = (R * eye(m, R.shape[-1], R)).sum(-1)
    return (R * m.where(pivots < 0, -1.0, 1.0)[..., None]).mT


def solve_triangular(m: Arithmetic, T: Array, X: Array, upper: bool) -> Array:
    if m.library == "torch":
        return m.xp.linalg.solve_triangular(T, X, upper=upper)
    import scipy.linalg  # imported here, because this takes long

    if 0 in X.shape:
        return X
    batch = np.broadcast_shapes(T.shape[:-2], X.shape[:-2])
    T, X = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (T, X))
    compute: Any = scipy.linalg.solve_triangular
    return compute(T, X, lower=not upper)


def column(x: Array) -> Array:
    return x[..., None]


def root_of_inverse(m: Arithmetic, V: Array) -> Array:
    """B such that ``(I - V B V^T)(I - V B V^T)^T = (I + V V^T)^-1``."""
    identity = eye(m, V.shape[-1], V)
    L = m.xp.linalg.cholesky(identity + V.mT @ V)
    # 0 * L gives the identity the batch shape of L: for a batch of n matrices L, torch takes a single n-by-n matrix for
    # n vectors.
    return solve(m, L.mT, solve(m, L + identity, 0 * L + identity))


def excess(m: Arithmetic, E: Array, V: Array, difference: Array, total: Array, B: Array) -> tuple[Array, Array]:
    """Y and T such that ``H^T (E + U U^T - V V^T) H = E + Y T Y^T``; ``difference`` is U - V and ``total`` is U + V."""

    def mapped(X: Array) -> Array:
        """``H^T X``"""
        return X - V @ (B.mT @ (V.mT @ X))

    # E and the difference are scaled to a size of about one, so that every entry of T is as small as the difference.
    # If one of them is zero, it gets the scale of the other, or 1, because its derivatives are not zero.
    of_E, of_W = column(size(m, column(E))), column(size(m, difference))
    size_E, size_W = (x + (x == 0) * (y + (y == 0)) for x, y in ((of_E, of_W), (of_W, of_E)))
    EV = column(E) / size_E * V
    Y = concatenate(m, [V, EV, mapped(difference / size_W), mapped(total)])
    inner = B.mT @ (V.mT @ EV) @ B * size_E
    zero = 0 * inner
    half = zero + eye(m, V.shape[-1], V) * size_W / 2
    blocks = (  # column by column; the matrix is symmetric
        [inner, -B * size_E, zero, zero],
        [-B.mT * size_E, zero, zero, zero],
        [zero, zero, zero, half],
        [zero, zero, half, zero],
    )
    return Y, concatenate(m, [concatenate(m, [x.mT for x in parts]).mT for parts in blocks])


def twice_kl(m: Arithmetic, spectrum: Spectrum, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool) -> Array:
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
    onto = solve(m, system, RZ.mT @ delta)  # R^T kappa, without a subtraction
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
        shares = solve(m, balance, column(concatenate(m, [of_1, of_2])) * (P.mT @ P))
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
    if spectrum.certain(far | (apart > SURELY_FAR)):
        return apart + quadratic

    Y, T = excess(m, E, V, column(unit) * (W1 - W2), U + V, B)
    A = column(g2) * T
    Y = Y / column(Z**0.5)
    gram = Y.mT @ Y
    if dual:
        inner = solve(m, eye(m, A.shape[-1], A) + A @ gram, A)
        crossed = (inner * (Y.mT @ (column(g2 * E / Z) * Y))).sum((-2, -1))
    else:
        crossed = (A * (Y.mT @ (column(g2 * E) * Y))).sum((-2, -1))
    eigenvalues = spectrum.spectral(A, gram, Y, dual)
    return m.where(far | (eigenvalues > FAR), apart, diagonal + eigenvalues + crossed) + quadratic


def twice_kl_of_wide(
    m: Arithmetic, spectrum: Spectrum, first: Parts, second: Parts, g1: Array, g2: Array, dual: bool
) -> Array:
    """`twice_kl` for factors with at least as many columns as rows, by n-by-n matrices.

    The roots of the weights have no derivatives at 0, so derivatives by the weights come from `twice_kl`.

    With the Cholesky factor L of S2 in units of its D, ``M = L^-1 (S1 - S2) L^-T`` and ``P P^T = I + M``.  A factor of
    ``g1 I + g2 P P^T`` comes from ``[sqrt(g1) I, sqrt(g2) P]``, which keeps its digits at any condition.
    """
    by_weight: Any = 0.0
    if getattr(g1, "requires_grad", False):
        g, constant = (g1, g2), (m.constant(g1), m.constant(g2))
        by_weight = total(s * twice_kl(m, spectrum, first, second, *x, dual) for s, x in ((1, g), (-1, constant)))
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
    near = spectrum.spectral(column(g2) * M, identity, identity, dual)
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
    return (V * solve(m, eye(m, V.shape[-1], V) + V.mT @ V, V.mT).mT).sum(-1)


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
    onto = solve(m, eye(m, R.shape[-1], R) + (R.mT @ RT) * weights.mT, RT.mT @ delta)
    kappa = (delta - R @ (weights * onto)) / column(t)
    rank = W2.shape[-1]
    from_1 = mean1 + g2 * (column(D1) * kappa + W1 @ onto[..., rank:, :])[..., 0]
    from_2 = mean2 - g1 * (column(D2) * kappa + W2 @ onto[..., :rank, :])[..., 0]
    mean = m.where(g1 < g2, from_2, from_1)
    return mean, solve(m, L, Q.mT).mT, D1 * D2 / t
