"""Triton kernels: loss and gradients of JSG and JSG* for rows of Gaussians with full covariances, in one launch.

`full_eager.py` has the notation and the formulas.  Here ``Y = X K^-1``, the pivots of K and the squares of ``C`` and
``H`` all come out of one Gauss-Jordan elimination of X: step p replaces it by

    Y - g2 y y' / k_p,   y the p-th column of Y,   k_p = 1 + g2 y_p the p-th pivot

but for row and column p, ``y / k_p``.  There ``g2 y_i / sqrt(k_p)`` is ``C_ip`` where i > p, and ``-H_pi`` where i < p.

Two kernels: up to n = 8 (float64: 3) each lane holds one pair, every entry in a register of its own, and every loop is
unrolled.  Above, a program holds tiles ``[PAIRS, SIZE, SIZE]``, SIZE being n rounded up to a power of two, and works
through them row by row; what lies beyond n is the identity.
"""

import math
from contextlib import nullcontext
from functools import partial

import torch
import triton
import triton.language as tl

from jsgmath.torch import full_eager
from jsgmath.torch.kernels import LANES, check_device, row_stride, stale
from jsgmath.torch.scalar import INTERPRETED, below, device, g, gs, mean_weights, skew

LARGEST_TILE = 64


@device
def _weights(alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT: tl.constexpr, REVERSE):
    """``w1, w2, g1, g2, slope`` of the pairs ``at``, and what their gradients are multiplied by."""
    if alphas is None:
        a = tl.full(at.shape, alpha, tl.float64)
    else:
        a = tl.load(alphas + at * S_ALPHA, mask=mask, other=0.0).to(tl.float64)
    w1 = (1.0 - a).to(FLOAT)
    w2 = a.to(FLOAT)
    g1, g2, slope = mean_weights(w1, w2, REVERSE)
    if upstream is None:
        factor = tl.full(at.shape, scale, tl.float64).to(FLOAT)
    else:
        factor = tl.load(upstream + at * S_UPSTREAM, mask=mask, other=0.0)
    return w1, w2, g1, g2, slope, factor


@device
def _pivot_terms(t, k, DUAL):
    if DUAL:
        terms = gs(t, k, k, 0 * k)
    else:
        terms = g(t, k, k, 0 * k)
    return terms


@device
def _right(tril, by, ratio, excess):
    """``tril - ratio by``, without cancellation where the ratio, ``1 + excess``, is close to one."""
    return tl.where(tl.abs(excess) < 0.5, (tril - by) - excess * by, tril - ratio * by)


@device
def _terms(g1, g2, kappa2, p2, zeta2, s2, trace1, trace2, DUAL, LARGEST):
    """The two KL divergences and what their quadratic forms contribute to the derivative by alpha.

    ``trace1`` and ``trace2`` are the sums over pivots, the other names with a 2 the squares of vectors.
    """
    if DUAL:
        quadratic1, quadratic2 = p2, kappa2
    else:
        quadratic1, quadratic2 = g1 * p2 + g2 * zeta2, g2 * kappa2 + g1 * s2
    kl1 = below(0.5 * (trace1 + g2 * (g2 * quadratic1)), LARGEST)
    kl2 = below(0.5 * (trace2 + g1 * (g1 * quadratic2)), LARGEST)
    return kl1, kl2, quadratic1 + p2, quadratic2 + kappa2


@device
def _outer_to_mean(w1, w2, g1, g2, kappa, p, zeta, s):
    """Right factors of the outer products: kappa's and zeta's by the second factor, kappa's and eta's by the first."""
    c1 = w1 * g2 * g2
    c2 = w2 * g1 * g1
    return (
        c1 * g1 * zeta - c2 * g2 * kappa,
        c1 * (g1 * kappa + g2 * zeta),
        c1 * g1 * p - c2 * g2 * s,
        -c2 * (g1 * s + g2 * p),
    )


@device
def _outer_from_mean(w1, w2, g1, g2, kappa, theta, phi, p, p_theta, p_phi):
    """The same for the dual: kappa's, theta's and phi's, twice; ``p_theta = W' theta`` and ``p_phi = W' phi``."""
    c1 = w1 * g2 * g2
    c2 = w2 * g1 * g1
    return (
        c1 * g1 * theta,
        c1 * g1 * kappa - c2 * g2 * g2 * theta,
        c2 * g1 * g1 * phi,
        -c2 * g2 * p_phi,
        -c1 * g2 * g2 * p_theta,
        c1 * g1 * g1 * p_phi - c2 * g2 * p,
    )


