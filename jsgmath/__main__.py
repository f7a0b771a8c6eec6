"""``python -m jsgmath`` prints what a bug report needs: versions, and which core computes."""

import platform
import sys

import numpy as np

import jsgmath
from jsgmath import native, special


def main() -> int:
    core = "compiled C++" if native.CORE else "NumPy"
    bits = np.finfo(special.WORK).nmant + 1
    print(f"jsgmath {jsgmath.__version__} ({jsgmath.__file__})")
    print(f"core for Gaussians: {core}; {native.REASON}")
    print(f"NumPy {np.__version__}, whose longest float has {bits} bits of significand")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {native.cores()} processors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
