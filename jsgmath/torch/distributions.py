"""Gaussians with full covariances for torch, as the functions of `jsgmath` use them."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, distributions

from jsgmath.checks import check_dimensions, check_pair
from jsgmath.families import Normal
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries.arithmetic import total
from jsgmath.families.low_rank import LowRankMultivariateNormal
from jsgmath.hints import Convention
from jsgmath.torch.functions import jsg_full
from jsgmath.torch.typed import broadcast_shapes, broadcast_tensors, cholesky, solve_triangular


class MultivariateNormal(Distribution):
    """Means ``(..., n)`` and Cholesky factors ``(..., n, n)``; results have the type of the means."""

    library = "torch"
    event_dim = 1
    mean: Tensor
    scale_tril: Tensor

    def __init__(self, mean: Tensor, scale_tril: Tensor):
        self.mean, self.scale_tril = mean, scale_tril

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts a diagonal or a low-rank Gaussian; any other distribution is returned unchanged."""
        if isinstance(other, LowRankMultivariateNormal):
            return cls(other.mean, other.scale_tril())
        if not isinstance(other, Normal):
            return other
        mean, std = broadcast_tensors(*other.parameters.values())
        if other.event_dim == 0:
            mean, std = mean[..., None], std[..., None]
        elif other.event_dim > 1:
            mean, std = (x.flatten(-other.event_dim) for x in (mean, std))
        return cls(mean, torch.diag_embed(std))

    @property
    def batch_shape(self) -> torch.Size:
        return broadcast_shapes(self.mean.shape[:-1], self.scale_tril.shape[:-2])

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        mean, tril, batch = self.mean, self.scale_tril, self.batch_shape
        return type(self)(mean.expand(*batch, -1)[index], tril.expand(*batch, -1, -1)[index])

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Tensor:
        """JSG or JSG* between two batches."""
        check_pair(self, other)
        check_dimensions(self.mean.shape[-1], other.mean.shape[-1])
        m, tensors = self.arithmetic, (self.mean, self.scale_tril, other.mean, other.scale_tril)
        dtype, work = m.result_type(self.mean, other.mean), m.result_type(*tensors)
        mean1, tril1, mean2, tril2 = (x.to(work) for x in tensors)
        if isinstance(alpha, Tensor) and alpha.ndim:  # jsg_full takes one alpha per row
            batch = broadcast_shapes(mean1.shape[:-1], mean2.shape[:-1], alpha.shape)
            mean1, alpha = mean1.expand(*batch, -1), alpha.expand(batch)
        return jsg_full(mean1, tril1, mean2, tril2, alpha, dual=dual, convention=convention).to(dtype)

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The normalised geometric mean [1, eqs. 12-13]."""
        m = self.arithmetic
        w = m.array(m.weight("weight", weight, self.mean), self.mean)
        return self.product([self, other], [1 - w, w])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Tensor]) -> Self:
        """The normalised geometric mean of any number of members; the mean of largest weight is used as the origin."""
        m = members[0].arithmetic
        dtype = m.result_type(*(N.mean for N in members), *(N.scale_tril for N in members))
        origin, largest = members[0].mean, weights[0][..., None]
        for N, w in zip(members[1:], weights[1:], strict=True):
            origin = torch.where(w[..., None] > largest, N.mean, origin)
            largest = torch.maximum(w[..., None], largest)
        weights = [w.to(dtype)[..., None, None] for w in weights]
        precisions = [w * torch.cholesky_inverse(N.scale_tril.to(dtype)) for w, N in zip(weights, members, strict=True)]
        P = torch.stack(broadcast_tensors(*precisions)).sum(0)
        force = total(S @ (N.mean - origin)[..., None] for S, N in zip(precisions, members, strict=True))
        # The factor of the covariance is computed from that of the precision with rows and columns in reverse order.
        reversed_factor = cholesky(P.flip(-2, -1)).flip(-2, -1).mT
        eye = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device)
        tril = solve_triangular(reversed_factor, eye.expand_as(P), upper=False)
        return cls(origin + (tril @ (tril.mT @ force))[..., 0], tril)

    def to_library(self) -> distributions.MultivariateNormal:
        return distributions.MultivariateNormal(self.mean, scale_tril=self.scale_tril)
