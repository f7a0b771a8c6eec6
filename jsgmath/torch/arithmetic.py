"""The numbers of torch as `families` take them."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jsgmath import special
from jsgmath.families.arithmetic import Arithmetic, number_between_0_and_1


def weight(name: str, alpha: Any, like: Tensor) -> Any:
    if not isinstance(alpha, Tensor):
        return number_between_0_and_1(name, alpha)
    if not alpha.is_floating_point():
        raise TypeError(f"{name} must be a float or a floating-point tensor, got {alpha.dtype}")
    if alpha.device != like.device:
        raise ValueError(f"{name} is on {alpha.device} but the distributions on {like.device}; move it there")
    return alpha.double()


def result_type(*tensors: Tensor) -> torch.dtype:
    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def bits(x: Tensor) -> int:
    return 1 - round(math.log2(torch.finfo(x.dtype).eps))


def kernel(which: Any, x: Tensor, k: Tensor, other_k: Tensor, log_r: Tensor | float) -> Tensor:
    """The text that NumPy runs.  Derivatives of the kernels' own, in `eager`, lose digits where x is small."""
    terms, floor = special.series_terms(bits(x)), torch.finfo(x.dtype).tiny ** 0.75
    return which(x, k, other_k, log_r, log=torch.log, where=torch.where, one=1.0, terms=terms, floor=floor)


TORCH = Arithmetic(
    library="torch",
    work=lambda x: x.to(torch.promote_types(x.dtype, torch.float32)),
    weight=weight,
    array=lambda x, like: torch.as_tensor(x, dtype=like.dtype if isinstance(x, float) else None, device=like.device),
    broadcast=torch.broadcast_to,
    result_type=result_type,
    rounded=lambda x, dtype: x.to(dtype),
    g=partial(kernel, special.g),
    gs=partial(kernel, special.gs),
    bits=bits,
    log=torch.log,
    log1p=torch.log1p,
    exp=torch.exp,
    expm1=torch.expm1,
    where=torch.where,
    stack=torch.stack,
    largest=lambda x: x.amax(-1, keepdim=True),
)
