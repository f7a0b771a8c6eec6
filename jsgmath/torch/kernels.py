"""Triton kernel: loss and gradients of JSG and JSG* for rows of diagonal Gaussians, one pass, one launch.

`formula.py` and `special.py` are compiled as they stand; this file adds the exponential, the tiling and the launch.
A tile holds ``GROUP`` consecutive rows as one longer row whenever that makes every row start on a 16-byte boundary, so
that loads are 128 bits wide at any usual n.
"""

import math
import types
from contextlib import nullcontext
from functools import partial

import torch
import triton
import triton.language as tl
from triton import knobs

from jsgmath import formula, special

INTERPRETED = knobs.runtime.interpret


def _device(function):
    """A function that kernels call; the interpreter takes it unmarked, and ten times faster."""
    return function if INTERPRETED else triton.jit(function)


def _shared(function, **names):
    """A function of the shared text as a Triton function, its free names bound to Triton ones."""
    if not INTERPRETED:
        names["range"] = tl.static_range
    bound = types.FunctionType(function.__code__, {"tl": tl, **names}, function.__name__)
    bound.__module__, bound.__qualname__ = function.__module__, function.__qualname__
    return _device(bound)


mean_weights = _shared(formula.mean_weights)
to_mean = _shared(formula.to_mean)
from_mean = _shared(formula.from_mean)
skew = _shared(formula.skew)
to_mean_grad = _shared(formula.to_mean_grad)
from_mean_grad = _shared(formula.from_mean_grad)
two_sum = _shared(special.two_sum)
tail = _shared(special.tail)
log_k = _shared(special.log_k)
shared_g = _shared(special.g, tail=tail, log_k=log_k)
shared_gs = _shared(special.gs, tail=tail, log_k=log_k)

# Compiled functions read only such globals; the interpreter wants plain numbers.
TERMS64, TERMS32 = (
    special.series_terms(bits) if INTERPRETED else tl.constexpr(special.series_terms(bits)) for bits in (53, 24)
)


@_device
def _log(x):
    return tl.log(x)


@_device
def _where(condition, x, y):
    return tl.where(condition, x, y)


@_device
def _g(x, k, other_k, log_r):
    if x.dtype == tl.float64:
        result = shared_g(x, k, other_k, log_r, _log, _where, 1.0, TERMS64, 2.0**-766)
    else:
        result = shared_g(x, k, other_k, log_r, _log, _where, 1.0, TERMS32, 2.0**-94)
    return result


@_device
def _gs(x, k, other_k, log_r):
    if x.dtype == tl.float64:
        result = shared_gs(x, k, other_k, log_r, _log, _where, 1.0, TERMS64, 2.0**-766)
    else:
        result = shared_gs(x, k, other_k, log_r, _log, _where, 1.0, TERMS32, 2.0**-94)
    return result


@_device
def _clamp(x, limit):
    """``x`` within ``[-limit, limit]``; NaN stays NaN."""
    return tl.where(x > limit, limit, tl.where(x < -limit, -limit, x))


@_device
def _sqrt(x):
    if x.dtype == tl.float64:
        root = tl.sqrt(x)
    else:
        root = tl.sqrt_rn(x)
    return root


@_device
def _expm1_taylor(f, TERMS: tl.constexpr):
    p = 0 * f + 1.0
    for j in tl.static_range(TERMS - 1):
        p = p * (f * (1.0 / (TERMS - j))) + 1.0
    return f * p


