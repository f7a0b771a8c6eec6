"""Gamma, beta and Dirichlet distributions have the same bits by every implementation, and these are right."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from mpmath import mp

from jsgmath import native
from jsgmath.families import Beta, Dirichlet, Gamma, rounding
from jsgmath.families.rounding import Divergence, by_numpy
from tests.native.test_families import check_by_decimals
from verification import family_oracles

ROWS = 96


def positive(rng, size):
    """Numbers that the fast arithmetic accepts; in some rows all are nearly equal, and in some one dominates."""
    far = 10 ** rng.uniform(-9, 12, size)
    alike = 10 ** (rng.uniform(-6, 9, (size[0], 1)) + rng.uniform(-1, 1, size))
    return np.where(rng.random((size[0], 1)) < 0.5, far, alike)


def batches(rows=ROWS):
    """Members far and near, some proportional to each other, and some that differ in a single parameter."""
    rng = np.random.default_rng(5)
    for kind, n in ((Gamma, 2), (Beta, 2), (Dirichlet, 6)):
        x, far, same = positive(rng, (rows, n)), positive(rng, (rows, n)), rng.random((rows, n)) < 0.3
        gap = 10 ** rng.uniform(-14, 0, (rows, 1))
        near = x * (1 + gap * rng.uniform(0, 1, (rows, n)) * rng.choice([1, 1e-4], (rows, 1)) + gap)
        y = np.choose(rng.integers(3, size=(rows, 1)), [far, near, np.where(same, x, near)])
        alpha = np.where(rng.random(rows) < 0.5, rng.uniform(size=rows), 10 ** rng.uniform(-15, 0, rows))
        if kind is Gamma:
            yield Gamma(*x.T), Gamma(*y.T), alpha
            yield Gamma(x[:, 0], scale=x[:, 1]), Gamma(y[:, 0], scale=y[:, 1]), alpha
            yield Gamma(x[:, 0], scale=x[:, 1]), Gamma(*y.T), alpha
        else:
            yield (*(Beta(*z.T) if kind is Beta else Dirichlet(z) for z in (x, y)), alpha)


DIVERGENCES = [(Divergence.TO_MEAN, True), (Divergence.FROM_MEAN, False), (Divergence.DIRECT, True)]


@pytest.fixture(scope="module")
def found():
    """The batches, and their values by NumPy."""
    all_batches = [
        rounding.batch_of(N1, N2, divergence, reverse, alpha)[0]
        for (N1, N2, alpha), (divergence, reverse) in product(batches(), DIVERGENCES)
    ]
    return [(batch, by_numpy.families(*batch)[0]) for batch in all_batches]


def test_every_instruction_set_and_numpy_give_the_same_bits(core, found):
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        opened = native.open_core(core, name)[0]
        for batch, numpys in found:
            values, left = native.families(*batch, core=opened)
            decided = ~np.isnan(values)
            assert left == ROWS - decided.sum()
            decided &= ~np.isnan(numpys)
            assert np.array_equal(values[decided], numpys[decided]), (name, batch[:4])
            # A rate is compared with a scale by decimal numbers if the two are close.
            assert decided.mean() > (0.5 if batch.forms[0] != batch.forms[1] else 0.85)


def test_the_decimal_numbers_give_the_same_bits(found):
    check_by_decimals(found, 3)


def test_fast_arithmetic_decides_nearly_all_ordinary_values(path):
    rng = np.random.default_rng(7)
    x, y = 10 ** rng.uniform(-3, 6, (2, 2000, 3))
    compute = native.families if native.CORE else by_numpy.families
    for N1, N2 in ((Gamma(*x.T[:2]), Gamma(*y.T[:2])), (Dirichlet(x), Dirichlet(y))):
        batch, _ = rounding.batch_of(N1, N2, Divergence.TO_MEAN, True, np.array(0.3))
        assert compute(*batch)[1] <= 1


# Pairs of parameters at the ends of the range: totals that overflow, and components that are almost the total.
ENDS = [
    ("Gamma", (1e-300, 1e300), (1e300, 1e-300)),
    ("Gamma", (5e-324, 1.0), (1e-323, 1.0)),
    ("Gamma", (1.7e308, 1e-300), (1.6e308, 1e-300)),
    ("Gamma", (3.0, 2.0), (3.0, 2.0 + 2**-51)),
    ("Gamma", (1e16, 1e-200), (1e16 + 2, 1e-200)),
    ("Dirichlet", (1.7e308, 1.7e308), (1.6e308, 1.7e308)),
    ("Dirichlet", (1.7e308, 1.7e308, 1e-300), (1.7e308, 1.7e308, 3e-300)),
    ("Dirichlet", (1e-300, 2e-300), (2e-300, 1e-300)),
    ("Dirichlet", (5.0, 1e-200), (6.0, 1e-200)),
    ("Dirichlet", (1e12, 1e-3), (1e12 + 1e-3, 1e-3)),
    ("Dirichlet", (1e-320, 1e-320, 3.5), (2e-320, 1e-320, 3.5)),
]


@cache
def truth(family, x, y, dual, convention, alpha):
    members = (tuple(map(mp.mpf, z)) for z in (x, y))
    return float(family_oracles.skew(family, *members, alpha, convention, dual, 700))


@pytest.mark.parametrize(("family", "x", "y"), ENDS)
def test_the_ends_of_the_range_are_right(path, family, x, y):
    N1, N2 = (Gamma(*z) if family == "Gamma" else Dirichlet(z) for z in (x, y))
    for case in ((False, "deasy", 0.0), (True, "nielsen", 0.3)):
        dual, convention, alpha = case
        assert N1.skew(N2, alpha, convention, dual) == truth(family, x, y, *case), case


def test_a_weight_at_the_end_of_the_range_is_right(path):
    case = (3.0, 2.0), (2.0, 5.0)
    found = Gamma(*case[0]).skew(Gamma(*case[1]), 1e-300, "nielsen", True)
    assert found == truth("Gamma", *case, True, "nielsen", 1e-300)


def test_equal_members_have_the_divergence_0(path):
    first, second = np.array([3.0, 1e-300]), np.array([8.0, 2.0**-1000])
    for N1, N2 in ((Gamma(first, second), Gamma(first, scale=1 / second)), (Beta(first, second), Beta(first, second))):
        for dual, convention, alpha in product((False, True), ("deasy", "nielsen"), (0.0, 0.3, 1.0)):
            assert np.array_equal(N1.skew(N2, alpha, convention, dual), [0, 0])
