"""Full covariances out of proportion, in NumPy's long double: what `full.py` and the compiled core could not compute.

They leave pairs to it whose results are not finite although their factors are: squares of ratios of scales have left
the range of a double, and infinities were subtracted.  The formulas are those of `native/full_tensors.cpp`, without its
forms for close factors.  An infinite mean is a very large number here.
"""

# pyright: reportConstantRedefinition=false

import types
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jsgmath import formula, special
from jsgmath.torch import full_terms
from jsgmath.torch.eager.far import INFINITE, WIDE, from_numpy, np
from jsgmath.torch.typed import Alpha


def with_numpy(function: Any, **names: Any) -> Any:
    """A function of `full_terms` for arrays of NumPy."""
    return types.FunctionType(function.__code__, {"where": np.where, **names}, function.__name__)


part = with_numpy(full_terms.part)
mean_product, kl_terms, skew = (
    with_numpy(f, part=part) for f in (full_terms.mean_product, full_terms.kl_terms, full_terms.skew)
)


def replace(
    pair: Sequence[Tensor], alpha: Alpha, results: Sequence[Tensor | None], *,
    dual: bool, reverse: bool, scale: float, upstream: Tensor | None, wrong: Any,
) -> None:  # fmt: skip
    """Computes ``wrong`` rows of the results again, and those that are not finite although factors and means are."""
    if not WIDE:
        return
    for x in results:
        if x is not None and not x.isfinite().all():
            wrong = wrong | ~x.reshape(len(x), -1).isfinite().all(1)
    if not wrong.any():
        return
    mean1, tril1, mean2, tril2 = pair
    for x in (tril1.tril(), tril2.tril()):
        wrong = wrong & x.isfinite().flatten(1).all(1)
    wrong = wrong & ~(mean1 - mean2).isnan().any(1)
    if not wrong.any():
        return
    rows = [x[wrong].double().numpy().astype(np.longdouble) for x in (x.detach() for x in pair)]
    factors: list[Any] = []
    for x in (alpha, scale if upstream is None else scale * upstream):
        x = x.detach()[wrong] if isinstance(x, Tensor) and x.numel() > 1 else x
        factors.append(np.asarray(x, np.longdouble).reshape(-1, 1, 1))
    with np.errstate(all="ignore"):
        arguments: list[Any] = [*rows, *factors, dual, reverse]
        found: Any = _evaluate(*arguments)
        for x, numbers in zip(results, found, strict=True):
            if x is not None:
                x[wrong] = from_numpy(np.broadcast_to(numbers, x[wrong].shape).astype(np.float64)).to(x.dtype)


def out_of_proportion(tril1: Tensor, tril2: Tensor) -> Tensor:
    """Which pairs have scales so far apart that `full.py` clamps or loses what they have in common."""
    both = torch.stack([tril1.detach(), tril2.detach()])
    least = both.diagonal(dim1=-2, dim2=-1).amin((0, 2))
    return both.tril().abs().amax((0, 2, 3)) > 1e15 * least


def _solve(L: Any, X: Any) -> Any:
    """``L^-1 X`` for lower factors L."""
    X = X.copy()
    for j in range(L.shape[-1]):
        X[:, j] /= L[:, j, j, None]
        X[:, j + 1 :] -= L[:, j + 1 :, j, None] * X[:, j, None]
    return X


def _solve_back(L: Any, X: Any) -> Any:
    """``L'^-1 X`` for lower factors L."""
    flipped = L.swapaxes(1, 2)[:, ::-1, ::-1]
    return _solve(flipped, X[:, ::-1])[:, ::-1]


def _root(A: Any, B: Any) -> Any:
    """The lower factor of ``A A' + B B'`` for a lower A with a positive diagonal and a lower B, by reflections."""
    B, R = B.copy(), np.zeros_like(A)
    for j in range(A.shape[-1]):
        a, f = A[:, j, j], B[:, j, :]
        norm = np.hypot(a, np.sqrt((f * f).sum(-1)))
        dot = (B[:, j:] * f[:, None]).sum(-1)
        grown = (f * f).sum(-1) / (a + norm)  # norm - a
        R[:, j:, j] = A[:, j:, j] + (dot - A[:, j:, j] * grown[:, None]) / norm[:, None]
        along = (A[:, j:, j] + dot / (a + norm)[:, None]) / norm[:, None]
        B[:, j:] -= along[:, :, None] * f[:, None]
    return R


def _square(x: Any) -> Any:
    return (x * x).sum((1, 2), keepdims=True)


def _trace(T: Any) -> Any:
    """Half of the sum over the covariances."""
    r = T.diagonal(axis1=1, axis2=2)
    x = r - 1
    sums = (x * x + 2 * special.numpy_kernel(special.g)(x, r, r, 0)).sum(-1)[:, None, None]
    return (sums + _square(np.tril(T, -1))) / 2


