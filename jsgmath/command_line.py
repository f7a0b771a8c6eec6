"""``python -m jsgmath`` computes divergences between Gaussians that are stored in files."""

import argparse
import csv
import errno
import io
import os
import platform
import secrets
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib.npyio import NpzFile

import jsgmath
from jsgmath import native, special
from jsgmath.gaussian import DENSE, DIAGONAL, Gaussian
from jsgmath.hints import CONVENTIONS

DESCRIPTION = """\
Compute divergences between Gaussians, in nats. Without a command, the program prints versions, for a bug report.

A file of Gaussians is an .npz file of NumPy with the array mean and one of var, logvar, std, cov, scale_tril and
precision; leading axes are batch axes. The command fit makes such a file from data.

  python -m jsgmath fit before.csv -o before.npz           mean and covariance of the rows
  python -m jsgmath fit after.csv -o after.npz
  python -m jsgmath jsg before.npz after.npz --alpha 0.5   prints the divergence, or one line for each of a batch
  python -m jsgmath fit monday.csv tuesday.csv friday.csv -o days.npz
  python -m jsgmath pairwise days.npz -o days.csv          the matrix of the divergences between all pairs
"""
SUMMARIES = {
    "jsg": "skew-geometric Jensen-Shannon divergence",
    "jsg_dual": "its dual",
    "bhattacharyya": "skew Bhattacharyya distance",
    "kl": "Kullback-Leibler divergence KL(N1||N2)",
    "jeffreys": "KL(N1||N2) + KL(N2||N1)",
    "js": "Jensen-Shannon divergence, by an integral",
}


class UserError(Exception):
    """An error that the user can fix; its message is one line."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} -h\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        if sys.stdout is None and getattr(options, "output", None) is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise UserError("standard output is closed; open it, or name a file with -o")
        options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except KeyboardInterrupt:
        return 130
    except (OSError, UserError) as error:
        said = f"{error.filename or 'standard output'}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"python -m jsgmath: {said}", file=sys.stderr)
        return 2
    return 0


def parser() -> Parser:
    """Returns the parser of the command line, which sets ``run`` to the function to call."""
    made = Parser("python -m jsgmath", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.set_defaults(run=_report)
    commands = made.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name: str, summary: str, run: Callable[[argparse.Namespace], None]) -> Parser:
        added = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        added.set_defaults(run=run, command=name)
        return added

    for name, summary in SUMMARIES.items():
        divergence = command(name, summary, _divergence)
        divergence.add_argument("N1", type=Path, help="file of Gaussians")
        divergence.add_argument("N2", type=Path, help="file of equally many Gaussians, or of one")
        if name == "js":
            divergence.add_argument("--lam", type=number, default=0.5, help="weight of N2 in the mixture (default 0.5)")
        elif name not in ("kl", "jeffreys"):
            _add_alpha(divergence)
        if name in ("jsg", "jsg_dual"):
            _add_convention(divergence)
        _add_output(divergence, "file for the values (default: print them)")

    matrix = command("pairwise", "matrix of divergences between all Gaussians of a file", _pairwise)
    matrix.add_argument("gaussians", type=Path, help="file with a batch of Gaussians, the rows of the matrix")
    matrix.add_argument("others", type=Path, nargs="?", help="file with those of the columns (default: the same file)")
    _add_alpha(matrix)
    _add_convention(matrix)
    matrix.add_argument("--dual", action="store_true", help="the dual divergence")
    _add_output(matrix, "file for the matrix (default: print it)")

    fit = command("fit", "Gaussian with the mean and the covariance of data", _fit)
    fit.add_argument("data", type=Path, nargs="+", help="CSV files, one observation per row; several make a batch")
    fit.add_argument("--diagonal", action="store_true", help="variances only")
    fit.add_argument("-o", "--output", type=Path, required=True, help="the file of Gaussians to write (.npz)")
    return made


def number(text: str) -> float:
    """Reads a number; refuses the underscores that Python allows, as in 1_0."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _add_alpha(parser: Parser) -> None:
    parser.add_argument("--alpha", type=number, default=0.5, help="weight of N2, in [0, 1] (default 0.5)")


