"""Full covariances up to n = 8 in Triton: each lane takes one pair, with all entries in registers and loops unrolled.

A vector is a tuple of n tensors, a lower triangle a tuple of its rows.  `triton/full.py` explains the factorisation.
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
    right_side,
    weights_from_mean,
    weights_to_mean,
)
from jsgmath.torch.triton.scalar import device, skew


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
def _lane_negative(matrix, N: tl.constexpr):
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (-matrix[i][j],)
        rows = rows + (row,)
    return rows


@device
def _lane_inverses(tril, N: tl.constexpr):
    inverses = ()
    for i in tl.static_range(N):
        inverses = inverses + (1.0 / tril[i][i],)
    return inverses


@device
def _lane_quotient(tril, by, inverses, N: tl.constexpr):
    """``by^-1 tril``, and its diagonal minus one."""
    ratio = ()
    excess = ()
    for i in tl.static_range(N):
        ratio = ratio + (tril[i][i] * inverses[i],)
        excess = excess + ((tril[i][i] - by[i][i]) * inverses[i],)
    minus = _lane_negative(by, N)
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            x = right_side(tril[i][j], by[i][j], ratio[j], excess[j])
            for k in tl.static_range(j + 1, i):
                x = tl.fma(minus[i][k], rows[k][j], x)
            row = row + (x * inverses[i],)
        rows = rows + (row + (ratio[i],),)
    return rows, excess


@device
def _lane_solve(tril, inverses, vector, N: tl.constexpr):
    solution = ()
    for i in tl.static_range(N):
        x = vector[i]
        for k in tl.static_range(i):
            x = tl.fma(-tril[i][k], solution[k], x)
        solution = solution + (x * inverses[i],)
    return solution


@device
def _lane_gram(matrix, excess, N: tl.constexpr):
    """``M M' - I`` for a triangular M with diagonal ``1 + excess``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (_lane_dot(matrix[i], matrix[j], j + 1),)
        x = excess[i] * (2.0 + excess[i])
        for k in tl.static_range(i):
            x = tl.fma(matrix[i][k], matrix[i][k], x)
        rows = rows + (row + (x,),)
    return rows


@device
def _lane_back(matrix, excess, N: tl.constexpr):
    """``M' M - I`` for a triangular M with diagonal ``1 + excess``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            if i == j:
                x = excess[i] * (2.0 + excess[i])
            else:
                x = matrix[i][i] * matrix[i][j]
            for k in tl.static_range(i + 1, N):
                x = tl.fma(matrix[k][i], matrix[k][j], x)
            row = row + (x,)
        rows = rows + (row,)
    return rows


@device
def _lane_factor(W, excess, g1, g2, N: tl.constexpr, DUAL: tl.constexpr, INVERSE: tl.constexpr):
    """H, the inverse diagonal of R, the sum of squares, and the pivots; without INVERSE, H is empty."""
    root2 = tl.sqrt(g2)
    total = 0 * g2
    t = ()
    ks = ()
    inverses = ()
    H = ()
    F = ()
    rest = ()
    for p in tl.static_range(N):  # F and rest hold the rows from p on
        square = 0 * g2
        if p > 0:
            square = _lane_dot(F[0], F[0], p)
        w = W[p][p]
        x = tl.fma(g1, square, excess[p] * (2.0 + excess[p]))
        k = tl.fma(g2, tl.fma(g1, square, w * w), g1)
        norm = tl.sqrt(k)
        inverse = 1.0 / norm
        t = t + (g2 * x,)
        ks = ks + (k,)
        inverses = inverses + (inverse,)
        share = root2 * tl.fma(root2, w, norm) / tl.fma(g2, square, 1.0)
        h = ()
        if INVERSE:
            for j in tl.static_range(p):
                h = h + (rest[0][j] * inverse,)
                if DUAL:
                    total = tl.fma(h[j], h[j], total)
            H = H + (h + (-x / (1.0 + norm) * inverse,),)
        new_F = ()
        new_rest = ()
        for i in tl.static_range(p + 1, N):
            C = w * W[i][p]
            u = W[i][p]
            if p > 0:
                dot = _lane_dot(F[i - p], F[0], p)
                C = tl.fma(g1, dot, C)
                u = tl.fma(-share, dot, u)
            C = C * inverse
            u = tl.where(g1 > 0, u * inverse, 0.0)
            row = ()
            rest_row = ()
            for j in tl.static_range(p):
                row = row + (tl.fma(u * root2, F[0][j], F[i - p][j]),)
                if INVERSE:
                    rest_row = rest_row + (tl.fma(-g2 * C, h[j], rest[i - p][j]),)
            new_F = new_F + (row + (u,),)
            if INVERSE:
                new_rest = new_rest + (rest_row + (-C * inverse,),)
            if not DUAL:
                total = tl.fma(C, C, total)
        F = new_F
        rest = new_rest
    return H, inverses, g2 * g2 * total, t, ks


@device
def _lane_ratio(H, inverses, weight, N: tl.constexpr):
    """``X K^-1`` from ``R^-1 = I + weight H``, whose diagonal is given too."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            x = 0 * weight
            for k in tl.static_range(i + 1, N):
                x = tl.fma(H[k][i], H[k][j], x)
            y = inverses[i] * H[i][j]  # H_ij + weight H_ii H_ij
            if i == j:
                y += H[i][j]
            row = row + (-tl.fma(weight, x, y),)
        rows = rows + (row,)
    return rows


