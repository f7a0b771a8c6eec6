"""Normal distributions of SciPy and torch, and registered classes, against the same Gaussians as `Gaussian`."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats as st
import torch
from mpmath import mp
from torch import distributions as td

import jsgmath
from jsgmath import Gaussian, bhattacharyya, geometric_mean, jeffreys, js, jsg, jsg_dual, kl
from jsgmath.families import Gamma
from jsgmath.interop.tensors import of_factor
from tests.torch.inputs import low_rank
from verification.oracles import DIGITS

RNG = np.random.default_rng(1)
A = RNG.normal(size=(2, 3, 3))
COVS = A @ A.swapaxes(1, 2) + 0.3 * np.eye(3)
MEANS = RNG.normal(size=(2, 3))
STDS = np.exp(RNG.normal(size=(2, 3)))
DENSE = [Gaussian(mean, cov=cov) for mean, cov in zip(MEANS, COVS, strict=True)]
DIAGONAL = [Gaussian(mean, std=std) for mean, std in zip(MEANS, STDS, strict=True)]
UNIVARIATE = [Gaussian(mean[:, None], std=std[:, None]) for mean, std in zip(MEANS, STDS, strict=True)]
VARIANTS = [(f, c) for f in (jsg, jsg_dual) for c in ("deasy", "nielsen")]
ALPHAS = (0.0, 1e-12, 0.3, 0.5, 1.0)


def tensors(dtype=torch.float64):
    return [(torch.tensor(m, dtype=dtype), torch.tensor(s, dtype=dtype)) for m, s in zip(MEANS, STDS, strict=True)]


W = RNG.normal(size=(2, 3, 2))
LOW_RANK = [Gaussian(m, cov=w @ w.T + np.diag(s**2)) for m, w, s in zip(MEANS, W, STDS, strict=True)]
# name: (distributions of the library, the same as Gaussians)
LIBRARIES = {
    "frozen norm": ([st.norm(m, s) for m, s in zip(MEANS, STDS, strict=True)], UNIVARIATE),
    "frozen norm, by keywords": (
        [st.norm(loc=m, scale=s) for m, s in zip(MEANS, STDS, strict=True)],
        UNIVARIATE,
    ),
    "Normal": ([st.Normal(mu=m, sigma=s) for m, s in zip(MEANS, STDS, strict=True)], UNIVARIATE),
    "Normal, shifted and scaled": (
        [m + s * st.Normal(mu=np.zeros(3), sigma=np.ones(3)) for m, s in zip(MEANS, STDS, strict=True)],
        UNIVARIATE,
    ),
    "Normal, mirrored": (
        [-(st.Normal(mu=-m, sigma=s)) for m, s in zip(MEANS, STDS, strict=True)],
        UNIVARIATE,
    ),
    "frozen multivariate_normal": (
        [st.multivariate_normal(m, c) for m, c in zip(MEANS, COVS, strict=True)],
        DENSE,
    ),
    "multivariate_normal of a Covariance": (
        [st.multivariate_normal(m, st.Covariance.from_diagonal(s**2)) for m, s in zip(MEANS, STDS, strict=True)],
        DIAGONAL,
    ),
    "torch Normal": ([td.Normal(*x) for x in tensors()], UNIVARIATE),
    "torch Independent": ([td.Independent(td.Normal(*x), 1) for x in tensors()], DIAGONAL),
    "torch MultivariateNormal": (
        [
            td.MultivariateNormal(torch.tensor(m), covariance_matrix=torch.tensor(c))
            for m, c in zip(MEANS, COVS, strict=True)
        ],
        DENSE,
    ),
    "torch LowRankMultivariateNormal": (
        [low_rank(m, w, s**2) for m, w, s in zip(MEANS, W, STDS, strict=True)],
        LOW_RANK,
    ),
    "torch Independent and MultivariateNormal": (
        [td.Independent(td.Normal(*tensors()[0]), 1), td.MultivariateNormal(*map(torch.tensor, (MEANS[1], COVS[1])))],
        [DIAGONAL[0], DENSE[1]],
    ),
    "torch LowRankMultivariateNormal and Independent": (
        [low_rank(MEANS[0], W[0], STDS[0] ** 2), td.Independent(td.Normal(*tensors()[1]), 1)],
        [LOW_RANK[0], DIAGONAL[1]],
    ),
    "torch MultivariateNormal and LowRankMultivariateNormal": (
        [td.MultivariateNormal(torch.tensor(MEANS[0]), torch.tensor(COVS[0])), low_rank(MEANS[1], W[1], STDS[1] ** 2)],
        [DENSE[0], LOW_RANK[1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("distributions", LIBRARIES.values(), ids=LIBRARIES)
def test_other_libraries_distributions_give_the_values_of_their_gaussians(distributions):
    (N1, N2), same = distributions
    for function, convention in VARIANTS:
        for alpha in ALPHAS:
            value, expected = (function(*pair, alpha, convention=convention) for pair in ((N1, N2), same))
            np.testing.assert_allclose(np.asarray(value), expected, rtol=tolerance(N1, N2), atol=0)
    for function in (kl, jeffreys):
        np.testing.assert_allclose(np.asarray(function(N1, N2)), function(*same), rtol=tolerance(N1, N2))
    value = np.asarray(bhattacharyya(N1, N2, 0.3))
    np.testing.assert_allclose(value, bhattacharyya(*same, 0.3), rtol=tolerance(N1, N2))


def tolerance(*pair):
    """Epsilon times the condition, which is 100 for the covariances; at low rank it is 1e4, the largest ``W^2/D``."""
    return 1e-11 if any(isinstance(N, td.LowRankMultivariateNormal) for N in pair) else 1e-13


@pytest.mark.parametrize("distributions", LIBRARIES.values(), ids=LIBRARIES)
def test_the_geometric_mean_is_a_distribution_of_the_same_library(distributions):
    (N1, N2), same = distributions
    mean, expected = geometric_mean(N1, N2, 0.3), geometric_mean(*same, 0.3)
    if isinstance(N1, td.Distribution):
        assert isinstance(mean, td.Distribution)
        assert mean.batch_shape == expected.batch_shape
        np.testing.assert_allclose(mean.mean.reshape(expected.mean.shape), expected.mean, rtol=tolerance(N1, N2))
        np.testing.assert_allclose(mean.variance.reshape(expected.mean.shape), expected.var, rtol=tolerance(N1, N2))
        assert type(mean) in (type(N1), type(N2))
    else:
        assert isinstance(mean, Gaussian)


def test_the_factor_of_a_scipy_covariance_is_used():
    cov = COVS[0]
    values, vectors = np.linalg.eigh(cov)
    tril = np.linalg.cholesky(cov)
    precision = np.linalg.inv(cov)
    precision = (precision + precision.T) / 2
    forms = {
        "scale_tril": st.Covariance.from_cholesky(tril),
        "precision": st.Covariance.from_precision(precision),
        "var": st.Covariance.from_diagonal(np.diag(cov)),
    }
    given = {"scale_tril": tril, "precision": precision, "var": np.diag(cov)}
    for form, covariance in forms.items():
        for N in (Gaussian(MEANS[0], cov=covariance), st.multivariate_normal(MEANS[0], covariance)):
            assert kl(N, Gaussian(MEANS[0], **{form: given[form]})) == 0
        assert Gaussian(MEANS[0], cov=covariance).form == form
    N = Gaussian(MEANS[0], cov=st.Covariance.from_eigendecomposition((values, vectors)))
    np.testing.assert_allclose(N.cov, cov, rtol=1e-14)


def test_eigenvalues_of_very_different_sizes_lose_no_digits():
    """In a product ``V w V^T`` the smallest, 1e-18, would be lost next to 1."""
    values, angle = np.array([1e-18, 1.0]), 0.3
    vectors = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    N = Gaussian(0.0, cov=st.Covariance.from_eigendecomposition((values, vectors)))
    assert np.linalg.det(N.factor) == pytest.approx(1e-9, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_keeps_type_and_device(dtype):
    for kind in (
        lambda x: td.Independent(td.Normal(*x), 1),
        lambda x: td.MultivariateNormal(x[0], torch.diag(x[1])),
        lambda x: td.LowRankMultivariateNormal(x[0], x[1][:, None], x[1]),
    ):
        N1, N2 = map(kind, tensors(dtype))
        for value in (jsg(N1, N2, 0.3), jsg_dual(N1, N2, torch.tensor([0.3, 0.5])), jeffreys(N1, N2)):
            assert value.dtype == dtype
        assert geometric_mean(N1, N2, 0.3).mean.dtype == dtype
    meta = [td.Normal(*(x.to("meta") for x in pair), validate_args=False) for pair in tensors(dtype)]
    assert jsg(*meta, 0.3).device.type == "meta"  # nothing is read from the device


def test_torch_distributions_have_gradients():
    """They are compared with numerical ones [`torch.autograd.gradcheck`], of first and second order, also by alpha."""

    def normal(mean1, std1, mean2, std2, alpha):
        return jsg(td.Independent(td.Normal(mean1, std1), 1), td.Independent(td.Normal(mean2, std2), 1), alpha)

    def dual(mean1, std1, mean2, std2, alpha):
        return jsg_dual(td.Normal(mean1, std1), td.Normal(mean2, std2), alpha)

    inputs = [x.clone().requires_grad_() for pair in tensors() for x in pair]
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for function in (normal, dual):
        assert torch.autograd.gradcheck(function, [*inputs, alpha])
        assert torch.autograd.gradgradcheck(function, [*inputs, alpha])


def test_gradients_between_near_equal_normals_lose_no_digits():
    mean, std = tensors()[0]
    other = std * (1 + 1e-10)
    scale = std.clone().requires_grad_()
    jsg(td.Normal(mean, scale), td.Normal(mean, other), 0.3).sum().backward()
    same = [Gaussian(mean.numpy(), std=x.numpy()) for x in (std, other)]
    # The derivative by the log-variance times d log v / d std.
    np.testing.assert_allclose(scale.grad, jsgmath.jsg_grad(*same, 0.3).logvar1 * 2 / std.numpy(), rtol=1e-14)


ON_MEAN = {
    "normal": lambda mean: td.Normal(mean, torch.ones(3), validate_args=False),
    "independent": lambda mean: td.Independent(
        td.Normal(mean, torch.ones(3), validate_args=False), 1, validate_args=False
    ),
    "multivariate": lambda mean: td.MultivariateNormal(mean, scale_tril=2 * torch.eye(3), validate_args=False),
    "dirichlet": lambda mean: td.Dirichlet(mean.exp(), validate_args=False),
}


@pytest.mark.parametrize("make", ON_MEAN.values(), ids=ON_MEAN)
def test_torch_compile_traces_divergences_of_distributions_as_one_graph(make):
    def divergence(mean):
        value = jsg(make(mean), make(torch.zeros(3)), 0.3).sum()
        if make is ON_MEAN["normal"]:
            normals = [make(mean), make(2 * mean), make(torch.ones(3))]
            value = value + jsgmath.jsg_many(normals, [0.5, 0.25, 0.25]).sum()
        return value

    mean = torch.tensor(MEANS[0], dtype=torch.float32, requires_grad=True)
    expected = divergence(mean)
    (gradient,) = torch.autograd.grad(expected, mean)
    value = torch.compile(divergence, fullgraph=True, backend="aot_eager")(mean)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, mean)[0], gradient)


def test_torch_compile_traces_divergences_of_families_that_need_no_gradients():
    def divergence(rate):
        ones = torch.ones(3)
        given = td.Poisson(rate, validate_args=False), td.Poisson(ones, validate_args=False)
        return kl(*given) + jsg(Gamma(rate, ones), Gamma(ones, rate), 0.3)

    rate = torch.tensor([0.5, 1.0, 3.0])
    value = torch.compile(divergence, fullgraph=True, backend="eager")(rate)
    torch.testing.assert_close(value, divergence(rate))


# Registered classes


class Fit:
    def __init__(self, value, error):
        self.value, self.error = value, error


class Refined(Fit):
    pass


@pytest.fixture
def registered():
    from jsgmath.interop import base as interop

    before = dict(interop.registered)
    yield jsgmath.register(Fit)
    interop.registered.clear()
    interop.registered.update(before)


def test_a_registered_class_and_its_subclasses_are_accepted(registered):
    registered(lambda fit: td.Normal(torch.tensor(fit.value), torch.tensor(fit.error)))
    value = jsg(Fit(1.0, 1.0), Refined(0.0, 1.0), 0.5)
    assert isinstance(value, torch.Tensor)
    assert value.item() == 0.125


def test_a_subclass_of_a_known_class_can_be_registered(registered):
    class Doubled(td.Normal):
        pass

    N1, N2 = Doubled(torch.tensor(1.0), torch.tensor(1.0)), td.Normal(torch.tensor(0.0), torch.tensor(1.0))
    assert kl(N1, N2).item() == 0.5
    jsgmath.register(Doubled)(lambda d: td.Normal(2 * d.loc, d.scale))
    assert kl(N1, N2).item() == 2.0


def test_a_registered_function_that_returns_its_own_class_is_refused(registered):
    registered(lambda fit: fit)
    with pytest.raises(TypeError, match="registered for Fit returned a Fit; return a Gaussian"):
        kl(Fit(1.0, 1.0), Fit(0.0, 1.0))


x, y = tensors()
REFUSED = {
    "NumPy and torch": (
        lambda: kl(DIAGONAL[0], td.Independent(td.Normal(*x), 1)),
        TypeError,
        "N1 is of NumPy | N2 of torch | convert",
    ),
    "alpha of NumPy": (lambda: jsg(td.Normal(*x), td.Normal(*y), np.full(3, 0.3)), TypeError, "alpha | ndarray"),
    "alpha of torch": (lambda: jsg(*DIAGONAL, torch.tensor(0.3)), TypeError, "alpha | NumPy or plain numbers | tensor"),
    "alpha above 1": (lambda: jsg(td.Normal(*x), td.Normal(*y), 1.5), ValueError, "alpha | [0, 1] | 1.5"),
    "alpha of integers": (lambda: jsg(td.Normal(*x), td.Normal(*y), torch.tensor(1)), TypeError, "alpha | int64"),
    "weight above 1": (lambda: geometric_mean(td.Normal(*x), td.Normal(*y), 1.5), ValueError, "weight | [0, 1] | 1.5"),
    "a batch and a vector": (
        lambda: kl(td.Normal(*x), td.Independent(td.Normal(*y), 1)),
        ValueError,
        "N1 has 0 event dimensions but N2 has 1 | Independent",
    ),
    "other dimensions": (
        lambda: kl(*(td.MultivariateNormal(torch.zeros(n), torch.eye(n)) for n in (2, 3))),
        ValueError,
        "N1 has dimension 2 but N2 has 3",
    ),
    "other dimensions at low rank": (
        lambda: kl(low_rank([0.0], [[1.0]], [1.0]), low_rank([0.0, 0], [[1.0], [1]], [1.0, 1])),
        ValueError,
        "dimension 1 | 2",
    ),
    "another family": (lambda: kl(td.Gumbel(*x), td.Gumbel(*y)), TypeError, "N1 | Gumbel | Exponential"),
    "an unknown family": (lambda: kl(*[td.FisherSnedecor(y[1], y[1])] * 2), TypeError, "N1 | FisherSnedecor"),
    "two families": (lambda: kl(td.Normal(*x), td.Poisson(y[1])), TypeError, "N1 is a Normal but N2 a Poisson"),
    "an unknown convention": (
        lambda: jsg(td.Normal(*x), td.Normal(*y), 0.3, convention="paper"),
        ValueError,
        "'deasy' or 'nielsen' | 'paper'",
    ),
    "a bound of torch": (lambda: kl(td.Normal(*x), td.Normal(*y), return_error=True), TypeError, "return_error"),
    "js of torch": (lambda: js(td.Normal(*x), td.Normal(*y)), TypeError, "N1 | NumPy | Normal | jsgmath.Gaussian"),
    "no class registered": (lambda: jsgmath.register("Fit"), TypeError, "register takes a class | 'Fit'"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "exception", "fragments"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_do_not_fit_are_refused_with_the_reason(call, exception, fragments):
    with pytest.raises(exception) as caught:
        call()
    assert all(fragment in str(caught.value) for fragment in fragments.split(" | ")), caught.value
    assert "\n" not in str(caught.value)


def test_importing_jsgmath_imports_no_other_library_of_distributions():
    script = (
        "import sys, jsgmath; print(*({'torch', 'triton', 'jax', 'scipy.stats', 'scipy.linalg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("lower", [True, False])
def test_the_signs_of_the_columns_of_a_triangular_factor_do_not_matter(lower):
    """distrax and TFP allow any signs; in float32 ``factor @ factor.T`` would lose the factor's condition squared."""
    factor = np.float32([[1e-3, 0.0, 0.0], [1.0, -1e-3, 0.0], [0.5, 0.25, -1.0]])
    factor = factor if lower else factor.T
    N = of_factor(np.zeros(3, np.float32), factor, lower)
    with mp.workdps(DIGITS):
        S = mp.matrix(factor.tolist()) * mp.matrix(factor.tolist()).T
        inverse = S**-1
        expected = float((sum(inverse[i, i] for i in range(3)) - 3 + mp.log(mp.det(S))) / 2)
    value = kl(Gaussian(np.zeros(3, np.float32), cov=np.eye(3, dtype=np.float32)), N)
    assert value.dtype == np.float32
    assert value == pytest.approx(expected, rel=1.2e-7)  # one rounding to float32
