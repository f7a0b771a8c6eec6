"""Distributions that are of one exponential family under another name, against torch's own KL or that of the family."""

import itertools

import numpy as np
import pytest
import scipy.stats as st
import torch
from torch import distributions as td

from jsgmath import geometric_mean, jsg, kl, pairwise
from jsgmath.families import Bernoulli, Exponential, Gamma, Geometric

P, Q = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([0.6, 0.15, 0.25]).double()
X, Y = torch.tensor([0.5, 2.0, 7.0]).double(), torch.tensor([1.5, 2.5, 0.25]).double()
EYE = torch.eye(2).double()
V = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()

SAME_AS_TORCH = {
    "OneHotCategorical": (td.OneHotCategorical(P), td.OneHotCategorical(Q)),
    "LogNormal": (td.LogNormal(P, X), td.LogNormal(Q, Y)),
    "a transformed normal": tuple(
        td.TransformedDistribution(td.Normal(m, s), [td.ExpTransform(), td.AffineTransform(1.0, 2.0)])
        for m, s in ((P, X), (Q, Y))
    ),
    "Independent LogNormal": tuple(td.Independent(td.LogNormal(m, s), 1) for m, s in ((P, X), (Q, Y))),
    "Independent MultivariateNormal": tuple(
        td.Independent(td.MultivariateNormal(x[:, None] * torch.ones(2).double(), s), 1) for x, s in ((P, V), (Q, EYE))
    ),
    "Binomial": (td.Binomial(5, P), td.Binomial(5, Q)),
    "Pareto of one scale": (td.Pareto(2.0, X), td.Pareto(2.0, Y)),
    "HalfNormal": (td.HalfNormal(X), td.HalfNormal(Y)),
    "Laplace of one location": (td.Laplace(1.0, X), td.Laplace(1.0, Y)),
    "Wishart": (td.Wishart(torch.tensor(4.0).double(), V), td.Wishart(torch.tensor(4.0).double(), EYE)),
    "an exponential and a gamma": (td.Exponential(X), td.Gamma(Y, P)),
    "a gamma and an exponential": (td.Gamma(Y, P), td.Exponential(X)),
}


@pytest.mark.parametrize(("first", "second"), SAME_AS_TORCH.values(), ids=SAME_AS_TORCH)
def test_kl_is_torchs(first, second):
    # Both round in float64; torch's sums of logarithms cancel up to two digits.
    torch.testing.assert_close(kl(first, second), td.kl_divergence(first, second), rtol=1e-12, atol=1e-14)


PAIRS = {
    "InverseGamma": (lambda a, b: td.InverseGamma(a, b), lambda a, b: td.Gamma(a, b)),
    "Chi2": (lambda a, _: td.Chi2(a), lambda a, _: td.Gamma(a / 2, torch.full_like(a, 0.5))),
    "Weibull of one shape": (
        lambda a, _: td.Weibull(a, torch.full_like(a, 2.0)),
        lambda a, _: td.Exponential(a**-2),
    ),
    "NegativeBinomial": (
        lambda _, p: td.NegativeBinomial(3, p),
        lambda _, p: Geometric(probs=1 - p).repeated(3),
    ),
    "Beta and Dirichlet": (lambda a, b: td.Beta(a, b), lambda a, b: td.Dirichlet(torch.stack([a, b], -1))),
    "Bernoulli and Categorical": (
        lambda _, p: td.Bernoulli(p),
        lambda _, p: td.Categorical(torch.stack([1 - p, p], -1)),
    ),
}


@pytest.mark.parametrize(("make", "same"), PAIRS.values(), ids=PAIRS)
def test_a_distribution_has_the_divergences_of_its_family(make, same):
    first, second = ((X, P), (Y, Q))
    expected = jsg(same(*first), same(*second), 0.3)
    torch.testing.assert_close(jsg(make(*first), make(*second), 0.3), expected, rtol=1e-13, atol=0)
    if isinstance(make(*first), td.Beta | td.Bernoulli):  # the two classes also pair with one another
        torch.testing.assert_close(jsg(make(*first), same(*second), 0.3), expected, rtol=1e-13, atol=0)