@device
def _lane_inverse_diagonal(H, inverses, weight, N: tl.constexpr):
    """The diagonal of ``K^-1``."""
    diagonal = ()
    for j in tl.static_range(N):
        x = 0 * weight
        for i in tl.static_range(j + 1, N):
            x = tl.fma(H[i][j], H[i][j], x)
        diagonal = diagonal + (tl.fma(weight * weight, x, inverses[j] * inverses[j]),)
    return diagonal


@device
def _lane_root(H, inverses, weight, N: tl.constexpr):
    """``R^-1 = I + weight H`` from its diagonal and the rest of H: adding 1 would lose digits where K is large."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (weight * H[i][j],)
        rows = rows + (row + (inverses[i],),)
    return rows


@device
def _lane_times(matrix, vector, N: tl.constexpr):
    """A lower triangle times a vector."""
    product = ()
    for i in tl.static_range(N):
        x = matrix[i][0] * vector[0]
        for j in tl.static_range(1, i + 1):
            x = tl.fma(matrix[i][j], vector[j], x)
        product = product + (x,)
    return product


@device
def _lane_transpose_times(matrix, vector, N: tl.constexpr):
    product = ()
    for j in tl.static_range(N):
        x = matrix[j][j] * vector[j]
        for i in tl.static_range(j + 1, N):
            x = tl.fma(matrix[i][j], vector[i], x)
        product = product + (x,)
    return product


@device
def _lane_inverse_times(Y, diagonal, weight, vector, N: tl.constexpr):
    """``K^-1`` times a vector; off its diagonal, ``K^-1`` is ``-weight Y``."""
    product = ()
    for i in tl.static_range(N):
        x = 0 * weight
        for j in tl.static_range(N):
            if j < i:
                x = tl.fma(Y[i][j], vector[j], x)
            elif j > i:
                x = tl.fma(Y[j][i], vector[j], x)
        product = product + (tl.fma(-weight, x, diagonal[i] * vector[i]),)
    return product


@device
def _lane_dot(x, y, N: tl.constexpr):
    total = x[0] * y[0]
    for i in tl.static_range(1, N):
        total = tl.fma(x[i], y[i], total)
    return total


@device
def _lane_inner(X, Y, N: tl.constexpr):
    """``tr(X Y)`` of two symmetric matrices."""
    diagonal = 0 * X[0][0]
    below = 0 * X[0][0]
    for i in tl.static_range(N):
        diagonal = tl.fma(X[i][i], Y[i][i], diagonal)
        for j in tl.static_range(i):
            below = tl.fma(X[i][j], Y[i][j], below)
    return diagonal + 2.0 * below


@device
def _lane_inverse_product(Y, diagonal, weight, N: tl.constexpr):
    """``Y K^-1``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            x = 0 * weight
            for k in tl.static_range(N):
                if k < j:
                    x = tl.fma(Y[i][k], Y[j][k], x)
                elif k > i:
                    x = tl.fma(Y[k][i], Y[k][j], x)
                elif k > j:
                    x = tl.fma(Y[i][k], Y[k][j], x)
            row = row + (tl.fma(-weight, x, Y[i][j] * diagonal[j]),)
        rows = rows + (row,)
    return rows


@device
def _lane_sum(a, X, b, Y, c, Z, N: tl.constexpr):
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (tl.fma(a, X[i][j], tl.fma(b, Y[i][j], c * Z[i][j])),)
        rows = rows + (row,)
    return rows


