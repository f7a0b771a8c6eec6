"""Broken C++ for full covariances gives values beyond its own bound, or leaves far more values open."""

import numpy as np
import pytest

from jsgmath import native
from jsgmath.rounding.nearest import Divergence
from tests.reduction.test_full import covariance, nearby

MUTANTS = {
    "a low part dropped from a product": ("wide.hpp", "multiply_add(a.low, b.high, multiply_add(a.high, b.low, "
                                          "product.low));\n  Pair sum", "product.low;\n  Pair sum"),
    "a low part dropped from a difference": ("wide.hpp", "sum.low + (c.low - low)", "sum.low - low"),
    "a root not corrected": ("wide.hpp", "return fast_two_sum(high, rest / (2 * high));", "return {high, rest * 0};"),
    "a quotient not corrected": ("wide.hpp", "multiply_add(-quotient, b.low, rest) / b.high", "rest / b.high"),
    "pivots that are not summed": ("full.cpp", "sum = plus_product(sum, column[i], column[i]);", ""),
    "the other weight": ("full.cpp", "congruence(r.w.V, w.g1,", "congruence(r.w.V, w.g2,"),
    "a mean without A^-1": ("full.cpp", "  multiply_transposed(w.V, w.q, n);\n", ""),
    "a wrong T": ("full.cpp", "w.T[i * n + i] - wide(1)", "w.T[i * n + i] - wide(0.9999999999999999)"),
}  # fmt: skip


def values(library):
    """What a core decides, and NaN, of batches of near and far pairs."""
    core, reason = native.open_core(library)
    assert core, reason
    rng, found = np.random.default_rng(11), []
    for n in (2, 5):
        S1 = np.array([covariance(rng, n, 10.0 ** rng.integers(0, 5)) for _ in range(400)])
        near = np.array([nearby(rng, S, 10.0 ** -rng.integers(1, 7)) for S in S1])
        for S2 in (near, S1[::-1]):
            arrays = rng.normal(size=(400, n)), S1, rng.normal(size=(400, n)), S2
            for divergence in Divergence:
                alpha = rng.uniform(size=400)
                found.append(native.full(divergence, True, ("cov", "cov"), arrays, alpha, (400,), n, False, core)[0])
    return np.array(found)


@pytest.fixture(scope="module")
def right(core):
    return values(core)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_core_is_noticed(name, right, broken):
    wrong = values(broken("full", *MUTANTS[name]))
    both = ~np.isnan(wrong) & ~np.isnan(right)
    assert (wrong != right)[both].any() or np.isnan(wrong).sum() > 2 * np.isnan(right).sum() + 20
