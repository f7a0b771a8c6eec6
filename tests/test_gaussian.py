"""The forms in which a Gaussian is given: all describe the same distribution."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import jsgmath
from jsgmath import Gaussian, families, jsg, kl

EPS = 2.0**-52
VALUES = [
    lambda N1, N2, alpha: jsgmath.jsg(N1, N2, alpha),
    lambda N1, N2, alpha: jsgmath.jsg_dual(N1, N2, alpha),
    lambda N1, N2, alpha: jsgmath.jsg(N1, N2, alpha, convention="nielsen"),
    lambda N1, N2, alpha: jsgmath.bhattacharyya(N1, N2, alpha),
    lambda N1, N2, alpha: jsgmath.kl(N1, N2),
    lambda N1, N2, alpha: jsgmath.jeffreys(N1, N2),
]
MATRIX = np.array([[2.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 0.7]])  # condition 5


def diagonal_forms(var):
    """A diagonal covariance in all six forms."""
    dense = {"cov": np.diag(var), "scale_tril": np.diag(np.sqrt(var)), "precision": np.diag(1 / var)}
    return {"var": var, "logvar": np.log(var), "std": np.sqrt(var)} | dense


def dense_forms(cov):
    """A covariance in its three forms."""
    return {"cov": cov, "scale_tril": np.linalg.cholesky(cov), "precision": np.linalg.inv(cov)}


def random_batch(rng, shape, n, form):
    """A batch of Gaussians, given in that form."""
    root = np.tril(rng.normal(size=(*shape, n, n))) / np.sqrt(n) + np.eye(n)
    root[..., range(n), range(n)] = rng.uniform(0.5, 2.0, (*shape, n))
    scales = {
        "var": rng.uniform(0.5, 2.0, (*shape, n)),
        "logvar": rng.normal(size=(*shape, n)),
        "std": rng.uniform(0.5, 2.0, (*shape, n)),
        "scale_tril": root,
        "cov": root @ root.swapaxes(-1, -2),
        "precision": root @ root.swapaxes(-1, -2),
    }
    return Gaussian(rng.normal(size=(*shape, n)), **{form: scales[form]})


ALL_FORMS = ("var", "logvar", "std", "cov", "scale_tril", "precision")


@pytest.mark.parametrize("value", VALUES)
def test_every_form_of_a_diagonal_scale_is_the_same_gaussian(value):
    """Each form is rounded separately, which changes these values by a few eps; 7 eps was measured."""
    rng = np.random.default_rng(1)
    mean, other = rng.normal(size=(2, 4))
    var = rng.uniform(0.3, 3.0, 4)
    N2 = Gaussian(other, cov=random_batch(rng, (), 4, "cov").cov)
    for partner in (N2, Gaussian(other, var=[1.0, 2.0, 0.5, 1.5])):
        values = [value(Gaussian(mean, **{form: scale}), partner, 0.3) for form, scale in diagonal_forms(var).items()]
        np.testing.assert_allclose(values, values[0], rtol=40 * EPS)


@pytest.mark.parametrize("value", VALUES)
def test_every_form_of_a_dense_scale_is_the_same_gaussian(value):
    """The rounding errors of the inverse and the Cholesky factor are multiplied by the condition number, 5."""
    N2 = Gaussian([1.0, 0.0, -1.0], cov=MATRIX[::-1, ::-1])
    values = [value(Gaussian([0.0, 1.0, 0.5], **{form: s}), N2, 0.7) for form, s in dense_forms(MATRIX).items()]
    np.testing.assert_allclose(values, values[0], rtol=100 * EPS)


@pytest.mark.parametrize("form", ALL_FORMS)
def test_a_gaussian_gives_its_scale_in_every_form(form):
    """Conversions of a matrix of condition 5 lose a few eps."""
    diagonal = form in ("var", "logvar", "std")
    cov = np.diag([2.0, 0.5, 0.7]) if diagonal else MATRIX
    N = Gaussian([1.0, 2.0, 3.0], **{form: (diagonal_forms(np.diagonal(cov)) if diagonal else dense_forms(cov))[form]})
    truth = {
        "cov": cov,
        "var": np.diagonal(cov),
        "logvar": np.log(np.diagonal(cov)),
        "precision": np.linalg.inv(cov),
        "scale_tril": np.linalg.cholesky(cov),
    }
    for name, expected in truth.items():
        np.testing.assert_allclose(getattr(N, name), expected, rtol=50 * EPS, atol=50 * EPS)
    assert (N.form, N.dim, N.batch_shape, N.is_diagonal) == (form, 3, (), diagonal)
    assert eval(repr(N), {"Gaussian": Gaussian}).cov.tolist() == N.cov.tolist()


def test_a_scale_is_kept_as_it_was_given():
    """The variance for a log-variance of 1000 overflows, but the divergence loses nothing."""
    N = Gaussian([0.0], logvar=[1000.0])
    assert N.logvar.tolist() == [1000.0]
    # KL(N(0, v) || N(0, w)) with log(v/w) = -2: e^-2 / 2 + 1 - 1/2
    assert jsgmath.kl(N, Gaussian([0.0], logvar=[1002.0])) == pytest.approx(np.exp(-2) / 2 + 0.5, rel=EPS)


def test_a_scalar_applies_to_all_dimensions():
    assert Gaussian(0.5, var=[1.0, 2.0]).mean.tolist() == [0.5, 0.5]
    assert Gaussian([0.0, 1.0], logvar=0.5).logvar.tolist() == [0.5, 0.5]
    assert Gaussian(2.0, std=3.0).cov.tolist() == [[9.0]]
    assert Gaussian(0.0, precision=MATRIX).dim == 3


@pytest.mark.parametrize("form1", ALL_FORMS)
@pytest.mark.parametrize("form2", ALL_FORMS)
def test_batches_and_alpha_broadcast_for_every_pair_of_forms(form1, form2):
    """An element of a batch has the same value as that element computed alone, to the last bit."""
    rng = np.random.default_rng(2)
    N1, N2 = random_batch(rng, (3, 1), 3, form1), random_batch(rng, (2,), 3, form2)
    alpha = rng.uniform(size=(4, 3, 2))
    for function in (jsgmath.jsg, jsgmath.jsg_dual):
        values = function(N1, N2, alpha)
        assert values.shape == (4, 3, 2)
        for i, j, k in np.ndindex(4, 3, 2):
            single1 = Gaussian(N1.mean[j, 0], **{form1: N1.scale[j, 0]})
            single2 = Gaussian(N2.mean[k], **{form2: N2.scale[k]})
            assert values[i, j, k] == function(single1, single2, alpha[i, j, k])


def test_the_mean_broadcasts_with_its_scale():
    N = Gaussian(np.zeros((5, 1, 2)), cov=np.broadcast_to(MATRIX[:2, :2], (3, 2, 2)))
    assert N.batch_shape == (5, 3)
    assert jsgmath.kl(N, Gaussian([0.0, 1.0], var=1.0)).shape == (5, 3)


def test_a_batch_may_be_empty():
    N = Gaussian(np.zeros((0, 3)), var=1.0)
    assert jsgmath.jsg(N, N, 0.5).shape == (0,)
    assert jsgmath.jsg(N, Gaussian(np.zeros(3), cov=MATRIX), 0.5).shape == (0,)


@pytest.mark.parametrize("form", ALL_FORMS)
def test_float32_stays_float32_and_integers_become_float64(form):
    scale = np.eye(2) if form in ("cov", "scale_tril", "precision") else np.ones(2)
    single = Gaussian(np.zeros(2, np.float32), **{form: scale.astype(np.float32)})
    whole = Gaussian(np.array([1, 2]), **{form: scale.astype(int)})
    assert (single.dtype, single.cov.dtype, single.precision.dtype) == (np.float32,) * 3
    assert whole.dtype == np.float64
    for value in VALUES:
        assert value(single, single, 0.5).dtype == np.float32
        assert value(whole, whole, 0.5).dtype == value(single, whole, 0.5).dtype == np.float64


def test_a_result_is_a_number_and_a_batch_an_array():
    N = Gaussian([0.0], var=[1.0])
    assert isinstance(jsgmath.jsg(N, N, 0.5), float)
    assert isinstance(jsgmath.jsg(N, N, [0.5]), np.ndarray)
    assert jsgmath.jsg(N, N, 1) == 0  # the integers 0 and 1 are accepted as weights


@pytest.mark.parametrize("value", VALUES)
def test_frozen_scipy_distributions_are_accepted(value):
    ours = Gaussian([1.0, -1.0], cov=[[2.0, 0.3], [0.3, 1.0]])
    theirs = scipy.stats.multivariate_normal([1.0, -1.0], [[2.0, 0.3], [0.3, 1.0]])
    other = Gaussian([0.0, 0.5], var=[0.4, 3.0])
    assert value(theirs, other, 0.3) == value(ours, other, 0.3)
    assert value(other, theirs, 0.3) == value(other, ours, 0.3)


@pytest.mark.parametrize(
    "theirs",
    [
        scipy.stats.norm([1.0, 2.0], 3.0),
        scipy.stats.norm(loc=[1.0, 2.0], scale=3.0),
        scipy.stats.norm(scale=[3.0, 3.0], loc=[1.0, 2.0]),
        scipy.stats.Normal(mu=[1.0, 2.0], sigma=3.0),
    ],
)
def test_univariate_scipy_distributions_are_batches(theirs):
    values = jsgmath.kl(theirs, scipy.stats.norm())
    assert values.tolist() == [
        jsgmath.kl(Gaussian([mean], std=[3.0]), Gaussian([0.0], std=[1.0])) for mean in (1.0, 2.0)
    ]


def test_a_single_univariate_scipy_distribution_gives_a_number():
    assert jsgmath.kl(scipy.stats.norm(1), scipy.stats.Normal()) == 0.5


def test_a_gaussian_cannot_be_changed():
    mean, cov = np.zeros(3), MATRIX.copy()
    N = Gaussian(mean, cov=cov)
    mean[0], cov[0, 0] = 7.0, 7.0  # the arrays of the caller stay writeable
    assert N.mean[0] == 0.0
    assert N.cov[0, 0] == 2.0
    for array in (N.mean, N.scale, N.factor):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    for name in ("mean", "cov", "form", "colour"):
        with pytest.raises(AttributeError):
            setattr(N, name, 1.0)


@pytest.mark.parametrize("form1", ALL_FORMS)
@pytest.mark.parametrize("form2", ALL_FORMS)
def test_the_geometric_mean_moves_from_one_gaussian_to_the_other(form1, form2):
    """At weights 0 and 1 it is N1 and N2, and its divergence from N1 grows with the weight; condition < 100: 1e-12."""
    rng = np.random.default_rng(3)
    N1, N2 = random_batch(rng, (2,), 3, form1), random_batch(rng, (2,), 3, form2)
    for weight, N in ((0.0, N1), (1.0, N2)):
        G = jsgmath.geometric_mean(N1, N2, weight)
        np.testing.assert_allclose(G.mean, N.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(G.cov, N.cov, rtol=1e-12, atol=1e-12)
    path = [jsgmath.kl(jsgmath.geometric_mean(N1, N2, weight), N1) for weight in (0.1, 0.4, 0.8)]
    assert all((near < far).all() for near, far in pairwise(path))


def test_the_geometric_mean_of_float32_is_float32_and_of_log_variances_has_log_variances():
    N1, N2 = (Gaussian(np.float32([mean, 0.0]), logvar=np.float32([-300.0, 300.0])) for mean in (0.0, 1.0))
    G = jsgmath.geometric_mean(N1, N2, 0.5)
    assert (G.form, G.dtype) == ("logvar", np.float32)
    assert G.logvar.tolist() == [-300.0, 300.0]  # neither variance is a float32


def loaded_by(statement):
    """The packages that a new Python process has loaded after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    root = str(Path(jsgmath.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_import_jsgmath_loads_neither_torch_nor_triton_nor_scipy_stats():
    assert not loaded_by("import jsgmath") & {"torch", "triton", "scipy.stats", "jsgmath.torch"}


@pytest.mark.parametrize("form", ["var", "logvar", "std"])
def test_one_number_means_equal_variances(form):
    means, scales = np.arange(6.0).reshape(2, 3), np.array([[0.5], [2.0]])
    short, long = Gaussian(means, **{form: scales}), Gaussian(means, **{form: np.repeat(scales, 3, 1)})
    assert short.scale.tolist() == long.scale.tolist()
    assert (jsg(short, Gaussian(0.0, var=[1.0] * 3), 0.3) == jsg(long, Gaussian(0.0, var=[1.0] * 3), 0.3)).all()


@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
@pytest.mark.parametrize("mean", [1.0, [1.0], [[1.0], [2.0]]])
def test_in_one_dimension_a_full_scale_may_be_a_scalar(form, mean):
    assert Gaussian(mean, **{form: np.float64(4.0)}).scale.tolist() == [[4.0]]


@pytest.mark.parametrize("condition", [1e8, 1e13])
def test_an_inverse_of_large_condition_may_be_asymmetric_by_rounding(condition):
    """The asymmetry of a computed inverse is at most n eps times the condition of the correlations."""
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    cov = (q * np.geomspace(1, 1 / condition, 6)) @ q.T
    inverse = np.linalg.inv((cov + cov.T) / 2)
    size = np.sqrt(np.diagonal(inverse))
    asymmetry = np.abs((inverse - inverse.T) / size[:, None] / size).max()
    assert asymmetry > 600 * np.finfo(float).eps  # more than a product of matrices leaves
    N = Gaussian(0.0, precision=inverse)
    np.testing.assert_allclose(N.scale, (inverse + inverse.T) / 2, rtol=2 * np.finfo(float).eps)
    bad = inverse.copy()
    bad[0, 1] += 10 * len(cov) * np.finfo(float).eps * np.linalg.cond(cov) * size[0] * size[1]
    with pytest.raises(ValueError, match="precision is not symmetric"):
        Gaussian(0.0, precision=bad)


def test_float16_is_computed_and_returned_in_float32():
    """The divergence, 300^2 / 8e-3, exceeds the largest float16; alpha and the families are the same."""
    N1, N2 = (Gaussian(np.float16([m]), var=np.float16([1e-3])) for m in (300.0, 0.0))
    value = jsg(N1, N2, np.float16(0.5))
    assert N1.dtype == value.dtype == np.float32
    assert value == pytest.approx(300**2 / 8 / float(np.float16(1e-3)), rel=1e-7)
    members = [families.Poisson(np.float16([rate])) for rate in (3e4, 1e-3)]
    assert kl(*members).dtype == np.float32
    assert np.isfinite(kl(*members))


def test_a_masked_array_without_masked_entries_is_accepted():
    assert Gaussian(np.ma.masked_values([1.0, 2.0], 9.0), var=1.0).mean.tolist() == [1.0, 2.0]
