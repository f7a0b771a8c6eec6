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
from jsgmath.torch.eager import diagonal, full_far
from jsgmath.torch.typed import Alpha, Asked, Function, cholesky_ex, linalg, solve_triangular, split, work_type

LARGEST, ROOT = torch.finfo(torch.float64).max, 2.0**512  # ROOT is the square root of the range


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, scale: float = 1.0, upstream: Tensor | None = None, **wanted: Any,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns, for full covariances."""
    pair = mean1, tril1, mean2, tril2
    options: Any = dict(dual=dual, reverse=reverse, scale=scale, upstream=upstream)
    results = evaluate_block(*pair, alpha, **options, **wanted)
    if diagonal.is_plain(mean1):
        full_far.replace(pair, alpha, results, wrong=full_far.out_of_proportion(tril1, tril2), **options)
    return results


def evaluate_block(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """`evaluate` in operations that torch can differentiate.

    Means have shape ``(rows, n)``, Cholesky factors ``(rows, n, n)``; all have one type, and only the lower triangles
    are read.  Everything is computed in float64, because the matrices contain squares of ratios of scales, which leave
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
    K, Y, trace1 = _factor(W, X, g1, g2, dual)
    *_, trace2 = _factor(V, _gram(V, f), g2, g1, dual)
    delta1, delta2 = (solve_triangular(x, difference, upper=False) for x in (tril1, tril2))
    U1, U2, white, back = _whitened(K, W, delta2, difference, tril1, tril2, g1, g2)
    kappa, p = U2.mT @ white, U1.mT @ white
    kappa2, p2 = _square(kappa), _square(p)
    quotient2 = terms.quotient_errs_less(g1, g2, _square(delta2), kappa2, _inner(W, W), p2)
    quotient1 = terms.quotient_errs_less(g2, g1, _square(delta1), p2, _inner(V, V), kappa2)
    zeta = terms.mean_product(quotient2, g1, g2, delta2, kappa, W @ p)  # A kappa
    s = terms.mean_product(quotient1, g2, g1, delta1, p, V @ kappa)
    zeta2, s2 = _square(zeta), _square(s)
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
        theta, phi = U1 @ p, U2 @ kappa
        left = white, theta, phi
        inner = U2.mT @ theta
        right = terms.outer_from_mean(*weights, kappa, inner, U2.mT @ phi, p, U1.mT @ theta, U1.mT @ phi)
        by_weight = terms.weights_from_mean(*weights, _inner(Y, Y), _inner(kappa, inner))
        D, over1, over2 = _differences(_small(X), X, K, U1, U2, W, V)
        first = _from_mean(w1, w2, g1, g2, U1, U2, D, over1, tril1)
        second = _from_mean(w2, w1, g2, g1, U2, U1, -D, -over2, tril2)
        (matrix1, diagonal1), (matrix2, diagonal2) = first, second
        matrix1, matrix2 = matrix1 + _outer(left, right[3:]), matrix2 - _outer(left, right[:3])
        moved = terms.by_displacement(*weights, theta, phi)
        n = W.shape[-1]
        by_mean1, by_1, by_2 = split(back(torch.cat([moved, matrix1.tril(), matrix2.tril()], -1)), [1, n, n], -1)
        by_1, by_2 = by_1 - torch.diag_embed(diagonal1), by_2 - torch.diag_embed(diagonal2)
    else:
        c, a, b = back(white), *(solve_triangular(x.mT, y, upper=True) for x, y in ((tril2, zeta), (tril1, s)))
        by_mean1 = terms.by_displacement(*weights, a, b)
        by_X, by_back, by_Y = terms.matrix_to_mean(*weights)
        excess = _gram(V.mT, f)  # V' V - I
        matrix = terms.part(by_back, excess) + terms.part(by_Y, Y)
        by_1 = matrix @ V.mT + by_X * (W.tril(-1) + torch.diag_embed(e - f))
        by_1, by_2 = (solve_triangular(tril2.mT, x.tril(), upper=True) for x in (by_1, by_X * X + matrix))
        right = terms.outer_to_mean(*weights, kappa, p, zeta, s)
        by_1, by_2 = by_1 + _outer((c, b), right[2:]), -by_2 - _outer((c, a), right[:2])
        by_weight = terms.weights_to_mean(*weights, _inner(X, Y), _inner(excess, Y), quadratic1, quadratic2)
    if grad:
        results[1:4] = (x.to(result).to(dtype) for x in (by_mean1[..., 0], by_1.tril(), by_2.tril()))
    if by_alpha:
        results[4] = terms.by_alpha(factor, slope, kl1, kl2, by_weight).flatten().to(result)
    return results


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
    """``M M' - I``, for a triangular M with diagonal ``1 + excess``; clamped to finite numbers."""
    largest = matrix.detach().abs().amax((-2, -1), keepdim=True)
    down = torch.pow(ROOT, -0.5 * (largest > ROOT / 16).to(matrix.dtype))
    product = matrix * down
    product = product @ product.mT / down / down
    diagonal = excess * (2 + excess) + (matrix.tril(-1) + matrix.triu(1)).square().sum(-1)
    gram = product.tril(-1) + product.triu(1) + torch.diag_embed(diagonal)
    return gram.clamp(-LARGEST, LARGEST)


