"""The divergences between two Gaussians, in nats: `formula.py` applied to independent scalar pairs."""

# pyright: reportConstantRedefinition=false

from functools import partial, singledispatch
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jsgmath.checks import check_convention
from jsgmath.families.distribution import Distribution
from jsgmath.gaussian import Gaussian, GaussianLike
from jsgmath.hints import Convention, Weight
from jsgmath.interop import pair_of
from jsgmath.interop.base import image_of
from jsgmath.interop.composite import Composite
from jsgmath.reduction.diagonal import diagonal_pairs, spread
from jsgmath.reduction.full import full_pairs
from jsgmath.reduction.pairs import common_dtype, pair_weights
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.of_pairs import rounded_divergence


def jsg(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy", return_error: bool = False
) -> Any:
    r"""Skew-geometric Jensen-Shannon divergence from ``N1`` to ``N2``, in nats.

    .. math:: (1-\alpha)\,KL(N_1 \| G) + \alpha\,KL(N_2 \| G)          [1, eq. 8]

    ``G`` is the normalised geometric mean of the two densities [1, eqs. 12-13].

    Args:
        N1, N2: Gaussians of equal dimension, of the same library; batch shapes broadcast.  Each is a `Gaussian`, a
            normal distribution of ``scipy.stats``, ``torch.distributions``, NumPyro, distrax or TFP, or an instance of
            a class passed to `register`.  Two members of one of the `families`, or the SciPy or torch equivalents, are
            accepted as well.
        alpha: weight of ``N2`` in [0, 1]; a float, or an array of the same library that broadcasts with the batch.
            An array of JAX, or a tensor on a GPU, is not checked, because that would synchronise the device.
        convention: ``"deasy"``: ``G`` gives ``N1`` the weight alpha, and the values at alpha 0 and 1 are KL(N1||N2) and
            KL(N2||N1) [1, eqs. 16-18]; ``"nielsen"``: ``G`` gives ``N2`` the weight alpha, and both values are 0
            [1, eq. 14; 2].
        return_error: whether to return ``(value, bound)``, where ``bound`` is a bound on the absolute error of the
            value; only for Gaussians of NumPy.

    Returns:
        One value per batch element, never negative, and 0 for equal Gaussians.  For torch and JAX the result is an
        array of the same type on the same device, with derivatives; full covariances of JAX give NumPy arrays.

    Raises:
        TypeError: an argument is not a Gaussian, the arguments come from different libraries, or alpha is not real.
        ValueError: alpha is outside [0, 1], the convention is unknown, the dimensions differ, the batch shapes do not
            broadcast, a covariance is not positive definite in exact arithmetic, or a log-variance beyond 10,000 meets
            a full covariance.
        ArithmeticError: 1600 digits, or 5120 bits for full covariances, do not tell which float is nearest to a value.

    Accuracy: correctly rounded: the float nearest to the true value, for full covariances at any condition
        (``tests/native``, ``tests/rounding/test_nearest.py``, ``tests/rounding/test_nearest_full.py``).  torch and JAX
        compute in their own precision, in which near-equal Gaussians lose nothing (``tests/interop/test_interop.py``).

    References:
        [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599
        [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> N1, N2 = Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0])
    >>> print(jsg(N1, N2, 0.5))
    0.125
    >>> print(jsg(N1, N2, [0.0, 0.5, 1.0]))
    [0.5   0.125 0.5  ]
    >>> value, bound = jsg(N1, Gaussian(mean=[0.0], cov=[[3.0]]), 0.3, return_error=True)
    >>> print(value, bound < 1e-16)
    0.07617915307763728 True
    """
    return _skew(*pair_of(N1, N2), alpha, convention, False, return_error)


def jsg_dual(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy", return_error: bool = False
) -> Any:
    r"""Dual skew-geometric Jensen-Shannon divergence from ``N1`` to ``N2``, in nats.

    .. math:: (1-\alpha)\,KL(G \| N_1) + \alpha\,KL(G \| N_2)          [1, eq. 10]

    Arguments, errors and accuracy are those of `jsg`.  With ``"deasy"`` the values at alpha 0 and 1 are KL(N2||N1) and
    KL(N1||N2) [1, eq. 19].  With ``"nielsen"`` they are 0 [1, eq. 15], and the divergence is the skew Bhattacharyya
    distance.

    >>> N1, N2 = Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[2.0])
    >>> print(jsg_dual(N1, N2, 0.0), kl(N2, N1))
    0.6534264097200273 0.6534264097200273
    """
    return _skew(*pair_of(N1, N2), alpha, convention, True, return_error)


def kl(N1: GaussianLike, N2: GaussianLike, *, return_error: bool = False) -> Any:
    r"""Kullback-Leibler divergence :math:`KL(N_1 \| N_2)` in nats [1, eq. 2], which is `jsg` at alpha 0.

    Arguments, errors and accuracy are those of `jsg`.

    >>> print(kl(Gaussian(mean=[1.0], var=[1.0]), Gaussian(mean=[0.0], var=[1.0])))
    0.5
    """
    return jsg(N1, N2, 0.0, return_error=return_error)


def jeffreys(N1: GaussianLike, N2: GaussianLike, *, return_error: bool = False) -> Any:
    r"""Jeffreys divergence :math:`KL(N_1 \| N_2) + KL(N_2 \| N_1)` in nats, which is symmetric.

    Arguments, errors and accuracy are those of `jsg`.

    >>> print(jeffreys(Gaussian(mean=[1.0], var=[1.0]), Gaussian(mean=[0.0], var=[1.0])))
    1.0
    """
    return _jeffreys(*pair_of(N1, N2), return_error)


