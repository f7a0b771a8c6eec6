"""Makes the paper's figures and tables: ``python -m vae.figures --help``."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.errors import UserError
from vae.figures import curves, evidence, fig1, fig2, learning, tables, traversals
from vae.figures.output import Result, write_result
from vae.style import style
from vae.threads import choose_threads

THEORY = ("fig1", "fig2")

# Each takes the folder of runs; fig1 and fig2 ignore it.
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
    "curves": learning.learning_curves,
}

DESCRIPTION = """\
Make the paper's figures and tables, each with its numbers (CSV) and its caption (txt).

  python -m vae.figures fig1 fig2     the figures that need no runs
  python -m vae.figures all           all figures and tables for which there are runs
"""


@dataclass(frozen=True)
class FigureOptions:
    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME ...")]
    """Figures and tables to make, or all."""

    runs: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """The folder with the runs, at any depth."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("figures")
    """The folder for the files."""


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
            raise UserError(f"there is no {name}; name one of {known}")
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
        paths = write_result(result, options.out, name)
        for path in paths:
            print(path, flush=True)
        if not paths:
            empty.append(name)
    for run, wanting in missing.items():
        print(f"missing ({', '.join(wanting)}): {run}")
    nothing = f"{options.runs} has no runs for {', '.join(empty)}"
    if empty and "all" not in options.names:
        raise UserError(nothing)
    if empty:
        print(nothing)


def main(arguments: list[str]) -> int:
    return command_line.run_command("vae.figures", FigureOptions, DESCRIPTION, make_figures, arguments)


if __name__ == "__main__":
    choose_threads()
    sys.exit(main(sys.argv[1:]))
