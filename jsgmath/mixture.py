r"""The Jensen-Shannon divergence between Gaussians, which has no closed form, as a one-dimensional integral.

Let ``p, q`` be the densities of N1 and N2, ``m = (1-lam) p + lam q``, and ``x = q/p``.  In

    JS = lam KL(p || m) + (1-lam) KL(q || m)          [1, eq. 6]

x occurs only in ``log(1 + c x)`` and ``x log(1 + 1/(c x))`` with ``c = lam/(1-lam)``.  Both are mixtures of powers
``x^s``, because

    log(1 + y) = integral of y^s / (2 s sin(pi s)) over Im s, for any 0 < Re s < 1          (Mellin)

The mean of a power is known: ``Z(s) = E_p[x^s] = exp(-B(s))``, where B is the Bhattacharyya distance at a complex
weight.  `formula.py` computes it as for real weights (it is JSG* with ``convention="nielsen"``).  Since JS is 0 where Z
is 1,

    JS = integral of T(s) (1 - Z(s)) over Im s,          2 sin(pi s) T(s) = c^s (lam/s + (1-lam)/(c (1-s)))

For ``0 <= Re s <= 1`` and all densities, ``|Z| <= 1``, and ``T`` decays as ``exp(-pi |Im s|)``.  For such an integral
the trapezoidal rule converges exponentially, and equally fast for all pairs: its nodes depend only on lam, and its
error is below 2^-60 of JS (`tests/test_mixture.py` tests this for every x).  Near-equal Gaussians lose nothing, because
``1 - Z`` is computed as ``-expm1(-B)``.
"""

# pyright: reportConstantRedefinition=false

import math

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula, special
from jsgmath.gaussian import GaussianLike
from jsgmath.hints import Values
from jsgmath.interop import gaussian_pair
from jsgmath.reduction import reduced
from jsgmath.reduction.pairs import ScalarPairs, common_dtype, finite, pair_weights

STEPS = 8  # from the line to the nearer pole of T; the rule errs by about 100 exp(-2 pi STEPS), which is 1.5e-20
HIGHEST = 16  # imaginary part; the rest of the integral is some tens times exp(-pi HIGHEST), which is 1.5e-22
ROUNDING = 8  # allowed error of the terms and of their sum, in units of the working precision; 1 was measured
BLOCK = 2**15  # numbers in one array; it bounds the memory


def js(N1: GaussianLike, N2: GaussianLike, lam: ArrayLike = 0.5) -> tuple[Values, Values]:
    r"""Jensen-Shannon divergence between ``N1`` and ``N2``, and a bound on its error, in nats.

    .. math:: \lambda\,KL(N_1 \| M) + (1-\lambda)\,KL(N_2 \| M), \quad M = (1-\lambda) N_1 + \lambda N_2   [1, eq. 6]

    ``M`` is the mixture of the two densities.  At 1/2 the value is the Jensen-Shannon divergence [1, eq. 5], at 0 it is
    KL(N2||N1), at 1 KL(N1||N2).

    Args:
        N1, N2: Gaussians of NumPy or SciPy, of equal dimension; batch shapes broadcast.
        lam: weight of ``N2`` in the mixture, in [0, 1]; a float or an array that broadcasts with the batch.

    Returns:
        ``(estimate, error)``, one value each per batch element, with ``|estimate - truth| <= error``.  The estimate
        lies between 0 and ``-lam log(1-lam) - (1-lam) log(lam)``, which is log(2) at 1/2.  For equal Gaussians of one
        form both are 0.

    Raises:
        TypeError: an argument is not a Gaussian of NumPy, or lam is not real.
        ValueError: lam is outside [0, 1], the dimensions differ, or the batch shapes do not broadcast.

    Accuracy: the result is deterministic, without sampling.  With 80-bit numbers the estimate is right to the last
    place, also between near-equal Gaussians; where a long double is a double it is right to 8 ulp (5.7 was measured in
    600 pairs), and the error is larger in proportion (``tests/test_mixture.py``).  The error is little more than that
    of the last rounding; it adds 8 units of the working precision for each term, and four times the error of the
    reduction to scalar pairs (as in `jsg` with ``return_error``; for this divergence the factor is tested, not
    derived).  The time is proportional to n, and to ``|log(lam (1-lam))|`` near 0 and 1.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> from jsgmath import Gaussian
    >>> estimate, error = js(Gaussian(mean=[1.0, 0.0], var=[0.5, 2.0]), Gaussian(mean=[0.0, 0.0], var=[1.0, 1.0]))
    >>> print(estimate.round(12), error < 1e-16)
    0.178887262389 True
    """
    N1, N2 = gaussian_pair(N1, N2)
    _, lam, *_ = pair_weights(N1, N2, lam, "nielsen", "lam")
    with np.errstate(all="ignore"):
        pair, relative, slack = reduced(N1, N2)
        value, terms = jensen_shannon(pair, lam)
        lost, _ = jensen_shannon(slack, lam)
        dtype = common_dtype(N1, N2)
        estimate = value.astype(dtype)
        error = np.abs(value - estimate) + ROUNDING * np.finfo(special.WORK).eps * terms + 4 * (relative * value + lost)
        error = np.where(error > 0, np.nextafter(error.astype(dtype), dtype.type(np.inf)), dtype.type(0))
    return estimate[()], error[()]


