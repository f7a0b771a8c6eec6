"""Gaussians with covariance ``D + W W^T`` for torch, with derivatives that exist at equal eigenvalues."""

from typing import Any

import torch
from torch import Tensor, distributions
from torch._C import _are_functorch_transforms_active  # pyright: ignore[reportPrivateUsage]

from jsgmath.families import low_rank
from jsgmath.torch.eager import diagonal
from jsgmath.torch.typed import Function, eigvalsh, linalg, solve, watched


class Spectral(Function):
    """The sum of g, or gs, over the eigenvalues of ``A gram``, as a function of A and gram.

    The derivative of g is ``x/(1+x)`` and that of gs is ``x/(1+x)^2``, for matrices as for numbers.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(A: Tensor, gram: Tensor, Y: Tensor, dual: bool) -> Tensor:
        R: Tensor = linalg.qr(Y, mode="r").R
        x = eigvalsh(R @ A @ R.mT).clamp(min=torch.finfo(A.dtype).eps - 1)
        return (diagonal.gs if dual else diagonal.g)(x, 1 + x, 1 + x, 0.0).sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        A, gram, _, ctx.dual = inputs
        ctx.save_for_backward(A, gram)
        ctx.save_for_forward(A, gram)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_A, by_gram = _slopes(ctx)
        factor = upstream[0][..., None, None]
        return factor * by_A, factor * by_gram, None, None


class Pushed(Spectral):
    """The same function with derivatives in forward mode, which torch.compile refuses."""

    @staticmethod
    def jvp(ctx: Any, A: Tensor | None, gram: Tensor | None, *_: Any) -> Tensor:
        terms = [
            (x * along).sum((-2, -1)) for x, along in zip(_slopes(ctx), (A, gram), strict=True) if along is not None
        ]
        return torch.stack(terms).sum(0)


def _slopes(ctx: Any) -> tuple[Tensor, Tensor]:
    """The derivatives of `Spectral` by A and gram."""
    A, gram = ctx.saved_tensors
    x = A @ gram
    k = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) + x
    slope = solve(k, x)
    if ctx.dual:
        slope = solve(k, slope)
    return (gram @ slope).mT, (slope @ A).mT


class LowRankMultivariateNormal(low_rank.LowRankMultivariateNormal):
    @staticmethod
    def spectral(A: Tensor, gram: Tensor, Y: Tensor, dual: bool) -> Tensor:
        return (Spectral if torch.compiler.is_compiling() else Pushed).apply(A, gram, Y, dual)

    @staticmethod
    def certain(condition: Tensor) -> bool:
        """Whether a condition is known to be true everywhere; False if that would wait for a device or a tracer."""
        if type(condition) is not Tensor or condition.device.type != "cpu" or watched():
            return False
        return not (torch.compiler.is_compiling() or _are_functorch_transforms_active()) and bool(condition.all())

    def to_library(self) -> distributions.LowRankMultivariateNormal:
        return distributions.LowRankMultivariateNormal(*self.arrays())