@device
def _lane_add_outer(matrix, x, y, N: tl.constexpr):
    """The lower triangle of ``matrix + x y'``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (tl.fma(x[i], y[j], matrix[i][j]),)
        rows = rows + (row,)
    return rows


@device
def _lane_times_transpose(matrix, V, N: tl.constexpr):
    """The lower triangle of ``matrix V'``, for a lower triangle V."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (_lane_dot(matrix[i], V[j], j + 1),)
        rows = rows + (row,)
    return rows


@device
def _lane_difference(W, e, f, N: tl.constexpr):
    """The lower triangle of ``W - V'``, whose diagonals are ``1 + e`` and ``1 + f``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (W[i][j],)
        rows = rows + (row + (e[i] - f[i],),)
    return rows


@device
def _lane_transpose_solve(tril, inverses, right, N: tl.constexpr):
    """The lower triangle of ``tril'^-1 right``; it depends only on the lower triangle of ``right``."""
    minus = _lane_negative(tril, N)
    rows = ()
    for i in tl.static_range(N - 1, -1, -1):
        row = ()
        for j in tl.static_range(i + 1):
            x = right[i][j]
            for k in tl.static_range(i + 1, N):
                x = tl.fma(minus[k][i], rows[k - i - 1][j], x)
            row = row + (x * inverses[i],)
        rows = (row,) + rows
    return rows


