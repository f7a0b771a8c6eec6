r"""Divergences of several Gaussians from their weighted product of experts.

    JSG = sum_k w_k KL(N_k || G),      JSG* = sum_k w_k KL(G || N_k),      G = N_1^{g_1} ... N_K^{g_K} / Z

`rounding.several` has the scalars of each pair N_k, G in one dimension.  The core computes more than two full
covariances.  What it leaves open, `reduction.product` diagonalises, each N_k together with G, where they are large, and
`rounding.nearest_many_full` computes with whole numbers.

[4] As the mean of several experts: Sutter, Daunhawer, Vogt 2020, https://arxiv.org/abs/2006.08242
"""

# pyright: reportConstantRedefinition=false

import math
from contextlib import suppress
from functools import singledispatch
from typing import Any, cast

import numpy as np

from jsgmath import special
from jsgmath.checks import check_dimensions, common_shape, number_between_0_and_1, real_array
from jsgmath.divergences import diagonal_mean, full_mean
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries import arithmetic
from jsgmath.families.libraries.arithmetic import Array, library_of
from jsgmath.gaussian import Gaussian
from jsgmath.interop.base import image_of
from jsgmath.interop.batches import members, representative
from jsgmath.reduction.product import product_of
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.of_many import diagonal_product, divergence_of_many, full_divergence_of_many
from jsgmath.rounding.of_pairs import rounded_divergence
from jsgmath.rounding.several import EXACT, ROUNDED, wide_weights


def jsg_many(gaussians: Any, weights: Any, *, mean_weights: Any = None, dual: bool = False) -> Array:
    r"""Skew-geometric Jensen-Shannon divergence of K Gaussians from their weighted product of experts, in nats.

    .. math:: \sum_k w_k\,KL(N_k \| G), \quad G \propto \prod_k N_k^{w_k}         [4; for K = 2: 1, eq. 8]

    Args:
        gaussians: a sequence of K Gaussians, each as in `jsg`, whose batch shapes broadcast; or one batch, whose first
            axis has length K.
        weights: K non-negative numbers that sum to 1, or an array ``(K, ...)`` that broadcasts with the batch.
            A tensor is not checked; its derivatives are right in directions that keep the sum at 1.
        mean_weights: the weights of ``G``, in the same form; by default those of the sum.  For K = 2,
            ``mean_weights=weights[::-1]`` is ``convention="deasy"``.
        dual: whether to take ``KL(G || N_k)``, as in JSG* [1, eq. 10].

    Returns:
        One value per batch element, never negative.  For K = 2 it is `jsg`, or `jsg_dual`, with
        ``convention="nielsen"``.

    Raises:
        TypeError, ValueError, ArithmeticError: as in `jsg`; or the number, signs or sum of the weights are wrong.

    Accuracy: correctly rounded in NumPy for any number of Gaussians, diagonal or of full covariance, over the whole
    range of float64 and on every machine, and 0 for equal ones, also in two forms
    (``tests/rounding/test_nearest_many.py``).
    If the sum of the weights is 1 except for rounding, the largest weight is computed from the others; otherwise the
    weights are divided by their sum, without rounding.  A Gaussian whose weights are zero is left out.

    References:
        [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599
        [4] Sutter et al. 2020, https://arxiv.org/abs/2006.08242

    >>> experts = [Gaussian(mean=[mean], var=[1.0]) for mean in (0.0, 1.0, 2.0)]
    >>> print(jsg_many(experts, [0.25, 0.5, 0.25]), jsg_many(experts, [0.25, 0.5, 0.25], dual=True))
    0.25 0.25
    """
    found = _gaussians(gaussians)
    w = weights_of("weights", weights, found)
    g = w if mean_weights is None else weights_of("mean_weights", mean_weights, found)
    return _divergence(*_counted(found, w, g), dual, found)


