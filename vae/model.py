"""The paper's network (Burgess et al. 2018, https://arxiv.org/abs/1804.03599, and appendix C of the paper)."""

import math

import torch
from torch import Tensor, nn

CHANNELS = 32
HIDDEN = 256


class VAE(nn.Module):
    r"""A convolutional variational auto-encoder for grey images of 32 x 32 or 64 x 64 pixels.

    The encoder returns the mean and the log-variance of :math:`q(z|x)`. The decoder mirrors it and turns ``z`` into the
    logits of an image with values in [0, 1].

    Args:
        image_size: 32 or 64; each convolution halves it until it is 4.
        latent: dimension of ``z``.

    >>> VAE()(torch.zeros(2, 1, 32, 32), noise=torch.zeros(2, 10))[0].shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(self, image_size: int = 32, latent: int = 10):
        super().__init__()
        self.latent = latent
        halvings = int(math.log2(image_size // 4))
        flat = CHANNELS * 4 * 4

        convolutions = []
        for channels in [1] + [CHANNELS] * (halvings - 1):
            convolutions += [nn.Conv2d(channels, CHANNELS, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(
            *convolutions,
            nn.Flatten(),
            nn.Linear(flat, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 2 * latent),
        )

        deconvolutions = []
        for channels in [CHANNELS] * (halvings - 1) + [1]:
            deconvolutions += [nn.ReLU(), nn.ConvTranspose2d(CHANNELS, channels, kernel_size=4, stride=2, padding=1)]
        self.decoder = nn.Sequential(
            nn.Linear(latent, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, flat),
            nn.Unflatten(1, (CHANNELS, 4, 4)),
            *deconvolutions,
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Draws Kaiming-uniform weights and sets the biases to zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of ``q(z|x)``, each ``batch x latent``."""
        mean, logvar = self.encoder(images).chunk(2, -1)
        return mean, logvar

    def decode(self, z: Tensor) -> Tensor:
        """The images, with values in [0, 1], of points ``z``, ``batch x latent``."""
        return self.decoder(z).sigmoid()

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the logits of the reconstruction, its ``z = mean + noise * sd``, and mean and log-variance of q."""
        mean, logvar = self.encode(images)
        z = reparametrise(mean, logvar, noise)
        return self.decoder(z), z, mean, logvar


def reparametrise(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Turns a draw of N(0, I) into one of N(mean, exp(logvar)), differentiable in both."""
    return mean + noise * torch.exp(logvar / 2)
