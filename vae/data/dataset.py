"""What every data set is once it is read."""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

DatasetName = Literal["fashion-mini", "fashion", "mnist", "dsprites", "dsprites-synth", "chairs", "own"]


class PackedImages:
    """Black and white images kept as bits, eight pixels a byte. What is taken out of it are bytes again, 0 or 255.

    Args:
        bits: ``count x (size * size / 8)`` bytes, row after row of an image, the first of eight pixels the highest bit.

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
"""``count x 1 x size x size`` grey levels from 0 to 255: a tensor of bytes, or bits that become one when indexed."""


@dataclass(frozen=True)
class Dataset:
    """Images as bytes, ``size`` 32 or 64: converting a batch costs microseconds, floats would cost 4x the memory."""

    name: DatasetName
    train_images: Images
    test_images: Images
    test_labels: Tensor | None
    sha256: dict[str, str]
    """Of the decompressed content, recorded with every run."""
    split: str
    """How training and test images were told apart, in words."""

    @property
    def splits(self) -> dict[str, Images]:
        return {"train": self.train_images, "test": self.test_images}

    def to(self, device: torch.device) -> "Dataset":
        """The same with its images on a device."""
        return replace(self, train_images=self.train_images.to(device), test_images=self.test_images.to(device))


def pad_to_32(images: Tensor) -> Tensor:
    """MNIST's 28 x 28 pixels in a frame of zeros, so that three convolutions halve them evenly."""
    return pad(images, (2, 2, 2, 2))


def hold_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of ``count`` things, at least one, drawn at random: the indices of the others, and of these, ascending.

    The draw is fixed for good: numpy promises the raw bits of its generators, not what is made of them.

    >>> hold_out(12)
    (array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10]), array([11]))
    """
    order = np.random.PCG64(0).random_raw(count).argsort(kind="stable")
    held_out = max(1, count // 10)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
