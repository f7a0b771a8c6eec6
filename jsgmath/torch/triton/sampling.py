"""Triton kernels of `torch/sampling.py`: sample and divergence in one pass forward and one backward.

A tile is T consecutive numbers of the batch.  A thread has four of them, from one evaluation of Philox.  A tile has
whole rows, or part of a longer row.  If the flat index ``e`` of its first row is not a multiple of four, the tile
begins up to three numbers earlier (``phase``), and these are masked.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from jsgmath.torch import noise
from jsgmath.torch.triton.diagonal import LANES, check_device, on_device, row_stride, row_sums, stored_type
from jsgmath.torch.triton.scalar import INTERPRETED, device, element, exp, polynomial, shared, where, within
from jsgmath.torch.typed import work_type

shared_box_muller: Any = shared(noise.box_muller)


def _constant(numbers: Any) -> Any:
    """Nested tuples of numbers as constants of compiled functions."""
    if isinstance(numbers, tuple):
        return tuple(_constant(number) for number in numbers)
    return tl.constexpr(numbers)


SERIES32, SERIES64 = (
    series if INTERPRETED else tl.constexpr(_constant(series)) for series in (noise.SERIES32, noise.SERIES64)
)


@device
def _split32(x):
    """``k, f`` with ``x = 2^(32-k) (1+f)``: k counts powers of two downwards from ``2^32 sqrt(1/2)``, rounded up."""
    bits = x.to(tl.int32, bitcast=True)
    k = (0x3F3504F3 + (33 << 23) - 1 - bits) >> 23
    return k.to(tl.float32), (bits + (k << 23)).to(tl.float32, bitcast=True) * 2.0**-32 - 1.0


@device
def _split64(x):
    bits = x.to(tl.int64, bitcast=True)
    k = (0x3FE6A09E667F3BCD + (33 << 52) - 1 - bits) >> 52
    return k.to(tl.float64), (bits + (k << 52)).to(tl.float64, bitcast=True) * 2.0**-32 - 1.0


@device
def _float32(word):
    return word.to(tl.float32)


@device
def _float64(word):
    return word.to(tl.float64)


@device
def _sqrt(x):
    return tl.sqrt(x)


@device
def _box_muller(word1, word2, FLOAT: tl.constexpr):
    if FLOAT.primitive_bitwidth == 64:
        x, y = shared_box_muller(word1, word2, _float64, _split64, _sqrt, where, polynomial, SERIES64)
    else:
        x, y = shared_box_muller(word1, word2, _float32, _split32, _sqrt, where, polynomial, SERIES32)
    return x, y


@device
def _normal(seed, start, T: tl.constexpr, FLOAT: tl.constexpr):
    """Numbers ``start`` to ``start + T - 1``; start is a multiple of 4."""
    counter = start // 4 + tl.arange(0, T // 4)
    zero = tl.zeros([T // 4], tl.uint32)
    words = tl.philox(seed, counter.to(tl.uint32), (counter >> 32).to(tl.uint32), zero, zero)
    x0, x1 = _box_muller(words[0], words[1], FLOAT)
    x2, x3 = _box_muller(words[2], words[3], FLOAT)
    return tl.reshape(tl.join(tl.join(x0, x2), tl.join(x1, x3)), [T])


@device
def std(logvar):
    """``exp(logvar / 2)`` as in `special.log_variance_pair`, so that the compiler computes it only once."""
    return exp(0.5 * within(logvar, 708.0 if logvar.dtype == tl.float64 else 87.0))


# fmt: off
@device
def _numbers(phase, live, block, ALIGNED: tl.constexpr, N: tl.constexpr, BLOCKS: tl.constexpr, T: tl.constexpr):
    """The places of a block of T numbers, counted from the tile's first row, which of them exist, and their rows."""
    place = block - phase + tl.arange(0, T)
    mask = place < live * N
    if not ALIGNED:
        mask = mask & (place >= 0)
    if BLOCKS == 1:
        row = place // N
    else:
        row = 0 * place
    return place, mask, row


@device
def _at(first, place, row, N: tl.constexpr, S: tl.constexpr):
    """The offsets of these numbers in a matrix with row stride S."""
    at = first * S + place
    if S != N:
        at += row.to(tl.int64) * (S - N)
    return at


