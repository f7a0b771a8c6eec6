"""Matrices of divergences, against single divergences."""

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
    """The matrix, computed by `jsg`."""
    function = jsg_dual if dual else jsg
    return function(first.indexed((slice(None), None)), second.indexed((None,)), alpha, convention=convention)


@pytest.mark.parametrize("form", ["var", "std", "logvar"])
@pytest.mark.parametrize("spread", [3.0, 1e-8, 90.0])
def test_entries_are_single_divergences_to_the_last_bit_however_close_or_far(form, spread):
    first, second = batch(7, 3, form, spread), batch(5, 3, form, spread)
    second = Gaussian(
        np.concatenate([second.mean, first.mean[:2]]), **{form: np.concatenate([second.scale, first.scale[:2]])}
    )
    for alpha in (0.0, 1e-180, 0.3, 0.5, 1.0):
        for dual, convention in VARIANTS:
            matrix = pairwise(first, alpha, second, dual=dual, convention=convention)
            np.testing.assert_array_equal(matrix, pairs(first, second, alpha, dual, convention))
            assert (matrix[[0, 1], [-2, -1]] == 0).all()


@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_entries_of_full_covariances_are_single_divergences_to_the_last_bit(alpha):
    dense = Gaussian(RNG.normal(size=(6, 3)), cov=np.stack([a @ a.T for a in RNG.normal(size=(6, 3, 5))]))
    np.testing.assert_array_equal(pairwise(dense, alpha), pairs(dense, dense, alpha, False, "deasy"))
    others = batch(4, 3)
    np.testing.assert_array_equal(pairwise(dense, alpha, others), pairs(dense, others, alpha, False, "deasy"))


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


def test_a_value_beyond_float32_is_infinite():
    far = Gaussian(np.array([[1e30], [0]], np.float32), var=np.array([[1e-30], [1]], np.float32))
    assert pairwise(far, 0.5)[0, 1] == np.inf
