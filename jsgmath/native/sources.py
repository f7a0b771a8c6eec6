"""The files from which the core is made, and its place; imports little, because `import jsgmath` waits for it."""

import sys
import zlib
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = {"win32": "core.dll", "darwin": "core.dylib"}.get(sys.platform, "core.so")
FORMULAS = [HERE.parent / name for name in ("formula.py", "special.py")]
FAMILIES = [HERE.parent / "families" / name for name in ("terms.py", "gamma_terms.py")]
FULL_TERMS = HERE.parent / "torch" / "full_terms.py"
STIRLING = HERE.parent / "families" / "stirling.py"
SEVERAL_TERMS = HERE.parent / "rounding" / "several_terms.py"
OUTSIDE = [*FORMULAS, *FAMILIES, FULL_TERMS, STIRLING, SEVERAL_TERMS]  # outside this folder


def sources() -> str:
    """A checksum of all files from which the library is made."""
    checksum = 0
    for path in [*sorted(HERE.glob("*.[ch]pp")), HERE / "build.py", HERE / "translate.py", *OUTSIDE]:
        checksum = zlib.crc32(path.read_bytes(), checksum)
    return f"{checksum:08x}"
