"""The accuracy of divergences between diagonal Gaussians, against ball arithmetic (`verification/balls.py`)."""

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian, special
from tests.pairs import ALPHAS, BEYOND_DOUBLE, PAIRS, VARIANTS, by_form, gaussians
from verification import balls
from verification.pairs import in_working_precision

# Diagonal pairs are correctly rounded, in float64 and in float32.
ULPS = 0.5
# The limit of the values before that rounding, in float64 alone: twice what was measured.
ULPS_IN_DOUBLE_ALONE = 8

variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
families = pytest.mark.parametrize("family", PAIRS)


def worst_ulps(pairs, dual, convention, dtype=float, alphas=ALPHAS, function=None):
    """The largest error over the pairs and alphas; also asserts that no value is negative or NaN."""
    function = function or (jsgmath.jsg_dual if dual else jsgmath.jsg)
    worst = 0.0
    for group in by_form(pairs):
        if dtype is not float:
            group = [tuple((float(dtype(m)), form, float(dtype(s))) for m, form, s in pair) for pair in group]
        values = function(*gaussians(group, dtype), np.array(alphas), convention=convention)
        assert values.dtype == dtype
        assert (values >= 0).all()  # false for NaN
        for (N1, N2), row in zip(group, values, strict=True):
            for alpha, value in zip(alphas, row, strict=True):
                truth = balls.divergence(N1, N2, alpha, dual=dual, convention=convention)
                worst = max(worst, balls.ulps(value, truth))
    return worst


@variants
@pytest.mark.parametrize("family", PAIRS | BEYOND_DOUBLE)
def test_one_dimension_is_right_to_the_last_place(family, dual, convention):
    assert worst_ulps((PAIRS | BEYOND_DOUBLE)[family], dual, convention) <= ULPS


@variants
@pytest.mark.parametrize("family", [family for family in PAIRS if family != "means of 1e100"])
def test_float32_is_the_rounded_truth(family, dual, convention):
    largest, smallest = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
    pairs = [
        pair
        for pair in PAIRS[family]
        if all(abs(mean) < largest and (form == "logvar" or smallest < scale < largest) for mean, form, scale in pair)
    ]
    assert worst_ulps(pairs, dual, convention, np.float32) <= ULPS


@variants
@families
def test_without_80_bit_numbers_it_stays_within_8_ulps(family, dual, convention, monkeypatch):
    """NumPy computes in float64 only, as on machines whose long double is a double."""
    monkeypatch.setattr(special, "WORK", np.float64)
    function = in_working_precision(dual)
    assert worst_ulps(PAIRS[family], dual, convention, function=function) <= ULPS_IN_DOUBLE_ALONE


@variants
@pytest.mark.parametrize("form", ["var", "logvar", "std", "cov", "scale_tril", "precision"])
def test_equal_gaussians_have_divergence_exactly_zero(form, dual, convention):
    rng = np.random.default_rng(3)
    for n in (1, 2, 7):
        mean, root = rng.normal(size=n) * 1e9, np.tril(rng.normal(size=(n, n)), -1) + np.diag(rng.uniform(1e-3, 9, n))
        diagonal, dense = np.diagonal(root), {"scale_tril": root}.get(form, root @ root.T)
        scale = diagonal if form in ("var", "logvar", "std") else dense
        N1, N2 = Gaussian(mean, **{form: scale}), Gaussian(mean.copy(), **{form: scale.copy()})
        function = jsgmath.jsg_dual if dual else jsgmath.jsg
        assert (function(N1, N2, np.array(ALPHAS), convention=convention) == 0).all()


@variants
def test_a_divergence_in_many_dimensions_is_the_sum_over_the_dimensions(dual, convention):
    """Every term is non-negative, so the sum is as accurate as its terms."""
    pairs = PAIRS["ordinary log-variances"]
    (m1, s1), (m2, s2) = (np.array([[pair[k][0], pair[k][2]] for pair in pairs]).T for k in (0, 1))
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    for alpha in ALPHAS:
        value = function(Gaussian(m1, logvar=s1), Gaussian(m2, logvar=s2), alpha, convention=convention)
        truth = balls.total(balls.divergence(*pair, alpha, dual=dual, convention=convention) for pair in pairs)
        assert balls.ulps(value, truth) <= ULPS
