"""Your own images: ``--dataset own --data PATH``.

PATH is one of

- a folder with ``train-images-idx3-ubyte`` and, if there is a test part, ``t10k-images-idx3-ubyte`` and perhaps
  ``t10k-labels-idx1-ubyte``, plain or .gz; or one idx file of images;
- an npz or hdf5 file with ``x_train``, ``x_test`` and perhaps ``y_test``, or ``train_images``, ``test_images`` and
  perhaps ``test_labels``, or a single array of images;
- a folder of pictures, searched to any depth, links to folders included; if it has folders called ``train`` and
  ``test`` (or else ``val``), in capitals or not, they are the two parts. Hidden files and folders and
  ``__MACOSX`` are left out.

If there is no test part, a fixed random tenth of the images is taken.

Arrays are ``count x size x size``; an axis of length 1, the channel, may come second or last. Bytes are grey levels.
Floats must lie in [0, 1], up to rounding, and are rounded to 256 levels. Booleans are black and white. Images of
28 x 28 are padded with zeros, 32 x 32 and 64 x 64 are used unchanged, and other sizes are refused. Pictures are turned
as their EXIF data say and converted to grey on white. 16-bit levels are divided by 65535, or by the maximum that the
file states, and files of several frames are refused. If the pictures do not all have one of these sizes, each needs at
least 64 pixels in both directions, and its middle square is resized to 64 x 64.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vae.data.dataset import Dataset, hold_out, pad_to_32
from vae.data.decode import ENDINGS, ROUNDING, crop_and_resize, decode_grey, size_of
from vae.data.hdf5 import open_hdf5
from vae.data.idx import find, idx_array, idx_shape, read_content
from vae.data.source import hash_of_list
from vae.errors import UserError

T = TypeVar("T")

SIZES = (28, 32, 64)
IDX = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
PARTS = (IDX, ("x_train", "x_test", "y_test"), ("train_images", "test_images", "test_labels"))
"""Names of the training images, the test images and the test labels."""
TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
"""Names of the folders of training and test pictures, in capitals or not; the first that is there is taken."""
GZIP = b"\x1f\x8b"
ACCEPTED = "wanted an idx, npz or hdf5 file, or a folder with idx files or pictures (see python -m vae.data --help)"


def load_own(path: Path | None) -> Dataset:
    """The images at ``path``.

    Raises:
        UserError: there are none, or they have another form than this module describes.
    """
    if path is None:
        raise UserError(f"--dataset own needs --data PATH: {ACCEPTED}")
    try:
        return read(path)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from None


def read(path: Path) -> Dataset:
    if path.is_dir():
        files = {name: found for name in IDX if (found := find(path, name))}
        if not files:
            return pictures(path)
        if IDX[0] not in files:
            raise ValueError(f"{path / IDX[0]}[.gz] is missing")
        return from_arrays(without_bad_labels(files, read_any_idx), path)
    if not path.exists():
        raise ValueError(f"{path} does not exist; {ACCEPTED}")
    if not path.is_file():
        raise ValueError(f"{path} is a pipe or a device; {ACCEPTED}")
    with path.open("rb") as file:
        start = file.read(8)
    if start[:3] == b"\0\0\x08" or start[:2] == GZIP:
        return from_arrays({path.name: read_any_idx(path)}, path)
    if start[:4] != b"PK\x03\x04" and start != b"\x89HDF\r\n\x1a\n":
        raise ValueError(f"{path} starts with {start[:4].hex() or 'nothing'}; {ACCEPTED}")
    try:
        with path.open("rb") as file, np.load(file) if start[:2] == b"PK" else open_hdf5(path) as archive:
            names = {name: name for name in chosen(archive, path)}
            arrays = without_bad_labels(names, lambda name: np.asarray(archive[name]))
    except UserError:
        raise
    except Exception as error:  # which one zipfile, NumPy or h5py raises depends on the damage
        raise ValueError(f"{path} cannot be read ({first_line(error)})") from None
    return from_arrays(arrays, path)


def without_bad_labels(places: Mapping[str, T], read: Callable[[T], np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by name. Labels that cannot be read are left out, as images are trained on without them."""
    arrays = {}
    for name, place in places.items():
        labels = name in {parts[2] for parts in PARTS}
        with contextlib.suppress(Exception) if labels else contextlib.nullcontext():
            arrays[name] = read(place)
    return arrays


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's type if it has no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_any_idx(path: Path) -> np.ndarray:
    """The array in an idx file of images, or of labels if the name is that of labels."""
    content = read_content(path)
    return idx_array(content, path, idx_shape(content, path, 1 if IDX[2] in path.name else 3))


def chosen(archive: Mapping[str, Any], path: Path) -> list[str]:
    """The names of the arrays to use."""
    names = list(archive)
    for parts in PARTS:
        if parts[0] in names:
            return [name for name in parts if name in names]
    if len(names) == 1:
        return names
    raise UserError(
        f"{path} holds {', '.join(names) or 'no array'}; wanted x_train and x_test, train_images and test_images, or a "
        "single array"
    )


def from_arrays(arrays: dict[str, np.ndarray], path: Path) -> Dataset:
    """The data set of training images and, if they are there, test images and test labels."""
    sha256 = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
    names = next((parts for parts in PARTS if parts[0] in arrays), (*arrays, "", ""))
    images = [grey_levels(arrays[name], f"{name} in {path}") for name in names[:2] if name in arrays]
    labels = arrays.get(names[2])
    if labels is not None and (labels.dtype.kind not in "iu" or len(images) < 2 or labels.shape != images[1].shape[:1]):
        labels = None  # labels only choose the images of a picture, and may have any form
    return dataset(images, None if labels is None else torch.from_numpy(labels.astype(np.int64)), sha256, path)


