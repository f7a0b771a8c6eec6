"""The last path of correct rounding between full covariances: whole numbers, ties, and what it cannot decide."""

import math
from fractions import Fraction

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian, native
from jsgmath.rounding import nearest_full, of_pairs
from jsgmath.rounding.nearest import Divergence
from tests.reduction.test_full import as_form, covariance, nearby
from verification import balls

FORMS = ("cov", "scale_tril", "precision", "var", "std", "logvar")
FULL = FORMS[:3]


@pytest.fixture(params=["as installed", "NumPy"], autouse=True)
def path(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(native, "CORE", None)


@pytest.fixture
def last_path_alone(monkeypatch):
    """Whole numbers compute every value, not only those that faster arithmetic does not decide."""
    monkeypatch.setattr(of_pairs, "_full_by_numpy", lambda *arguments: np.full(arguments[5], np.nan))
    monkeypatch.setattr(native, "CORE", None)


def scale(form, matrix):
    """Converts a covariance to the scale of a form; a diagonal form gets only its diagonal."""
    if form in FULL:
        return as_form(form, matrix)
    variances = np.diag(matrix).copy()
    return {"var": variances, "std": np.sqrt(variances), "logvar": np.log(variances)}[form]


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FULL)
def test_every_two_forms_are_correctly_rounded(first, second, last_path_alone):
    rng = np.random.default_rng(FORMS.index(first) + 10 * FORMS.index(second))
    for n, condition, distance in ((1, 1.0, None), (2, 1e14, 0.1), (3, 1e3, 1e-9), (5, 1e10, None), (6, 10.0, 1e-4)):
        matrix = covariance(rng, n, condition)
        other = covariance(rng, n, condition) if distance is None else nearby(rng, matrix, distance)
        pair = [(rng.normal(size=n), form, scale(form, S)) for form, S in ((first, matrix), (second, other))]
        for N1, N2 in (pair, pair[::-1]):
            G1, G2 = (Gaussian(mean, **{form: x}) for mean, form, x in (N1, N2))
            for function, dual in ((jsgmath.jsg, False), (jsgmath.jsg_dual, True)):
                for alpha, convention in ((0.0, "deasy"), (1.0, "deasy"), (0.3, "deasy"), (1e-9, "nielsen")):
                    truth = balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention)
                    assert balls.is_nearest(function(G1, G2, alpha, convention=convention), truth)


def test_jeffreys_divergence_is_correctly_rounded(last_path_alone):
    rng = np.random.default_rng(3)
    for n, first, second in ((2, "cov", "cov"), (3, "precision", "cov"), (4, "scale_tril", "logvar")):
        N1, N2 = ((rng.normal(size=n), form, scale(form, covariance(rng, n, 1e5))) for form in (first, second))
        G1, G2 = (Gaussian(mean, **{form: x}) for mean, form, x in (N1, N2))
        ends = [balls.dense_divergence(N1, N2, alpha, dual=False, convention="deasy") for alpha in (0.0, 1.0)]
        assert balls.is_nearest(jsgmath.jeffreys(G1, G2), balls.total(ends))


@pytest.mark.parametrize("form", FULL)
@pytest.mark.parametrize("d", [123456771.0, 123456775.0])
def test_a_truth_in_the_middle_goes_to_the_even_float(d, form):
    """KL of equal covariances is d^2/2 here, and d^2 has 54 bits, of which the last is 1."""
    matrix = np.array([[1.0, 0.0], [0.5, 1.0]]) if form == "scale_tril" else np.eye(2)
    for second in {form, "cov" if form == "precision" else form}:
        N1, N2 = Gaussian([0.0, 0.0], **{form: matrix}), Gaussian([0.0, d], **{second: matrix})
        truth = Fraction(d) ** 2 / 2
        assert truth != float(truth)
        assert jsgmath.kl(N1, N2) == float(truth)
        assert jsgmath.jeffreys(N1, N2) == float(2 * truth)


def test_logarithms_that_cancel_leave_a_tie():
    """Covariances of equal determinant: 4 KL = 1 + d^2, and JSG with ratios 2 and 1/2 that have the roots of alpha."""
    for d in (123456772.0, 123456774.0):
        N1, N2 = Gaussian([0.0, d], cov=np.diag([2.0, 1.0])), Gaussian([0.0, 0.0], cov=np.diag([1.0, 2.0]))
        assert jsgmath.kl(N1, N2) == float((1 + Fraction(d) ** 2) / 4)
        for function in (jsgmath.jsg, jsgmath.jsg_dual):
            sides = [([0.0, d], "cov", np.diag([2.0, 1.0])), ([0.0, 0.0], "cov", np.diag([1.0, 2.0]))]
            truth = balls.dense_divergence(*sides, 0.5, dual=function is jsgmath.jsg_dual, convention="deasy")
            assert balls.is_nearest(function(N1, N2, 0.5), truth)


