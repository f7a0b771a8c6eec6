"""Divergences are never negative and never NaN, and zero for equal Gaussians, over the whole range of float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jsgmath
from verification.pairs import DIVERGENCES, dense_pair, divergence, gaussian, seeds

alphas = st.one_of(st.sampled_from([0.0, 5e-324, 1e-300, 1 - 2**-53, 1.0]), st.floats(0, 1))
means = st.floats(-1e308, 1e308)
scales = {
    "var": st.floats(5e-324, 1.7e308),
    "logvar": st.floats(-1e308, 1e308),
    "std": st.floats(1e-300, 1e300),
}


@pytest.mark.parametrize("form", scales)
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@settings(max_examples=7 * settings.default.max_examples)
@given(data=st.data(), alpha=alphas)
def test_no_pair_gives_a_negative_or_nan(dual, convention, form, data, alpha):
    N1, N2 = (jsgmath.Gaussian(data.draw(means), **{form: data.draw(scales[form])}) for _ in range(2))
    assert divergence(dual)(N1, N2, alpha, convention=convention) >= 0


@pytest.mark.parametrize("form", scales)
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(data=st.data(), alpha=alphas)
def test_equal_gaussians_have_divergence_zero(dual, convention, form, data, alpha):
    N = jsgmath.Gaussian(data.draw(means), **{form: data.draw(scales[form])})
    assert divergence(dual)(N, N, alpha, convention=convention) == 0


@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 6), seed=seeds, alpha=alphas)
def test_equal_dense_gaussians_have_divergence_zero(dual, convention, form, n, seed, alpha):
    N = gaussian(dense_pair(n, seed)[0], form)
    assert divergence(dual)(N, N, alpha, convention=convention) == 0


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 6), seed=seeds, exponent=st.floats(-16, 3), alpha=alphas)
def test_no_dense_pair_gives_a_negative(dual, convention, n, seed, exponent, alpha):
    """The covariances differ by one rounding up to a factor of a thousand."""
    (m, S), (_, T) = dense_pair(n, seed)
    N1, N2 = gaussian((m, S)), gaussian((m, S + 10.0**exponent * T))
    assert divergence(dual)(N1, N2, alpha, convention=convention) >= 0
    assert divergence(dual)(N2, N1, alpha, convention=convention) >= 0


def test_values_in_between_are_finite_and_positive():
    """Near-equal Gaussians lose nothing: even variances one ulp apart have an accurate divergence."""
    N1, N2 = jsgmath.Gaussian(0.0, var=1.0), jsgmath.Gaussian(0.0, var=np.nextafter(1.0, 2.0))
    ulp = np.finfo(float).eps
    # g(x) is x^2/2 to leading order, so JSG is ((1-a)^3 + a^3) e^2/4, which is e^2/16 at a = 1/2.
    assert jsgmath.jsg(N1, N2, 0.5) == pytest.approx(ulp**2 / 16, rel=1e-15)
