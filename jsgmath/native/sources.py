"""Which files the core is made from, and where it lies; imports little, since `import jsgmath` waits for it."""

import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = {"win32": "core.dll", "darwin": "core.dylib"}.get(sys.platform, "core.so")
FORMULAS = [HERE.parent / name for name in ("formula.py", "special.py")]
FAMILIES = [HERE.parent / "families" / name for name in ("terms.py", "gamma_terms.py")]
STIRLING = HERE.parent / "families" / "stirling.py"
OUTSIDE = [*FORMULAS, *FAMILIES, STIRLING]  # of this folder


def sources() -> str:
    """A hash of everything that the library is made from."""
    digest = hashlib.sha256()
    for path in [*sorted(HERE.glob("*.[ch]pp")), HERE / "build.py", HERE / "translate.py", *OUTSIDE]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
