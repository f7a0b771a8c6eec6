"""The shipped gradients are the derivatives of the definition, in every form of the scales."""

import math

import numpy as np
import pytest

import jsgmath
from verification import balls
from verification.pairs import DIVERGENCES, ORDINARY, batches, truths

ALPHAS = (0.0, 0.3, 0.5, 1.0)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_gradient_is_the_derivative_of_the_definition(dual, convention):
    """Derivatives by means, variances, log-variances and alpha, against differences of the definition in 6000 bits."""
    gradient_of = jsgmath.jsg_dual_grad if dual else jsgmath.jsg_grad
    expected = truths(balls.gradient, ORDINARY, ALPHAS, dual, convention)
    for indices, N1, N2 in batches(ORDINARY):
        gradient = gradient_of(N1, N2, np.array(ALPHAS), convention=convention)
        by_scale = gradient.mean1, gradient.logvar1, gradient.mean2, gradient.logvar2
        values = [*(x[..., 0] for x in by_scale), gradient.alpha]
        for row, i in enumerate(indices):
            for column in range(len(ALPHAS)):
                for value, (truth, size) in zip(values, expected[i][column], strict=True):
                    # Its terms differ in sign, so the error is relative to the sum of their sizes; it is rounded once.
                    unit = math.ulp(float(size.mid()))
                    assert balls.distance(value[row, column], truth, unit) <= 0.51
        # The quotient, the variance and the two gradients are rounded.
        np.testing.assert_allclose(gradient.var1 * N1.var, gradient.logvar1, rtol=2**-50)
        np.testing.assert_allclose(gradient.var2 * N2.var, gradient.logvar2, rtol=2**-50)


def test_gradients_of_batches_are_those_of_their_pairs():
    """The two batch shapes broadcast."""
    means = np.array([0.0, 1.0, 3.0])
    N1, N2 = jsgmath.Gaussian(means[:2, None, None], var=[[[2.0]]]), jsgmath.Gaussian(means[:, None], var=[[0.5]])
    whole = jsgmath.jsg_grad(N1, N2, 0.3)
    for i in range(2):
        for j in range(3):
            single = jsgmath.jsg_grad(N1.indexed((i, 0)), N2.indexed(j), 0.3)
            for x, y in zip(whole, single, strict=True):
                np.testing.assert_array_equal(x[i, j], y)
