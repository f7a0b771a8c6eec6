"""The Jensen-Shannon divergence without the library's code: from determinants alone, in 45 digits.

`by_matrices` uses the same representation as the library, by powers of the density ratio, but no line of its code.
"""

from functools import cache

import numpy as np
from mpmath import mp

from jsgmath import Gaussian
from verification.pairs import exact

EPS = 2.0**-52
# In ulp.  The last rounding is half an ulp.  The error of the rule is below 2^-60 of the result, at most 2^-7 ulp.
LARGEST = 0.51
DIGITS = 45  # for near-equal Gaussians, the references lose twice as many digits as the two agree in


def bound(lam):
    """The upper bound of JS."""
    return -lam * np.log1p(-lam) - (1 - lam) * np.log(lam)


def distance(estimate, truth):
    with mp.workdps(DIGITS):
        return float(abs(mp.mpf(float(estimate)) - truth))


def one(mean, var):
    return Gaussian([mean], var=[var])


@cache
def factors(lam, step=1 / 16, highest=16):
    """Nodes on ``Re s = 1/2`` and the factors of ``1 - Z``: leaves exp(-pi/step) = exp(-pi highest) = 1.5e-22."""
    nodes = [(mp.mpc(0.5, k * mp.mpf(step)), mp.mpf(step) * (1 if k else 0.5)) for k in range(int(highest / step))]
    lam = mp.mpf(lam)
    c = lam / (1 - lam)
    return [(s, w * c**s * (lam / s + (1 - lam) / c / (1 - s)) / mp.sin(mp.pi * s)) for s, w in nodes]


def by_matrices(N1, N2, lam):
    """JS of two `Gaussian`, from determinants of their covariances, without a diagonalisation."""
    with mp.workdps(DIGITS):
        (m1, S1), (m2, S2) = exact(N1), exact(N2)
        log_det1, log_det2 = (mp.log(mp.det(S)) for S in (S1, S2))
        total = mp.mpf(0)
        for s, factor in factors(lam):
            pivots, quadratic = eliminate((1 - s) * S2 + s * S1, m1 - m2)
            exponent = s * log_det1 + (1 - s) * log_det2 - sum(map(mp.log, pivots)) - s * (1 - s) * quadratic
            total += (factor * (1 - mp.exp(exponent / 2))).real
        return total


def eliminate(matrix, vector):
    """Pivots of a symmetric matrix, and ``vector^T matrix^-1 vector``.

    The real part is positive definite, also that of the matrix that remains after each step.  Hence all pivots lie in
    the right half-plane, and the sum of their logarithms is the right branch of the determinant's logarithm.
    """
    a, b, n = matrix.copy(), vector.copy(), len(vector)
    pivots, quadratic = [], mp.mpf(0)
    for i in range(n):
        pivots.append(a[i, i])
        quadratic += b[i] * b[i] / a[i, i]
        for j in range(i + 1, n):
            ratio = a[j, i] / a[i, i]
            b[j] -= ratio * b[i]
            for k in range(j, n):
                a[k, j] -= ratio * a[k, i]
    return pivots, quadratic


FORMS = ["var", "logvar", "std", "cov", "scale_tril", "precision"]