# One pair per lane.  A vector is a tuple of n tensors, a lower triangle a tuple of its rows.


@device
def _lane_pointers(pointer, first, rows, COUNT, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr):
    """Pointers to ``COUNT`` consecutive numbers of each pair, and which of them exist.

    Shape ``[SIZE / WIDTH * BLOCK, WIDTH]``, the pairs of a block one after the other for every ``WIDTH`` numbers: as a
    block has as many pairs as there are threads, each gets those of its own pair, and no data has to move.
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
    pointer, first, rows, numbers, COUNT: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr
):
    at, mask = _lane_pointers(pointer, first, rows, COUNT, BLOCK, WIDTH, SIZE)
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
    tl.store(at, tl.reshape(x, at.shape), mask=mask)


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
            x = _right(tril[i][j], by[i][j], ratio[j], excess[j])
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
    """``M M' - I`` for a triangular M with diagonal ``1 + excess``, and the diagonal of ``M M'``."""
    rows = ()
    squares = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            x = matrix[i][0] * matrix[j][0]
            for k in tl.static_range(1, j + 1):
                x = tl.fma(matrix[i][k], matrix[j][k], x)
            row = row + (x,)
        x = excess[i] * (2.0 + excess[i])
        square = matrix[i][i] * matrix[i][i]
        for k in tl.static_range(i):
            x = tl.fma(matrix[i][k], matrix[i][k], x)
            square = tl.fma(matrix[i][k], matrix[i][k], square)
        rows = rows + (row + (x,),)
        squares = squares + (square,)
    return rows, squares


@device
def _lane_back(matrix, excess, N: tl.constexpr):
    """``M' M - I`` for such a matrix."""
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
def _lane_eliminate(Y, squares, kappa, other, weight, N: tl.constexpr, DUAL: tl.constexpr):
    """``X K^-1``, the diagonal of ``K^-1``, ``K^-1 kappa``, the sum of squares, and the pivots; see the top of this."""
    pivots = ()
    for i in tl.static_range(N):
        pivots = pivots + (other + weight * squares[i],)
    total = 0 * other
    t = ()
    ks = ()
    for p in tl.static_range(N):
        k = pivots[p]
        inverse = 1.0 / k
        t = t + (weight * Y[p][p],)
        ks = ks + (k,)
        h = kappa[p] * inverse
        ys = ()
        minus = ()
        column = ()
        new_pivots = ()
        new_kappa = ()
        for i in tl.static_range(N):
            if i < p:
                y = Y[p][i]
            else:
                y = Y[i][p]
            s = weight * y
            minus_scaled = s * -inverse
            ys = ys + (y,)
            minus = minus + (minus_scaled,)
            column = column + (y * inverse,)
            if i == p:
                new_pivots = new_pivots + (inverse,)
                new_kappa = new_kappa + (h,)
            else:
                if i < p:
                    new_pivots = new_pivots + (tl.fma(-s, minus_scaled, pivots[i]),)
                else:
                    new_pivots = new_pivots + (tl.fma(s, minus_scaled, pivots[i]),)
                new_kappa = new_kappa + (tl.fma(-s, h, kappa[i]),)
                if (i < p) == DUAL:
                    total = tl.fma(-s, minus_scaled, total)
        rows = ()
        for i in tl.static_range(N):
            row = ()
            for j in tl.static_range(i + 1):
                if i == p:
                    row = row + (column[j],)
                elif j == p:
                    row = row + (column[i],)
                else:
                    row = row + (tl.fma(ys[i], minus[j], Y[i][j]),)
            rows = rows + (row,)
        Y = rows
        pivots = new_pivots
        kappa = new_kappa
    return Y, pivots, kappa, total, t, ks


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
    """``K^-1`` times a vector, ``K^-1`` being ``-weight Y`` off its diagonal."""
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
    """The lower triangle of ``matrix V'``, V being lower."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (_lane_dot(matrix[i], V[j], j + 1),)
        rows = rows + (row,)
    return rows


@device
def _lane_transpose_solve(tril, inverses, right, N: tl.constexpr):
    """The lower triangle of ``tril'^-1 right``, from which nothing above the diagonal is needed."""
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
    """Both sums over the pivots; one formula for all of them, which compiles faster."""
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
    terms = _pivot_terms(t[0], k[0], DUAL)
    for level in tl.static_range(3):
        if SIZE >> level > 1:
            first, second = tl.split(terms)
            terms = first + second
    return tl.split(terms)


