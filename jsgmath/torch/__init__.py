"""The divergences for torch tensors of diagonal Gaussians, with gradients: eager, or one Triton kernel.

``triton`` is imported when the first kernel runs, not before.
"""

import torch

from jsgmath.divergences import CONVENTIONS
from jsgmath.torch import eager

BACKENDS = ("auto", "eager", "triton")
REDUCTIONS = ("none", "mean", "sum")

__all__ = ["jsg_diagonal", "jsg_standard_normal"]


def jsg_standard_normal(mean, logvar, alpha, *, dual=False, convention="deasy", backend="auto", reduction="none"):
    r"""JSG, or its dual, from ``N(mean, diag(exp(logvar)))`` to ``N(0, I)``, in nats [1, eqs. 23-26].

    Args:
        mean, logvar: tensors of shape ``(..., n)``, of one floating type and device.  Rows may be strided, as
            ``chunk(2, -1)`` leaves them.
        alpha: weight of ``N(0, I)`` in [0, 1]; a float, or a tensor with one entry or one per row.  A tensor is not
            checked, since that would wait for the device.
        dual: JSG* [1, eq. 10] instead of JSG [1, eq. 8].
        convention: ``"deasy"`` or ``"nielsen"``, as in `jsgmath.jsg`.  By ``"deasy"``, JSG at alpha 0 is
            KL(q||p) [1, eq. 3] and at alpha 1 KL(p||q) [1, eq. 4], q being the first Gaussian.
        backend: ``"triton"``: one kernel for value and gradients, on CUDA or ROCm tensors, or on a CPU in Triton's
            interpreter if ``TRITON_INTERPRET=1`` was set; ``"eager"``: torch operations; ``"auto"``: triton
            on CUDA or ROCm tensors, else eager.
        reduction: ``"none"``: one value per row, the last axis summed; ``"mean"`` or ``"sum"`` of those.

    Returns:
        Shape ``(...)``, or a scalar.  float16 and bfloat16 are computed in float32.  Differentiable once by mean,
        logvar and alpha; differentiating twice raises.

    Raises:
        TypeError, ValueError: arguments that do not fit, said by name.

    Accuracy: against the NumPy reference, by ``tests/test_torch.py``: 16 ulp where ``|logvar| <= 80`` (float32) or
    ``700`` (float64).  A log-ratio of variances beyond 87 (708) is cut off there: finite, but inexact.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> mean = torch.tensor([[1.0, 0.0]], requires_grad=True)
    >>> divergence = jsg_standard_normal(mean, torch.zeros(1, 2), 0.5)
    >>> divergence.tolist()
    [0.125]
    >>> divergence.sum().backward()
    >>> mean.grad.tolist()
    [[0.25, 0.0]]
    """
    _check_pair("mean", mean, "logvar", logvar)
    return _jsg((mean, logvar), alpha, dual, convention, backend, reduction)


def jsg_diagonal(
    mean1, logvar1, mean2, logvar2, alpha, *, dual=False, convention="deasy", backend="auto", reduction="none"
):
    """JSG, or its dual, from ``N(mean1, diag(exp(logvar1)))`` to ``N(mean2, diag(exp(logvar2)))``, in nats.

    All four have shape ``(..., n)`` and broadcast.  The other arguments, the result and the errors are those of
    `jsg_standard_normal` [1, eqs. 8-13].

    >>> zero = torch.zeros(2)
    >>> jsg_diagonal(zero, zero, torch.ones(2), zero, 0.5, dual=True).item()
    0.25
    """
    _check_pair("mean1", mean1, "logvar1", logvar1)
    _check_pair("mean2", mean2, "logvar2", logvar2)
    _check_pair("mean1", mean1, "mean2", mean2)
    return _jsg((mean1, logvar1, mean2, logvar2), alpha, dual, convention, backend, reduction)


