"""The shipped divergences equal integrals of the densities, by eqs. 1, 7, 8 and 10 alone."""

from functools import cache

import pytest

from verification import oracles
from verification.pairs import DIVERGENCES, dense_pair, divergence, gaussian


@cache
def integral(method, n, seed, distance, ridge, *arguments):
    """The value of an oracle for a `dense_pair`; cached, since `mutants.py` needs it many times."""
    return method(*dense_pair(n, seed, distance, ridge), *arguments)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.8])
def test_the_divergence_is_the_integral_of_the_densities(dual, convention, n, alpha):
    """Eqs. 1, 7, 8, 10; the only assumption about the mean is that it is the normalised product of powers."""
    for seed in range(2):
        for distance in (1.0, 0.3):
            N1, N2 = dense_pair(n, seed, distance, ridge=0.5)
            value = divergence(dual)(gaussian(N1), gaussian(N2), alpha, convention=convention)
            truth = integral(oracles.quadrature, n, seed, distance, 0.5, alpha, convention, dual)
            # Measured errors: 5e-15 from rounding integrals of order 1; 2e-8 from forty nodes per axis in 3-D.
            assert truth == pytest.approx(value, rel=1e-11 if n < 3 else 1e-7, abs=5e-14)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_divergence_is_an_expectation_in_ten_dimensions(dual, convention):
    N1, N2 = dense_pair(10, 7, 0.3)
    estimate, error = integral(oracles.monte_carlo, 10, 7, 0.3, 0.05, 0.3, convention, dual)
    value = divergence(dual)(gaussian(N1), gaussian(N2), 0.3, convention=convention)
    # Five standard errors: a correct value fails once in two million seeds, and this seed is fixed.
    assert abs(value - estimate) <= 5 * error
    assert error < 0.02 * value
