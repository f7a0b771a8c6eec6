"""A data set after it is read."""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

DatasetName = Literal["fashion-mini", "fashion", "mnist", "dsprites", "dsprites-synth", "chairs", "own"]


class PackedImages:
    """Black and white images stored as bits, eight pixels in a byte. Indexing returns bytes, 0 or 255.

    Args:
        bits: ``count x (size * size / 8)`` bytes, an image row by row, the first of eight pixels in the highest bit.

    >>> images = PackedImages(torch.tensor([[0b01000000] + [0] * 127], dtype=torch.uint8))
    >>> images.shape, images[:1].shape
    (torch.Size([1, 1, 32, 32]), torch.Size([1, 1, 32, 32]))
    >>> images[torch.tensor([0])][0, 0, 0, :3]
    tensor([  0, 255,   0], dtype=torch.uint8)
    """

    def __init__(self, bits: Tensor):
        size = math.isqrt(8 * bits.shape[1])
        self.bits = bits
        self.shape = torch.Size([len(bits), 1, size, size])
        self.shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        bits = self.bits[index]
        pixels = (bits.unsqueeze(-1) >> self.shifts & 1) * 255
        return pixels.view(*bits.shape[:-1], *self.shape[1:])

    @property
    def device(self) -> torch.device:
        return self.bits.device

    def to(self, device: torch.device | str) -> "PackedImages":
        return PackedImages(self.bits.to(device))


Images: TypeAlias = Tensor | PackedImages
"""``count x 1 x size x size`` grey levels from 0 to 255, as a tensor of bytes or as packed bits."""


@dataclass(frozen=True)
class Dataset:
    """Images of size 32 or 64 as bytes: converting a batch takes microseconds, floats would take 4x the memory."""

    name: DatasetName
    train_images: Images
    test_images: Images
    test_labels: Tensor | None
    sha256: dict[str, str]
    """Hashes of the decompressed content, recorded with every run."""
    split: str
    """How the images were split into training and test images, in words."""

    @property
    def splits(self) -> dict[str, Images]:
        return {"train": self.train_images, "test": self.test_images}

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with its images on a device."""
        return replace(self, train_images=self.train_images.to(device), test_images=self.test_images.to(device))


def pad_to_32(images: Tensor) -> Tensor:
    """Pads MNIST's 28 x 28 pixels with zeros, so that three convolutions halve them evenly."""
    return pad(images, (2, 2, 2, 2))


def hold_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a tenth of ``count`` indices, at least one; returns the other indices and these, both ascending.

    The draw never changes: it uses the raw bits of a generator, which NumPy keeps stable between versions.

    >>> hold_out(12)
    (array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10]), array([11]))
    """
    order = np.random.PCG64(0).random_raw(count).argsort(kind="stable")
    held_out = max(1, count // 10)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
