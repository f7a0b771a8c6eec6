"""Full covariances up to n = 8 in Triton: each lane, which is one thread of a warp, takes a pair (`lane_algebra.py`).

`triton/full.py` explains the factorisation.
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
    skew,
    weights_from_mean,
    weights_to_mean,
)
from jsgmath.torch.triton.lane_algebra import (
    lane_add_outer,
    lane_back,
    lane_difference,
    lane_dot,
    lane_factor,
    lane_gram,
    lane_inner,
    lane_inverse_diagonal,
    lane_inverse_product,
    lane_inverse_times,
    lane_inverses,
    lane_quotient,
    lane_ratio,
    lane_root,
    lane_solve,
    lane_sum,
    lane_times,
    lane_times_transpose,
    lane_transpose_solve,
    lane_transpose_solve_vector,
    lane_transpose_times,
)
from jsgmath.torch.triton.scalar import device


@device
def _lane_pointers(pointer, first, rows, COUNT, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr):
    """Pointers to ``COUNT`` consecutive numbers of each pair, and which of them exist.

    The shape is ``[SIZE / WIDTH * BLOCK, WIDTH]``: for every ``WIDTH`` numbers, all pairs of the block in turn.  A
    block has as many pairs as there are threads, so each thread loads the numbers of its own pair, and no data moves.
    """
    line = tl.arange(0, SIZE // WIDTH * BLOCK)[:, None]
    lane = line % BLOCK
    at = line // BLOCK * WIDTH + tl.arange(0, WIDTH)[None, :]
    return (pointer + first * COUNT) + (lane * COUNT + at), (lane < rows - first) & (at < COUNT)


@device
def _lane_load(
    pointer, first, rows, COUNT: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr, FLOAT
):
    """``COUNT`` numbers of each pair, a tuple of tensors."""
    at, mask = _lane_pointers(pointer, first, rows, COUNT, BLOCK, WIDTH, SIZE)
    x = tl.reshape(tl.load(at, mask=mask, other=1.0).to(FLOAT), (SIZE // WIDTH, BLOCK, WIDTH))
    parts = (tl.reshape(tl.permute(x, (1, 0, 2)), (BLOCK, SIZE)),)
    for level in tl.static_range(6):
        if SIZE >> level > 1:
            even = ()
            odd = ()
            for i in tl.static_range(1 << level):
                if SIZE >> level == 2:
                    x, y = tl.split(parts[i])
                else:
                    x, y = tl.split(tl.reshape(parts[i], (BLOCK, SIZE >> (level + 1), 2)))
                even = even + (x,)
                odd = odd + (y,)
            parts = even + odd
    if SIZE == 1:
        parts = (tl.reshape(parts[0], (BLOCK,)),)
    return parts


@device
def _lane_store(
    pointer, first, rows, hard, numbers,
    COUNT: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr, AGAIN: tl.constexpr
):  # fmt: skip
    at, mask = _lane_pointers(pointer, first, rows, COUNT, BLOCK, WIDTH, SIZE)
    if AGAIN:
        lane = tl.arange(0, SIZE // WIDTH * BLOCK)[:, None] % BLOCK
        mask &= tl.load(hard + first + lane, mask=lane < rows - first, other=0) != 0
    parts = numbers
    for _ in tl.static_range(COUNT, SIZE):
        parts = parts + (numbers[0],)
    for level in tl.static_range(6):
        if SIZE >> level > 1:
            joined = ()
            for i in tl.static_range(SIZE >> (level + 1)):
                x = tl.join(parts[i], parts[i + (SIZE >> (level + 1))])
                if level > 0:
                    x = tl.reshape(x, (BLOCK, 2 << level))
                joined = joined + (x,)
            parts = joined
    x = tl.permute(tl.reshape(parts[0], (BLOCK, SIZE // WIDTH, WIDTH)), (1, 0, 2))
    x = tl.reshape(x, at.shape)
    if AGAIN:
        x = x.to(tl.float32)
    tl.store(at, x, mask=mask)


@device
def _lane_rows(numbers, N: tl.constexpr):
    """The lower triangle of ``N * N`` numbers."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (numbers[i * N + j],)
        rows = rows + (row,)
    return rows


@device
def _lane_numbers(rows, N: tl.constexpr):
    """The ``N * N`` numbers of a lower triangle."""
    numbers = ()
    for i in tl.static_range(N):
        numbers = numbers + rows[i]
        for _ in tl.static_range(N - 1 - i):
            numbers = numbers + (0 * rows[0][0],)
    return numbers


