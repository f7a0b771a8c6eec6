"""The divergences between Gaussians, in nats, computed by `formula.py` on the pair's canonical form."""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jsgmath import formula, special
from jsgmath.gaussian import Gaussian, weight_array
from jsgmath.hints import CONVENTIONS, Convention, GaussianLike, Weight
from jsgmath.interop import as_gaussian, pair_of
from jsgmath.nearest import Divergence
from jsgmath.reduction import reduced
from jsgmath.reduction.diagonal import diagonal_pairs, spread
from jsgmath.reduction.full import full_pairs
from jsgmath.reduction.pairs import ScalarPairs, common_batch, finite
from jsgmath.rounding import diagonal_divergence
from jsgmath.special import g, gs, numpy_kernel


def jsg(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy", return_error: bool = False
) -> Any:
    r"""Skew-geometric Jensen-Shannon divergence from ``N1`` to ``N2``, in nats.

    .. math:: (1-\alpha)\,KL(N_1 \| G) + \alpha\,KL(N_2 \| G)          [1, eq. 8]

    with ``G`` the normalised geometric mean of the two densities [1, eqs. 12-13].

    Args:
        N1, N2: Gaussians of equal dimension; batch shapes broadcast.  A `Gaussian`, or a normal distribution of
            ``scipy.stats``, ``torch.distributions``, NumPyro, distrax or TFP, or of a class that was `register`-ed;
            both of one library.  Or two members of one of the `families`, or what scipy and torch hold of them.
        alpha: weight of ``N2`` in [0, 1]; a float or an array, of the same library, that broadcasts with the batch.
            One of torch or JAX is not checked, since that would wait for the device.
        convention: ``"deasy"``: ``G`` weighs ``N1`` by alpha, so that the ends are KL(N1||N2) and
            KL(N2||N1) [1, eqs. 16-18]; ``"nielsen"``: ``G`` weighs ``N2`` by alpha, both ends are 0 [1, eq. 14; 2].
        return_error: whether to return ``(value, bound)``, the bound being on the absolute error of the value; for
            Gaussians of NumPy.

    Returns:
        One value per batch element, never negative, 0 for equal Gaussians.  Of torch and of JAX an array with
        derivatives, of their type and on their device; full covariances of JAX come out as NumPy's.

    Raises:
        TypeError: an argument that is no Gaussian, two libraries, or an alpha that is no real number.
        ValueError: alpha outside [0, 1], an unknown convention, shapes that do not fit, or covariances so
            ill-conditioned that float64 cannot diagonalise them together.

    Accuracy: within 1 ulp of ball arithmetic on the definition, however close the two Gaussians are
    (``tests/test_accuracy.py``), and whatever the condition of full covariances up to 1e14; of those that differ by the
    same factor in several directions, within 10 (``tests/reduction/test_full.py``).  Of torch and JAX in their own
    arithmetic, near-equal ones without loss (``tests/interop/test_interop.py``).

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
    return _skew(N1, N2, alpha, convention, return_error, dual=False)


def jsg_dual(
    N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, convention: Convention = "deasy", return_error: bool = False
) -> Any:
    r"""Dual skew-geometric Jensen-Shannon divergence from ``N1`` to ``N2``, in nats.

    .. math:: (1-\alpha)\,KL(G \| N_1) + \alpha\,KL(G \| N_2)          [1, eq. 10]

    Arguments, errors and accuracy are those of `jsg`.  With ``"deasy"`` the ends are KL(N2||N1) and KL(N1||N2)
    [1, eq. 19], with ``"nielsen"`` 0 [1, eq. 15], and then the value is the skew Bhattacharyya distance.

    >>> N1, N2 = Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[2.0])
    >>> print(jsg_dual(N1, N2, 0.0), kl(N2, N1))
    0.6534264097200273 0.6534264097200273
    """
    return _skew(N1, N2, alpha, convention, return_error, dual=True)


def kl(N1: GaussianLike, N2: GaussianLike, *, return_error: bool = False) -> Any:
    r"""Kullback-Leibler divergence :math:`KL(N_1 \| N_2)` in nats [1, eq. 2]: `jsg` at alpha 0.

    Arguments, errors and accuracy are those of `jsg`.

    >>> print(kl(Gaussian(mean=[1.0], var=[1.0]), Gaussian(mean=[0.0], var=[1.0])))
    0.5
    """
    return jsg(N1, N2, 0.0, return_error=return_error)


def jeffreys(N1: GaussianLike, N2: GaussianLike, *, return_error: bool = False) -> Any:
    r"""Jeffreys divergence :math:`KL(N_1 \| N_2) + KL(N_2 \| N_1)` in nats: symmetric in its arguments.

    Arguments, errors and accuracy are those of `jsg`.

    >>> print(jeffreys(Gaussian(mean=[1.0], var=[1.0]), Gaussian(mean=[0.0], var=[1.0])))
    1.0
    """
    N1, N2 = pair_of(N1, N2)
    if not isinstance(N1, Gaussian):
        return kl(N1, N2, return_error=return_error) + kl(N2, N1)
    if N1.is_diagonal and N2.is_diagonal:
        return _diagonal(Divergence.JEFFREYS, N1, N2, 0.0, "deasy", return_error)
    (forward, error1, dtype), (backward, error2, _) = (
        _evaluated(N1, N2, alpha, "deasy", dual=False) for alpha in (0.0, 1.0)
    )
    return _with_error(forward + backward, error1 + error2, dtype, return_error)


def bhattacharyya(N1: GaussianLike, N2: GaussianLike, alpha: Weight, *, return_error: bool = False) -> Any:
    r"""Skew Bhattacharyya distance :math:`-\log \int p_1^{1-\alpha} p_2^{\alpha}` in nats [2].

    It is `jsg_dual` by ``convention="nielsen"``.  Arguments, errors and accuracy are those of `jsg`.

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

    Raises:
        ValueError: as in `jsg`.

    >>> geometric_mean(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[3.0], var=[0.5]), 0.5)
    Gaussian(mean=[2.0], var=[0.6666666666666666])
    """
    N1, N2 = pair_of(N1, N2)
    if not isinstance(N1, Gaussian):
        return N1.geometric_mean(N2, weight).held()
    N1, N2, (_, _, g1, g2, _) = arguments(N1, N2, weight, "nielsen", "weight")
    dtype = _dtype(N1, N2)
    if not (N1.is_diagonal and N2.is_diagonal):
        (pair, _, _), basis = full_pairs(N1, N2)
        k1 = g1 + g2 * pair.r1
        half = basis * np.sqrt(pair.r1 / k1).astype(float)[..., None, :]
        shift = (basis @ (g1 / k1 * pair.d2).astype(float)[..., None])[..., 0]
        return Gaussian((N2.mean + shift).astype(dtype), cov=(half @ half.swapaxes(-1, -2)).astype(dtype))
    common_batch(N1, N2)
    pair = diagonal_pairs(N1, N2)
    k1, k2 = g1 + g2 * pair.r1, g2 + g1 * pair.r2
    mean = (g1 / k1 * N1.mean + g2 / k2 * N2.mean).astype(dtype)
    if N1.form == N2.form == "logvar":
        return Gaussian(mean, logvar=(N1.scale - np.log(k1)).astype(dtype))
    return Gaussian(mean, var=(spread(N1)[0] / k1).astype(dtype))


class Gradient(NamedTuple):
    """Derivatives of a divergence between diagonal Gaussians: shape ``(..., n)``, for alpha ``(...)``."""

    mean1: np.ndarray
    var1: np.ndarray
    logvar1: np.ndarray
    mean2: np.ndarray
    var2: np.ndarray
    logvar2: np.ndarray
    alpha: np.ndarray


def jsg_grad(N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy") -> Gradient:
    r"""Derivatives of `jsg` by every parameter of two diagonal Gaussians and by alpha, as a `Gradient`.

    Arguments are those of `jsg`.  Derivatives by the variances and by their logarithms are both given,
    whichever was the form of the input.

    Raises:
        ValueError: as in `jsg`, and for a Gaussian that is not diagonal.

    >>> gradient = jsg_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5)
    >>> print(gradient.mean1, gradient.var1, gradient.alpha)
    [-0.25] [-0.0625] 0.0
    """
    return _skew_grad(formula.to_mean, formula.to_mean_grad, formula.to_mean_by_alpha, g, N1, N2, alpha, convention)


def jsg_dual_grad(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, *, convention: Convention = "deasy"
) -> Gradient:
    """Derivatives of `jsg_dual`, as `jsg_grad`.

    >>> print(jsg_dual_grad(Gaussian(mean=[0.0], var=[1.0]), Gaussian(mean=[1.0], var=[1.0]), 0.5).mean2)
    [0.25]
    """
    return _skew_grad(
        formula.from_mean, formula.from_mean_grad, formula.from_mean_by_alpha, gs, N1, N2, alpha, convention
    )


def _skew(
    N1: GaussianLike, N2: GaussianLike, alpha: Any, convention: Convention, return_error: bool, dual: bool
) -> Any:
    N1, N2 = pair_of(N1, N2)
    if isinstance(N1, Gaussian):
        if N1.is_diagonal and N2.is_diagonal:
            divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
            return _diagonal(divergence, N1, N2, alpha, convention, return_error)
        return _with_error(*_evaluated(N1, N2, alpha, convention, dual), return_error)
    check_convention(convention)
    if return_error:
        raise TypeError("return_error=True goes with Gaussians of NumPy only, whose error is known")
    return N1.skew(N2, alpha, convention, dual)


def _diagonal(
    divergence: Divergence, N1: Gaussian, N2: Gaussian, alpha: ArrayLike, convention: Convention, return_error: bool
) -> Any:
    """The nearest floats; their error is at most half a unit of the last place."""
    weight, shape = _weight_and_shape(N1, N2, alpha, convention, "alpha")
    values = diagonal_divergence(divergence, convention == "deasy", N1, N2, weight, shape)[()]
    if not return_error:
        return values
    with np.errstate(under="ignore", invalid="ignore"):  # the spacing of infinity is NaN
        smallest = np.finfo(values.dtype).smallest_subnormal
        bound = np.where(np.isfinite(values), np.maximum(np.spacing(values) / 2, smallest), np.inf)
    return values, bound.astype(values.dtype)[()]


def _evaluated(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, convention: Convention, dual: bool
) -> tuple[np.ndarray, np.ndarray, np.dtype[Any]]:
    """The divergence in the working precision, a bound on its error, and the type to round it to."""
    N1, N2, (w1, w2, g1, g2, _) = arguments(N1, N2, alpha, convention)
    return *evaluated(N1, N2, w1, w2, g1, g2, dual), _dtype(N1, N2)


def evaluated(
    N1: Gaussian, N2: Gaussian, w1: np.ndarray, w2: np.ndarray, g1: np.ndarray, g2: np.ndarray, dual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The divergence at any weights, in the working precision, and a bound on its error."""
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)

    def divergence(pair: ScalarPairs) -> np.ndarray:
        kl1, kl2 = map(finite, terms(g1, g2, *pair, numpy_kernel(kernel)))
        return formula.skew(w1, w2, kl1, kl2).sum(-1)

    with np.errstate(all="ignore"):
        pair, relative, slack = reduced(N1, N2)
        value = divergence(pair)
        rounding = (special.ROUNDING + N1.dim) * np.finfo(special.WORK).eps
        return value, (rounding + relative) * value + divergence(slack)


