"""Triton kernels for values and gradients of JSG and JSG* between Gaussians with full covariances, in one launch.

`torch/full_terms.py` has the notation and the formulas.  The factor ``R = I + g2 C`` of K comes from Householder
reflections that turn ``[sqrt(g2) W, sqrt(g1) (I + sqrt(g2) F)]``, with ``F = 0`` at first, into ``[R, 0]``.  Step p has

    k_p  = g2 W_pp^2 + g1 + g1 g2 |f|^2        f the p-th row of F, k_p the p-th pivot, R_pp = sqrt(k_p)
    C_ip = (W_pp W_ip + g1 F_i . f) / R_pp     for i > p

and adds ``u_i (e_p + sqrt(g2) f)`` to row i of F, where

    u_i = (W_ip - sqrt(g2) (sqrt(g2) W_pp + R_pp) / (1 + g2 |f|^2) F_i . f) / R_pp

F and C vanish with W - I and are computed without adding the identity, so that they keep their digits.  The matrix K is
not formed, because that would square the condition.  ``R^-1 = I + g2 H`` comes out of the same steps by forward
substitution.

There are two kernels: `full_lanes.py` up to n = 8 (3 in float64), and `full_tiles.py` above.  A third, `full_far.py`,
computes gradients of JSG* again for the pairs where those of the others would lose the square of a large condition.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from jsgmath.torch.eager import full as eager
from jsgmath.torch.triton.diagonal import LANES, check_device, on_device, row_stride, stored_type
from jsgmath.torch.triton.full_far import far_kernel
from jsgmath.torch.triton.full_lanes import lane_kernel
from jsgmath.torch.triton.full_tiles import tile_kernel
from jsgmath.torch.triton.scalar import INTERPRETED
from jsgmath.torch.typed import Alpha, Asked, work_type

LARGEST_TILE = 64


def tiling(count: int, n: int, itemsize: int, lanes: int, again: bool = False) -> tuple[Any, dict[str, int], int]:
    """The kernel for ``count`` pairs of ``n`` dimensions, its constants and its number of warps, by a static rule.

    ``lanes`` is the number of threads of a warp.  Compiled code showed which sizes fit in registers.  In the second
    launch for float32 (``again``) each thread takes a pair, even if registers spill: almost all end immediately.
    """
    if n <= (3 if itemsize == 8 and not again else 8):
        block = 64
        if INTERPRETED:
            block = min(4096, triton.next_power_of_2(count))
        width = 16 // itemsize  # 128 bits
        constants = dict(WIDTH=math.gcd(n * n, width), SIZE=triton.next_power_of_2(n * n))
        constants |= dict(MEAN_WIDTH=math.gcd(n, width), MEAN_SIZE=triton.next_power_of_2(n))
        return lane_kernel, dict(BLOCK=block, **constants), 64 // lanes
    return tile_kernel, *tiles(count, n, itemsize, lanes)


def tiles(count: int, n: int, itemsize: int, lanes: int) -> tuple[dict[str, int], int]:
    """The constants and the number of warps of a kernel whose program takes one pair, or more in the interpreter."""
    size = max(16, triton.next_power_of_2(n))
    pairs = min(2**18 // size**2, triton.next_power_of_2(count)) if INTERPRETED else 1
    threads = {16: 32, 32: 128, 64: 256} if itemsize == 4 else {16: 128, 32: 256, 64: 512}
    return dict(PAIRS=pairs, SIZE=size), max(1, threads[size] // lanes)


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, value: bool = True, grad: bool = True, by_alpha: bool = False,
    scale: float = 1.0, upstream: Tensor | None = None,
) -> Asked:  # fmt: skip
    """Returns what `triton.diagonal.evaluate` returns, for full covariances.

    Means have shape ``(rows, n)``, Cholesky factors ``(rows, n, n)``; all have one type, and only the lower triangles
    are read.  Above n = 64, `eager.full.evaluate` computes the results.
    """
    check_device(mean1)
    pair = mean1, tril1, mean2, tril2
    if mean1.shape[-1] > LARGEST_TILE:
        wanted = dict(value=value, grad=grad, by_alpha=by_alpha, scale=scale, upstream=upstream)
        return eager.evaluate(*pair, alpha, dual=dual, reverse=reverse, **wanted)
    count, work = mean1.shape[0], work_type(mean1)
    stored = stored_type(mean1)
    new = partial(torch.empty, device=mean1.device)
    values, d_alpha = (new(count, dtype=work) if wanted else None for wanted in (value, by_alpha))
    gradients = [new(x.shape, dtype=stored) if grad or by_alpha else None for x in (mean1, tril1, tril2)]
    launch(*pair, alpha, values, *gradients, d_alpha, dual, reverse, scale, upstream, False)
    return values, *(x.to(mean1.dtype) if grad else None for x in gradients), d_alpha


def rescaled(
    gradients: Asked, mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, scale: float, upstream: Tensor,
) -> Asked:  # fmt: skip
    """See `triton.diagonal.rescaled`."""
    pair, options = (mean1, tril1, mean2, tril2, alpha), dict(dual=dual, reverse=reverse, upstream=upstream)
    if mean1.shape[-1] > LARGEST_TILE:
        return eager.rescaled(gradients, *pair, scale=scale, **options)
    if INTERPRETED and mean1.dtype == torch.bfloat16:
        return evaluate(*pair, value=False, by_alpha=gradients[3] is not None, **options)[1:]
    launch(*pair, None, *gradients, dual, reverse, scale, upstream, True)
    return gradients


def launch(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha | None, values: Tensor | None,
    by_mean1: Tensor | None, by_tril1: Tensor | None, by_tril2: Tensor | None, by_alpha: Tensor | None,
    dual: bool, reverse: bool, scale: float, upstream: Tensor | None, stored: bool,
) -> None:  # fmt: skip
    """Launches the kernel; for float32 twice, and then `far_kernel` for gradients of JSG*.

    The first launch marks the pairs that are hard for float32: its squares of ratios of scales would leave the range or
    lose digits.  The second (AGAIN) computes these in float64.  `far_kernel` takes the same pairs.  Nothing waits for
    the device.
    """
    count, n = mean1.shape
    if not count:
        return
    per_row = isinstance(alpha, torch.Tensor)
    single = work_type(mean1) == torch.float32
    far = dual and by_mean1 is not None
    hard = torch.empty(count, dtype=torch.int8, device=mean1.device) if single or far else None
    pair = [x.contiguous() for x in (mean1, tril1, mean2, tril2)]
    weights = 0.0 if per_row else float(alpha), alpha if per_row else None, upstream
    strides: dict[str, Any] = dict(S_ALPHA=row_stride(alpha) if per_row else 0)
    strides |= dict(S_UPSTREAM=0 if upstream is None else row_stride(upstream))
    with on_device(mean1), np.errstate(all="ignore"):  # the interpreter computes with NumPy, which would warn
        for again in (False, True) if single else (False,):
            work = torch.float32 if single and not again else torch.float64
            kernel, constants, warps = tiling(count, n, work.itemsize, LANES, again)
            programs = triton.cdiv(count, constants.get("BLOCK") or constants["PAIRS"])
            kernel[(programs,)](
                *pair, *weights, values, by_mean1, by_tril1, by_tril2, by_alpha, hard, count, float(scale), n,
                **constants, **strides, FLOAT=tl.float32 if work == torch.float32 else tl.float64, DUAL=dual,
                REVERSE=reverse, GRAD=by_mean1 is not None, STORED=stored, AGAIN=again, num_warps=warps,
                enable_fp_fusion=True,
            )  # fmt: skip
        if far:
            constants, warps = tiles(count, n, 8, LANES)
            far_kernel[(triton.cdiv(count, constants["PAIRS"]),)](
                *pair, *weights, by_mean1, by_tril1, by_tril2, hard, count, float(scale), n,
                **constants, **strides, REVERSE=reverse, num_warps=warps, enable_fp_fusion=True,
            )  # fmt: skip
