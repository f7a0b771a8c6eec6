"""`low_rank` in torch: its matrix functions, the spectral one with derivatives that exist at equal eigenvalues."""

from typing import Any

import torch
from torch import Tensor

from jsgmath.families.low_rank import Matrices
from jsgmath.torch.eager import diagonal
from jsgmath.torch.typed import Function, cholesky, eigvalsh, linalg, solve


class Spectral(Function):
    """Sum of g, or gs, over the eigenvalues of ``A gram``, as a function of these two.

    The derivative of g is ``x/(1+x)``, that of gs ``x/(1+x)^2``, of a matrix as of a number.
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

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        A, gram = ctx.saved_tensors
        x = A @ gram
        k = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) + x
        slope = solve(k, x)
        if ctx.dual:
            slope = solve(k, slope)
        factor = upstream[0][..., None, None]
        return factor * (gram @ slope).mT, factor * (slope @ A).mT, None, None


def size(matrix: Tensor) -> Tensor:
    if matrix.numel() == 0:
        return matrix.new_zeros(*matrix.shape[:-2], 1)
    return matrix.detach().abs().amax((-2, -1))[..., None]


TORCH = Matrices(
    double=Tensor.double,
    eye=lambda n, like: torch.eye(n, dtype=like.dtype, device=like.device),
    zeros=lambda shape, like: like.new_zeros(shape),
    cholesky=cholesky,
    solve=solve,
    logdet=lambda x: torch.slogdet(x)[1],
    concatenate=lambda tensors: torch.cat(tensors, -1),
    size=size,
    spectral=Spectral.apply,
)
