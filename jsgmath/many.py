r"""Divergences of several Gaussians from their weighted product of experts.

    JSG = sum_k w_k KL(N_k || G),      JSG* = sum_k w_k KL(G || N_k),      G = N_1^{g_1} ... N_K^{g_K} / Z

In one dimension, with ``r_kj = v_k/v_j`` and ``e_kj = r_kj - 1``, the scalars of `formula.py` for the pair N_k, G are

    r = sum_j g_j r_kj,    e = sum_j g_j e_kj,    (m_k - m_G)/sqrt(v_k) = sum_j g_j r_kj (m_k - m_j)/sqrt(v_k) / r

so that Gaussians that are close lose nothing.  More than two full covariances cannot be diagonalised together.  For
them the precision of G is summed in twice the precision of float64 and rounded once.  If G has the weights of the sum,
the relative error is a few ulp times the condition of G.

[4] As the mean of several experts: Sutter, Daunhawer, Vogt 2020, https://arxiv.org/abs/2006.08242
"""

# pyright: reportConstantRedefinition=false

import math
from functools import singledispatch
from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.checks import check_dimensions, common_shape, number_between_0_and_1, real_array
from jsgmath.divergences import evaluated
from jsgmath.families.arithmetic import Array, arithmetic, library_of, total
from jsgmath.families.distribution import Distribution
from jsgmath.families.normal import terms_to_mean
from jsgmath.gaussian import Gaussian
from jsgmath.interop.batches import members
from jsgmath.reduction.diagonal import diagonal_pairs
from jsgmath.reduction.full import precision_of

