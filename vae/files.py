"""Files that are never half there: each is written beside its final name and then renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

LEFTOVERS = ".*.writing*"  # the pattern of what a process that was killed may leave


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    temporary = path.with_name(f".{path.stem}.writing{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