def _add_convention(parser: Parser) -> None:
    parser.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="deasy",
        help="what alpha 0 and 1 give: deasy the two KLs, nielsen 0 (default deasy)",
    )


def _add_output(parser: Parser, text: str) -> None:
    parser.add_argument("-o", "--output", type=Path, help=text)


def _report(options: argparse.Namespace) -> None:
    core = "compiled C++" if native.CORE else "NumPy"
    bits = np.finfo(special.WORK).nmant + 1
    print(f"jsgmath {jsgmath.__version__} ({jsgmath.__file__})")
    print(f"core: {core}; {native.REASON}")
    print(f"NumPy {np.__version__}, whose longest float has {bits} bits of significand")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {native.cores()} processors")


def _divergence(options: argparse.Namespace) -> None:
    given = {name: getattr(options, name) for name in ("alpha", "lam", "convention") if name in options}
    N1, N2 = read_gaussians(options.N1), read_gaussians(options.N2)
    values = _computed(getattr(jsgmath, options.command), N1, N2, **given)
    _show(values[0] if options.command == "js" else values, options.output)


def _pairwise(options: argparse.Namespace) -> None:
    sets = [read_gaussians(path) for path in (options.gaussians, options.others) if path]
    sets = [N if N.batch_shape else N.indexed(None) for N in sets]
    given = {name: getattr(options, name) for name in ("alpha", "convention", "dual")}
    _show(_computed(jsgmath.pairwise, sets[0], others=sets[1] if sets[1:] else None, **given), options.output)


def _computed(function: Callable[..., Any], *gaussians: Gaussian, **options: Any) -> Any:
    try:
        return function(*gaussians, **options)
    except (TypeError, ValueError) as error:
        raise UserError(error) from None


def _show(values: Any, output: Path | None) -> None:
    """Prints values, or writes them to a file: one value of a batch, or one row of a matrix, per line."""
    values = np.atleast_1d(np.asarray(values))
    rows = values.reshape(len(values), -1)
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)  # the shortest texts that are read as these numbers
    if output is None:
        _print(text)
    else:
        _write(output, text.encode())


def _print(text: str) -> None:
    """Prints all of a text, or raises; if Python does not buffer, `print` drops what does not fit on a disk."""
    file = getattr(sys.stdout, "buffer", None)
    if file is None:  # such as StringIO
        print(text, end="")
        return
    sys.stdout.flush()
    rest = memoryview(text.encode())
    while rest:
        rest = rest[file.write(rest) :]


def read_gaussians(path: Path) -> Gaussian:
    """Reads the Gaussian, or the batch of Gaussians, in a file.

    Raises:
        UserError: the file is not an .npz file, or its arrays do not make a Gaussian.
        OSError: the file cannot be read.
    """
    try:
        file = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)  # a pipe cannot be read twice
        arrays: dict[str, np.ndarray] = {}
        if isinstance(file, NpzFile):
            with file:
                arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile):
        arrays = {}
    scales = [name for name in arrays if name in DIAGONAL + DENSE]
    if "mean" not in arrays or len(scales) != 1 or len(arrays) != 2:
        got = f"holds {', '.join(arrays)}" if arrays else "is not an .npz file of numbers"
        wanted = f"mean and one of {', '.join(DIAGONAL + DENSE)}"
        raise UserError(f"{path} {got}; a file of Gaussians is an .npz with {wanted}")
    try:
        return Gaussian(**arrays)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _fit(options: argparse.Namespace) -> None:
    fitted = [_fitted(path, options.diagonal) for path in options.data]
    if len({len(mean) for mean, _ in fitted}) > 1:
        sizes = ", ".join(f"{path} {len(mean)}" for path, (mean, _) in zip(options.data, fitted, strict=True))
        raise UserError(f"a batch needs files with equally many columns, got {sizes}")
    means, scales = (np.array(arrays) for arrays in zip(*fitted, strict=True))
    if len(fitted) == 1:
        means, scales = means[0], scales[0]
    if options.output.suffix != ".npz":
        raise UserError(f"a file of Gaussians is an .npz, got the name {options.output}")
    file = io.BytesIO()
    if options.diagonal:
        np.savez(file, mean=means, var=scales)
    else:
        np.savez(file, mean=means, cov=scales)
    _write(options.output, file.getvalue())