@_device
def _exp(x):
    """``exp(x)`` and ``expm1(x)``, with x held where the first is a normal number, and whether it was there.

    ``x = k log(2) + f`` with log(2) in two parts, the first short enough for an exact product with k; Taylor in f.
    """
    given = x
    if x.dtype == tl.float64:
        x = _clamp(x, 708.0)
        k = tl.floor(x * 1.4426950408889634 + 0.5)
        f = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
        power = ((k.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
        taylor = _expm1_taylor(f, 14)
    else:
        x = _clamp(x, 87.0)
        k = tl.floor(x * 1.4426950408889634 + 0.5)
        f = (x - k * 0.693145751953125) - k * 1.428606765330187e-06
        power = ((k.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
        taylor = _expm1_taylor(f, 8)
    return power + power * taylor, (power - 1.0) + power * taylor, x == given


# fmt: off
@_device
def _element(mean1, logvar1, mean2, logvar2, alpha, DUAL, REVERSE, STANDARD, GRAD, LARGEST):
    """Value and gradients (zeros unless GRAD) of one tile of scalar pairs; alpha in float64."""
    FLOAT: tl.constexpr = mean1.dtype
    w1 = (1.0 - alpha).to(FLOAT)
    w2 = alpha.to(FLOAT)
    g1, g2, slope = mean_weights(w1, w2, REVERSE)
    log_r1, low = two_sum(logvar1, -logvar2)
    r1, e1, inside = _exp(log_r1)
    if not STANDARD:
        low = tl.where(inside, low * r1, 0 * log_r1)
        r1 += low
        e1 += low
    log_r1 = _clamp(log_r1, 1e30)
    r2 = 1.0 / r1
    e2 = -e1 * r2
    if STANDARD:
        i2 = 0 * r1 + 1.0
        i1 = _sqrt(r2)
    else:
        half1, _, _ = _exp(-0.5 * logvar1)
        half2, _, _ = _exp(-0.5 * logvar2)
        i1 = tl.minimum(half1, half2 * _sqrt(r2))
        i2 = tl.minimum(half2, half1 * _sqrt(r1))
    d1 = _clamp((mean1 - mean2) * i1, LARGEST)
    d2 = _clamp((mean1 - mean2) * i2, LARGEST)
    if DUAL:
        kl1, kl2 = from_mean(g1, g2, log_r1, r1, r2, e1, e2, d1, d2, _gs)
    else:
        kl1, kl2 = to_mean(g1, g2, log_r1, r1, r2, e1, e2, d1, d2, _g)
    value = skew(w1, w2, _clamp(kl1, LARGEST), _clamp(kl2, LARGEST))
    if not GRAD:
        d_mean1, d_logvar1, d_logvar2, d_alpha = value, value, value, value
    elif DUAL:
        d_mean1, d_logvar1, d_logvar2, d_alpha = from_mean_grad(
            w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2, i1, i2)
    else:
        d_mean1, d_logvar1, d_logvar2, d_alpha = to_mean_grad(
            w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2, i1, i2)
    return value, d_mean1, d_logvar1, d_logvar2, d_alpha


@_device
def _block(
    mean1, logvar1, mean2, logvar2, alpha, d_mean1, d_logvar1, d_logvar2, row, column, mask,
    N, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, FLOAT, DUAL, REVERSE, STANDARD, GRAD, LARGEST,
):
    """Load one tile, store its gradients; return the values and the derivatives by alpha."""
    m1 = tl.load(mean1 + row * S_MEAN1 + column, mask=mask, other=0.0).to(FLOAT)
    l1 = tl.load(logvar1 + row * S_LOGVAR1 + column, mask=mask, other=0.0).to(FLOAT)
    if STANDARD:
        m2 = 0 * m1
        l2 = 0 * l1
    else:
        m2 = tl.load(mean2 + row * S_MEAN2 + column, mask=mask, other=0.0).to(FLOAT)
        l2 = tl.load(logvar2 + row * S_LOGVAR2 + column, mask=mask, other=0.0).to(FLOAT)
    if S_ALPHA == 0:
        a = tl.load(alpha)
    else:
        a = tl.load(alpha + (row + column // N) * S_ALPHA, mask=mask, other=0.0)
    value, by_mean1, by_logvar1, by_logvar2, by_alpha = _element(
        m1, l1, m2, l2, a.to(tl.float64), DUAL, REVERSE, STANDARD, GRAD, LARGEST)
    if GRAD:
        at = row * N + column
        tl.store(d_mean1 + at, by_mean1, mask=mask)
        tl.store(d_logvar1 + at, by_logvar1, mask=mask)
        if not STANDARD:
            tl.store(d_logvar2 + at, by_logvar2, mask=mask)
    return value, by_alpha


@_device
def _rows(
    mean1, logvar1, mean2, logvar2, alpha, value, d_mean1, d_logvar1, d_logvar2, d_alpha, first, rows,
    FULL: tl.constexpr, N: tl.constexpr, GROUP: tl.constexpr, TILE_ROWS: tl.constexpr, BLOCK: tl.constexpr,
    S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, FLOAT: tl.constexpr, DUAL, REVERSE, STANDARD, GRAD: tl.constexpr,
    LARGEST,
):
    """``GROUP * TILE_ROWS`` rows from ``first`` on; unless FULL only those below ``rows`` exist."""
    row = first + (tl.arange(0, TILE_ROWS) * GROUP)[:, None]
    total = tl.zeros([TILE_ROWS], FLOAT)
    total_alpha = tl.zeros([TILE_ROWS], FLOAT)
    for start in range(0, GROUP * N, BLOCK):
        column = start + tl.arange(0, BLOCK)[None, :]
        mask = column < GROUP * N
        if not FULL:
            mask = mask & (row + column // N < rows)
        v, by_alpha = _block(
            mean1, logvar1, mean2, logvar2, alpha, d_mean1, d_logvar1, d_logvar2, row, column, mask,
            N, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, FLOAT, DUAL, REVERSE, STANDARD, GRAD, LARGEST)
        if GROUP == 1:
            total += tl.sum(v, 1)
            total_alpha += tl.sum(by_alpha, 1)
        else:  # one block holds the whole group
            for member in tl.static_range(GROUP):
                mine = column // N == member
                at = first + tl.arange(0, TILE_ROWS) * GROUP + member
                tl.store(value + at, tl.sum(tl.where(mine, v, 0.0), 1), mask=at < rows)
                if GRAD:
                    tl.store(d_alpha + at, tl.sum(tl.where(mine, by_alpha, 0.0), 1), mask=at < rows)
    if GROUP == 1:
        at = first + tl.arange(0, TILE_ROWS)
        tl.store(value + at, total, mask=at < rows)
        if GRAD:
            tl.store(d_alpha + at, total_alpha, mask=at < rows)


@triton.jit
def jsg_kernel(
    mean1, logvar1, mean2, logvar2, alpha, value, d_mean1, d_logvar1, d_logvar2, d_alpha, rows,
    N: tl.constexpr, GROUP: tl.constexpr, TILE_ROWS: tl.constexpr, BLOCK: tl.constexpr,
    S_MEAN1: tl.constexpr, S_LOGVAR1: tl.constexpr, S_MEAN2: tl.constexpr, S_LOGVAR2: tl.constexpr,
    S_ALPHA: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, STANDARD: tl.constexpr,
    GRAD: tl.constexpr, LARGEST: tl.constexpr,
):
    """Each program takes ``GROUP * TILE_ROWS`` rows; all but the last need no mask along the rows."""
    first = tl.program_id(0).to(tl.int64) * (GROUP * TILE_ROWS)
    if first + GROUP * TILE_ROWS <= rows:
        _rows(
            mean1, logvar1, mean2, logvar2, alpha, value, d_mean1, d_logvar1, d_logvar2, d_alpha, first, rows,
            True, N, GROUP, TILE_ROWS, BLOCK, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA,
            FLOAT, DUAL, REVERSE, STANDARD, GRAD, LARGEST)
    else:
        _rows(
            mean1, logvar1, mean2, logvar2, alpha, value, d_mean1, d_logvar1, d_logvar2, d_alpha, first, rows,
            False, N, GROUP, TILE_ROWS, BLOCK, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA,
            FLOAT, DUAL, REVERSE, STANDARD, GRAD, LARGEST)
# fmt: on


def tiling(count, n, itemsize, contiguous):
    """``GROUP, TILE_ROWS, BLOCK`` and warps for ``count`` rows of ``n`` numbers: no tuning at run time.

    A thread computes 4 elements (2 of float64), which is a 128-bit load and what fits in registers.  The interpreter
    takes as long for a program as for a hundred thousand elements, so there tiles are large.
    """
    per_thread = 2 if itemsize == 8 else 4
    largest = 256 * per_thread
    group = 4 // math.gcd(n, 4) if contiguous and 4 * n <= largest else 1
    block = min(triton.next_power_of_2(group * n), largest)
    warps = 8 if block == largest else 4
    tile_rows = 32 * warps * per_thread // block
    if INTERPRETED:
        tile_rows = min(65536 // block, triton.next_power_of_2(triton.cdiv(count, group)))
    return dict(GROUP=group, TILE_ROWS=tile_rows, BLOCK=block), warps


def rows(mean1, logvar1, mean2, logvar2, alpha, *, dual, reverse, grad):
    """Value per row and, if ``grad``, derivatives by mean1, logvar1, logvar2 and alpha (per row).

    Rows ``(rows, n)`` of equal type with unit stride along n, ``mean2 = logvar2 = None`` for N(0, I); alpha has one
    entry or one per row.  The computation is in float32, for float64 input in float64.
    """
    if not (mean1.is_cuda or INTERPRETED):
        raise ValueError(
            f"backend='triton' needs CUDA or ROCm tensors, got {mean1.device.type}; use backend='eager', "
            "or set TRITON_INTERPRET=1 before Python starts to run Triton's interpreter"
        )
    count, n = mean1.shape
    standard = mean2 is None
    # The interpreter truncates where hardware rounds to bfloat16: there float32 is stored and torch rounds.
    dtype = torch.float32 if INTERPRETED and mean1.dtype == torch.bfloat16 else mean1.dtype
    work = torch.promote_types(dtype, torch.float32)
    new = partial(torch.empty, device=mean1.device)
    value = new(count, dtype=dtype)
    by_mean1, by_logvar1 = (new((count, n) if grad else 0, dtype=dtype) for _ in range(2))
    by_logvar2 = new((count, n) if grad and not standard else 0, dtype=dtype)
    by_alpha = new(count if grad else 0, dtype=work)
    operands = (mean1, logvar1, *((mean1, logvar1) if standard else (mean2, logvar2)))
    strides = [t.stride(0) for t in operands]
    tiles, warps = tiling(count, n, mean1.element_size(), all(s == n for s in strides))
    if count:
        programs = triton.cdiv(count, tiles["GROUP"] * tiles["TILE_ROWS"])
        with torch.cuda.device(mean1.device) if mean1.is_cuda else nullcontext():
            jsg_kernel[(programs,)](
                *operands, alpha, value, by_mean1, by_logvar1, by_logvar2, by_alpha, count, n, **tiles,
                S_MEAN1=strides[0], S_LOGVAR1=strides[1], S_MEAN2=strides[2], S_LOGVAR2=strides[3],
                S_ALPHA=0 if alpha.numel() == 1 else alpha.stride(0),
                FLOAT=tl.float64 if work == torch.float64 else tl.float32,
                DUAL=dual, REVERSE=reverse, STANDARD=standard, GRAD=grad, LARGEST=torch.finfo(work).max,
                num_warps=warps,
            )  # fmt: skip
    return *(t.to(mean1.dtype) for t in (value, by_mean1, by_logvar1, by_logvar2)), by_alpha