ROUNDED = 1e-6  # allowed difference of a sum of weights from 1, for weights in float32


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
        TypeError, ValueError: as in `jsg`; or the number, signs or sum of the weights are wrong.

    Accuracy: that of `jsg` for K = 2; within 4 ulp for diagonal Gaussians (``tests/test_many.py``).  For more than two
    full covariances the error in ulp is about the condition of G.

    References:
        [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599
        [4] Sutter et al. 2020, https://arxiv.org/abs/2006.08242

    >>> experts = [Gaussian(mean=[mean], var=[1.0]) for mean in (0.0, 1.0, 2.0)]
    >>> print(jsg_many(experts, [0.25, 0.5, 0.25]), jsg_many(experts, [0.25, 0.5, 0.25], dual=True))
    0.25 0.25
    """
    found = members("gaussians", gaussians)
    w = weights_of("weights", weights, found)
    g = w if mean_weights is None else weights_of("mean_weights", mean_weights, found)
    return _divergence(found[0], found, w, g, dual)


def geometric_mean_many(gaussians: Any, weights: Any) -> Any:
    r"""The normalised geometric mean, or product of experts, of K Gaussians [4; for K = 2: 1, eqs. 12-13].

    .. math:: S = (\sum_k w_k S_k^{-1})^{-1}, \quad m = S \sum_k w_k S_k^{-1} m_k

    Arguments and errors are those of `jsg_many`.

    >>> geometric_mean_many([Gaussian(mean=[mean], var=[2.0]) for mean in (0.0, 1.0, 5.0)], [0.5, 0.25, 0.25])
    Gaussian(mean=[1.5], var=[2.0])
    """
    found = members("gaussians", gaussians)
    return _geometric_mean(found[0], found, weights_of("weights", weights, found))


def weights_of(name: str, weights: Any, found: list[Any]) -> list[Array]:
    """One array of weights for each member.  Weights that are tensors are not checked."""
    library = found[0].library
    if len(weights) != len(found):
        raise ValueError(f"{name} must be as many as the Gaussians, got {len(weights)} for {len(found)}")
    if library_of(weights) in ("torch", "JAX"):
        if library_of(weights) != library:
            raise TypeError(f"{name} are of {library_of(weights)} but the Gaussians of {library}; convert one of them")
        return list(weights)
    if library != "NumPy":
        return [arithmetic(library).array(x, found[0].mean) for x in _numbers(name, weights)]
    w = real_array(name, weights)
    if not (w >= 0).all():
        raise ValueError(f"{name} must not be negative, got {w[~(w >= 0)].flat[0]}")
    total = w.astype(special.WORK).sum(0)
    if not (abs(total - 1) < ROUNDED).all():
        raise ValueError(f"{name} must sum to 1, got a sum of {float(np.ravel(total)[np.argmax(abs(total - 1))]):.6g}")
    w = w.astype(special.WORK)
    # If the sum is 1 except for rounding, the first weight is computed from the others, as 1 - alpha is.
    rounded = abs(total - 1) <= len(w) * np.finfo(float).eps
    w = np.where(rounded, np.concatenate([1 - w[1:].sum(0, keepdims=True), w[1:]]), w / total)
    return list(w)


def _numbers(name: str, weights: Any) -> list[float]:
    """Checks plain numbers as weights of tensors, in Python code that torch.compile can trace."""
    numbers = [number_between_0_and_1(f"each of {name}", x) for x in weights]
    whole = math.fsum(numbers)
    if abs(whole - 1) > ROUNDED:
        raise ValueError(f"{name} must sum to 1, got a sum of {whole:.6g}")
    return [x / whole for x in numbers]


@singledispatch
def _divergence(first: Distribution, found: list[Any], w: list[Array], g: list[Array], dual: bool) -> Array:
    """The weighted sum of the divergences of ``found`` from their mean; ``first`` is ``found[0]``."""
    return first.jsg_many(found, w, g, dual)


@_divergence.register
def _gaussian_divergence(
    first: Gaussian, found: list[Gaussian], w: list[np.ndarray], g: list[np.ndarray], dual: bool
) -> Any:
    _check_shapes(found)
    dtype = np.result_type(*(N.dtype for N in found))
    with np.errstate(all="ignore"):
        if len(found) == 2:
            (N1, N2), (w1, w2, g1, g2) = found, (x[..., None] for x in (*w, *g))
            value, _ = evaluated(N1, N2, w1, w2, g1, g2, dual)
        elif all(N.is_diagonal for N in found):
            pairs = [[diagonal_pairs(x, y) for y in found] for x in found]
            terms = terms_to_mean(pairs, [x[..., None] for x in g], arithmetic("NumPy"), dual)
            value = total(weight * term.sum(-1) for weight, term in zip(w, terms, strict=True))
        else:
            G, origin = _dense_product(found, g)
            value = np.zeros((), special.WORK)
            one, zero = np.array([[1], [0]], special.WORK)
            for weight, N in zip(w, found, strict=True):
                near = Gaussian.checked(N.form, N.mean - origin, N.scale, N.factor if not N.is_diagonal else None)
                value = value + weight * evaluated(near, G, one, zero, zero, one, dual)[0]
        return np.asarray(value).astype(dtype)[()]


@singledispatch
def _geometric_mean(first: Distribution, found: list[Any], g: list[Array]) -> Any:
    return first.product(found, g).to_library()


@_geometric_mean.register
def _gaussian_geometric_mean(first: Gaussian, found: list[Gaussian], g: list[np.ndarray]) -> Gaussian:
    _check_shapes(found)
    dtype = np.result_type(*(N.dtype for N in found))
    if not all(N.is_diagonal for N in found):
        with np.errstate(all="ignore"):
            G, origin = _dense_product(found, g)
            mean, precision = (G.mean + origin).astype(dtype), G.precision.astype(dtype)
        return Gaussian(mean, precision=precision)
    g = [x[..., None] for x in g]
    with np.errstate(all="ignore"):
        pairs = [diagonal_pairs(first, N) for N in found]
        k = total(weight * pair.r1 for weight, pair in zip(g, pairs, strict=True))
        mean = total(weight * pair.r1 / k * N.mean for weight, pair, N in zip(g, pairs, found, strict=True))
        if all(N.form == "logvar" for N in found):
            return Gaussian(mean.astype(dtype), logvar=(first.scale - np.log(k)).astype(dtype))
        return Gaussian(mean.astype(dtype), var=(first.var.astype(special.WORK) / k).astype(dtype))


def _check_shapes(found: list[Gaussian]) -> None:
    for N in found[1:]:
        check_dimensions(found[0].dim, N.dim)
    common_shape("batch shapes", {f"gaussians[{i}]": N.batch_shape for i, N in enumerate(found)})


def _dense_product(found: list[Gaussian], g: list[np.ndarray]) -> tuple[Gaussian, np.ndarray]:
    """G, and the mean of largest weight as the origin of its coordinates, so that a mean far away costs no digits."""
    means, shares = (np.stack(np.broadcast_arrays(*x)) for x in ([N.mean for N in found], [w[..., None] for w in g]))
    means, shares = np.broadcast_arrays(means.astype(float), shares)
    origin = np.take_along_axis(means, shares.argmax(0)[None], 0)[0]
    precisions = [weight[..., None, None] * precision_of(N) for weight, N in zip(g, found, strict=True)]
    P: np.ndarray = total(precisions)
    force: np.ndarray = total(S @ (N.mean - origin)[..., None] for S, N in zip(precisions, found, strict=True))
    rounded = P.astype(float)
    mean = np.linalg.solve(rounded, force.astype(float))
    mean = mean + np.linalg.solve(rounded, (force - P @ mean).astype(float))
    return Gaussian(mean[..., 0], precision=rounded), origin
