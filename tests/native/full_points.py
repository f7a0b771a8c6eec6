"""Pairs of full covariances for the tests of correct rounding; this program writes the bits of some.

``python -m tests.native.full_points`` writes ``full_bits.csv``: points with their values, as hexadecimal floats, as
``bits.csv`` has them for diagonal pairs.
"""

import csv
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jsgmath
from jsgmath import Gaussian, native
from tests.native.points import DIVERGENCES, KINDS
from tests.reduction.test_full import as_form, covariance, nearby
from verification import balls

BITS = Path(__file__).with_name("full_bits.csv")
FORMS = ("cov", "scale_tril", "precision", "var", "std", "logvar")
ALPHAS = (0.0, 1e-300, 1e-20, 0.1, 0.25, 0.3, 0.5, 0.9, 1 - 2.0**-53, 1.0)


class Point(NamedTuple):
    divergence: str
    convention: str
    alpha: float
    first: tuple[np.ndarray, str, np.ndarray]  # mean, form and scale, float64 or float32
    second: tuple[np.ndarray, str, np.ndarray]

    @property
    def single(self):
        return self.first[0].dtype == np.float32


def value(point):
    """The value that jsgmath computes."""
    N1, N2 = (Gaussian(mean, **{form: scale}) for mean, form, scale in (point.first, point.second))
    if point.divergence == "jeffreys":
        return jsgmath.jeffreys(N1, N2)
    return getattr(jsgmath, point.divergence)(N1, N2, point.alpha, convention=point.convention)


def truth(point):
    """A ball around the true value, or the number 0."""
    (m1, form1, s1), (m2, form2, s2) = point.first, point.second
    equal = form1 == form2 and np.array_equal(m1, m2) and np.array_equal(s1, s2)
    if equal or (point.convention == "nielsen" and point.alpha in (0, 1)):
        return balls.total([])
    alphas = (0.0, 1.0) if point.divergence == "jeffreys" else (point.alpha,)
    dual = point.divergence == "jsg_dual"
    return balls.total(
        balls.dense_divergence(point.first, point.second, alpha, dual=dual, convention=point.convention)
        for alpha in alphas
    )


def random_points(seed, count, *, single=False, dimensions=(1, 2, 2, 3, 5, 8)):
    """Ordinary pairs, near-equal ones (1e-3 to 1e-13), of conditions up to 1e14, in every two forms."""
    rng = np.random.default_rng(seed)
    while count:
        n, condition = int(rng.choice(dimensions)), 10.0 ** rng.integers(0, 5 if single else 15)
        distance = 10.0 ** -float(rng.choice([0.5, 1, 3, 6, 9, 13]))
        form1, form2 = rng.choice(FORMS[:3]), rng.choice(FORMS)
        form2 = form1 if rng.integers(2) else form2
        matrix = covariance(rng, n, condition, rng.uniform(0.5, 2, n))
        other = covariance(rng, n, condition) if rng.integers(2) else nearby(rng, matrix, distance)
        mean = rng.normal(size=n)
        other_mean = mean + distance * rng.choice([0, 1, 100]) * rng.normal(size=n)
        dtype = np.float32 if single else np.float64
        try:
            sides = [
                (m.astype(dtype), str(form), _scale(form, S).astype(dtype))
                for m, form, S in ((mean, form1, matrix), (other_mean, form2, other))
            ]
            for m, form, scale in sides:
                Gaussian(m, **{form: scale})
        except (ValueError, np.linalg.LinAlgError):
            continue
        divergence, convention = DIVERGENCES[rng.integers(len(DIVERGENCES))]
        alpha = float(rng.choice(ALPHAS)) if rng.integers(2) else rng.uniform()
        count -= 1
        yield Point(divergence, convention, alpha, *(sides[::-1] if rng.integers(2) else sides))


def _scale(form, matrix):
    variances = np.diag(matrix)
    if form in ("std", "logvar") and not (variances > 0).all():
        raise ValueError
    diagonal = {"var": lambda: variances.copy(), "std": lambda: np.sqrt(variances), "logvar": lambda: np.log(variances)}
    return diagonal[form]() if form in diagonal else as_form(form, matrix)


def committed():
    """The points of the file, each with its value."""
    with open(BITS, newline="") as file:
        for divergence, convention, alpha, result, *sides in csv.reader(file):
            dtype = np.float32 if sides.pop() == "single" else np.float64
            found = []
            for form, mean, scale in (sides[:3], sides[3:]):
                m, s = (np.array([float.fromhex(x) for x in text.split()], dtype) for text in (mean, scale))
                found.append((m, form, s if len(s) == len(m) and form in FORMS[3:] else s.reshape(len(m), len(m))))
            yield Point(divergence, convention, float.fromhex(alpha), *found), float.fromhex(result)


def packed(wanted):
    """The points as `evaluate.cpp` reads them."""
    return b"".join(
        struct.pack("<7i", len(point.first[0]), native.FULL_FORMS[point.first[1]], native.FULL_FORMS[point.second[1]],
                    KINDS[point.divergence], point.convention == "deasy", point.single, 1)
        + struct.pack("<4i", *(x.size for side in (point.first, point.second) for x in (side[0], side[2])))
        + np.concatenate([x.ravel() for side in (point.first, point.second) for x in (side[0], side[2])]).astype(
            float).tobytes()
        + struct.pack("<d", point.alpha)
        for point in wanted
    )  # fmt: skip


def taken():
    """The points of `committed` whose forms the core accepts."""
    for point, value in committed():
        if native.takes((point.first[1], point.second[1]), len(point.first[0])):
            yield point, value


def main():
    with open(BITS, "w", newline="") as file:
        for single in (False, True):
            for point in random_points(18, 25 if single else 100, single=single, dimensions=(1, 2, 3)):
                sides = [
                    text
                    for mean, form, scale in (point.first, point.second)
                    for text in (form, *(" ".join(x.hex() for x in a.ravel().tolist()) for a in (mean, scale)))
                ]
                kind = "single" if single else "double"
                row = [point.divergence, point.convention, point.alpha.hex(), float(value(point)).hex(), *sides, kind]
                csv.writer(file).writerow(row)


if __name__ == "__main__":
    sys.exit(main())
