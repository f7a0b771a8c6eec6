"""jsg_grad and jsg_dual_grad against derivatives of the definition, from differences in 6000 bits (`balls`)."""

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian
from tests.pairs import ALPHAS, PAIRS, VARIANTS, by_form, gaussians
from verification import balls

ULPS = 0.51  # half an ulp of the last rounding; before it the terms have twice the precision
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)


def derivatives(dual, *arguments, **keywords):
    return (jsgmath.jsg_dual_grad if dual else jsgmath.jsg_grad)(*arguments, **keywords)


@variants
@pytest.mark.parametrize("family", PAIRS)
def test_gradients_are_within_half_an_ulp_of_the_sum_of_the_sizes_of_their_terms(family, dual, convention):
    """The terms of a derivative may differ in sign; at alpha 1/2 those of the derivative by alpha cancel.

    The terms have twice the precision, so only the result is rounded; 0.5 ulp was measured.
    """
    for group in by_form(PAIRS[family][:8]):
        gradient = derivatives(dual, *gaussians(group), np.array(ALPHAS), convention=convention)
        columns = [gradient.mean1[..., 0], gradient.logvar1[..., 0], gradient.mean2[..., 0], gradient.logvar2[..., 0]]
        columns.append(gradient.alpha)
        for i, (N1, N2) in enumerate(group):
            for j, alpha in enumerate(ALPHAS):
                truths = balls.gradient(N1, N2, alpha, dual=dual, convention=convention)
                for column, (truth, size) in zip(columns, truths, strict=True):
                    assert_within(column[i, j], truth, size)


def assert_within(value, truth, size):
    if np.isinf(float(truth.mid())):
        assert value == float(truth.mid())
    else:
        unit = np.spacing(min(float(size.mid()), np.finfo(float).max))
        assert balls.distance(value, truth, float(unit)) <= ULPS


@variants
@pytest.mark.parametrize("form", ["var", "logvar", "std"])
def test_derivatives_by_variances_and_by_their_logarithms_differ_by_the_variance(form, dual, convention):
    rng = np.random.default_rng(1)
    N1, N2 = (Gaussian(rng.normal(size=(3, 4)), **{form: rng.uniform(0.1, 3, (3, 4))}) for _ in range(2))
    gradient = derivatives(dual, N1, N2, rng.uniform(size=3), convention=convention)
    # One rounding each for the two gradients, the variance and the product.
    np.testing.assert_allclose(gradient.var1 * N1.var, gradient.logvar1, rtol=4 * 2.0**-53)
    np.testing.assert_allclose(gradient.var2 * N2.var, gradient.logvar2, rtol=4 * 2.0**-53)


@variants
def test_the_gradient_vanishes_exactly_between_equal_gaussians(dual, convention):
    N = Gaussian([3.0, -1e9], logvar=[0.3, 40.0])
    gradient = derivatives(dual, N, N, np.array(ALPHAS), convention=convention)
    assert all((x == 0).all() for x in gradient)


@variants
def test_gradients_broadcast_like_values(dual, convention):
    rng = np.random.default_rng(2)
    N1 = Gaussian(rng.normal(size=(5, 1, 3)), var=rng.uniform(1, 2, 3))
    N2 = Gaussian(rng.normal(size=3), logvar=rng.normal(size=(4, 3)))
    alpha = rng.uniform(size=(5, 4))
    gradient = derivatives(dual, N1, N2, alpha, convention=convention)
    assert [x.shape for x in gradient] == [(5, 4, 3)] * 6 + [(5, 4)]
    single = derivatives(
        dual,
        Gaussian(N1.mean[2, 0], var=N1.scale),
        Gaussian(N2.mean, logvar=N2.scale[1]),
        alpha[2, 1],
        convention=convention,
    )
    for whole, part in zip(gradient, single, strict=True):
        np.testing.assert_array_equal(whole[2, 1], part)


def test_float32_gaussians_have_float32_gradients():
    N1, N2 = (Gaussian(np.float32([mean]), logvar=np.float32([0.3])) for mean in (0.0, 1.0))
    assert {x.dtype for x in jsgmath.jsg_grad(N1, N2, 0.3)} == {np.dtype(np.float32)}
