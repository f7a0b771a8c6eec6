"""Command lines out of dataclasses: what is wrong with one is told in a line."""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from vae.errors import UserError

T = TypeVar("T")


def place(default: str):
    """How --help shows an optional file or folder."""
    return tyro.conf.arg(metavar="PATH", help_behavior_hint=f"(default: {default})")


def parse(kind: type[T], program: str, description: str, arguments: list[str]) -> T:
    """Reads the dataclass ``kind`` from a command line; the first mistake in it is a UserError of one line."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind, prog=program, description=description, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{first_paragraph(complaint.getvalue())}; see --help") from None


def first_paragraph(box: str) -> str:
    """The complaint itself out of the box that tyro draws: what stands between its title and the next rule."""
    rows = ["" if set(row) <= set(" │╭╮╰╯─-") else row.strip(" │") for row in box.splitlines()[1:]]
    return " ".join("\n".join(rows).strip().split("\n\n")[0].split()).rstrip(".")


def run(program: str, work: Callable[[list[str]], None], arguments: list[str]) -> int:
    """The exit status of a program: 0, 2 after one line on what went wrong, 130 after Ctrl-C."""
    try:
        work(arguments)
        print(end="", flush=True)
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that was taken away
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        said = interrupt.args and interrupt.args[0]
        print(f"{program}: {said or 'stopped'}", file=sys.stderr)
        return 130
    return 0


def require(*checks: tuple[bool, str, object]) -> None:
    """Refuses the first value that the types allow and that makes no sense: whether it does, what is wanted, the value.

    >>> require((0 < 1, "--epochs must be at least 1", 1))
    """
    for holds, wanted, got in checks:
        if not holds:
            raise UserError(f"{wanted}, got {got}")
