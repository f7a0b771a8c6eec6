"""Figures and tables: their parts, and how they are written to files."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vae.errors import UserError
from vae.files import csv_text, replacing, write
from vae.style import style

WIDTH = 5.5  # inches: a text column of the paper


@dataclass(frozen=True)
class Result:
    """A figure or table with its numbers and its caption."""

    figure: Figure | None
    rows: Sequence[Mapping[str, Any]]
    """The numbers, one mapping of column to value per row of the CSV file."""

    caption: str
    missing: Sequence[str] = ()
    """A line for the user for each run that is missing."""

    tables: Mapping[str, str] | None = None
    """The table as text, by suffix: ``md``, ``tex``."""


def write_result(result: Result, folder: Path, name: str) -> list[Path]:
    """Writes NAME.png, .pdf, .csv, .md, .tex and the caption as .txt, without the empty ones; returns the paths.

    The same result always gives the same bytes.

    Raises:
        UserError: the folder cannot be written.
    """
    paths = []
    texts = {**(result.tables or {}), "txt": textwrap.fill(result.caption, 100) + "\n"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if result.figure is not None:
            fix_layout(result.figure)
            for suffix, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
                paths.append(folder / f"{name}.{suffix}")
                with replacing(paths[-1]) as file, style():
                    result.figure.savefig(file, format=suffix, metadata=metadata)
        if result.rows:
            paths.append(folder / f"{name}.csv")
            write(paths[-1], csv_text(result.rows))
        for suffix, text in texts.items() if paths or result.tables else ():
            paths.append(folder / f"{name}.{suffix}")
            write(paths[-1], text)
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror}") from None
    return paths


def fix_layout(figure: Figure) -> None:
    """Fixes the layout, because constrained layout would change it a little each time the figure is written."""
    with style():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
