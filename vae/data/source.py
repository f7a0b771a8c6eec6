"""Where data sets are looked for."""

import hashlib
import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from vae.data.dataset import Dataset, DatasetName
from vae.errors import UserError


def cache_folder() -> Path:
    """This program's folder among the caches of the user, where the platform keeps them."""
    home = Path.home()
    if sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return caches / "jsgmath"


def destination() -> Path:
    """Where ``python -m vae.data get`` puts things."""
    return Path(os.environ.get("JSGMATH_DATA") or cache_folder())


@dataclass(frozen=True)
class Source(ABC):
    """A data set that has a name of its own: where it may be, how to tell that it is the right one, how to get it.

    It is looked for under the path that the user names, and nowhere else then; otherwise under $JSGMATH_DATA, ./data,
    the folder of a system package and the cache folder, in this order.
    """

    name: DatasetName
    title: str
    """As its makers call it."""
    images: str
    """How many."""
    how: str
    """The simplest way to get it."""
    otherwise: str
    """The other ways."""
    layouts: tuple[str, ...]
    """What may be its place under each of the folders that are searched."""
    packaged: tuple[Path, ...] = ()
    """Where system packages put it."""

    @abstractmethod
    def holds(self, place: Path) -> bool:
        """Whether anything of the data set is there."""

    @abstractmethod
    def check(self, place: Path) -> str:
        """Verifies what is there and says by what; quick enough for a table of all data sets.

        Raises:
            ValueError: it is not what its name says.
        """

    @abstractmethod
    def read(self, place: Path) -> Dataset:
        """All of it, verified.

        Raises:
            ValueError: it is not what its name says.
        """

    @property
    def remedy(self) -> str:
        """All ways to get it, for the end of an error's line."""
        return f"{self.how}; {self.otherwise}"

    def roots(self, path: Path | None) -> list[Path]:
        if path is not None:
            return [path]
        named = os.environ.get("JSGMATH_DATA")
        return [*([Path(named)] if named else []), Path("data"), *self.packaged, cache_folder()]

    def find(self, path: Path | None = None) -> Path | None:
        """The first place that holds any of it.

        A place that lacks a part is taken, and is then an error: passing it by would swap silently.
        """
        places = (root / layout for root in self.roots(path) for layout in self.layouts)
        return next((place for place in places if self.holds(place)), None)

    def place(self, path: Path | None = None) -> Path:
        """The same, or an error that names the ways to get it.

        Raises:
            UserError: it is nowhere.
        """
        place = self.find(path)
        if place is None:
            raise UserError(f"no {self.title} under {', '.join(map(str, self.roots(path)))}; {self.remedy}")
        return place

    def load(self, path: Path | None = None) -> Dataset:
        """Finds and reads it.

        Raises:
            UserError: it is missing, damaged, or not what its name says; with the ways to get it.
        """
        place = self.place(path)
        try:
            return self.read(place)
        except ValueError as error:
            raise UserError(f"{error}; {self.remedy}") from None


def check_hash(path: Path, algorithm: str, wanted: str) -> None:
    """Compares a whole file's hash.

    Raises:
        ValueError: it is another one.
    """
    with path.open("rb") as file:
        got = hashlib.file_digest(file, algorithm).hexdigest()
    if got != wanted:
        raise ValueError(f"{path} has {algorithm} {got}, wanted {wanted}: another file, or truncated or damaged")


def hash_of_list(hashes: dict[str, str]) -> str:
    """One sha256 for many files: that of what ``sha256sum`` prints for them, sorted by name."""
    return hashlib.sha256("".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()).hexdigest()