SCIPY = {
    "lognorm": (lambda x, y: st.lognorm(x, scale=y), lambda x, y: st.norm(np.log(y), x)),
    "nbinom": (lambda x, y: st.nbinom(4, y / 10), lambda x, y: Geometric(probs=y / 10).repeated(4)),
    "binom": (lambda x, y: st.binom(4, y / 10), lambda x, y: Bernoulli(probs=y / 10).repeated(4)),
    "laplace": (lambda x, y: st.laplace(1.0, y), lambda x, y: Exponential(scale=y)),
    "invgamma": (lambda x, y: st.invgamma(x, scale=y), lambda x, y: Gamma(shape=x, rate=y)),
    "pareto": (lambda x, y: st.pareto(x, scale=2.0), lambda x, y: Exponential(rate=x)),
    "weibull_min": (lambda x, y: st.weibull_min(2.0, scale=y), lambda x, y: Exponential(scale=y**2)),
    "halfnorm": (lambda x, y: st.halfnorm(scale=y), lambda x, y: st.norm(0.0 * y, y)),
}


@pytest.mark.parametrize(("make", "same"), SCIPY.values(), ids=SCIPY)
def test_scipys_distributions_have_the_divergences_of_their_family(make, same):
    first, second = (X.numpy(), Q.numpy()), (Y.numpy(), P.numpy())
    expected = jsg(same(*first), same(*second), 0.3)
    np.testing.assert_array_equal(jsg(make(*first), make(*second), 0.3), expected)
    assert (expected > 0).all()


def test_repeated_draws_multiply_a_divergence():
    np.testing.assert_allclose(kl(st.binom(4, 0.2), st.binom(4, 0.4)), 4 * kl(st.bernoulli(0.2), st.bernoulli(0.4)))
    W = [st.wishart(5, v.numpy()) for v in (V, EYE)]
    N = [st.multivariate_normal(np.zeros(2), v.numpy()) for v in (V, EYE)]
    assert jsg(*W, 0.3) == pytest.approx(5 * jsg(*N, 0.3), rel=1e-15)


def test_the_geometric_mean_of_images_is_an_image():
    G = geometric_mean(td.LogNormal(0.0, 1.0), td.LogNormal(1.0, 1.0), 0.5)
    assert kl(G, td.TransformedDistribution(td.Normal(0.5, 1.0), [td.ExpTransform()])).item() == 0
    with pytest.raises(TypeError, match="no class for the geometric mean of laplace"):
        geometric_mean(st.laplace(0.0, 1.0), st.laplace(0.0, 2.0), 0.5)


def test_pairwise_takes_images():
    matrix = pairwise([td.LogNormal(float(m), 1.0) for m in range(3)], 0.3)
    torch.testing.assert_close(matrix, pairwise([td.Normal(float(m), 1.0) for m in range(3)], 0.3), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_same_gaussian_in_two_forms_is_at_a_distance_of_zero_or_of_the_rounding_of_its_form(dtype):
    """A covariance and its factor give exactly 0.

    A low rank's roots of D, and torch's inverse of a precision of condition up to 1e2, round the covariance: the square
    of that is left.  0.12 eps^2 and 1e3 eps^2 were measured over 40 such Gaussians.
    """
    generator, eps = torch.Generator().manual_seed(0), torch.finfo(dtype).eps
    for n in (2, 5):
        A, mean, std = (torch.rand(*shape, generator=generator, dtype=dtype) + 0.3 for shape in ((n, n), (n,), (n,)))
        cov = A @ A.mT + torch.eye(n, dtype=dtype)
        full = td.MultivariateNormal(mean, cov)
        assert kl(full, td.MultivariateNormal(mean, scale_tril=torch.linalg.cholesky(cov))) == 0
        assert kl(full, td.MultivariateNormal(mean, precision_matrix=torch.linalg.inv(cov))) <= 1e4 * eps**2
        forms = [
            td.Independent(td.Normal(mean, std), 1),
            td.MultivariateNormal(mean, torch.diag(std * std)),
            td.MultivariateNormal(mean, scale_tril=torch.diag(std)),
            td.LowRankMultivariateNormal(mean, torch.zeros(n, 1, dtype=dtype), std * std),
        ]
        for first, second in itertools.combinations(forms, 2):
            assert 0 <= kl(first, second) <= 2 * n * eps**2
            assert 0 <= kl(second, first) <= 2 * n * eps**2
