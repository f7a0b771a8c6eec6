"""The latent step of a variational autoencoder: a sample and its divergence from N(0, I), one kernel each way."""

import torch
from torch import Tensor

from jsgmath.divergences import CONVENTIONS
from jsgmath.torch import BACKENDS, REDUCTIONS, _alpha, _check_pair, eager
from jsgmath.torch.normal import normal


def sample_and_jsg(
    mean, logvar, alpha, seed, *, first_row=0, dual=False, convention="deasy", backend="auto", reduction="none"
):
    r"""A sample of ``N(mean, diag(exp(logvar)))`` and JSG, or its dual, from there to ``N(0, I)`` [1, eqs. 23-26].

    .. math:: z = mean + \exp(logvar / 2)\, \epsilon, \qquad \epsilon \sim N(0, I)

    The noise is made where it is used, forward and again backward, and takes no memory.  The number at flat index
    ``e = (first_row + row) * n + column`` is a function of seed and ``e`` alone (`jsgmath.torch.normal`): the same on
    every device, whatever the strides and however a batch is split.  Equal seeds give equal noise, so give every call
    another one.

    Args:
        mean, logvar: tensors of shape ``(..., n)``, of one floating type and device.  Rows may be strided, as
            ``chunk(2, -1)`` leaves them.
        alpha: weight of ``N(0, I)`` in [0, 1], as in `jsg_standard_normal`.
        seed: an int of 64 bits, or an int64 tensor of one entry on the device.  The tensor may be advanced in place,
            ``seed.add_(1)``, at any time, in a captured CUDA graph too: the backward uses the one of its forward.
        first_row: where the rows begin in a larger batch, for the second part of a batch that is split.
        dual, convention, backend, reduction: as in `jsg_standard_normal`; the reduction is of the divergence.

    Returns:
        ``z`` of shape ``(..., n)``, and the divergence in nats, of shape ``(...)`` or a scalar.  float16 and bfloat16
        are computed in float32.  Differentiable any number of times by mean, logvar and alpha; what is
        differentiated again is computed as by ``backend="eager"``.  ``torch.vmap`` needs ``randomness="different"``:
        its entries are so many batches, one after the other.

    Raises:
        TypeError, ValueError: arguments that do not fit, said by name.

    Accuracy: noise within 4 ulp of its exact value, at most 6.764 in size, by ``tests/test_torch_sampling.py``; the
    divergence is that of `jsg_standard_normal`.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> mean, logvar = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    >>> z, divergence = sample_and_jsg(mean, logvar, 0.5, seed=7)
    >>> divergence.tolist()
    [0.125, 0.0]
    >>> second, _ = sample_and_jsg(mean[1:], logvar[1:], 0.5, seed=7, first_row=1)
    >>> torch.equal(second, z[1:])
    True
    """
    for name, value, allowed in (
        ("convention", convention, CONVENTIONS),
        ("backend", backend, BACKENDS),
        ("reduction", reduction, REDUCTIONS),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    _check_pair("mean", mean, "logvar", logvar)
    mean, logvar = torch.broadcast_tensors(mean, logvar)
    batch, n = mean.shape[:-1], mean.shape[-1]
    _check_first_row(first_row, batch.numel(), n)
    number = 0.0
    if isinstance(alpha, Tensor):
        alpha = _alpha(alpha, batch, mean.device)
    else:
        _alpha(alpha, batch, "meta")  # its checks only: a number is handed to the kernel as it is
        alpha, number = None, float(alpha)
    seed, seed_number = _seed(seed, mean.device)
    triton = backend == "triton" or (backend == "auto" and mean.is_cuda)
    options = first_row, bool(dual), convention == "deasy", triton
    z, value, _ = _Sample.apply(mean.reshape(-1, n), logvar.reshape(-1, n), alpha, number, seed, seed_number, *options)
    value = value.reshape(batch)
    return z.reshape(*batch, n), {"none": lambda: value, "mean": value.mean, "sum": value.sum}[reduction]()


def _check_first_row(first_row, rows, n):
    if isinstance(first_row, bool) or not isinstance(first_row, int):
        raise TypeError(f"first_row must be an int, got {type(first_row).__name__}")
    if first_row < 0:
        raise ValueError(f"first_row must not be negative, got {first_row}")
    if (first_row + rows) * n > 2**63 - 1:
        raise ValueError(f"first_row must leave indices below 2^63, got {first_row} with {rows} rows of {n}")


def _seed(seed, device):
    """seed as a tensor and 0, or as None and a number."""
    if isinstance(seed, Tensor):
        if seed.dtype != torch.int64 or seed.numel() != 1:
            raise TypeError(
                f"seed must be an int or an int64 tensor of one entry, got {seed.dtype} of shape {tuple(seed.shape)}"
            )
        if seed.device != device:
            raise ValueError(f"seed is on {seed.device} but mean on {device}; move it there")
        return seed.reshape(1), 0
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int or an int64 tensor of one entry, got {type(seed).__name__}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit in 64 bits with its sign, got {seed}")
    return None, seed


# Both backends: rows (rows, n); alpha of one entry or one per row, or None for number; seed likewise.


def _eager(mean, logvar, alpha, number, seed, seed_number, first_row, dual, reverse):
    """``z``, the divergence of each row, and the seed used, as a tensor of one entry that nobody else changes."""
    if seed is None:
        seed = torch.full((1,), seed_number, dtype=torch.int64, device=mean.device)
    else:
        seed = seed.clone()
    work = torch.promote_types(mean.dtype, torch.float32)
    m, s = mean.to(work), logvar.to(work)
    z = m + (s / 2).exp() * normal(seed, first_row, mean.shape, work)
    value, *_ = eager.rows(m, s, None, None, _tensor(alpha, number, mean), dual=dual, reverse=reverse, grad=False)
    return z.to(mean.dtype), value.to(mean.dtype), seed


def _eager_backward(mean, logvar, alpha, number, seed, first_row, dual, reverse, by_z, by_value, alpha_grad):
    """Gradients by mean, logvar and, if ``alpha_grad``, alpha (one per row), with the seed that `_eager` returned."""
    work = torch.promote_types(mean.dtype, torch.float32)
    m, s, by_z, by_value = (t.to(work) for t in (mean, logvar, by_z, by_value))
    along_std = (s / 2).exp() * normal(seed, first_row, mean.shape, work) / 2
    _, by_mean, by_logvar, _, by_alpha = eager.rows(
        m, s, None, None, _tensor(alpha, number, mean), dual=dual, reverse=reverse, grad=True
    )
    column = by_value[:, None]
    by_mean, by_logvar = by_z + column * by_mean, by_z * along_std + column * by_logvar
    by_alpha = by_value * by_alpha if alpha_grad else by_value[:0].clone()
    return by_mean.to(mean.dtype), by_logvar.to(mean.dtype), by_alpha


def _tensor(alpha, number, mean):
    return torch.full((1,), number, dtype=torch.float64, device=mean.device) if alpha is None else alpha


@torch.library.custom_op("jsgmath::sample_and_jsg", mutates_args=())
def _triton(
    mean: Tensor, logvar: Tensor, alpha: Tensor | None, number: float, seed: Tensor | None, seed_number: int,
    first_row: int, dual: bool, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    from jsgmath.torch import sampling_kernels

    return sampling_kernels.sample(mean, logvar, alpha, number, seed, seed_number, first_row, dual, reverse)


@_triton.register_fake
def _(mean, logvar, alpha, number, seed, seed_number, first_row, dual, reverse):
    return mean.new_empty(mean.shape), mean.new_empty(mean.shape[0]), mean.new_empty(1, dtype=torch.int64)


@torch.library.custom_op("jsgmath::sample_and_jsg_backward", mutates_args=())
def _triton_backward(
    mean: Tensor, logvar: Tensor, alpha: Tensor | None, number: float, seed: Tensor, first_row: int, dual: bool,
    reverse: bool, by_z: Tensor, by_value: Tensor, alpha_grad: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    from jsgmath.torch import sampling_kernels

    return sampling_kernels.sample_backward(
        mean, logvar, alpha, number, seed, first_row, dual, reverse, by_z, by_value, alpha_grad
    )


@_triton_backward.register_fake
def _(mean, logvar, alpha, number, seed, first_row, dual, reverse, by_z, by_value, alpha_grad):
    by_alpha = mean.new_empty(mean.shape[0] if alpha_grad else 0, dtype=torch.promote_types(mean.dtype, torch.float32))
    return mean.new_empty(mean.shape), mean.new_empty(mean.shape), by_alpha


class _Sample(torch.autograd.Function):
    """``z``, the divergence of each row, and the seed used."""

    @staticmethod
    def forward(mean, logvar, alpha, number, seed, seed_number, first_row, dual, reverse, triton):
        implementation = _triton if triton else _eager
        return implementation(mean, logvar, alpha, number, seed, seed_number, first_row, dual, reverse)

    @staticmethod
    def setup_context(ctx, inputs, output):
        mean, logvar, alpha, number, _, _, *options = inputs
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(mean, logvar, alpha, output[2])
        ctx.number, ctx.options = number, options

    @staticmethod
    def backward(ctx, by_z, by_value, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, logvar, alpha, seed = ctx.saved_tensors
        by_mean, by_logvar, by_alpha = _Gradients.apply(
            mean, logvar, alpha, by_z, by_value, ctx.number, seed, *ctx.options, ctx.needs_input_grad[2]
        )
        if not ctx.needs_input_grad[2]:
            by_alpha = None
        elif alpha.numel() == 1:
            by_alpha = by_alpha.sum().reshape(1).to(alpha.dtype)
        else:
            by_alpha = by_alpha.to(alpha.dtype)
        return by_mean, by_logvar, by_alpha, *(None,) * 7

    @staticmethod
    def vmap(info, in_dims, *inputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, logvar, alpha, number, seed, *options = inputs
        _check_vmap(info, in_dims[4])
        rows, n = mean.shape[1:] if in_dims[0] is not None else mean.shape
        mean, logvar = (_stacked(t, dim, info, rows) for t, dim in zip((mean, logvar), in_dims, strict=False))
        alpha = _stacked(alpha, in_dims[2], info, rows)
        z, value, seed = _Sample.apply(mean, logvar, alpha, number, seed, *options)
        return (z.view(info.batch_size, rows, n), value.view(info.batch_size, rows), seed), (0, 0, None)


class _Gradients(torch.autograd.Function):
    """The gradients of `_Sample` by mean, logvar and alpha (one per row); its own are those of the eager formula."""

    @staticmethod
    def forward(mean, logvar, alpha, by_z, by_value, number, seed, first_row, dual, reverse, triton, alpha_grad):
        implementation = _triton_backward if triton else _eager_backward
        return implementation(mean, logvar, alpha, number, seed, first_row, dual, reverse, by_z, by_value, alpha_grad)

    @staticmethod
    def setup_context(ctx, inputs, output):
        mean, logvar, alpha, by_z, by_value, number, seed, first_row, dual, reverse, _, alpha_grad = inputs
        ctx.save_for_backward(mean, logvar, alpha, by_z, by_value, seed)
        ctx.options = number, first_row, dual, reverse, alpha_grad

    @staticmethod
    def backward(ctx, *along):
        mean, logvar, alpha, by_z, by_value, seed = ctx.saved_tensors
        number, first_row, dual, reverse, alpha_grad = ctx.options

        def gradients(mean, logvar, by_z, by_value, alpha=None):
            return _eager_backward(
                mean, logvar, alpha, number, seed, first_row, dual, reverse, by_z, by_value, alpha_grad
            )

        primals = mean, logvar, by_z, by_value, *(() if alpha is None else (alpha,))
        pull = torch.func.vjp(gradients, *primals)[1]
        by_mean, by_logvar, by_by_z, by_by_value, *by_alpha = pull(along)
        return by_mean, by_logvar, by_alpha[0] if by_alpha else None, by_by_z, by_by_value, *(None,) * 7

    @staticmethod
    def vmap(info, in_dims, *inputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, logvar, alpha, by_z, by_value, number, seed, *options = inputs
        _check_vmap(info, in_dims[6])
        rows, n = mean.shape[1:] if in_dims[0] is not None else mean.shape
        tensors = (mean, logvar, alpha, by_z, by_value)
        stacked = [_stacked(t, dim, info, rows) for t, dim in zip(tensors, in_dims, strict=False)]
        by_mean, by_logvar, by_alpha = _Gradients.apply(*stacked, number, seed, *options)
        gradients = [g.view(info.batch_size, rows, n) for g in (by_mean, by_logvar)]
        if not options[-1]:
            return (*gradients, by_alpha), (0, 0, None)
        return (*gradients, by_alpha.view(info.batch_size, rows)), (0, 0, 0)


def _check_vmap(info, seed_dim):
    if info.randomness != "different":
        raise RuntimeError(
            "under torch.vmap sample_and_jsg draws other noise for every entry, which it wants to be told: "
            f'pass randomness="different" to torch.vmap, not {info.randomness!r}'
        )
    if seed_dim is not None:
        raise ValueError("torch.vmap over seed is not supported; pass one seed for all entries, with in_dims=None")


def _stacked(tensor, dim, info, rows):
    """The rows of all entries, one entry after the other; alpha's single number for all rows may stay that."""
    if tensor is None or (dim is None and tensor.shape == (1,)):
        return tensor
    tensor = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return tensor.expand(info.batch_size, rows, *tensor.shape[2:]).flatten(0, 1)
