"""Derivatives of the divergences between diagonal Gaussians, computed by `formula.py`."""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula
from jsgmath.gaussian import GaussianLike
from jsgmath.hints import Convention
from jsgmath.interop import gaussian_pair
from jsgmath.reduction.diagonal import diagonal_pairs, spread
from jsgmath.reduction.pairs import common_dtype, finite, pair_weights
from jsgmath.special import g, gs, numpy_kernel


class Gradient(NamedTuple):
    """Derivatives of a divergence between diagonal Gaussians: shape ``(..., n)``, but ``(...)`` for alpha."""

    mean1: np.ndarray
    var1: np.ndarray
    logvar1: np.ndarray
    mean2: np.ndarray
    var2: np.ndarray
    logvar2: np.ndarray
    alpha: np.ndarray


def jsg_grad(N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy") -> Gradient:
    """Derivatives of `jsg` with respect to all parameters of two diagonal Gaussians and alpha.

    Args:
        N1, N2, alpha, convention: as in `jsg`; the Gaussians are of NumPy.

    Returns:
        A `Gradient`.  It has derivatives with respect to both variances and log-variances, for any form of the input.

    Raises:
        TypeError, ValueError: as in `jsg`, and for a Gaussian that is not diagonal.

    >>> from jsgmath import Gaussian
    >>> gradient = jsg_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5)
    >>> print(gradient.mean1, gradient.var1, gradient.alpha)
    [-0.25] [-0.0625] 0.0
    """
    return _gradient(formula.to_mean, formula.to_mean_grad, formula.to_mean_by_alpha, g, N1, N2, alpha, convention)


def jsg_dual_grad(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> Gradient:
    """Derivatives of `jsg_dual`, with the arguments, result and errors of `jsg_grad`.

    >>> from jsgmath import Gaussian
    >>> print(jsg_dual_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5).mean2)
    [0.25]
    """
    return _gradient(
        formula.from_mean, formula.from_mean_grad, formula.from_mean_by_alpha, gs, N1, N2, alpha, convention
    )


def _gradient(
    terms: Callable[..., tuple[np.ndarray, np.ndarray]],
    derivatives: Callable[..., tuple[np.ndarray, np.ndarray]],
    by_alpha: Callable[..., np.ndarray],
    kernel: Callable[..., np.ndarray],
    N1: GaussianLike,
    N2: GaussianLike,
    alpha: ArrayLike,
    convention: Convention,
) -> Gradient:
    N1, N2 = gaussian_pair(N1, N2)
    w1, w2, g1, g2, slope = pair_weights(N1, N2, alpha, convention)
    for name, N in (("N1", N1), ("N2", N2)):
        if not N.is_diagonal:
            raise ValueError(f"{name} must be diagonal (var=, logvar= or std=) for its gradient, got {N.form}=")
    with np.errstate(all="ignore"):
        pair = diagonal_pairs(N1, N2)
        (v1, i1), (v2, i2) = spread(N1), spread(N2)
        kl1, kl2 = map(finite, terms(g1, g2, *pair, numpy_kernel(kernel)))
        numbers = w1, w2, g1, g2, *pair[1:], i1, i2
        mean1, logvar1 = derivatives(*numbers)
        _, logvar2 = derivatives(*formula.exchanged(*numbers))
        derivative = by_alpha(w1, w2, g1, g2, slope, kl1, kl2, *pair[1:]).sum(-1)
        gradient = mean1, logvar1 / v1, logvar1, -mean1, logvar2 / v2, logvar2, derivative
        return Gradient(*(x.astype(common_dtype(N1, N2))[()] for x in gradient))
