"""The pictures that the models of runs make: reconstructions, a traversal and samples, as PNG."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae.data import Dataset, load
from vae.errors import UserError
from vae.model import VAE
from vae.runs.run import Run, load_model
from vae.training.measure import by_activity, encode
from vae.training.pictures import reconstruct, tile, traverse

SAMPLES = (5, 10)
NOISE_SEED = 0
LEVELS = 32  # of grey: half the bytes of 256, and no eye sees it


@dataclass(frozen=True)
class Pictures:
    """PNG files, ink on white as in all figures."""

    reconstructions: bytes
    traversal: bytes
    samples: bytes
    activity: list[tuple[int, float]]
    """The latent dimension of each row of the traversal, from 1, and its mean KL(q||p) in nats."""


class Painter:
    """Makes the pictures of runs; a data set is read once."""

    def __init__(self, data: Path | None):
        self.data = data
        self.datasets: dict[str, Dataset | UserError] = {}

    def dataset(self, run: Run) -> Dataset:
        """The images that a run was trained with.

        Raises:
            UserError: they are not there, or others are.
        """
        name = run.settings.dataset
        if name not in self.datasets:
            try:
                self.datasets[name] = load(name, self.data)
            except UserError as error:
                self.datasets[name] = error
        found = self.datasets[name]
        if isinstance(found, UserError):
            raise found
        if found.sha256 != run.sha256:
            raise UserError(f"{run.path} was trained on other data: the sha256 in its run.json differ; use --data")
        return found

    @torch.no_grad()
    def paint(self, run: Run) -> Pictures:
        """The same test images and the same draws of the prior for every run.

        Raises:
            UserError: the model is damaged, or its data is not there.
        """
        dataset = self.dataset(run)
        images = dataset.test_images
        model = load_model(run, images.shape[-1], torch.device("cpu"))
        mean, logvar = encode(model, images)
        rows, activity = by_activity(mean, logvar)
        return Pictures(
            png(reconstruct(model, images, mean, dataset.test_labels)),
            png(traverse(model, mean[0].float(), rows)),
            png(sample(model)),
            [(row + 1, activity[row].item()) for row in rows],
        )


def sample(model: VAE) -> Tensor:
    """Images of draws of the prior, ``rows x columns x 1 x size x size``, the same draws for every model."""
    noise = torch.randn((*SAMPLES, model.latent), generator=torch.Generator().manual_seed(NOISE_SEED))
    return model.decode(noise.flatten(0, 1)).unflatten(0, SAMPLES)


def png(rows: Tensor) -> bytes:
    """Rows of images as one grey picture, black ink on white."""
    grey = ((1 - tile(rows)) * (LEVELS - 1)).round() * 255 / (LEVELS - 1)
    file = io.BytesIO()
    Image.fromarray(grey.round().byte().numpy()).save(file, "png", optimize=True)
    return file.getvalue()