def geometric_mean_many(gaussians: Any, weights: Any) -> Any:
    r"""The normalised geometric mean, or product of experts, of K Gaussians [4; for K = 2: 1, eqs. 12-13].

    .. math:: S = (\sum_k w_k S_k^{-1})^{-1}, \quad m = S \sum_k w_k S_k^{-1} m_k

    Arguments and errors are those of `jsg_many`.

    Accuracy: diagonal Gaussians give the nearest floats, except for one in a million; if the terms of a mean cancel,
    its error is relative to their sizes.

    >>> geometric_mean_many([Gaussian(mean=[mean], var=[2.0]) for mean in (0.0, 1.0, 5.0)], [0.5, 0.25, 0.25])
    Gaussian(mean=[1.5], var=[2.0])
    """
    found = _gaussians(gaussians)
    w = weights_of("weights", weights, found)
    first, counted, _, g = _counted(found, w, w)
    mean = _geometric_mean(first, counted, g, found)
    return image_of(representative(gaussians), mean)


def _gaussians(gaussians: Any) -> list[Any]:
    """Converts the arguments to distributions of one class, which must have products of experts."""
    found = members("gaussians", gaussians)
    kind = cast(Any, type(found[0]))
    if kind is not Gaussian and kind.product.__func__ is Distribution.product.__func__:
        kind.product(found, [])  # raises, with the reason
    return found


def weights_of(name: str, weights: Any, found: list[Any]) -> list[Array]:
    """Returns one array of weights, or one plain number, for each Gaussian.  Tensors are not checked."""
    library = found[0].library
    count = _length(weights)
    if not count:
        kind = type(weights).__name__
        raise TypeError(f"{name} must be a list or an array of one number for each Gaussian, got {kind}")
    if count != len(found):
        raise ValueError(f"{name} must have one entry for each Gaussian, got {count} for {len(found)} Gaussians")
    if library_of(weights) in ("torch", "JAX"):
        if library_of(weights) != library:
            raise TypeError(f"{name} are of {library_of(weights)} but the Gaussians of {library}; convert one of them")
        return list(weights)
    if library != "NumPy":
        return _numbers(name, weights)
    w = real_array(name, weights)
    if not (w >= 0).all():
        raise ValueError(f"{name} must not be negative, got {w[~(w >= 0)].flat[0]}")
    total = w.sum(0, dtype=np.float64)
    if not (abs(total - 1) < ROUNDED).all():
        raise ValueError(f"{name} must sum to 1, got a sum of {float(np.ravel(total)[np.argmax(abs(total - 1))]):.6g}")
    return [np.asarray(x, np.float64) for x in w]


def _length(weights: Any) -> int:
    """The number of weights; 0 if they are not a sequence."""
    with suppress(TypeError):
        return 0 if type(weights) in (set, dict) else len(weights)
    return 0


def _numbers(name: str, weights: Any) -> list[float]:
    """Checks weights that are plain numbers and belong to tensors; torch.compile can trace this function."""
    numbers = [number_between_0_and_1(f"each of {name}", x) for x in weights]
    whole = math.fsum(numbers)
    if abs(whole - 1) > ROUNDED:
        raise ValueError(f"{name} must sum to 1, got a sum of {whole:.6g}")
    return [x / whole for x in numbers]


def _counted(found: list[Any], w: list[Array], g: list[Array]) -> tuple[Any, list[Any], list[Array], list[Array]]:
    """Leaves out Gaussians whose weights are zero; returns the first one, all of them, and their two lists of weights.

    The numbers in tensors are not read.  Plain numbers become arrays of the library.
    """
    kept = [(N, *pair) for N, *pair in zip(found, w, g, strict=True) if not all(map(_is_zero, pair))]
    first, m = kept[0][0], arithmetic(found[0].library)
    rows = [(N, *(m.array(x, first.mean) if isinstance(x, float) else x for x in pair)) for N, *pair in kept]
    members, sums, means = map(list, zip(*rows, strict=True))
    return first, members, sums, means


def _normalised(first: Distribution, weights: list[Array]) -> list[Array]:
    """Makes the sum of NumPy's weights 1, in the working precision; returns those of other libraries unchanged."""
    if first.library != "NumPy":
        return weights
    exact = wide_weights(np.stack(weights))
    return list(exact.high.astype(special.WORK) + exact.low)


