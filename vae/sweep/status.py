"""How far the sweeps of a queue are."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.errors import UserError
from vae.sweep.queue import Queue, Status
from vae.sweep.storage import JOURNAL
from vae.training.environment import without_password


@dataclass(frozen=True)
class Which:
    """How far the sweeps of a queue are, what is being trained and by whom, and what failed."""

    storage: Annotated[
        str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: the journals under sweeps/)")
    ] = None
    """The queue: postgresql://USER@HOST/NAME, mysql://..., or a journal."""


def parse(arguments: list[str]) -> Which:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    return command_line.parse(Which, "python -m vae.sweep status", Which.__doc__ or "", arguments)


def show(options: Which) -> None:
    """Prints a line for each sweep, and one for each of its runs that is being trained or has failed.

    Raises:
        UserError: there is no sweep.
    """
    journals = [str(path) for path in sorted(Path("sweeps").glob(f"*/{JOURNAL}"))]
    storages = [options.storage] if options.storage else journals
    if not storages:
        raise UserError(f"there is no sweeps/*/{JOURNAL}; name the queue with --storage")
    sweeps = [(storage, name) for storage in storages for name in Queue.names(storage)]
    if not sweeps:
        raise UserError(
            f"there is no sweep in {', '.join(map(without_password, storages))}; python -m vae.sweep starts one"
        )
    for storage, name in sweeps:
        print("\n".join(lines(name, Queue(storage, name).status())))


def lines(name: str, cells: list[Status]) -> list[str]:
    count = Counter(cell.state for cell in cells)
    states = ", ".join(f"{count[state]} {state}" for state in ("done", "running", "waiting", "failed"))
    said = [f"{name}: {len(cells)} runs, {states}"]
    for cell in cells:
        if cell.state == "running":
            seen = "not seen yet" if cell.age is None else f"{cell.worker}, seen {cell.age:.0f} s ago"
            said.append(f"  running  {cell.name}, {cell.epoch or 0} of {cell.settings.epochs} epochs; {seen}")
        if cell.state == "failed":
            said.append(f"  failed   {cell.name}: {cell.message}")
    return said
