"""A Triton kernel for values and gradients of JSG and JSG* between diagonal Gaussians, in one pass and one launch.

A tile has a power of two of consecutive numbers, with as many whole rows as fit.  So for all common n nearly all
threads work, and every access is 128 bits wide.  Each thread adds its own numbers before the sums of rows are formed.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from jsgmath.torch.triton.scalar import INTERPRETED, device, element
from jsgmath.torch.typed import Alpha, Asked, work_type

LANES = 64 if torch.version.hip else 32
FEW = 2048  # with fewer rows, a multiprocessor would get only a few programs


class Inputs(NamedTuple):
    """Pointers to what `jsg_kernel` reads, or the distances between their rows; None for missing inputs."""

    mean1: Any
    logvar1: Any
    mean2: Any
    logvar2: Any
    alphas: Any
    upstream: Any


class Outputs(NamedTuple):
    """Pointers to what `jsg_kernel` writes; None for outputs that are not needed."""

    value: Any
    by_mean1: Any
    by_logvar1: Any
    by_logvar2: Any
    by_alpha: Any


class Tile(NamedTuple):
    """How many rows of n numbers a program takes, the size of its tile, and three sizes for `row_sums`."""

    n: int
    rows: int
    block: int
    sums: int
    parts: int
    group: int


# fmt: off
@device
def row_sums(x, phase, N: tl.constexpr, SUMS: tl.constexpr, GROUP: tl.constexpr, PARTS: tl.constexpr):
    """Sums of the rows of N numbers in the flat tile x, from ``phase`` on; outside the rows, x has zeros.

    First GROUP neighbours, which lie in one thread and one row, are added, then these sums for each row.
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
    """The numbers from ``column`` on, counted from row ``first``.  Both branches agree; the first has wider loads."""
    if STRIDE == N:
        numbers = tl.load(x + first * N + column, mask=mask, other=0.0).to(FLOAT)
    else:
        numbers = tl.load(x + (first + column // N) * STRIDE + column % N, mask=mask, other=0.0).to(FLOAT)
    return numbers


@device
def tile(inputs, alpha, outputs, first, column, mask, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE):
    """Loads one tile, stores its gradients, and returns the values and the derivatives by alpha."""
    N: tl.constexpr = TILE.n
    m1 = load(inputs.mean1, first, column, mask, N, STRIDES.mean1, FLOAT)
    l1 = load(inputs.logvar1, first, column, mask, N, STRIDES.logvar1, FLOAT)
    if inputs.mean2 is None:
        m2 = None
        l2 = None
    else:
        m2 = load(inputs.mean2, first, column, mask, N, STRIDES.mean2, FLOAT)
        l2 = load(inputs.logvar2, first, column, mask, N, STRIDES.logvar2, FLOAT)
    row = first + column // N
    if inputs.alphas is None:
        a = tl.full([1], alpha, tl.float64)
    else:
        a = tl.load(inputs.alphas + row * STRIDES.alphas, mask=mask, other=0.0).to(tl.float64)
    if inputs.upstream is None:
        factor = tl.full([1], scale, tl.float64).to(FLOAT)
    else:
        factor = tl.load(inputs.upstream + row * STRIDES.upstream, mask=mask, other=0.0)
    value, by_mean1, by_logvar1, by_logvar2, by_alpha = element(
        m1, l1, m2, l2, (1.0 - a).to(FLOAT), a.to(FLOAT), factor, DUAL, REVERSE,
        outputs.by_mean1 is not None, outputs.by_alpha is not None)
    if outputs.by_mean1 is not None:
        at = first * N + column
        tl.store(outputs.by_mean1 + at, by_mean1, mask=mask)
        tl.store(outputs.by_logvar1 + at, by_logvar1, mask=mask)
        if outputs.by_logvar2 is not None:
            tl.store(outputs.by_logvar2 + at, by_logvar2, mask=mask)
    return value, by_alpha


@device
def short_rows(inputs, alpha, outputs, first, live, FULL, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE):
    """Computes the whole rows of a tile; unless FULL, only the first ``live`` of them exist."""
    column = tl.arange(0, TILE.block)
    mask = column < TILE.rows * TILE.n
    if not FULL:
        mask = column < live * TILE.n
    value, by_alpha = tile(
        inputs, alpha, outputs, first, column, mask, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE)
    row = tl.arange(0, TILE.sums)
    if outputs.value is not None:
        sums = row_sums(value, 0, TILE.n, TILE.sums, TILE.group, TILE.parts)
        tl.store(outputs.value + first + row, sums, mask=row < live)
    if outputs.by_alpha is not None:
        sums = row_sums(by_alpha, 0, TILE.n, TILE.sums, TILE.group, TILE.parts)
        tl.store(outputs.by_alpha + first + row, sums, mask=row < live)


@device
def program(inputs, alpha, outputs, first, rows, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE):
    """Computes the rows of one program, from ``first`` on."""
    N: tl.constexpr = TILE.n
    BLOCK: tl.constexpr = TILE.block
    if N > BLOCK:
        total = tl.zeros([BLOCK], FLOAT)
        total_by_alpha = tl.zeros([BLOCK], FLOAT)
        for start in range(0, N, BLOCK):
            column = start + tl.arange(0, BLOCK)
            mask = column < N
            value, by_alpha = tile(
                inputs, alpha, outputs, first, column, mask, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE)
            total += tl.where(mask, value, 0.0)
            total_by_alpha += tl.where(mask, by_alpha, 0.0)
        if outputs.value is not None:
            tl.store(outputs.value + first, tl.sum(total, 0))
        if outputs.by_alpha is not None:
            tl.store(outputs.by_alpha + first, tl.sum(total_by_alpha, 0))
    elif first + TILE.rows <= rows:
        short_rows(inputs, alpha, outputs, first, TILE.rows, True, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE)
    else:
        live = (rows - first).to(tl.int32)
        short_rows(inputs, alpha, outputs, first, live, False, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE)


@device
def must_compute(upstream, row, mask, scale, S_UPSTREAM, FLOAT, STORED):
    """Whether gradients of these rows must be computed; not if they are STORED and every ``upstream`` is ``scale``."""
    result = True
    if STORED:
        factor = tl.load(upstream + row * S_UPSTREAM, mask=mask, other=0.0)
        result = tl.max((mask & (factor != tl.full([1], scale, tl.float64).to(FLOAT))).to(tl.int32), 0) > 0
    return result


@triton.jit
def jsg_kernel(
    inputs, alpha: tl.float64, outputs, rows, scale: tl.float64, TILE: tl.constexpr, STRIDES: tl.constexpr,
    FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr, STORED: tl.constexpr,
):
    """A program computes as many rows as fit into one tile, or one row tile by tile.

    STORED says that the outputs already hold the gradients multiplied by ``scale``.  Then a program whose rows all have
    an ``upstream`` equal to ``scale`` neither reads nor writes anything else.
    """
    first = tl.program_id(0).to(tl.int64) * TILE.rows
    row = tl.arange(0, TILE.sums)
    mask = (row < TILE.rows) & (first + row < rows)
    if must_compute(inputs.upstream, first + row, mask, scale, STRIDES.upstream, FLOAT, STORED):
        program(inputs, alpha, outputs, first, rows, scale, TILE, STRIDES, FLOAT, DUAL, REVERSE)
# fmt: on


@cache
def tiling(n: int, few: bool, itemsize: int, lanes: int) -> tuple[Tile, int]:
    """The tile of a program and its number of warps, by a static rule: nothing is tuned at run time.

    A thread takes 16 bytes of each input.  The tile is the smallest one that whole rows fill to nine tenths.  A row
    that is longer than every tile has a program of its own, with the largest tile if there are few rows.
    """
    width = 16 // itemsize
    blocks = [4 * lanes * width << doublings for doublings in range(3)]
    step = width // math.gcd(n, width)  # so many rows, or a multiple of them, have a multiple of 16 bytes

    def fitting(block):
        return max(block // n // step * step or block // n, 1)

    block = next((b for b in blocks if 10 * fitting(b) * n >= 9 * b), max(blocks, key=lambda b: fitting(b) * n / b))
    if n > blocks[-1]:
        block = blocks[-1] if few else blocks[0]
    group = math.gcd(n, width)
    sums, parts = (triton.next_power_of_2(x) for x in (fitting(block), n // group))
    return Tile(n, fitting(block), block, sums, parts, group), block // (lanes * width)


def evaluate(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """The value of each row, and the derivatives by mean1, logvar1, logvar2 and alpha; None for those not needed.

    All inputs have shape ``(rows, n)``, one type, and unit stride along n; ``mean2 = logvar2 = None`` stands for
    N(0, I).  alpha is a number, or a tensor with one entry or one per row.  Derivatives are multiplied by ``upstream``,
    which has an entry per row, or if it is None by ``scale``.  The computation, the values and the derivatives by alpha
    are in float32, or in float64 for float64 input.
    """
    count, n = mean1.shape
    work = work_type(mean1)
    values = torch.empty(count, dtype=work, device=mean1.device) if value else None
    d_alpha = torch.empty(count, dtype=work, device=mean1.device) if by_alpha else None
    stored = stored_type(mean1)
    needed = (grad, grad, grad and mean2 is not None)
    gradients = [torch.empty((count, n), dtype=stored, device=mean1.device) if wanted else None for wanted in needed]
    outputs = Outputs(values, *gradients, d_alpha)
    launch(mean1, logvar1, mean2, logvar2, alpha, outputs, dual, reverse, scale, upstream, False)
    return values, *(x if x is None else x.to(mean1.dtype) for x in gradients), d_alpha


def rescaled(
    gradients: Asked, mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha, *,
    dual: bool, reverse: bool, scale: float, upstream: Tensor,
) -> Asked:  # fmt: skip
    """The gradients, multiplied by ``upstream`` instead of ``scale``; the tensors are overwritten.

    They are computed again, which needs as much memory bandwidth as a multiplication but rounds only once.
    """
    if INTERPRETED and mean1.dtype == torch.bfloat16:
        options = dict(dual=dual, reverse=reverse, upstream=upstream, value=False, by_alpha=gradients[3] is not None)
        return evaluate(mean1, logvar1, mean2, logvar2, alpha, **options)[1:]
    outputs = Outputs(None, *gradients)
    launch(mean1, logvar1, mean2, logvar2, alpha, outputs, dual, reverse, scale, upstream, True)
    return gradients


def launch(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor | None, logvar2: Tensor | None, alpha: Alpha,
    outputs: Outputs, dual: bool, reverse: bool, scale: float, upstream: Tensor | None, stored: bool,
) -> None:  # fmt: skip
    check_device(mean1)
    count, n = mean1.shape
    if not count:
        return
    lanes = LANES
    if INTERPRETED:  # there a program takes as much time as a hundred thousand numbers
        lanes = max(lanes, triton.next_power_of_2(min(count * n, 65536)) * mean1.element_size() // 64)
    tile, warps = tiling(n, count < FEW, mean1.element_size(), lanes)
    number, alphas = (0.0, alpha) if isinstance(alpha, torch.Tensor) else (float(alpha), None)
    inputs = Inputs(mean1, logvar1, mean2, logvar2, alphas, upstream)
    strides = Inputs(*(0 if x is None else row_stride(x) for x in inputs))
    with on_device(mean1):
        jsg_kernel[(triton.cdiv(count, tile.rows),)](
            inputs, number, outputs, count, scale, tile, strides,
            tl.float64 if mean1.dtype == torch.float64 else tl.float32, dual, reverse, stored, num_warps=warps,
            enable_fp_fusion=True,
        )  # fmt: skip


def check_device(x: Tensor) -> None:
    if not (x.is_cuda or INTERPRETED):
        raise ValueError(
            f"backend='triton' needs CUDA or ROCm tensors, got {x.device.type}; use backend='eager', "
            "or set TRITON_INTERPRET=1 before Python starts to run Triton's interpreter"
        )


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """A context in which the device of x is the current one; kernels are launched on the current device."""
    elsewhere = x.is_cuda and x.device.index != torch.cuda.current_device()
    return torch.cuda.device(x.device) if elsewhere else nullcontext()


def stored_type(x: Tensor) -> torch.dtype:
    """The type of a kernel's outputs that are to have the type of x.

    It is float32 if x is bfloat16 in the interpreter, which would truncate instead of rounding; torch rounds later.
    """
    return torch.float32 if INTERPRETED and x.dtype == torch.bfloat16 else x.dtype


def row_stride(x: Tensor) -> int:
    return 0 if x.numel() == 1 else x.stride(0)
