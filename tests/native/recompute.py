"""``python recompute.py CALLS`` computes committed values again where jsgmath is installed, and needs nothing else.

CALLS is a file with a line of JSON for each call: the function, its distributions as class, type and parameters, its
keywords, and its values.  The program prints which core computed, and how many values differ.
"""

import json
import sys
from pathlib import Path

import numpy as np

import jsgmath
from jsgmath import families, native
from jsgmath.families.low_rank import LowRankMultivariateNormal

KINDS = {name: getattr(families, name) for name in families.__all__}
KINDS |= {"Gaussian": jsgmath.Gaussian, "LowRankMultivariateNormal": LowRankMultivariateNormal}


def computed(function: str, distributions: list, keywords: dict) -> list[float]:
    """The values of a call, one after the other."""
    made = [
        KINDS[kind](**{name: np.array(x, dtype) for name, x in parameters.items()})
        for kind, dtype, parameters in distributions
    ]
    result = getattr(jsgmath, function)(*([made] if function == "jsg_many" else made), **keywords)
    parts = result if function.endswith("_grad") else [result]
    return [float(x) for part in parts for x in np.ravel(part)]


def main() -> int:
    calls, wrong = 0, 0
    for line in Path(sys.argv[1]).read_text().splitlines():
        *call, wanted = json.loads(line)
        wrong += [x.hex() for x in computed(*call)] != [x.hex() for x in wanted]
        calls += 1
    print(f"{'compiled' if native.CORE else 'no'} core, {native.REASON}; {calls} calls, with wrong values: {wrong}")
    return int(wrong > 0 or native.CORE is None)


if __name__ == "__main__":
    sys.exit(main())
