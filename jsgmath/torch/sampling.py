"""The latent step of a variational autoencoder: a sample and a divergence, in one forward and one backward pass."""

from collections.abc import Callable, Sequence
from itertools import repeat
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from jsgmath.hints import Convention
from jsgmath.torch.autograd import STRIDES, compiled_plainly, directional, flat, library, load, push_forward, register
from jsgmath.torch.eager import diagonal
from jsgmath.torch.functions import Backend, Reduction, alpha_of, check_options, chosen, reduced, rows_of
from jsgmath.torch.noise import normal
from jsgmath.torch.typed import Alpha, Function, work_type


def sample_and_jsg(
    mean: Tensor, logvar: Tensor, alpha: Alpha, seed: int | Tensor, *, first_row: int = 0,
    dual: bool = False, convention: Convention = "deasy", backend: Backend = "auto", reduction: Reduction = "none",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    r"""A sample of ``q = N(mean, diag(exp(logvar)))``, and JSG or its dual from q to ``N(0, I)`` [1, eqs. 23-26].

    .. math:: z = mean + \exp(logvar / 2)\, \epsilon, \qquad \epsilon \sim N(0, I)

    The kernels generate the noise where they use it, once forward and once again backward, so it takes no memory.  The
    number at flat index ``e = (first_row + row) * n + column`` depends only on the seed and ``e``
    (`jsgmath.torch.noise`).  It is the same on every device, for all strides, and however a batch is split.  Equal
    seeds give equal noise, so give each call a new seed.

    Args:
        mean, logvar: tensors of shape ``(..., n)``, of one floating type and device.  Rows may be strided, as
            ``chunk(2, -1)`` leaves them.
        alpha: weight of ``N(0, I)`` in [0, 1], as in `jsg_standard_normal`.
        seed: an int of 64 bits, or an int64 tensor of one entry on the device.  You may change the tensor in place at
            any time, as with ``seed.add_(1)``, also in a captured CUDA graph; the backward pass uses the seed of its
            forward pass.
        first_row: index of the first row in a larger batch; pass it for the later parts of a batch that you split.
        dual, convention, backend, reduction: as in `jsg_standard_normal`; the reduction applies to the divergence.

    Returns:
        ``z`` of shape ``(..., n)``, and the divergence in nats, of shape ``(...)`` or a scalar.  float16 and bfloat16
        are computed in float32.  Derivatives of every order by mean, logvar and alpha exist; those beyond the first
        are computed with torch operations.  ``torch.vmap`` needs ``randomness="different"``, and numbers its entries
        like the rows of one large batch.

    Raises:
        TypeError, ValueError: an argument is not valid; the message names it.

    Accuracy: the noise is within 4 ulp of its exact value, and at most 6.764 in size (``tests/torch/test_noise.py``).
    For the divergence see `jsg_standard_normal`; log-variances are clamped to 87 (708) for z, by
    ``"native"`` to 700 (1416).

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> mean, logvar = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    >>> z, divergence = sample_and_jsg(mean, logvar, 0.5, seed=7)
    >>> divergence.tolist()
    [0.125, 0.0]
    >>> second, _ = sample_and_jsg(mean[1:], logvar[1:], 0.5, seed=7, first_row=1)
    >>> torch.equal(second, z[1:])
    True
    """
    check_options(convention, backend, reduction)
    batch, (mean, logvar, *_), dtype = rows_of(("mean", "logvar"), (mean, logvar))
    n = mean.shape[-1]
    _check_first_row(first_row, batch.numel(), n)
    number, alphas = alpha_of(alpha, batch, mean.device)
    key, seeds = _seed(seed, mean.device)
    tensors = mean, logvar, alphas, seeds
    options = number, key, first_row, bool(dual), convention == "deasy", chosen(backend, tensors)
    compute = torch.ops.jsgmath.sample if compiled_plainly(tensors) else _apply
    z, value, _ = compute(*tensors, *options)
    return z.reshape(*batch, n), reduced(value, batch, reduction, dtype)


def _check_first_row(first_row: object, rows: int, n: int) -> None:
    if isinstance(first_row, bool) or not isinstance(first_row, Integral):
        raise TypeError(f"first_row must be an int, got {type(first_row).__name__}")
    first_row = int(first_row)
    if first_row < 0:
        raise ValueError(f"first_row must not be negative, got {first_row}")
    if (first_row + rows) * n > 2**63 - 1:
        raise ValueError(f"first_row must leave indices below 2^63, got {first_row} with {rows} rows of {n}")


def _seed(seed: object, device: torch.device) -> tuple[int, Tensor | None]:
    """Returns seed as a number and None, or 0 and a tensor of one entry."""
    if isinstance(seed, Tensor):
        if seed.dtype != torch.int64 or seed.numel() != 1:
            raise TypeError(
                f"seed must be an int or an int64 tensor of one entry, got {seed.dtype} of shape {tuple(seed.shape)}"
            )
        if seed.device != device:
            raise ValueError(f"seed is on {seed.device} but mean on {device}; move it there")
        return 0, seed.reshape(1)
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be an int or an int64 tensor of one entry, got {type(seed).__name__}")
    seed = int(seed)
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit in 64 bits with its sign, got {seed}")
    return seed, None


_arguments = "Tensor mean, Tensor logvar, Tensor? alphas, Tensor? seeds, float alpha, int seed, int first_row"
_options = "bool dual, bool reverse, str backend"
library.define(f"sample({_arguments}, {_options}) -> (Tensor, Tensor, Tensor)", tags=STRIDES)
library.define(
    "sample_gradient(Tensor mean, Tensor logvar, Tensor? alphas, Tensor seed, Tensor by_z, Tensor by_value, "
    f"float alpha, int first_row, {_options}, bool by_alpha) -> (Tensor, Tensor, Tensor)",
    tags=STRIDES,
)


def sample(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seeds: Tensor | None, alpha: float, seed: int, first_row: int,
    dual: bool, reverse: bool, backend: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """``z``, the divergence of each row, and a copy of the seed, as a tensor of one entry."""
    if backend != "eager":
        return load(f"{backend}.sampling").sample(mean, logvar, alphas, seeds, alpha, seed, first_row, dual, reverse)
    used = torch.full((1,), seed, dtype=torch.int64, device=mean.device) if seeds is None else seeds.clone()
    z = mean.to(work_type(mean)) + _noise(logvar, used, first_row)
    number = alpha if alphas is None else alphas
    value = diagonal.evaluate(mean, logvar, None, None, number, dual=dual, reverse=reverse, grad=False)[0]
    return z.to(mean.dtype), value, used


def sample_gradient(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seed: Tensor, by_z: Tensor, by_value: Tensor, alpha: float,
    first_row: int, dual: bool, reverse: bool, backend: str, by_alpha: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients by mean, logvar and, if ``by_alpha``, alpha (one per row), with the seed that `sample` used."""
    arguments: Any = (mean, logvar, alphas, seed, by_z, by_value, alpha, first_row, dual, reverse, by_alpha)
    if backend == "eager" or (
        backend == "native" and diagonal.is_plain(mean) and not diagonal.are_ordinary(mean, logvar)
    ):
        return _eager_gradient(*arguments, compute=diagonal.evaluate)  # which computes numbers out of range by `far.py`
    return load(f"{backend}.sampling").sample_gradient(*arguments)


def _eager_gradient(
    mean: Tensor, logvar: Tensor, alphas: Tensor | None, seed: Tensor, by_z: Tensor, by_value: Tensor, alpha: float,
    first_row: int, dual: bool, reverse: bool, by_alpha: bool, compute: Callable[..., Any] = diagonal.evaluate_block,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    work = work_type(mean)
    number = alpha if alphas is None else alphas
    # In the working type, so that the sums below are rounded once.
    _, by_mean, by_logvar, _, d_alpha = compute(
        mean.to(work), logvar.to(work), None, None, number,
        dual=dual, reverse=reverse, value=False, by_alpha=by_alpha, upstream=by_value,
    )  # fmt: skip
    by_mean = by_z.to(work) + by_mean
    by_logvar = by_z.to(work) * _noise(logvar, seed, first_row) / 2 + by_logvar
    return by_mean.to(mean.dtype), by_logvar.to(mean.dtype), d_alpha if by_alpha else by_value.new_empty(0)


def _noise(logvar: Tensor, seed: Tensor, first_row: int) -> Tensor:
    """``exp(logvar / 2) * eps``."""
    work = work_type(logvar)
    widest = diagonal.WIDEST[work]
    return (0.5 * logvar.to(work).clamp(-widest, widest)).exp() * normal(seed, first_row, logvar.shape, work)


def _fake_sample(mean: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    value = mean.new_empty(mean.shape[0], dtype=work_type(mean))
    return mean.new_empty(mean.shape), value, mean.new_empty(1, dtype=torch.int64)


def _fake_gradient(mean: Tensor, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    rows = mean.shape[0] if options[-1] else 0
    return mean.new_empty(mean.shape), mean.new_empty(mean.shape), mean.new_empty(rows, dtype=work_type(mean))


register(sample, _fake_sample)
register(sample_gradient, _fake_gradient)


class _Compiled(Function):
    """``z``, the divergence of each row, and the seed used."""

    @staticmethod
    def forward(
        mean: Tensor, logvar: Tensor, alphas: Tensor | None, seeds: Tensor | None, *options: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        compute = torch.ops.jsgmath.sample if torch.compiler.is_compiling() else sample
        return compute(mean, logvar, alphas, seeds, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        mean, logvar, alphas, _, alpha, _, *options = inputs
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(mean, logvar, alphas, output[2])
        ctx.save_for_forward(mean, logvar, alphas, output[2])
        ctx.options = alpha, *options

    @staticmethod
    def backward(ctx: Any, by_z: Tensor, by_value: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        mean, logvar, alphas, seed = ctx.saved_tensors
        needed = ctx.needs_input_grad
        compute = torch.ops.jsgmath.sample_gradient if torch.compiler.is_compiling() else _Gradients.apply
        gradients = compute(mean, logvar, alphas, seed, by_z, by_value, *ctx.options, needed[2])
        by_mean, by_logvar, by_alpha = gradients
        if needed[2] and alphas.numel() == 1:
            by_alpha = by_alpha.sum().reshape(1)
        gradients = by_mean, by_logvar, by_alpha
        return *(x if wanted else None for x, wanted in zip(gradients, needed, strict=False)), *(None,) * 7

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        mean, logvar, alphas, seeds, *options = inputs
        _check_vmap(info, in_dims[3])
        z, value, seed = _apply(*flat(info.batch_size, in_dims[:3], (mean, logvar, alphas)), seeds, *options)
        return (_batched(info, z), _batched(info, value), seed), (0, 0, None)


class _Sample(_Compiled):
    """The same function with derivatives in forward mode, which torch.compile refuses."""

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> tuple[Tensor, Tensor, None]:
        mean, logvar, alphas, seed = ctx.saved_tensors
        by_value = mean.new_ones(mean.shape[0], dtype=work_type(mean))
        tensors = mean, logvar, alphas, seed, torch.zeros_like(mean), by_value
        gradients = _Gradients.apply(*tensors, *ctx.options, directions[2] is not None)
        by_mean, by_logvar, *_ = directions
        z = torch.zeros_like(mean) if by_mean is None else by_mean
        if by_logvar is not None:
            z = (z + by_logvar * _noise(logvar, seed, ctx.options[1]) / 2).to(mean.dtype)
        return z, directional(gradients, directions[:3]), None


def _apply(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return (_Compiled if torch.compiler.is_compiling() else _Sample).apply(*arguments)


class _Gradients(Function):
    """`sample_gradient`, whose own derivatives are those of `_eager_gradient`."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        return sample_gradient(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:6])
        ctx.save_for_forward(*inputs[:6])
        ctx.options = inputs[6:]

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        gradients, primals = _differentiable(ctx)
        pull = torch.func.vjp(gradients, *primals)[1]
        by_mean, by_logvar, by_by_z, by_by_value, *by_alphas = pull(along)
        return by_mean, by_logvar, by_alphas[0] if by_alphas else None, None, by_by_z, by_by_value, *(None,) * 6

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> tuple[Tensor, ...]:
        gradients, primals = _differentiable(ctx)
        order = (0, 1, 4, 5, 2)[: len(primals)]
        return tuple(push_forward(gradients, primals, [directions[i] for i in order]))

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        mean, logvar, alphas, seed, by_z, by_value, *options = inputs
        if all(dim is None for dim in in_dims[:4]):  # the sample was not mapped: every entry has the same noise
            parts = zip(*map(_entries, repeat(info.batch_size), in_dims[4:6], (by_z, by_value)), strict=True)
            gradients = [_Gradients.apply(mean, logvar, alphas, seed, *part, *options) for part in parts]
            return tuple(torch.stack(x) for x in zip(*gradients, strict=True)), (0, 0, 0)
        _check_vmap(info, in_dims[3])
        tensors = flat(info.batch_size, (*in_dims[:3], *in_dims[4:6]), (mean, logvar, alphas, by_z, by_value))
        gradients = _Gradients.apply(*tensors[:3], seed, *tensors[3:], *options)
        return tuple(_batched(info, x) for x in gradients), (0, 0, 0)


def _differentiable(ctx: Any) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
    """`_eager_gradient` as a function of the saved tensors that it is differentiated by, and those tensors."""
    mean, logvar, alphas, seed, by_z, by_value = ctx.saved_tensors
    alpha, first_row, dual, reverse, _, by_alpha = ctx.options

    def gradients(
        mean: Tensor, logvar: Tensor, by_z: Tensor, by_value: Tensor, alphas: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return _eager_gradient(mean, logvar, alphas, seed, by_z, by_value, alpha, first_row, dual, reverse, by_alpha)

    return gradients, (mean, logvar, by_z, by_value, *(() if alphas is None else (alphas,)))


def _batched(info: Any, x: Tensor) -> Tensor:
    return x.reshape(info.batch_size, -1, *x.shape[1:])


def _entries(count: int, dim: int | None, x: Tensor) -> Sequence[Tensor]:
    return [x] * count if dim is None else x.unbind(dim)


def _check_vmap(info: Any, seed_dim: int | None) -> None:
    if info.randomness != "different":
        raise RuntimeError(
            "sample_and_jsg draws different noise for each entry of torch.vmap; "
            f'pass randomness="different" to torch.vmap, got {info.randomness!r}'
        )
    if seed_dim is not None:
        raise ValueError("torch.vmap over seed is not supported; pass one seed for all entries, with in_dims=None")
