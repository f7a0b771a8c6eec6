r"""The log evidence :math:`\log p(x)` of a latent variable model by importance sampling (Burda et al. 2016, eq. 8)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor


class Estimate(NamedTuple):
    """Estimates for each image from draws of its posterior: tensors of length ``batch``, float64, in nats."""

    log_evidence: Tensor
    """Log of the mean weight. The mean weight is unbiased; its log is biased downwards, less with more draws."""

    distortion: Tensor
    """Mean of -log p(x|z)."""

    effective_samples: Tensor
    """Squared sum of the weights over the sum of their squares, from 1, one dominates, to the number of draws."""


def importance_sampling(
    log_likelihood: Callable[[Tensor], Tensor], mean: Tensor, logvar: Tensor, noise: Tensor
) -> Estimate:
    r"""Estimates from the draws :math:`z = mean + noise \cdot e^{logvar/2}` of q, whose weights are

    .. math:: w = \frac{p(x|z)\,p(z)}{q(z)}, \quad q = N(mean, e^{logvar}), \quad p(z) = N(0, I)

    Any q that is nowhere zero works; the closer it is to :math:`p(z|x)`, the fewer draws are needed.

    Args:
        log_likelihood: returns log p(x|z) of the ``batch`` images for one z each, ``batch x latent``, float64. It is
            called with one draw for each image at a time, as more decoded images do not fit a CPU's cache.
        mean, logvar: parameters of q for each image, ``batch x latent``, float64.
        noise: draws of N(0, I), ``samples x batch x latent``, float64.

    >>> mean, logvar = torch.zeros(1, 1).double(), torch.tensor([[1 / 3]]).double().log()  # p(z|x = 0) of N(x|z, 1/2)
    >>> noise = torch.randn(5, 1, 1).double()
    >>> found = importance_sampling(lambda z: -z[:, 0] ** 2 - math.log(math.pi) / 2, mean, logvar, noise)
    >>> [round(value.item(), 6) for value in (found.log_evidence, found.effective_samples)]  # log N(0|0, 3/2)
    [-1.121671, 5.0]
    """
    z = mean + noise * torch.exp(logvar / 2)
    log_likelihoods = torch.stack([log_likelihood(draw).double() for draw in z])
    # log p(z) - log q(z), where the factors of 2 pi cancel.
    log_weights = log_likelihoods + (noise.square() - z.square() + logvar).sum(-1) / 2
    total = log_weights.logsumexp(0)
    return Estimate(
        log_evidence=total - math.log(len(noise)),
        distortion=-log_likelihoods.mean(0),
        effective_samples=torch.exp(2 * total - (2 * log_weights).logsumexp(0)),
    )


def binarise(images: Tensor, random: np.random.Generator) -> Tensor:
    """Draws black and white images: the grey level in [0, 1] of a pixel is its probability of being white
    (Salakhutdinov & Murray 2008). Black and white images do not change.

    >>> binarise(torch.tensor([0.0, 1.0, 1.0]), np.random.default_rng(0))
    tensor([0., 1., 1.])
    """
    levels = torch.from_numpy(random.random(images.shape)).to(images.device)
    return (levels < images).to(images.dtype)


def bootstrap_interval(values: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """The 95 % percentile interval for the mean of the distribution of ``values``, from 1000 resamples."""
    found = bootstrap((values,), np.mean, n_resamples=1000, method="percentile", rng=random).confidence_interval
    return float(found.low), float(found.high)
