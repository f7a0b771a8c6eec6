"""What the tests in torch are run with: backends, variants and random tensors."""

import itertools

import pytest
import torch
from torch.distributions import LowRankMultivariateNormal

VARIANTS = list(itertools.product((False, True), ("deasy", "nielsen")))
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
backends = pytest.mark.parametrize("backend", ["eager", "triton"])
# torch.compile's tracing calls what it means to replace.
traced = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def numbers(*shape, dtype=torch.float64, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_(grad)


def low_rank(mean, factor, diagonal):
    """One of torch's, in float64."""
    return LowRankMultivariateNormal(*(torch.as_tensor(x, dtype=torch.float64) for x in (mean, factor, diagonal)))
