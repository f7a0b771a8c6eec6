"""The input of `formula.py` for two Gaussians: their weights, and the scalars of independent one-dimensional pairs."""

from typing import Any, NamedTuple

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
    """Scalar pairs, with a bound on the error of a divergence that is computed from them.

    The error is at most ``relative``, of shape ``(...)``, times the divergence, plus the divergence of ``slack``.
    """

    pair: ScalarPairs
    relative: np.ndarray
    slack: ScalarPairs


def finite(x: np.ndarray) -> np.ndarray:
    """Replaces an overflow in ``x`` by the largest number, so that its product with a weight of zero is zero."""
    largest = np.finfo(x.dtype).max
    return np.clip(x, -largest, largest)


def positive(x: np.ndarray) -> np.ndarray:
    """For ``x > 0``: replaces an overflow by the largest number and an underflow by the smallest normal number."""
    return np.maximum(finite(x), np.finfo(x.dtype).tiny)


def pair_weights(
    N1: Gaussian, N2: Gaussian, alpha: ArrayLike, convention: Convention, name: str = "alpha"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Returns ``w1, w2, g1, g2, slope`` in the working precision, with an additional last axis for the directions.

    Checks the convention, alpha, the dimensions and the batch shapes.
    """
    check_convention(convention)
    w2 = as_weight(name, alpha)[..., None]
    check_dimensions(N1.dim, N2.dim)
    common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, name: w2.shape[:-1]})
    w1 = 1 - w2
    return w1, w2, *formula.mean_weights(w1, w2, convention == "deasy")


def common_dtype(N1: Gaussian, N2: Gaussian) -> np.dtype[Any]:
    """The type to which results for N1 and N2 are rounded."""
    return N1.dtype if N1.dtype == N2.dtype else np.result_type(N1.dtype, N2.dtype)
