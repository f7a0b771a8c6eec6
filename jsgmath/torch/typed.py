"""Types that several modules share, and functions of torch with the type hints that it lacks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch._C import _len_torch_dispatch_stack  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
from torch.autograd import forward_ad

if TYPE_CHECKING:

    class Function:  # torch's own hints do not fit methods with so many tensors
        apply: ClassVar[Callable[..., Any]]

else:
    Function = torch.autograd.Function

_forward: Any = forward_ad
_jit: Any = torch.jit
Alpha = float | Tensor
# The results of an implementation, with None for those that are not needed: the value, and the derivatives by the first
# mean, both scales and alpha.  (The derivative by the second mean is the negative of that by the first.)
Asked = Sequence[Any]


def work_type(x: Tensor) -> torch.dtype:
    """The type in which a divergence of tensors like x is computed: float32, or float64."""
    return torch.promote_types(x.dtype, torch.float32)


def watched() -> bool:
    """Whether a mode of torch, such as a tracer, must see every operator; it would not see a call of the core."""
    return _len_torch_dispatch_stack() > 0


def forward_mode() -> bool:
    """Whether torch computes derivatives in forward mode, which a call of the compiled core would not see."""
    return _forward._current_level >= 0


def traced() -> bool:
    """Whether `torch.jit.trace` records the operators of torch, among which a call of the core would be missing."""
    return bool(_jit.is_tracing())


functional: Any = torch.functional
linalg: Any = torch.linalg

broadcast_tensors: Callable[..., tuple[Tensor, ...]] = functional.broadcast_tensors
broadcast_shapes: Callable[..., torch.Size] = functional.broadcast_shapes
cholesky: Callable[[Tensor], Tensor] = linalg.cholesky
cholesky_ex: Callable[..., tuple[Tensor, Tensor]] = linalg.cholesky_ex
eigvalsh: Callable[[Tensor], Tensor] = linalg.eigvalsh
solve: Callable[[Tensor, Tensor], Tensor] = linalg.solve
split: Callable[..., tuple[Tensor, ...]] = functional.split
solve_triangular: Callable[..., Tensor] = linalg.solve_triangular
