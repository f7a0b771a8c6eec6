"""The divergences of exponential families are the definition, to the last place."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from jsgmath import families, jeffreys
from verification import family_oracles, members
from verification.pairs import DIVERGENCES, interior, seeds

ALPHAS = (0.0, 1e-300, 1e-12, 0.1, 0.5, 0.9, 1 - 2**-53, 1.0)
ULPS = 0.501  # one rounding, and the rounding of the true value to a float
# The textbook's formula loses as many digits as parameters, distances and probabilities have; others get 700 digits.
DIGITS = {"Gamma": 100, "Dirichlet": 100}
# Sums stop at a term of at most 1e-58; integrals have singular ends, where tanh-sinh has an error of this size.
INTEGRALS = 1e-12


def ulps(value, truth):
    if value == float(truth):  # also if both are beyond the range of float64
        return 0.5
    with mp.workdps(30):
        return float(abs(mp.mpf(float(value)) - truth) / np.spacing(float(truth)))


@pytest.mark.parametrize("form", members.FORMS)
def test_hard_points_are_right_to_the_last_place(form):
    """This covers near-equal members, parameters from 1e-300 to 1e300, and alpha from 0 to 1."""
    rng = np.random.default_rng(1)
    for i, pair in enumerate(members.hard(form)):
        (N1, N2), (family, *exact) = members.made(form, pair)
        for dual, convention in DIVERGENCES[i % 2 :: 2]:
            alpha = rng.choice(ALPHAS)
            truth = family_oracles.skew(family, *exact, alpha, convention, dual, DIGITS.get(family, 700))
            value = N1.skew(N2, alpha, convention, dual)
            assert value >= 0
            assert ulps(value, truth) <= ULPS, (pair, alpha, convention, dual)


@pytest.mark.parametrize("form", ["Poisson", "Geometric", "Exponential", "Gamma", "Beta", "Categorical", "Bernoulli"])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_divergence_is_the_definition_by_sums_and_integrals(form, dual, convention):
    """Eqs. 1, 7, 8 and 10 at interior alpha; the mean is only "the normalised product of powers"."""
    for seed, alpha in ((0, 0.3), (1, 0.6)):
        (N1, N2), (family, *exact) = members.made(form, members.ordinary(form, seed))
        digits = 60 if family in family_oracles.DISCRETE else 20
        truth = family_oracles.defined(family, *exact, alpha, convention, dual, digits)
        assert N1.skew(N2, alpha, convention, dual) == pytest.approx(float(truth), rel=INTEGRALS, abs=0)


@pytest.mark.parametrize("form", members.FORMS)
@settings(max_examples=15)
@given(seed=seeds, distance=st.sampled_from([1.0, 1e-3, 1e-9]), alpha=interior)
def test_any_members_have_the_textbooks_divergence(form, seed, distance, alpha):
    (N1, N2), (family, *exact) = members.made(form, members.ordinary(form, seed, distance))
    dual, convention = DIVERGENCES[seed % 4]
    truth = family_oracles.skew(family, *exact, alpha, convention, dual, 100)
    assert ulps(N1.skew(N2, alpha, convention, dual), truth) <= ULPS


def test_jeffreys_divergence_is_rounded_once():
    for seed in range(12):
        (N1, N2), (family, *exact) = members.made("Poisson", members.ordinary("Poisson", seed))
        with mp.workdps(60):
            truth = sum(family_oracles.skew(family, *exact, alpha) for alpha in (0.0, 1.0))
        assert jeffreys(N1, N2) == float(truth)


@pytest.mark.parametrize("form", members.FORMS)
def test_the_geometric_mean_is_the_textbooks(form):
    """Its KL to the textbook's mean is zero, up to the rounding of its parameters."""
    pair = members.ordinary(form, 3)
    (N1, N2), (family, *exact) = members.made(form, pair)
    G = N1.geometric_mean(N2, 0.3)
    with mp.workdps(60):
        mean = family_oracles.KL_AND_MEAN[family][1](*exact, 1 - mp.mpf(0.3), mp.mpf(0.3))
        parameters = [float(x) for p in G.parameters.values() for x in np.atleast_1d(p)]
        found = members.FORMS[form][2](*parameters)
        # The parameters are at most 5, so they are rounded by at most 2^-51.
        assert family_oracles.KL_AND_MEAN[family][0](found, mean) < 10 * mp.mpf(2) ** -102


