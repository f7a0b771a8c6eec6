"""More than two distributions of torch, against the same as `Gaussian`."""

import numpy as np
import pytest
import torch
from torch import distributions as td

from jsgmath import Gaussian, geometric_mean_many, jsg_extended, jsg_many
from tests.test_inputs import assert_refused, table
from tests.test_many import COVS, DIAGONAL, LOGVARS, MEANS, WEIGHTS, K


def test_torch_keeps_the_batch_of_independent_components():
    batch = td.Independent(td.Normal(*(torch.tensor(x) for x in (MEANS, np.exp(LOGVARS / 2)))), 1)
    held = [td.Independent(td.Normal(batch.mean + k, batch.stddev), 1) for k in range(3)]
    values = jsg_many(held, [0.5, 0.25, 0.25])
    expected = [
        jsg_many([Gaussian(N.mean[i].numpy(), std=N.stddev[i].numpy()) for N in held], [0.5, 0.25, 0.25])
        for i in range(K)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    assert geometric_mean_many(held, [0.5, 0.25, 0.25]).batch_shape == (K,)


HELD = {
    "Independent": lambda m, s, c: td.Independent(td.Normal(m, torch.exp(s / 2)), 1),
    "MultivariateNormal": lambda m, s, c: td.MultivariateNormal(m, c),
    "LowRankMultivariateNormal": lambda m, s, c: td.LowRankMultivariateNormal(m, c[:, :1], s.exp()),
}


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_torch_gives_the_same_with_gradients(make):
    parameters = [[torch.tensor(x) for x in y] for y in zip(MEANS, LOGVARS, COVS, strict=True)]
    held = [make(*x) for x in parameters]
    same = [
        Gaussian(x.mean.numpy(), cov=getattr(x, "covariance_matrix", torch.diag_embed(x.variance)).numpy())
        for x in held
    ]
    for dual in (False, True):
        for weights in (WEIGHTS, torch.tensor(WEIGHTS, dtype=torch.float64)):
            value = jsg_many(held, weights, mean_weights=weights, dual=dual)
            # float64 times the condition of about 100
            assert value.item() == pytest.approx(jsg_many(same, WEIGHTS, dual=dual), rel=1e-12)
    mean = geometric_mean_many(held, WEIGHTS)
    assert type(mean) is type(held[0])
    np.testing.assert_allclose(mean.mean, geometric_mean_many(same, WEIGHTS).mean, rtol=1e-12)

    def divergence(logits, *flat):
        weights = logits.softmax(0)  # only for weights whose sum is 1, because otherwise there is no divergence
        gaussians = [make(*x) for x in zip(flat[:K], flat[K : 2 * K], flat[2 * K :], strict=True)]
        return jsg_many(gaussians, weights)

    flat = [x[i].clone() for i in range(3) for x in parameters]
    flat[2 * K :] = [(x + x.T) / 2 for x in flat[2 * K :]]
    logits = torch.tensor(WEIGHTS, dtype=torch.float64).log().requires_grad_()
    for i in (0, K + 1):
        flat[i].requires_grad_()
    # A second backward pass computes the gradients again, and their last bits differ.
    assert torch.autograd.gradcheck(divergence, [logits, *flat], nondet_tol=1e-12)


NARROW = {
    "Normal": lambda mean: td.Normal(mean, mean * 0 + 1),
    "MultivariateNormal": lambda mean: td.MultivariateNormal(mean[None], torch.eye(1, dtype=mean.dtype)),
    "LowRankMultivariateNormal": lambda mean: td.LowRankMultivariateNormal(
        mean[None], 0 * mean[None, None], 1 + 0 * mean[None]
    ),
}


@pytest.mark.parametrize("make", NARROW.values(), ids=NARROW)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("place", range(4))
def test_a_gaussian_of_weight_zero_changes_no_result(make, dtype, place):
    """For means 0, 1, 2 and variance 1 the divergence is half the variance of the means."""
    means, weights = [0.0, 1.0, 2.0], [0.1, 0.2, 0.7]
    means.insert(place, 1e9)
    weights.insert(place, 0.0)
    held = [make(torch.tensor(m, dtype=dtype)) for m in means]
    tensor = torch.tensor(weights, dtype=dtype)
    for given in (weights, tensor, tensor.requires_grad_()):
        value, mean = jsg_many(held, given), geometric_mean_many(held, given).mean
        rel = 4 * torch.finfo(dtype).eps  # a few roundings of numbers of about one
        assert value.dtype == dtype
        assert value.item() == pytest.approx(0.22, rel=rel)
        assert mean.item() == pytest.approx(1.6, rel=rel)


@pytest.mark.parametrize("given", [[0.0, 0.5, 0.5, 0.0], torch.tensor([0.0, 0.5, 0.5, 0.0])], ids=["numbers", "tensor"])
def test_a_normal_of_weight_zero_whose_ratios_overflow_changes_no_result(given):
    held = [td.Normal(*map(torch.tensor, x)) for x in ((0.0, 1e-25), (0.0, 1.0), (1.0, 1.0), (1e30, 1e25))]
    assert jsg_many(held, given).item() == jsg_many(held, given, dual=True).item() == 0.125
    G = geometric_mean_many(held, given)
    assert (G.loc.item(), G.scale.item()) == (0.5, 1.0)


REFUSED = {
    "weights of torch": (
        lambda: jsg_many(DIAGONAL[:2], torch.tensor([0.5, 0.5])),
        TypeError,
        "weights are of torch | NumPy | convert",
    ),
    "a single Independent": (
        lambda: jsg_many(td.Independent(td.Normal(torch.zeros(3), torch.ones(3)), 1), [0.5, 0.25, 0.25]),
        TypeError,
        "sequence | batch | a single Independent",
    ),
    "two libraries": (
        lambda: jsg_many([DIAGONAL[0], td.Normal(torch.zeros(1), torch.ones(1))], [0.5, 0.5]),
        TypeError,
        "gaussians[0] is of NumPy | gaussians[1] of torch",
    ),
}


@table(REFUSED)
def test_bad_input_is_refused_with_its_reason(call, exception, fragments):
    assert_refused(call, exception, fragments)


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_a_single_gaussian_with_a_weight_is_the_mean(make):
    """In this case no other Gaussian makes the sum a tensor."""
    held = [make(*(torch.tensor(x[k]) for x in (MEANS, LOGVARS, COVS))) for k in range(2)]
    for weights in ([0.0, 1.0], [1, 0]):
        for dual in (False, True):
            assert jsg_many(held, weights, dual=dual).item() == pytest.approx(0, abs=1e-15)
    assert jsg_extended(held[0], held[0], 0.3).item() == pytest.approx(0, abs=1e-15)
    assert jsg_extended(*held, 0.3, dual=True) > 0
