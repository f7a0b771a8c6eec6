"""``python -m jsgmath.native`` compiles the core next to its sources, with the command in ``CXX``, or with ``c++``."""

import subprocess
import sys

from jsgmath.native.build import build


def main() -> int:
    try:
        print(build())
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"the compiler failed; name another in the environment variable CXX\n{error.stderr}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