def _evaluate(
    mean1: Any, L1: Any, mean2: Any, L2: Any, w2: Any, factor: Any, dual: bool, reverse: bool
) -> tuple[Any, ...]:
    L1, L2 = np.tril(L1), np.tril(L2)
    w1 = 1 - w2
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)
    difference = (np.clip(mean1, -INFINITE, INFINITE) - np.clip(mean2, -INFINITE, INFINITE))[..., None]
    light = g1 < g2  # R is exact where the weight of its first part is large
    first = np.where(light, np.sqrt(g2) * L1, np.sqrt(g1) * L2)
    second = np.where(light, np.sqrt(g1) * L2, np.sqrt(g2) * L1)
    R = _root(first, second)
    T1, T2, U1, U2 = _solve(L2, R), _solve(L1, R), _solve(R, L1), _solve(R, L2)
    white, delta1, delta2 = (_solve(L, difference) for L in (R, L1, L2))
    p, kappa = U1.swapaxes(1, 2) @ white, U2.swapaxes(1, 2) @ white
    theta, phi = U1 @ p, U2 @ kappa
    kappa2, p2 = _square(kappa), _square(p)
    quotient2 = full_terms.quotient_errs_less(g1, g2, _square(delta2), kappa2, _square(T1), _square(theta))
    quotient1 = full_terms.quotient_errs_less(g2, g1, _square(delta1), p2, _square(T2), _square(phi))
    zeta = mean_product(quotient2, g1, g2, delta2, kappa, T1 @ theta)
    s = mean_product(quotient1, g2, g1, delta1, p, T2 @ phi)
    traces = (_trace(U2), _trace(U1)) if dual else (_trace(T1), _trace(T2))
    kl1, kl2, quadratic1, quadratic2 = kl_terms(g1, g2, kappa2, p2, _square(zeta), _square(s), *traces, dual)
    value = skew(w1, w2, kl1, kl2)

    w1, w2 = factor * w1, factor * w2
    weights = w1, w2, g1, g2
    D = U1 @ U1.swapaxes(1, 2) - U2 @ U2.swapaxes(1, 2)
    t1, t2 = T1.swapaxes(1, 2), T2.swapaxes(1, 2)
    if dual:
        inner = U2.swapaxes(1, 2) @ theta
        by_weight = full_terms.weights_from_mean(*weights, _square(D), (kappa * inner).sum((1, 2), keepdims=True))
        x0, x1, x2, y0, y1, y2 = full_terms.outer_from_mean(
            *weights, kappa, inner, U2.swapaxes(1, 2) @ phi, p, U1.swapaxes(1, 2) @ theta, U1.swapaxes(1, 2) @ phi
        )
        both = w1 * g2 - w2 * g1
        means1, means2 = _outer((white, theta, phi), (y0, y1, y2)), _outer((white, theta, phi), (x0, x1, x2))
        by_1 = _solve_back(R, np.tril(part(g2 * both, D @ U1) + part(w2, U1 - t2) + means1))
        by_2 = _solve_back(R, np.tril(part(g1 * both, D @ U2) + part(w1, U2 - t1) - means2))
        by_mean1 = _solve_back(R, full_terms.by_displacement(*weights, theta, phi))
    else:
        by_weight = full_terms.weights_to_mean(*weights, _square(T1 @ D), -_square(T2 @ D), quadratic1, quadratic2)
        x0, x1, y0, y1 = full_terms.outer_to_mean(*weights, kappa, p, zeta, s)
        identity = np.eye(L1.shape[-1], dtype=L1.dtype)

        def by_factor(L: Any, other: Any, T: Any, T_other: Any, U: Any, U_other: Any, own: Any, others: Any, g: Any,
                      means: Any, inner: Any) -> Any:  # fmt: skip
            through = part(own * g, (T - U_other.swapaxes(1, 2)) @ U)
            shared = part(others * g, T_other.swapaxes(1, 2) - U) + _outer((white,), means[:1])
            ended = part(-others, T_other @ T_other.swapaxes(1, 2) - identity) + _outer((inner,), means[1:])
            return (
                _solve_back(other, np.tril(through)) + _solve_back(R, np.tril(shared)) + _solve_back(L, np.tril(ended))
            )

        by_1 = by_factor(L1, L2, T1, T2, U1, U2, w1, w2, g2, (y0, y1), s)
        by_2 = by_factor(L2, L1, T2, T1, U2, U1, w2, w1, g1, (-x0, -x1), zeta)
        by_mean1 = _solve_back(L2, part(w1 * g2 * g2, zeta)) + _solve_back(L1, part(w2 * g1 * g1, s))
    by_alpha = full_terms.by_alpha(factor, slope, kl1, kl2, by_weight)
    return value[:, 0, 0], by_mean1[..., 0], np.tril(by_1), np.tril(by_2), by_alpha[:, 0, 0]


def _outer(left: Sequence[Any], right: Sequence[Any]) -> Any:
    return sum(x @ y.swapaxes(1, 2) for x, y in zip(left, right, strict=True))