# fmt: off
@device
def _lane_pairs(
    mean1, tril1, mean2, tril2, alpha, alphas, upstream, value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale,
    N: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr,
    MEAN_WIDTH: tl.constexpr, MEAN_SIZE: tl.constexpr, S_ALPHA, S_UPSTREAM,
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr, LARGEST: tl.constexpr,
):
    """Each lane takes one pair."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    mask = at < rows
    w1, w2, g1, g2, slope, factor = _weights(
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

    X, squares = _lane_gram(W, e, N)
    Y, diagonal, kappa, trace1, t1, k1 = _lane_eliminate(X, squares, delta, g1, g2, N, DUAL)
    other_X, squares = _lane_gram(V, f, N)
    _, _, _, trace2, t2, k2 = _lane_eliminate(other_X, squares, kappa, g2, g1, N, DUAL)
    pivots1, pivots2 = _pivot_sums(t1, t2, k1, k2, N, MEAN_SIZE, DUAL)
    trace1 += pivots1
    trace2 += pivots2
    p = _lane_transpose_times(W, kappa, N)
    s = _lane_times(V, kappa, N)
    zeta = _lane_times(W, p, N)
    eta = _lane_transpose_times(V, s, N)
    kl1, kl2, quadratic1, quadratic2 = _terms(
        g1, g2, _lane_dot(kappa, kappa, N), _lane_dot(p, p, N), _lane_dot(zeta, zeta, N),
        _lane_dot(s, s, N), trace1, trace2, DUAL, LARGEST)
    if value is not None:
        tl.store(value + at, skew(w1, w2, kl1, kl2), mask=mask)

    if GRAD:  # derivatives are linear in the weights and the two divergences
        w1 *= factor
        w2 *= factor
        c1 = w1 * g2 * g2
        c2 = w2 * g1 * g1
        by_delta = ()
        x0 = ()
        x1 = ()
        x2 = ()
        y0 = ()
        y1 = ()
        y2 = ()
        if DUAL:
            theta = _lane_inverse_times(Y, diagonal, g2, zeta, N)
            phi = _lane_inverse_times(Y, diagonal, g2, kappa, N)
            p_theta = _lane_transpose_times(W, theta, N)
            p_phi = _lane_transpose_times(W, phi, N)
            for i in tl.static_range(N):
                x, y, z, a, b, c = _outer_from_mean(
                    w1, w2, g1, g2, kappa[i], theta[i], phi[i], p[i], p_theta[i], p_phi[i])
                x0, x1, x2, y0, y1, y2 = x0 + (x,), x1 + (y,), x2 + (z,), y0 + (a,), y1 + (b,), y2 + (c,)
                by_delta = by_delta + (c1 * theta[i] + c2 * phi[i],)
            Z = _lane_inverse_product(Y, diagonal, g2, N)
            matrix = _lane_sum(w1 * g2, Y, c2 - w1 * g2 * g1, Z, 0 * g1, Z, N)
            by_2 = _lane_add_outer(_lane_add_outer(_lane_add_outer(
                matrix, kappa, x0, N), theta, x1, N), phi, x2, N)
            by_1 = _lane_add_outer(_lane_add_outer(_lane_add_outer(
                _lane_times_transpose(matrix, V, N), kappa, y0, N), theta, y1, N), phi, y2, N)
            by_weight = (w1 * g2 - w2 * g1) * (_lane_inner(Y, Y, N) + 2.0 * _lane_dot(kappa, theta, N))
        else:
            for i in tl.static_range(N):
                x, y, a, b = _outer_to_mean(w1, w2, g1, g2, kappa[i], p[i], zeta[i], s[i])
                x0, x1, y0, y1 = x0 + (x,), x1 + (y,), y0 + (a,), y1 + (b,)
                by_delta = by_delta + (c1 * zeta[i] + c2 * eta[i],)
            back = _lane_back(V, f, N)
            matrix = _lane_sum(w1 * g2, X, -w2 * g1, back, -(w1 + w2) * (g1 * g2), Y, N)
            by_2 = _lane_add_outer(_lane_add_outer(matrix, kappa, x0, N), zeta, x1, N)
            by_1 = _lane_add_outer(_lane_add_outer(_lane_times_transpose(matrix, V, N), kappa, y0, N), eta, y1, N)
            by_weight = (w1 * g2 * (_lane_inner(X, Y, N) + quadratic1)
                         - w2 * g1 * (quadratic2 - _lane_inner(back, Y, N)))
        if d_alpha is not None:
            tl.store(d_alpha + at, factor * (kl2 - kl1) + slope * 0.5 * by_weight, mask=mask)
        # Read again rather than kept: so many registers there are not.
        L2 = _lane_rows(_lane_load(tril2, first, rows, N * N, BLOCK, WIDTH, SIZE, FLOAT), N)
        inverses = _lane_inverses(L2, N)
        by_1 = _lane_transpose_solve(L2, inverses, by_1, N)
        _lane_store(d_tril1, first, rows, _lane_numbers(by_1, N), N * N, BLOCK, WIDTH, SIZE)
        by_2 = _lane_transpose_solve(L2, inverses, _lane_sum(-1.0, by_2, 0 * g1, by_2, 0 * g1, by_2, N), N)
        _lane_store(d_tril2, first, rows, _lane_numbers(by_2, N), N * N, BLOCK, WIDTH, SIZE)
        by_mean1 = _lane_transpose_solve_vector(L2, inverses, by_delta, N)
        _lane_store(d_mean1, first, rows, by_mean1, N, BLOCK, MEAN_WIDTH, MEAN_SIZE)


# Tiles.  A vector along their rows has shape [PAIRS, SIZE, 1], one along their columns, of which a thread holds fewer,
# [PAIRS, 1, SIZE]; where both are needed, the name of the second ends in an underscore.


@device
def _tile_quotient(tril, by, mask, row, column, N: tl.constexpr, SIZE: tl.constexpr, FLOAT: tl.constexpr):
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
        new = (_right(right, by_right, ratio, excess) - tl.sum(along * quotient, 1, keep_dims=True)) * inverse
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
def _tile_eliminate(Y, pivots, kappa, weight, row, column, N: tl.constexpr, DUAL: tl.constexpr):
    """``X K^-1``, the diagonal of ``K^-1``, ``K^-1 kappa`` and the sum over the pivots; see the top of this file.

    ``pivots`` come as the diagonal of K; those that are passed become the diagonal of the inverse.
    """
    t = 0 * pivots
    k = t + 1.0
    total = t
    for p in range(N):
        here = column == p
        y = tl.sum(tl.where(row == p, Y, 0.0), 1, keep_dims=True)
        y_row = tl.sum(tl.where(here, Y, 0.0), 2, keep_dims=True)
        k = tl.where(here, pivots, k)
        inverse = 1.0 / tl.sum(tl.where(here, pivots, 0.0), 2, keep_dims=True)
        s = weight * y
        scaled = s * inverse
        Y = tl.where(row == p, y * inverse, tl.where(here, y_row * inverse, Y - y_row * scaled))
        square = s * scaled
        t = tl.where(here, s, t)
        pivots = tl.where(here, inverse, tl.where(column > p, pivots - square, pivots + square))
        if DUAL:
            total += tl.where(column < p, square, 0.0)
        else:
            total += tl.where(column > p, square, 0.0)
        h = tl.sum(tl.where(here, kappa, 0.0), 2, keep_dims=True)
        kappa = tl.where(here, h * inverse, kappa - scaled * h)
    return Y, pivots, kappa, tl.sum(total + _pivot_terms(t, k, DUAL), 2, keep_dims=True)


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
def _times_transpose(x, y, SIZE: tl.constexpr):
    """``x y'``.  Large tiles are multiplied a column at a time: tl.dot would want all of them in registers."""
    if SIZE * x.dtype.primitive_bitwidth > 16 * 32:
        column = tl.arange(0, SIZE)[None, None, :]
        product = 0 * x
        for k in range(SIZE):
            x_column = tl.sum(tl.where(column == k, x, 0.0), 2, keep_dims=True)
            y_column = tl.sum(tl.where(column == k, y, 0.0), 2, keep_dims=True)
            product += x_column * tl.permute(y_column, (0, 2, 1))
    else:
        product = tl.dot(x, tl.permute(y, (0, 2, 1)), input_precision="ieee", out_dtype=x.dtype)
    return product


