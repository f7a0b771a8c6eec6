"""Evidence and latent units where the answer is known: a linear Gaussian model, and an encoder made by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import Normal, kl_divergence

from vae.evaluate import EvaluateOptions, estimate_evidence
from vae.training.measure import CHUNK, describe_latent, encode

SIDE, LATENT, IMAGES = 4, 2, 40


class LinearGaussian:
    """The model x = W z + b + noise of variance 1/2 as a decoder, with images, their exact evidence and posterior."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.images = torch.from_numpy(random.integers(0, 256, (IMAGES, 1, SIDE, SIDE), np.uint8))
        x = (self.images.float() / 255).flatten(1).double().numpy()
        # Orthogonal columns, so that the posterior is diagonal; short ones, so that W z + b stays inside (0, 1).
        W = np.linalg.qr(random.standard_normal((SIDE * SIDE, LATENT)))[0] * [0.1, 0.2]
        joint = multivariate_normal(np.full(SIDE * SIDE, 0.5), W @ W.T + np.eye(SIDE * SIDE) / 2)
        self.log_evidence = joint.logpdf(x)
        variance = 1 / (1 + 2 * (W**2).sum(0))  # Bishop 2006, eqs. 2.116-117
        self.mean = torch.from_numpy(variance * (2 * (x - 0.5) @ W))
        self.logvar = torch.from_numpy(np.log(variance)).expand(IMAGES, LATENT)
        self.W = torch.from_numpy(W)

    def decoder(self, z):
        return torch.logit(0.5 + z.double() @ self.W.T).view(-1, 1, SIDE, SIDE)

    def evidence(self, likelihood="gaussian", logvar=None, **options):
        logvar = self.logvar if logvar is None else logvar
        options = EvaluateOptions((), **({"samples": 50, "batch_size": 10} | options))
        return estimate_evidence(self, self.images, self.mean, logvar, likelihood, options)  # pyright: ignore


@pytest.fixture(scope="module")
def model():
    return LinearGaussian()


def test_the_evidence_of_a_linear_gaussian_model_is_exact_from_the_bytes_of_its_images_to_the_summary(model):
    found = model.evidence()
    # The decoder is given z in float32: 1e-7 times slopes of the order of 1.
    assert found["log_evidence"] == pytest.approx(model.log_evidence.mean(), abs=1e-6)
    assert found["standard_error"] == pytest.approx(model.log_evidence.std(ddof=1) / math.sqrt(IMAGES), abs=1e-6)
    assert found["effective_samples"] == pytest.approx(50, rel=1e-6)
    assert found["fewest_effective_samples"] == pytest.approx(50, rel=1e-6)
    # All images are used, each in one batch.
    assert np.mean(found["batch_log_evidence"]) == pytest.approx(model.log_evidence.mean(), abs=1e-6)
    assert found["interval"][0] < found["log_evidence"] < found["interval"][1]

    posterior = Normal(model.mean, (model.logvar / 2).exp())
    assert found["rate"] == pytest.approx(kl_divergence(posterior, Normal(0, 1)).sum(-1).mean().item(), rel=1e-12)
    assert found["elbo"] == -found["rate"] - found["distortion"]
    # The posterior is exact, so the ELBO is the evidence up to the draws: log p(x|z) varies by 0.2 or so from draw to
    # draw, and this is the mean of 2,000 of them.
    assert found["elbo"] == pytest.approx(found["log_evidence"], abs=0.02)


def test_the_evidence_describes_itself_and_uses_no_more_batches_than_there_are(model):
    found = model.evidence(batches=100, seed=7)
    said = {name: found[name] for name in ("likelihood", "binarised", "samples", "batches", "batch_size", "seed")}
    assert said == {
        "likelihood": "gaussian", "binarised": False, "samples": 50, "batches": 4, "batch_size": 10, "seed": 7,
    }  # fmt: skip
    assert len(found["batch_log_evidence"]) == 4
    assert len(model.evidence(batches=3)["batch_log_evidence"]) == 3


def test_draws_depend_only_on_the_seed_and_the_batch():
    same = LinearGaussian()  # 40 times the same image: batches differ in their draws only,
    same.images, same.mean = (tensor[:1].expand_as(tensor) for tensor in (same.images, same.mean))
    broad = same.logvar + 0.5  # as with the exact posterior all draws have equal weights
    four, again, two, other = (
        same.evidence(logvar=broad, batches=batches, seed=seed) for batches, seed in ((4, 1), (4, 1), (2, 1), (4, 2))
    )
    assert four == again
    assert two["batch_log_evidence"] == four["batch_log_evidence"][:2]
    assert len({*four["batch_log_evidence"], *other["batch_log_evidence"]}) == 8


def test_the_images_are_chosen_at_random_by_the_seed(model):
    half, again, other = (model.evidence(batches=2, seed=seed) for seed in (1, 1, 2))
    assert half == again
    # The posterior is exact, so these are exact and identify their images.
    assert half["log_evidence"] != pytest.approx(other["log_evidence"], abs=1e-3)
    assert half["log_evidence"] != pytest.approx(model.log_evidence[:20].mean(), abs=1e-3)


def test_only_grey_images_are_binarised_for_bernoulli(model):
    assert model.evidence("bernoulli")["binarised"]
    black_and_white = LinearGaussian()
    black_and_white.images = (black_and_white.images > 127).to(torch.uint8) * 255
    found = black_and_white.evidence("bernoulli")
    assert not found["binarised"]
    # Hence the likelihood is that of the images as they are: W = 0, and each pixel is a fair coin.
    black_and_white.W = torch.zeros(SIDE * SIDE, LATENT).double()
    found = black_and_white.evidence("bernoulli")
    assert found["distortion"] == pytest.approx(SIDE * SIDE * math.log(2), rel=1e-6)  # float32, as the images


class HandMade:
    """An encoder of one pixel: its means are 0, and the pixel times factors just below and above the limit."""

    def encode(self, images):
        pixel = images[:, 0, 0, 0]
        return torch.stack([0 * pixel, 0.198 * pixel, 0.202 * pixel], 1), torch.stack([0 * pixel, pixel, -pixel], 1)


def test_a_unit_is_active_where_its_posterior_mean_varies_by_more_than_0_01():
    count = 2 * CHUNK + 100
    images = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    images[::2] = 255
    mean, logvar = encode(HandMade(), images)  # pyright: ignore
    assert mean.dtype == logvar.dtype == torch.float64
    latent = describe_latent(mean, logvar)
    # The pixel is a fair coin, whose variance is 1/4: the unit's is a quarter of the factor's square. Float32 factors.
    coin = count / (count - 1) / 4
    assert latent["variance_of_mean"] == pytest.approx([0, 0.198**2 * coin, 0.202**2 * coin], rel=1e-6)
    assert latent["active"] == [False, False, True]

    posterior, prior = Normal(mean, (logvar / 2).exp()), Normal(0, 1)
    for name, kl in (("kl_qp", kl_divergence(posterior, prior)), ("kl_pq", kl_divergence(prior, posterior))):
        # Float64; the textbook form that torch uses cancels a digit or two.
        assert latent[name] == pytest.approx(kl.mean(0).tolist(), rel=1e-12, abs=1e-15)
    assert latent["kl_qp"] != pytest.approx(latent["kl_pq"], rel=0.01)
