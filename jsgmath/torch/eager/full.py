"""JSG and JSG* for rows of Gaussians with full covariances, from their Cholesky factors, in plain torch operations.

`torch/full_terms.py` has the notation and the formulas; `triton/full.py` computes the same numbers.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jsgmath import formula
from jsgmath.torch import full_terms as terms
from jsgmath.torch.eager import diagonal
from jsgmath.torch.typed import Alpha, Asked, Function, cholesky_ex, linalg, solve_triangular, work_type


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns, for full covariances.

    Means have shape ``(rows, n)``, Cholesky factors ``(rows, n, n)``; all have one type, and only the lower triangles
    are read.  All is computed in float64, because the squares of ratios of scales, which are in the matrices, leave
    the range of float32.  Torch can differentiate every result by every input, which gives the second derivatives.
    """
    dtype, result, work = mean1.dtype, work_type(mean1), torch.float64
    difference = (mean1.to(work) - mean2.to(work))[..., None]
    tril1, tril2 = tril1.to(work).tril(), tril2.to(work).tril()
    if not isinstance(alpha, torch.Tensor):
        alpha = mean1.new_full((1,), alpha, dtype=torch.float64)
    w1, w2 = (w.to(work).reshape(-1, 1, 1) for w in (1 - alpha.double(), alpha))
    g1, g2, slope = formula.mean_weights(w1, w2, reverse)

    W, e = _quotient(tril1, tril2)
    V, f = _quotient(tril2, tril1)
    X = _gram(W, e)
    R, Y, inverse, trace1 = _factor(W, X, g1, g2, dual)
    *_, trace2 = _factor(V, _gram(V, f), g2, g1, dual)
    delta = solve_triangular(tril2, difference, upper=False)
    kappa = torch.cholesky_solve(delta, R)
    p, s = W.mT @ kappa, V @ kappa
    zeta = terms.mean_product(g1, g2, delta, kappa, W @ p)  # A kappa
    eta = V.mT @ s  # A^-1 kappa
    kappa2, p2, zeta2, s2 = _square(kappa), _square(p), _square(zeta), _square(s)
    kl1, kl2, quadratic1, quadratic2 = terms.kl_terms(g1, g2, kappa2, p2, zeta2, s2, trace1, trace2, dual)
    results: list[Tensor | None] = [None] * 5
    if value:
        results[0] = terms.skew(w1, w2, kl1, kl2).flatten().to(result)
    if not (grad or by_alpha):
        return results

    # Derivatives are linear in the weights and the two divergences.
    factor = scale if upstream is None else upstream.to(work).reshape(-1, 1, 1)
    w1, w2 = factor * w1, factor * w2
    weights = w1, w2, g1, g2
    if dual:
        Z = Y @ inverse
        theta, phi = inverse @ zeta, inverse @ kappa
        by_delta = terms.by_displacement(*weights, theta, phi)
        by_Y, by_Z = terms.matrix_from_mean(*weights)
        matrix = by_Y * Y + by_Z * Z
        by_1 = matrix @ V.mT
        left1 = left2 = kappa, theta, phi
        right = terms.outer_from_mean(*weights, *left2, p, W.mT @ theta, W.mT @ phi)
        by_weight = terms.weights_from_mean(*weights, _inner(Y, Y), _inner(kappa, theta))
    else:
        back = _gram(V.mT, f)  # V' V - I
        by_delta = terms.by_displacement(*weights, zeta, eta)
        by_X, by_back, by_Y = terms.matrix_to_mean(*weights)
        matrix = by_back * back + by_Y * Y
        by_1 = matrix @ V.mT + by_X * (W.tril(-1) + torch.diag_embed(e - f))
        matrix = by_X * X + matrix
        left1, left2 = (kappa, eta), (kappa, zeta)
        right = terms.outer_to_mean(*weights, kappa, p, zeta, s)
        by_weight = terms.weights_to_mean(*weights, _inner(X, Y), _inner(back, Y), quadratic1, quadratic2)
    by_1 = by_1 + _outer(left1, right[len(left2) :])
    by_2 = matrix + _outer(left2, right[: len(left2)])
    if grad:
        by_mean1, by_tril1, by_tril2 = (
            solve_triangular(tril2.mT, x, upper=True) for x in (by_delta, by_1.tril(), -by_2.tril())
        )
        results[1:4] = (x.to(result).to(dtype) for x in (by_mean1[..., 0], by_tril1.tril(), by_tril2.tril()))
    if by_alpha:
        results[4] = terms.by_alpha(factor, slope, kl1, kl2, by_weight).flatten().to(result)
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


