"""The divergences in the working precision of NumPy, before they are rounded, with bounds on their error."""

import numpy as np

from jsgmath import formula, special
from jsgmath.gaussian import Gaussian
from jsgmath.reduction import reduced
from jsgmath.reduction.pairs import ScalarPairs, finite
from jsgmath.special import g, gs, numpy_kernel


def evaluated(
    N1: Gaussian, N2: Gaussian, w1: np.ndarray, w2: np.ndarray, g1: np.ndarray, g2: np.ndarray, dual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The divergence for any weights, in the working precision, and a bound on its error."""
    with np.errstate(all="ignore"):
        pair, relative, slack = reduced(N1, N2)
        value = divergence_of(pair, w1, w2, g1, g2, dual)
        rounding = (special.ROUNDING + N1.dim) * np.finfo(special.WORK).eps
        return value, (rounding + relative) * value + divergence_of(slack, w1, w2, g1, g2, dual)


def divergence_of(
    pair: ScalarPairs, w1: np.ndarray, w2: np.ndarray, g1: np.ndarray, g2: np.ndarray, dual: bool
) -> np.ndarray:
    """The sum of the divergences of scalar pairs."""
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)
    kl1, kl2 = map(finite, terms(g1, g2, *pair, numpy_kernel(kernel)))
    return formula.skew(w1, w2, kl1, kl2).sum(-1)
