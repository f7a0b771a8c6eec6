"""The accuracy of divergences between Gaussians of full covariance and their bounds, against ball arithmetic."""

import numpy as np
import pytest
from flint import arb, ctx

import jsgmath
from jsgmath import Gaussian, special
from jsgmath.reduction.pairs import pair_weights
from jsgmath.working import evaluated
from tests.pairs import VARIANTS
from verification import balls

variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
DENSE = ["cov", "scale_tril", "precision"]

# The error in NumPy before the last rounding is hundredths of an ulp (verification/README.md), and up to 8.5 ulp where
# a long double is a double.
ULPS = 0.1 if np.finfo(np.longdouble).nmant > 52 else 8.5
# Directions with nearly equal ratios are separated only in float64, which affects displacements; 2.1 was measured.
ULPS_OF_EQUAL_RATIOS = ULPS + 4


def covariance(rng, n, condition, scales=1.0):
    """A random covariance with eigenvalues from 1 to 1/condition, scaled along the axes."""
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    matrix = (q * np.geomspace(1, 1 / condition, n)) @ q.T * np.outer(scales, scales)
    return (matrix + matrix.T) / 2


def nearby(rng, matrix, distance):
    """``matrix``, whitened, changed by ``distance`` and mapped back."""
    noise = rng.normal(size=matrix.shape)
    root = np.linalg.cholesky(matrix)
    other = matrix + distance / (4 * np.sqrt(len(matrix))) * root @ (noise + noise.T) @ root.T
    return (other + other.T) / 2


def as_form(form, matrix):
    """A positive definite matrix as the scale of one of the forms; each form gives another Gaussian."""
    return np.linalg.cholesky(matrix) if form == "scale_tril" else matrix


def measure(N1, N2, alpha, dual, convention):
    """The error before the last rounding and the bound on it, in ulp; the result must be the nearest float."""
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    gaussians = [Gaussian(mean, **{form: scale}) for mean, form, scale in (N1, N2)]
    truth = balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention)
    value, bound = function(*gaussians, alpha, convention=convention, return_error=True)
    assert balls.is_nearest(value, truth)
    assert bound == np.spacing(value) / 2
    assert value == function(*gaussians, alpha, convention=convention)
    working, bound = evaluated(*gaussians, *pair_weights(*gaussians, alpha, convention)[:4], dual)
    with ctx.workprec(400):
        high = float(working)
        error = abs(arb(high) + arb(float(working - high)) - truth)
        assert error <= arb(float(bound)) * (1 + 2.0**-50)
        return float(error / float(np.spacing(value))), float(bound / np.spacing(value))


@variants
@pytest.mark.parametrize("form", DENSE)
@pytest.mark.parametrize("distance", [None, 0.3, 1e-3, 1e-6, 1e-9, 1e-13])
def test_full_covariances_are_accurate_and_their_bounds_hold(form, distance, dual, convention):
    """This is true at any condition and distance; the bound is small enough to decide nine of ten values."""
    rng = np.random.default_rng(1)
    bounds = []
    for n, condition in ((2, 1.0), (2, 1e8), (3, 1e14), (5, 1.0), (5, 1e6), (10, 1e8), (20, 1e2), (20, 1e10)):
        first = covariance(rng, n, condition)
        second = covariance(rng, n, condition) if distance is None else nearby(rng, first, distance)
        mean = rng.normal(size=n)
        other = mean + rng.choice([0.0, 1.0]) * (distance or 1.0) * rng.normal(size=n)
        N1, N2 = (mean, form, as_form(form, first)), (other, form, as_form(form, second))
        alpha = float(rng.choice([0.1, 0.5, 0.8] if convention == "nielsen" else [0.0, 0.1, 0.5, 1.0]))
        ulps, bound = measure(N1, N2, alpha, dual, convention)
        assert ulps <= ULPS
        bounds.append(bound)
    # The rounding of the formula makes up 23 + n units of the working precision.
    assert np.median(bounds) <= 100 * np.finfo(special.WORK).eps * 2.0**52


@variants
@pytest.mark.parametrize("form", DENSE)
@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
def test_equal_ratios_lose_little(condition, form, dual, convention):
    """One covariance is a multiple of the other, has the same eigenvectors, or differs in one direction."""
    rng = np.random.default_rng(2)
    for n in (2, 5, 8):
        first = covariance(rng, n, condition)
        values, vectors = np.linalg.eigh(first)
        shared = (vectors * (values * rng.choice([0.5, 1.0, 2.0], size=n))) @ vectors.T
        u = first @ rng.normal(size=n)
        for second in (1.7 * first, 30 * first, (shared + shared.T) / 2, first + 100 * np.outer(u, u)):
            N1, N2 = ((rng.normal(size=n), form, as_form(form, S)) for S in (first, second))
            assert measure(N1, N2, 0.3, dual, convention)[0] <= ULPS_OF_EQUAL_RATIOS


