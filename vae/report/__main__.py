"""Makes a page of runs: ``python -m vae.report --help``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.command_line import place
from vae.errors import UserError
from vae.files import replacing
from vae.report.collect import collect
from vae.report.page import build_page

DESCRIPTION = """\
Make one page of one file, for any browser, without network or server. On top two Gaussians to drag, their geometric
mean, and JSG, JSG* and both KLs over alpha; below, for each run, curves, reconstructions, traversals and samples, which
follow the slider of alpha, a table with intervals, and the numbers as CSV. Without RUN the page has the upper part
alone. A run that is damaged is named on stderr, the others are shown, and the exit status is 2.

  python -m vae.report runs -o report.html
  python -m vae.report runs/mnist-jsg-0.3 sweeps/mnist     folders of runs, or runs
"""


@dataclass(frozen=True)
class ReportOptions:
    """What to show and where to write it."""

    runs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]", help_behavior_hint="(may be none)")
    ] = ()
    """Folders of runs, at any depth, or runs. Pictures need the model and its images; runs without have the rest."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE", aliases=["-o"])] = Path("report.html")
    """Where the page goes."""

    data: Annotated[Path | None, place("the usual places are searched")] = None
    """Where the files of the runs' data set are."""


def write_report(options: ReportOptions) -> int:
    """Writes the page, and names damaged and omitted runs on stderr.

    Returns:
        2 if a run is damaged, otherwise 0.

    Raises:
        UserError: runs were named and there is none that can be shown, or the page cannot be written.
    """
    found = collect(options.runs, options.data)
    for line in [*found.damaged, *found.left_out]:
        print(f"vae.report: {line}", file=sys.stderr, flush=True)
    if options.runs and not found.comparisons:
        raise UserError(f"{', '.join(map(str, options.runs))}: no run that has finished")
    page = build_page(found)
    try:
        with replacing(options.out) as path:
            path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {options.out}: {error.strerror}") from None
    count = len(found.shown)
    print(f"{options.out}: {count} run{'s' * (count != 1)}, {len(page.encode()) / 1000:,.0f} kB")
    return 2 if found.damaged else 0


def main(arguments: list[str]) -> int:
    return command_line.main("vae.report", ReportOptions, DESCRIPTION, write_report, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