class Root(Function):
    """The lower Cholesky factor of ``A A' + B B'``, from a QR decomposition of ``A'`` on top of ``B'``.

    Forming the sum would square the condition.  The sum ``total`` is used only for the derivatives.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(total: Tensor, A: Tensor, B: Tensor) -> Tensor:
        R: Tensor = linalg.qr(torch.cat([A.mT, B.mT.expand_as(A)], -2), mode="r").R
        return (R * torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)[..., None]).mT.contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (R,) = ctx.saved_tensors
        inner = (R.mT @ upstream[0]).tril()
        inner = inner - 0.5 * torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
        half = solve_triangular(R.mT, solve_triangular(R, inner, upper=False, left=False), upper=True)
        return 0.5 * (half + half.mT), None, None

    @staticmethod
    def jvp(ctx: Any, total: Tensor, *_: Any) -> Tensor:
        (R,) = ctx.saved_tensors
        inner = solve_triangular(R, solve_triangular(R, total, upper=False).mT, upper=False)
        return R @ (inner.tril(-1) + 0.5 * torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1)))


def _small(matrix: Tensor) -> Tensor:
    return _inner(matrix, matrix) < 0.25


def _whitened(
    K: Tensor, W: Tensor, delta: Tensor, difference: Tensor,
    tril1: Tensor, tril2: Tensor, g1: Tensor, g2: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:  # fmt: skip
    """``R^-1 L1``, ``R^-1 L2``, ``R^-1 (m1 - m2)`` and the function ``R'^-1 x``, where ``R R' = g1 S2 + g2 S1``.

    R is computed from the factors, because the condition of ``L2 K`` is the product of both conditions.  Where that of
    K is small, R is computed from L2 and K.
    """
    total = g1 * (tril2 @ tril2.mT) + g2 * (tril1 @ tril1.mT)
    R = Root.apply(total, g1.sqrt() * tril2, g2.sqrt() * tril1)
    identity = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device).expand_as(W)
    inverse = solve_triangular(K, identity, upper=False)
    near = _inner(K, K) * _inner(inverse, inverse) < 1e4  # the square of a bound on K's condition

    def back(x: Tensor) -> Tensor:
        through = solve_triangular(tril2.mT, solve_triangular(K.mT, x, upper=True), upper=True)
        return torch.where(near, through, solve_triangular(R.mT, x, upper=True))

    through = inverse @ torch.cat([W, identity, delta], -1)
    directly = solve_triangular(R, torch.cat([tril1, tril2, difference], -1), upper=False)
    U1, U2, white = split(torch.where(near, through, directly), [W.shape[-1], W.shape[-1], 1], -1)
    return U1, U2, white, back


def _differences(
    near: Tensor, X: Tensor, K: Tensor, U1: Tensor, U2: Tensor, W: Tensor, V: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """``D = U1 U1' - U2 U2'``, ``D U1'^-1`` and ``D U2'^-1``, which keep their digits where X is small."""
    half = solve_triangular(K, torch.where(near, X, 0.0), upper=False)
    D = torch.where(near, solve_triangular(K, half.mT, upper=False), U1 @ U1.mT - U2 @ U2.mT)
    over2 = D @ K.mT
    over1 = torch.where(near, over2 @ V.mT, U1 - U2 @ V.mT)
    return D, over1, torch.where(near, over2, U1 @ W.mT - U2)


def _from_mean(
    w1: Tensor, w2: Tensor, g1: Tensor, g2: Tensor, U1: Tensor, U2: Tensor, D: Tensor, over: Tensor, tril: Tensor
) -> tuple[Tensor, Tensor]:
    """``R' X + diag(d)`` and d, where X is the part of the derivative of JSG* by ``L1 = tril`` without the means.

    It is ``w1 g2^2 D U1 + w2 g1^2 U2 U2' over``, where ``over = D U1'^-1``.  The second term is also ``w2 (g1 U2 U2' U1
    + g2 U1 - U1'^-1)``.  This form does not contain a quotient of the factors and is taken where it does not cancel.
    The lower triangle of ``R'^-1 U1'^-1 = L1'^-1`` is its diagonal.
    """
    heavy = (g1 > 0.5) & ~_small(over)
    product = U2 @ (U2.mT @ torch.where(heavy, g1 * U1, terms.part(g1 * g1, over))) + torch.where(heavy, g2 * U1, 0.0)
    return terms.part(w1 * g2 * g2, D @ U1) + terms.part(w2, product), torch.where(heavy, w2, 0.0)[
        ..., 0
    ] / tril.diagonal(dim1=-2, dim2=-1)


def _factor(W: Tensor, X: Tensor, other: Tensor, weight: Tensor, dual: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The Cholesky factor R of K, ``X K^-1``, and half of the sum over the pivots of K, which is finite if KL is.

    Here ``K = I + weight X = other I + weight W W'``, ``R = I + weight C`` and ``R^-1 = I + weight H``, so that
    ``C R' + C' = X``.  C is computed from X where K is close to I, and from R elsewhere.
    """
    identity = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    M = weight * X
    near = _small(M)
    close = cholesky_ex(identity + torch.where(near, M, 0.0))[0]  # exactly I where M vanishes
    R = torch.where(near, close, Root.apply(identity + M, weight.sqrt() * W, other.sqrt() * identity))
    r = R.diagonal(dim1=-2, dim2=-1)
    C = solve_triangular(R, torch.where(near, X, 0.0), upper=False).mT
    c = C.diagonal(dim1=-2, dim2=-1) * (r / (1 + r))
    C = torch.where(near, C.tril(-1) + torch.diag_embed(c), (R - identity) / torch.where(near, 1.0, weight))
    H = -solve_triangular(R, C, upper=False)
    strict = H.tril(-1)
    part = strict / r[..., None]  # H_ij + weight H_ii H_ij, where the sum would cancel if K is large
    Y = torch.diag_embed(H.diagonal(dim1=-2, dim2=-1) * (1 + 1 / r)) + part + part.mT + (weight * strict).mT @ strict
    pivots = _pivots(weight[..., 0] * C.diagonal(dim1=-2, dim2=-1), r, dual)[..., None]
    strict = weight * (strict if dual else C.tril(-1))
    return R, -Y, pivots.sum(-2, keepdim=True) + (strict * (0.5 * strict)).sum((-2, -1), keepdim=True)


def _pivots(c: Tensor, r: Tensor, dual: bool) -> Tensor:
    """Half of g or gs of ``(1 + c)^2 - 1``, for ``r = 1 + c``.

    Where the square of r leaves the range, r is divided by a number whose logarithm is added to the result's.
    """
    high, low = ((r > 2.0**500).to(r.dtype), (r < 2.0**-500).to(r.dtype))
    by = torch.pow(2.0**430, high if dual else high - low)  # gs has the inverse of the square
    k = (r / by).square().clamp(min=2.0**-1074)
    if dual:
        return 0.5 * diagonal.gs(c * (2 + c), k, k, 2 * by.log())
    square = torch.where(high == 0, c * (2 + c), 0.0)
    return torch.where(high == 0, 0.5 * diagonal.g(square, k, k, 2 * by.log()), c * (1 + 0.5 * c) - r.log())


def _square(vector: Tensor) -> Tensor:
    return vector.mT @ vector


def _inner(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the products of their entries."""
    return (x * y).sum((-2, -1), keepdim=True)


def _outer(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The sum of ``x y'`` over pairs of columns."""
    return torch.cat(tuple(left), -1) @ torch.cat(tuple(right), -1).mT