@variants
def test_scaling_the_axes_costs_nothing(dual, convention):
    """Units of 1e-60 and 1e60 give a covariance of condition 1e240, which is harmless."""
    rng = np.random.default_rng(2)
    scales = 10.0 ** np.linspace(-60, 60, 5)
    first, second = (covariance(rng, 5, 1e5, scales) for _ in range(2))
    N1, N2 = (scales * rng.normal(size=5), "cov", first), (scales * rng.normal(size=5), "cov", second)
    assert measure(N1, N2, 0.3, dual, convention)[0] <= ULPS


@variants
@pytest.mark.parametrize("form", DENSE)
def test_values_are_accurate_where_the_method_changes(form, dual, convention):
    """Pairs with an excess between -1/2 and 1 are diagonalised by their difference, the others are not."""
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
            N1, N2 = ((rng.normal(size=n), form, as_form(form, S)) for S in (first, second))
            for alpha in (0.1, 0.6):
                assert measure(N1, N2, alpha, dual, convention)[0] <= ULPS


@variants
@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("other", [*DENSE, "var", "logvar", "std"])
@pytest.mark.parametrize("form", DENSE)
def test_full_covariances_of_two_forms_are_accurate(form, other, exchanged, dual, convention):
    rng = np.random.default_rng(4)
    for n, condition in ((2, 1.0), (5, 1e4), (8, 1e10)):
        scale = as_form(other, covariance(rng, n, condition))
        if other in ("var", "logvar", "std"):
            scale = rng.normal(size=n) if other == "logvar" else rng.uniform(0.2, 3.0, n)
        N1, N2 = (
            (rng.normal(size=n), form, as_form(form, covariance(rng, n, condition))),
            (rng.normal(size=n), other, scale),
        )
        pair = (N2, N1) if exchanged else (N1, N2)
        assert measure(*pair, 0.3, dual, convention)[0] <= ULPS


@variants
def test_two_forms_of_one_gaussian_differ_by_their_rounding(dual, convention):
    """Rounding makes them differ by 1e-16, and the divergence for this difference has right digits as well.

    It is known to about 2^-104 n cond, which is 1e-25 at condition 1e6, a relative error of at most 1e-9.  The test
    requires 11 digits; 2e-16 was measured.
    """
    rng = np.random.default_rng(5)
    mean, cov = rng.normal(size=4), covariance(rng, 4, 1e6)
    inverse = np.linalg.inv(cov)
    forms = [("cov", cov), ("scale_tril", np.linalg.cholesky(cov)), ("precision", (inverse + inverse.T) / 2)]
    logvar = rng.normal(size=4)
    diagonals = [("logvar", logvar), ("cov", np.diag(np.exp(logvar)))]
    for (form, scale), (other, other_scale) in [*zip(forms, forms[1:] + forms[:1], strict=True), diagonals]:
        ulps, _ = measure((mean, form, scale), (mean, other, other_scale), 0.3, dual, convention)
        assert ulps * 2.0**-52 <= 1e-11


@variants
def test_a_cholesky_factor_is_used_unchanged(dual, convention):
    """The factor has condition 1e11, so its product, of condition 1e22, could not be factored again."""
    rng = np.random.default_rng(6)
    for _ in range(3):
        L1, L2 = (np.tril(rng.normal(size=(5, 5)), -1) + np.diag([1, 1, 1, 1e-11, 1]) for _ in range(2))
        for pair in ((L1, L2), (L1, L1 * (1 + 1e-7 * rng.normal(size=(5, 5))))):
            N1, N2 = ((rng.normal(size=5), "scale_tril", L) for L in pair)
            assert measure(N1, N2, 0.3, dual, convention)[0] <= ULPS


