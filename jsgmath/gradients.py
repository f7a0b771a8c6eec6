"""Derivatives of the divergences between diagonal Gaussians, computed by `formula.py`."""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula
from jsgmath.checks import check_convention, check_dimensions, common_shape, weight_array
from jsgmath.gaussian import GaussianLike
from jsgmath.hints import Convention
from jsgmath.interop import gaussian_pair
from jsgmath.reduction.pairs import common_dtype
from jsgmath.rounding.scalar_pairs import derivatives_of

Formulas = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]
TO_MEAN: Formulas = formula.to_mean, formula.to_mean_grad, formula.to_mean_by_alpha
FROM_MEAN: Formulas = formula.from_mean, formula.from_mean_grad, formula.from_mean_by_alpha


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

    Accuracy: within 0.51 ulp of the sum of the sizes of the terms of a derivative, over the whole range of float64 and
    on every machine (``tests/test_gradients.py``).  All derivatives of equal Gaussians are 0.

    >>> from jsgmath import Gaussian
    >>> gradient = jsg_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5)
    >>> print(gradient.mean1, gradient.var1, gradient.alpha)
    [-0.25] [-0.0625] 0.0
    """
    return _gradient(False, N1, N2, alpha, convention)


def jsg_dual_grad(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> Gradient:
    """Derivatives of `jsg_dual`, with the arguments, result, errors and accuracy of `jsg_grad`.

    >>> from jsgmath import Gaussian
    >>> print(jsg_dual_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5).mean2)
    [0.25]
    """
    return _gradient(True, N1, N2, alpha, convention)


def _gradient(dual: bool, N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, convention: Convention) -> Gradient:
    check_convention(convention)
    N1, N2 = gaussian_pair(N1, N2)
    weight = weight_array("alpha", alpha)
    check_dimensions(N1.dim, N2.dim)
    batch = common_shape("batch shapes", {"N1": N1.batch_shape, "N2": N2.batch_shape, "alpha": weight.shape})
    for name, N in (("N1", N1), ("N2", N2)):
        if not N.is_diagonal:
            raise ValueError(f"{name} must be diagonal (var=, logvar= or std=) for its gradient, got {N.form}=")
    reverse = convention == "deasy"
    compute = partial(_derivatives, FROM_MEAN if dual else TO_MEAN, reverse)
    found = derivatives_of(compute, dual, reverse, N1, N2, weight, batch)
    with np.errstate(all="ignore"):
        return Gradient(*(x.astype(common_dtype(N1, N2))[()] for x in found))


def _derivatives(
    formulas: Formulas, reverse: bool, alpha: Any, pair: Sequence[Any], scales: Sequence[Any], kernel: Any
) -> tuple[Any, ...]:
    """The values of a `Gradient` except mean2, for any type of number.

    ``scales`` are ``1/sqrt(v1), 1/sqrt(v2), v1, v2``.
    """
    terms, derivatives, by_alpha = formulas
    i1, i2, v1, v2 = scales
    w1, w2 = 1 - alpha, alpha
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)
    kl1, kl2 = terms(g1, g2, *pair, kernel)
    numbers = (w1, w2, g1, g2, *pair[1:], i1, i2)
    exchanged: Callable[..., Any] = formula.exchanged
    (mean1, logvar1), (_, logvar2) = derivatives(*numbers), derivatives(*exchanged(*numbers))
    derivative = by_alpha(w1, w2, g1, g2, slope, kl1, kl2, *pair[1:]).sum(-1)
    return mean1, logvar1 / v1, logvar1, logvar2 / v2, logvar2, derivative