def jensen_shannon(pair: ScalarPairs, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """JS of a `ScalarPairs`, and the sum of the absolute values of its terms."""
    kl1, kl2 = (finite(kl) for kl in formula.to_mean(1 - lam, lam, *pair, g=special.numpy_kernel(special.g)))
    value = np.array(formula.skew(lam, 1 - lam, kl1, kl2).sum(-1))  # the result where lam is 0 or 1
    terms = value.copy()
    lam, pair = np.broadcast_to(lam[..., 0], value.shape), ScalarPairs(*(np.broadcast_to(x, kl1.shape) for x in pair))
    for weight in np.unique(lam[(lam > 0) & (lam < 1)]):
        rows = lam == weight
        value[rows], terms[rows] = integral(ScalarPairs(*(x[rows] for x in pair)), weight)
    return value, terms


def integral(pair: ScalarPairs, lam: np.longdouble) -> tuple[np.ndarray, np.ndarray]:
    """JS of the rows of a `ScalarPairs` for ``0 < lam < 1``, and the sum of the absolute values of its terms."""
    w1, w2, weights, sizes = rule(lam)
    pair = ScalarPairs(*(x[:, None] for x in pair))
    value, terms = np.zeros((2, len(pair.e1)), special.WORK)
    blocks = 1 + pair.e1.size * len(weights) // BLOCK
    for nodes in np.array_split(np.arange(len(weights)), min(blocks, len(weights))):
        g1, g2 = w1[nodes, None], w2[nodes, None]
        kl1, kl2 = formula.from_mean(g1, g2, *pair, complex_gs)
        distance = formula.skew(g1, g2, kl1, kl2).sum(-1)
        lack = np.where(np.isfinite(distance), -np.expm1(-distance), 1)  # where it overflows, Z is 0
        value += np.real(weights[nodes] * lack).sum(-1)
        terms += (sizes[nodes] * abs(lack)).sum(-1)
    return np.clip(value, 0, -lam * np.log1p(-lam) - (1 - lam) * np.log(lam)), terms


def rule(lam: np.longdouble) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``1 - s`` and ``s`` at the nodes, the factors of ``1 - Z(s)``, and the sizes to which their rounding is relative.

    The nodes lie on one half of the line, because the integrand on the other half is the conjugate.
    """
    small = min(lam, 1 - lam)
    log_c = np.log(small) - np.log1p(-small)
    distance = 1 / max(2, -log_c)  # of the line from the nearer pole, so that |c^s| is at most e times larger
    step = distance / STEPS
    height = step * np.arange(math.ceil(HIGHEST / step))
    t = distance + 1j * height  # s if lam > 1/2, otherwise 1 - s, by exchanging N1 and N2
    pi = 4 * np.arctan(special.WORK(1))
    weights = step / np.sin(pi * t) * np.exp(-t * log_c) * (small / (1 - small) * small / (1 - t) + (1 - small) / t)
    weights[0] /= 2
    sizes = abs(weights) * (1 + height * (pi - log_c))  # rounding of the exponents of the sine and of c^s
    return *((1 - t, t) if lam > 0.5 else (t, 1 - t)), weights, sizes


def complex_gs(x: np.ndarray, k: np.ndarray, other_k: np.ndarray, log_r: np.ndarray) -> np.ndarray:
    """`special.gs` for complex x; for ``|x| < 1/2`` its series converges faster than it does for real x."""
    value = np.maximum(log_r, 0) - x / k
    near = abs(x) < 0.5
    value[~near] += np.log(np.where(log_r > 0, other_k, k)[~near])  # of the smaller of the two
    x, k = x[near], k[near]
    q = x / (x + 2)
    w = q * q
    terms = special.series_terms(np.finfo(special.WORK).nmant + 1)
    value[near] = q * (x / k + 2 * w * special.tail(w, special.WORK(1), terms))
    return value
