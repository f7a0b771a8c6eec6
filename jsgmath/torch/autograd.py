"""The divergences as functions that torch can differentiate, vmap and compile; other modules here compute them.

The forward pass computes values and gradients together.  The backward pass returns these gradients if the incoming
gradient is 1, as after ``reduction="mean"``, and otherwise multiplies them by it (`rescaled`).  It computes them again
from the inputs if it runs a second time (``retain_graph``), builds a graph of the gradient (``create_graph``), or runs
under `torch.func` or `torch.compile`.

Tensors are rows: means have shape ``(rows, n)``, scales ``(rows, n)`` or ``(rows, n, n)``.  ``alphas`` has one entry or
one per row; if it is None, the number ``alpha`` is used.
"""

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active  # pyright: ignore[reportPrivateUsage]
from torch._C._functorch import is_legacy_batchedtensor

from jsgmath.torch.eager import diagonal
from jsgmath.torch.typed import Asked, Function, watched, work_type

# Operators for torch.compile, which does not trace into them and keeps the strides of their inputs.  Eager code calls
# the Python functions directly, because that is faster.
library: Any = torch.library.Library("jsgmath", "DEF")
STRIDES = torch.Tag.needs_fixed_stride_order
_arguments = (
    "Tensor mean1, Tensor scale1, Tensor? mean2, Tensor? scale2, Tensor? alphas, "
    "float alpha, bool dual, bool reverse, str implementation"
)
library.define(f"divergence({_arguments}) -> Tensor", tags=STRIDES)
library.define(
    f"gradient(Tensor upstream, {_arguments}, bool by_alpha) -> (Tensor, Tensor, Tensor, Tensor)", tags=STRIDES
)


@cache
def load(implementation: str) -> ModuleType:
    """The module of this name in `jsgmath.torch`, such as ``"eager.full"``, with ``evaluate`` and ``rescaled``."""
    return importlib.import_module(f"jsgmath.torch.{implementation}")


def divergence(
    mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None,
    alpha: float, dual: bool, reverse: bool, implementation: str,
) -> Tensor:  # fmt: skip
    number = alpha if alphas is None else alphas
    options = dict(dual=dual, reverse=reverse, grad=False)
    return load(implementation).evaluate(mean1, scale1, mean2, scale2, number, **options)[0]


