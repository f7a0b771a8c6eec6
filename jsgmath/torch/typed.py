"""What torch has without hints, with them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:

    class Function:  # no method that takes so many tensors can keep to the hints that there are
        apply: ClassVar[Callable[..., Any]]

else:
    Function = torch.autograd.Function

functional: Any = torch.functional
linalg: Any = torch.linalg

broadcast_tensors: Callable[..., tuple[Tensor, ...]] = functional.broadcast_tensors
broadcast_shapes: Callable[..., torch.Size] = functional.broadcast_shapes
cholesky: Callable[[Tensor], Tensor] = linalg.cholesky
cholesky_ex: Callable[..., tuple[Tensor, Tensor]] = linalg.cholesky_ex
eigvalsh: Callable[[Tensor], Tensor] = linalg.eigvalsh
solve: Callable[[Tensor, Tensor], Tensor] = linalg.solve
solve_triangular: Callable[..., Tensor] = linalg.solve_triangular
