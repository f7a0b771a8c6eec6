"""Makes a page about runs: ``python -m vae.report --help``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.command_line import place
from vae.errors import UserError
from vae.files import utf8, write
from vae.report.collect import collect
from vae.report.page import build_page
from vae.threads import choose_threads

DESCRIPTION = """\
Make one HTML file that any browser opens without a network or a server. Its upper part has two Gaussians to drag, their
geometric mean, and JSG, JSG* and both KLs against alpha. Its lower part shows the runs: plots against alpha, a table
with intervals, the curves and pictures in the runs' folders, and the numbers as CSV. Without RUN the page has only the
upper part. If a run is damaged, the program names it on stderr, shows the others, and ends with status 2.

  python -m vae.report runs -o report.html
  python -m vae.report runs/mnist-jsg-0.3 sweeps/mnist     folders of runs, or runs
"""


@dataclass(frozen=True)
class ReportOptions:
    """The runs that the page shows, and the file that it is written to."""

    runs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]", help_behavior_hint="(may be none)")
    ] = ()
    """Folders of runs, at any depth, or single runs."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE", aliases=["-o"])] = Path("report.html")
    """The file to write."""

    data: Annotated[Path | None, place("the usual places are searched")] = None
    """Where the images of the runs' data set are, for runs that left a model but no pictures."""


def write_report(options: ReportOptions) -> int:
    """Writes the page, and names damaged and omitted runs on stderr.

    Returns:
        2 if a run is damaged, otherwise 0.

    Raises:
        UserError: none of the named runs can be shown, or the page cannot be written.
    """
    contents = collect(options.runs, options.data)
    for line in [*contents.damaged, *contents.left_out]:
        print(f"vae.report: {line}", file=sys.stderr, flush=True)
    if options.runs and not contents.sections:
        raise UserError(f"{', '.join(map(str, options.runs))}: no finished run can be shown")
    page = build_page(contents)
    try:
        write(options.out, page)
    except OSError as error:
        raise UserError(f"cannot write {options.out}: {error.strerror}") from None
    count = len(contents.shown)
    print(f"{options.out}: {count} run{'s' * (count != 1)}, {len(utf8(page)) / 1000:,.0f} kB")
    return 2 if contents.damaged else 0


def main(arguments: list[str]) -> int:
    return command_line.run_command("vae.report", ReportOptions, DESCRIPTION, write_report, arguments)


if __name__ == "__main__":
    choose_threads()
    sys.exit(main(sys.argv[1:]))
