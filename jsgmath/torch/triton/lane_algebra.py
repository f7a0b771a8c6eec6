"""Vectors and lower triangles in Triton if each lane takes one pair of Gaussians: all entries are in registers.

A vector is a tuple of n tensors, a lower triangle a tuple of its rows.  Loops over the entries are unrolled.
"""

import triton.language as tl

from jsgmath.torch.triton.full_terms import right_side
from jsgmath.torch.triton.scalar import device


@device
def lane_negative(matrix, N: tl.constexpr):
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (-matrix[i][j],)
        rows = rows + (row,)
    return rows


@device
def lane_inverses(tril, N: tl.constexpr):
    inverses = ()
    for i in tl.static_range(N):
        inverses = inverses + (1.0 / tril[i][i],)
    return inverses


@device
def lane_quotient(tril, by, inverses, N: tl.constexpr):
    """``by^-1 tril``, and its diagonal minus one."""
    ratio = ()
    excess = ()
    for i in tl.static_range(N):
        ratio = ratio + (tril[i][i] * inverses[i],)
        excess = excess + ((tril[i][i] - by[i][i]) * inverses[i],)
    minus = lane_negative(by, N)
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
def lane_solve(tril, inverses, vector, N: tl.constexpr):
    solution = ()
    for i in tl.static_range(N):
        x = vector[i]
        for k in tl.static_range(i):
            x = tl.fma(-tril[i][k], solution[k], x)
        solution = solution + (x * inverses[i],)
    return solution


@device
def lane_gram(matrix, excess, N: tl.constexpr):
    """``M M' - I`` for a triangular M with diagonal ``1 + excess``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (lane_dot(matrix[i], matrix[j], j + 1),)
        x = excess[i] * (2.0 + excess[i])
        for k in tl.static_range(i):
            x = tl.fma(matrix[i][k], matrix[i][k], x)
        rows = rows + (row + (x,),)
    return rows


@device
def lane_back(matrix, excess, N: tl.constexpr):
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
def lane_factor(W, excess, g1, g2, N: tl.constexpr, DUAL: tl.constexpr, INVERSE: tl.constexpr):
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
            square = lane_dot(F[0], F[0], p)
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
                dot = lane_dot(F[i - p], F[0], p)
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
def lane_ratio(H, inverses, weight, N: tl.constexpr):
    """``X K^-1`` from ``R^-1 = I + weight H``; ``inverses`` is the diagonal of R^-1."""
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
def lane_inverse_diagonal(H, inverses, weight, N: tl.constexpr):
    """The diagonal of ``K^-1``."""
    diagonal = ()
    for j in tl.static_range(N):
        x = 0 * weight
        for i in tl.static_range(j + 1, N):
            x = tl.fma(H[i][j], H[i][j], x)
        diagonal = diagonal + (tl.fma(weight * weight, x, inverses[j] * inverses[j]),)
    return diagonal


@device
def lane_root(H, inverses, weight, N: tl.constexpr):
    """``R^-1 = I + weight H`` from its diagonal and the rest of H, because 1 + weight H loses digits if K is large."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (weight * H[i][j],)
        rows = rows + (row + (inverses[i],),)
    return rows


@device
def lane_times(matrix, vector, N: tl.constexpr):
    """A lower triangle times a vector."""
    product = ()
    for i in tl.static_range(N):
        x = matrix[i][0] * vector[0]
        for j in tl.static_range(1, i + 1):
            x = tl.fma(matrix[i][j], vector[j], x)
        product = product + (x,)
    return product


@device
def lane_transpose_times(matrix, vector, N: tl.constexpr):
    product = ()
    for j in tl.static_range(N):
        x = matrix[j][j] * vector[j]
        for i in tl.static_range(j + 1, N):
            x = tl.fma(matrix[i][j], vector[i], x)
        product = product + (x,)
    return product


@device
def lane_inverse_times(Y, diagonal, weight, vector, N: tl.constexpr):
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
def lane_dot(x, y, N: tl.constexpr):
    total = x[0] * y[0]
    for i in tl.static_range(1, N):
        total = tl.fma(x[i], y[i], total)
    return total


@device
def lane_inner(X, Y, N: tl.constexpr):
    """``tr(X Y)`` of two symmetric matrices."""
    diagonal = 0 * X[0][0]
    below = 0 * X[0][0]
    for i in tl.static_range(N):
        diagonal = tl.fma(X[i][i], Y[i][i], diagonal)
        for j in tl.static_range(i):
            below = tl.fma(X[i][j], Y[i][j], below)
    return diagonal + 2.0 * below


@device
def lane_inverse_product(Y, diagonal, weight, N: tl.constexpr):
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
def lane_sum(a, X, b, Y, c, Z, N: tl.constexpr):
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (tl.fma(a, X[i][j], tl.fma(b, Y[i][j], c * Z[i][j])),)
        rows = rows + (row,)
    return rows


@device
def lane_add_outer(matrix, x, y, N: tl.constexpr):
    """The lower triangle of ``matrix + x y'``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (tl.fma(x[i], y[j], matrix[i][j]),)
        rows = rows + (row,)
    return rows


@device
def lane_times_transpose(matrix, V, N: tl.constexpr):
    """The lower triangle of ``matrix V'``, for a lower triangle V."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i + 1):
            row = row + (lane_dot(matrix[i], V[j], j + 1),)
        rows = rows + (row,)
    return rows


@device
def lane_difference(W, e, f, N: tl.constexpr):
    """The lower triangle of ``W - V'``, whose diagonals are ``1 + e`` and ``1 + f``."""
    rows = ()
    for i in tl.static_range(N):
        row = ()
        for j in tl.static_range(i):
            row = row + (W[i][j],)
        rows = rows + (row + (e[i] - f[i],),)
    return rows


@device
def lane_transpose_solve(tril, inverses, right, N: tl.constexpr):
    """The lower triangle of ``tril'^-1 right``; it depends only on the lower triangle of ``right``."""
    minus = lane_negative(tril, N)
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
def lane_transpose_solve_vector(tril, inverses, right, N: tl.constexpr):
    solution = ()
    for i in tl.static_range(N - 1, -1, -1):
        x = right[i]
        for k in tl.static_range(i + 1, N):
            x = tl.fma(-tril[k][i], solution[k - i - 1], x)
        solution = (x * inverses[i],) + solution
    return solution
