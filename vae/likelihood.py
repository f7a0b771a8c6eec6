r"""The error of a reconstruction, which is the first term of the loss, and the density :math:`p(x|z)`."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

Likelihood = Literal["gaussian", "bernoulli", "laplace"]

UNITS: dict[Likelihood, str] = {"gaussian": "squared error", "bernoulli": "nats", "laplace": "absolute error"}

# The constant for each pixel that makes the error -log p(x|z): a normal density of variance 1/2, Laplace's of scale 1.
# The Bernoulli likelihood needs none, but is a probability of black and white pixels only.
NORMALISERS: dict[Likelihood, float] = {"gaussian": math.log(math.pi) / 2, "bernoulli": 0.0, "laplace": math.log(2)}


def error(likelihood: Likelihood, images: Tensor, logits: Tensor) -> Tensor:
    """The error of each image in ``UNITS``: a sum over its pixels, not a mean.

    Args:
        likelihood: gaussian is the sum of squares, laplace the sum of absolute values, bernoulli the cross-entropy.
        images: grey levels in [0, 1].
        logits: logits of the reconstruction's grey levels, of the same shape or broadcasting with it.

    >>> error("gaussian", torch.tensor([[[[1.0, 0.5]]]]), torch.zeros(1, 1, 1, 2))
    tensor([0.2500])
    """
    if likelihood == "bernoulli":
        # From logits, so that reconstructions near black or white lose no digits.
        images, logits = torch.broadcast_tensors(images, logits)
        errors = binary_cross_entropy_with_logits(logits, images, reduction="none")
    else:
        difference = images - logits.sigmoid()
        errors = difference.square() if likelihood == "gaussian" else difference.abs()
    return errors.sum((-3, -2, -1))


def log_density(likelihood: Likelihood, images: Tensor, logits: Tensor) -> Tensor:
    r"""The log of :math:`p(x|z)` for each image, in nats.

    Raises:
        ValueError: the likelihood is bernoulli and a pixel is neither 0 nor 1.
    """
    if likelihood == "bernoulli" and not ((images == 0) | (images == 1)).all():
        raise ValueError(
            "the Bernoulli likelihood is a probability of black and white pixels only; binarise the images"
        )
    pixels = math.prod(images.shape[-3:])
    return -error(likelihood, images, logits) - pixels * NORMALISERS[likelihood]
