"""Files are written whole: first under a temporary name in the same folder, then renamed."""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LEFTOVERS = ".*.writing*"  # temporary files that a killed process may leave


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that replaces ``path`` when the block succeeds and is removed when it fails."""
    temporary = path.parent / f".{path.stem}.writing{os.getpid()}{path.suffix}"
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None  # the error of a full disk names no file
    finally:
        temporary.unlink(missing_ok=True)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV. Numbers keep all their digits; a row that lacks a column leaves it empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
