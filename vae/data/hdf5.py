"""Reads hdf5 files. The package h5py is imported when the first one is opened."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vae.errors import UserError


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[dict[str, Any]]:
    """The arrays at the top level of the file, by name; each is read when it is indexed or converted to NumPy.

    Raises:
        UserError: h5py is not installed.
    """
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("reading hdf5 files needs the package h5py: pip install h5py") from None
    with h5py.File(path) as file:
        yield {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