def _with_error(exact: np.ndarray, error: np.ndarray, dtype: np.dtype[Any], return_error: bool) -> Any:
    with np.errstate(all="ignore"):
        value = exact.astype(dtype)[()]
        if not return_error:
            return value
        bound = np.where(np.isfinite(value), error + np.abs(exact - value), np.inf)
        return value, np.nextafter(bound.astype(dtype), dtype.type(np.inf))[()]


def _skew_grad(
    terms: Callable[..., tuple[np.ndarray, np.ndarray]],
    derivatives: Callable[..., tuple[np.ndarray, np.ndarray]],
    by_alpha: Callable[..., np.ndarray],
    kernel: Callable[..., np.ndarray],
    N1: GaussianLike,
    N2: GaussianLike,
    alpha: ArrayLike,
    convention: Convention,
) -> Gradient:
    N1, N2, (w1, w2, g1, g2, slope) = arguments(N1, N2, alpha, convention)
    for name, N in (("N1", N1), ("N2", N2)):
        if not N.is_diagonal:
            raise ValueError(f"{name} must be diagonal (var=, logvar= or std=) for its gradient, got {N.form}=")
    common_batch(N1, N2)
    with np.errstate(all="ignore"):
        pair = diagonal_pairs(N1, N2)
        (v1, i1), (v2, i2) = spread(N1), spread(N2)
        kl1, kl2 = map(finite, terms(g1, g2, *pair, numpy_kernel(kernel)))
        numbers = w1, w2, g1, g2, *pair[1:], i1, i2
        mean1, logvar1 = derivatives(*numbers)
        _, logvar2 = derivatives(*formula.exchanged(*numbers))
        derivative = by_alpha(w1, w2, g1, g2, slope, kl1, kl2, *pair[1:]).sum(-1)
        gradient = mean1, logvar1 / v1, logvar1, -mean1, logvar2 / v2, logvar2, derivative
        return Gradient(*(x.astype(_dtype(N1, N2))[()] for x in gradient))


