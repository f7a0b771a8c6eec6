"""Writes files for all programs: a whole file, first under a temporary name in the same folder, then renamed."""

import contextlib
import csv
import errno
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

TEMPORARY = re.compile(r"\.jsgmath-[0-9a-f]{16}\.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file for new content that replaces the file ``path`` when the block succeeds and is removed when it fails.

    If ``path`` is a link, the file that it points to is replaced and the link stays. The new file has the owner and
    the mode of the old one. A device, a pipe or an open descriptor such as ``/dev/stdout`` is not replaced: the
    content is written into it when the block succeeds.

    Raises:
        OSError: the file cannot be written; the error names ``path``.
    """
    temporary = path
    try:
        target = followed(path)
        before = target.stat() if target.exists() else None
        if before and (descriptor(target) is not None or not stat.S_ISREG(before.st_mode)):
            content = io.BytesIO()
            yield content
            write_into(target, content)
            return
        temporary = target.parent / f".jsgmath-{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("xb") as file:  # x: the name is new, so it cannot be a link to another file
                if before:
                    take_over(file, before)
                yield file
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None  # the error of a full disk names no file


def write(path: Path, content: bytes | str) -> None:
    """Replaces the file ``path``, as ``replacing`` does; text is written as `utf8`."""
    with replacing(path) as file:
        file.write(utf8(content) if isinstance(content, str) else content)


def utf8(text: str) -> bytes:
    """Text as UTF-8; the bytes of names of files that are not UTF-8 become escapes.

    >>> utf8("runs/" + chr(0xDCFF))
    b'runs/\\\\udcff'
    """
    return text.encode(errors="backslashreplace")


def followed(path: Path) -> Path:
    """The path after all links are followed, except the link of an open descriptor."""
    start = path
    for _ in range(40):  # Linux follows as many
        if not path.is_symlink() or descriptor(path) is not None:
            return path
        path = path.parent.resolve() / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(start))


def descriptor(path: Path) -> int | None:
    """The number of the open file of this process that a path such as ``/proc/self/fd/1`` names, or None."""
    own = path.name.isdecimal() and path.parent.resolve() == Path(f"/proc/{os.getpid()}/fd")
    return int(path.name) if own else None


def write_into(target: Path, content: io.BytesIO) -> None:
    """Writes into a file that must not be replaced, after everything that was printed before."""
    sys.stdout.flush()
    number = descriptor(target)
    with target.open("wb") if number is None else os.fdopen(os.dup(number), "wb") as file:
        file.write(content.getbuffer())


def take_over(file: BinaryIO, before: os.stat_result) -> None:
    """Gives a new file the owner, if this user may, and the mode of the file that it replaces."""
    with contextlib.suppress(PermissionError):
        os.fchown(file.fileno(), before.st_uid, before.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))


def remove_temporary(folder: Path) -> None:
    """Removes the temporary files that killed processes left in a folder, and nothing else."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
            path.unlink()


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV. Numbers keep all their digits; a row that lacks a column leaves it empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
