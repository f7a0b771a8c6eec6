"""Importance sampling finds the evidence where it is known: of a linear Gaussian model, and of one pixel by quadrature.

The model is x = W z + b + noise of variance 1/2, the Gaussian likelihood of ``vae.likelihood``. The columns of W are
orthogonal, so that the exact posterior is diagonal, as q is.
"""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal
from torch.distributions import Normal, kl_divergence

from vae.evidence import binarise, bootstrap_interval, importance_sampling
from vae.likelihood import log_density

PIXELS, LATENT, IMAGES = 6, 3, 50


class LinearGaussian:
    """The model, some of its images, and their exact evidence and posterior."""

    def __init__(self):
        random = np.random.default_rng(0)
        columns = np.linalg.qr(random.standard_normal((PIXELS, LATENT)))[0]
        self.W = columns * [0.5, 1.0, 2.0]
        self.b = random.standard_normal(PIXELS)
        joint = multivariate_normal(self.b, self.W @ self.W.T + np.eye(PIXELS) / 2)
        # Not joint.rvs, whose draws depend on LAPACK.
        z, noise = random.standard_normal((IMAGES, LATENT)), random.standard_normal((IMAGES, PIXELS))
        self.x = z @ self.W.T + self.b + math.sqrt(0.5) * noise
        self.log_evidence = torch.from_numpy(joint.logpdf(self.x))
        # Bishop 2006, eqs. 2.116-117: precision I + 2 W^T W.
        variance = 1 / (1 + 2 * (self.W**2).sum(0))
        self.mean = torch.from_numpy(variance * (2 * (self.x - self.b) @ self.W))
        self.logvar = torch.from_numpy(np.log(variance)).expand(IMAGES, LATENT)

    def log_likelihood(self, z: torch.Tensor) -> torch.Tensor:
        """log p(x|z) of each image for its z, by a distribution that the library does not use."""
        mean = z @ torch.from_numpy(self.W.T) + torch.from_numpy(self.b)
        return Normal(mean, math.sqrt(0.5)).log_prob(torch.from_numpy(self.x)).sum(-1)

    def sample(self, mean: torch.Tensor, logvar: torch.Tensor, samples: int):
        noise = torch.from_numpy(np.random.default_rng(1).standard_normal((samples, IMAGES, LATENT)))
        return importance_sampling(self.log_likelihood, mean, logvar, noise)


@pytest.fixture(scope="module")
def model():
    return LinearGaussian()


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_the_exact_posterior_gives_the_exact_evidence_with_any_number_of_draws(model, samples):
    found = model.sample(model.mean, model.logvar, samples)
    # Every weight is p(x). Float64, sums of squares below 1e3 that cancel to about 10.
    torch.testing.assert_close(found.log_evidence, model.log_evidence, rtol=0, atol=1e-11)
    torch.testing.assert_close(
        found.effective_samples, torch.full_like(model.log_evidence, samples), rtol=1e-11, atol=0
    )


def broad(model: LinearGaussian):
    """The exact posterior with 1.7 times its variance, as q; the variance of its weights is known."""
    return model.mean, model.logvar + math.log(1.7)


def test_a_broader_posterior_gives_the_evidence_within_its_standard_error(model):
    samples = 2000
    found = model.sample(*broad(model), samples)
    # The relative variance of the mean weight, and so the variance of its log: 1 / ESS - 1 / K.
    standard_error = (1 / found.effective_samples - 1 / samples).sqrt()
    scores = (found.log_evidence - model.log_evidence) / standard_error
    assert (standard_error < 0.02).all()
    # 50 normal deviates: none beyond 4 (p = 0.003), their mean and variance within 4 of their deviations.
    assert (scores.abs() < 4).all()
    assert abs(scores.mean().item()) < 4 / math.sqrt(IMAGES)
    assert abs(scores.var().item() - 1) < 4 * math.sqrt(2 / IMAGES)


def test_the_effective_samples_of_a_broader_posterior_are_those_of_its_closed_form(model):
    samples = 2000
    found = model.sample(*broad(model), samples)
    # E_q[w]^2 / E_q[w^2] for q of c times the variance is sqrt(2 c - 1) / c for each dimension: 0.91 each here.
    expected = samples * (math.sqrt(2 * 1.7 - 1) / 1.7) ** LATENT
    # Seen: the 50 images deviate by 0.75 % from one another, so their mean by 0.11 %; 4 deviations.
    assert found.effective_samples.mean().item() == pytest.approx(expected, rel=0.0045)
    assert found.effective_samples.numpy() == pytest.approx(expected, rel=0.03)