FINITE = {"Bernoulli": ((0.0,), (0.4,)), "Categorical": ((0.0, 0.3, 0.7), (0.2, 0.5, 0.3)), "Poisson": ((0.0,), (2.5,))}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("form", [*FINITE, "Geometric", "Categorical, both"])
def test_a_probability_of_zero_is_exact(form, dual, convention, alpha):
    """One member lacks an outcome, or each lacks one; the value is infinite where the definition is, else accurate."""
    pair = FINITE.get(form, ((1.0,), (0.4,)))
    if form == "Categorical, both":
        form, pair = "Categorical", ((0.0, 0.3, 0.7), (0.2, 0.0, 0.8))
    for first, second in (pair, pair[::-1]):
        (N1, N2), (family, *exact) = members.made(form, (first, second))
        truth = family_oracles.skew(family, *exact, alpha, convention, dual)
        assert ulps(N1.skew(N2, alpha, convention, dual), truth) <= ULPS


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_without_a_common_outcome_every_divergence_is_infinite_but_at_an_end(alpha):
    N1, N2 = (members.FORMS["Bernoulli"][0](p) for p in (0.0, 1.0))
    for dual, convention in DIVERGENCES:
        end = convention == "nielsen" and alpha in (0, 1)
        assert N1.skew(N2, alpha, convention, dual) == (0 if end else np.inf)


@pytest.mark.parametrize("family", ["Exponential", "Gamma"])
def test_a_rate_and_a_scale_are_compared_exactly(family):
    """Neither is converted to the other, so even members one rounding apart are right to the last place."""
    first, second = ("Exponential", "Exponential, scale") if family == "Exponential" else ("Gamma", "Gamma, scale")
    for rate, gap in product((3.0, 0.7, 1e-8), (0, 1e-15, 1e-9, 0.3)):
        scale = (1 + gap) / rate
        for forms, (p, q) in (((first, second), (rate, scale)), ((second, first), (scale, rate))):
            p, q = ((x,) if family == "Exponential" else (shape, x) for shape, x in ((5.0, p), (5.0 + gap, q)))
            (N1, _), (_, exact1, _) = members.made(forms[0], (p, p))
            (N2, _), (_, exact2, _) = members.made(forms[1], (q, q))
            for dual, convention in DIVERGENCES:
                truth = family_oracles.skew(family, exact1, exact2, 0.3, convention, dual)
                assert ulps(N1.skew(N2, 0.3, convention, dual), truth) <= ULPS
            G = N1.geometric_mean(N2, 0.25)
            b1, b2 = (N.parameters.get("rate", 1 / N.parameters.get("scale", 1.0)) for N in (N1, N2))
            b = G.parameters.get("rate", 1 / G.parameters.get("scale", 1.0))
            assert b == pytest.approx(0.75 * b1 + 0.25 * b2, rel=1e-15)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_logits_are_those_of_the_probabilities(dual, convention, alpha):
    """A zero probability has the logit ``-inf``.  One or both members have logits; the mean has them if both have."""
    first, second = [0.2, 0.3, 0.5], [0.0, 0.6, 0.4]
    with np.errstate(divide="ignore"):
        logits1, logits2 = np.log(first), np.log(second)
    N1, N2 = families.Categorical(first), families.Categorical(second)
    L1, L2 = families.Categorical(logits=logits1), families.Categorical(logits=logits2)
    for left, right in (((N1, N2), (L1, L2)), ((N2, N1), (L2, L1))):
        truth = left[0].skew(left[1], alpha, convention, dual)
        for pair in (right, (left[0], right[1]), (right[0], left[1])):
            # The logarithms are rounded.
            assert pair[0].skew(pair[1], alpha, convention, dual) == pytest.approx(truth, rel=1e-14)
        means = [p.geometric_mean(q, 0.3) for p, q in (left, right, (left[0], right[1]))]
        assert means[0].skew(means[2], 0.5, "deasy", False) < 1e-30
        probs = np.exp(means[1].parameters["logits"])
        assert probs / probs.sum() == pytest.approx(means[0].parameters["probs"], rel=1e-14)
    B1, B2 = families.Bernoulli(0.3), families.Bernoulli(logits=1.0)
    same = families.Bernoulli(logits=np.log(0.3 / 0.7)), families.Bernoulli(1 / (1 + np.exp(-1.0)))
    truth = B1.skew(same[1], alpha, convention, dual)
    assert B1.skew(B2, alpha, convention, dual) == pytest.approx(truth, rel=1e-14, abs=0)
    assert B1.geometric_mean(B2, 0.3).skew(same[0].geometric_mean(same[1], 0.3), 0.5, "deasy", False) < 1e-30


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_logits_may_be_further_apart_than_any_exponent(dual, convention, alpha):
    """These logits are 40,000 apart, so no float can represent the ratio of the odds."""
    N1, N2 = families.Bernoulli(logits=20000.0), families.Bernoulli(logits=-20000.0)
    g2 = alpha if convention == "nielsen" else 1 - alpha
    # If g2 > 1/2, G is nearly certain of N2's outcome: KL(N1||G) is g2 20000 - g1 20000, and KL(N2||G) is 0.
    toward2 = g2 > 0.5
    apart = 20000 * abs(1 - 2 * g2)
    if dual:
        expected = 20000 * ((1 - alpha) if toward2 else alpha)
    else:
        expected = apart * ((1 - alpha) if toward2 else alpha)
    assert N1.skew(N2, alpha, convention, dual) == pytest.approx(expected, rel=1e-14, abs=0)
