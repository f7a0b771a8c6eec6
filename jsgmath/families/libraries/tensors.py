"""The check of torch tensors that the families and `jsgmath.torch` share."""

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_kind(name: str, tensor: Tensor) -> None:
    """Checks that a tensor holds floating-point numbers of at least 16 bits, and is dense."""
    if tensor.is_nested:
        raise TypeError(f"{name} must be one tensor, got a nested one; pad it with torch.nested.to_padded_tensor")
    if hasattr(tensor, "get_mask"):
        raise TypeError(f"{name} must not be masked; pass .to_tensor(value), with a value for the masked entries")
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}; convert it to 16, 32 or 64 bits")
    if tensor.layout != torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got {tensor.layout}; convert it with .to_dense()")
