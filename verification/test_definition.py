"""The shipped divergences equal the textbook definition at interior alpha: eqs. 8 and 10, with eqs. 2, 12 and 13."""

import mpmath
import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

import jsgmath
from jsgmath import special
from jsgmath.reduction import diagonal
from jsgmath.reduction.pairs import pair_weights
from jsgmath.rounding import of_pairs
from jsgmath.rounding.nearest import Divergence
from jsgmath.working import evaluated
from verification import balls, oracles
from verification.pairs import (
    DIVERGENCES,
    EXTREME,
    FAR,
    HARD,
    ORDINARY,
    batches,
    dense_pair,
    diagonal_pair,
    distances,
    divergence,
    exact,
    gaussian,
    in_working_precision,
    interior,
    seeds,
    truths,
)

EPS = np.finfo(float).eps
# The error for full covariances in NumPy before the last rounding, in units of EPS; 8 where a long double is a double.
ULPS = 0.1 if np.finfo(np.longdouble).nmant > 52 else 8
diagonal_forms = st.sampled_from(["var", "logvar", "std"])
dense_forms = st.sampled_from(["cov", "scale_tril", "precision"])


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 4), seed=seeds, distance=distances, alpha=interior, form=diagonal_forms)
def test_a_diagonal_divergence_is_the_textbook_definition(dual, convention, n, seed, distance, alpha, form):
    N1, N2 = (gaussian(N, form) for N in diagonal_pair(n, seed, distance))
    truth = oracles.textbook_jsg(exact(N1), exact(N2), alpha, convention, dual)
    value, bound = divergence(dual)(N1, N2, alpha, convention=convention, return_error=True)
    # Correctly rounded: at most half an ulp, and an ulp is at most EPS.
    assert abs(value - truth) <= bound <= EPS / 2 * value


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_one_dimension_is_the_definition_over_the_whole_range(dual, convention):
    """This covers every two forms, ratios of variances beyond float64, and alpha from 0 to 1."""
    # Correctly rounded: half a unit in the last place; if the true value is beyond float64, the value must be infinite.
    assert worst_ulps(ORDINARY + EXTREME, divergence(dual), dual, convention) <= 0.5


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_in_double_precision_alone_one_dimension_is_the_definition_to_a_few_ulps(dual, convention, monkeypatch):
    """A long double is a double on some machines; there the rounding of a difference of log-variances matters."""
    monkeypatch.setattr(special, "WORK", np.float64)
    # 5.2 was measured.
    assert worst_ulps(ORDINARY + FAR, in_working_precision(dual), dual, convention) <= 8


def test_in_double_precision_alone_the_bound_is_that_of_the_proof(monkeypatch):
    """The bound is proportional to the value and grows with n."""
    monkeypatch.setattr(special, "WORK", np.float64)
    rng = np.random.default_rng(0)
    for n in (1, 40):
        N1, N2 = (jsgmath.Gaussian(rng.normal(size=n), std=rng.uniform(0.5, 2, n)) for _ in range(2))
        for kind in (Divergence.JSG, Divergence.JEFFREYS):
            value, bound = of_pairs.bounded(kind, True, N1, N2, diagonal.diagonal_pairs(N1, N2), np.array(0.0))
            assert bound == pytest.approx((special.ROUNDING + n) * EPS * value, rel=1e-9, abs=0)