@device
def _tile_gram(matrix, excess, on_diagonal):
    """``M M' - I`` for a triangular M with diagonal ``1 + excess``, and its diagonal without what the excess gives."""
    strict = tl.where(on_diagonal, 0.0, matrix)
    squares = tl.permute(tl.sum(strict * strict, 2, keep_dims=True), (0, 2, 1))
    product = _times_transpose(matrix, matrix, matrix.shape[1])
    return tl.where(on_diagonal, excess * (2.0 + excess) + squares, product), squares


@device
def _tile_pairs(
    mean1, tril1, mean2, tril2, alpha, alphas, upstream, value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale,
    N: tl.constexpr, PAIRS: tl.constexpr, SIZE: tl.constexpr, S_ALPHA, S_UPSTREAM,
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr, LARGEST: tl.constexpr,
):
    """Each program takes ``PAIRS`` pairs."""
    at = (tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS))[:, None, None]
    mask = at < rows
    row = tl.arange(0, SIZE)[None, :, None]
    column = tl.arange(0, SIZE)[None, None, :]
    on_diagonal = row == column
    w1, w2, g1, g2, slope, factor = _weights(
        alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT, REVERSE)
    L1 = tril1 + at * (N * N)
    L2 = tril2 + at * (N * N)

    kappa_ = _tile_solve(L2, mean1 + at * N, mean2 + at * N, mask, column, N, SIZE, FLOAT)
    V, ratio, f = _tile_quotient(L2, L1, mask, row, column, N, SIZE, FLOAT)
    Y, squares = _tile_gram(V, f, on_diagonal)
    _, _, _, trace2 = _tile_eliminate(Y, g2 + g1 * (squares + ratio * ratio), kappa_, g1, row, column, N, DUAL)
    W, ratio, e = _tile_quotient(L1, L2, mask, row, column, N, SIZE, FLOAT)
    X, squares = _tile_gram(W, e, on_diagonal)
    Y, pivots, kappa_, trace1 = _tile_eliminate(
        X, g1 + g2 * (squares + ratio * ratio), kappa_, g2, row, column, N, DUAL)

    kappa = tl.permute(kappa_, (0, 2, 1))
    p_ = tl.sum(W * kappa, 1, keep_dims=True)
    zeta = tl.sum(W * p_, 2, keep_dims=True)
    zeta_ = tl.permute(zeta, (0, 2, 1))
    s = tl.sum(V * kappa_, 2, keep_dims=True)
    s_ = tl.permute(s, (0, 2, 1))
    eta_ = tl.sum(V * s, 1, keep_dims=True)
    kl1, kl2, quadratic1, quadratic2 = _terms(
        g1, g2, tl.sum(kappa_ * kappa_, 2, keep_dims=True), tl.sum(p_ * p_, 2, keep_dims=True),
        tl.sum(zeta_ * zeta_, 2, keep_dims=True), tl.sum(s_ * s_, 2, keep_dims=True), trace1, trace2, DUAL, LARGEST)
    if value is not None:
        tl.store(value + at, skew(w1, w2, kl1, kl2), mask=mask)

    if GRAD:  # derivatives are linear in the weights and the two divergences
        w1 *= factor
        w2 *= factor
        c1 = w1 * g2 * g2
        c2 = w2 * g1 * g1
        if DUAL:
            inverse_K = tl.where(on_diagonal, pivots, -g2 * Y)
            theta = tl.sum(inverse_K * zeta_, 2, keep_dims=True)
            phi = tl.sum(inverse_K * kappa_, 2, keep_dims=True)
            Z = _times_transpose(Y, inverse_K, SIZE)
            matrix = w1 * g2 * Y + (c2 - w1 * g2 * g1) * Z
            theta_ = tl.permute(theta, (0, 2, 1))
            phi_ = tl.permute(phi, (0, 2, 1))
            x0, x1, x2, y0, y1, y2 = _outer_from_mean(
                w1, w2, g1, g2, kappa_, theta_, phi_, p_,
                tl.sum(W * theta, 1, keep_dims=True), tl.sum(W * phi, 1, keep_dims=True))
            by_2 = matrix + kappa * x0 + theta * x1 + phi * x2
            by_1 = kappa * y0 + theta * y1 + phi * y2
            by_delta = c1 * theta_ + c2 * phi_
            squares = tl.sum(tl.sum(Y * Y, 2, keep_dims=True), 1, keep_dims=True)
            by_weight = (w1 * g2 - w2 * g1) * (squares + 2.0 * tl.sum(kappa_ * theta_, 2, keep_dims=True))
        else:
            back, _ = _tile_gram(tl.permute(V, (0, 2, 1)), f, on_diagonal)
            matrix = w1 * g2 * X - w2 * g1 * back - (w1 + w2) * (g1 * g2) * Y
            by_weight1 = tl.sum(tl.sum(X * Y, 2, keep_dims=True), 1, keep_dims=True) + quadratic1
            by_weight2 = quadratic2 - tl.sum(tl.sum(back * Y, 2, keep_dims=True), 1, keep_dims=True)
            x0, x1, y0, y1 = _outer_to_mean(w1, w2, g1, g2, kappa_, p_, zeta_, s_)
            by_2 = matrix + kappa * x0 + zeta * x1
            by_1 = kappa * y0 + tl.permute(eta_, (0, 2, 1)) * y1
            by_delta = c1 * zeta_ + c2 * eta_
            by_weight = w1 * g2 * by_weight1 - w2 * g1 * by_weight2
        if d_alpha is not None:
            tl.store(d_alpha + at, factor * (kl2 - kl1) + slope * 0.5 * by_weight, mask=mask)
        by_1 += _times_transpose(matrix, V, SIZE)
        for step in range(N):
            i = N - 1 - step
            here = row == i
            below = tl.load(L2 + row * N + i, mask=mask & (row > i) & (row < N), other=0.0).to(FLOAT)
            inverse = 1.0 / tl.load(L2 + i * (N + 1), mask=mask, other=1.0).to(FLOAT)
            part = tl.where(here, inverse, -inverse * below)
            by_1 = tl.where(here, tl.sum(part * by_1, 1, keep_dims=True), by_1)
            by_2 = tl.where(here, tl.sum(part * by_2, 1, keep_dims=True), by_2)
        inside = mask & (row < N) & (column < N)
        tl.store(d_tril1 + at * (N * N) + row * N + column, tl.where(row >= column, by_1, 0.0), mask=inside)
        tl.store(d_tril2 + at * (N * N) + row * N + column, tl.where(row >= column, -by_2, 0.0), mask=inside)
        by_delta = _tile_transpose_solve(L2, by_delta, mask, column, N, FLOAT)
        tl.store(d_mean1 + at * N + column, by_delta, mask=mask & (column < N))


