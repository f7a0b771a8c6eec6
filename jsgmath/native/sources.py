"""The files from which the core is made, and its place; imports little, because `import jsgmath` waits for it."""

import os
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = {"win32": "core.dll", "darwin": "core.dylib"}.get(sys.platform, "core.so")
# Files outside this folder, as paths from the package's folder.
FORMULAS = ["formula.py", "special.py"]
FAMILIES = ["families/terms.py", "families/gamma_terms.py"]
FULL_TERMS = "torch/full_terms.py"
STIRLING = "families/stirling.py"
SEVERAL_TERMS = "rounding/several_terms.py"
OUTSIDE = [*FORMULAS, *FAMILIES, FULL_TERMS, STIRLING, SEVERAL_TERMS]


def sources() -> str:
    """A checksum of all files from which the library is made."""
    own = [*sorted(name for name in os.listdir(HERE) if name.endswith((".cpp", ".hpp"))), "build.py", "translate.py"]
    checksum = 0
    for name in [*own, *(f"../{name}" for name in OUTSIDE)]:
        with open(os.path.join(HERE, name), "rb") as file:
            checksum = zlib.crc32(file.read(), checksum)
    return f"{checksum:08x}"
