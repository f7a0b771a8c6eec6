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
        ValueError: an array is in another file.
    """
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("reading hdf5 files needs the package h5py: pip install h5py") from None
    with h5py.File(path) as file:
        arrays = {}
        for name in file:
            if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
                raise ValueError(f"{name} is a link to another file; copy the array into this one")
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ValueError(f"{name} is stored in another file; copy the array into this one")
                arrays[name] = item
        yield arrays
