"""Matrices of divergences between distributions of torch, against single divergences."""

import numpy as np
import pytest
import torch
from torch import distributions as td

from jsgmath import geometric_mean_many, jsg, jsg_many, pairwise

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("kind", ["Independent", "MultivariateNormal", "LowRankMultivariateNormal"])
def test_torch_gives_tensors_with_gradients(kind):
    means = torch.tensor(RNG.normal(size=(3, 2)), requires_grad=True)
    make = {
        "Independent": lambda m: td.Independent(td.Normal(m, 1.5), 1),
        "MultivariateNormal": lambda m: td.MultivariateNormal(m, 2 * torch.eye(2).double()),
        "LowRankMultivariateNormal": lambda m: td.LowRankMultivariateNormal(
            m, torch.ones(2, 1).double(), torch.ones(2).double()
        ),
    }[kind]
    distributions = [make(m) for m in means]
    matrix = pairwise(distributions, 0.5)
    assert matrix.shape == (3, 3)
    assert (matrix == matrix.mT).all()
    expected = torch.stack([torch.stack([jsg(x, y, 0.5) for y in distributions]) for x in distributions])
    torch.testing.assert_close(matrix, expected, rtol=1e-13, atol=0)
    matrix.sum().backward()
    by_hand = means.grad.clone()
    means.grad = None
    expected.sum().backward()
    torch.testing.assert_close(by_hand, means.grad, rtol=1e-12, atol=1e-15)


def test_a_batch_of_two_axes_is_refused():
    with pytest.raises(ValueError, match=r"gaussians has batch shape \(4, 3\), wanted \(K,\).*Independent"):
        pairwise(td.Normal(torch.zeros(4, 3), torch.ones(4, 3)), 0.5)


def test_a_batch_in_a_list_is_refused():
    with pytest.raises(ValueError, match=r"gaussians\[0\] has batch shape \(2,\), wanted \(\)"):
        pairwise([td.MultivariateNormal(torch.zeros(2, 3), torch.eye(3))], 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["MultivariateNormal", "LowRankMultivariateNormal"])
def test_a_batch_of_full_covariances_is_a_collection(kind, dtype):
    """`pairwise`, `jsg_many` and `geometric_mean_many` treat it like a list of its members."""
    means = torch.tensor(RNG.normal(size=(3, 2)), dtype=dtype)
    scales = (2 * torch.eye(2),) if kind == "MultivariateNormal" else (torch.ones(2, 1), torch.ones(2))
    batch = getattr(td, kind)(means, *(x.to(dtype) for x in scales))
    alone = [getattr(td, kind)(m, *(x.to(dtype) for x in scales)) for m in means]
    tolerance = {"rtol": 8 * torch.finfo(dtype).eps, "atol": 0}  # batched products may add in another order
    for others in (None, alone, batch):
        torch.testing.assert_close(pairwise(batch, 0.3, others), pairwise(alone, 0.3, others), **tolerance)
    weights = [0.25, 0.25, 0.5]
    torch.testing.assert_close(jsg_many(batch, weights), jsg_many(alone, weights), **tolerance)
    torch.testing.assert_close(geometric_mean_many(batch, weights).mean, geometric_mean_many(alone, weights).mean)