def _fitted(path: Path, diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the rows, and their variances or covariance, both with N - 1."""
    data = read_data(path)
    if len(data) < 2:
        raise UserError(f"{path} has {len(data)} row of numbers; a variance needs two")
    with np.errstate(all="ignore"):  # the next lines report an overflow
        mean = data.mean(0)
        scale = data.var(0, ddof=1) if diagonal else np.atleast_2d(np.cov(data, rowvar=False))
    try:
        Gaussian(mean, **{"var" if diagonal else "cov": scale})
    except ValueError as error:
        hint = "leave out constant columns" if diagonal else "give more rows, leave out columns, or use --diagonal"
        raise UserError(f"{path}: {str(error).partition(';')[0]}; {hint}") from None
    return mean, scale


def read_data(path: Path) -> np.ndarray:
    """Reads the rows of numbers of a CSV file; the first line may hold the names of the columns.

    Raises:
        UserError: a row has another length, or an entry is not a finite number.
        OSError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text; data are rows of numbers with commas between them") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows: list[list[float]] = []
    try:
        for entries in lines:
            row = _row(entries, f"{path}, line {lines.line_num}", first=lines.line_num == 1)
            if row and rows and len(row) != len(rows[0]):
                raise UserError(
                    f"{path}, line {lines.line_num}: {len(row)} numbers, but {len(rows[0])} in the rows above"
                )
            rows += [row] if row else []
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num} is not CSV ({error}); check its quotation marks") from None
    return np.array(rows)


def _row(entries: list[str], place: str, first: bool) -> list[float]:
    """The numbers of a row; none for an empty line, and for the names of the columns in the first line."""
    numbers = [_number(entry) for entry in entries]
    row = [number for number in numbers if number is not None]
    for entry, number in zip(entries, numbers, strict=True):
        if "_" in entry and number is not None:
            raise UserError(
                f"{place}: {entry[:60]!r} has an underscore, as in Python; write {number} if it is a number"
            )
    if not any(entry.strip() for entry in entries) or (first and not row):
        return []
    if len(row) != len(entries):
        wrong = entries[numbers.index(None)]
        raise UserError(f"{place}: {wrong[:60]!r} is not a number; give rows of numbers with commas between them")
    if not np.isfinite(row).all():
        raise UserError(f"{place}: every entry must be finite; leave the row out, or fill it")
    return row


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _write(path: Path, content: bytes) -> None:
    """Writes a whole file under a temporary name and renames it; after an error the old file is unchanged.

    If the path is a link, the file that it points to is replaced and keeps its mode.  A device, a pipe or an open
    descriptor such as ``/dev/stdout`` is not replaced: the content is written into it.
    """
    try:
        if path.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and (not path.is_file() or _open_descriptor(path)):
            with path.open("ab") as file:
                file.write(content)
            return
        target = path.resolve()
        temporary = target.with_name(f".{secrets.token_hex(8)}{path.suffix}")
        try:
            temporary.write_bytes(content)
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _open_descriptor(path: Path) -> bool:
    """Whether an existing path, such as ``/dev/stdout``, names an open file of this process."""
    while path.parent.resolve() not in (Path("/dev/fd"), Path(f"/proc/{os.getpid()}/fd")):
        if not path.is_symlink():
            return False
        path = path.parent.resolve() / path.readlink()
    return True
