"""What a model is judged by."""

import torch
from torch import Tensor

from vae.model import VAE
from vae.objective import TERMS, Objective


@torch.no_grad()
def evaluate(model: VAE, objective: Objective, images: Tensor) -> dict[str, float]:
    """Reconstruction, divergence and loss as the paper reports them: z = mean, pixels summed, mean over all images.

    Args:
        images: bytes, ``count x 1 x size x size``, on the model's device.
    """
    total = torch.zeros(len(TERMS), dtype=torch.float64, device=images.device)
    for chunk in images.split(500):
        noise = torch.zeros(len(chunk), model.latent, device=images.device)
        total += objective.terms(model, chunk.float() / 255, noise).sum(1, dtype=torch.float64)
    return dict(zip(TERMS, (total / len(images)).tolist(), strict=True))
