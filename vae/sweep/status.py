"""Shows the progress of sweeps, which it reads from their folders."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.errors import UserError
from vae.sweep.folders import SWEEP, epochs_done, failure, finished, folder, recorded
from vae.training.settings import Settings


@dataclass(frozen=True)
class Which:
    """Show how far sweeps are, which runs have begun, and which have failed and why."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("sweeps")
    """The folder of a sweep, or one that holds such folders."""


def parse_status(arguments: list[str]) -> Which:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    return command_line.parse_options(Which, "python -m vae.sweep status", Which.__doc__ or "", arguments)


def show_status(options: Which) -> None:
    """Prints a line for each sweep, and one for each of its runs that has begun or failed.

    Raises:
        UserError: there is no sweep.
    """
    found = sorted([*options.folder.glob(SWEEP), *options.folder.glob(f"*/{SWEEP}")])
    if not found:
        raise UserError(f"{options.folder} holds no sweep (no {SWEEP}); python -m vae.sweep starts one")
    for path in found:
        print("\n".join(lines(path.parent)))


def lines(out: Path) -> list[str]:
    """The lines about the sweep in a folder."""
    cells = recorded(out)
    states = {cell: state(cell) for cell in cells}
    count = Counter(states.values())
    counts = ", ".join(f"{count[name]} {name}" for name in ("done", "begun", "waiting", "failed"))
    said = [f"{out}: {len(cells)} runs, {counts}"]
    for cell, name in states.items():
        if name == "begun":
            said.append(f"  begun    {cell.name()}, {epochs_done(cell)} of {cell.epochs} epochs; {last_written(cell)}")
        if name == "failed":
            said.append(f"  failed   {cell.name()}: {failure(cell)}")
    return said


def state(cell: Settings) -> str:
    """The state of a cell: done, begun, waiting or failed."""
    if finished(cell):
        return "done"
    if failure(cell) is not None:
        return "failed"
    return "begun" if (folder(cell) / "run.json").exists() else "waiting"


def last_written(cell: Settings) -> str:
    """The time of the last change in the folder of a run, which is the end of an epoch."""
    newest = max((path.stat().st_mtime for path in folder(cell).iterdir()), default=time.time())
    return f"last written {max(0.0, time.time() - newest):.0f} s ago"
