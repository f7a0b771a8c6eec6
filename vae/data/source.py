"""Data sets with a name, and the places where they are searched for."""

import hashlib
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from vae.data.dataset import Dataset, DatasetName
from vae.errors import UserError


def cache_folder() -> Path:
    """This program's folder in the user's cache folder, which depends on the platform."""
    try:
        home = Path.home()
    except RuntimeError:  # this user has no home
        home = Path(tempfile.gettempdir())
    if sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return caches / "jsgmath"


def destination() -> Path:
    """The folder into which ``python -m vae.data get`` fetches."""
    return Path(os.environ.get("JSGMATH_DATA") or cache_folder())


@dataclass(frozen=True)
class Source(ABC):
    """A data set with a name: where it may be, how to verify it, and how to get it.

    If the user names a path, it is searched for there only; otherwise under $JSGMATH_DATA, ./data, the folder of a
    system package and the cache folder, in this order.
    """

    name: DatasetName
    title: str
    """Its published name."""
    images: str
    """The numbers of training and test images."""
    how: str
    """The simplest way to get it."""
    otherwise: str
    """The other ways."""
    layouts: tuple[str, ...]
    """Its possible paths below each folder that is searched."""
    packaged: tuple[Path, ...] = ()
    """The folders of system packages that contain it."""

    @abstractmethod
    def holds(self, place: Path) -> bool:
        """Whether any part of the data set is there."""

    @abstractmethod
    def check(self, place: Path) -> str:
        """Verifies the files there, quickly enough for a table of all data sets, and returns the method.

        Raises:
            ValueError: the files are damaged or another data set.
        """

    @abstractmethod
    def read(self, place: Path) -> Dataset:
        """Reads and verifies the whole data set.

        Raises:
            ValueError: the files are damaged or another data set.
        """

    @property
    def remedy(self) -> str:
        """How to get the data set, for the end of an error message."""
        return f"{self.how}; {self.otherwise}"

    def roots(self, path: Path | None) -> list[Path]:
        if path is not None:
            return [path]
        named = os.environ.get("JSGMATH_DATA")
        return [*([Path(named)] if named else []), Path("data"), *self.packaged, cache_folder()]

    def find(self, path: Path | None = None) -> Path | None:
        """The first place with any part of the data set, or None.

        This may be a place that lacks a part. Reading it is then an error; no other place is used silently.
        """
        places = (root / layout for root in self.roots(path) for layout in self.layouts)
        return next((place for place in places if self.holds(place)), None)

    def place(self, path: Path | None = None) -> Path:
        """The first place that holds any part of it.

        Raises:
            UserError: there is none; the message names the ways to get the data set.
        """
        place = self.find(path)
        if place is None:
            raise UserError(f"no {self.title} under {', '.join(map(str, self.roots(path)))}; {self.remedy}")
        return place

    def load(self, path: Path | None = None) -> Dataset:
        """Finds and reads it.

        Raises:
            UserError: it is missing, damaged, or another data set; the message names the ways to get it.
        """
        place = self.place(path)
        try:
            return self.read(place)
        except ValueError as error:
            raise UserError(f"{error}; {self.remedy}") from None


def check_hash(path: Path, algorithm: str, wanted: str) -> None:
    """Compares the hash of a whole file.

    Raises:
        ValueError: the hash differs.
    """
    with path.open("rb") as file:
        got = hashlib.file_digest(file, algorithm).hexdigest()
    if got != wanted:
        raise ValueError(f"{path} has {algorithm} {got}, wanted {wanted}: it is another file, truncated or damaged")


def hash_of_list(hashes: dict[str, str]) -> str:
    """One sha256 for many files: the hash of the output of ``sha256sum`` for them, sorted by name."""
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()
