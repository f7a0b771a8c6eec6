"""JSG and JSG* for rows of Gaussians with full covariances, from their Cholesky factors, in plain torch operations.

With ``W = L2^-1 L1``, ``A = W W'``, ``V = W^-1`` and ``delta = L2^-1 (m1 - m2)``, the matrices of `formula.py` are

    X = A - I  for e1,      X' = V V' - I  for e2,      K = I + g2 X  for k1,      K' = I + g1 X'  for k2

A Cholesky factor ``I + C`` of ``I + M``, its inverse ``I + H`` and its pivots ``1 + t_j`` give

    tr M - log det(I + M)              = sum_j g(t_j)  + sum_{j<i} C_ij^2
    tr((I + M)^-1 - I) + log det(I + M) = sum_j gs(t_j) + sum_{j<i} H_ij^2

where nothing cancels; ``t``, ``C`` and ``H`` come from ``M``, without the 1 ever being added, and keep its digits.  All
derivatives are made of ``Y = X K^-1``, ``X`` and ``V' V - I``, each of which vanishes where the covariances are equal;
`triton/full.py` computes the same numbers.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from jsgmath import formula
from jsgmath.torch.eager import diagonal
from jsgmath.torch.eager.diagonal import Alpha, Results
from jsgmath.torch.typed import cholesky_ex, solve_triangular


def rows(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Results:  # fmt: skip
    """What `triton.diagonal.rows` returns, for full covariances.

    Means ``(rows, n)`` and Cholesky factors ``(rows, n, n)`` of equal type, of which the lower triangles are read.
    Every result is a differentiable function of every input, so that second derivatives are those of these.
    """
    dtype = mean1.dtype
    work = torch.promote_types(dtype, torch.float32)
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
    pp, kk = _square(p), _square(kappa)
    if dual:
        quadratic1, quadratic2 = pp, kk
    else:
        quadratic1, quadratic2 = g1 * pp + g2 * _square(zeta), g2 * kk + g1 * _square(s)
    largest = torch.finfo(work).max
    kl1 = ((trace1 + g2 * (g2 * quadratic1)) / 2).clamp(max=largest)
    kl2 = ((trace2 + g1 * (g1 * quadratic2)) / 2).clamp(max=largest)
    results: list[Tensor | None] = [formula.skew(w1, w2, kl1, kl2).flatten() if value else None, None, None, None, None]
    if not (grad or by_alpha):
        return results

    # Derivatives are linear in the weights and the two divergences.
    factor = scale if upstream is None else upstream.reshape(-1, 1, 1)
    w1, w2 = factor * w1, factor * w2
    c1, c2 = w1 * g2 * g2, w2 * g1 * g1
    if dual:
        Z = Y @ inverse
        theta, phi = inverse @ zeta, inverse @ kappa
        by_delta = c1 * theta + c2 * phi
        matrix = w1 * g2 * (Y - g1 * Z) + c2 * Z
        square = (g1 * phi) @ (g1 * phi).mT - (g2 * theta) @ (g2 * theta).mT
        by_2 = matrix + c1 * g1 * _twice(kappa, theta) + c2 * square
        by_1 = matrix @ V.mT + (
            c1 * (g1 * g1 * phi @ (W.mT @ phi).mT - g2 * g2 * theta @ (W.mT @ theta).mT)
            - c2 * g2 * (kappa @ (W.mT @ phi).mT + phi @ p.mT)
        )
        by_weight = (w1 * g2 - w2 * g1) * ((Y * Y).sum((-2, -1), keepdim=True) + 2 * kappa.mT @ theta)
    else:
        _, back = _gram(V.mT, f)  # V' V - I
        by_delta = c1 * zeta + c2 * eta
        matrix = w1 * g2 * X - w2 * g1 * back - (w1 + w2) * (g1 * g2) * Y
        by_2 = matrix + c1 * (g1 * _twice(kappa, zeta) + g2 * zeta @ zeta.mT) - c2 * g2 * kappa @ kappa.mT
        by_1 = matrix @ V.mT + (c1 * g1 * kappa @ p.mT - c2 * (g1 * eta @ s.mT + g2 * (eta @ p.mT + kappa @ s.mT)))
        by_weight1 = (X * Y).sum((-2, -1), keepdim=True) + quadratic1 + pp
        by_weight2 = quadratic2 + kk - (back * Y).sum((-2, -1), keepdim=True)
        by_weight = w1 * g2 * by_weight1 - w2 * g1 * by_weight2
    if grad:
        by_mean1, by_tril1, by_tril2 = (
            solve_triangular(tril2.mT, x, upper=True) for x in (by_delta, by_1.tril(), -by_2.tril())
        )
        results[1:4] = by_mean1[..., 0].to(dtype), by_tril1.tril().to(dtype), by_tril2.tril().to(dtype)
    if by_alpha:
        results[4] = (factor * (kl2 - kl1) + slope * by_weight / 2).flatten()
    return results


block_of_rows = rows  # `torch.linalg` takes all at once
rescaled: Callable[..., Results] = partial(diagonal.rescaled, compute=rows)


def _quotient(tril: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
    """``by^-1 tril``, and its diagonal minus one.

    Below the diagonal, the column j of ``tril - ratio_j by`` is formed as ``(tril - by) - (ratio_j - 1) by`` where the
    factors are close.
    """
    diagonal, by_diagonal = (x.diagonal(dim1=-2, dim2=-1)[..., None, :] for x in (tril, by))
    ratio, excess = diagonal / by_diagonal, (diagonal - by_diagonal) / by_diagonal
    right = torch.where(excess.abs() < 0.5, (tril - by) - excess * by, tril - ratio * by)
    strict = solve_triangular(by, right.tril(-1), upper=False)
    return strict + torch.diag_embed(ratio[..., 0, :]), excess[..., 0, :]


def _gram(matrix: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
    """``M M'`` and ``M M' - I``, for a triangular M with diagonal ``1 + excess``."""
    product = matrix @ matrix.mT
    diagonal = excess * (2 + excess) + (matrix.tril(-1) + matrix.triu(1)).square().sum(-1)
    return product, product.tril(-1) + product.triu(1) + torch.diag_embed(diagonal)


def _factor(A: Tensor, X: Tensor, other: Tensor, weight: Tensor, dual: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of ``K = I + weight X = other I + weight A``: its factor R, ``X K^-1``, ``K^-1``, and a sum over its pivots.

    ``R = I + weight C`` and ``R^-1 = I + weight H``, with ``C R' + C' = X``.
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


def _twice(x: Tensor, y: Tensor) -> Tensor:
    """``x y' + y x'``."""
    return x @ y.mT + y @ x.mT
