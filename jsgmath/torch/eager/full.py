"""JSG and JSG* for rows of Gaussians with full covariances, from their Cholesky factors, in plain torch operations.

`torch/full_terms.py` has the notation and the formulas; `triton/full.py` computes the same numbers.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from jsgmath import formula
from jsgmath.torch import full_terms as terms
from jsgmath.torch.eager import diagonal
from jsgmath.torch.typed import Alpha, Asked, cholesky_ex, solve_triangular, work_type


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns, for full covariances.

    Means have shape ``(rows, n)``, Cholesky factors ``(rows, n, n)``; all have one type, and only the lower triangles
    are read.  Torch can differentiate every result by every input, which gives the second derivatives.
    """
    dtype = mean1.dtype
    work = work_type(mean1)
    difference = (mean1.to(work) - mean2.to(work))[..., None]
    tril1, tril2 = tril1.to(work).tril(), tril2.to(work).tril()
    if not isinstance(alpha, torch.Tensor):
        alpha = mean1.new_full((1,), alpha, dtype=torch.float64)
    w1, w2 = (w.to(work).reshape(-1, 1, 1) for w in (1 - alpha.double(), alpha))
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)

    W, e = _quotient(tril1, tril2)
    V, f = _quotient(tril2, tril1)
    A, X = _gram(W, e)
    R, Y, inverse, trace1 = _factor(A, X, g1, g2, dual)
    *_, trace2 = _factor(*_gram(V, f), g2, g1, dual)
    kappa = torch.cholesky_solve(solve_triangular(tril2, difference, upper=False), R)
    p, s = W.mT @ kappa, V @ kappa
    zeta, eta = W @ p, V.mT @ s  # A kappa and A^-1 kappa
    kappa2, p2, zeta2, s2 = _square(kappa), _square(p), _square(zeta), _square(s)
    largest = torch.finfo(work).max
    kl1, kl2, quadratic1, quadratic2 = terms.kl_terms(g1, g2, kappa2, p2, zeta2, s2, trace1, trace2, dual, largest)
    results: list[Tensor | None] = [formula.skew(w1, w2, kl1, kl2).flatten() if value else None, None, None, None, None]
    if not (grad or by_alpha):
        return results

    # Derivatives are linear in the weights and the two divergences.
    factor = scale if upstream is None else upstream.reshape(-1, 1, 1)
    w1, w2 = factor * w1, factor * w2
    weights = w1, w2, g1, g2
    if dual:
        Z = Y @ inverse
        theta, phi = inverse @ zeta, inverse @ kappa
        by_delta = terms.by_displacement(*weights, theta, phi)
        by_Y, by_Z = terms.matrix_from_mean(*weights)
        matrix = by_Y * Y + by_Z * Z
        left1 = left2 = kappa, theta, phi
        right = terms.outer_from_mean(*weights, *left2, p, W.mT @ theta, W.mT @ phi)
        by_weight = terms.weights_from_mean(*weights, _inner(Y, Y), _inner(kappa, theta))
    else:
        _, back = _gram(V.mT, f)  # V' V - I
        by_delta = terms.by_displacement(*weights, zeta, eta)
        by_X, by_back, by_Y = terms.matrix_to_mean(*weights)
        matrix = by_X * X + by_back * back + by_Y * Y
        left1, left2 = (kappa, eta), (kappa, zeta)
        right = terms.outer_to_mean(*weights, kappa, p, zeta, s)
        by_weight = terms.weights_to_mean(*weights, _inner(X, Y), _inner(back, Y), quadratic1, quadratic2)
    by_1 = matrix @ V.mT + _outer(left1, right[len(left2) :])
    by_2 = matrix + _outer(left2, right[: len(left2)])
    if grad:
        by_mean1, by_tril1, by_tril2 = (
            solve_triangular(tril2.mT, x, upper=True) for x in (by_delta, by_1.tril(), -by_2.tril())
        )
        results[1:4] = by_mean1[..., 0].to(dtype), by_tril1.tril().to(dtype), by_tril2.tril().to(dtype)
    if by_alpha:
        results[4] = terms.by_alpha(factor, slope, kl1, kl2, by_weight).flatten()
    return results


evaluate_block = evaluate  # `torch.linalg` computes all rows together
rescaled: Callable[..., Asked] = partial(diagonal.rescaled, compute=evaluate)


def _quotient(tril: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    """``by^-1 tril``, and its diagonal minus one.

    Column j of the right side is that of ``tril - ratio_j by``, where ratio is the diagonal of the result.
    """
    diagonal, by_diagonal = (x.diagonal(dim1=-2, dim2=-1)[..., None, :] for x in (tril, by))
    ratio, excess = diagonal / by_diagonal, (diagonal - by_diagonal) / by_diagonal
    right = terms.right_side(tril, by, ratio, excess).tril(-1)
    strict = solve_triangular(by, right, upper=False)
    return strict + torch.diag_embed(ratio[..., 0, :]), excess[..., 0, :]


def _gram(matrix: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
    """``M M'`` and ``M M' - I``, for a triangular M with diagonal ``1 + excess``."""
    product = matrix @ matrix.mT
    diagonal = excess * (2 + excess) + (matrix.tril(-1) + matrix.triu(1)).square().sum(-1)
    return product, product.tril(-1) + product.triu(1) + torch.diag_embed(diagonal)


def _factor(A: Tensor, X: Tensor, other: Tensor, weight: Tensor, dual: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The Cholesky factor R of K, ``X K^-1``, ``K^-1`` and the sum over the pivots of K.

    Here ``K = I + weight X = other I + weight A``, ``R = I + weight C`` and ``R^-1 = I + weight H``, so that
    ``C R' + C' = X``.
    """
    identity = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    R, _ = cholesky_ex(other * identity + weight * A)
    r = R.diagonal(dim1=-2, dim2=-1)
    C = solve_triangular(R, X, upper=False).mT
    c = C.diagonal(dim1=-2, dim2=-1) * (r / (1 + r))
    C = C.tril(-1) + torch.diag_embed(c)
    H = -solve_triangular(R, C, upper=False)
    Y = -(H + H.mT + weight * (H.mT @ H))
    root = solve_triangular(R, identity.expand_as(R), upper=False)
    t = weight[..., 0] * c * (2 + weight[..., 0] * c)
    k = r * r
    pivots = (diagonal.gs if dual else diagonal.g)(t, k, k, 0.0).sum(-1)[..., None, None]
    strict = (weight * (H if dual else C)).tril(-1)
    return R, Y, root.mT @ root, pivots + strict.square().sum((-2, -1), keepdim=True)


def _square(vector: Tensor) -> Tensor:
    return vector.mT @ vector


def _inner(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the products of their entries."""
    return (x * y).sum((-2, -1), keepdim=True)


def _outer(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The sum of ``x y'`` over pairs of columns."""
    return torch.cat(tuple(left), -1) @ torch.cat(tuple(right), -1).mT
