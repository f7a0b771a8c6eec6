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


def make_figures(options: FigureOptions) -> None:
    """Makes the figures and tables; prints a line for each file, then one for each missing run.

    Raises:
        UserError: a name is unknown, or a figure was named and no run for it was found.
    """
    known = ", ".join([*FIGURES, "all"])
    if not options.names:
        raise UserError(f"name at least one of {known}")
    for name in options.names:
        if name not in FIGURES and name != "all":
            raise UserError(f"there is no {name}; there are {known}")
    names = list(FIGURES) if "all" in options.names else list(dict.fromkeys(options.names))
    if "all" in options.names and not options.runs.is_dir():
        print(f"{options.runs} is not a folder, so only the figures that need no runs are made; name it with --runs")
        names = list(THEORY)
    missing: dict[str, list[str]] = {}
    empty = []
    for name in names:
        with style():
            result = FIGURES[name](options.runs)
        for run in result.missing:
            missing.setdefault(run, []).append(name)
        paths = write(result, options.out, name)
        for path in paths:
            print(path, flush=True)
        if not paths:
            empty.append(name)
    for run, wanting in missing.items():
        print(f"missing ({', '.join(wanting)}): {run}")
    nothing = f"nothing in {options.runs} to make {', '.join(empty)} from"
    if empty and "all" not in options.names:
        raise UserError(nothing)
    if empty:
        print(nothing)


def main(arguments: list[str]) -> int:
    return command_line.main("vae.figures", FigureOptions, DESCRIPTION, make_figures, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
