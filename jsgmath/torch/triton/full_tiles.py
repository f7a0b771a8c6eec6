"""Full covariances up to n = 64 in Triton: a program has tiles ``[PAIRS, SIZE, SIZE]`` and processes them row by row.

SIZE is n rounded up to a power of two; beyond n the matrices are the identity.  A vector along the rows has shape
``[PAIRS, SIZE, 1]``, a vector along the columns ``[PAIRS, 1, SIZE]``, which takes fewer registers of a thread.  Where
both are needed, the name of the second ends in an underscore.  `triton/full.py` explains the factorisation.
"""

import triton
import triton.language as tl

from jsgmath.torch.triton.full_terms import (
    by_alpha,
    by_displacement,
    is_hard,
    kl_terms,
    matrix_from_mean,
    matrix_to_mean,
    mean_product,
    must_compute_pairs,
    outer_from_mean,
    outer_to_mean,
    pair_weights,
    pivot_terms,
    quotient_errs_less,
    right_side,
    skew,
    weights_from_mean,
    weights_to_mean,
)
from jsgmath.torch.triton.scalar import device


# fmt: off
@device
def tile_quotient(tril, by, mask, row, column, N: tl.constexpr, SIZE: tl.constexpr, FLOAT: tl.constexpr):
    """``by^-1 tril`` from pointers to both, and its diagonal minus one, along the columns."""
    diagonal = tl.load(tril + column * (N + 1), mask=mask & (column < N), other=1.0).to(FLOAT)
    by_diagonal = tl.load(by + column * (N + 1), mask=mask & (column < N), other=1.0).to(FLOAT)
    ratio = diagonal / by_diagonal
    excess = (diagonal - by_diagonal) / by_diagonal
    quotient = tl.zeros([mask.shape[0], SIZE, SIZE], FLOAT)
    for i in range(N):
        right = tl.load(tril + i * N + column, mask=mask & (column < i), other=0.0).to(FLOAT)
        by_right = tl.load(by + i * N + column, mask=mask & (column < i), other=0.0).to(FLOAT)
        along = tl.load(by + i * N + row, mask=mask & (row < i), other=0.0).to(FLOAT)
        inverse = 1.0 / tl.load(by + i * (N + 1), mask=mask, other=1.0).to(FLOAT)
        new = (right_side(right, by_right, ratio, excess) - tl.sum(along * quotient, 1, keep_dims=True)) * inverse
        quotient = tl.where(row == i, new, quotient)
    return tl.where(row == column, ratio, quotient), ratio, excess


@device
def _tile_solve(tril, mean1, mean2, mask, column, N: tl.constexpr, SIZE: tl.constexpr, FLOAT: tl.constexpr):
    """``tril^-1 (mean1 - mean2)`` from pointers to all."""
    solution = tl.zeros([mask.shape[0], 1, SIZE], FLOAT)
    for i in range(N):
        along = tl.load(tril + i * N + column, mask=mask & (column < i), other=0.0).to(FLOAT)
        inverse = 1.0 / tl.load(tril + i * (N + 1), mask=mask, other=1.0).to(FLOAT)
        difference = (tl.load(mean1 + i, mask=mask, other=0.0).to(FLOAT)
                      - tl.load(mean2 + i, mask=mask, other=0.0).to(FLOAT))
        new = (difference - tl.sum(along * solution, 2, keep_dims=True)) * inverse
        solution = tl.where(column == i, new, solution)
    return solution


