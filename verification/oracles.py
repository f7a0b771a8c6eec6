"""The divergences from their definition, computed without jsgmath and without its formula.

There are three independent methods: the textbook formula of KL between Gaussians in 60 digits (mpmath), integrals of
the densities (adaptive in 1-D, Gauss-Hermite products in 2-D and 3-D), and Monte Carlo.  A Gaussian is a pair
``(mean, cov)`` of mpmath matrices (`exact`) for the first method, and of arrays for the others.  In the integrals the
geometric mean is the normalised product of powers of densities.  Its normaliser is an integral too, so the integrals
use none of eqs. 9 to 13.
"""

from functools import partial
from itertools import pairwise, product

import mpmath
import numpy as np
from mpmath import mp
from scipy.integrate import quad
from scipy.stats import multivariate_normal

DIGITS = 60


def mean_weights(alpha, convention):
    """Weights of N1 and N2 in the geometric mean: eq. 7 ("nielsen"), reversed by eq. 16 ("deasy")."""
    return (1 - alpha, alpha) if convention == "nielsen" else (alpha, 1 - alpha)


# --- the textbook, in 60 digits ---------------------------------------------------------------------------------


def exact(form, mean, scale):
    """Mean and covariance as mpmath matrices, from floats in the given form; nothing is rounded to a float."""
    with mp.workdps(DIGITS):
        mean = mp.matrix([mp.mpf(float(x)) for x in mean])
        if form in ("var", "logvar", "std"):
            to_variance = {"var": lambda x: x, "logvar": mp.exp, "std": lambda x: x * x}[form]
            return mean, mp.diag([to_variance(mp.mpf(float(x))) for x in scale])
        matrix = mp.matrix([[mp.mpf(float(x)) for x in row] for row in scale])
        return mean, {"cov": lambda: matrix, "scale_tril": lambda: matrix * matrix.T, "precision": lambda: matrix**-1}[
            form
        ]()


def textbook_kl(N1, N2):
    """KL(N1 || N2) by eq. 2."""
    (m1, S1), (m2, S2) = N1, N2
    P2 = S2**-1
    trace = sum((P2 * S1)[i, i] for i in range(len(m1)))
    distance = ((m2 - m1).T * P2 * (m2 - m1))[0]
    return (trace + mp.log(mp.det(S2) / mp.det(S1)) + distance - len(m1)) / 2


def textbook_mean(N1, N2, g1, g2):
    """Mean and covariance of the geometric mean by eqs. 12 and 13, with weights ``g1, g2``."""
    (m1, S1), (m2, S2) = N1, N2
    P1, P2 = S1**-1, S2**-1
    S = (g1 * P1 + g2 * P2) ** -1
    return S * (g1 * P1 * m1 + g2 * P2 * m2), S


def textbook_jsg(N1, N2, alpha, convention="deasy", dual=False):
    """Eq. 8, or eq. 10 if ``dual``, computed from eqs. 2, 12 and 13 for two results of `exact`."""
    with mp.workdps(DIGITS):
        alpha = mp.mpf(float(alpha))
        G = textbook_mean(N1, N2, *mean_weights(alpha, convention))
        terms = (textbook_kl(G, N) if dual else textbook_kl(N, G) for N in (N1, N2))
        return sum(w * kl for w, kl in zip((1 - alpha, alpha), terms, strict=True))


# --- integrals of the densities ---------------------------------------------------------------------------------


def _divergence(integrate, log_p, log_q, alpha, convention, dual):
    """Eqs. 1, 7, 8 and 10 for two log-densities; ``integrate`` integrates a function of x."""
    g1, g2 = mean_weights(alpha, convention)

    def log_product(x):
        return g1 * log_p(x) + g2 * log_q(x)

    log_z = np.log(integrate(lambda x: np.exp(log_product(x))))

    def integrand(x):
        p, q, g = log_p(x), log_q(x), log_product(x) - log_z
        if dual:
            return np.exp(g) * ((1 - alpha) * (g - p) + alpha * (g - q))
        return (1 - alpha) * np.exp(p) * (p - g) + alpha * np.exp(q) * (q - g)

    return integrate(integrand)


