"""The parts that all programs share: command lines read into dataclasses, one-line errors, exit statuses, signals."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro

from vae.errors import UserError
from vae.startup import memory_line, no_memory, stop_at_once

T = TypeVar("T")


def place(default: str):
    """Shows an optional file or folder in --help."""
    return tyro.conf.arg(metavar="PATH", help_behavior_hint=f"(default: {default})")


def run_command(
    program: str, options: Any, description: str, work: Callable[[Any], int | None], arguments: list[str]
) -> int:
    """Reads the options of ``python -m PROGRAM``, does the work and returns the exit status.

    Args:
        options: the dataclass of the options, or a union of dataclasses for a program with subcommands.
        work: the function that gets the options; it returns an exit status, or None for 0.
    """
    return run_program(
        program, lambda given: work(parse_options(options, f"python -m {program}", description, given)), arguments
    )


def parse_options(kind: type[T], program: str, description: str, arguments: list[str]) -> T:
    """Reads a command line into the dataclass ``kind``.

    Raises:
        UserError: one line about the first mistake in it.
    """
    refuse_repeated(arguments)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                prog=program,
                description=description,
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff,),
                registry=PATHS,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{first_paragraph(complaint.getvalue())}; see --help") from None


def refuse_repeated(arguments: list[str]) -> None:
    """Refuses an option that is given twice, because only the last would count."""
    options = [argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")]
    for option in options:
        if options.count(option) > 1:
            raise UserError(f"{option} is given {options.count(option)} times; give it once")


def path_of(words: list[str]) -> Path:
    if not words[0]:
        raise UserError("a path must not be empty, got ''; the current folder is .")
    return Path(words[0])


PATHS = tyro.constructors.ConstructorRegistry()


@PATHS.primitive_rule
def path_rule(found: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Path] | None:
    """Reads paths as tyro does, but refuses the empty path, which would be the current folder."""
    if found.type is not Path:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=path_of,
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )


def first_paragraph(box: str) -> str:
    """The text between the title and the first rule of the box that tyro draws, which is the message itself."""
    rows = ["" if set(row) <= set(" │╭╮╰╯─-") else row.strip(" │") for row in box.splitlines()[1:]]
    return " ".join("\n".join(rows).strip().split("\n\n")[0].split()).rstrip(".")


def run_program(program: str, work: Callable[[list[str]], int | None], arguments: list[str]) -> int:
    """Calls ``work`` with the arguments and returns the program's exit status.

    The status is that of ``work`` (None stands for 0), 2 after an error, which is printed as one line, or 130 after
    Ctrl-C.
    """
    listen_to_signals()
    try:
        status = work(arguments) or 0
        print(end="", flush=True)
    except BrokenPipeError:  # the reader of the output, such as head, closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (UserError, OSError, RuntimeError, MemoryError) as error:  # OSError: a full disk, or a removed folder
        if not isinstance(error, UserError | OSError) and not no_memory(error):
            raise
        print(f"{program}: {memory_line(error) if no_memory(error) else error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        message = interrupt.args and interrupt.args[0]
        print(f"{program}: {message or 'stopped'}", file=sys.stderr)
        return 130
    return status


def listen_to_signals() -> None:
    """Makes SIGINT and SIGTERM stop this program and the processes that it starts, even if it was started to ignore
    them, as a shell starts background jobs to ignore SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python sets signal handlers in the main thread only
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) in (signal.SIG_IGN, stop_at_once):
            signal.signal(number, handler)


def require(*checks: tuple[bool, str, object]) -> None:
    """Refuses the first value that fails its check; each check is (whether it holds, what is wanted, the value).

    >>> require((0 < 1, "--epochs must be at least 1", 1))
    """
    for holds, wanted, got in checks:
        if not holds:
            raise UserError(f"{wanted}, got {got}")