def grey_levels(array: np.ndarray, name: str) -> Tensor:
    """The array as ``count x 1 x size x size`` bytes."""
    given = array.shape
    if array.ndim == 4 and 1 in (given[1], given[3]):
        array = array.squeeze(1 if given[1] == 1 else 3)
    if array.ndim != 3 or array.shape[1] != array.shape[2] or array.shape[1] not in SIZES or not len(array):
        raise ValueError(
            f"{name} has shape {given}; wanted count x size x size, grey, size 28, 32 or 64; resize the images"
        )
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype.kind == "f":
        if not (array.min() >= -ROUNDING and array.max() <= 1 + ROUNDING):  # also refuses NaN
            raise ValueError(f"{name} has floats from {array.min():g} to {array.max():g}; wanted [0, 1], or bytes")
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"{name} is of type {array.dtype}; wanted bytes, floats in [0, 1] or booleans")
    elif array.max() == 1:
        raise ValueError(f"{name} has bytes that are 0 or 1 only; save booleans, or multiply by 255")
    elif 1 < array.max() <= 15:
        raise ValueError(
            f"{name} has bytes from 0 to {array.max()} only, of 255 grey levels; multiply them by "
            f"{255 // int(array.max())}, or add a white pixel if the images are that dark"
        )
    images = torch.from_numpy(np.ascontiguousarray(array)).unsqueeze(1)
    return pad_to_32(images) if images.shape[-1] == 28 else images


def pictures(path: Path) -> Dataset:
    """The data set of all pictures in a folder."""
    folders = split_folders(path) or [path]
    parts = [sorted(picture_files(folder)) for folder in folders]
    for folder, files in zip(folders, parts, strict=True):
        if not files:
            raise ValueError(f"{folder} holds no pictures; {ACCEPTED}")
    sizes = {size_of(file) for files in parts for file in files}
    as_they_are = len(sizes) == 1 and sizes <= {(size, size) for size in SIZES}
    hashes: dict[str, str] = {}
    images = []
    for files in parts:
        arrays = []
        for file in tqdm(files, desc="decoding pictures", unit=" images", leave=False, disable=None):
            content = file.read_bytes()
            hashes[file.relative_to(path).as_posix()] = hashlib.sha256(content).hexdigest()
            image = decode_grey(content, file)
            if not as_they_are:
                side = min(image.size)
                if side < 64:
                    raise ValueError(
                        f"{file} has {image.width} x {image.height} pixels; wanted all pictures of 28 x 28, 32 x 32 or "
                        "64 x 64, or all with at least 64 pixels in both directions"
                    )
                image = crop_and_resize(image, side, 64)
            arrays.append(np.asarray(image))
        images.append(grey_levels(np.stack(arrays), str(path)))
    note = "" if as_they_are else "; the middle square of each picture was resized to 64 x 64"
    return dataset(images, None, {"pictures": hash_of_list(hashes)}, path, note)


def split_folders(path: Path) -> list[Path]:
    """The folders of training and of test pictures, or nothing if one of them is not there.

    Raises:
        ValueError: the names of two folders differ only in the case of their letters.
    """
    found: dict[str, Path] = {}
    for folder in sorted(path.iterdir()):
        name = folder.name.lower()
        if name in TRAIN + TEST and folder.is_dir():
            if name in found:
                raise ValueError(f"{path} has {found[name].name} and {folder.name}; wanted one of them")
            found[name] = folder
    chosen = [next((found[name] for name in names if name in found), None) for names in (TRAIN, TEST)]
    return [folder for folder in chosen if folder] if all(chosen) else []


def picture_files(folder: Path) -> Iterator[Path]:
    """The pictures below a folder, at any depth and through links, without hidden files and folders.

    Raises:
        ValueError: a link leads back to a folder above it, or a picture is a pipe or a device.
    """
    above: dict[str, tuple[int, int]] = {}
    for place, names, files in os.walk(folder, followlinks=True):
        names[:] = [name for name in names if not hidden(name)]
        status = os.stat(place)
        above[place] = status.st_dev, status.st_ino
        parents = [str(parent) for parent in Path(place).parents if str(parent) in above]
        if any(above[parent] == above[place] for parent in parents):
            raise ValueError(f"{place} is a link to a folder above it; remove it")
        for name in files:
            path = Path(place, name)
            if path.suffix.lower() in ENDINGS and not hidden(name):
                if not path.is_file():
                    raise ValueError(f"{path} is a pipe, a device or a broken link; wanted a picture")
                yield path


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden, such as those that macOS and Jupyter leave behind."""
    return name.startswith(".") or name == "__MACOSX"


def dataset(images: list[Tensor], labels: Tensor | None, sha256: dict[str, str], path: Path, note: str = "") -> Dataset:
    """The data set of training images and, if there are any, test images."""
    if len(images) == 2:
        train, test = images
        if train.shape[1:] != test.shape[1:]:
            sizes = f"{train.shape[-1]} x {train.shape[-1]} pixels, test images {test.shape[-1]} x {test.shape[-1]}"
            raise ValueError(f"training images in {path} have {sizes}; wanted equal sizes")
        return Dataset("own", train, test, labels, sha256, f"as in {path.name}{note}")
    if len(images[0]) < 2:
        raise ValueError(f"{path} holds one image only; wanted at least two, one for testing")
    train, test = (images[0][torch.from_numpy(indices)] for indices in hold_out(len(images[0])))
    split = f"{len(test):,} of {len(images[0]):,} images, a fixed random choice, are for testing only{note}"
    return Dataset("own", train, test, None, sha256, split)
