"""The state of a sweep, kept in its folder: ``sweep.json`` lists its runs, and each run has a folder in it."""

import json
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vae.errors import UserError
from vae.files import write
from vae.runs.run import DAMAGE, read_run
from vae.training.folder import plain, read_facts
from vae.training.settings import Settings, check

SWEEP = "sweep.json"
FAILED = "failed.txt"  # the file in the folder of a run that says why it failed


def record_cells(out: Path, cells: list[Settings]) -> None:
    """Adds the cells to the list in the sweep's folder.

    Raises:
        UserError: the list has one of them with other settings; only the number of epochs may grow.
    """
    known = {cell.name(): cell for cell in recorded(out)} if (out / SWEEP).exists() else {}
    for cell in cells:
        now, before = plain(cell), plain(known.get(cell.name(), cell))
        if before | {"epochs": max(before["epochs"], cell.epochs)} != now:
            changed = ", ".join(f"{key} {before[key]} (now {now[key]})" for key in now if now[key] != before[key])
            raise UserError(f"{out} has {cell.name()} with {changed}; name another --out")
        known[cell.name()] = cell
    out.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(plain(cell)) for cell in known.values())
    write(out / SWEEP, f"[\n{lines}\n]\n")


def recorded(out: Path) -> list[Settings]:
    """The cells of the sweep in a folder.

    Raises:
        UserError: its ``sweep.json`` is damaged.
    """
    try:
        cells = [Settings(**settings) for settings in json.loads((out / SWEEP).read_text(encoding="utf-8"))]
        for cell in cells:
            check(cell)
    except DAMAGE as error:
        raise UserError(f"{out / SWEEP} is damaged ({type(error).__name__}: {error}); delete it") from None
    return [replace(cell, out=out / cell.name()) for cell in cells]


def folder(cell: Settings) -> Path:
    """The folder of the cell's run."""
    assert cell.out
    return cell.out


def finished(cell: Settings) -> bool:
    """Whether the cell's folder holds the whole run: its model, which is written last, is from the last epoch."""
    try:
        if read_facts(folder(cell))["settings"] != plain(cell):
            return False
        with safe_open(folder(cell) / "model.safetensors", "pt") as model:
            return model.metadata()["epoch"] == str(cell.epochs)
    except (OSError, ValueError, LookupError, TypeError, SafetensorError):
        return False


def epochs_done(cell: Settings) -> int:
    """The number of epochs that the cell's run has finished."""
    try:
        return read_run(folder(cell)).epochs
    except UserError:
        return 0


def fail(cell: Settings, reason: str) -> None:
    """Marks the cell as failed."""
    folder(cell).mkdir(parents=True, exist_ok=True)
    write(folder(cell) / FAILED, f"{reason}\n")


def failure(cell: Settings) -> str | None:
    """The reason why the cell has failed, or None."""
    try:
        return (folder(cell) / FAILED).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def forgive(cell: Settings) -> None:
    """Removes the mark of failure from a cell that will be tried again."""
    (folder(cell) / FAILED).unlink(missing_ok=True)
