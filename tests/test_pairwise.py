"""Matrices of pairs, against the pairs."""

import time

import numpy as np
import pytest
import scipy.stats as st

from jsgmath import Gaussian, families, jsg, jsg_dual, pairwise

RNG = np.random.default_rng(6)
VARIANTS = [(dual, convention) for dual in (False, True) for convention in ("deasy", "nielsen")]


def batch(count, n, form="var", spread=1.0):
    """``count`` Gaussians around one centre, at distances of about ``spread``."""
    mean = RNG.normal(size=n) + spread * RNG.normal(size=(count, n))
    logvar = RNG.normal(size=n) + spread * RNG.normal(size=(count, n))
    return Gaussian(mean, **{form: {"var": np.exp(logvar), "std": np.exp(logvar / 2), "logvar": logvar}[form]})


def pairs(first, second, alpha, dual, convention):
    """The same matrix by `jsg`, accurate to 1 ulp."""
    function = jsg_dual if dual else jsg
    return function(first.indexed((slice(None), None)), second.indexed((None,)), alpha, convention=convention)


@pytest.mark.parametrize("form", ["var", "std", "logvar"])
@pytest.mark.parametrize("spread", [3.0, 0.3, 1e-3, 1e-8, 1e-14, 90.0])
def test_entries_equal_single_divergences_however_close_or_far(form, spread):
    first, second = batch(7, 20, form, spread), batch(5, 20, form, spread)
    second = Gaussian(
        np.concatenate([second.mean, first.mean[:2]]), **{form: np.concatenate([second.scale, first.scale[:2]])}
    )
    for alpha in (0.0, 1e-12, 0.3, 0.5, 1.0):
        for dual, convention in VARIANTS:
            matrix = pairwise(first, alpha, second, dual=dual, convention=convention)
            expected = pairs(first, second, alpha, dual, convention)
            np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=0)  # the documented accuracy
            assert (matrix[[0, 1], [-2, -1]] == 0).all()


def test_at_one_half_the_matrix_is_symmetric_and_its_diagonal_zero():
    dense = np.stack([a @ a.T + np.eye(3) for a in RNG.normal(size=(4, 3, 3))])
    mixed = [
        Gaussian(np.zeros(3), cov=dense[0]),
        Gaussian(np.ones(3), var=2.0),
        Gaussian(np.ones(3), precision=dense[1]),
    ]
    poisson = [families.Poisson(rate=rate) for rate in (1.0, 2.0, 5.0)]
    for gaussians in (batch(9, 4), Gaussian(RNG.normal(size=(4, 3)), cov=dense), mixed, poisson):
        matrix = pairwise(gaussians, 0.5)
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 0).all()
        assert (matrix[~np.eye(len(matrix), dtype=bool)] > 0).all()


def test_lists_of_every_kind_are_accepted():
    matrices = [a @ a.T + np.eye(3) for a in RNG.normal(size=(3, 3, 3))]
    dense = [st.multivariate_normal(RNG.normal(size=3), c) for c in matrices]
    frozen = [st.norm(RNG.normal(), 1.5) for _ in range(3)]
    mixed = [dense[0], Gaussian([0.0, 1.0, 2.0], var=2.0)]
    other = [families.Gamma(shape=a, rate=1.0) for a in (1.0, 2.0, 3.0)]
    for distributions in (dense, frozen, mixed, other):
        for alpha in (0.3, 0.5):
            matrix = pairwise(distributions, alpha, dual=True)
            expected = [[jsg_dual(x, y, alpha) for y in distributions] for x in distributions]
            np.testing.assert_allclose(np.squeeze(matrix), np.squeeze(expected), rtol=1e-12)
            assert matrix.shape[:2] == (len(distributions), len(distributions))


def test_the_type_of_the_result_is_that_of_the_input():
    first = Gaussian(np.zeros((3, 2), np.float32), var=np.ones(2, np.float32))
    assert pairwise(first, 0.5).dtype == np.float32
    assert pairwise(first, 0.5, batch(2, 2)).dtype == np.float64


