"""Makes the paper's figures and tables: ``python -m vae.figures --help``."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.errors import UserError
from vae.figures import curves, evidence, fig1, fig2, tables, traversals
from vae.figures.output import Result, write
from vae.style import style

THEORY = ("fig1", "fig2")

# Each is made from the folder of runs, in which the two of theory do not look.
FIGURES: dict[str, Callable[[Path], Result]] = {
    "fig1": fig1.fig1,
    "fig2": fig2.fig2,
    "fig3": curves.fig3,
    "fig4": traversals.fig4,
    "fig5": evidence.fig5,
    "table1": tables.table1,
    "appB": curves.app_b,
    "appE": curves.app_e,
    "appF": curves.app_f,
}

DESCRIPTION = """\
Make the paper's figures and tables, and beside each the numbers in it (CSV) and its caption (txt).

  python -m vae.figures fig1 fig2     the figures of theory, from nothing
  python -m vae.figures all           these, and the others as far as the runs are there
"""


@dataclass(frozen=True)
class FigureOptions:
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")]
    """Which."""

    runs: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """Where the folders of the runs are."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("figures")
    """Where the files go."""


def parse(arguments: list[str]) -> FigureOptions:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    settings = command_line.parse(FigureOptions, "python -m vae.figures", DESCRIPTION, arguments)
    known = ", ".join([*FIGURES, "all"])
    if not settings.names:
        raise UserError(f"name at least one of {known}")
    for name in settings.names:
        if name not in FIGURES and name != "all":
            raise UserError(f"there is no {name}; there are {known}")
    return settings


def make_figures(settings: FigureOptions) -> None:
    """Makes what is asked for, as far as it can be made; prints a line for each file, then one for each missing run.

    Raises:
        UserError: of something that was named, nothing could be made.
    """
    names = list(FIGURES) if "all" in settings.names else list(dict.fromkeys(settings.names))
    if "all" in settings.names and not settings.runs.is_dir():
        print(f"{settings.runs} is no folder, so only what needs no runs is made; --runs takes the one that holds them")
        names = list(THEORY)
    missing: dict[str, list[str]] = {}
    empty = []
    for name in names:
        with style():
            result = FIGURES[name](settings.runs)
        for run in result.missing:
            missing.setdefault(run, []).append(name)
        paths = write(result, settings.out, name)
        for path in paths:
            print(path, flush=True)
        if not paths:
            empty.append(name)
    for run, wanting in missing.items():
        print(f"missing ({', '.join(wanting)}): {run}")
    nothing = f"nothing in {settings.runs} to make {', '.join(empty)} from"
    if empty and "all" not in settings.names:
        raise UserError(nothing)
    if empty:
        print(nothing)


def main(arguments: list[str]) -> int:
    return command_line.run("vae.figures", lambda arguments: make_figures(parse(arguments)), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
