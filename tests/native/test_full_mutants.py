"""Broken C++ for full covariances gives values beyond its own bound, or leaves far more values undecided."""

import numpy as np
import pytest

from jsgmath import native
from jsgmath.rounding.nearest import Divergence
from tests.reduction.test_full import covariance, nearby

MUTANTS = {
    "a low part dropped from a product": ("wide.hpp", "sum.low + (c.low - low)", "sum.low + (c.low - product.low)"),
    "a low part dropped from a difference": ("wide.hpp", "sum.low + (c.low - low)", "sum.low - low"),
    "a root not corrected": ("wide.hpp", "return fast_two_sum(high, rest / (2 * high));", "return {high, rest * 0};"),
    "a quotient not corrected": ("wide.hpp", "multiply_add(-quotient, b.low, rest) / b.high", "rest / b.high"),
    "pivots that are not summed": ("full.cpp", "sum = plus_product(sum, column[i], column[i]);", ";"),
    "the other weight": ("full.cpp", "congruence(r.w.V, w.g1, r.w.W, r.w.K, r.n);",
                         "congruence(r.w.V, w.g2, r.w.W, r.w.K, r.n);"),
    "a mean without A^-1": ("full.cpp", "multiply_transposed(w.V, w.q, n);", ";"),
    "a wrong T": ("full.cpp", "w.T[i * n + i] - wide(1)", "w.T[i * n + i] - wide(0.9999999999999999)"),
}  # fmt: skip


def points():
    """Batches of near and far pairs."""
    rng = np.random.default_rng(11)
    for n in (2, 5):
        S1 = np.array([covariance(rng, n, 10.0 ** rng.integers(0, 5)) for _ in range(400)])
        near = np.array([nearby(rng, S, 10.0 ** -rng.integers(1, 7)) for S in S1])
        for S2 in (near, S1[::-1]):
            arrays = rng.normal(size=(400, n)), S1, rng.normal(size=(400, n)), S2
            for divergence in Divergence:
                yield divergence, arrays, rng.uniform(size=400), n


POINTS = list(points())


def values(core):
    """The values that the core decides, and NaN for the others."""
    return np.array(
        [
            native.full(divergence, True, ("cov", "cov"), arrays, alpha, (400,), n, False, core)[0]
            for divergence, arrays, alpha, n in POINTS
        ]
    )


@pytest.fixture(scope="module")
def right(core):
    return values(native.open_core(core)[0])


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("full",), MUTANTS.values())


def noticed(values, right):
    both = ~np.isnan(values) & ~np.isnan(right)
    return bool((values != right)[both].any() or np.isnan(values).sum() > 2 * np.isnan(right).sum() + 20)


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert not noticed(values(chosen(0)), right)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert noticed(values(chosen(number)), right)
