"""Image data sets, held in memory and verified each time they are read.

A data set is never replaced by another: it is exactly what its name says, or a one-line error says how to get it.
``python -m vae.data status`` shows which data sets are here; ``python -m vae.data get NAME`` fetches one.
"""

from pathlib import Path

from vae.data import own
from vae.data.chairs import CHAIRS
from vae.data.dataset import Dataset, DatasetName, Images, PackedImages
from vae.data.dsprites import DSPRITES
from vae.data.mnist import FASHION, FASHION_MINI, MNIST
from vae.data.source import Source
from vae.data.synth import DSPRITES_SYNTH

__all__ = ["SOURCES", "Dataset", "DatasetName", "Images", "PackedImages", "load"]

SOURCES: dict[DatasetName, Source] = {
    "fashion-mini": FASHION_MINI,
    "fashion": FASHION,
    "mnist": MNIST,
    "dsprites": DSPRITES,
    "dsprites-synth": DSPRITES_SYNTH,
    "chairs": CHAIRS,
}


def load(name: DatasetName, path: Path | None = None) -> Dataset:
    """The data set called ``name``.

    Args:
        name: ``"own"`` (see ``vae.data.own``) or one of ``SOURCES``.
        path: where it is; without it, the usual places are searched in order (see ``vae.data.source``).

    Raises:
        UserError: it is missing, damaged, or another data set.

    >>> load("fashion-mini").train_images.shape
    torch.Size([5000, 1, 32, 32])
    """
    return own.load_own(path) if name == "own" else SOURCES[name].load(path)
