"""Measurements of a model on images: errors, posteriors and the activity of each latent dimension."""

from typing import Any

import torch
from torch import Tensor

from jsgmath.torch import kl_standard_normal
from jsgmath.torch.functions import Direction
from vae.data import Images
from vae.model import VAE, reparametrise
from vae.objective import TERMS, Objective
from vae.training.processes import ALONE, Processes

CHUNK = 250  # images at a time: they fit a CPU's cache and are decoded 1.5 times as fast as 500
ACTIVE = 0.01  # Burda et al. 2016: a unit is active if the variance of its posterior mean over the images is larger


def evaluate(model: VAE, objective: Objective, images: Images, processes: Processes = ALONE) -> dict[str, float]:
    """Reconstruction, divergence and loss as in the paper: z = mean, summed over pixels, mean over all images.

    Args:
        images: bytes, ``count x 1 x size x size``, on the model's device.
        processes: the processes that share the work; each returns the result.
    """
    return dict(zip(TERMS, mean_terms(model, objective, images, processes).tolist(), strict=True))


@torch.no_grad()
def mean_terms(model: Any, objective: Any, images: Images, processes: Processes = ALONE) -> Tensor:
    """The values of `evaluate` as float64: ``3``, or ``3 x models`` for a stack of models."""
    generator = torch.Generator().manual_seed(0)  # only MMD uses draws, the same ones each time
    total = torch.zeros(len(TERMS), dtype=torch.float64, device=images.device)  # ``models x 3`` for a stack
    chunks = range(0, len(images), CHUNK)
    own = processes.share(chunks)
    for start in chunks:
        noise = torch.randn(min(CHUNK, len(images) - start), model.latent, generator=generator)
        if start in own:
            chunk = images[start : start + CHUNK].float() / 255
            mean, logvar = model.encode(chunk)
            z = reparametrise(mean, logvar, noise.to(mean.device))
            terms = objective(chunk, model.decoder(mean), z, mean, logvar)
            total = total + terms.sum(-1, dtype=torch.float64).movedim(0, -1)
    return processes.sum(total).movedim(-1, 0) / len(images)


@torch.no_grad()
def encode(model: VAE, images: Images) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x) for all images, ``count x latent``, float64."""
    parts = [model.encode(images[start : start + CHUNK].float() / 255) for start in range(0, len(images), CHUNK)]
    mean, logvar = (torch.cat(tensors).double() for tensors in zip(*parts, strict=True))
    return mean, logvar


def kl_per_dimension(mean: Tensor, logvar: Tensor, direction: Direction) -> Tensor:
    """KL(q||p), direction qp, or KL(p||q), direction pq, of each latent dimension, as a mean over the images."""
    return kl_standard_normal(mean[..., None], logvar[..., None], direction=direction, backend="eager").mean(0)


def by_activity(mean: Tensor, logvar: Tensor) -> tuple[list[int], Tensor]:
    """The latent dimensions sorted by falling activity, and the activity of each: its mean KL(q||p), in nats."""
    activity = kl_per_dimension(mean, logvar, "qp")
    return activity.argsort(descending=True).tolist(), activity


def describe_latent(mean: Tensor, logvar: Tensor) -> dict[str, list[Any]]:
    """Divergences, variance of the mean and activity of each dimension of the posteriors, ``images x latent``."""
    variance = mean.var(0)
    return {
        "kl_qp": kl_per_dimension(mean, logvar, "qp").tolist(),
        "kl_pq": kl_per_dimension(mean, logvar, "pq").tolist(),
        "variance_of_mean": variance.tolist(),
        "active": (variance > ACTIVE).tolist(),
    }