@variants
def test_covariances_at_the_limits_of_float64_are_accurate(dual, convention):
    """Ratios of variances and squares of displacements may exceed float64, if the result does not."""
    eye, ones = np.eye(3), np.ones(3)
    near, far = (0 * ones, "scale_tril", 1e-155 * eye), (1e-160 * ones, "scale_tril", 1e155 * eye)
    if convention == "deasy":  # at this end it is KL(near||far), the only finite one
        assert measure(near, far, 1.0 if dual else 0.0, dual, convention)[0] <= ULPS
    means = (1.7e308 * ones, "cov", 1e308 * (eye + 0.1)), (-1.7e308 * ones, "cov", 1.5e308 * eye)
    assert jsgmath.jsg(*(Gaussian(m, **{f: s}) for m, f, s in means), 0.3) == np.inf


@variants
def test_float32_covariances_are_the_rounded_truth(dual, convention):
    rng = np.random.default_rng(5)
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    for n in (2, 5, 20):
        matrices = [covariance(rng, n, 1e4).astype(np.float32) for _ in range(2)]
        means = rng.normal(size=(2, n)).astype(np.float32)
        N1, N2 = ((mean, "cov", matrix) for mean, matrix in zip(means, matrices, strict=True))
        gaussians = [Gaussian(mean, cov=cov) for mean, _, cov in (N1, N2)]
        value, bound = function(*gaussians, 0.3, convention=convention, return_error=True)
        truth = balls.dense_divergence(N1, N2, 0.3, dual=dual, convention=convention)
        assert value.dtype == bound.dtype == np.float32
        assert balls.ulps(value, truth) <= 0.501
        assert balls.distance(value, truth, 1.0) <= bound


def test_full_and_diagonal_forms_of_one_gaussian_give_the_same_value():
    rng = np.random.default_rng(6)
    v1, v2, m1, m2 = np.exp(rng.normal(size=(4, 6)))
    N1, N2 = Gaussian(m1, var=v1), Gaussian(m2, var=v2)
    D1, D2 = Gaussian(m1, cov=np.diag(v1)), Gaussian(m2, cov=np.diag(v2))
    for function in (jsgmath.jsg, jsgmath.jsg_dual):
        assert function(D1, D2, 0.3) == function(N1, N2, 0.3) == function(N1, D2, 0.3)


def test_every_divergence_returns_its_bound():
    """This covers batches of full covariances, and diagonal Gaussians, whose bound is the rounding error."""
    rng = np.random.default_rng(7)
    dense = [np.array([covariance(rng, 3, 1e6) for _ in range(4)]) for _ in range(2)]
    pairs = [
        [("cov", np.zeros((4, 3)), S) for S in dense],
        [("var", rng.normal(size=(4, 3)), rng.uniform(1, 2, (4, 3))) for _ in range(2)],
    ]
    for pair in pairs:
        N1, N2 = (Gaussian(mean, **{form: scale}) for form, mean, scale in pair)
        for function, alphas in (
            (jsgmath.kl, ()),
            (jsgmath.jeffreys, ()),
            (jsgmath.jsg, (0.3,)),
            (jsgmath.jsg_dual, (0.3,)),
            (jsgmath.bhattacharyya, (0.3,)),
        ):
            value, bound = function(N1, N2, *alphas, return_error=True)
            assert (value == function(N1, N2, *alphas)).all()
            assert value.shape == bound.shape == (4,)
            assert (bound == np.spacing(value) / 2).all()


def test_pairs_that_float64_cannot_diagonalise_are_accurate():
    """The last path needs no diagonalisation; a geometric mean does, and is refused."""
    rng = np.random.default_rng(8)
    L1, L2 = (np.tril(rng.normal(size=(6, 6)), -1) + 1e-9 * np.eye(6) for _ in range(2))
    # In the second pair every step succeeds, but the off-diagonal part does not vanish.
    L = np.tril(rng.normal(size=(6, 6)), -1) + np.diag(np.where(rng.random(6) < 0.5, 1e-8, 1.0))
    other = L * (1 + 1e-9 * rng.normal(size=(6, 6)))
    far = [("logvar", np.array([1000.0, 0.0])), ("cov", np.eye(2))]
    for pair in ([("scale_tril", L1), ("scale_tril", L2)], [("scale_tril", L), ("scale_tril", other)], far):
        N1, N2 = (Gaussian(np.zeros(len(scale)), **{form: scale}) for form, scale in pair)
        truth = balls.dense_divergence(
            *((np.zeros(len(scale)), form, scale) for form, scale in pair), 0.3, dual=False, convention="deasy"
        )
        assert balls.is_nearest(jsgmath.jsg(N1, N2, 0.3), truth)
        with pytest.raises(ValueError, match=r"together in float64: .*; jsgmath\.jsg and jsgmath\.certified have no"):
            jsgmath.geometric_mean(N1, N2, 0.3)