@device
def _alpha(alpha, number, row, mask, S_ALPHA: tl.constexpr):
    """alpha in float64: ``number``, the tensor's one entry, or its entry for each row."""
    if alpha is None:
        a = tl.full([1], number, tl.float64)
    elif S_ALPHA == 0:
        a = tl.load(alpha).to(tl.float64)
    else:
        a = tl.load(alpha + row * S_ALPHA, mask=mask, other=0.0).to(tl.float64)
    return a


@device
def _forward(
    mean, logvar, alpha, number, seed, z, value, first, live, offset, ALIGNED: tl.constexpr,
    N: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr, PARTS: tl.constexpr,
    BLOCKS: tl.constexpr, T: tl.constexpr, S_MEAN, S_LOGVAR, S_ALPHA, FLOAT: tl.constexpr, DUAL, REVERSE,
):
    """Computes ``live`` rows, from ``first`` on."""
    if ALIGNED:
        phase = 0
    else:
        phase = ((offset + first * N) % 4).to(tl.int32)
    total = tl.zeros([T], FLOAT)
    for block in range(0, BLOCKS * T, T):
        place, mask, row = _numbers(phase, live, block, ALIGNED, N, BLOCKS, T)
        m = tl.load(mean + _at(first, place, row, N, S_MEAN), mask=mask, other=0.0).to(FLOAT)
        s = tl.load(logvar + _at(first, place, row, N, S_LOGVAR), mask=mask, other=0.0).to(FLOAT)
        eps = _normal(seed, offset + first * N + (block - phase), T, FLOAT)
        tl.store(z + _at(first, place, row, N, N), m + std(s) * eps, mask=mask)
        a = _alpha(alpha, number, first + row, mask, S_ALPHA)
        v, _, _, _, _ = element(
            m, s, None, None, (1.0 - a).to(FLOAT), a.to(FLOAT), 1.0, DUAL, REVERSE, False, False)
        total += tl.where(mask, v, 0.0)
    if BLOCKS == 1:
        r = tl.arange(0, ROWS)
        tl.store(value + first + r, row_sums(total, phase, N, ROWS, GROUP, PARTS), mask=r < live)
    else:
        tl.store(value + first, tl.sum(total, 0))


@triton.jit(do_not_specialize=["seed_number", "offset"])
def sample_kernel(
    mean, logvar, alpha, number: tl.float64, seed, seed_number: tl.int64, z, value, seed_used, rows,
    offset: tl.int64, ALIGNED: tl.constexpr, N: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr,
    GROUP: tl.constexpr, PARTS: tl.constexpr, BLOCKS: tl.constexpr, T: tl.constexpr, S_MEAN: tl.constexpr,
    S_LOGVAR: tl.constexpr, S_ALPHA: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
):
    """Each program takes R rows; only the last one needs a mask along the rows."""
    first = tl.program_id(0).to(tl.int64) * R
    zero = tl.zeros([1], tl.int32)
    if seed is None:
        key = tl.full([1], seed_number, tl.int64)
    else:
        key = tl.load(seed + zero)
    tl.store(seed_used + zero, key, mask=first + zero == 0)  # Triton 3.9's interpreter refuses a scalar mask
    if first + R <= rows:
        _forward(
            mean, logvar, alpha, number, key, z, value, first, R, offset, ALIGNED,
            N, R, ROWS, GROUP, PARTS, BLOCKS, T, S_MEAN, S_LOGVAR, S_ALPHA, FLOAT, DUAL, REVERSE)
    else:
        _forward(
            mean, logvar, alpha, number, key, z, value, first, (rows - first).to(tl.int32), offset, ALIGNED,
            N, R, ROWS, GROUP, PARTS, BLOCKS, T, S_MEAN, S_LOGVAR, S_ALPHA, FLOAT, DUAL, REVERSE)


