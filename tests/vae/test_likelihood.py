"""The reconstruction errors belong to densities: those of torch.distributions, and normalised."""

import itertools
import math

import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Bernoulli, Laplace, Normal

from vae.likelihood import error, log_density

DISTRIBUTIONS = {
    "gaussian": lambda logits: Normal(logits.sigmoid(), math.sqrt(0.5)),  # variance 1/2: its exponent is the square
    "bernoulli": lambda logits: Bernoulli(logits=logits),
    "laplace": lambda logits: Laplace(logits.sigmoid(), 1.0),
}


def pictures(likelihood: str):
    """Five images of 3 x 4 pixels and logits of reconstructions from nearly black to nearly white, float64."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 1, 3, 4, generator=generator, dtype=torch.float64)
    logits = 5 * torch.randn(5, 1, 3, 4, generator=generator, dtype=torch.float64)
    return images.round() if likelihood == "bernoulli" else images, logits


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_the_log_density_of_an_image_is_the_sum_of_its_pixels_log_probabilities(likelihood):
    images, logits = pictures(likelihood)
    expected = DISTRIBUTIONS[likelihood](logits).log_prob(images).sum((1, 2, 3))
    # Float64 sums of 12 terms below 20: some 1e-15 each.
    torch.testing.assert_close(log_density(likelihood, images, logits), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("likelihood", DISTRIBUTIONS)
def test_the_error_is_the_log_density_without_what_the_reconstruction_cannot_change(likelihood):
    images, logits = pictures(likelihood)
    distribution = DISTRIBUTIONS[likelihood](logits)
    # If the reconstruction equals the image, the error is 0 and only the constant of the density remains.
    constant = 0 if likelihood == "bernoulli" else distribution.log_prob(distribution.mean)
    expected = (constant - distribution.log_prob(images)).sum((1, 2, 3))
    # As above.
    torch.testing.assert_close(error(likelihood, images, logits), expected, rtol=1e-13, atol=1e-13)


def test_the_cross_entropy_of_grey_levels_is_the_mean_over_black_and_white():
    images, logits = pictures("gaussian")
    black, white = (DISTRIBUTIONS["bernoulli"](logits).log_prob(torch.full_like(images, v)) for v in (0, 1))
    expected = -((1 - images) * black + images * white).sum((1, 2, 3))
    # As above.
    torch.testing.assert_close(error("bernoulli", images, logits), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.0])
def test_the_density_of_one_pixel_integrates_to_1(likelihood, logit):
    logits = torch.full((1, 1, 1, 1), logit, dtype=torch.float64)

    def density(level: float) -> float:
        return math.exp(log_density(likelihood, torch.full_like(logits, level), logits).item())

    middle = logits.sigmoid().item()
    # Split at the kink of Laplace's; what lies beyond 50 is below e^-50. Quadrature claims 1e-8 by default.
    total = quad(density, middle - 50, middle)[0] + quad(density, middle, middle + 50)[0]
    assert total == pytest.approx(1, abs=1e-8)


def test_the_probabilities_of_all_binary_images_sum_to_1():
    logits = torch.tensor([[[[-3.0, 0.0], [1.0, 7.0]]]], dtype=torch.float64)
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64).view(-1, 1, 2, 2)
    assert len(images) == 16
    # Float64: 16 terms at most 1.
    assert log_density("bernoulli", images, logits).exp().sum().item() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("level", [0.5, 1e-6, -1.0, 2.0, math.nan])
def test_bernoulli_refuses_an_image_with_a_pixel_that_is_not_black_or_white(level):
    images = torch.tensor([[[[0.0, 1.0]]], [[[1.0, level]]]])
    with pytest.raises(ValueError, match="black and white pixels only; binarise the images"):
        log_density("bernoulli", images, torch.zeros(2, 1, 1, 2))