def arguments(
    N1: GaussianLike, N2: GaussianLike, alpha: ArrayLike, convention: Convention, name: str = "alpha"
) -> tuple[Gaussian, Gaussian, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]]:
    """Both Gaussians, and ``w1, w2, g1, g2, slope`` with an axis for the directions, in the working precision."""
    N1, N2 = as_gaussian("N1", N1), as_gaussian("N2", N2)
    weight, _ = _weight_and_shape(N1, N2, alpha, convention, name)
    w2 = weight.astype(special.WORK)[..., None]
    w1 = 1 - w2
    return N1, N2, (w1, w2, *formula.mean_weights(w1, w2, convention == "deasy"))


def _weight_and_shape(
    N1: Gaussian, N2: Gaussian, alpha: ArrayLike, convention: object, name: str
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The weight as an array, and the shape of the result."""
    check_convention(convention)
    weight = weight_array(name, alpha)
    batch = common_batch(N1, N2)
    try:
        return weight, np.broadcast_shapes(weight.shape, batch) if weight.shape else batch
    except ValueError:
        raise ValueError(f"{name} of shape {weight.shape} does not broadcast with batch shape {batch}") from None


def check_convention(convention: object) -> None:
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        raise ValueError(f"convention must be 'deasy' or 'nielsen', got {convention!r}")


def _dtype(N1: Gaussian, N2: Gaussian) -> np.dtype[Any]:
    return np.result_type(N1.dtype, N2.dtype)
