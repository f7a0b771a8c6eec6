"""The shipped divergences are the textbook definition at interior alpha: eqs. 8 and 10, with 2, 12 and 13."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jsgmath
from verification import oracles
from verification.pairs import (
    DIVERGENCES,
    dense_pair,
    diagonal_pair,
    distances,
    divergence,
    exact,
    gaussian,
    interior,
    seeds,
)

EPS = np.finfo(float).eps
diagonal_forms = st.sampled_from(["var", "logvar", "std"])
dense_forms = st.sampled_from(["cov", "scale_tril", "precision"])


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 4), seed=seeds, distance=distances, alpha=interior, form=diagonal_forms)
def test_a_diagonal_divergence_is_the_textbook_definition(dual, convention, n, seed, distance, alpha, form):
    N1, N2 = (gaussian(N, form) for N in diagonal_pair(n, seed, distance))
    truth = oracles.textbook_jsg(exact(N1), exact(N2), alpha, convention, dual)
    # Computed in 80-bit arithmetic and rounded once: half an ulp, which is at most EPS, and a little.
    assert abs(divergence(dual)(N1, N2, alpha, convention=convention) - truth) <= 1.01 * EPS * truth


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(1, 4), seed=seeds, distance=distances, alpha=interior, form=dense_forms)
def test_a_dense_divergence_is_the_textbook_definition(dual, convention, n, seed, distance, alpha, form):
    N1, N2 = (gaussian(N, form) for N in dense_pair(n, seed, distance))
    truth = oracles.textbook_jsg(exact(N1), exact(N2), alpha, convention, dual)
    assert abs(divergence(dual)(N1, N2, alpha, convention=convention) - truth) <= dense_tolerance(N1, N2) * truth


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=st.integers(2, 4), seed=seeds, alpha=interior, form=diagonal_forms, other_form=dense_forms)
def test_a_mixed_divergence_is_the_textbook_definition(dual, convention, n, seed, alpha, form, other_form):
    """One Gaussian diagonal, the other dense, in every pair of forms and both orders."""
    first, second = gaussian(diagonal_pair(n, seed)[0], form), gaussian(dense_pair(n, seed)[1], other_form)
    for N1, N2 in ((first, second), (second, first)):
        truth = oracles.textbook_jsg(exact(N1), exact(N2), alpha, convention, dual)
        value = divergence(dual)(N1, N2, alpha, convention=convention)
        assert abs(value - truth) <= dense_tolerance(N1, N2) * truth


def dense_tolerance(N1, N2):
    """Relative: a whitening in float64 errs by a few ``n EPS`` times the condition of the two covariances."""
    return 4 * N1.dim * EPS * (np.linalg.cond(N1.cov) + np.linalg.cond(N2.cov))


def test_batches_are_the_pairs_one_by_one():
    """Leading axes broadcast, for both Gaussians and alpha."""
    pairs = [dense_pair(3, seed) for seed in range(4)]
    N1 = jsgmath.Gaussian(np.array([p[0][0] for p in pairs]), cov=np.array([p[0][1] for p in pairs]))
    N2 = gaussian(pairs[0][1])
    alphas = np.array([[0.2], [0.7]])
    values = jsgmath.jsg(N1, N2, alphas)
    assert values.shape == (2, 4)
    for i, alpha in enumerate(alphas[:, 0]):
        for j, (first, _) in enumerate(pairs):
            assert values[i, j] == jsgmath.jsg(gaussian(first), N2, alpha)
