"""A Triton kernel for the gradients of JSG* between covariances far apart, for pairs that another kernel has marked.

Where the condition of ``L2^-1 L1`` is large, formulas that contain it lose its square.  This kernel uses those of
`eager/full.py`, in float64: with ``R R' = g1 S2 + g2 S1`` and ``U = R^-1 L`` for each factor L, they lose the condition
of the factors.  R comes from Householder reflections of ``[sqrt(g2) L1, sqrt(g1) L2]``, a row at a time.

The pair is exchanged where ``g1 < 1/2``, so that one form of each derivative suffices and only ``L2^-1 L1`` is needed.
A program has tiles like those of `full_tiles.py`.  Few pairs are marked, and for them speed matters less.
"""

import triton
import triton.language as tl

from jsgmath.torch.triton.full_terms import by_displacement, must_compute_pairs, outer_from_mean, pair_weights
from jsgmath.torch.triton.full_tiles import tile_quotient, times_transpose
from jsgmath.torch.triton.scalar import device


# fmt: off
@device
def _times(x, y, SIZE: tl.constexpr):
    return times_transpose(x, tl.permute(y, (0, 2, 1)), SIZE)


@device
def _eliminated(x, C, here, inverse):
    """One step of forward substitution by the column C, whose entries above the row are zero."""
    solved = inverse * tl.sum(tl.where(here, x, 0.0), 1, keep_dims=True)
    return tl.where(here, solved, x - C * solved)


@device
def _power(x):
    """The power of two in a positive float64, a normal number whose inverse is one too."""
    bits = tl.minimum(tl.maximum(x, 2.0**-1022), 2.0**1022).to(tl.int64, bitcast=True)
    return (bits & 0x7FF0000000000000).to(tl.float64, bitcast=True)


@device
def _whitened(L1, L2, difference, g1, g2, mask, row, column, N: tl.constexpr, SIZE: tl.constexpr):
    """``R``, ``R^-1 L1``, ``R^-1 L2``, ``R^-1`` times a vector along the rows, and a power of two.

    The arguments are pointers to the factors, which are multiplied by that power, so that no square leaves the range.
    """
    inside = mask & (column <= row) & (row < N)
    U1 = tl.load(L1 + row * N + column, mask=inside, other=0.0).to(tl.float64)
    U2 = tl.load(L2 + row * N + column, mask=inside, other=0.0).to(tl.float64)
    largest = tl.max(tl.max(tl.maximum(tl.abs(U1), tl.abs(U2)), 1, keep_dims=True), 2, keep_dims=True)
    down = 1.0 / _power(largest)
    U1 *= down
    U2 *= down
    root1 = tl.sqrt(g1)
    root2 = tl.sqrt(g2) * down
    B = root1 * U2
    R = tl.zeros([mask.shape[0], SIZE, SIZE], tl.float64)
    white = difference * down
    for p in range(N):
        here = row == p
        f = tl.sum(tl.where(here, B, 0.0), 1, keep_dims=True)
        a = root2 * tl.load(L1 + p * (N + 1), mask=mask, other=1.0).to(tl.float64)
        A = root2 * tl.load(L1 + row * N + p, mask=mask & (row >= p) & (row < N), other=0.0).to(tl.float64)
        norm = tl.sqrt(a * a + tl.sum(f * f, 2, keep_dims=True))
        inverse = 1.0 / norm
        dot = tl.where(row >= p, tl.sum(B * f, 2, keep_dims=True), 0.0)
        C = (a * A + dot) * inverse
        B -= (A + dot / (a + norm)) * inverse * f
        R = tl.where(column == p, C, R)
        U1 = _eliminated(U1, C, here, inverse)
        U2 = _eliminated(U2, C, here, inverse)
        white = _eliminated(white, C, here, inverse)
    return R, U1, U2, white, down