@device
def _pivot_sums(t1, t2, k1, k2, N: tl.constexpr, SIZE: tl.constexpr, DUAL: tl.constexpr):
    """Both sums over the pivots, with all pivots in one tensor, which compiles faster."""
    t = ()
    k = ()
    for i in tl.static_range(SIZE):
        if i < N:
            t = t + (tl.join(t1[i], t2[i]),)
            k = k + (tl.join(k1[i], k2[i]),)
        else:
            t = t + (0 * t[0],)
            k = k + (0 * k[0] + 1.0,)
    for level in tl.static_range(3):
        if SIZE >> level > 1:
            new_t = ()
            new_k = ()
            for i in tl.static_range(SIZE >> (level + 1)):
                new_t = new_t + (tl.join(t[2 * i], t[2 * i + 1]),)
                new_k = new_k + (tl.join(k[2 * i], k[2 * i + 1]),)
            t = new_t
            k = new_k
    terms = pivot_terms(t[0], k[0], DUAL)
    for level in tl.static_range(3):
        if SIZE >> level > 1:
            first, second = tl.split(terms)
            terms = first + second
    return tl.split(terms)


# fmt: off
@device
def _lane_pairs(
    mean1, tril1, mean2, tril2, alpha, alphas, upstream, value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale,
    N: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr,
    MEAN_WIDTH: tl.constexpr, MEAN_SIZE: tl.constexpr, S_ALPHA, S_UPSTREAM,
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr,
    AGAIN: tl.constexpr,
):
    """Each lane takes one pair."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    mask = at < rows
    if AGAIN:
        mask &= tl.load(hard + at, mask=mask, other=0) != 0
    w1, w2, g1, g2, slope, factor = pair_weights(
        alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT, REVERSE)
    L1 = _lane_rows(_lane_load(tril1, first, rows, N * N, BLOCK, WIDTH, SIZE, FLOAT), N)
    L2 = _lane_rows(_lane_load(tril2, first, rows, N * N, BLOCK, WIDTH, SIZE, FLOAT), N)
    m1 = _lane_load(mean1, first, rows, N, BLOCK, MEAN_WIDTH, MEAN_SIZE, FLOAT)
    m2 = _lane_load(mean2, first, rows, N, BLOCK, MEAN_WIDTH, MEAN_SIZE, FLOAT)
    inverses = lane_inverses(L2, N)
    W, e = lane_quotient(L1, L2, inverses, N)
    V, f = lane_quotient(L2, L1, lane_inverses(L1, N), N)
    difference = ()
    for i in tl.static_range(N):
        difference = difference + (m1[i] - m2[i],)
    delta = lane_solve(L2, inverses, difference, N)

    _, _, trace2, t2, k2 = lane_factor(V, f, g2, g1, N, DUAL, DUAL)
    H, inverses, trace1, t1, k1 = lane_factor(W, e, g1, g2, N, DUAL, True)
    root = lane_root(H, inverses, g2, N)
    kappa = lane_transpose_times(root, lane_times(root, delta, N), N)
    pivots1, pivots2 = _pivot_sums(t1, t2, k1, k2, N, MEAN_SIZE, DUAL)
    trace1 = 0.5 * (trace1 + pivots1)
    trace2 = 0.5 * (trace2 + pivots2)
    p = lane_transpose_times(W, kappa, N)
    s = lane_times(V, kappa, N)
    product = lane_times(W, p, N)
    squares1 = 0 * g1
    squares2 = 0 * g1
    for i in tl.static_range(N):
        squares1 += lane_dot(W[i], W[i], i + 1)
        squares2 += lane_dot(V[i], V[i], i + 1)
    kappa2 = lane_dot(kappa, kappa, N)
    p2 = lane_dot(p, p, N)
    if p2.dtype == tl.float64:
        quotient = quotient_errs_less(g1, g2, lane_dot(delta, delta, N), kappa2, squares1, p2)
        delta1 = lane_solve(L1, lane_inverses(L1, N), difference, N)
        quotient1 = quotient_errs_less(g2, g1, lane_dot(delta1, delta1, N), p2, squares2, kappa2)
        product1 = s
        s = ()
        for i in tl.static_range(N):
            s = s + (mean_product(quotient1, g2, g1, delta1[i], p[i], product1[i]),)
    else:
        quotient = g2 > 0.5
    zeta = ()
    for i in tl.static_range(N):
        zeta = zeta + (mean_product(quotient, g1, g2, delta[i], kappa[i], product[i]),)
    eta = lane_transpose_times(V, s, N)
    kl1, kl2, quadratic1, quadratic2 = kl_terms(
        g1, g2, kappa2, p2, lane_dot(zeta, zeta, N), lane_dot(s, s, N), trace1, trace2, DUAL)
    if hard is not None and not AGAIN:
        tl.store(hard + at, is_hard(squares1 + squares2, kl1, kl2).to(tl.int8), mask=mask)
    if value is not None:
        tl.store(value + at, skew(w1, w2, kl1, kl2), mask=mask)

    if GRAD:  # derivatives are linear in the weights and the two divergences
        w1 *= factor
        w2 *= factor
        by_delta = ()
        x0 = ()
        x1 = ()
        x2 = ()
        y0 = ()
        y1 = ()
        y2 = ()
        Y = lane_ratio(H, inverses, g2, N)
        if DUAL:
            diagonal = lane_inverse_diagonal(H, inverses, g2, N)
            theta = lane_inverse_times(Y, diagonal, g2, zeta, N)
            phi = lane_inverse_times(Y, diagonal, g2, kappa, N)
            p_theta = lane_transpose_times(W, theta, N)
            p_phi = lane_transpose_times(W, phi, N)
            for i in tl.static_range(N):
                x, y, z, a, b, c = outer_from_mean(
                    w1, w2, g1, g2, kappa[i], theta[i], phi[i], p[i], p_theta[i], p_phi[i])
                x0, x1, x2, y0, y1, y2 = x0 + (x,), x1 + (y,), x2 + (z,), y0 + (a,), y1 + (b,), y2 + (c,)
                by_delta = by_delta + (by_displacement(w1, w2, g1, g2, theta[i], phi[i]),)
            Z = lane_inverse_product(Y, diagonal, g2, N)
            a, b = matrix_from_mean(w1, w2, g1, g2)
            matrix = lane_sum(a, Y, b, Z, 0 * g1, Z, N)
            by_2 = lane_add_outer(lane_add_outer(lane_add_outer(
                matrix, kappa, x0, N), theta, x1, N), phi, x2, N)
            by_1 = lane_add_outer(lane_add_outer(lane_add_outer(
                lane_times_transpose(matrix, V, N), kappa, y0, N), theta, y1, N), phi, y2, N)
            by_weight = weights_from_mean(w1, w2, g1, g2, lane_inner(Y, Y, N), lane_dot(kappa, theta, N))
        else:
            for i in tl.static_range(N):
                x, y, a, b = outer_to_mean(w1, w2, g1, g2, kappa[i], p[i], zeta[i], s[i])
                x0, x1, y0, y1 = x0 + (x,), x1 + (y,), y0 + (a,), y1 + (b,)
                by_delta = by_delta + (by_displacement(w1, w2, g1, g2, zeta[i], eta[i]),)
            back = lane_back(V, f, N)
            a, b, c = matrix_to_mean(w1, w2, g1, g2)
            matrix = lane_sum(b, back, c, Y, 0 * g1, Y, N)
            by_1 = lane_sum(a, lane_difference(W, e, f, N), 1.0, lane_times_transpose(matrix, V, N), 0 * g1, W, N)
            by_1 = lane_add_outer(lane_add_outer(by_1, kappa, y0, N), eta, y1, N)
            X = lane_gram(W, e, N)
            by_2 = lane_sum(a, X, 1.0, matrix, 0 * g1, Y, N)
            by_2 = lane_add_outer(lane_add_outer(by_2, kappa, x0, N), zeta, x1, N)
            by_weight = weights_to_mean(
                w1, w2, g1, g2, lane_inner(X, Y, N), lane_inner(back, Y, N), quadratic1, quadratic2)
        if d_alpha is not None:
            tl.store(d_alpha + at, by_alpha(factor, slope, kl1, kl2, by_weight), mask=mask)
        # This is loaded again, because there are too few registers to keep it.
        L2 = _lane_rows(_lane_load(tril2, first, rows, N * N, BLOCK, WIDTH, SIZE, FLOAT), N)
        inverses = lane_inverses(L2, N)
        by_1 = lane_transpose_solve(L2, inverses, by_1, N)
        _lane_store(d_tril1, first, rows, hard, _lane_numbers(by_1, N), N * N, BLOCK, WIDTH, SIZE, AGAIN)
        by_2 = lane_transpose_solve(L2, inverses, lane_sum(-1.0, by_2, 0 * g1, by_2, 0 * g1, by_2, N), N)
        _lane_store(d_tril2, first, rows, hard, _lane_numbers(by_2, N), N * N, BLOCK, WIDTH, SIZE, AGAIN)
        by_mean1 = lane_transpose_solve_vector(L2, inverses, by_delta, N)
        _lane_store(d_mean1, first, rows, hard, by_mean1, N, BLOCK, MEAN_WIDTH, MEAN_SIZE, AGAIN)


@triton.jit
def lane_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream,
    value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale: tl.float64,
    N: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr,
    MEAN_WIDTH: tl.constexpr, MEAN_SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
    GRAD: tl.constexpr, STORED: tl.constexpr, AGAIN: tl.constexpr,
):
    """Each lane takes one pair.  STORED is explained in `triton.diagonal.jsg_kernel`."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    _, needed = must_compute_pairs(
        upstream, at, at < rows, scale, hard, S_UPSTREAM, FLOAT, STORED, AGAIN)
    if needed:
        _lane_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream,
            value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale,
            N, BLOCK, WIDTH, SIZE, MEAN_WIDTH, MEAN_SIZE, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD,
            AGAIN)
# fmt: on
