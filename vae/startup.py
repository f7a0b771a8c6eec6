"""The first steps of ``python -m vae.PROGRAM``, before its libraries are imported, which takes seconds."""

import codecs
import os
import shutil
import signal
import sys
import threading
import warnings
from importlib.util import find_spec
from types import FrameType

NARROWEST = 40  # columns; tyro, which reads command lines, never ends in a terminal of one column
PLAIN = {"±": "+-", "‖": "||", "\N{EN DASH}": "-", "\N{GREEK SMALL LETTER ALPHA}": "alpha", "…": "..."}


def program() -> str:
    """Returns ``vae.train`` while ``python -m vae.train`` imports its packages, and otherwise an empty string."""
    after = sys.orig_argv[sys.orig_argv.index("-m") + 1 :] if "-m" in sys.orig_argv else []
    starting = sys.argv[:1] == ["-m"]  # Python replaces this by the path of the program when it has found it
    return after[0] if starting and after and after[0].partition(".")[0] == "vae" else ""


PROGRAM = program()


def prepare() -> None:
    """Prepares this process to answer in one line on any terminal and any standard output."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop_at_once)
    sys.excepthook = complain
    if not sys.warnoptions:  # -W shows them
        warnings.filterwarnings("ignore", module=r"torch(\.|$)")
    prepare_errors()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the stream was closed
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        getattr(sys, name).reconfigure(errors="vae")
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)


def prepare_errors() -> None:
    """Makes `readable` known to Python as the error handler ``vae``."""
    codecs.register_error("vae", readable)


def require_packages(name: str, packages: dict[str, str]) -> None:
    """Checks that the packages for ``name`` are installed.

    Args:
        packages: the name under which each is installed, by the name under which it is imported.

    Raises:
        ImportError: some are missing. A program prints this as its one line and ends.
    """
    missing = [package for module, package in packages.items() if not find_spec(module)]
    if missing:
        said = f"{name} needs {', '.join(missing)}; pip install {' '.join(missing)}"
        if not PROGRAM:
            raise ImportError(said)
        print(f"{PROGRAM}: {said}", file=sys.stderr)
        sys.exit(2)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Ends the program immediately; it has not started its work."""
    os.write(2, f"{PROGRAM}: stopped\n".encode())
    os._exit(130)


def complain(kind: type[BaseException], error: BaseException, traceback: object) -> None:
    """Prints one line for missing memory, and the usual traceback for any other error that nothing has caught."""
    if not no_memory(error):
        sys.__excepthook__(kind, error, traceback)  # pyright: ignore[reportArgumentType]
        return
    print(f"{PROGRAM}: {memory_line(error)}", file=sys.stderr)
    sys.exit(2)


def no_memory(error: BaseException) -> bool:
    """Whether an error, of Python, NumPy, torch or the dynamic linker, says that there is too little memory."""
    said = str(error).lower()
    words = ("out of memory", "allocate memory", "not enough memory", "failed to map segment")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError | OSError) and any(word in said for word in words)
    )


def memory_line(error: BaseException) -> str:
    said = str(error).splitlines()[:1]
    return f"out of memory{f' ({said[0]})' if said else ''}; ask for less, or allow this process more"


def readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces characters that the output cannot show: by ASCII of the same meaning, or by the bytes of a file name."""
    assert isinstance(error, UnicodeEncodeError)
    lost = error.object[error.start : error.end]
    if all("\udc80" <= letter <= "\udcff" for letter in lost):
        return lost.encode("utf-8", "surrogateescape"), error.end
    shown = "".join(PLAIN.get(letter, letter) for letter in lost)
    return shown.encode("ascii", "backslashreplace").decode(), error.end