def test_a_thousand_of_fifty_dimensions_take_less_than_two_seconds_of_processor_time():
    """It takes a second on two cores; processor time does not depend on other programs."""
    gaussians = batch(1000, 50)
    pairwise(batch(100, 50), 0.3)
    start = time.process_time()
    matrix = pairwise(gaussians, 0.3)
    assert time.process_time() - start < 2
    i, j = RNG.integers(1000, size=(2, 40))
    expected = jsg(gaussians.indexed(i), gaussians.indexed(j), 0.3)
    np.testing.assert_allclose(matrix[i, j], expected, rtol=1e-12)


REFUSED = {
    "many alphas": (lambda: pairwise(batch(2, 2), [0.1, 0.2]), ValueError, "alpha | single number | (2,)"),
    "alpha above 1": (lambda: pairwise(batch(2, 2), 1.1), ValueError, "alpha | [0, 1] | 1.1"),
    "a convention": (lambda: pairwise(batch(2, 2), 0.5, convention="paper"), ValueError, "'deasy' | 'paper'"),
    "dimensions": (lambda: pairwise(batch(2, 2), 0.5, batch(2, 3)), ValueError, "dimension 2 | 3"),
    "a batch in a list": (
        lambda: pairwise([batch(2, 2)], 0.5),
        ValueError,
        "gaussians[0] has batch shape (2,), wanted ()",
    ),
    "an empty batch": (lambda: pairwise(batch(2, 2).indexed(slice(0, 0)), 0.5), ValueError, "at least one"),
    "a single one": (lambda: pairwise(Gaussian([0.0], var=1.0), 0.5), TypeError, "gaussians | sequence | batch"),
    "two families": (
        lambda: pairwise([families.Poisson(1.0), families.Gamma(shape=1.0, rate=1.0)], 0.5),
        TypeError,
        "gaussians[0] is a Poisson | gaussians[1] a Gamma",
    ),
}


@pytest.mark.parametrize(("call", "exception", "fragments"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_with_a_reason(call, exception, fragments):
    with pytest.raises(exception) as caught:
        call()
    assert all(fragment in str(caught.value) for fragment in fragments.split(" | ")), caught.value


@pytest.mark.parametrize("size", [1e-40, 4e-41, 1e-300])
def test_products_of_variances_that_float64_cannot_hold_keep_their_digits(size):
    """The product of eight factors 1e-40 is 1e-320, and float64 keeps four digits of it."""
    var = np.concatenate([np.full((3, 16), size) * [[1], [2], [3]], np.full((3, 16), 1 / size)])
    mean = np.sqrt(size) * np.array([[0], [30], [-30], [0], [0], [0]])
    gaussians = Gaussian(np.broadcast_to(mean, var.shape), var=var)
    for dual, convention in VARIANTS:
        matrix = pairwise(gaussians, 0.3, dual=dual, convention=convention)
        np.testing.assert_allclose(matrix, pairs(gaussians, gaussians, 0.3, dual, convention), rtol=1e-12, atol=0)


def test_powers_of_alpha_that_underflow_count():
    """``alpha^2`` is 0, but times ``v1/v2 (m1 - m2)^2/s`` it is 1e170."""
    first, second = Gaussian([[1e100]], var=[[1e150]]), Gaussian([[0.0]], var=[[1e-150]])
    for dual, convention in VARIANTS:
        matrix = pairwise(first, 1e-180, second, dual=dual, convention=convention)
        np.testing.assert_allclose(matrix, pairs(first, second, 1e-180, dual, convention), rtol=1e-12, atol=0)


def test_a_value_beyond_float32_is_infinite():
    far = Gaussian(np.array([[1e30], [0]], np.float32), var=np.array([[1e-30], [1]], np.float32))
    assert pairwise(far, 0.5)[0, 1] == np.inf


def test_squares_of_means_times_variances_that_underflow_count():
    """``d^2 v/s^2`` is 100 although ``d^2 v`` underflows to 0."""
    first = Gaussian([[1e-99], [0.0]], var=[[1e-200], [1e200]])
    second = Gaussian([[0.0], [0.0]], var=[[2e-198], [1e200]])
    for dual, convention in VARIANTS:
        matrix = pairwise(first, 0.0, second, dual=dual, convention=convention)
        np.testing.assert_allclose(matrix, pairs(first, second, 0.0, dual, convention), rtol=1e-12, atol=0)
