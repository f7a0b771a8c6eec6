"""Values of torch whose derivatives are computed by a `Computation`; the exponential families use it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active  # pyright: ignore[reportPrivateUsage]

from jsgmath.families.libraries.computation import Computation

if TYPE_CHECKING:

    class Function:  # torch's own hints do not fit methods with so many tensors
        apply: ClassVar[Callable[..., Any]]

else:
    Function = torch.autograd.Function

functional: Any = torch.functional
broadcast_shapes: Callable[..., torch.Size] = functional.broadcast_shapes

# The number of entries of a block on a CPU, so that it stays in the cache from one operation to the next.
BLOCK = 2**14


def in_blocks(compute: Callable[..., list[Tensor | None]], vectors: Sequence[bool], *arrays: Tensor) -> list[Any]:
    """Returns ``compute(*arrays)``, computed block by block if there are many components.

    The results have the axes of the components, and vectors have one more axis.
    """
    shape = broadcast_shapes(*(x.shape[:-1] if vector else x.shape for x, vector in zip(arrays, vectors, strict=True)))
    length = max([x.shape[-1] for x, vector in zip(arrays, vectors, strict=True) if vector], default=1)
    step = max(BLOCK // max(length, 1), 1)
    if arrays[0].device.type != "cpu" or shape.numel() <= step:
        return compute(*arrays)
    flat = [
        x if x.numel() == 1 else x.expand(*shape, *x.shape[x.ndim - vector :]).reshape(-1, *x.shape[x.ndim - vector :])
        for x, vector in zip(arrays, vectors, strict=True)
    ]
    parts = [
        compute(*(x if x.numel() == 1 else x[first : first + step] for x in flat))
        for first in range(0, shape.numel(), step)
    ]
    whole = [None if rows[0] is None else torch.cat(rows) for rows in zip(*parts, strict=True)]
    return [None if x is None else x.reshape(*shape, *x.shape[1:]) for x in whole]


def value_of(compute: Computation, *arrays: Tensor) -> Tensor:
    """One value per component."""
    return in_blocks(lambda *arrays: [compute.value(arrays)], compute.vectors, *arrays)[0]


def differentiable(compute: Computation, arrays: Sequence[Tensor]) -> Tensor:
    """Returns `value_of` with the derivatives of the computation."""
    if not torch.compiler.is_compiling():
        return Computed.apply(compute, *arrays)
    # Where no gradients are needed, torch.compile would pass a superfluous ctx to the forward of a Function.
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in arrays)
    return (Compiled.apply if wanted or _are_functorch_transforms_active() else value_of)(compute, *arrays)


class Compiled(Function):
    """A `Computation`; its derivatives consist of operations that torch can differentiate again."""

    generate_vmap_rule = True

    forward = staticmethod(value_of)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.compute, *arrays = inputs
        ctx.save_for_backward(*arrays)
        ctx.save_for_forward(*arrays)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        arrays, compute = ctx.saved_tensors, ctx.compute
        needed = ctx.needs_input_grad[1:]
        derivatives = in_blocks(lambda *arrays: compute.derivatives(arrays, needed), compute.vectors, *arrays)
        gradients: list[Tensor | None] = [None]
        for x, derivative, vector in zip(arrays, derivatives, compute.vectors, strict=True):
            if derivative is None:
                gradients.append(None)
            else:
                factor = upstream[0][..., None] if vector else upstream[0]
                gradients.append((factor * derivative).sum_to_size(x.shape).to(x.dtype))
        return tuple(gradients)


class Computed(Compiled):
    """`Compiled` with derivatives in forward mode as well, which torch.compile refuses."""

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        arrays, compute = ctx.saved_tensors, ctx.compute
        derivatives = compute.derivatives(arrays, [x is not None for x in tangents])
        terms: Sequence[Tensor] = [
            (derivative * x).sum(-1) if vector else derivative * x
            for derivative, x, vector in zip(derivatives, tangents, compute.vectors, strict=True)
            if x is not None
        ]
        return torch.stack(functional.broadcast_tensors(*terms)).sum(0)