def _is_zero(weight: Array) -> bool:
    if isinstance(weight, float):
        return weight == 0.0
    return isinstance(weight, np.ndarray | np.generic) and not np.count_nonzero(cast(Any, weight))


@singledispatch
def _divergence(
    first: Distribution, found: list[Any], w: list[Array], g: list[Array], dual: bool, everyone: list[Any]
) -> Array:
    """The weighted sum of the divergences of ``found`` from their mean; ``first`` is ``found[0]``.

    ``everyone`` has all Gaussians, also those of weight zero; the result has their batch shape.
    """
    value = first.jsg_many(found, _normalised(first, w), _normalised(first, g), dual)
    return first.arithmetic.broadcast(value, np.broadcast_shapes(value.shape, *(N.batch_shape for N in everyone)))


@_divergence.register
def _gaussian_divergence(
    first: Gaussian,
    found: list[Gaussian],
    w: list[np.ndarray],
    g: list[np.ndarray],
    dual: bool,
    everyone: list[Gaussian],
) -> Any:
    batch = _check_shapes(everyone, weights=w, mean_weights=g)
    dtype = np.result_type(*(N.dtype for N in everyone))
    with np.errstate(all="ignore"):
        value = _of_pair(found, w, g, dual) if len(found) == 2 else None
        if value is None:
            compute = divergence_of_many if all(N.is_diagonal for N in found) else full_divergence_of_many
            value = compute(found, w, g, dual, batch, dtype == np.float32)
        value = value if value.shape == batch else np.broadcast_to(value, batch)
        return value.astype(dtype, copy=value.base is not None)[()]


def _of_pair(found: list[Gaussian], w: list[np.ndarray], g: list[np.ndarray], dual: bool) -> np.ndarray | None:
    """`jsg` or `jsg_dual` of two Gaussians, if the weights are those of one of its conventions."""
    if not (np.abs(w[0] + w[1] - 1) <= EXACT).all():
        return None
    if all(map(np.array_equal, g, w)):
        convention = "nielsen"
    elif all(map(np.array_equal, g, w[::-1])):
        convention = "deasy"
    else:
        return None
    for (N1, N2), (larger, alpha) in ((found, w), (found[::-1], w[::-1])):
        if (alpha <= larger).all():
            alpha = np.where(alpha == larger, 0.5, alpha)
            return rounded_divergence(
                Divergence.JSG_DUAL if dual else Divergence.JSG, N1, N2, alpha, convention, return_error=False
            )
    return None


@singledispatch
def _geometric_mean(first: Distribution, found: list[Any], g: list[Array], everyone: list[Any]) -> Any:
    """The mean of ``found``, with the other arguments of `_divergence`."""
    return first.product(found, _normalised(first, g)).to_library()


@_geometric_mean.register
def _gaussian_geometric_mean(
    first: Gaussian, found: list[Gaussian], g: list[np.ndarray], everyone: list[Gaussian]
) -> Gaussian:
    batch = _check_shapes(everyone, weights=g)
    dtype = np.result_type(*(N.dtype for N in everyone))
    with np.errstate(all="ignore"):
        if all(N.is_diagonal for N in found):
            mean, form, scale = diagonal_product(found, g, batch)
            return diagonal_mean(mean.astype(dtype), form, scale.astype(dtype))
        exact = wide_weights(np.stack(g))
        mean, precision = (x.high.astype(dtype) for x in product_of(found, [exact[i] for i in range(len(found))]))
    return full_mean(mean, "precision", precision)


def _check_shapes(found: list[Gaussian], **weights: list[np.ndarray]) -> tuple[int, ...]:
    """Checks dimensions and batch shapes; returns the batch shape of the result."""
    for N in found[1:]:
        check_dimensions(found[0].dim, N.dim)
    named = [("gaussians", [N.batch_shape for N in found]), *((x, [w.shape for w in y]) for x, y in weights.items())]
    return common_shape("batch shapes", {f"{x}[{i}]": shape for x, y in named for i, shape in enumerate(y)})
