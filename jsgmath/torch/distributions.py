"""Gaussians of full covariance as `torch.distributions` holds them, for the functions of `jsgmath`."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, distributions

from jsgmath.families import Normal
from jsgmath.families.arithmetic import total
from jsgmath.families.distribution import Distribution
from jsgmath.families.low_rank import LowRank
from jsgmath.hints import Convention
from jsgmath.torch.arithmetic import TORCH, result_type
from jsgmath.torch.functions import jsg_full
from jsgmath.torch.typed import broadcast_shapes, broadcast_tensors, cholesky, solve_triangular


class Dense(Distribution):
    """Means ``(..., n)`` and Cholesky factors ``(..., n, n)``."""

    library = "torch"
    mean: Tensor
    tril: Tensor

    def __init__(self, mean: Tensor, tril: Tensor):
        self.mean, self.tril = mean, tril

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Tensor:
        """JSG, or its dual."""
        n1, n2 = self.mean.shape[-1], other.mean.shape[-1]
        if n1 != n2:
            raise ValueError(f"N1 has dimension {n1} but N2 has {n2}; divergences need equal dimensions")
        dtype = result_type(self.mean, other.mean)
        mean1, tril1, mean2, tril2 = (x.to(dtype) for x in (self.mean, self.tril, other.mean, other.tril))
        if isinstance(alpha, Tensor) and alpha.ndim:  # for each of which there is a row
            batch = broadcast_shapes(mean1.shape[:-1], mean2.shape[:-1], alpha.shape)
            mean1, alpha = mean1.expand(*batch, -1), alpha.expand(batch)
        return jsg_full(mean1, tril1, mean2, tril2, alpha, dual=dual, convention=convention)

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean [1, eqs. 12-13]."""
        w = TORCH.array(TORCH.weight("weight", weight, self.mean), self.mean)
        return self.product([self, other], [1 - w, w])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Tensor]) -> Self:
        """The normalised geometric mean of any number of members."""
        origin, dtype = members[0].mean, result_type(*(N.mean for N in members))
        weights = [w.to(dtype)[..., None, None] for w in weights]
        precisions = [w * torch.cholesky_inverse(N.tril) for w, N in zip(weights, members, strict=True)]
        P = torch.stack(broadcast_tensors(*precisions)).sum(0)
        force = total(S @ (N.mean - origin)[..., None] for S, N in zip(precisions, members, strict=True))
        # The factor of the inverse from that of the matrix turned round, without a product of two.
        turned = cholesky(P.flip(-2, -1)).flip(-2, -1).mT
        eye = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device)
        tril = solve_triangular(turned, eye.expand_as(P), upper=False)
        return cls(origin + (tril @ (tril.mT @ force))[..., 0], tril)

    def held(self) -> distributions.MultivariateNormal:
        return distributions.MultivariateNormal(self.mean, scale_tril=self.tril)


def dense(gaussian: Normal | LowRank) -> Dense:
    """The same as a `Dense`."""
    if isinstance(gaussian, LowRank):
        return Dense(gaussian.mean, cholesky(gaussian.covariance()))
    mean, std = broadcast_tensors(*gaussian.parameters.values())
    if gaussian.event == 0:
        mean, std = mean[..., None], std[..., None]
    elif gaussian.event > 1:
        mean, std = (x.flatten(-gaussian.event) for x in (mean, std))
    return Dense(mean, torch.diag_embed(std))