@device
def _far_pairs(
    mean1, tril1, mean2, tril2, alpha, alphas, upstream, d_mean1, d_tril1, d_tril2, at, mask, scale,
    N: tl.constexpr, SIZE: tl.constexpr, S_ALPHA, S_UPSTREAM, REVERSE: tl.constexpr,
):
    row = tl.arange(0, SIZE)[None, :, None]
    column = tl.arange(0, SIZE)[None, None, :]
    a1, a2, a_g1, a_g2, _, factor = pair_weights(
        alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, tl.float64, REVERSE)
    kept = a_g1 >= 0.5
    w1 = factor * tl.where(kept, a1, a2)
    w2 = factor * tl.where(kept, a2, a1)
    g1 = tl.where(kept, a_g1, a_g2)
    g2 = tl.where(kept, a_g2, a_g1)
    square = at * (N * N)
    L1 = tl.where(kept, tril1 + square, tril2 + square)
    L2 = tl.where(kept, tril2 + square, tril1 + square)
    along = mask & (row < N)
    difference = (tl.load(mean1 + at * N + row, mask=along, other=0.0).to(tl.float64)
                  - tl.load(mean2 + at * N + row, mask=along, other=0.0).to(tl.float64))
    sign = tl.where(kept, 1.0, -1.0)

    R, U1, U2, white, down = _whitened(L1, L2, sign * difference, g1, g2, mask, row, column, N, SIZE)
    p_ = tl.sum(U1 * white, 1, keep_dims=True)
    kappa_ = tl.sum(U2 * white, 1, keep_dims=True)
    theta = tl.sum(U1 * p_, 2, keep_dims=True)
    phi = tl.sum(U2 * kappa_, 2, keep_dims=True)
    x0, x1, x2, y0, y1, y2 = outer_from_mean(
        w1, w2, g1, g2, kappa_, tl.sum(U2 * theta, 1, keep_dims=True), tl.sum(U2 * phi, 1, keep_dims=True),
        p_, tl.sum(U1 * theta, 1, keep_dims=True), tl.sum(U1 * phi, 1, keep_dims=True))
    moved = by_displacement(w1, w2, g1, g2, theta, phi)

    # This is `_from_mean` of `eager/full.py`, in the form for ``g1 > 1/2`` and in the other form.
    S1 = times_transpose(U1, U1, SIZE)
    S2 = times_transpose(U2, U2, SIZE)
    D = S1 - S2
    by_1 = (_times((w1 * g2 * g2) * D + (w2 * g1) * S2, U1, SIZE) + (w2 * g2) * U1
            + white * y0 + theta * y1 + phi * y2)
    W, _, _ = tile_quotient(L1, L2, mask, row, column, N, SIZE, tl.float64)
    over = times_transpose(U1, W, SIZE) - U2
    by_2 = (_times((w2 * g1 * g1) * D, U2, SIZE) + _times((w1 * g2 * g2) * S1, over, SIZE)
            + white * x0 + theta * x1 + phi * x2)

    for step in range(N):  # R'^-1 times all
        i = N - 1 - step
        here = row == i
        r = tl.sum(tl.where(column == i, R, 0.0), 2, keep_dims=True)
        inverse = 1.0 / tl.sum(tl.where(here, r, 0.0), 1, keep_dims=True)
        part = tl.where(here, inverse, tl.where(row > i, -inverse * r, 0.0))
        by_1 = tl.where(here, tl.sum(part * by_1, 1, keep_dims=True), by_1)
        by_2 = tl.where(here, tl.sum(part * by_2, 1, keep_dims=True), by_2)
        moved = tl.where(here, tl.sum(part * moved, 1, keep_dims=True), moved)
    own = tl.load(L1 + row * (N + 1), mask=along, other=1.0).to(tl.float64) * down
    by_1 = (by_1 - tl.where(row == column, w2 / own, 0.0)) * down
    by_2 *= down
    moved *= down

    below = column <= row
    inside = along & (column < N)
    d_first = tl.where(kept, d_tril1 + square, d_tril2 + square)
    d_second = tl.where(kept, d_tril2 + square, d_tril1 + square)
    single: tl.constexpr = tl.float64 if mean1.dtype.element_ty == tl.float64 else tl.float32
    tl.store(d_first + row * N + column, tl.where(below, by_1, 0.0).to(single), mask=inside)
    tl.store(d_second + row * N + column, tl.where(below, -by_2, 0.0).to(single), mask=inside)
    tl.store(d_mean1 + at * N + row, (sign * moved).to(single), mask=along)


@triton.jit
def far_kernel(
    mean1, tril1, mean2, tril2, alpha: tl.float64, alphas, upstream, d_mean1, d_tril1, d_tril2, hard, rows,
    scale: tl.float64, N: tl.constexpr, PAIRS: tl.constexpr, SIZE: tl.constexpr,
    S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, REVERSE: tl.constexpr,
):
    """Each program takes ``PAIRS`` pairs, and ends immediately if none is ``hard``."""
    at = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    mask, needed = must_compute_pairs(
        upstream, at, at < rows, scale, hard, S_UPSTREAM, tl.float64, False, True)
    if needed:
        _far_pairs(
            mean1, tril1, mean2, tril2, alpha, alphas, upstream, d_mean1, d_tril1, d_tril2,
            at[:, None, None], mask[:, None, None], scale, N, SIZE, S_ALPHA, S_UPSTREAM, REVERSE)
# fmt: on
