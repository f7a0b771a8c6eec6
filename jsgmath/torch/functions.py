"""The public functions for torch tensors: they check the arguments and turn batches into rows."""

from collections.abc import Iterable, Sequence
from functools import reduce
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active  # pyright: ignore[reportPrivateUsage]

from jsgmath import native
from jsgmath.families.libraries.tensors import check_kind
from jsgmath.hints import CONVENTIONS, Convention
from jsgmath.torch.autograd import (
    OnePass,
    apply_divergence,
    compiled_divergence,
    compiled_plainly,
    divergence,
    wants_gradients,
    with_check,
)
from jsgmath.torch.typed import Alpha, broadcast_shapes, forward_mode, traced, watched

Backend = Literal["auto", "eager", "native", "triton"]
Reduction = Literal["none", "mean", "sum"]
Direction = Literal["qp", "pq"]

BACKENDS = ("auto", "eager", "native", "triton")
REDUCTIONS = ("none", "mean", "sum")
DIRECTIONS = {"qp": 0.0, "pq": 1.0}


def jsg_standard_normal(
    mean: Tensor, logvar: Tensor, alpha: Alpha, *,
    dual: bool = False, convention: Convention = "deasy", backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    r"""JSG, or its dual, from ``N(mean, diag(exp(logvar)))`` to ``N(0, I)``, in nats [1, eqs. 23-26].

    Args:
        mean, logvar: tensors of shape ``(..., n)``, of one floating type and device.  Rows may be strided, as
            ``chunk(2, -1)`` leaves them.
        alpha: weight of ``N(0, I)`` in [0, 1]; a float, or a tensor with one entry or one per row.  A tensor on a
            GPU is not checked, because that would make the host wait, except in compiled programs, where CUDA reports
            the error later.
        dual: JSG* [1, eq. 10] instead of JSG [1, eq. 8].
        convention: ``"deasy"`` or ``"nielsen"``, as in `jsgmath.jsg`.  With ``"deasy"`` and q for the first Gaussian,
            JSG is KL(q||p) at alpha 0 [1, eq. 3] and KL(p||q) at alpha 1 [1, eq. 4].
        backend: ``"triton"`` computes values and gradients in one kernel, on CUDA or ROCm tensors, or on a CPU in
            Triton's interpreter if ``TRITON_INTERPRET=1`` was set.  ``"native"`` computes them in one pass by the
            compiled core, on a CPU.  ``"eager"`` uses torch operations.  ``"auto"`` takes triton for CUDA and ROCm
            tensors, native for tensors on a CPU if there is a core (``python -m jsgmath`` says so), and else eager.
        reduction: ``"none"`` returns one value per row, summed over the last axis; ``"mean"`` and ``"sum"`` reduce
            these to a scalar.  If you call ``backward()`` on that scalar itself, the backward pass costs nothing.

    Returns:
        Shape ``(...)``, or a scalar, in the type of the inputs; float32 under autocast.  float16 and bfloat16 are
        computed in float32 and rounded once.  Derivatives of every order by mean, logvar and alpha exist, in reverse
        and in forward mode.  The function works under `torch.compile`, `torch.func` and autocast, and in CUDA graphs.

    Raises:
        TypeError, ValueError: an argument is not valid; the message names it.

    Accuracy: ``"native"`` rounds each value and gradient once, with an error of at most 0.51 ulp in float32 and 1 ulp
    in float64, gradients in ulp of the sum of the sizes of their terms (``tests/torch/test_native.py``).  The other
    backends are within 16 ulp, for log-ratios of variances up to 80 (float32) or 600 (float64)
    (``tests/torch/test_diagonal.py``).  Native and eager values are right for all inputs: infinite only if the true
    value rounds to infinity, and NaN only for NaN.  Gradients are finite where the true ones are
    (``tests/torch/test_range.py``).  On a CPU, native and eager compute numbers out of proportion in NumPy's long
    double, if its range exceeds a double's: gradients are right there too, and limits at an infinite mean.  Programs of
    torch.compile do not.  The kernels clamp log-ratios to 87 (708): beyond, values may be finite where the true ones
    are infinite, and NaN at an infinite mean.  They need weights that are 0 or not tiny if the means are so far apart
    that KL overflows, and may give infinity in the last binades of the range.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> mean = torch.tensor([[1.0, 0.0]], requires_grad=True)
    >>> divergence = jsg_standard_normal(mean, torch.zeros(1, 2), 0.5)
    >>> divergence.tolist()
    [0.125]
    >>> divergence.sum().backward()
    >>> mean.grad.tolist()
    [[0.25, 0.0]]
    """
    return _divergence(("mean", "logvar"), (mean, logvar), alpha, dual, convention, backend, reduction)


def jsg_diagonal(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor, logvar2: Tensor, alpha: Alpha, *,
    dual: bool = False, convention: Convention = "deasy", backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    """JSG, or its dual, from ``N(mean1, diag(exp(logvar1)))`` to ``N(mean2, diag(exp(logvar2)))``, in nats.

    All four tensors have shape ``(..., n)`` and broadcast [1, eqs. 8-13].  For the other arguments, the result, the
    errors and the accuracy see `jsg_standard_normal`.

    >>> zero = torch.zeros(2)
    >>> jsg_diagonal(zero, zero, torch.ones(2), zero, 0.5, dual=True).item()
    0.25
    """
    names = "mean1", "logvar1", "mean2", "logvar2"
    return _divergence(names, (mean1, logvar1, mean2, logvar2), alpha, dual, convention, backend, reduction)


def kl_standard_normal(
    mean: Tensor, logvar: Tensor, *,
    direction: Direction = "qp", backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    """KL between ``q = N(mean, diag(exp(logvar)))`` and ``p = N(0, I)``, in nats, computed by the kernel of JSG.

    Args:
        direction: ``"qp"`` for KL(q||p) [1, eq. 3], which is JSG at alpha 0; ``"pq"`` for KL(p||q) [1, eq. 4], which
            is JSG at alpha 1.

    For the other arguments, the result, the errors and the accuracy see `jsg_standard_normal`.

    >>> kl_standard_normal(torch.ones(2), torch.zeros(2)).item()
    1.0
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be 'qp' or 'pq', got {direction!r}")
    return jsg_standard_normal(mean, logvar, DIRECTIONS[direction], backend=backend, reduction=reduction)


def kl_diagonal(
    mean1: Tensor, logvar1: Tensor, mean2: Tensor, logvar2: Tensor, *,
    backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    """KL(N1||N2) in nats [1, eq. 2], computed by the kernel of JSG.

    The Gaussians are ``N1 = N(mean1, diag(exp(logvar1)))`` and ``N2 = N(mean2, diag(exp(logvar2)))``.  For KL(N2||N1)
    exchange them.  For the arguments, the result, the errors and the accuracy see `jsg_diagonal`.

    >>> zero = torch.zeros(2)
    >>> kl_diagonal(zero, zero, torch.ones(2), zero).item()
    1.0
    """
    return jsg_diagonal(mean1, logvar1, mean2, logvar2, 0.0, backend=backend, reduction=reduction)


def jsg_full(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool = False, convention: Convention = "deasy", backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    """JSG, or its dual, from ``N(mean1, tril1 tril1^T)`` to ``N(mean2, tril2 tril2^T)``, in nats [1, eqs. 8-13].

    Args:
        mean1, mean2: tensors of shape ``(..., n)``.
        tril1, tril2: Cholesky factors of the covariances, ``(..., n, n)``, with positive diagonals.  Entries above the
            diagonal are ignored, and their gradient is zero.
        backend: as in `jsg_standard_normal`.  The Triton kernels and the compiled core take n up to 64; above,
            ``"triton"`` and ``"native"`` use torch.linalg, which is faster there.

    The four tensors broadcast.  For the other arguments, the result and the errors see `jsg_standard_normal`.
    Gradients are right between equal Gaussians too, where those of an eigenvalue decomposition do not exist.

    Accuracy: the relative error is at most 16 + 4n eps for factors of condition up to a few hundred, and 16 eps between
    nearly equal Gaussians; at larger conditions it is at most n eps times the condition of the factors, not of the
    covariances (``tests/torch/test_full_condition.py``).  ``"native"`` computes in float64, so float32 results are
    within 1 ulp for conditions up to 1e4.  If both factors have a condition above 1e4, single values of JSG in float64
    with ``"nielsen"`` near an end of alpha may lose more; use `jsgmath.jsg` if that does not suffice.  The gradients
    also lose about n eps times the condition (``tests/torch/test_full_gradients.py``).  On a CPU, native and eager
    compute pairs again in NumPy's long double whose scales are up to 1e140 times others (1e16 in float32), so that
    gradients are not NaN (``tests/torch/test_range.py``); Triton's kernels do not.

    Speed: with gradients, on one thread in float32, ``"native"`` takes 0.16 of the textbook's time for 128 pairs of
    n = 4, at most 0.06 for 128 of n = 16, 0.03 for 1024 of n = 8, and about 0.9 for 64 of n = 64.

    >>> eye, mean = torch.eye(2), torch.zeros(2, requires_grad=True)
    >>> divergence = jsg_full(mean, eye, torch.ones(2), eye, 0.5)
    >>> divergence.backward()
    >>> divergence.item(), mean.grad.tolist()
    (0.25, [-0.25, -0.25])
    """
    names = "mean1", "tril1", "mean2", "tril2"
    return _divergence(names, (mean1, tril1, mean2, tril2), alpha, dual, convention, backend, reduction, "full")


def kl_full(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, *,
    backend: Backend = "auto", reduction: Reduction = "none",
) -> Tensor:  # fmt: skip
    """KL(N1||N2) in nats [1, eq. 2], computed by the kernel of JSG.

    The Gaussians are ``N1 = N(mean1, tril1 tril1^T)`` and ``N2 = N(mean2, tril2 tril2^T)``.  For KL(N2||N1) exchange
    them.  For the arguments, the result, the errors and the accuracy see `jsg_full`.

    >>> kl_full(torch.zeros(2), torch.eye(2), torch.ones(2), torch.eye(2)).item()
    1.0
    """
    return jsg_full(mean1, tril1, mean2, tril2, 0.0, backend=backend, reduction=reduction)


def _divergence(
    names: Sequence[str], tensors: Sequence[Tensor], alpha: Alpha, dual: bool, convention: Convention,
    backend: Backend, reduction: Reduction, covariances: Literal["diagonal", "full"] = "diagonal",
) -> Tensor:  # fmt: skip
    """The divergence of the tensors with these names, which alternate between means and scales."""
    check_options(convention, backend, reduction)
    batch, (mean1, scale1, mean2, scale2), dtype = rows_of(names, tensors)
    alpha, alphas = alpha_of(alpha, batch, mean1.device)
    backend = chosen(backend, (mean1, scale1, mean2, scale2, alphas))
    inputs = mean1, scale1, mean2, scale2, alphas
    options = alpha, bool(dual), convention == "deasy", f"{backend}.{covariances}"
    if compiled_plainly(inputs):
        value = compiled_divergence(*inputs, *options)
    elif torch.compiler.is_compiling() or _are_functorch_transforms_active() or watched() or forward_mode():
        value = apply_divergence(*inputs, *options)
    elif wants_gradients(inputs):
        scale = 1.0 / max(batch.numel(), 1) if reduction == "mean" else 1.0
        value = OnePass.apply(*inputs, *options, scale)
    else:
        value = divergence(*inputs, *options)
    return reduced(value, batch, reduction, dtype)


def chosen(backend: Backend, tensors: Iterable[Tensor | None]) -> Backend:
    """Returns the backend that ``"auto"`` stands for.

    Subclasses of Tensor, such as fake tensors, get torch operations, because they define these for themselves.
    """
    if backend != "auto":
        if backend in ("native", "triton") and traced():
            raise ValueError(f"torch.jit.trace needs backend='eager' or 'auto', got {backend!r}")
        return backend
    if traced():
        return "eager"
    first, *others = (x for x in tensors if x is not None)
    if first.is_cuda:
        return "triton"
    plain = first.is_cpu and all(type(x) in (Tensor, torch.nn.Parameter) for x in (first, *others))
    return "native" if plain and native.CORE is not None else "eager"


def check_options(convention: str, backend: str, reduction: str) -> None:
    for name, value, allowed in (
        ("convention", convention, CONVENTIONS),
        ("backend", backend, BACKENDS),
        ("reduction", reduction, REDUCTIONS),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def rows_of(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[torch.Size, list[Any], torch.dtype]:
    """The batch shape, four tensors as rows (None for those of N(0, I)), and the type of the result."""
    first = tensors[0]
    for name, tensor in zip(names, tensors, strict=True):
        _check_tensor(name, tensor, names[0], first)
    dtype, device = first.dtype, first.device.type
    # torch.compile of torch 2.11 cannot trace `is_autocast_available`.
    available = torch.compiler.is_compiling() or torch.amp.is_autocast_available(device)
    autocast = available and torch.is_autocast_enabled(device)
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.dtype != dtype and not autocast:
            raise TypeError(f"{names[0]} is {dtype} but {name} is {tensor.dtype}; convert one of them")
    if autocast:
        if any(tensor.dtype != dtype for tensor in tensors):
            tensors = [tensor.to(_widest(tensors)) for tensor in tensors]
        dtype = torch.promote_types(_widest(tensors), torch.float32)

    axes = [2 if name.startswith("tril") else 1 for name in names]
    shapes = [tensor.shape[: tensor.ndim - k] for tensor, k in zip(tensors, axes, strict=True)]
    batch = shapes[0]
    if len(batch) != 1 or any(shape != batch for shape in shapes):
        try:
            batch = broadcast_shapes(*shapes)
        except RuntimeError:
            given = " and ".join(f"{name} of {tuple(x.shape)}" for name, x in zip(names, tensors, strict=True))
            raise ValueError(f"batch shapes must broadcast, got {given}") from None
        events = [tensor.shape[-k:] for tensor, k in zip(tensors, axes, strict=True)]
        tensors = [
            tensor.expand(batch + event).reshape(-1, *event) for tensor, event in zip(tensors, events, strict=True)
        ]
    # The kernels need unit stride along the last axis.
    rows = [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in tensors]
    return batch, rows + [None] * (4 - len(rows)), dtype


def reduced(value: Tensor, batch: torch.Size, reduction: Reduction, dtype: torch.dtype) -> Tensor:
    """Gives the values of rows the shape of the batch, or reduces them; converts the result to ``dtype``."""
    if value.shape != batch:
        value = value.reshape(batch)
    if reduction != "none":
        value = value.mean() if reduction == "mean" else value.sum()
    return value if value.dtype == dtype else value.to(dtype)


def _widest(tensors: Iterable[Tensor]) -> torch.dtype:
    return reduce(torch.promote_types, (tensor.dtype for tensor in tensors))


def alpha_of(alpha: object, batch: torch.Size, device: torch.device) -> tuple[float, Tensor | None]:
    """Returns alpha as a number and None, or 0 and a tensor with one entry or one per row."""
    if isinstance(alpha, torch.Tensor):
        check_kind("alpha", alpha)
        if alpha.device != device:
            raise ValueError(f"alpha is on {alpha.device} but mean on {device}; move it there")
        alpha = with_check(alpha)
        if alpha.numel() == 1:
            return 0.0, alpha.reshape(1)
        try:
            return 0.0, alpha.expand(batch).reshape(-1)
        except RuntimeError:
            raise ValueError(
                f"alpha of shape {tuple(alpha.shape)} must have one entry or one per row {tuple(batch)}"
            ) from None
    if isinstance(alpha, bool) or not isinstance(alpha, Real | torch.SymFloat):
        raise TypeError(f"alpha must be a float or a tensor, got {type(alpha).__name__}")
    number: Any = alpha  # Real has no type hints for arithmetic
    if torch.compiler.is_compiling():  # a number or the result of a comparison would become a constant
        return 0.0, with_check(torch.ones(1, dtype=torch.float64, device=device).mul(number))
    if not 0 <= number <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    return float(number), None


def _check_tensor(name: str, tensor: object, first_name: str, first: Tensor) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(tensor).__name__}; jsgmath.jsg takes NumPy")
    check_kind(name, tensor)
    axes = 2 if name.startswith("tril") else 1
    if tensor.ndim < axes or tensor.shape[-1] == 0 or tensor.shape[-axes] != tensor.shape[-1]:
        wanted = "(..., n)" if axes == 1 else "(..., n, n)"
        raise ValueError(f"{name} must have shape {wanted} with n >= 1, got {tuple(tensor.shape)}")
    if tensor.shape[-1] != first.shape[-1]:
        raise ValueError(f"{first_name} has dimension {first.shape[-1]} but {name} has {tensor.shape[-1]}")
    if tensor.device != first.device:
        raise ValueError(f"{first_name} is on {first.device} but {name} on {tensor.device}; move one of them")
