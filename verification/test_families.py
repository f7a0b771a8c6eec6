"""The divergences of exponential families are the definition, to the last place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from verification import members, textbook
from verification.pairs import DIVERGENCES, interior, seeds

ALPHAS = (0.0, 1e-300, 1e-12, 0.1, 0.5, 0.9, 1 - 2**-53, 1.0)
# One rounding from 80 bits, and what was lost before: 0.82 was measured, of probabilities of 1e-300.  Where a long
# double is a double, five bits of a gamma function's divergence may cancel (log_gamma.py).
EXTENDED = np.finfo(np.longdouble).nmant > 52
ULPS = 1 if EXTENDED else 500
# The textbook's formula loses as many digits as parameters, distances and probabilities have, 1e-300 twice.
DIGITS = {"Gamma": 100, "Dirichlet": 100}
# Sums are cut off at a term of 1e-58 at most; integrals have singular ends, at which tanh-sinh leaves that much.
INTEGRALS = 1e-12


def ulps(value, truth):
    if value == float(truth):  # or beyond the range of float64
        return 0.5
    with mp.workdps(30):
        return float(abs(mp.mpf(float(value)) - truth) / np.spacing(float(truth)))


@pytest.mark.parametrize("form", members.FORMS)
def test_hard_points_are_right_to_the_last_place(form):
    """Near-equal members, parameters from 1e-300 to 1e300, alpha up to its ends."""
    rng = np.random.default_rng(1)
    for i, pair in enumerate(members.hard(form)):
        (N1, N2), (family, *exact) = members.made(form, pair)
        for dual, convention in DIVERGENCES[i % 2 :: 2]:
            alpha = rng.choice(ALPHAS)
            truth = textbook.skew(family, *exact, alpha, convention, dual, DIGITS.get(family, 400))
            value = N1.skew(N2, alpha, convention, dual)
            assert value >= 0
            assert ulps(value, truth) <= ULPS, (pair, alpha, convention, dual)


@pytest.mark.parametrize("form", ["Poisson", "Geometric", "Exponential", "Gamma", "Beta", "Categorical", "Bernoulli"])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_divergence_is_the_definition_by_sums_and_integrals(form, dual, convention):
    """Eqs. 1, 7, 8 and 10 at interior alpha, the mean being only "the normalised product of powers"."""
    for seed, alpha in ((0, 0.3), (1, 0.6)):
        (N1, N2), (family, *exact) = members.made(form, members.ordinary(form, seed))
        truth = textbook.defined(family, *exact, alpha, convention, dual, 60 if family in textbook.DISCRETE else 20)
        assert N1.skew(N2, alpha, convention, dual) == pytest.approx(float(truth), rel=INTEGRALS, abs=0)


@pytest.mark.parametrize("form", members.FORMS)
@settings(max_examples=15)
@given(seed=seeds, distance=st.sampled_from([1.0, 1e-3, 1e-9]), alpha=interior)
def test_any_members_have_the_textbooks_divergence(form, seed, distance, alpha):
    (N1, N2), (family, *exact) = members.made(form, members.ordinary(form, seed, distance))
    dual, convention = DIVERGENCES[seed % 4]
    truth = textbook.skew(family, *exact, alpha, convention, dual, 100)
    assert ulps(N1.skew(N2, alpha, convention, dual), truth) <= ULPS


@pytest.mark.parametrize("form", members.FORMS)
def test_the_geometric_mean_is_the_textbooks(form):
    """Its divergence to the textbook's is none, but for the rounding of its parameters."""
    pair = members.ordinary(form, 3)
    (N1, N2), (family, *exact) = members.made(form, pair)
    G = N1.geometric_mean(N2, 0.3)
    with mp.workdps(60):
        mean = textbook.KL_AND_MEAN[family][1](*exact, 1 - mp.mpf(0.3), mp.mpf(0.3))
        parameters = [float(x) for p in G.parameters.values() for x in np.atleast_1d(p)]
        found = members.FORMS[form][2](*parameters)
        # Parameters up to 5, rounded: 2^-51 at most.
        assert textbook.KL_AND_MEAN[family][0](found, mean) < 10 * mp.mpf(2) ** -102


FINITE = {"Bernoulli": ((0.0,), (0.4,)), "Categorical": ((0.0, 0.3, 0.7), (0.2, 0.5, 0.3)), "Poisson": ((0.0,), (2.5,))}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("form", [*FINITE, "Geometric", "Categorical, both"])
def test_a_probability_of_zero_is_exact(form, dual, convention, alpha):
    """Infinite where the definition is, else as right as any: one of the two lacks an outcome, or each lacks one."""
    pair = FINITE.get(form, ((1.0,), (0.4,)))
    if form == "Categorical, both":
        form, pair = "Categorical", ((0.0, 0.3, 0.7), (0.2, 0.0, 0.8))
    for first, second in (pair, pair[::-1]):
        (N1, N2), (family, *exact) = members.made(form, (first, second))
        truth = textbook.skew(family, *exact, alpha, convention, dual)
        assert ulps(N1.skew(N2, alpha, convention, dual), truth) <= ULPS


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_without_a_common_outcome_every_divergence_is_infinite_but_at_an_end(alpha):
    N1, N2 = (members.FORMS["Bernoulli"][0](p) for p in (0.0, 1.0))
    for dual, convention in DIVERGENCES:
        end = convention == "nielsen" and alpha in (0, 1)
        assert N1.skew(N2, alpha, convention, dual) == (0 if end else np.inf)
