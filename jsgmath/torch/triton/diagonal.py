"""Triton kernel: values and gradients of JSG and JSG* for rows of diagonal Gaussians, one pass, one launch.

A tile is a power of two of consecutive numbers, and holds as many whole rows as fit.  So at any usual n nearly all
lanes work and every access is 128 bits wide; sums over rows are formed after what a thread holds has been added.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from jsgmath.torch.eager.diagonal import Alpha, Results
from jsgmath.torch.triton.scalar import INTERPRETED, device, element

LANES = 64 if torch.version.hip else 32
FEW = 2048  # rows, for which there is not a program for every multiprocessor many times over


# fmt: off
@device
def row_sums(x, phase, N: tl.constexpr, SUMS: tl.constexpr, GROUP: tl.constexpr, PARTS: tl.constexpr):
    """Sums of the rows of N numbers that lie in the flat tile x from ``phase`` on; beyond the tile there are zeros.

    GROUP neighbours, which a thread holds and which belong to one row, are added first; the rows gather those sums.
    """
    TOTAL: tl.constexpr = x.shape[0] // GROUP
    neighbours = tl.sum(tl.reshape(x, [TOTAL, GROUP]), 1)
    part = tl.arange(0, PARTS)[None, :]
    at = phase // GROUP + tl.arange(0, SUMS)[:, None] * (N // GROUP) + part
    inside = (part < N // GROUP) & (at < TOTAL)
    gathered = tl.gather(neighbours, tl.reshape(tl.where(inside, at, 0), [SUMS * PARTS]), 0)
    return tl.sum(tl.where(inside, tl.reshape(gathered, [SUMS, PARTS]), 0.0), 1)


@device
def load(x, first, column, mask, N, STRIDE, FLOAT):
    """The numbers ``column`` on from row ``first``; the one index is as good as the other, but for its width."""
    if STRIDE == N:
        numbers = tl.load(x + first * N + column, mask=mask, other=0.0).to(FLOAT)
    else:
        numbers = tl.load(x + (first + column // N) * STRIDE + column % N, mask=mask, other=0.0).to(FLOAT)
    return numbers


@device
def tile(
    mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, by_mean1, by_logvar1, by_logvar2, first, column, mask,
    scale, N, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA,
):
    """Load one tile, store its gradients; return the values and the derivatives by alpha."""
    m1 = load(mean1, first, column, mask, N, S_MEAN1, FLOAT)
    l1 = load(logvar1, first, column, mask, N, S_LOGVAR1, FLOAT)
    if mean2 is None:
        m2 = None
        l2 = None
    else:
        m2 = load(mean2, first, column, mask, N, S_MEAN2, FLOAT)
        l2 = load(logvar2, first, column, mask, N, S_LOGVAR2, FLOAT)
    row = first + column // N
    if alphas is None:
        a = tl.full([1], alpha, tl.float64)
    else:
        a = tl.load(alphas + row * S_ALPHA, mask=mask, other=0.0).to(tl.float64)
    if upstream is None:
        factor = tl.full([1], scale, tl.float64).to(FLOAT)
    else:
        factor = tl.load(upstream + row * S_UPSTREAM, mask=mask, other=0.0)
    value, d_mean1, d_logvar1, d_logvar2, d_alpha = element(
        m1, l1, m2, l2, (1.0 - a).to(FLOAT), a.to(FLOAT), factor, DUAL, REVERSE, GRAD, BY_ALPHA)
    if GRAD:
        at = first * N + column
        tl.store(by_mean1 + at, d_mean1, mask=mask)
        tl.store(by_logvar1 + at, d_logvar1, mask=mask)
        if mean2 is not None:
            tl.store(by_logvar2 + at, d_logvar2, mask=mask)
    return value, d_alpha


@device
def short_rows(
    mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, value, by_mean1, by_logvar1, by_logvar2, by_alpha,
    first, live, FULL: tl.constexpr, scale, N: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    SUMS: tl.constexpr, GROUP: tl.constexpr, PARTS: tl.constexpr, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2,
    S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA,
):
    """ROWS whole rows, a tile; unless FULL only the first ``live`` of them exist."""
    column = tl.arange(0, BLOCK)
    mask = column < ROWS * N
    if not FULL:
        mask = column < live * N
    v, d_alpha = tile(
        mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, by_mean1, by_logvar1, by_logvar2, first, column, mask,
        scale, N, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA)
    row = tl.arange(0, SUMS)
    if value is not None:
        tl.store(value + first + row, row_sums(v, 0, N, SUMS, GROUP, PARTS), mask=row < live)
    if by_alpha is not None:
        tl.store(by_alpha + first + row, row_sums(d_alpha, 0, N, SUMS, GROUP, PARTS), mask=row < live)


@device
def program(
    mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, value, by_mean1, by_logvar1, by_logvar2, by_alpha,
    first, rows, scale, N: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, SUMS: tl.constexpr,
    GROUP: tl.constexpr, PARTS: tl.constexpr, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM,
    FLOAT: tl.constexpr, DUAL, REVERSE, GRAD, BY_ALPHA,
):
    if N > BLOCK:
        total = tl.zeros([BLOCK], FLOAT)
        total_alpha = tl.zeros([BLOCK], FLOAT)
        for start in range(0, N, BLOCK):
            column = start + tl.arange(0, BLOCK)
            v, d_alpha = tile(
                mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, by_mean1, by_logvar1, by_logvar2, first,
                column, column < N, scale, N, S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM,
                FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA)
            total += tl.where(column < N, v, 0.0)
            total_alpha += tl.where(column < N, d_alpha, 0.0)
        if value is not None:
            tl.store(value + first, tl.sum(total, 0))
        if by_alpha is not None:
            tl.store(by_alpha + first, tl.sum(total_alpha, 0))
    elif first + ROWS <= rows:
        short_rows(
            mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, value, by_mean1, by_logvar1, by_logvar2, by_alpha,
            first, ROWS, True, scale, N, ROWS, BLOCK, SUMS, GROUP, PARTS,
            S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA)
    else:
        short_rows(
            mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, value, by_mean1, by_logvar1, by_logvar2, by_alpha,
            first, (rows - first).to(tl.int32), False, scale, N, ROWS, BLOCK, SUMS, GROUP, PARTS,
            S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA)


@device
def stale(upstream, row, mask, scale, S_UPSTREAM, FLOAT, PRESENT):
    """Whether the gradients of these rows are to be computed: unless they are PRESENT, times what they should be."""
    result = True
    if PRESENT:
        wanted = tl.load(upstream + row * S_UPSTREAM, mask=mask, other=0.0)
        result = tl.max((mask & (wanted != tl.full([1], scale, tl.float64).to(FLOAT))).to(tl.int32), 0) > 0
    return result


@triton.jit
def jsg_kernel(
    mean1, logvar1, mean2, logvar2, alpha: tl.float64, alphas, upstream,
    value, by_mean1, by_logvar1, by_logvar2, by_alpha, rows, scale: tl.float64,
    N: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, SUMS: tl.constexpr, GROUP: tl.constexpr,
    PARTS: tl.constexpr, S_MEAN1: tl.constexpr, S_LOGVAR1: tl.constexpr, S_MEAN2: tl.constexpr,
    S_LOGVAR2: tl.constexpr, S_ALPHA: tl.constexpr, S_UPSTREAM: tl.constexpr, FLOAT: tl.constexpr,
    DUAL: tl.constexpr, REVERSE: tl.constexpr, GRAD: tl.constexpr, BY_ALPHA: tl.constexpr, PRESENT: tl.constexpr,
):
    """A program takes ROWS rows if they fit into one tile, else a single row, tile after tile.

    If PRESENT, the gradients are there already, times ``scale``, and are to be multiplied by ``upstream`` instead:
    where that is the same, nothing is read or written.
    """
    first = tl.program_id(0).to(tl.int64) * ROWS
    row = tl.arange(0, SUMS)
    if stale(upstream, first + row, (row < ROWS) & (first + row < rows), scale, S_UPSTREAM, FLOAT, PRESENT):
        program(
            mean1, logvar1, mean2, logvar2, alpha, alphas, upstream, value, by_mean1, by_logvar1, by_logvar2, by_alpha,
            first, rows, scale, N, ROWS, BLOCK, SUMS, GROUP, PARTS,
            S_MEAN1, S_LOGVAR1, S_MEAN2, S_LOGVAR2, S_ALPHA, S_UPSTREAM, FLOAT, DUAL, REVERSE, GRAD, BY_ALPHA)
# fmt: on


@cache
def tiling(n: int, few: bool, itemsize: int, lanes: int) -> tuple[dict[str, int], int]:
    """How many rows a program takes, in what tile, and what `row_sums` needs to know; and the number of warps.

    A static table, no tuning at run time.  A thread takes 16 bytes of each input.  The tile is the smallest that rows
    fill to nine tenths; rows longer than any take the largest if there are few, for there is one program to a row.
    """
    width = 16 // itemsize
    blocks = [4 * lanes * width << doublings for doublings in range(3)]
    step = width // math.gcd(n, width)  # so many rows, or a multiple of them, end where 16 bytes do

    def fitting(block):
        return max(block // n // step * step or block // n, 1)

    block = next((b for b in blocks if 10 * fitting(b) * n >= 9 * b), max(blocks, key=lambda b: fitting(b) * n / b))
    if n > blocks[-1]:
        block = blocks[-1] if few else blocks[0]
    group = math.gcd(n, width)
    powers = (triton.next_power_of_2(x) for x in (fitting(block), n // group))
    sizes = dict(zip(("ROWS", "BLOCK", "SUMS", "PARTS", "GROUP"), (fitting(block), block, *powers, group), strict=True))
    return sizes, block // (lanes * width)


def rows(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Results:  # fmt: skip
    """Values per row, and derivatives by mean1, logvar1, logvar2 and alpha, or None for what is not asked for.

    Rows ``(rows, n)`` of equal type with unit stride along n, ``mean2 = logvar2 = None`` for N(0, I).  alpha is a
    number or a tensor with one entry or one per row.  Derivatives are multiplied by ``upstream``, which has an entry
    per row, or else by ``scale``.  The computation is in float32, for float64 input in float64, and so are the values
    and the derivatives by alpha.
    """
    count, n = mean1.shape
    work = torch.promote_types(mean1.dtype, torch.float32)
    values = torch.empty(count, dtype=work, device=mean1.device) if value else None
    d_alpha = torch.empty(count, dtype=work, device=mean1.device) if by_alpha else None
    stored = stored_type(mean1)
    needed = (grad, grad, grad and mean2 is not None)
    gradients = [torch.empty((count, n), dtype=stored, device=mean1.device) if wanted else None for wanted in needed]
    launch(mean1, logvar1, mean2, logvar2, alpha, values, *gradients, d_alpha, dual, reverse, scale, upstream, False)
    return values, *(x if x is None else x.to(mean1.dtype) for x in gradients), d_alpha


def rescaled(
    gradients: Results, mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, scale: float, upstream: Tensor,
) -> Results:  # fmt: skip
    """``gradients``, which were multiplied by ``scale``, multiplied by ``upstream`` instead, in place.

    To compute them again takes as much of the device's memory bandwidth as to multiply them, and rounds once.
    """
    if INTERPRETED and mean1.dtype == torch.bfloat16:
        wanted = dict(value=False, by_alpha=gradients[3] is not None)
        return rows(mean1, logvar1, mean2, logvar2, alpha, dual=dual, reverse=reverse, upstream=upstream, **wanted)[1:]
    launch(mean1, logvar1, mean2, logvar2, alpha, None, *gradients, dual, reverse, scale, upstream, True)
    return gradients


def launch(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha | None,
    values: Tensor | None, by_mean1: Tensor | None, by_logvar1: Tensor | None, by_logvar2: Tensor | None,
    by_alpha: Tensor | None, dual: bool, reverse: bool, scale: float, upstream: Tensor | None, present: bool,
) -> None:  # fmt: skip
    check_device(mean1)
    count, n = mean1.shape
    if not count:
        return
    lanes = LANES
    if INTERPRETED:  # it takes as long for a program as for a hundred thousand numbers
        lanes = max(lanes, triton.next_power_of_2(min(count * n, 65536)) * mean1.element_size() // 64)
    sizes, warps = tiling(n, count < FEW, mean1.element_size(), lanes)
    per_row = isinstance(alpha, torch.Tensor)
    with on_device(mean1):
        jsg_kernel[(triton.cdiv(count, sizes["ROWS"]),)](
            mean1, logvar1, mean2, logvar2, 0.0 if per_row else float(alpha), alpha if per_row else None, upstream,
            values, by_mean1, by_logvar1, by_logvar2, by_alpha, count, scale, N=n, **sizes,
            S_MEAN1=mean1.stride(0), S_LOGVAR1=logvar1.stride(0),
            S_MEAN2=0 if mean2 is None else mean2.stride(0), S_LOGVAR2=0 if mean2 is None else logvar2.stride(0),
            S_ALPHA=row_stride(alpha) if per_row else 0, S_UPSTREAM=0 if upstream is None else row_stride(upstream),
            FLOAT=tl.float64 if mean1.dtype == torch.float64 else tl.float32,
            DUAL=dual, REVERSE=reverse, GRAD=by_mean1 is not None, BY_ALPHA=by_alpha is not None, PRESENT=present,
            num_warps=warps,
        )  # fmt: skip


def check_device(x: Tensor) -> None:
    if not (x.is_cuda or INTERPRETED):
        raise ValueError(
            f"backend='triton' needs CUDA or ROCm tensors, got {x.device.type}; use backend='eager', "
            "or set TRITON_INTERPRET=1 before Python starts to run Triton's interpreter"
        )


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Where a kernel on x is launched: a context that is entered only if another device is the current one."""
    elsewhere = x.is_cuda and x.device.index != torch.cuda.current_device()
    return torch.cuda.device(x.device) if elsewhere else nullcontext()


def stored_type(x: Tensor) -> torch.dtype:
    """The type in which a kernel stores what is to be of x's.

    The interpreter truncates where hardware rounds to bfloat16: there float32 is stored and torch rounds.
    """
    return torch.float32 if INTERPRETED and x.dtype == torch.bfloat16 else x.dtype


def row_stride(x: Tensor) -> int:
    return 0 if x.numel() == 1 else x.stride(0)
