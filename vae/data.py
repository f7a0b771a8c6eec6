"""Image data sets, held in memory and checked against pinned hashes.

Nothing is ever swapped silently: a data set is exactly what its name says, or an error that says how to get it.
Every file is verified by the sha256 of its decompressed content each time it is read.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from vae.errors import UserError

DatasetName = Literal["fashion-mini", "fashion", "mnist"]

EMBEDDED = Path(__file__).parent / "fashion_mini"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Dataset:
    """Images as bytes, ``count x 1 x 32 x 32``: converting a batch costs microseconds, floats cost 4x the memory."""

    name: str
    train_images: Tensor
    test_images: Tensor
    train_labels: Tensor
    test_labels: Tensor
    sha256: dict[str, str]
    """Of each file's decompressed content, recorded with every run."""


@dataclass(frozen=True)
class IdxFile:
    """What one file in the idx format of MNIST and its relatives must hold."""

    name: str
    shape: tuple[int, ...]
    sha256: str


def idx_files(train: int, test: int, sha256: tuple[str, str, str, str]) -> tuple[IdxFile, ...]:
    """The four files of MNIST's layout; hashes in the order of training and test images, training and test labels."""
    return (
        IdxFile("train-images-idx3-ubyte", (train, 28, 28), sha256[0]),
        IdxFile("t10k-images-idx3-ubyte", (test, 28, 28), sha256[1]),
        IdxFile("train-labels-idx1-ubyte", (train,), sha256[2]),
        IdxFile("t10k-labels-idx1-ubyte", (test,), sha256[3]),
    )


FASHION = idx_files(
    60000,
    10000,
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
FASHION_MINI = idx_files(
    5000,
    1000,
    (
        "626b8bf8433327de7912bae1d0e4c70fdcca53de33970297bf9a2205500c574a",
        "7a6d8e07ea021ec5bc73135ebd0a5770799557ec6f8242d8749c4f32a3cf4643",
        "86cccad95ab36653e416733235fc8fbb50b9429417f4eb2feb35e0b9a294e83c",
        "b40abac7ec8228f434940f579deb7cf7b6e3103b5274cb91d1545771f5ef1c8b",
    ),
)


def load(name: DatasetName, folder: Path | None = None) -> Dataset:
    """The data set called ``name``.

    Args:
        name: one of ``LOADERS``.
        folder: where its files are; without it the usual places are searched in order (``fashion_places``).

    Raises:
        UserError: a file is missing, damaged, or not what its name says.
    """
    return LOADERS[name](folder)


def load_fashion_mini(folder: Path | None) -> Dataset:
    """The first 5,000 training and 1,000 test images of Fashion-MNIST, embedded in this package."""
    if folder is not None:
        raise UserError("--data goes with --dataset fashion; fashion-mini is embedded and reads no folder")
    remedy = "fashion-mini is part of this package: install it again, or make it with python -m vae.fashion_mini"
    return read_dataset("fashion-mini", EMBEDDED, FASHION_MINI, remedy)


def load_fashion(folder: Path | None) -> Dataset:
    """All of Fashion-MNIST."""
    return read_dataset("fashion", fashion_folder(folder), FASHION, HOW_TO_GET_FASHION)


HOW_TO_GET_FASHION = (
    "pass --data FOLDER with the four idx files (plain or .gz), set JSGMATH_DATA to it, or install the Debian package "
    "dataset-fashion-mnist; --dataset fashion-mini works offline"
)

MNIST = idx_files(
    60000,
    10000,
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

LOADERS: dict[DatasetName, Callable[[Path | None], Dataset]] = {
    "fashion-mini": load_fashion_mini,
    "fashion": load_fashion,
    "mnist": lambda folder: read_dataset(
        "mnist", (folder or Path(os.environ["JSGMATH_DATA"])) / "mnist", MNIST, "get it"
    ),
}


def fashion_folder(folder: Path | None) -> Path:
    """The first of the usual places that holds any file of Fashion-MNIST; a folder that the user names comes alone."""
    if folder is not None:
        roots = [folder]
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jsgmath"
        named = os.environ.get("JSGMATH_DATA")
        roots = [*([Path(named)] if named else []), Path("data"), DEBIAN, cache]
    # This project's layout, torchvision's, the bare files: these last, for MNIST's own files have the same names.
    places = [root / layout for root in roots for layout in ("fashion", "FashionMNIST/raw", "")]
    for place in places:
        # A place that lacks some of the four files is taken, and then an error: passing it by would swap silently.
        if any(find(place, file.name) for file in FASHION):
            return place
    raise UserError(f"no Fashion-MNIST under {', '.join(map(str, roots))}; {HOW_TO_GET_FASHION}")


def find(folder: Path, name: str) -> Path | None:
    """The file ``name`` in ``folder``, plain before compressed, or nothing."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_dataset(name: str, folder: Path, files: tuple[IdxFile, ...], remedy: str) -> Dataset:
    """Reads and verifies the four files in ``folder``; what is wrong with one is told together with the remedy."""
    try:
        train_images, test_images, train_labels, test_labels = (torch.from_numpy(read_idx(folder, f)) for f in files)
    except ValueError as error:
        raise UserError(f"{error}; {remedy}") from None
    return Dataset(
        name,
        pad(train_images, (2, 2, 2, 2)).unsqueeze(1),  # 28 -> 32, so that three convolutions halve it evenly
        pad(test_images, (2, 2, 2, 2)).unsqueeze(1),
        train_labels,
        test_labels,
        {file.name: file.sha256 for file in files},
    )


def read_idx(folder: Path, file: IdxFile) -> np.ndarray:
    """The array in one idx file, verified against everything that is known about it.

    Raises:
        ValueError: the file is missing, unreadable, or not the one that is meant.
    """
    path = find(folder, file.name)
    if path is None:
        raise ValueError(f"{folder / file.name}[.gz] is missing")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None

    # An idx file starts with two zero bytes, the type (8 is unsigned byte), the number of axes, and their lengths.
    header = bytes([0, 0, 8, len(file.shape)])
    if content[:4] != header:
        raise ValueError(f"{path} is no such idx file: it starts with {content[:4].hex()}, wanted {header.hex()}")
    start = 4 + 4 * len(file.shape)
    shape = tuple(int(length) for length in np.frombuffer(content[4:start].ljust(start - 4, b"\0"), ">u4"))
    if shape != file.shape:
        raise ValueError(f"{path} has shape {shape}, wanted {file.shape}")
    size = start + int(np.prod(file.shape))
    if len(content) != size:
        raise ValueError(f"{path} holds {len(content):,} bytes, wanted {size:,}: truncated or damaged")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise ValueError(f"{path} has sha256 {sha256}, wanted {file.sha256}: another data set, or damaged")
    return np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(file.shape)