def quadrature(N1, N2, alpha, convention="deasy", dual=False):
    """The divergence by integrals: adaptive in 1-D, a Gauss-Hermite product of 40 nodes per axis in 2-D and 3-D."""
    if len(N1[0]) > 1:
        log_p, log_q = (multivariate_normal(*N).logpdf for N in (N1, N2))
        return _divergence(_hermite(N1, N2), log_p, log_q, alpha, convention, dual)
    (m1, s1), (m2, s2) = ((float(mean[0]), float(np.sqrt(cov[0][0]))) for mean, cov in (N1, N2))
    points = sorted(m + k * s for m, s in ((m1, s1), (m2, s2)) for k in (-12, -4, 0, 4, 12))

    def integrate(f):
        return sum(quad(f, a, b, epsabs=0, epsrel=1e-11, limit=200)[0] for a, b in pairwise(points) if b > a)

    log_p, log_q = (partial(_log_density, m, s, np.log(s * np.sqrt(2 * np.pi))) for m, s in ((m1, s1), (m2, s2)))
    return _divergence(integrate, log_p, log_q, alpha, convention, dual)


def _log_density(mean, std, log_norm, x):
    """Computes `scipy.stats.norm.logpdf` in a tenth of the time."""
    return -(((x - mean) / std) ** 2) / 2 - log_norm


def _hermite(N1, N2, nodes=40):
    """Integrates with a Gaussian that covers both: its mean is the average, its covariance 1.2 times that and more."""
    n = len(N1[0])
    mean = (np.asarray(N1[0]) + N2[0]) / 2
    shift = np.asarray(N1[0]) - mean
    cov = 0.6 * (np.asarray(N1[1]) + N2[1]) + np.outer(shift, shift)
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.array(list(product(x, repeat=n)))
    weight = np.prod(np.array(list(product(w, repeat=n))), axis=1) * np.exp((grid**2).sum(1) / 2)
    half = np.linalg.cholesky(cov)
    points = mean + grid @ half.T
    weight = weight * np.prod(np.diag(half))
    return lambda f: weight @ f(points)


def monte_carlo(N1, N2, alpha, convention="deasy", dual=False, samples=200_000, seed=0):
    """Estimate and standard error of eq. 8 or 10, from log-densities at draws from N1 and N2 (dual: from G)."""
    rng = np.random.default_rng(seed)
    P1, P2 = (np.linalg.inv(cov) for _, cov in (N1, N2))
    g1, g2 = mean_weights(alpha, convention)
    S = np.linalg.inv(g1 * P1 + g2 * P2)
    N = [multivariate_normal(*N1), multivariate_normal(*N2)]
    G = multivariate_normal(S @ (g1 * P1 @ N1[0] + g2 * P2 @ N2[0]), S)
    estimate, variance = 0.0, 0.0
    for w, n in zip((1 - alpha, alpha), N, strict=True):
        first, second = (G, n) if dual else (n, G)
        x = first.rvs(samples, random_state=rng)
        draws = w * (first.logpdf(x) - second.logpdf(x))
        estimate, variance = estimate + draws.mean(), variance + draws.var() / samples
    return estimate, np.sqrt(variance)


def jensen_shannon(N1, N2, alpha, weights=None):
    """``w1 KL(p||m) + w2 KL(q||m)`` of the mixture ``m = (1-a) p + a q`` in 1-D, and a function that integrates f.

    The default weights are ``(1-a, a)``; eq. 6 has ``(a, 1-a)``.  The function integrates ``f(x, p, q)``.
    """
    (m1, s1), (m2, s2) = ((mp.mpf(mean[0]), mp.sqrt(mp.mpf(cov[0, 0]))) for mean, cov in (N1, N2))
    w1, w2 = weights or (1 - alpha, alpha)

    def density(x):
        return mpmath.npdf(x, m1, s1), mpmath.npdf(x, m2, s2)

    def integrand(x):
        p, q = density(x)
        m = (1 - alpha) * p + alpha * q
        return w1 * p * mp.log(p / m) + w2 * q * mp.log(q / m)

    points = sorted({m + k * s for m, s in ((m1, s1), (m2, s2)) for k in (-60, -15, -5, 0, 5, 15, 60)})
    return mp.quad(integrand, points), lambda f: mp.quad(lambda x: f(x, *density(x)), points)