def worst_ulps(pairs, function, dual, convention, alphas=(0.0, 1e-300, 0.3, 0.5, 1 - 2.0**-53, 1.0)):
    """The largest error, in units in the last place."""
    expected, worst = truths(balls.divergence, pairs, alphas, dual, convention), 0.0
    for indices, N1, N2 in batches(pairs):
        values = function(N1, N2, np.array(alphas), convention=convention)
        for i, row in zip(indices, values, strict=True):
            worst = max(worst, *map(balls.ulps, row, expected[i]))
    return worst


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
def test_in_double_precision_alone_far_dense_pairs_are_the_definition(form, dual, convention, monkeypatch):
    """Matrices with one entry are as accurate as diagonal Gaussians."""
    monkeypatch.setattr(special, "WORK", np.float64)
    scales = np.array([1e-120, 1e150]) ** (0.5 if form == "scale_tril" else 1)
    for scale1, scale2 in (scales, scales[::-1]):
        N1, N2 = ([0.5], form, [[scale1]]), ([0.0], form, [[scale2]])
        G1, G2 = (jsgmath.Gaussian(mean, **{form: scale}) for mean, _, scale in (N1, N2))
        for alpha in (1e-300, 0.3):
            truth = balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention)
            assert balls.ulps(divergence(dual)(G1, G2, alpha, convention=convention), truth) <= 8


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_float32_arguments_are_used_exactly(dual, convention):
    """A float32 Gaussian and a float64 one have the divergence, gradient and mean of the same numbers in float64."""
    short, double = jsgmath.Gaussian(np.float32([0.1]), var=np.float32([0.7])), jsgmath.Gaussian([0.2], var=[1.3])
    gradient = jsgmath.jsg_dual_grad if dual else jsgmath.jsg_grad
    for N1, N2 in ((short, double), (double, short)):
        as_double = N1.astype(float), N2.astype(float)
        for function in (divergence(dual), gradient):
            value, expected = (function(*pair, 0.3, convention=convention) for pair in ((N1, N2), as_double))
            assert value == expected
        G, expected = (jsgmath.geometric_mean(*pair, 0.3) for pair in ((N1, N2), as_double))
        assert (G.mean, G.var) == (expected.mean, expected.var)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 4), seed=seeds, distance=distances, alpha=interior, form=dense_forms)
def test_a_dense_divergence_is_the_textbook_definition(dual, convention, n, seed, distance, alpha, form):
    N1, N2 = (gaussian(N, form) for N in dense_pair(n, seed, distance))
    assert_definition(N1, N2, alpha, dual, convention)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(2, 4), seed=seeds, alpha=interior, form=diagonal_forms, other_form=dense_forms)
def test_a_mixed_divergence_is_the_textbook_definition(dual, convention, n, seed, alpha, form, other_form):
    """One Gaussian is diagonal and the other dense, in every two forms and in both orders."""
    first, second = gaussian(diagonal_pair(n, seed)[0], form), gaussian(dense_pair(n, seed)[1], other_form)
    for N1, N2 in ((first, second), (second, first)):
        assert_definition(N1, N2, alpha, dual, convention)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_bound_holds_where_nothing_but_rounding_tells_two_gaussians_apart(dual, convention):
    """One covariance is given in two forms: they differ by 1e-16, and its relative error grows with the condition."""
    rng = np.random.default_rng(1)
    mean, half = rng.normal(size=3), rng.normal(size=(3, 3)) * [1, 1e-2, 1e-5]
    cov = half @ half.T + 1e-12 * np.eye(3)
    inverse = np.linalg.inv(cov)
    forms = dict(cov=cov, scale_tril=np.linalg.cholesky(cov), precision=(inverse + inverse.T) / 2)
    for one, other in (("cov", "scale_tril"), ("precision", "cov"), ("scale_tril", "precision")):
        N1, N2 = (jsgmath.Gaussian(mean, **{form: forms[form]}) for form in (one, other))
        value, bound = divergence(dual)(N1, N2, 0.3, convention=convention, return_error=True)
        truth = balls.dense_divergence(
            *((N.mean, N.form, N.scale) for N in (N1, N2)), 0.3, dual=dual, convention=convention
        )
        assert balls.distance(value, truth, 1.0) <= bound


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("kind", HARD)
def test_hard_dense_pairs_are_the_definition(kind, dual, convention):
    """Pairs have condition 1e10, are near or far, in any units and forms; the bound is true and not much too large."""
    expected = truths(balls.dense_divergence, HARD[kind], (0.2, 0.9), dual, convention)
    for (N1, N2), balls_of_pair in zip(HARD[kind], expected, strict=True):
        G1, G2 = (jsgmath.Gaussian(mean, **{form: scale}) for mean, form, scale in (N1, N2))
        values = divergence(dual)(G1, G2, [0.2, 0.9], convention=convention)
        unrounded = before_rounding(G1, G2, np.array([0.2, 0.9]), dual, convention)
        for value, working, bound, truth in zip(values, *unrounded, balls_of_pair, strict=True):
            assert balls.is_nearest(value, truth)
            if np.isinf(value):
                continue
            # These are a few roundings, where two directions have the same ratio; 2.1 was measured.
            error = unrounded_error(working, truth)
            assert error <= bound <= (100 if kind == "of equal ratios" else 2) * EPS * value
            assert error <= (5 if kind == "of equal ratios" else ULPS) * EPS * value


