"""The bounds, and the divergence to the unnormalised mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import jsgmath
from jsgmath import Gaussian
from jsgmath.bounds import bhattacharyya_bound, jsg_bounds, jsg_extended
from verification.pairs import DIVERGENCES, diagonal_pair, gaussian, interior, seeds


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("shift", [0.5, 6.0])
def test_the_extended_divergence_is_its_integral(dual, convention, alpha, shift):
    """``sum_i w_i int p_i log(p_i/u) + u - p_i``, or with u as first argument, for ``u = p1^g1 p2^g2``."""
    g2 = 1 - mp.mpf(alpha) if convention == "deasy" else mp.mpf(alpha)

    def integrand(x):
        p, q = mp.npdf(x, 0, 1), mp.npdf(x, shift, mp.sqrt(2))
        u = p ** (1 - g2) * q**g2
        terms = ((u, p), (u, q)) if dual else ((p, u), (q, u))
        return sum(w * (a * mp.log(a / b) + b - a) for w, (a, b) in zip((1 - alpha, alpha), terms, strict=True))

    N1, N2 = Gaussian(0.0, var=1.0), Gaussian(shift, var=2.0)
    truth = float(mp.quad(integrand, [-40, -10, 0, 3, 6, 16, 50]))
    # The accuracy of mp.quad with 15 digits.
    assert jsg_extended(N1, N2, alpha, convention=convention, dual=dual) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("distance", [1e-9, 1e-3, 1.0])
@given(seed=seeds, a=interior)
def test_with_nielsens_convention_the_extended_divergences_have_closed_forms(distance, seed, a):
    """``a(1-a) J + Z - 1`` and ``1 - Z``, in 60 digits, so that nothing cancels there."""
    N1, N2 = (gaussian(N, "var") for N in diagonal_pair(2, seed, distance))
    J, B = jsgmath.jeffreys(N1, N2), jsgmath.bhattacharyya(N1, N2, a)
    with mp.workdps(60):
        lost = mp.expm1(-mp.mpf(float(B)))
        primal = mp.mpf(a) * (1 - mp.mpf(a)) * mp.mpf(float(J)) + lost
    # J and B are right to an ulp; a(1-a) J - B, for near Gaussians, is half of either.
    extended = jsg_extended(N1, N2, a, convention="nielsen")
    assert float(extended) == pytest.approx(float(primal), rel=1e-12)
    # The dual has the size of B, and a few rounding errors.
    assert jsg_extended(N1, N2, a, convention="nielsen", dual=True) == pytest.approx(float(-lost), rel=2e-15)


@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
@given(seed=seeds, a=st.one_of(interior, st.sampled_from([0.0, 1e-300, 1.0])), distance=st.sampled_from([1e-9, 1.0]))
def test_the_divergences_lie_within_their_bounds(convention, seed, a, distance):
    N1, N2 = (gaussian(N, "var") for N in diagonal_pair(2, seed, distance))
    lower, upper = jsg_bounds(N1, N2, a, convention=convention)
    value, slack = jsgmath.jsg(N1, N2, a, convention=convention), 1e-15 * upper  # both KLs are rounded
    assert 0 <= lower <= value + slack <= upper + 2 * slack
    assert jsgmath.bhattacharyya(N1, N2, a) <= bhattacharyya_bound(N1, N2, a) * (1 + 1e-15)
    if a in (0, 1):
        assert lower == value == upper


def test_infinite_divergences_are_bounded_without_nan():
    """If the ratio of variances overflows, one KL is infinite; if the distance overflows, both are."""
    for N2 in (Gaussian(0.0, var=1e-320), Gaussian(1e300, var=1.0)):
        N1 = Gaussian(0.0, var=1.0)
        for convention in ("deasy", "nielsen"):
            lower, upper = jsg_bounds(N1, N2, [0.0, 0.5, 1.0], convention=convention)
            assert (lower <= upper).all()
            assert upper[1] == np.inf
            for dual in (False, True):
                value = jsg_extended(N1, N2, [0.0, 0.5, 1.0], convention=convention, dual=dual)
                assert (value >= 0).all()
    far = Gaussian(0.0, var=1.0), Gaussian(1e300, var=1.0)
    assert jsg_extended(*far, 0.5) == np.inf
    assert jsg_extended(*far, 0.5, dual=True) == 1  # the masses of p1 and p2; u has none


def test_a_wrong_convention_or_alpha_is_named_in_the_error():
    N = Gaussian(0.0, var=1.0)
    with pytest.raises(ValueError, match="convention must be 'deasy' or 'nielsen', got 'other'"):
        jsg_bounds(N, N, 0.5, convention="other")
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got 2.0"):
        bhattacharyya_bound(N, N, 2.0)
