"""Diagonal pairs for the tests of correct rounding; ``python -m tests.native.points`` writes the committed bits.

A `Point` is one divergence of two Gaussians in n dimensions; ``bits.csv`` has some, each with its value, as
hexadecimal floats. Every release and every machine must compute exactly these bits.
"""

import csv
import struct
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jsgmath
from jsgmath import Gaussian, native
from jsgmath.rounding.nearest import Divergence

BITS = Path(__file__).with_name("bits.csv")
FORMS = ("var", "logvar", "std")
ALPHAS = (0.0, 5e-324, 1e-300, 1e-20, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1 - 2.0**-53, 1.0)
DIVERGENCES = [
    ("jsg", "deasy"),
    ("jsg", "nielsen"),
    ("jsg_dual", "deasy"),
    ("jsg_dual", "nielsen"),
    ("jeffreys", "deasy"),
]

KINDS = dict(jsg=Divergence.JSG, jsg_dual=Divergence.JSG_DUAL, jeffreys=Divergence.JEFFREYS)


class Point(NamedTuple):
    divergence: str
    convention: str
    single: bool
    form1: str
    form2: str
    alpha: float
    numbers: tuple[tuple[float, float, float, float], ...]  # mean1, scale1, mean2, scale2 of each coordinate

    @property
    def pairs(self):
        """The Gaussians as `verification/balls.py` reads them."""
        return [((m1, self.form1, s1), (m2, self.form2, s2)) for m1, s1, m2, s2 in self.numbers]


def value(point):
    """The value that jsgmath computes."""
    dtype = np.float32 if point.single else np.float64
    m1, s1, m2, s2 = np.array(point.numbers, dtype).T
    N1, N2 = Gaussian(m1, **{point.form1: s1}), Gaussian(m2, **{point.form2: s2})
    if point.divergence == "jeffreys":
        return jsgmath.jeffreys(N1, N2)
    return getattr(jsgmath, point.divergence)(N1, N2, point.alpha, convention=point.convention)


def random_points(seed, count, *, single=False):
    """Points of every two forms: ordinary and extreme scales, near-equal and equal ones, all ends of the ranges."""
    rng = np.random.default_rng(seed)
    for form1, form2 in product(FORMS, repeat=2):
        for _ in range(count):
            divergence, convention = DIVERGENCES[rng.integers(len(DIVERGENCES))]
            alpha = float(rng.choice(ALPHAS)) if rng.integers(2) else rng.uniform()
            n = int(rng.choice([1, 1, 2, 5]))
            numbers = tuple(_coordinate(rng, form1, form2, np.float32 if single else np.float64) for _ in range(n))
            yield Point(divergence, convention, single, form1, form2, alpha, numbers)


def _coordinate(rng, form1, form2, dtype):
    while True:
        s1 = _scale(rng, form1)
        s2 = _nudged(rng, _in_form(form1, s1, form2)) if rng.integers(2) else _scale(rng, form2)
        m1 = rng.normal() * 10.0 ** rng.integers(-3, 9)
        m2 = [m1, _nudged(rng, m1), m1 + float(rng.integers(-(2**27), 2**27)), rng.normal()][rng.integers(4)]
        with np.errstate(all="ignore"):
            numbers = np.array([m1, s1, m2, s2]).astype(dtype)
        positive = all(form == "logvar" or s > 0 for form, s in ((form1, numbers[1]), (form2, numbers[3])))
        if positive and np.isfinite(numbers).all():
            return tuple(map(float, numbers))


def _scale(rng, form):
    size = [lambda: 1.0, lambda: 30.0, lambda: 300.0, lambda: 10.0 ** rng.integers(-300, 6)][rng.integers(4)]()
    logvar = float(np.log(2)) * rng.integers(-3, 4) if rng.integers(5) == 0 else rng.normal() * size
    return _in_form("logvar", logvar, form)


def _in_form(form, scale, wanted):
    with np.errstate(all="ignore"):
        if form == wanted:
            return scale
        logvar = {"var": lambda: np.log(scale), "std": lambda: 2 * np.log(scale), "logvar": lambda: scale}[form]()
        if wanted == "logvar":
            return float(logvar)
        return float(np.clip(np.exp(logvar if wanted == "var" else logvar / 2), 5e-324, 1e308))


def _nudged(rng, x):
    if rng.integers(2):
        return float(np.nextafter(x, rng.choice([-1e308, 1e308])))
    return x * (1 + rng.normal() * 10.0 ** -rng.integers(1, 17))


def committed():
    """The points of the file, each with its value."""
    with open(BITS, newline="") as file:
        for divergence, convention, single, form1, form2, alpha, numbers, result in csv.reader(file):
            numbers = tuple(tuple(map(float.fromhex, part.split())) for part in numbers.split(";"))
            point = Point(divergence, convention, single == "single", form1, form2, float.fromhex(alpha), numbers)
            yield point, float.fromhex(result)


def packed(wanted):
    """The points as `evaluate.cpp` reads them."""
    return b"".join(
        struct.pack("<11i", len(point.numbers), native.FORMS[point.form1], native.FORMS[point.form2],
                    KINDS[point.divergence], point.convention == "deasy", point.single, 0, *4 * [len(point.numbers)])
        + np.append(np.array(point.numbers).T.ravel(), point.alpha).tobytes()
        for point in wanted
    )  # fmt: skip


def main():
    with open(BITS, "w", newline="") as file:
        for single in (False, True):
            for point in random_points(18, 45 if not single else 15, single=single):
                *names, alpha, numbers = point._replace(single="single" if single else "double")
                rows = ";".join(" ".join(x.hex() for x in row) for row in numbers)
                csv.writer(file).writerow([*names, alpha.hex(), rows, float(value(point)).hex()])


if __name__ == "__main__":
    sys.exit(main())