@device
def _tile_factor(W, ratio, excess, g1, g2, row, column, N: tl.constexpr, DUAL: tl.constexpr, INVERSE: tl.constexpr):
    """H below its diagonal, its diagonal, that of R^-1, and half of the sum over the pivots; see `triton/full.py`.

    Without INVERSE, H is zero.
    """
    root2 = tl.sqrt(g2)
    F = 0 * W
    H = 0 * W
    total = 0 * g1
    x = 0 * ratio
    k = x + 1.0
    for p in range(N):
        here = column == p
        f = tl.sum(tl.where(row == p, F, 0.0), 1, keep_dims=True)
        square = g1 * tl.sum(f * f, 2, keep_dims=True)
        w = tl.sum(tl.where(here, ratio, 0.0), 2, keep_dims=True)
        e = tl.sum(tl.where(here, excess, 0.0), 2, keep_dims=True)
        pivot = g2 * (w * w) + (g1 + g2 * square)
        norm = tl.sqrt(pivot)
        inverse = 1.0 / norm
        x = tl.where(here, e * (2.0 + e) + square, x)
        k = tl.where(here, pivot, k)
        below = tl.sum(tl.where(here & (row > p), W, 0.0), 2, keep_dims=True)
        dot = tl.where(row > p, tl.sum(F * f, 2, keep_dims=True), 0.0)
        C = (w * below + g1 * dot) * inverse
        if not DUAL:
            total += tl.sum(C * C, 1, keep_dims=True)
        share = root2 * (root2 * w + norm) / (1.0 + g2 * tl.sum(f * f, 2, keep_dims=True))
        u = tl.where(g1 > 0, (below - share * dot) * inverse, 0.0)
        F += u * tl.where(here, 1.0, root2 * f)
        if INVERSE:
            h = tl.sum(tl.where(row == p, H, 0.0), 1, keep_dims=True) * inverse
            H = tl.where(row == p, h, H - C * tl.where(here, inverse, g2 * h))
    if DUAL:
        total += tl.sum(tl.sum(H * H, 1, keep_dims=True), 2, keep_dims=True)
    norm = tl.sqrt(k)
    inverses = 1.0 / norm
    total = (g2 * g2) * total + tl.sum(pivot_terms(g2 * x, k, DUAL), 2, keep_dims=True)
    return H, -x / (1.0 + norm) * inverses, inverses, 0.5 * total


@device
def _tile_transpose_solve(tril, right, mask, column, N: tl.constexpr, FLOAT: tl.constexpr):
    """``tril'^-1 right``."""
    for step in range(N):
        i = N - 1 - step
        below = tl.load(tril + column * N + i, mask=mask & (column > i) & (column < N), other=0.0).to(FLOAT)
        inverse = 1.0 / tl.load(tril + i * (N + 1), mask=mask, other=1.0).to(FLOAT)
        part = tl.where(column == i, inverse, -inverse * below)
        right = tl.where(column == i, tl.sum(part * right, 2, keep_dims=True), right)
    return right


@device
def _tile_square(x):
    """The sum of the squares of its entries."""
    return tl.sum(tl.sum(x * x, 2, keep_dims=True), 1, keep_dims=True)


@device
def times_transpose(x, y, SIZE: tl.constexpr):
    """``x y'``, column by column: tl.dot takes too many registers, and for n = 16 the compiler of Triton 3.9 aborts."""
    column = tl.arange(0, SIZE)[None, None, :]
    product = 0 * x
    for k in range(SIZE):
        x_column = tl.sum(tl.where(column == k, x, 0.0), 2, keep_dims=True)
        y_column = tl.sum(tl.where(column == k, y, 0.0), 2, keep_dims=True)
        product += x_column * tl.permute(y_column, (0, 2, 1))
    return product


@device
def _tile_gram(matrix, excess, on_diagonal):
    """``M M' - I`` for a triangular M with diagonal ``1 + excess``."""
    strict = tl.where(on_diagonal, 0.0, matrix)
    squares = tl.permute(tl.sum(strict * strict, 2, keep_dims=True), (0, 2, 1))
    product = times_transpose(matrix, matrix, matrix.shape[1])
    return tl.where(on_diagonal, excess * (2.0 + excess) + squares, product)


@device
def _tile_ratio(H, diagonal, inverses, g2, on_diagonal):
    """``X K^-1`` from ``R^-1 = I + g2 H``: H below its diagonal, its diagonal and that of R^-1."""
    transpose = tl.permute(H, (0, 2, 1))
    part = transpose * inverses  # H_ij + g2 H_ii H_ij
    part = tl.where(on_diagonal, diagonal * (1.0 + inverses), part + tl.permute(part, (0, 2, 1)))
    return -(part + g2 * times_transpose(transpose, transpose, H.shape[1]))