@device
def _backward(
    mean, logvar, alpha, number, seed, by_z, by_value, by_mean, by_logvar, by_alpha, first, live, offset,
    ALIGNED: tl.constexpr, N: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr,
    PARTS: tl.constexpr, BLOCKS: tl.constexpr, T: tl.constexpr, S_MEAN, S_LOGVAR, S_ALPHA, S_BY_Z, S_BY_VALUE,
    ALPHA_GRAD: tl.constexpr, FLOAT: tl.constexpr, DUAL, REVERSE,
):
    """Computes ``live`` rows, from ``first`` on."""
    if ALIGNED:
        phase = 0
    else:
        phase = ((offset + first * N) % 4).to(tl.int32)
    total = tl.zeros([T], FLOAT)
    for block in range(0, BLOCKS * T, T):
        place, mask, row = _numbers(phase, live, block, ALIGNED, N, BLOCKS, T)
        m = tl.load(mean + _at(first, place, row, N, S_MEAN), mask=mask, other=0.0).to(FLOAT)
        s = tl.load(logvar + _at(first, place, row, N, S_LOGVAR), mask=mask, other=0.0).to(FLOAT)
        along_z = tl.load(by_z + _at(first, place, row, N, S_BY_Z), mask=mask, other=0.0).to(FLOAT)
        along_value = tl.load(by_value + (first + row) * S_BY_VALUE, mask=mask, other=0.0).to(FLOAT)
        eps = _normal(seed, offset + first * N + (block - phase), T, FLOAT)
        a = _alpha(alpha, number, first + row, mask, S_ALPHA)
        _, d_mean, d_logvar, _, d_alpha = element(
            m, s, None, None, (1.0 - a).to(FLOAT), a.to(FLOAT), along_value, DUAL, REVERSE, True, ALPHA_GRAD)
        at = _at(first, place, row, N, N)
        tl.store(by_mean + at, along_z + d_mean, mask=mask)
        tl.store(by_logvar + at, along_z * (0.5 * std(s) * eps) + d_logvar, mask=mask)
        if ALPHA_GRAD:
            total += tl.where(mask, d_alpha, 0.0)
    if ALPHA_GRAD:
        if BLOCKS == 1:
            r = tl.arange(0, ROWS)
            tl.store(by_alpha + first + r, row_sums(total, phase, N, ROWS, GROUP, PARTS), mask=r < live)
        else:
            tl.store(by_alpha + first, tl.sum(total, 0))


@triton.jit(do_not_specialize=["offset"])
def sample_backward_kernel(
    mean, logvar, alpha, number: tl.float64, seed, by_z, by_value, by_mean, by_logvar, by_alpha, rows,
    offset: tl.int64, ALIGNED: tl.constexpr, N: tl.constexpr, R: tl.constexpr, ROWS: tl.constexpr,
    GROUP: tl.constexpr, PARTS: tl.constexpr, BLOCKS: tl.constexpr, T: tl.constexpr, S_MEAN: tl.constexpr,
    S_LOGVAR: tl.constexpr, S_ALPHA: tl.constexpr, S_BY_Z: tl.constexpr, S_BY_VALUE: tl.constexpr,
    ALPHA_GRAD: tl.constexpr, FLOAT: tl.constexpr, DUAL: tl.constexpr, REVERSE: tl.constexpr,
):
    """The tiles of `sample_kernel`, with the seed that it stored."""
    first = tl.program_id(0).to(tl.int64) * R
    key = tl.load(seed + tl.zeros([1], tl.int32))
    if first + R <= rows:
        _backward(
            mean, logvar, alpha, number, key, by_z, by_value, by_mean, by_logvar, by_alpha, first, R, offset,
            ALIGNED, N, R, ROWS, GROUP, PARTS, BLOCKS, T, S_MEAN, S_LOGVAR, S_ALPHA, S_BY_Z, S_BY_VALUE,
            ALPHA_GRAD, FLOAT, DUAL, REVERSE)
    else:
        _backward(
            mean, logvar, alpha, number, key, by_z, by_value, by_mean, by_logvar, by_alpha, first,
            (rows - first).to(tl.int32), offset,
            ALIGNED, N, R, ROWS, GROUP, PARTS, BLOCKS, T, S_MEAN, S_LOGVAR, S_ALPHA, S_BY_Z, S_BY_VALUE,
            ALPHA_GRAD, FLOAT, DUAL, REVERSE)
# fmt: on


