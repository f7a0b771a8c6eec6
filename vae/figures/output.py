"""What a figure or table consists of, how it looks, and how it is written."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from vae.errors import UserError
from vae.files import replacing

WIDTH = 5.5  # inches: a text column of the paper
INK = "#333333"

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart. A divergence has one colour and
# one name in all figures.
COLOURS = {
    "kl-qp": "#0072B2",
    "kl-pq": "#56B4E9",
    "js": "#CC79A7",
    "jsg": "#D55E00",
    "jsg-dual": "#009E73",
    "mmd": "#E69F00",
}
LABELS = {
    "kl-qp": r"$\mathrm{KL}(q\,\Vert\,p)$",
    "kl-pq": r"$\mathrm{KL}(p\,\Vert\,q)$",
    "js": r"$\mathrm{JS}$",
    "jsg": r"$\mathrm{JS}^{\mathrm{G}_\alpha}$",
    "jsg-dual": r"$\mathrm{JS}^{\mathrm{G}_\alpha}_{*}$",
    "mmd": r"$\mathrm{MMD}$",
}

STYLE = {
    "font.family": "STIXGeneral",  # Times' shapes, as in the paper; matplotlib brings it along
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.handlelength": 1.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
}


@dataclass(frozen=True)
class Result:
    """A figure or table with the numbers in it and what must be known to read it."""

    figure: Figure | None
    rows: Sequence[Mapping[str, Any]]
    """The numbers, one mapping of column to value per row of the CSV file."""

    caption: str
    missing: Sequence[str] = ()
    """Runs that are wanted and not there, each as the user should read it."""

    tables: Mapping[str, str] | None = None
    """The same as text by suffix: ``md``, ``tex``."""


def style() -> AbstractContextManager[None]:
    """Where figures are to be built and written; nothing of the user's own matplotlibrc shows in them."""
    return matplotlib.style.context(["default", STYLE])


def write(result: Result, folder: Path, name: str) -> list[Path]:
    """Writes name.png, .pdf, .csv, .md, .tex and .txt, the caption, as far as there is anything, and returns the paths.

    Written again, every file has the same bytes.

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
                with replacing(paths[-1]) as path, style():
                    result.figure.savefig(path, metadata=metadata)
        if result.rows:
            paths.append(folder / f"{name}.csv")
            with replacing(paths[-1]) as path:
                path.write_text(csv_text(result.rows), newline="")
        for suffix, text in texts.items() if paths or result.tables else ():
            paths.append(folder / f"{name}.{suffix}")
            with replacing(paths[-1]) as path:
                path.write_text(text)
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror}") from None
    return paths


def fix_layout(figure: Figure) -> None:
    """Else constrained layout would move everything by a hair each time the figure is written."""
    with style():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """As CSV; numbers with all their digits, a column that a row does not have is left empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
