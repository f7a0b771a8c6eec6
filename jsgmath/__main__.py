"""``python -m jsgmath`` prints what a bug report needs, and computes divergences of Gaussians in files."""

import sys

from jsgmath.command_line import main

if __name__ == "__main__":
    sys.exit(main())