def gradient(
    upstream: Tensor, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None,
    alphas: Tensor | None, alpha: float, dual: bool, reverse: bool, implementation: str, by_alpha: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The gradients by mean1, scale1, scale2 and alpha, one per row; an empty tensor if there is no such input."""
    number = alpha if alphas is None else alphas
    options = dict(dual=dual, reverse=reverse, value=False, by_alpha=by_alpha, upstream=upstream)
    _, *gradients = load(implementation).evaluate(mean1, scale1, mean2, scale2, number, **options)
    return tuple(mean1.new_empty(0) if x is None else x for x in gradients)


def gradients_of_scale(
    scale: float, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None,
    alpha: float, dual: bool, reverse: bool, implementation: str, by_alpha: bool,
) -> Asked:  # fmt: skip
    """The gradients as `OnePass` computes them, multiplied by ``scale``, so that every pass gives the same bits."""
    number = alpha if alphas is None else alphas
    options = dict(dual=dual, reverse=reverse, value=False, by_alpha=by_alpha, scale=scale)
    return load(implementation).evaluate(mean1, scale1, mean2, scale2, number, **options)[1:]


def rescaled(
    gradients: Asked, upstream: Tensor, scale: float,
    mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None,
    alpha: float, dual: bool, reverse: bool, implementation: str, _: bool,
) -> Asked:  # fmt: skip
    """The gradients, multiplied by ``upstream`` in place of ``scale``."""
    number = alpha if alphas is None else alphas
    options = dict(dual=dual, reverse=reverse, upstream=upstream, scale=scale)
    return load(implementation).rescaled(gradients, mean1, scale1, mean2, scale2, number, **options)


def _fake_divergence(mean1: Tensor, *_: Any) -> Tensor:
    return mean1.new_empty(mean1.shape[0], dtype=work_type(mean1))


def _fake_gradient(
    upstream: Tensor, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Any, *options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    by_scale2 = mean1.new_empty(0) if mean2 is None else torch.empty_like(scale2, memory_format=torch.contiguous_format)
    by_mean1, by_scale1 = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (mean1, scale1))
    by_alpha = mean1.new_empty(mean1.shape[0], dtype=work_type(mean1)) if options[-1] else mean1.new_empty(0)
    return by_mean1, by_scale1, by_scale2, by_alpha


def alone(x: Tensor) -> Tensor:
    """Copies a tensor that shares its memory, as the core's do, because operators must not return such tensors."""
    return x.clone() if x.untyped_storage().nbytes() > x.nbytes else x


def register(function: Callable[..., Any], fake: Callable[..., Any]) -> None:
    """Registers a function as the operator of its name; ``fake`` tells `torch.compile` the shapes of its results."""

    def operator(*arguments: Any) -> Any:
        results = function(*arguments)
        return results if isinstance(results, Tensor) else tuple(map(alone, results))

    library.impl(function.__name__, operator, "CompositeExplicitAutograd")
    torch.library.register_fake(  # pyright: ignore[reportUnknownMemberType]
        f"jsgmath::{function.__name__}", fake, lib=library
    )


register(divergence, _fake_divergence)
register(gradient, _fake_gradient)

library.define("checked(Tensor alphas) -> Tensor")


def checked(alphas: Tensor) -> Tensor:
    """Checks that alphas lie in [0, 1] and returns a copy; this is an operator, so that compiled programs run it.

    On a GPU it does not wait for the result: CUDA raises the error later.
    """
    right = ((alphas >= 0) & (alphas <= 1)).all()
    if alphas.device.type != "cpu":
        torch._assert_async(right, "alpha must lie in [0, 1]")  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
    elif not right:
        wrong = alphas[~((alphas >= 0) & (alphas <= 1))]
        raise ValueError(f"alpha must lie in [0, 1], got {wrong[0].item():g}")
    return alphas.clone()


register(checked, torch.empty_like)


class Checked(Function):
    """The operator `checked` with its derivative."""

    @staticmethod
    def forward(alphas: Tensor) -> Tensor:
        return torch.ops.jsgmath.checked(alphas)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return upstream


def with_check(alphas: Tensor) -> Tensor:
    """Returns alphas, checked unless that would wait for a device: on a CPU, and in compiled programs."""
    if _are_functorch_transforms_active():
        return alphas
    if torch.compiler.is_compiling():
        return Checked.apply(alphas) if wants_gradients([alphas]) else torch.ops.jsgmath.checked(alphas)
    if alphas.device.type == "cpu" and type(alphas) in (Tensor, torch.nn.Parameter) and not watched():
        with torch.no_grad():
            checked(alphas)
    return alphas


def wants_gradients(tensors: Iterable[Tensor | None]) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def compiled_plainly(tensors: Iterable[Tensor | None]) -> bool:
    """Whether torch.compile is tracing and no gradients are needed.

    The operator must be called then, because torch.compile would pass a superfluous ctx to the forward of a Function.
    """
    transforming = _are_functorch_transforms_active()
    return torch.compiler.is_compiling() and not (transforming or wants_gradients(tensors))


def is_inlined(mean1: Tensor, implementation: str) -> bool:
    """Whether a compiler gets the single operations: on a CPU it makes one loop of them, as fast as the textbook's."""
    return implementation == "eager.diagonal" and mean1.device.type == "cpu" and not _are_functorch_transforms_active()


def compiled_divergence(
    mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None,
    alpha: float, dual: bool, reverse: bool, implementation: str,
) -> Tensor:  # fmt: skip
    """`divergence` as torch.compile traces it."""
    inputs, number = (mean1, scale1, mean2, scale2), alpha if alphas is None else alphas
    if is_inlined(mean1, implementation):
        results = diagonal.evaluate_block(*inputs, number, dual=dual, reverse=reverse, grad=False)
        return results[0]
    return torch.ops.jsgmath.divergence(*inputs, alphas, alpha, dual, reverse, implementation)


def compiled_gradient(
    upstream: Tensor, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None,
    alphas: Tensor | None, alpha: float, dual: bool, reverse: bool, implementation: str, by_alpha: bool,
) -> Sequence[Any]:  # fmt: skip
    """`gradient` as torch.compile traces it."""
    inputs, number = (mean1, scale1, mean2, scale2), alpha if alphas is None else alphas
    if is_inlined(mean1, implementation):
        results = diagonal.evaluate_block(
            *inputs, number, dual=dual, reverse=reverse, value=False, by_alpha=by_alpha, upstream=upstream
        )
        return results[1:]
    return torch.ops.jsgmath.gradient(upstream, *inputs, alphas, alpha, dual, reverse, implementation, by_alpha)


class OnePass(Function):
    """One value per row; the gradients, multiplied by ``scale``, are computed too and kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None,
        alpha: float, dual: bool, reverse: bool, implementation: str, scale: float,
    ) -> Tensor:  # fmt: skip
        by_alpha = ctx.needs_input_grad[4]
        options = dict(dual=dual, reverse=reverse, by_alpha=by_alpha, scale=scale)
        number = alpha if alphas is None else alphas
        value, *ctx.gradients = load(implementation).evaluate(mean1, scale1, mean2, scale2, number, **options)
        ctx.save_for_backward(mean1, scale1, mean2, scale2, alphas)
        ctx.arguments, ctx.scale = (alpha, dual, reverse, implementation, by_alpha), scale
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            gradients = Gradient.apply(upstream, *tensors, *ctx.arguments, ctx.scale)
        else:
            gradients, ctx.gradients = ctx.gradients, None
            if gradients is None:
                gradients = gradients_of_scale(ctx.scale, *tensors, *ctx.arguments)
            if is_legacy_batchedtensor(upstream):  # torch.autograd.grad(..., is_grads_batched=True)
                gradients = [x if x is None else diagonal.times(x, upstream / ctx.scale) for x in gradients]
            else:
                gradients = rescaled(gradients, upstream, ctx.scale, *tensors, *ctx.arguments)
        return *by_argument(ctx.needs_input_grad, tensors[4], *gradients), *[None] * 5


class Compiled(Function):
    """One value per row; the gradients are computed in the backward pass."""

    @staticmethod
    def forward(
        mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None, alphas: Tensor | None, *options: Any
    ) -> Tensor:  # fmt: skip
        # With named options Dynamo would find that there is no ctx, and `torch.func.grad` would silently return zeros.
        compute = compiled_divergence if torch.compiler.is_compiling() else divergence
        return compute(mean1, scale1, mean2, scale2, alphas, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:5])
        ctx.save_for_forward(*inputs[:5])
        ctx.options = inputs[5:]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        tensors, by_alpha = ctx.saved_tensors, ctx.needs_input_grad[4]
        compute: Callable[..., Any] = compiled_gradient
        options = *ctx.options, by_alpha
        if not torch.compiler.is_compiling():
            compute, options = Gradient.apply, (*options, None)
        gradients = compute(upstream, *tensors, *options)
        return *by_argument(ctx.needs_input_grad, tensors[4], *gradients), *[None] * 4

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Tensor, int]:
        value = apply_divergence(*flat(info.batch_size, in_dims[:5], arguments[:5]), *arguments[5:])
        return value.reshape(info.batch_size, -1), 0


class Divergence(Compiled):
    """The same function with derivatives in forward mode, which torch.compile refuses."""

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> Tensor:
        tensors, by_alpha = ctx.saved_tensors, directions[4] is not None
        upstream = tensors[0].new_ones(tensors[0].shape[0], dtype=work_type(tensors[0]))
        by_mean1, *others = Gradient.apply(upstream, *tensors, *ctx.options, by_alpha, None)
        return directional((by_mean1, others[0], -by_mean1, *others[1:]), directions)


def apply_divergence(*arguments: Any) -> Tensor:
    return (Compiled if torch.compiler.is_compiling() else Divergence).apply(*arguments)


def directional(gradients: Sequence[Tensor], directions: Sequence[Any]) -> Tensor:
    """The derivative of each row along the directions, each a tensor or None."""
    terms = [
        (x * direction).reshape(len(x), math.prod(x.shape[1:])).sum(-1, dtype=work_type(x))
        for x, direction in zip(gradients, directions, strict=False)
        if direction is not None
    ]
    return torch.stack(terms).sum(0)


def by_argument(
    needed: Sequence[bool], alphas: Any, by_mean1: Any, by_scale1: Any, by_scale2: Any, by_alpha: Any
) -> list[Tensor | None]:
    """The gradients in the order of autograd: by mean1, scale1, mean2, scale2 and alphas, each a tensor or None."""
    if needed[4] and alphas.numel() == 1:
        by_alpha = by_alpha.sum().reshape(1)
    gradients = by_mean1, by_scale1, -by_mean1 if needed[2] else None, by_scale2, by_alpha
    return [gradient if wanted else None for gradient, wanted in zip(gradients, needed[:5], strict=True)]


class Gradient(Function):
    """`gradient`, with derivatives of every order.

    Its last argument is the ``scale`` of `OnePass`, in whose place the gradients are computed then, or None.
    """

    @staticmethod
    def forward(
        upstream: Tensor, mean1: Tensor, scale1: Tensor, mean2: Tensor | None, scale2: Tensor | None,
        alphas: Tensor | None, *options: Any,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        *others, scale = options
        arguments: list[Any] = [mean1, scale1, mean2, scale2, alphas, *others]
        if scale is None or is_legacy_batchedtensor(upstream):
            return gradient(upstream, *arguments)
        gradients = rescaled(gradients_of_scale(scale, *arguments), upstream, scale, *arguments)
        return tuple(mean1.new_empty(0) if x is None else x for x in gradients)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:6])
        ctx.save_for_forward(*inputs[:6])
        ctx.options = inputs[6:-1]

    @staticmethod
    def backward(ctx: Any, *by_gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors, by_alpha = ctx.saved_tensors, ctx.options[-1]
        compute, present = differentiable_gradient(tensors, *ctx.options)
        along = [
            x for x, there in zip(by_gradients, (True, True, tensors[3] is not None, by_alpha), strict=True) if there
        ]
        pull_back = torch.func.vjp(compute, *(tensors[i] for i in present))[1]
        pulled = dict(zip(present, pull_back(along), strict=True))
        return *(pulled.get(i) for i in range(6)), *[None] * 6

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> tuple[Tensor, ...]:
        tensors, by_alpha = ctx.saved_tensors, ctx.options[-1]
        compute, present = differentiable_gradient(tensors, *ctx.options)
        moved = iter(push_forward(compute, [tensors[i] for i in present], [directions[i] for i in present]))
        there = True, True, tensors[3] is not None, by_alpha
        return tuple(next(moved) if wanted else tensors[1].new_empty(0) for wanted in there)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        tensors = flat(info.batch_size, in_dims[:6], arguments[:6])
        gradients = Gradient.apply(*tensors, *arguments[6:])
        return tuple(x.reshape(info.batch_size, -1, *x.shape[1:]) for x in gradients), (0,) * 4


def differentiable_gradient(
    tensors: Sequence[Tensor | None], alpha: float, dual: bool, reverse: bool, implementation: str, by_alpha: bool
) -> tuple[Callable[..., list[Tensor]], list[int]]:
    """`gradient` in operations that torch differentiates, a function of the tensors that exist, and their places."""
    evaluate = load(f"eager.{implementation.partition('.')[2]}").evaluate_block
    present = [i for i, x in enumerate(tensors) if x is not None]

    def compute(*inputs: Tensor) -> list[Tensor]:
        upstream, mean1, scale1, mean2, scale2, alphas = (
            inputs[present.index(i)] if i in present else None for i in range(6)
        )
        _, *results = evaluate(
            mean1, scale1, mean2, scale2, alpha if alphas is None else alphas,
            dual=dual, reverse=reverse, value=False, by_alpha=by_alpha, upstream=upstream,
        )  # fmt: skip
        return [x for x in results if x is not None]

    return compute, present


def push_forward(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], directions: Sequence[Any]) -> Any:
    """The derivatives of the results along the directions, each a tensor or None.

    They are the derivative of `torch.func.vjp` by what it is given, because forward mode cannot be nested in itself.
    """
    found: Any = torch.func.vjp(function, *inputs)
    results, pull_back = found
    push = torch.func.vjp(pull_back, type(results)(torch.zeros_like(x) for x in results))[1]
    return push(tuple(torch.zeros_like(x) if v is None else v for x, v in zip(inputs, directions, strict=True)))[0]


def flat(batch: int, in_dims: Sequence[int | None], tensors: Sequence[Any]) -> list[Any]:
    """Merges the axis that torch.vmap maps into the rows of its tensors."""
    first, dim = tensors[0], in_dims[0]
    count = first.shape[0] if dim is None else first.movedim(dim, 0).shape[1]

    def more_rows(x: Any, dim: int | None) -> Any:
        if x is None or (dim is None and x.shape == (1,)):
            return x
        x = x.expand(batch, *x.shape) if dim is None else x.movedim(dim, 0)
        x = x.expand(batch, count) if x.ndim == 2 else x
        return x.reshape(-1, *x.shape[2:])

    return [more_rows(x, dim) for x, dim in zip(tensors, in_dims, strict=True)]
