"""How many digits are right between Gaussians of full covariance, against ball arithmetic on the definition."""

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian
from tests.pairs import VARIANTS
from verification import balls

EPS = 2.0**-52
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)

# Forward error of Cholesky factors and triangular solves in n dimensions: a small multiple of n * eps * condition, the
# condition being that of the matrix scaled to a unit diagonal, since neither step sees the scaling.  3.9 was measured.
MULTIPLE = 10


def condition(N):
    """Condition number of the matrix that is factored: of the scale, by a diagonal scaled to one."""
    _, form, scale = N
    scale = np.asarray(scale)
    if scale.ndim == 1:
        return 1.0
    matrix = scale @ scale.T if form == "scale_tril" else scale
    d = 1 / np.sqrt(np.diagonal(matrix))
    squared = np.linalg.cond(matrix * d[:, None] * d)
    return np.sqrt(squared) if form == "scale_tril" else squared


def assert_accurate(N1, N2, alpha, dual, convention, condition):
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    gaussians = [Gaussian(mean, **{form: scale}) for mean, form, scale in (N1, N2)]
    value = function(*gaussians, alpha, convention=convention)
    truth = balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention)
    relative = balls.distance(value, truth, abs(float(truth.mid())))
    n = len(N1[0])
    assert relative <= MULTIPLE * n * EPS * condition, f"{relative / (n * EPS * condition):.3g} n eps condition"


def covariance(rng, n, condition, scales=1.0):
    """A random one with eigenvalues from 1 to 1/condition, then scaled along the axes."""
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = (q * np.geomspace(1, 1 / condition, n)) @ q.T * np.outer(scales, scales)
    return (matrix + matrix.T) / 2


def nearby(rng, matrix, distance):
    """``matrix`` with relative changes of that size in its own whitening."""
    noise = rng.normal(size=matrix.shape)
    root = np.linalg.cholesky(matrix)
    other = matrix + distance / (4 * np.sqrt(len(matrix))) * root @ (noise + noise.T) @ root.T
    return (other + other.T) / 2


def as_form(form, matrix):
    """The numbers of a positive definite matrix in one of the forms; not the same Gaussian, but one like it."""
    return np.linalg.cholesky(matrix) if form == "scale_tril" else matrix


@variants
@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
@pytest.mark.parametrize("distance", [None, 0.1, 1e-3, 1e-6, 1e-9, 1e-13])
def test_full_covariances_lose_no_more_than_their_condition(form, distance, dual, convention):
    """Above all the error does not grow as the two Gaussians approach each other."""
    rng = np.random.default_rng(1)
    for n, wanted in ((2, 1.0), (2, 1e8), (3, 1e4), (5, 1.0), (5, 1e6), (10, 1e8), (20, 1e2), (20, 1e8)):
        first = covariance(rng, n, wanted)
        second = covariance(rng, n, wanted) if distance is None else nearby(rng, first, distance)
        mean = rng.normal(size=n)
        other = mean + rng.choice([0.0, 1.0]) * (distance or 1.0) * rng.normal(size=n)
        N1, N2 = (mean, form, as_form(form, first)), (other, form, as_form(form, second))
        alpha = float(rng.choice([0.1, 0.5, 0.8] if convention == "nielsen" else [0.0, 0.1, 0.5, 1.0]))
        assert_accurate(N1, N2, alpha, dual, convention, max(condition(N1), condition(N2)))


@variants
def test_scaling_the_axes_costs_nothing(dual, convention):
    """Units of 1e-60 beside units of 1e60 make a covariance of condition 1e240, yet a harmless one."""
    rng = np.random.default_rng(2)
    scales = 10.0 ** np.linspace(-60, 60, 5)
    first, second = (covariance(rng, 5, 10.0, scales) for _ in range(2))
    N1, N2 = (scales * rng.normal(size=5), "cov", first), (scales * rng.normal(size=5), "cov", second)
    assert_accurate(N1, N2, 0.3, dual, convention, max(condition(N1), condition(N2)))


@variants
@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
def test_the_three_whitenings_agree_where_they_meet(form, dual, convention):
    """The reduction changes its path where an excess passes -1/2, for N1 and, exchanged, for N2."""
    rng = np.random.default_rng(3)
    edge, n = 1e-9, 4
    second = covariance(rng, n, 100.0)
    root = np.linalg.cholesky(second)
    rotation, _ = np.linalg.qr(rng.normal(size=(n, n)))
    for low in (0.5 - edge, 0.5 + edge, 0.01):
        for high in (2 - edge, 2 + edge, 100.0):
            half = root @ rotation * np.sqrt([low, high, 1.0, 1.3])
            first = half @ half.T
            first = (first + first.T) / 2
            N1, N2 = (rng.normal(size=n), form, as_form(form, first)), (rng.normal(size=n), form, as_form(form, second))
            for alpha in (0.1, 0.6):
                assert_accurate(N1, N2, alpha, dual, convention, max(condition(N1), condition(N2)))


@variants
@pytest.mark.parametrize("dense_first", [True, False])
@pytest.mark.parametrize("diagonal", ["var", "logvar", "std"])
@pytest.mark.parametrize("dense", ["cov", "scale_tril", "precision"])
def test_a_dense_with_a_diagonal_gaussian_loses_no_more_than_the_condition(
    dense, diagonal, dense_first, dual, convention
):
    """Here forms are converted, so a factor's condition counts in full; far apart that is all."""
    rng = np.random.default_rng(4)
    for n, wanted in ((2, 1.0), (5, 1e4), (20, 1e2)):
        N1 = (rng.normal(size=n), dense, as_form(dense, covariance(rng, n, wanted)))
        N2 = (rng.normal(size=n), diagonal, rng.normal(size=n) if diagonal == "logvar" else rng.uniform(0.2, 3.0, n))
        pair = (N1, N2) if dense_first else (N2, N1)
        assert_accurate(*pair, 0.3, dual, convention, condition(N1) ** (2 if dense == "scale_tril" else 1))


@variants
def test_float32_covariances_are_the_rounded_truth(dual, convention):
    """They are diagonalised in float64: condition 100 leaves nothing of its error in 24 bits but the last rounding."""
    rng = np.random.default_rng(5)
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    for n in (2, 5, 20):
        matrices = [covariance(rng, n, 100.0).astype(np.float32) for _ in range(2)]
        means = rng.normal(size=(2, n)).astype(np.float32)
        N1, N2 = ((mean, "cov", matrix) for mean, matrix in zip(means, matrices, strict=True))
        value = function(*(Gaussian(mean, cov=cov) for mean, _, cov in (N1, N2)), 0.3, convention=convention)
        truth = balls.dense_divergence(N1, N2, 0.3, dual=dual, convention=convention)
        assert value.dtype == np.float32
        assert balls.ulps(value, truth) <= 0.501


def test_a_dense_and_a_diagonal_description_give_one_value():
    """The diagonal path, held to the last place, is a second oracle for the dense one; 6 eps was measured."""
    rng = np.random.default_rng(6)
    v1, v2, m1, m2 = np.exp(rng.normal(size=(4, 6)))
    N1, N2 = Gaussian(m1, var=v1), Gaussian(m2, var=v2)
    D1, D2 = Gaussian(m1, cov=np.diag(v1)), Gaussian(m2, cov=np.diag(v2))
    for function in (jsgmath.jsg, jsgmath.jsg_dual):
        np.testing.assert_allclose(function(D1, D2, 0.3), function(N1, N2, 0.3), rtol=20 * EPS)
