"""Sprites drawn with the factors of dSprites, for machines without the official file. They are not dSprites.

Three shapes x 6 scales x 40 rotations x 32 x 32 positions, the last factor changing fastest. A pixel is white if its
centre lies inside the outline. Compared with published pictures of dSprites, 39 of 41 rotated squares and 22 of 42
ellipses are identical and the others differ in a few pixels; the outline of the heart is different.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from vae.data.dataset import Dataset
from vae.data.dsprites import split
from vae.data.source import Source, cache_folder
from vae.files import replacing

SIZE = 64
SCALES = np.linspace(0.5, 1, 6)
ROTATIONS = np.linspace(0, 2 * np.pi, 40)
POSITIONS = 16 + 32 * np.linspace(0, 1, 32)
WINDOW = np.floor(POSITIONS).astype(int)[:, None] + np.arange(-16, 16)  # rows or columns of pixels; no sprite is larger
SHAPE = (3 * len(SCALES) * len(ROTATIONS) * len(POSITIONS) ** 2, SIZE * SIZE // 8)
SHA256 = "833d2c86dc04562c2198eda3670e8192f8015fa6acb4f6744ac3a4f376813357"


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) / 9.6 - 1


def ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x / 12.8) ** 2 + (y / 7.2) ** 2 - 1


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (x / 9.6) ** 2, y / -9.6  # rows of pixels are counted downwards
    rim = x + y * y - 1
    return rim * rim * rim - x * (y * y * y)


Outline: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
OUTLINES: tuple[Outline, ...] = (square, ellipse, heart)
"""Negative inside, positive outside; coordinates in pixels at scale 1.

Over all images no value is closer to 0 than 1.7e-11, and rounding errors stay below 1e-14. So every pixel is the same
on all machines, though their sines may differ in the last digit.
"""


def levels(outline: Outline, scale: float, rotation: float) -> Iterator[np.ndarray]:
    """The outline's value at the centres of the pixels near a sprite, for one horizontal position after the other.

    Yields:
        ``32 vertical positions x 32 rows x 32 columns``; ``WINDOW`` has the numbers of the rows and columns.
    """
    distances = (WINDOW + 0.5 - POSITIONS[:, None]) / scale
    cos, sin = np.cos(rotation), np.sin(rotation)
    y = distances[:, :, None]
    for x in distances:
        yield outline(cos * x + sin * y, cos * y - sin * x)


def draw_sprite(outline: Outline, scale: float, rotation: float) -> np.ndarray:
    """A sprite in all its positions: 1024 images, packed into bits."""
    image = np.arange(len(POSITIONS))[:, None, None]
    packed = []
    for columns, level in zip(WINDOW, levels(outline, scale, rotation), strict=True):
        pixels = np.zeros((len(POSITIONS), SIZE, SIZE), bool)
        pixels[image, WINDOW[:, :, None], columns] = level <= 0
        packed.append(np.packbits(pixels.reshape(len(pixels), -1), axis=1))
    return np.concatenate(packed)


class DSpritesSynth(Source):
    def holds(self, place: Path) -> bool:
        return place.is_file()

    def check(self, place: Path) -> str:
        self.bits(place)
        return "sha256"

    def bits(self, place: Path) -> np.ndarray:
        """The bits of all images, one row each."""
        try:
            bits = np.load(place, mmap_mode="c")  # read only once, so a copy in memory would waste seconds
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{place} cannot be read ({error})") from None
        if (bits.shape, bits.dtype) != (SHAPE, np.uint8):
            raise ValueError(f"{place} has shape {bits.shape} and type {bits.dtype}, wanted {SHAPE} and uint8")
        sha256 = hashlib.sha256(bits.data).hexdigest()
        if sha256 != SHA256:
            raise ValueError(
                f"{place} has sha256 {sha256}, wanted {SHA256}: it is damaged, or drawn by another version"
            )
        return bits

    def read(self, place: Path) -> Dataset:
        return split(self.name, self.bits(place), SHA256)

    def load(self, path: Path | None = None) -> Dataset:
        """Reads the data set; if the user names no path and it is not there, draws it first."""
        if path is None and self.find() is None:
            self.draw()
        return super().load(path)

    def draw(self) -> Path:
        """Draws all images into the cache folder, which takes half a minute, and returns the file."""
        place = cache_folder() / self.layouts[1]
        place.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(place) as file,
            tqdm(total=SHAPE[0], desc="drawing sprites", unit=" images", leave=False, disable=None) as bar,
        ):
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": SHAPE})
            for outline, scale, rotation in product(OUTLINES, SCALES, ROTATIONS):
                images = draw_sprite(outline, scale, rotation)
                file.write(images.data)
                bar.update(len(images))
        return place


DSPRITES_SYNTH = DSpritesSynth(
    name="dsprites-synth",
    title="drawn sprites",
    images="663,552 + 73,728",
    how="python -m vae.data get dsprites-synth draws it",
    otherwise="training draws it too, if it is not there",
    layouts=("", "dsprites-synth.npy"),
)
