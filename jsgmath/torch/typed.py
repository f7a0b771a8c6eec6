"""What torch has without hints, with them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

functional: Any = torch.functional
linalg: Any = torch.linalg

# No method that takes so many tensors can keep to the hints that there are.
Function: Any = torch.autograd.Function
broadcast_shapes: Callable[..., torch.Size] = functional.broadcast_shapes
cholesky_ex: Callable[..., tuple[Tensor, Tensor]] = linalg.cholesky_ex
solve_triangular: Callable[..., Tensor] = linalg.solve_triangular