def bhattacharyya(N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, return_error: bool = False) -> Any:
    r"""Skew Bhattacharyya distance :math:`-\log \int p_1^{1-\alpha} p_2^{\alpha}` in nats [2].

    It equals `jsg_dual` with ``convention="nielsen"``.  Arguments, errors and accuracy are those of `jsg`.

    >>> print(bhattacharyya(Gaussian(mean=[1.0], var=[1.0]), Gaussian(mean=[0.0], var=[1.0]), 0.5))
    0.125
    """
    return jsg_dual(N1, N2, alpha, convention="nielsen", return_error=return_error)


def geometric_mean(N1: GaussianLike, N2: GaussianLike, weight: Weight) -> Any:
    r"""Normalised weighted geometric mean of two Gaussian densities, itself a `Gaussian` [1, eqs. 12-13].

    .. math:: S = ((1-w) S_1^{-1} + w S_2^{-1})^{-1}, \quad m = S ((1-w) S_1^{-1} m_1 + w S_2^{-1} m_2)

    Args:
        N1, N2: as in `jsg`.
        weight: the weight ``w`` of ``N2`` in [0, 1]; a float or an array that broadcasts with the batch.

    Returns:
        A `Gaussian`, or for distributions of torch a distribution of torch.

    Raises:
        TypeError, ValueError: as in `jsg`.

    Accuracy: tested to 1e-12 between covariances of ordinary condition (``tests/test_gaussian.py``), not measured
    beyond.

    >>> geometric_mean(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[3.0], var=[0.5]), 0.5)
    Gaussian(mean=[2.0], var=[0.6666666666666666])
    """
    return image_of(N1, _geometric_mean(*pair_of(N1, N2), weight))


def _refuse(return_error: bool) -> None:
    if return_error:
        raise TypeError("return_error=True needs Gaussians of NumPy, because only their error is bounded")


@singledispatch
def _skew(N1: Distribution, N2: Any, alpha: Any, convention: Convention, dual: bool, return_error: bool) -> Any:
    check_convention(convention)
    _refuse(return_error)
    if isinstance(N1, Composite):  # not registered: torch.compile cannot trace the registry of abstract classes
        return N1.combined(N2, partial(jsg_dual if dual else jsg, convention=convention), alpha)
    return N1.skew(N2, alpha, convention, dual)


@_skew.register
def _gaussian_skew(
    N1: Gaussian, N2: Gaussian, alpha: ArrayLike, convention: Convention, dual: bool, return_error: bool
) -> Any:
    divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
    return rounded_divergence(divergence, N1, N2, alpha, convention, return_error)


@singledispatch
def _jeffreys(N1: Distribution, N2: Any, return_error: bool) -> Any:
    _refuse(return_error)
    return N1.jeffreys(N2, kl)


@_jeffreys.register
def _gaussian_jeffreys(N1: Gaussian, N2: Gaussian, return_error: bool) -> Any:
    return rounded_divergence(Divergence.JEFFREYS, N1, N2, 0.0, "deasy", return_error)


@singledispatch
def _geometric_mean(N1: Distribution, N2: Any, weight: Weight) -> Any:
    return N1.geometric_mean(N2, weight).to_library()


@_geometric_mean.register
def _gaussian_geometric_mean(N1: Gaussian, N2: Gaussian, weight: Weight) -> Gaussian:
    _, _, g1, g2, _ = pair_weights(N1, N2, weight, "nielsen", "weight")
    dtype = common_dtype(N1, N2)
    if not (N1.is_diagonal and N2.is_diagonal):
        (pair, _, _), basis = full_pairs(N1, N2)
        k1 = g1 + g2 * pair.r1
        half = basis * np.sqrt(pair.r1 / k1).astype(float)[..., None, :]
        shift = (basis @ (g1 / k1 * pair.d2).astype(float)[..., None])[..., 0]
        return full_mean((N2.mean + shift).astype(dtype), "cov", (half @ half.swapaxes(-1, -2)).astype(dtype))
    pair = diagonal_pairs(N1, N2)
    with np.errstate(all="ignore"):
        k1, k2 = g1 + g2 * pair.r1, g2 + g1 * pair.r2
        mean = (g1 / k1 * N1.mean + g2 / k2 * N2.mean).astype(dtype)
        if N1.form == N2.form == "logvar":
            return Gaussian(mean, logvar=(N1.scale - np.log(k1)).astype(dtype))
        return diagonal_mean(mean, "var", (spread(N1, k1.dtype)[0] / k1).astype(dtype))


def diagonal_mean(mean: np.ndarray, form: str, scale: np.ndarray) -> Gaussian:
    """A geometric mean of diagonal Gaussians, whose scale has been rounded to its type."""
    if form == "var" and not ((scale > 0) & (scale < np.inf)).all():
        raise ValueError(
            f"a variance of the geometric mean leaves the range of {scale.dtype}; give all scales as logvar="
        )
    return Gaussian(mean, **{form: scale})


def full_mean(mean: np.ndarray, form: str, scale: np.ndarray) -> Gaussian:
    """A geometric mean of full covariances, whose scale has been rounded to its type."""
    try:
        return Gaussian(mean, **{form: scale})
    except ValueError:
        raise ValueError(
            f"the geometric mean is too ill-conditioned for {scale.dtype}: rounded to it, its {form} is singular; "
            "give the Gaussians in float64, or add jitter * I to their covariances"
        ) from None
