"""Broken C++ gives wrong bits: each change below is noticed at random points.

Smaller changes, of a series or of the bound on the error, break the proof in verification/test_pair_arithmetic.py.
"""

import numpy as np
import pytest

from jsgmath import native
from jsgmath.rounding.nearest import Divergence

MUTANTS = {
    "a sign": ("pair.hpp", "(a - (sum - part)) + (b - part)", "(a - (sum - part)) - (b - part)"),
    "a low part dropped from a product": ("pair.hpp", "multiply_add(a.low, b.high, multiply_add(a.high, b.low, "
                                          "product.low))", "multiply_add(a.low, b.high, product.low)"),
    "a low part dropped from a sum": ("pair.hpp", "sum.low + (a.low + b.low)", "sum.low + a.low"),
    "a quotient not corrected": ("pair.hpp", "multiply_add(-quotient, b.low, rest)", "rest"),
    "a difference not renormalised": ("pair.hpp", "return two_sum(high.high, high.low + (a.low - b.low));",
                                      "return {high.high, high.low + (a.low - b.low)};"),
    "a shorter series": ("elementary.hpp", "polynomial(TAIL, w.high)",
                         "polynomial((const double (&)[5])TAIL[6], w.high)"),
    "a shorter exponential": ("elementary.hpp", "polynomial(in_doubles, t.high)",
                              "polynomial((const double (&)[7])in_doubles[3], t.high)"),
    "a coefficient in double alone": ("elementary.hpp", "sum.low + (c.low + product.low)", "sum.low + product.low"),
    "a product without its power of two": ("late.hpp", "exponent += settled(over)", "settled(over)"),
    "a late logarithm of the other sign": ("late.hpp", "dual ? log2 : -log2", "dual ? -log2 : log2"),
    "ones that are not taken away": ("late.hpp", "dual ? 0 : -double(steps)", "0"),
    "a mean's term without a variance": ("late.hpp", "(a.d.square / a.p.m) * a.p.other / a.p.m",
                                         "(a.d.square / a.p.m) / a.p.m"),
    "exp(x) - 1 without the 1 beyond 2^53": ("elementary.hpp", "y + two_sum(power, every(-1))", "y + (power - 1.0)"),
}  # fmt: skip


def points():
    """Ordinary and near pairs, and log-variances more than 53 log(2) apart, of every two forms, in rows of 1 and 4."""
    rng = np.random.default_rng(11)
    count = 60_000
    logvar1 = rng.normal(size=count) * rng.choice([1.0, 12.0], size=count)
    logvar2 = np.where(rng.random(count) < 0.5, rng.normal(size=count) * 12, logvar1 + rng.normal(size=count) * 1e-3)
    means = rng.normal(size=(2, count))
    for form1 in native.FORMS:
        for form2 in native.FORMS:
            scales = [
                {"var": np.exp(s), "std": np.exp(s / 2), "logvar": s}[form]
                for form, s in ((form1, logvar1), (form2, logvar2))
            ]
            if (form1, form2) == ("std", "var"):  # some are as near to the square as a double can be
                scales[1] = np.where(rng.random(count) < 0.5, scales[0] ** 2, scales[1])
            arrays = means[0], scales[0], means[1], scales[1]
            yield (form1, form2), 1, [x[: count // 2, None] for x in arrays]
            yield (form1, form2), 4, [x[count // 2 :].reshape(-1, 4) for x in arrays]


POINTS = list(points())


def values(core):
    """The values that the core decides at the points, and NaN for the others."""
    found = []
    for forms, n, arrays in POINTS:
        for divergence in (Divergence.JSG, Divergence.JSG_DUAL):
            shape = (len(arrays[0]),)
            found.append(native.diagonal(divergence, True, forms, arrays, np.array(0.3), shape, n, False, core)[0])
    return np.concatenate(found)


@pytest.fixture(scope="module")
def right(core):
    return values(native.open_core(core)[0])


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("diagonal",), MUTANTS.values())


def noticed(values, right):
    both = ~np.isnan(values) & ~np.isnan(right)
    undecided = np.isnan(values).sum() > 2 * np.isnan(right).sum()
    return bool((values != right)[both].any() or undecided)


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert not noticed(values(chosen(0)), right)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert noticed(values(chosen(number)), right)