@device
def _lane_transpose_solve_vector(tril, inverses, right, N: tl.constexpr):
    solution = ()
    for i in tl.static_range(N - 1, -1, -1):
        x = right[i]
        for k in tl.static_range(i + 1, N):
            x = tl.fma(-tril[k][i], solution[k - i - 1], x)
        solution = (x * inverses[i],) + solution
    return solution


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
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr, LARGEST: tl.constexpr,
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
    inverses = _lane_inverses(L2, N)
    W, e = _lane_quotient(L1, L2, inverses, N)
    V, f = _lane_quotient(L2, L1, _lane_inverses(L1, N), N)
    difference = ()
    for i in tl.static_range(N):
        difference = difference + (m1[i] - m2[i],)
    delta = _lane_solve(L2, inverses, difference, N)

    _, _, trace2, t2, k2 = _lane_factor(V, f, g2, g1, N, DUAL, DUAL)
    H, inverses, trace1, t1, k1 = _lane_factor(W, e, g1, g2, N, DUAL, True)
    root = _lane_root(H, inverses, g2, N)
    kappa = _lane_transpose_times(root, _lane_times(root, delta, N), N)
    pivots1, pivots2 = _pivot_sums(t1, t2, k1, k2, N, MEAN_SIZE, DUAL)
    trace1 += pivots1
    trace2 += pivots2
    p = _lane_transpose_times(W, kappa, N)
    s = _lane_times(V, kappa, N)
    product = _lane_times(W, p, N)
    zeta = ()
    for i in tl.static_range(N):
        zeta = zeta + (mean_product(g1, g2, delta[i], kappa[i], product[i]),)
    eta = _lane_transpose_times(V, s, N)
    kl1, kl2, quadratic1, quadratic2 = kl_terms(
        g1, g2, _lane_dot(kappa, kappa, N), _lane_dot(p, p, N), _lane_dot(zeta, zeta, N),
        _lane_dot(s, s, N), trace1, trace2, DUAL, LARGEST)
    if hard is not None and not AGAIN:
        squares = 0 * g1
        for i in tl.static_range(N):
            squares += _lane_dot(W[i], W[i], i + 1) + _lane_dot(V[i], V[i], i + 1)
        tl.store(hard + at, is_hard(squares, kl1, kl2).to(tl.int8), mask=mask)
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
        Y = _lane_ratio(H, inverses, g2, N)
        if DUAL:
            diagonal = _lane_inverse_diagonal(H, inverses, g2, N)
            theta = _lane_inverse_times(Y, diagonal, g2, zeta, N)
            phi = _lane_inverse_times(Y, diagonal, g2, kappa, N)
            p_theta = _lane_transpose_times(W, theta, N)
            p_phi = _lane_transpose_times(W, phi, N)
            for i in tl.static_range(N):
                x, y, z, a, b, c = outer_from_mean(
                    w1, w2, g1, g2, kappa[i], theta[i], phi[i], p[i], p_theta[i], p_phi[i])
                x0, x1, x2, y0, y1, y2 = x0 + (x,), x1 + (y,), x2 + (z,), y0 + (a,), y1 + (b,), y2 + (c,)
                by_delta = by_delta + (by_displacement(w1, w2, g1, g2, theta[i], phi[i]),)
            Z = _lane_inverse_product(Y, diagonal, g2, N)
            a, b = matrix_from_mean(w1, w2, g1, g2)
            matrix = _lane_sum(a, Y, b, Z, 0 * g1, Z, N)
            by_2 = _lane_add_outer(_lane_add_outer(_lane_add_outer(
                matrix, kappa, x0, N), theta, x1, N), phi, x2, N)
            by_1 = _lane_add_outer(_lane_add_outer(_lane_add_outer(
                _lane_times_transpose(matrix, V, N), kappa, y0, N), theta, y1, N), phi, y2, N)
            by_weight = weights_from_mean(w1, w2, g1, g2, _lane_inner(Y, Y, N), _lane_dot(kappa, theta, N))
        else:
            for i in tl.static_range(N):
                x, y, a, b = outer_to_mean(w1, w2, g1, g2, kappa[i], p[i], zeta[i], s[i])
                x0, x1, y0, y1 = x0 + (x,), x1 + (y,), y0 + (a,), y1 + (b,)
                by_delta = by_delta + (by_displacement(w1, w2, g1, g2, zeta[i], eta[i]),)
            back = _lane_back(V, f, N)
            a, b, c = matrix_to_mean(w1, w2, g1, g2)
            matrix = _lane_sum(b, back, c, Y, 0 * g1, Y, N)
            by_1 = _lane_sum(a, _lane_difference(W, e, f, N), 1.0, _lane_times_transpose(matrix, V, N), 0 * g1, W, N)
            by_1 = _lane_add_outer(_lane_add_outer(by_1, kappa, y0, N), eta, y1, N)
            X = _lane_gram(W, e, N)
            by_2 = _lane_sum(a, X, 1.0, matrix, 0 * g1, Y, N)
            by_2 = _lane_add_outer(_lane_add_outer(by_2, kappa, x0, N), zeta, x1, N)
            by_weight = weights_to_mean(
                w1, w2, g1, g2, _lane_inner(X, Y, N), _lane_inner(back, Y, N), quadratic1, quadratic2)
        if d_alpha is not None:
            tl.store(d_alpha + at, by_alpha(factor, slope, kl1, kl2, by_weight), mask=mask)
        # Loaded again, because the registers do not suffice to keep it.
        L2 = _lane_rows(_lane_load(tril2, first, rows, N * N, BLOCK, WIDTH, SIZE, FLOAT), N)
        inverses = _lane_inverses(L2, N)
        by_1 = _lane_transpose_solve(L2, inverses, by_1, N)
        _lane_store(d_tril1, first, rows, hard, _lane_numbers(by_1, N), N * N, BLOCK, WIDTH, SIZE, AGAIN)
        by_2 = _lane_transpose_solve(L2, inverses, _lane_sum(-1.0, by_2, 0 * g1, by_2, 0 * g1, by_2, N), N)
        _lane_store(d_tril2, first, rows, hard, _lane_numbers(by_2, N), N * N, BLOCK, WIDTH, SIZE, AGAIN)
        by_mean1 = _lane_transpose_solve_vector(L2, inverses, by_delta, N)
        _lane_store(d_mean1, first, rows, hard, by_mean1, N, BLOCK, MEAN_WIDTH, MEAN_SIZE, AGAIN)


@triton.jit
def lane_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream,
    value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale: tl.float64,
    N: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr,
    MEAN_WIDTH: tl.constexpr, MEAN_SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
    GRAD: tl.constexpr, LARGEST: tl.constexpr, STORED: tl.constexpr, AGAIN: tl.constexpr,
):
    """Each lane takes one pair.  STORED is explained in `triton.diagonal.jsg_kernel`."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    _, needed = must_compute_pairs(
        upstream, at, at < rows, scale, hard, S_UPSTREAM, FLOAT, STORED, AGAIN)
    if needed:
        _lane_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream,
            value, d_mean1, d_tril1, d_tril2, d_alpha, hard, rows, scale,
            N, BLOCK, WIDTH, SIZE, MEAN_WIDTH, MEAN_SIZE, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, LARGEST,
            AGAIN)
# fmt: on
