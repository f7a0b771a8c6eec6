"""``python recompute.py CASES`` computes committed values again where jsgmath is installed, and needs nothing else.

CASES is a JSON file: function, the two Gaussians as type and arguments, further arguments, and the value. Prints which
core computed, and how many values are other ones.
"""

import json
import sys
from pathlib import Path

import numpy as np

import jsgmath
from jsgmath import native


def main() -> int:
    wrong = 0
    for name, sides, arguments, keywords, wanted in json.loads(Path(sys.argv[1]).read_text()):
        gaussians = [
            jsgmath.Gaussian(**{form: np.array(x, dtype) for form, x in arrays.items()}) for dtype, arrays in sides
        ]
        wrong += getattr(jsgmath, name)(*gaussians, *arguments, **keywords) != float.fromhex(wanted)
    print(f"{'compiled' if native.CORE else 'no'} core, {native.REASON}; wrong values: {wrong}")
    return int(wrong > 0 or native.CORE is None)


if __name__ == "__main__":
    sys.exit(main())
