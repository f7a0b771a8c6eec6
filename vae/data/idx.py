"""The idx format of MNIST (http://yann.lecun.com/exdb/mnist), plain or compressed by gzip."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class IdxFile:
    """The name, shape and hash that a file must have."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    def array(self, content: bytes, path: Path) -> np.ndarray:
        """The array in the decompressed content, after its shape and hash are verified.

        Raises:
            ValueError: the content is damaged or another; the message names ``path``.
        """
        shape = idx_shape(content, path, len(self.shape))
        if shape != self.shape:
            raise ValueError(f"{path} has shape {shape}, wanted {self.shape}")
        array = idx_array(content, path, shape)
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != self.sha256:
            raise ValueError(f"{path} has sha256 {sha256}, wanted {self.sha256}: it is another data set, or damaged")
        return array


def find(folder: Path, name: str) -> Path | None:
    """The file ``name`` in ``folder``, or else its compressed form, or None."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_idx(folder: Path, file: IdxFile) -> np.ndarray:
    """The array in one idx file.

    Raises:
        ValueError: the file is missing, unreadable, or another file.
    """
    path = find(folder, file.name)
    if path is None:
        raise ValueError(f"{folder / file.name}[.gz] is missing")
    return file.array(read_content(path, compressed=path.suffix == ".gz"), path)


def read_content(path: Path, compressed: bool) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if compressed else content
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None


def idx_shape(content: bytes, path: Path, axes: int) -> tuple[int, ...]:
    """The lengths of the axes, as the header gives them."""
    # An idx file starts with two zero bytes, the type (8 is unsigned byte), the number of axes, and their lengths.
    header = bytes([0, 0, 8, axes])
    if content[:4] != header:
        start = content[:4].hex()
        raise ValueError(f"{path} is not an idx file of {axes} axes: it starts with {start}, wanted {header.hex()}")
    lengths = np.frombuffer(content[4 : 4 + 4 * axes].ljust(4 * axes, b"\0"), ">u4")
    return tuple(int(length) for length in lengths)


def idx_array(content: bytes, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array that follows the header."""
    start = 4 + 4 * len(shape)
    size = start + int(np.prod(shape))
    if len(content) != size:
        raise ValueError(f"{path} holds {len(content):,} bytes, wanted {size:,}: truncated or damaged")
    return np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape)


def idx_content(array: np.ndarray) -> bytes:
    """The content of an idx file with this array of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