def tiling(count: int, n: int, lanes: int) -> tuple[dict[str, int], int]:
    """The constants of the tiles for ``count`` rows of ``n`` numbers, and the number of warps.

    There are 4 warps, or 8 if then far fewer threads are idle.  In the interpreter tiles are large, because there a
    program takes as much time as a hundred thousand numbers.
    """
    group = math.gcd(n, 4)
    span = n + 4 - group  # the largest number of entries of a row, including those before it

    def rows(size: int) -> int:
        fit = (size - 4 + group) // n
        return fit - fit % (4 // group) if fit >= 4 // group else fit  # tiles of a multiple of 4 numbers are aligned

    def share(size: int) -> float:
        return rows(size) * n / size if rows(size) else n / (triton.cdiv(span, size) * size)

    sizes = [4 * lanes * warps for warps in (4, 8)]
    if INTERPRETED:
        sizes = [min(65536, triton.next_power_of_2(count * n + 3))]
    size = max(sizes, key=lambda size: round(share(size), 1))
    r = rows(size) or 1
    return dict(
        N=n, R=r, ROWS=triton.next_power_of_2(r), GROUP=group, PARTS=triton.next_power_of_2(n // group),
        BLOCKS=1 if rows(size) else triton.cdiv(span, size), T=size,
    ), 8 if size == sizes[-1] else 4  # fmt: skip


def _launch(kernel: Any, operands: Sequence[Any], first_row: int, rows: int, n: int, constants: dict[str, Any]) -> None:
    tiles, warps = tiling(rows, n, LANES)
    offset = first_row * n
    mean = operands[0]
    work = work_type(mean)
    if rows:
        with on_device(mean):
            kernel[(triton.cdiv(rows, tiles["R"]),)](
                *operands, rows, offset, ALIGNED=offset % 4 == 0 and tiles["R"] * n % 4 == 0, **tiles, **constants,
                FLOAT=tl.float64 if work == torch.float64 else tl.float32,
                num_warps=warps,
                enable_fp_fusion=True,
            )  # fmt: skip


def _like(mean: Tensor, shape: Sequence[int]) -> Tensor:
    """Makes an empty tensor for the output of a kernel."""
    return torch.empty(shape, dtype=stored_type(mean), device=mean.device)


def sample(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seeds: Tensor | None, alpha: float, seed: int, first_row: int,
    dual: bool, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """``z``, the divergence of each row, and the seed used, as a tensor of one entry.

    Inputs have shape ``(rows, n)`` and unit stride along n.  alphas has one entry or one per row, seeds one entry;
    where one of them is None, the number alpha or seed is used.
    """
    check_device(mean)
    rows, n = mean.shape
    z = _like(mean, (rows, n))
    value = torch.empty(rows, dtype=work_type(mean), device=mean.device)
    used = mean.new_empty(1, dtype=torch.int64)
    constants = dict(
        S_MEAN=mean.stride(0), S_LOGVAR=logvar.stride(0), S_ALPHA=0 if alphas is None else row_stride(alphas)
    )
    operands = mean, logvar, alphas, float(alpha), seeds, seed, z, value, used
    _launch(sample_kernel, operands, first_row, rows, n, dict(constants, DUAL=dual, REVERSE=reverse))
    return z.to(mean.dtype), value, used


def sample_gradient(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seed: Tensor, by_z: Tensor, by_value: Tensor, alpha: float,
    first_row: int, dual: bool, reverse: bool, by_alpha: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients by mean, logvar and, if ``by_alpha``, alpha (one per row), with the seed that `sample` used."""
    rows, n = mean.shape
    by_mean, by_logvar = _like(mean, (rows, n)), _like(mean, (rows, n))
    d_alpha = torch.empty(rows if by_alpha else 0, dtype=work_type(mean), device=mean.device)
    by_z = by_z if by_z.stride(-1) == 1 else by_z.contiguous()
    constants = dict(
        S_MEAN=mean.stride(0), S_LOGVAR=logvar.stride(0), S_ALPHA=0 if alphas is None else row_stride(alphas),
        S_BY_Z=by_z.stride(0), S_BY_VALUE=by_value.stride(0), ALPHA_GRAD=by_alpha, DUAL=dual, REVERSE=reverse,
    )  # fmt: skip
    operands = mean, logvar, alphas, float(alpha), seed, by_z, by_value, by_mean, by_logvar, d_alpha
    _launch(sample_backward_kernel, operands, first_row, rows, n, constants)
    return by_mean.to(mean.dtype), by_logvar.to(mean.dtype), d_alpha