@triton.jit
def lane_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream,
    value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale: tl.float64,
    N: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr, SIZE: tl.constexpr,
    MEAN_WIDTH: tl.constexpr, MEAN_SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
    GRAD: tl.constexpr, LARGEST: tl.constexpr, PRESENT: tl.constexpr,
):
    """Each lane takes one pair.  PRESENT is that of `kernels.jsg_kernel`."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if stale(upstream, at, at < rows, scale, S_UPSTREAM, FLOAT, PRESENT):
        _lane_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream,
            value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale,
            N, BLOCK, WIDTH, SIZE, MEAN_WIDTH, MEAN_SIZE, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, LARGEST)


@triton.jit
def tile_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream,
    value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale: tl.float64,
    N: tl.constexpr, PAIRS: tl.constexpr, SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
    GRAD: tl.constexpr, LARGEST: tl.constexpr, PRESENT: tl.constexpr,
):
    """Each program takes ``PAIRS`` pairs.  PRESENT is that of `kernels.jsg_kernel`."""
    at = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    if stale(upstream, at, at < rows, scale, S_UPSTREAM, FLOAT, PRESENT):
        _tile_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream,
            value, d_mean1, d_tril1, d_tril2, d_alpha, rows, scale,
            N, PAIRS, SIZE, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, LARGEST)
# fmt: on


def tiling(count, n, itemsize, lanes):
    """The kernel for ``count`` pairs of ``n`` dimensions, its constants and its warps: no tuning at run time.

    ``lanes`` is how many threads a warp has.  What fits in registers was found by compiling.
    """
    if n <= (3 if itemsize == 8 else 8):
        block = 64
        if INTERPRETED:
            block = min(4096, triton.next_power_of_2(count))
        width = 16 // itemsize  # 128 bits
        constants = dict(WIDTH=math.gcd(n * n, width), SIZE=triton.next_power_of_2(n * n))
        constants |= dict(MEAN_WIDTH=math.gcd(n, width), MEAN_SIZE=triton.next_power_of_2(n))
        return lane_kernel, dict(BLOCK=block, **constants), 64 // lanes
    size = max(16, triton.next_power_of_2(n))
    pairs = min(65536 // size**2, triton.next_power_of_2(count)) if INTERPRETED else 1
    threads = {16: 32, 32: 128, 64: 256} if itemsize == 4 else {16: 32, 32: 256, 64: 512}
    return tile_kernel, dict(PAIRS=pairs, SIZE=size), max(1, threads[size] // lanes)


def rows(
    mean1, tril1, mean2, tril2, alpha, *,
    dual, reverse, value=True, grad=True, by_alpha=False, scale=1.0, upstream=None,
):  # fmt: skip
    """What `kernels.rows` returns, for full covariances.

    Means ``(rows, n)`` and Cholesky factors ``(rows, n, n)`` of equal type, of which the lower triangles are read.
    Beyond n = 64 the computation is that of `full_eager.rows`, with torch.linalg.
    """
    check_device(mean1)
    pair = mean1, tril1, mean2, tril2
    if mean1.shape[-1] > LARGEST_TILE:
        wanted = dict(value=value, grad=grad, by_alpha=by_alpha, scale=scale, upstream=upstream)
        return full_eager.rows(*pair, alpha, dual=dual, reverse=reverse, **wanted)
    count, work = mean1.shape[0], torch.promote_types(mean1.dtype, torch.float32)
    # The interpreter truncates where hardware rounds to bfloat16: there float32 is stored and torch rounds.
    stored = torch.float32 if INTERPRETED and mean1.dtype == torch.bfloat16 else mean1.dtype
    new = partial(torch.empty, device=mean1.device)
    values, d_alpha = (new(count, dtype=work) if wanted else None for wanted in (value, by_alpha))
    gradients = [new(x.shape, dtype=stored) if grad or by_alpha else None for x in (mean1, tril1, tril2)]
    launch(*pair, alpha, values, *gradients, d_alpha, dual, reverse, scale, upstream, False)
    return values, *(x.to(mean1.dtype) if grad else None for x in gradients), d_alpha


def rescaled(gradients, mean1, tril1, mean2, tril2, alpha, *, dual, reverse, scale, upstream):
    """As `kernels.rescaled`."""
    pair, options = (mean1, tril1, mean2, tril2, alpha), dict(dual=dual, reverse=reverse, upstream=upstream)
    if mean1.shape[-1] > LARGEST_TILE:
        return full_eager.rescaled(gradients, *pair, scale=scale, **options)
    if INTERPRETED and mean1.dtype == torch.bfloat16:
        return rows(*pair, value=False, by_alpha=gradients[3] is not None, **options)[1:]
    launch(*pair, None, *gradients, dual, reverse, scale, upstream, True)
    return gradients


def launch(
    mean1, tril1, mean2, tril2, alpha, values, by_mean1, by_tril1, by_tril2, by_alpha,
    dual, reverse, scale, upstream, present,
):  # fmt: skip
    count, n = mean1.shape
    if not count:
        return
    work = torch.promote_types(mean1.dtype, torch.float32)
    kernel, constants, warps = tiling(count, n, work.itemsize, LANES)
    programs = triton.cdiv(count, constants.get("BLOCK") or constants["PAIRS"])
    per_row = isinstance(alpha, torch.Tensor)
    elsewhere = mean1.is_cuda and mean1.device.index != torch.cuda.current_device()
    with torch.cuda.device(mean1.device) if elsewhere else nullcontext():
        kernel[(programs,)](
            *(x.contiguous() for x in (mean1, tril1, mean2, tril2)),
            0.0 if per_row else float(alpha), alpha if per_row else None, upstream,
            values, by_mean1, by_tril1, by_tril2, by_alpha, count, float(scale), n, **constants,
            S_ALPHA=row_stride(alpha) if per_row else 0, S_UPSTREAM=0 if upstream is None else row_stride(upstream),
            FLOAT=tl.float64 if work == torch.float64 else tl.float32, DUAL=dual, REVERSE=reverse,
            GRAD=by_mean1 is not None, LARGEST=torch.finfo(work).max, PRESENT=present, num_warps=warps,
        )  # fmt: skip