def _gram(matrix: Tensor, excess: Tensor) -> Tensor:
    """``M M' - I``, for a triangular M with diagonal ``1 + excess``."""
    product = matrix @ matrix.mT
    diagonal = excess * (2 + excess) + (matrix.tril(-1) + matrix.triu(1)).square().sum(-1)
    return product.tril(-1) + product.triu(1) + torch.diag_embed(diagonal)


class Root(Function):
    """The Cholesky factor of ``K = other I + weight W W' = I + M``, as a function of M.

    It is the triangular factor of a QR decomposition of ``sqrt(weight) W'`` on top of ``sqrt(other) I``: forming K
    would square the condition.  Where M is small, K is well conditioned and is factored itself, so that the factor is
    exactly I where M vanishes.  ``M`` carries the derivatives.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(M: Tensor, W: Tensor, other: Tensor, weight: Tensor) -> Tensor:
        identity = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
        stack = torch.cat([weight.sqrt() * W.mT, (other.sqrt() * identity).expand_as(W)], -2)
        R: Tensor = linalg.qr(stack, mode="r").R
        R = (R * torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)[..., None]).mT
        near = _inner(M, M) < 0.25
        return torch.where(near, cholesky_ex(identity + torch.where(near, M, 0.0))[0], R).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (R,) = ctx.saved_tensors
        inner = (R.mT @ upstream[0]).tril()
        inner = inner - 0.5 * torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
        half = solve_triangular(R.mT, solve_triangular(R, inner, upper=False, left=False), upper=True)
        return 0.5 * (half + half.mT), None, None, None


def _factor(W: Tensor, X: Tensor, other: Tensor, weight: Tensor, dual: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The Cholesky factor R of K, ``X K^-1``, ``K^-1`` and the sum over the pivots of K.

    Here ``K = I + weight X = other I + weight W W'``, ``R = I + weight C`` and ``R^-1 = I + weight H``, so that
    ``C R' + C' = X``.  C is computed from X where K is close to I, and from R elsewhere.
    """
    identity = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    M = weight * X
    R = Root.apply(M, W, other, weight)
    r = R.diagonal(dim1=-2, dim2=-1)
    near = _inner(M, M) < 0.25
    C = solve_triangular(R, torch.where(near, X, 0.0), upper=False).mT
    c = C.diagonal(dim1=-2, dim2=-1) * (r / (1 + r))
    C = torch.where(near, C.tril(-1) + torch.diag_embed(c), (R - identity) / torch.where(near, 1.0, weight))
    H = -solve_triangular(R, C, upper=False)
    strict = H.tril(-1)
    part = strict / r[..., None]  # H_ij + weight H_ii H_ij, where the sum would cancel if K is large
    Y = torch.diag_embed(H.diagonal(dim1=-2, dim2=-1) * (1 + 1 / r)) + part + part.mT + weight * (strict.mT @ strict)
    root = solve_triangular(R, identity.expand_as(R), upper=False)
    c = weight[..., 0] * C.diagonal(dim1=-2, dim2=-1)
    k = r * r
    pivots = (diagonal.gs if dual else diagonal.g)(c * (2 + c), k, k, 0.0).sum(-1)[..., None, None]
    strict = weight * (strict if dual else C.tril(-1))
    return R, -Y, root.mT @ root, pivots + strict.square().sum((-2, -1), keepdim=True)


def _square(vector: Tensor) -> Tensor:
    return vector.mT @ vector


def _inner(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the products of their entries."""
    return (x * y).sum((-2, -1), keepdim=True)


def _outer(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The sum of ``x y'`` over pairs of columns."""
    return torch.cat(tuple(left), -1) @ torch.cat(tuple(right), -1).mT
