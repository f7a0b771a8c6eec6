"""The input of `formula.py` for two Gaussians: their weights, and the scalars of independent one-dimensional pairs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula
from jsgmath.checks import as_weight, check_convention, check_dimensions, common_shape
from jsgmath.gaussian import Gaussian
from jsgmath.hints import Convention


class ScalarPairs(NamedTuple):
    """The scalars of `formula.py`, one per direction: shape ``(..., n)``."""

    log_r1: np.ndarray
    r1: np.ndarray
    r2: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    d1: np.ndarray
    d2: np.ndarray


class Reduced(NamedTuple):
    """A pair, and how far a divergence computed from it may be from that of the two Gaussians.

    At most by ``relative`` of itself, shape ``(...)``, and by the same divergence of the pair ``slack``.
    """

    pair: ScalarPairs
    relative: np.ndarray
    slack: ScalarPairs


def finite(x: np.ndarray) -> np.ndarray:
    """``x`` with an overflow replaced by the largest number, so that a weight of zero makes it zero."""
    largest = np.finfo(x.dtype).max
    return np.clip(x, -largest, largest)


def positive(x: np.ndarray) -> np.ndarray:
    """Likewise for ``x > 0``, and with an underflow replaced by the smallest normal number."""
    return np.maximum(finite(x), np.finfo(x.dtype).tiny)


def pair_weights(
    N1: Gaussian, N2: Gaussian, alpha: ArrayLike, convention: Convention, name: str = "alpha"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Returns ``w1, w2, g1, g2, slope`` in the working precision, with a last axis for the directions.

    Checks the convention, alpha, the dimensions and the batch shapes.
    """
    check_convention(convention)
    w2 = as_weight(name, alpha)[..., None]
    check_dimensions(N1.dim, N2.dim)
    common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, name: w2.shape[:-1]})
    w1 = 1 - w2
    return w1, w2, *formula.mean_weights(w1, w2, convention == "deasy")
