"""The divergence as a module: the regulariser of a variational autoencoder."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from jsgmath.hints import Convention
from jsgmath.torch.functions import Backend, Reduction, alpha_of, check_options, jsg_diagonal, jsg_standard_normal
from jsgmath.torch.typed import Alpha, broadcast_tensors


class JSGLoss(nn.Module):
    r"""JSG, or its dual, between ``q(z|x) = N(mean, diag(exp(logvar)))`` and a prior, in place of a VAE's KL term.

    Args:
        alpha: weight of the prior in [0, 1].  With ``"deasy"``, 0 gives KL(q||p), the usual term, and 1 KL(p||q).
        dual: JSG* [1, eq. 10] instead of JSG [1, eq. 8].
        convention: ``"deasy"`` or ``"nielsen"``, as in `jsgmath.jsg`.
        learnable: whether alpha becomes a parameter, which a sigmoid keeps within (0, 1).  The property `alpha` and the
            representation show its current value.  Training moves it to where the divergence is least, which need not
            be where the model is best.
        prior: None for N(0, I), or ``(mean, logvar)``, two tensors that broadcast with those of the posterior.  A
            `torch.nn.Parameter` among them is trained; a plain tensor is a constant.
        dim: the axes of the latent variable, over which the divergence is summed: an int, or a tuple of ints such as
            ``(1, 2, 3)`` for the channels, rows and columns of a convolutional latent.  All other axes are the batch.
        backend, reduction: as in `jsg_standard_normal`, except that the default reduction is ``"mean"``.

    Raises:
        TypeError, ValueError: an argument is not valid; the message names it.

    Accuracy: that of `jsg_standard_normal`.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> loss = JSGLoss(alpha=0.5)
    >>> loss(mean=torch.tensor([[1.0, 0.0], [0.0, 0.0]]), logvar=torch.zeros(2, 2)).item()
    0.0625
    >>> JSGLoss(0.3, dual=True, learnable=True)
    JSGLoss(alpha=0.3, learnable, prior=N(0, I), dual=True, convention='deasy', backend='auto', reduction='mean')
    """

    logit: nn.Parameter | None
    prior_mean: Tensor | None
    prior_logvar: Tensor | None

    def __init__(
        self,
        alpha: float = 0.3,
        dual: bool = False,
        convention: Convention = "deasy",
        learnable: bool = False,
        prior: tuple[Tensor, Tensor] | None = None,
        *,
        dim: int | Sequence[int] = -1,
        backend: Backend = "auto",
        reduction: Reduction = "mean",
    ):
        super().__init__()
        check_options(convention, backend, reduction)
        number, tensor = alpha_of(alpha, torch.Size(), torch.device("cpu"))
        if tensor is not None:
            raise TypeError("alpha must be a float here; learnable=True makes it a parameter")
        if learnable and not 0 < number < 1:
            raise ValueError(f"alpha must lie inside (0, 1) to be learnable, got {alpha}")
        self.logit = nn.Parameter(torch.tensor(math.log(number / (1 - number)))) if learnable else None
        self.fixed_alpha = number
        self.options: dict[str, Any] = dict(dual=dual, convention=convention, backend=backend, reduction=reduction)
        self.dim = _checked_dim(dim)
        _check_prior(prior)
        for name, x in zip(("prior_mean", "prior_logvar"), prior or (None, None), strict=True):
            if isinstance(x, nn.Parameter):
                self.register_parameter(name, x)
            else:
                self.register_buffer(name, x)

    @property
    def alpha(self) -> Alpha:
        """The weight of the prior: a number, or if it is learnable a tensor that requires gradients."""
        return self.fixed_alpha if self.logit is None else self.logit.sigmoid()

    def forward(self, mean: Tensor, logvar: Tensor) -> Tensor:
        """The divergence in nats of posteriors, by default averaged over the batch."""
        if self.prior_mean is None or self.prior_logvar is None:
            mean, logvar = self._latent_last(mean, logvar)
            return jsg_standard_normal(mean, logvar, self.alpha, **self.options)
        mean1, logvar1, mean2, logvar2 = self._latent_last(mean, logvar, self.prior_mean, self.prior_logvar)
        return jsg_diagonal(mean1, logvar1, mean2, logvar2, self.alpha, **self.options)

    def _latent_last(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Moves the latent axes of tensors to the end and merges them."""
        if self.dim == (-1,):
            return tensors
        tensors = broadcast_tensors(*tensors)
        shape = tuple(tensors[0].shape)
        axes = {axis + len(shape) if axis < 0 else axis for axis in self.dim}
        if len(axes) < len(self.dim) or not all(0 <= axis < len(shape) for axis in axes):
            raise ValueError(f"dim must name different axes of the latent of shape {shape}, got {self.dim}")
        count, order = len(axes), [*(axis for axis in range(len(shape)) if axis not in axes), *sorted(axes)]
        return [x.permute(order).flatten(-count) for x in tensors]

    def extra_repr(self) -> str:
        learnable = ", learnable" if self.logit is not None else ""
        prior = "N(0, I)" if self.prior_mean is None else f"diagonal {tuple(self.prior_mean.shape)}"
        dim = "" if self.dim == (-1,) else f"dim={self.dim}, "
        options = dim + ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"alpha={torch.as_tensor(self.alpha).item():.6g}{learnable}, prior={prior}, {options}"


def _checked_dim(dim: object) -> tuple[int, ...]:
    axes: tuple[Any, ...] = tuple(dim) if isinstance(dim, tuple | list) else (dim,)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if not axes or any(isinstance(axis, bool) or not isinstance(axis, Integral) for axis in axes):
        raise TypeError(f"dim must be an int or a tuple of ints, got {dim!r}")
    return tuple(int(axis) for axis in axes)


def _check_prior(prior: Sequence[object] | None) -> None:
    if prior is not None and (
        not isinstance(prior, tuple | list) or len(prior) != 2 or not all(isinstance(x, Tensor) for x in prior)
    ):
        raise TypeError(f"prior must be None or (mean, logvar), two tensors, got {type(prior).__name__}")
