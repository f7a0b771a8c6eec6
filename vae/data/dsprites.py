"""dSprites, the official file: 737,280 black and white sprites, read in pieces and stored as bits.

The images take 3 GB as bytes and 377 MB as bits.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from tqdm import tqdm

from vae.data.dataset import Dataset, DatasetName, PackedImages, hold_out
from vae.data.hdf5 import open_hdf5
from vae.data.source import Source, check_hash

SHAPE = (737280, 64, 64)
PIECE = 23040  # images; the hdf5 file is stored in chunks of this length
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
MD5 = {".npz": "7da33b31b13a06f4b04a70402ce90c2e", ".hdf5": "b331c4447a651c44bf5e8ae09022e230"}
MIRRORS = (
    f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{FILE}.npz",
    f"https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/{FILE}.npz",
)


class DSprites(Source):
    def holds(self, place: Path) -> bool:
        return place.is_file()

    def check(self, place: Path) -> str:
        if place.suffix not in MD5:
            raise ValueError(f"{place} is not one of the official files, which end in .npz and .hdf5")
        check_hash(place, "md5", MD5[place.suffix])
        return "md5"

    def read(self, place: Path) -> Dataset:
        self.check(place)
        try:
            bits = pack(npz_pieces(place) if place.suffix == ".npz" else hdf5_pieces(place), place)
        except (OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{place} cannot be read ({error})") from None
        return split(self.name, bits, hashlib.sha256(bits.data).hexdigest())


DSPRITES = DSprites(
    name="dsprites",
    title="dSprites",
    images="663,552 + 73,728",
    how="python -m vae.data get dsprites fetches it",
    otherwise=f"or pass --data FILE, which is {FILE}.npz or .hdf5, or set JSGMATH_DATA to its folder; "
    "--dataset dsprites-synth draws similar images offline",
    layouts=("", *(f"{folder}{FILE}{ending}" for folder in ("", "dsprites/") for ending in MD5)),
)


def npz_pieces(path: Path) -> Iterator[np.ndarray]:
    """The images in the npz file, decompressed in pieces."""
    with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = header(file)
        check_array(path, shape, dtype)
        if fortran_order:
            raise ValueError(f"{path} has its images in Fortran order; wanted C order")
        for start in range(0, SHAPE[0], PIECE):
            piece = (min(PIECE, SHAPE[0] - start), *SHAPE[1:])
            content = file.read(int(np.prod(piece)))
            if len(content) != np.prod(piece):
                raise ValueError(f"{path} ends after {start:,} images, wanted {SHAPE[0]:,}")
            yield np.frombuffer(content, np.uint8).reshape(piece)


def hdf5_pieces(path: Path) -> Iterator[np.ndarray]:
    """The images in the hdf5 file, in pieces."""
    with open_hdf5(path) as arrays:
        images = arrays["imgs"]
        check_array(path, images.shape, images.dtype)
        for start in range(0, SHAPE[0], PIECE):
            yield images[start : start + PIECE]


def check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if (shape, dtype) != (SHAPE, np.uint8):
        raise ValueError(f"{path} has images of shape {shape} and type {dtype}, wanted {SHAPE} and uint8")


def pack(pieces: Iterator[np.ndarray], place: Path) -> np.ndarray:
    """The bits of all images, one row for each image."""
    count, height, width = SHAPE
    bits = np.empty((count, height * width // 8), np.uint8)
    start = 0
    with tqdm(total=count, desc="reading dSprites", unit=" images", leave=False, disable=None) as bar:
        for piece in pieces:
            if piece.max() > 1:
                raise ValueError(f"{place} has a pixel of {piece.max()}, wanted 0 and 1 only")
            bits[start : start + len(piece)] = np.packbits(piece.reshape(len(piece), -1), axis=1)
            start += len(piece)
            bar.update(len(piece))
    return bits


def split(name: DatasetName, bits: np.ndarray, sha256: str) -> Dataset:
    """A data set with a tenth of the images for testing only; ``bits`` has a row for each image."""
    train, test = hold_out(len(bits))
    rows = torch.from_numpy(bits)
    return Dataset(
        name,
        PackedImages(rows[torch.from_numpy(train)]),
        PackedImages(rows[torch.from_numpy(test)]),
        None,
        {"images, packed to bits": sha256},
        f"{len(test):,} of {len(bits):,} images, a fixed random choice, are for testing only "
        "(the paper's released code tested on its training images)",
    )
