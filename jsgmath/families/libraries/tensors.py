"""The check of torch tensors that the families and `jsgmath.torch` share."""

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_kind(name: str, tensor: Tensor) -> None:
    """Checks that a tensor has floating-point numbers of at least 16 bits, and is dense."""
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}; convert it to 16, 32 or 64 bits")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got {tensor.layout}; convert it with .to_dense()")