def assert_definition(N1, N2, alpha, dual, convention):
    """The pair is diagonalised in twice the precision, so that it is as accurate as a diagonal pair."""
    truth = oracles.textbook_jsg(exact(N1), exact(N2), alpha, convention, dual)
    value, bound = divergence(dual)(N1, N2, alpha, convention=convention, return_error=True)
    assert abs(value - truth) <= bound <= EPS / 2 * value
    working, bound = before_rounding(N1, N2, np.array(alpha), dual, convention)
    with mpmath.workdps(oracles.DIGITS):
        assert abs(sum(map(mpmath.mpf, halves(working))) - truth) <= min(ULPS * EPS * truth, mpmath.mpf(float(bound)))


def before_rounding(N1, N2, alpha, dual, convention):
    """The divergence as NumPy computes it in the working precision, and the bound on its error."""
    return evaluated(N1, N2, *pair_weights(N1, N2, alpha, convention)[:4], dual)


def halves(x):
    """Two floats whose sum is a number of the working precision."""
    return float(x), float(x - float(x))


def unrounded_error(x, ball):
    with ctx.workprec(2400):
        return abs(float((sum(map(arb, halves(x)), arb(0)) - ball).mid()))


@pytest.mark.parametrize(("kind", "form"), [(dense_pair, "cov"), (diagonal_pair, "var")])
def test_a_batch_gives_the_values_of_its_pairs(kind, form):
    """Leading axes broadcast, for both Gaussians and alpha."""
    pairs = [kind(3, seed) for seed in range(4)]
    first, second = ([gaussian(pair[k], form) for pair in pairs] for k in (0, 1))
    N1, N2 = (stacked(Ns) for Ns in (first, second[:3]))
    N2 = jsgmath.Gaussian(N2.mean[:, None], **{form: N2.scale[:, None]})
    alphas = np.array([[[0.2]], [[0.7]]])
    values = jsgmath.jsg(N1, N2, alphas)
    assert values.shape == (2, 3, 4)
    for i, j, k in np.ndindex(values.shape):
        assert values[i, j, k] == jsgmath.jsg(first[k], second[j], alphas[i, 0, 0])
    none = jsgmath.Gaussian(N1.mean[:0], **{form: N1.scale[:0]})
    assert jsgmath.jsg(none, N2, alphas).shape == (2, 3, 0)
    G = jsgmath.geometric_mean(N1, N2, alphas)
    for i, j, k in np.ndindex(values.shape):
        single = jsgmath.geometric_mean(first[k], second[j], alphas[i, 0, 0])
        assert (G.mean[i, j, k] == single.mean).all()
        assert (G.scale[i, j, k] == single.scale).all()


def stacked(Ns):
    return jsgmath.Gaussian(np.array([N.mean for N in Ns]), **{Ns[0].form: np.array([N.scale for N in Ns])})


def test_the_reduction_of_diagonal_gaussians_adds_no_error():
    """The error of what `js` and others compute from it is only the rounding of the scalar formula."""
    N1, N2 = jsgmath.Gaussian([0.0, 1.0], var=[1.0, 3.0]), jsgmath.Gaussian([0.5, -1.0], var=[2.0, 0.5])
    weights = (np.full((1,), w, special.WORK) for w in (1, 0, 0, 1))
    value, error = evaluated(N1, N2, *weights, dual=False)
    assert abs(value - jsgmath.kl(N1, N2)) <= error + EPS / 2 * value
    assert error == (special.ROUNDING + 2) * np.finfo(special.WORK).eps * value
