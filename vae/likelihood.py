r"""How far an image is from its reconstruction: the first term of the loss, and the density :math:`p(x|z)` of it."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

Likelihood = Literal["gaussian", "bernoulli", "laplace"]

UNITS: dict[Likelihood, str] = {"gaussian": "squared error", "bernoulli": "nats", "laplace": "absolute error"}

# What a pixel adds to the error to make it -log p(x|z): a normal density of variance 1/2, Laplace's of scale 1. The
# Bernoulli likelihood is a probability as it stands, but of black or white only.
NORMALISERS: dict[Likelihood, float] = {"gaussian": math.log(math.pi) / 2, "bernoulli": 0.0, "laplace": math.log(2)}


def error(likelihood: Likelihood, images: Tensor, logits: Tensor) -> Tensor:
    """The error of each image, summed over its pixels, in ``UNITS``: never scaled and never averaged.

    Args:
        likelihood: gaussian, the sum of squares; laplace, the sum of magnitudes; bernoulli, the cross-entropy.
        images: grey levels in [0, 1].
        logits: of the reconstruction's grey levels, shaped as the images or broadcasting with them.

    >>> error("gaussian", torch.tensor([[[[1.0, 0.5]]]]), torch.zeros(1, 1, 1, 2))
    tensor([0.2500])
    """
    if likelihood == "bernoulli":
        # On logits, so that a reconstruction as good as black or white costs no digits.
        images, logits = torch.broadcast_tensors(images, logits)
        errors = binary_cross_entropy_with_logits(logits, images, reduction="none")
    else:
        difference = images - logits.sigmoid()
        errors = difference.square() if likelihood == "gaussian" else difference.abs()
    return errors.sum((-3, -2, -1))


def log_density(likelihood: Likelihood, images: Tensor, logits: Tensor) -> Tensor:
    r"""The log of :math:`p(x|z)` for each image, in nats.

    Raises:
        ValueError: bernoulli and a pixel that is neither 0 nor 1, for which it is no probability.
    """
    if likelihood == "bernoulli" and not ((images == 0) | (images == 1)).all():
        raise ValueError(
            "the Bernoulli likelihood is a probability of black and white pixels only; binarise the images"
        )
    pixels = math.prod(images.shape[-3:])
    return -error(likelihood, images, logits) - pixels * NORMALISERS[likelihood]