@pytest.mark.parametrize("first", ["cov", "scale_tril", "precision", "var", "std"])
@pytest.mark.parametrize("second", FULL)
def test_rational_truths_are_recognised(first, second):
    """The exact value equals that of whole numbers with many bits; equal determinants make JSG rational."""
    roots = [np.array([[2.0, 0.0], [1.0, 3.0]]), np.array([[3.0, 0.0], [-1.0, 2.0]])]

    def given(form, root):
        matrix = {"scale_tril": root, "var": np.array([9.0, 4.0]), "std": np.array([3.0, 2.0])}
        return form, matrix.get(form, root @ root.T)

    sides = [(np.array([0.0, 1.0]), *given(form, root)) for form, root in zip((first, second), roots, strict=True)]
    d = nearest_full.whole(sides[0][0]).plus(nearest_full.whole(-sides[1][0]))
    for divergence, alpha in ((Divergence.JSG, 0.0), (Divergence.JSG_DUAL, 1.0), (Divergence.JEFFREYS, 0.0)):
        weights = nearest_full.weights_of(True, alpha)
        truth = nearest_full._exact(divergence, weights, tuple(sides), d, False)
        value, error = nearest_full._bounded(divergence, weights, tuple(sides), d, False, 512)
        if truth is None:  # the determinants are 36 and 1/36
            assert (first == "precision") != (second == "precision")
        else:
            assert abs(value - truth) <= error < Fraction(1, 2**400)


def test_equal_gaussians_of_two_forms_are_0():
    root = np.array([[2.0, 0.0], [1.0, 3.0]])
    N1, N2 = Gaussian([1.0, 2.0], scale_tril=root), Gaussian([1.0, 2.0], cov=root @ root.T)
    N3, N4 = Gaussian([0.0, 0.0], precision=np.diag([0.25, 4.0])), Gaussian([0.0, 0.0], std=[2.0, 0.5])
    for pair in ((N1, N2), (N3, N4)):
        assert jsgmath.jsg(*pair, 0.3) == jsgmath.jsg_dual(*pair, 0.3) == jsgmath.jeffreys(*pair) == 0
    assert jsgmath.jsg(N1, N3, [0.0, 1.0], convention="nielsen").tolist() == [0.0, 0.0]


def test_results_at_the_ends_of_the_range():
    eye = np.eye(2)
    N0 = Gaussian([0.0, 0.0], cov=eye)
    assert jsgmath.kl(Gaussian([2.0**-537, 0.0], cov=eye), N0) == 0  # half of the smallest number: to even
    assert jsgmath.kl(Gaussian([np.nextafter(2.0**-537, 1), 0.0], cov=eye), N0) == 5e-324
    assert jsgmath.kl(Gaussian([1e200, 0.0], cov=eye), N0) == np.inf
    assert jsgmath.jsg(Gaussian([1.0, 0.0], cov=eye), N0, 5e-324) == 0.5
    truth = math.log(2) / 2 - 0.25  # twice, for two dimensions
    value = jsgmath.kl(
        N0,
        Gaussian(
            [0.0, 0.0],
            precision=eye / 2,
        ),
        return_error=True,
    )
    np.testing.assert_allclose(value[0], 2 * truth, rtol=1e-15)
    assert value[1] == np.spacing(value[0]) / 2


def test_float32_is_rounded_once(last_path_alone):
    rng = np.random.default_rng(4)
    for _ in range(20):
        mean, S1, S2 = rng.normal(size=2), covariance(rng, 2, 50.0), covariance(rng, 2, 50.0)
        N1, N2 = (Gaussian(np.float32(m), cov=np.float32(S)) for m, S in ((mean, S1), (0 * mean, S2)))
        truth = balls.dense_divergence(
            *((N.mean, "cov", N.scale) for N in (N1, N2)), 0.3, dual=False, convention="deasy"
        )
        value = jsgmath.jsg(N1, N2, 0.3)
        assert value.dtype == np.float32
        assert balls.is_nearest(value, truth)


def test_an_undecided_value_is_an_error(monkeypatch):
    monkeypatch.setattr(nearest_full, "BITS", (256,))
    N1, N2 = Gaussian([0.0, 123456771.0], cov=np.eye(2)), Gaussian([0.0, 0.0], precision=np.eye(2))
    with pytest.raises(ArithmeticError, match="256 bits do not tell which float is nearest"):
        jsgmath.kl(N1, N2)


def test_matrices_that_are_not_positive_definite_are_refused():
    """`Gaussian` checks in floating point, the last path exactly."""
    side = (np.zeros(2), "cov", np.array([[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(ValueError, match="not positive definite in exact arithmetic"):
        nearest_full.nearest_full(Divergence.JSG, True, side, (np.ones(2), "cov", np.eye(2)), 0.5, False)


def test_log_variances_too_large_for_whole_numbers_are_refused():
    N1, N2 = Gaussian([0.0, 0.0], logvar=[20_000.0, 0.0]), Gaussian([0.0, 0.0], cov=np.eye(2))
    with pytest.raises(ValueError, match="a log-variance beyond 10000 meets a full covariance"):
        jsgmath.jsg(N1, N2, 0.5)