def _jsg(tensors, alpha, dual, convention, backend, reduction):
    for name, value, allowed in (
        ("convention", convention, CONVENTIONS),
        ("backend", backend, BACKENDS),
        ("reduction", reduction, REDUCTIONS),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    tensors = torch.broadcast_tensors(*tensors)
    batch = tensors[0].shape[:-1]
    alpha = _alpha(alpha, batch, tensors[0].device)
    if backend == "auto":
        backend = "triton" if tensors[0].is_cuda else "eager"
    rows = [t.reshape(-1, t.shape[-1]) for t in tensors]
    rows = [t if t.stride(-1) == 1 else t.contiguous() for t in rows]  # the kernel steps by one along a row
    rows += [None] * (4 - len(rows))
    value = _Rows.apply(*rows, alpha, bool(dual), convention == "deasy", _implementation(backend))
    value = value.reshape(batch)
    return {"none": lambda: value, "mean": value.mean, "sum": value.sum}[reduction]()


class _Rows(torch.autograd.Function):
    """Value per row; the gradients come out of the same pass and wait for the backward."""

    @staticmethod
    def forward(ctx, mean1, logvar1, mean2, logvar2, alpha, dual, reverse, implementation):
        grad = any(ctx.needs_input_grad)
        value, *gradients = implementation(mean1, logvar1, mean2, logvar2, alpha, dual=dual, reverse=reverse, grad=grad)
        if grad:
            ctx.save_for_backward(*gradients)
            ctx.alpha = alpha.shape, alpha.dtype
        return value

    @staticmethod
    def backward(ctx, by_value):  # pyright: ignore[reportIncompatibleMethodOverride]
        by_mean1, by_logvar1, by_logvar2, by_alpha = ctx.saved_tensors
        needed = ctx.needs_input_grad
        column = by_value[:, None]
        mean1 = column * by_mean1 if needed[0] else None
        logvar1 = column * by_logvar1 if needed[1] else None
        mean2 = -column * by_mean1 if needed[2] else None
        logvar2 = column * by_logvar2 if needed[3] else None
        alpha = None
        if needed[4]:
            shape, dtype = ctx.alpha
            alpha = (by_value * by_alpha).to(dtype)
            alpha = alpha.sum().reshape(shape) if shape.numel() == 1 else alpha
        gradients = (_once(gradient) for gradient in (mean1, logvar1, mean2, logvar2, alpha))
        return *gradients, None, None, None


class _Once(torch.autograd.Function):
    """A gradient that refuses to be differentiated again; torch alone would take it for a constant."""

    @staticmethod
    def forward(ctx, gradient):
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, by_gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError(
            "jsgmath.torch differentiates once, its gradients have no derivative; "
            "for a second one write the divergence in torch operations"
        )


def _once(gradient):
    if gradient is None or not torch.is_grad_enabled():
        return gradient
    return _Once.apply(gradient.detach().requires_grad_())


def _implementation(backend):
    if backend == "eager":
        return eager.rows
    from jsgmath.torch import kernels

    return kernels.rows


def _alpha(alpha, batch, device):
    """alpha as a tensor with one entry or one per row."""
    if isinstance(alpha, torch.Tensor):
        if not alpha.is_floating_point():
            raise TypeError(f"alpha must be a float or a floating-point tensor, got {alpha.dtype}")
        if alpha.device != device:
            raise ValueError(f"alpha is on {alpha.device} but mean on {device}; move it there")
        if alpha.numel() == 1:
            return alpha.reshape(1)
        try:
            return alpha.expand(batch).reshape(-1)
        except RuntimeError:
            raise ValueError(
                f"alpha of shape {tuple(alpha.shape)} must have one entry or one per row {tuple(batch)}"
            ) from None
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise TypeError(f"alpha must be a float or a tensor, got {type(alpha).__name__}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    return torch.full((1,), alpha, dtype=torch.float64, device=device)


def _check_pair(name1, tensor1, name2, tensor2):
    for name, tensor in ((name1, tensor1), (name2, tensor2)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, got {type(tensor).__name__}; jsgmath.jsg takes NumPy")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}")
        if tensor.ndim == 0 or tensor.shape[-1] == 0:
            raise ValueError(f"{name} must have shape (..., n) with n >= 1, got {tuple(tensor.shape)}")
    if tensor1.dtype != tensor2.dtype:
        raise TypeError(f"{name1} is {tensor1.dtype} but {name2} is {tensor2.dtype}; convert one of them")
    if tensor1.device != tensor2.device:
        raise ValueError(f"{name1} is on {tensor1.device} but {name2} on {tensor2.device}; move one of them")
    if tensor1.shape[-1] != tensor2.shape[-1]:
        raise ValueError(f"{name1} has dimension {tensor1.shape[-1]} but {name2} has {tensor2.shape[-1]}")
    try:
        torch.broadcast_shapes(tensor1.shape, tensor2.shape)
    except RuntimeError:
        raise ValueError(
            f"{name1} of shape {tuple(tensor1.shape)} and {name2} of {tuple(tensor2.shape)} do not broadcast"
        ) from None