def test_the_log_evidence_grows_with_the_number_of_draws_up_to_the_exact_one(model):
    mean, logvar = torch.zeros_like(model.mean), torch.zeros_like(model.logvar)  # the prior, a bad proposal
    means = [model.sample(mean, logvar, samples).log_evidence.mean().item() for samples in (1, 16, 256)]
    assert means == sorted(means)
    assert means[-1] < model.log_evidence.mean().item()
    assert means[-1] > model.log_evidence.mean().item() - 0.1  # it misses by 0.01, where one draw misses by 7


def test_rate_and_distortion_miss_the_evidence_by_the_divergence_from_the_exact_posterior(model):
    # Draws whose mean is 0 and whose covariance is I, exactly: they integrate the square in the distortion exactly.
    noise = math.sqrt(LATENT) * torch.cat([torch.eye(LATENT), -torch.eye(LATENT)]).double()
    noise = noise[:, None].expand(-1, IMAGES, LATENT)
    exact = Normal(model.mean, (model.logvar / 2).exp())
    for mean, logvar in ((model.mean, model.logvar), (model.mean + 0.3, model.logvar - 1)):
        posterior = Normal(mean, (logvar / 2).exp())
        distortion = importance_sampling(model.log_likelihood, mean, logvar, noise).distortion
        rate = kl_divergence(posterior, Normal(0, 1)).sum(-1)
        gap = kl_divergence(posterior, exact).sum(-1)
        # Float64, sums below 1e3.
        torch.testing.assert_close(-rate - distortion, model.log_evidence - gap, rtol=0, atol=1e-11)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "bernoulli"])
def test_every_likelihood_gives_the_evidence_that_quadrature_gives(likelihood):
    x = torch.tensor([0.0, 1.0, 1.0] if likelihood == "bernoulli" else [0.1, 0.9, 0.6], dtype=torch.float64)
    images = x.view(1, 1, 1, 3)

    def log_likelihood(z: torch.Tensor) -> torch.Tensor:
        logits = z * torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64) + 0.5
        return log_density(likelihood, images, logits.view(-1, 1, 1, 3))

    def joint(z: float) -> float:
        point = torch.tensor([[z]], dtype=torch.float64)
        return math.exp(log_likelihood(point).item() - z * z / 2) / math.sqrt(2 * math.pi)

    expected = math.log(quad(joint, -10, 10, epsabs=1e-12)[0])  # beyond 10 a normal density is below 1e-22
    noise = torch.from_numpy(np.random.default_rng(2).standard_normal((2000, 1, 1)))
    mean, logvar = torch.full((2, 1, 1), 0.2, dtype=torch.float64)
    found = importance_sampling(log_likelihood, mean, logvar, noise)
    standard_error = math.sqrt(1 / found.effective_samples.item() - 1 / len(noise))
    assert standard_error < 0.03
    assert abs(found.log_evidence.item() - expected) < 4 * standard_error


def test_weights_beyond_the_range_of_float32_are_averaged():
    # log p(x) of 1024 grey pixels is about -600; 1e5 is what float64 could not exponentiate either.
    zero = torch.zeros(1, 1, dtype=torch.float64)
    found = importance_sampling(
        lambda z: -1e5 + z[:, 0].square(), zero, zero, torch.tensor([[[0.0]], [[1.0]]]).double()
    )
    # The weights are e^(-1e5) and e^(-1e5 + 1). 1e5 + 1 has 11 digits after the point.
    assert found.log_evidence.item() == pytest.approx(-1e5 + math.log((1 + math.e) / 2), abs=1e-10)
    assert found.effective_samples.item() == pytest.approx((1 + math.e) ** 2 / (1 + math.e**2), rel=1e-9)


def test_a_binarised_pixel_is_white_with_the_probability_of_its_grey_level():
    levels = torch.linspace(0, 1, 11)
    images = binarise(levels.repeat(10_000, 1, 1, 1), np.random.default_rng(0))
    assert set(images.unique().tolist()) == {0.0, 1.0}
    # 11 binomials, none beyond 4 deviations; black and white, the ends, never change.
    deviation = (levels * (1 - levels) / 10_000).sqrt()
    assert ((images.mean((0, 1, 2)) - levels).abs() <= 4 * deviation).all()


def test_the_bootstrap_interval_holds_95_percent_of_the_means_of_1000_resamples():
    values = np.random.default_rng(3).gamma(2.0, size=100)  # skewed, so that the two ends differ
    means = np.random.default_rng(4).choice(values, (1000, 100)).mean(1)
    # The same draws, so that only the order of sums and NumPy's and scipy's interpolation round differently.
    assert bootstrap_interval(values, np.random.default_rng(4)) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), rel=1e-14
    )
