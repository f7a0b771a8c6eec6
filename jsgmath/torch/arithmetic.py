"""The numbers of torch as `families` take them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jsgmath.arithmetic import Arithmetic, number_between_0_and_1
from jsgmath.torch import eager
from jsgmath.torch.typed import Function


def weight(name: str, alpha: Any, like: Tensor) -> Any:
    if not isinstance(alpha, Tensor):
        return number_between_0_and_1(name, alpha)
    if not alpha.is_floating_point():
        raise TypeError(f"{name} must be a float or a floating-point tensor, got {alpha.dtype}")
    if alpha.device != like.device:
        raise ValueError(f"{name} is on {alpha.device} but the distributions on {like.device}; move it there")
    return alpha.double()


class Kernel(Function):
    """g, or gs, of x with ``k = 1 + x``, whose derivatives are ``x/k`` and ``x/k^2``.

    Those of the text of `eager` would be right but for rounding, which is all where x is small.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, k: Tensor, dual: bool) -> Tensor:
        return (eager.gs if dual else eager.g)(x, k, k, 0.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, k, ctx.dual = inputs
        ctx.save_for_backward(x, k)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        x, k = ctx.saved_tensors
        slope = x / (k * k) if ctx.dual else x / k
        return upstream[0] * slope, None, None


def kernel(dual: bool) -> Callable[[Tensor, Tensor, Any, Any], Tensor]:
    return lambda x, k, other_k, log_r: Kernel.apply(x, k, dual)


def result_type(*tensors: Tensor) -> torch.dtype:
    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def bits(x: Tensor) -> int:
    return 1 - round(math.log2(torch.finfo(x.dtype).eps))


TORCH = Arithmetic(
    library="torch",
    work=lambda x: x.to(torch.promote_types(x.dtype, torch.float32)),
    weight=weight,
    array=lambda x, like: torch.as_tensor(x, dtype=like.dtype if isinstance(x, float) else None, device=like.device),
    broadcast=torch.broadcast_to,
    result_type=result_type,
    rounded=lambda x, dtype: x.to(dtype),
    g=kernel(dual=False),
    gs=kernel(dual=True),
    bits=bits,
    log=torch.log,
    log1p=torch.log1p,
    exp=torch.exp,
    expm1=torch.expm1,
    where=torch.where,
    stack=torch.stack,
    largest=lambda x: x.amax(-1, keepdim=True),
)