@device
def _tile_pairs(
    mean1, tril1, mean2, tril2, alpha, alphas, upstream, value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale,
    N: tl.constexpr, PAIRS: tl.constexpr, SIZE: tl.constexpr, S_ALPHA, S_UPSTREAM,
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr,
    AGAIN: tl.constexpr,
):
    """Each program takes ``PAIRS`` pairs."""
    at = (tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS))[:, None, None]
    mask = at < rows
    if AGAIN:
        mask &= tl.load(hard + at, mask=mask, other=0) != 0
    row = tl.arange(0, SIZE)[None, :, None]
    column = tl.arange(0, SIZE)[None, None, :]
    on_diagonal = row == column
    w1, w2, g1, g2, slope, factor = pair_weights(
        alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT, REVERSE)
    L1 = tril1 + at * (N * N)
    L2 = tril2 + at * (N * N)

    delta_ = _tile_solve(L2, mean1 + at * N, mean2 + at * N, mask, column, N, SIZE, FLOAT)
    V, ratio, f = tile_quotient(L2, L1, mask, row, column, N, SIZE, FLOAT)
    _, _, _, trace2 = _tile_factor(V, ratio, f, g2, g1, row, column, N, DUAL, DUAL)
    W, ratio, e = tile_quotient(L1, L2, mask, row, column, N, SIZE, FLOAT)
    H, diagonal, inverses, trace1 = _tile_factor(W, ratio, e, g1, g2, row, column, N, DUAL, True)

    delta = tl.permute(delta_, (0, 2, 1))
    # R^-1 delta, with the stored diagonal of R^-1, because 1 + g2 H would lose digits where K is large.
    half = tl.permute(inverses * delta_, (0, 2, 1)) + g2 * tl.sum(H * delta_, 2, keep_dims=True)
    kappa_ = inverses * tl.permute(half, (0, 2, 1)) + g2 * tl.sum(H * half, 1, keep_dims=True)
    if not DUAL:  # computed again, because there are too few registers to keep it
        V, _, f = tile_quotient(L2, L1, mask, row, column, N, SIZE, FLOAT)
    kappa = tl.permute(kappa_, (0, 2, 1))
    p_ = tl.sum(W * kappa, 1, keep_dims=True)
    kappa2 = tl.sum(kappa_ * kappa_, 2, keep_dims=True)
    p2 = tl.sum(p_ * p_, 2, keep_dims=True)
    s = tl.sum(V * kappa_, 2, keep_dims=True)
    s_ = tl.permute(s, (0, 2, 1))
    if p2.dtype == tl.float64:
        quotient = quotient_errs_less(
            g1, g2, tl.sum(delta_ * delta_, 2, keep_dims=True), kappa2, _tile_square(W), p2)
        delta1_ = _tile_solve(L1, mean1 + at * N, mean2 + at * N, mask, column, N, SIZE, FLOAT)
        quotient1 = quotient_errs_less(
            g2, g1, tl.sum(delta1_ * delta1_, 2, keep_dims=True), p2, _tile_square(V), kappa2)
        s_ = mean_product(quotient1, g2, g1, delta1_, p_, s_)
        s = tl.permute(s_, (0, 2, 1))
    else:
        quotient = g2 > 0.5
    zeta = mean_product(quotient, g1, g2, delta, kappa, tl.sum(W * p_, 2, keep_dims=True))
    zeta_ = tl.permute(zeta, (0, 2, 1))
    eta_ = tl.sum(V * s, 1, keep_dims=True)
    kl1, kl2, quadratic1, quadratic2 = kl_terms(
        g1, g2, kappa2, p2, tl.sum(zeta_ * zeta_, 2, keep_dims=True), tl.sum(s_ * s_, 2, keep_dims=True),
        trace1, trace2, DUAL)
    if hard is not None and not AGAIN:
        squares = tl.sum(tl.sum(W * W + V * V, 2, keep_dims=True), 1, keep_dims=True)
        tl.store(hard + at, is_hard(squares, kl1, kl2).to(tl.int8), mask=mask)
    if value is not None:
        tl.store(value + at, skew(w1, w2, kl1, kl2), mask=mask)

    if GRAD:  # derivatives are linear in the weights and the two divergences
        w1 *= factor
        w2 *= factor
        Y = _tile_ratio(H, diagonal, inverses, g2, on_diagonal)
        if DUAL:
            diagonal = inverses * inverses + (g2 * g2) * tl.sum(H * H, 1, keep_dims=True)
            inverse_K = tl.where(on_diagonal, diagonal, -g2 * Y)
            theta = tl.sum(inverse_K * zeta_, 2, keep_dims=True)
            phi = tl.sum(inverse_K * kappa_, 2, keep_dims=True)
            Z = times_transpose(Y, inverse_K, SIZE)
            a, b = matrix_from_mean(w1, w2, g1, g2)
            matrix = a * Y + b * Z
            by_1 = times_transpose(matrix, V, SIZE)
            theta_ = tl.permute(theta, (0, 2, 1))
            phi_ = tl.permute(phi, (0, 2, 1))
            x0, x1, x2, y0, y1, y2 = outer_from_mean(
                w1, w2, g1, g2, kappa_, theta_, phi_, p_,
                tl.sum(W * theta, 1, keep_dims=True), tl.sum(W * phi, 1, keep_dims=True))
            by_2 = matrix + kappa * x0 + theta * x1 + phi * x2
            by_1 += kappa * y0 + theta * y1 + phi * y2
            by_delta = by_displacement(w1, w2, g1, g2, theta_, phi_)
            by_weight = weights_from_mean(w1, w2, g1, g2, _tile_square(Y), tl.sum(kappa_ * theta_, 2, keep_dims=True))
        else:
            back = _tile_gram(tl.permute(V, (0, 2, 1)), f, on_diagonal)
            a, b, c = matrix_to_mean(w1, w2, g1, g2)
            matrix = b * back + c * Y
            back_Y = tl.sum(tl.sum(back * Y, 2, keep_dims=True), 1, keep_dims=True)
            by_1 = a * tl.where(on_diagonal, e - f, W) + times_transpose(matrix, V, SIZE)
            X = _tile_gram(W, e, on_diagonal)
            matrix += a * X
            by_weight = weights_to_mean(
                w1, w2, g1, g2, tl.sum(tl.sum(X * Y, 2, keep_dims=True), 1, keep_dims=True), back_Y,
                quadratic1, quadratic2)
            x0, x1, y0, y1 = outer_to_mean(w1, w2, g1, g2, kappa_, p_, zeta_, s_)
            by_2 = matrix + kappa * x0 + zeta * x1
            by_1 += kappa * y0 + tl.permute(eta_, (0, 2, 1)) * y1
            by_delta = by_displacement(w1, w2, g1, g2, zeta_, eta_)
        if d_alpha is not None:
            tl.store(d_alpha + at, by_alpha(factor, slope, kl1, kl2, by_weight), mask=mask)
        for step in range(N):
            i = N - 1 - step
            here = row == i
            below = tl.load(L2 + row * N + i, mask=mask & (row > i) & (row < N), other=0.0).to(FLOAT)
            inverse = 1.0 / tl.load(L2 + i * (N + 1), mask=mask, other=1.0).to(FLOAT)
            part = tl.where(here, inverse, -inverse * below)
            by_1 = tl.where(here, tl.sum(part * by_1, 1, keep_dims=True), by_1)
            by_2 = tl.where(here, tl.sum(part * by_2, 1, keep_dims=True), by_2)
        inside = mask & (row < N) & (column < N)
        if AGAIN:
            by_1 = by_1.to(tl.float32)
            by_2 = by_2.to(tl.float32)
        tl.store(d_tril1 + at * (N * N) + row * N + column, tl.where(row >= column, by_1, 0.0), mask=inside)
        tl.store(d_tril2 + at * (N * N) + row * N + column, tl.where(row >= column, -by_2, 0.0), mask=inside)
        by_delta = _tile_transpose_solve(L2, by_delta, mask, column, N, FLOAT)
        if AGAIN:
            by_delta = by_delta.to(tl.float32)
        tl.store(d_mean1 + at * N + column, by_delta, mask=mask & (column < N))


@triton.jit
def tile_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream,
    value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale: tl.float64,
    N: tl.constexpr, PAIRS: tl.constexpr, SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
    GRAD: tl.constexpr, STORED: tl.constexpr, AGAIN: tl.constexpr,
):
    """Each program takes ``PAIRS`` pairs; STORED is explained in `triton.diagonal.jsg_kernel`."""
    at = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    _, needed = must_compute_pairs(
        upstream, at, at < rows, scale, hard, S_UPSTREAM, FLOAT, STORED, AGAIN)
    if needed:
        _tile_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream,
            value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale,
            N, PAIRS, SIZE, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, AGAIN)
# fmt: on
