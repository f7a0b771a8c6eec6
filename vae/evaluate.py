"""What a model is judged by."""

import torch
from torch import Tensor

from vae.model import VAE, reparametrise
from vae.objective import TERMS, Objective

CHUNK = 250  # images at a time: what fits a CPU's cache is decoded half again as fast as 500


@torch.no_grad()
def evaluate(model: VAE, objective: Objective, images: Tensor) -> dict[str, float]:
    """Reconstruction, divergence and loss as the paper reports them: z = mean, pixels summed, mean over all images.

    Args:
        images: bytes, ``count x 1 x size x size``, on the model's device.
    """
    generator = torch.Generator().manual_seed(0)  # MMD alone compares draws, the same ones each time
    total = torch.zeros(len(TERMS), dtype=torch.float64, device=images.device)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].float() / 255
        mean, logvar = model.encode(chunk)
        z = reparametrise(mean, logvar, torch.randn(mean.shape, generator=generator).to(mean.device))
        terms = objective(chunk, model.decoder(mean), z, mean, logvar)
        total += terms.sum(1, dtype=torch.float64)
    return dict(zip(TERMS, (total / len(images)).tolist(), strict=True))
