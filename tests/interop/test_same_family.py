"""Distributions that belong to a family under another name, against torch's own KL or that of the family."""

import itertools
from statistics import NormalDist

import numpy as np
import pyro.distributions as pyro
import pytest
import scipy.stats as st
import torch
from gpytorch.distributions import MultitaskMultivariateNormal
from gpytorch.priors import MultivariateNormalPrior
from sklearn.mixture import GaussianMixture
from torch import distributions as td

from jsgmath import geometric_mean, geometric_mean_many, jsg, jsg_many, kl, pairwise
from jsgmath.families import Bernoulli, Beta, Dirichlet, Exponential, Gamma, Geometric

P, Q = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([0.6, 0.15, 0.25]).double()
X, Y = torch.tensor([0.5, 2.0, 7.0]).double(), torch.tensor([1.5, 2.5, 0.25]).double()
EYE, EYE6 = torch.eye(2).double(), torch.eye(6).double()
V = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()

SAME_AS_TORCH = {
    "OneHotCategorical": (td.OneHotCategorical(P), td.OneHotCategorical(Q)),
    "LogNormal": (td.LogNormal(P, X), td.LogNormal(Q, Y)),
    "a transformed normal": tuple(
        td.TransformedDistribution(td.Normal(m, s), [td.ExpTransform(), td.AffineTransform(1.0, 2.0)])
        for m, s in ((P, X), (Q, Y))
    ),
    "a transformed LogNormal": tuple(
        td.TransformedDistribution(td.LogNormal(m, s), [td.AffineTransform(1.0, 2.0)]) for m, s in ((P, X), (Q, Y))
    ),
    "Independent LogNormal": tuple(td.Independent(td.LogNormal(m, s), 1) for m, s in ((P, X), (Q, Y))),
    "Independent MultivariateNormal": tuple(
        td.Independent(td.MultivariateNormal(x[:, None] * torch.ones(2).double(), s), 1) for x, s in ((P, V), (Q, EYE))
    ),
    "Binomial": (td.Binomial(5, P), td.Binomial(5, Q)),
    "Pareto of one scale": (td.Pareto(2.0, X), td.Pareto(2.0, Y)),
    "HalfNormal": (td.HalfNormal(X), td.HalfNormal(Y)),
    "Laplace of one location": (td.Laplace(1.0, X), td.Laplace(1.0, Y)),
    "Wishart": (td.Wishart(torch.tensor(4.0).double(), V), td.Wishart(torch.tensor(4.0).double(), EYE)),
    "an exponential and a gamma": (td.Exponential(X), td.Gamma(Y, P)),
    "a gamma and an exponential": (td.Gamma(Y, P), td.Exponential(X)),
}


@pytest.mark.parametrize(("first", "second"), SAME_AS_TORCH.values(), ids=SAME_AS_TORCH)
def test_kl_is_torchs(first, second):
    # Both compute in float64; in torch's sums of logarithms up to two digits cancel.
    torch.testing.assert_close(kl(first, second), td.kl_divergence(first, second), rtol=1e-12, atol=1e-14)


ENDS = torch.tensor([-40.0, 0.1, 20.0, 40.0]).double()
EXPANDED = {
    "Bernoulli": lambda **x: td.Bernoulli(**x),
    "Binomial": lambda **x: td.Binomial(3, **x),
    "Geometric": lambda **x: td.Geometric(**x),
    "NegativeBinomial": lambda **x: td.NegativeBinomial(3.0, **x),
    "Categorical": lambda **x: td.Categorical(**x),
    "Multinomial": lambda **x: td.Multinomial(3, **x),
}


@pytest.mark.parametrize("make", EXPANDED.values(), ids=EXPANDED)
def test_an_expanded_distribution_keeps_the_parameter_that_was_given(make):
    """torch's ``expand`` sets both parameters if both were asked for, and loses which one was given."""
    for name, x in {"logits": ENDS, "probs": torch.tensor([1e-30, 0.3, 0.5, 1e-20]).double()}.items():
        first, second = make(**{name: x}), make(**{name: x.flip(0)})
        expected = kl(first, second)
        both = [getattr(getattr(x, "_categorical", x), name) for x in (first, second) for name in ("probs", "logits")]
        assert len(both) == 4
        expanded = kl(*(x.expand((2, *x.batch_shape)) for x in (first, second)))
        assert (expected.isfinite().all()) & (expected > 0).any()
        torch.testing.assert_close(expanded, expected.expand(expanded.shape), rtol=1e-13, atol=0)


PAIRS = {
    "InverseGamma": (lambda a, b: td.InverseGamma(a, b), lambda a, b: td.Gamma(a, b)),
    "Chi2": (lambda a, _: td.Chi2(a), lambda a, _: td.Gamma(a / 2, torch.full_like(a, 0.5))),
    "Weibull of one shape": (
        lambda a, _: td.Weibull(a, torch.full_like(a, 2.0)),
        lambda a, _: td.Exponential(a**-2),
    ),
    "NegativeBinomial": (
        lambda _, p: td.NegativeBinomial(3, p),
        lambda _, p: Geometric(probs=1 - p).repeated(3),
    ),
    "Beta and Dirichlet": (lambda a, b: td.Beta(a, b), lambda a, b: td.Dirichlet(torch.stack([a, b], -1))),
    "Bernoulli and Categorical": (
        lambda _, p: td.Bernoulli(p),
        lambda _, p: td.Categorical(torch.stack([1 - p, p], -1)),
    ),
}


@pytest.mark.parametrize(("make", "same"), PAIRS.values(), ids=PAIRS)
def test_a_distribution_has_the_divergences_of_its_family(make, same):
    first, second = ((X, P), (Y, Q))
    expected = jsg(same(*first), same(*second), 0.3)
    torch.testing.assert_close(jsg(make(*first), make(*second), 0.3), expected, rtol=1e-13, atol=0)
    if isinstance(make(*first), td.Beta | td.Bernoulli):  # the two classes also pair with one another
        torch.testing.assert_close(jsg(make(*first), same(*second), 0.3), expected, rtol=1e-13, atol=0)


SCIPY = {
    "lognorm": (lambda x, y: st.lognorm(x, scale=y), lambda x, y: st.norm(np.log(y), x)),
    "nbinom": (lambda x, y: st.nbinom(4, y / 10), lambda x, y: Geometric(probs=y / 10).repeated(4)),
    "binom": (lambda x, y: st.binom(4, y / 10), lambda x, y: Bernoulli(probs=y / 10).repeated(4)),
    "laplace": (lambda x, y: st.laplace(1.0, y), lambda x, y: Exponential(scale=y)),
    "invgamma": (lambda x, y: st.invgamma(x, scale=y), lambda x, y: Gamma(shape=x, rate=y)),
    "pareto": (lambda x, y: st.pareto(x, scale=2.0), lambda x, y: Exponential(rate=x)),
    "weibull_min": (lambda x, y: st.weibull_min(2.0, scale=y), lambda x, y: Exponential(scale=y**2)),
    "halfnorm": (lambda x, y: st.halfnorm(scale=y), lambda x, y: st.norm(0.0 * y, y)),
    "rayleigh": (lambda x, y: st.rayleigh(scale=y), lambda x, y: Gamma(shape=1.0, scale=2 * y**2)),
    "maxwell": (lambda x, y: st.maxwell(scale=y), lambda x, y: Gamma(shape=1.5, scale=2 * y**2)),
    "chi": (lambda x, y: st.chi(x, scale=y), lambda x, y: Gamma(shape=x / 2, scale=2 * y**2)),
    "loggamma": (lambda x, y: st.loggamma(x, scale=2.0), lambda x, y: Gamma(shape=x, rate=np.ones_like(x))),
    "weibull_max": (lambda x, y: st.weibull_max(2.0, scale=y), lambda x, y: Exponential(scale=y**2)),
    "invweibull": (lambda x, y: st.invweibull(2.0, scale=y), lambda x, y: Exponential(rate=y**2)),
    "powerlaw": (lambda x, y: st.powerlaw(x, scale=2.0), lambda x, y: Exponential(rate=x)),
    "a moved exponential": (lambda x, y: st.expon(3.0, y), lambda x, y: Exponential(scale=y)),
    "a moved and stretched beta": (lambda x, y: st.beta(x, y, -1.0, 2.0), lambda x, y: Beta(x, y)),
}


@pytest.mark.parametrize(("make", "same"), SCIPY.values(), ids=SCIPY)
def test_scipys_distributions_have_the_divergences_of_their_family(make, same):
    first, second = (X.numpy(), Q.numpy()), (Y.numpy(), P.numpy())
    expected, found = jsg(same(*first), same(*second), 0.3), jsg(make(*first), make(*second), 0.3)
    # Some parameters of the family are rounded here that the distribution gives exactly, or the other way round.
    np.testing.assert_array_max_ulp(found, expected, 4)
    assert (expected > 0).all()


def test_scipys_distributions_of_matrices_and_pythons_own_normal():
    """The inverse of a Wishart matrix has an inverse Wishart distribution, of the inverse scale."""
    inverse = [st.invwishart(4, v.numpy()) for v in (V, EYE)]
    expected = jsg(*(st.wishart(4, np.linalg.inv(v.numpy())) for v in (V, EYE)), 0.3)
    assert jsg(*inverse, 0.3) == pytest.approx(expected, rel=1e-14)
    assert kl(NormalDist(1.0, 2.0), st.norm(0.0, 1.0)) == kl(st.norm(1.0, 2.0), NormalDist())


@pytest.mark.parametrize("array", [np.float32, np.float64, lambda x: torch.tensor(x, dtype=torch.float32)])
def test_a_beta_and_a_two_component_dirichlet_pair_in_every_library_and_keep_its_type(array):
    a, b, both = array([0.5, 2.0]), array([1.5, 1.0]), array([[0.7, 2.5], [3.0, 1.0]])
    beta, dirichlet = (
        (td.Beta(a, b), td.Dirichlet(both)) if isinstance(a, torch.Tensor) else (Beta(a, b), Dirichlet(both))
    )
    value, expected = kl(beta, dirichlet), kl(Beta([0.5, 2.0], [1.5, 1.0]), Beta(*np.float32(both).T))
    assert value.dtype == a.dtype
    np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(kl(dirichlet, dirichlet)), 0)


def test_repeated_draws_multiply_a_divergence():
    np.testing.assert_allclose(kl(st.binom(4, 0.2), st.binom(4, 0.4)), 4 * kl(st.bernoulli(0.2), st.bernoulli(0.4)))
    W = [st.wishart(5, v.numpy()) for v in (V, EYE)]
    N = [st.multivariate_normal(np.zeros(2), v.numpy()) for v in (V, EYE)]
    assert jsg(*W, 0.3) == pytest.approx(5 * jsg(*N, 0.3), rel=1e-15)


def test_one_map_may_be_written_in_several_ways():
    exp = td.ComposeTransform([td.ComposeTransform([td.ExpTransform()])])
    same = td.TransformedDistribution(td.Normal(Q, Y), exp)
    assert kl(td.LogNormal(P, X), same).equal(kl(td.Normal(P, X), td.Normal(Q, Y)))


def test_the_geometric_mean_of_images_is_an_image():
    G = geometric_mean(td.LogNormal(0.0, 1.0), td.LogNormal(1.0, 1.0), 0.5)
    assert kl(G, td.TransformedDistribution(td.Normal(0.5, 1.0), [td.ExpTransform()])).item() == 0
    experts = [td.LogNormal(float(m), 1.0) for m in range(3)]
    assert kl(geometric_mean_many(experts, [0.5, 0.25, 0.25]), td.LogNormal(0.75, 1.0)).item() == 0
    one, two = torch.ones(()), torch.full((), 2.0)
    for name, first, second in (
        ("laplace", st.laplace(0.0, 1.0), st.laplace(0.0, 2.0)),
        ("InverseGamma", td.InverseGamma(one, one), td.InverseGamma(one, two)),
    ):
        with pytest.raises(TypeError, match=f"no class for the geometric mean of {name}"):
            geometric_mean(first, second, 0.5)


def test_pairwise_takes_images():
    matrix = pairwise([td.LogNormal(float(m), 1.0) for m in range(3)], 0.3)
    torch.testing.assert_close(matrix, pairwise([td.Normal(float(m), 1.0) for m in range(3)], 0.3), rtol=0, atol=0)


def test_pairwise_takes_repeated_draws():
    p = np.array([0.2, 0.4, 0.6])
    expected = 4 * pairwise(Bernoulli(probs=p), 0.3)
    t = torch.from_numpy(p)
    for binomials in (
        st.binom([4, 4, 4], p),
        [st.binom(4, x) for x in p],
        td.Binomial(4, t),
        [td.Binomial(4, x) for x in t],
    ):
        np.testing.assert_allclose(np.asarray(pairwise(binomials, 0.3)), expected, rtol=1e-13)


def test_gpytorchs_distributions_are_those_of_their_entries_in_one_order():
    """A matrix comes by rows, or by columns if it is not interleaved.  A prior has no ``scale_tril``."""
    cov = torch.eye(6).double() * Y.repeat(2) + 0.3
    order = torch.arange(6).reshape(3, 2).T.ravel()
    by_rows = MultitaskMultivariateNormal(X.reshape(3, 1).expand(3, 2), cov)
    by_columns = MultitaskMultivariateNormal(X.reshape(3, 1).expand(3, 2), cov[order][:, order].T, interleaved=False)
    eye = MultitaskMultivariateNormal(torch.zeros(3, 2).double(), torch.eye(6).double())
    expected = td.kl_divergence(
        td.MultivariateNormal(X.repeat_interleave(2), cov), td.MultivariateNormal(0 * cov[0], EYE6)
    )
    for first in (by_rows, by_columns):
        torch.testing.assert_close(kl(first, eye), expected, rtol=1e-13, atol=0)
    assert kl(by_rows, by_columns) < 1e-28  # the square of the rounding of a QR decomposition
    prior = MultivariateNormalPrior(X[:2], V)
    assert kl(prior, td.MultivariateNormal(X[:2], V)) == 0


def test_pyros_gamma_poisson_and_mask():
    value = kl(pyro.GammaPoisson(X, Y), pyro.GammaPoisson(X, X))
    expected = kl(*(Geometric(probs=(z / (1 + z)).numpy()).repeated(X.numpy()) for z in (Y, X)))
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    masked = pyro.Normal(X, Y).mask(X > 1)
    with pytest.raises(TypeError, match=r"MaskedDistribution, .* without its mask, and set the divergences to 0"):
        kl(masked, masked)


REFUSED = {
    "different counts in a list": (lambda: pairwise([st.binom(n, 0.3) for n in (4, 7)], 0.3), "4 draws but N2 of 7"),
    "different counts in a batch": (lambda: pairwise(td.Binomial(Y.ceil(), Q), 0.3), "2.0 draws but N2 of"),
    "different maps in a list": (
        lambda: pairwise([st.laplace(0.0, x) for x in (1.0, 2.0)], 0.3, [st.laplace(1.0, 1.0)]),
        "gaussians and others are laplace distributions of different loc",
    ),
    "different maps in a batch": (lambda: pairwise(td.Laplace(P, X), 0.3), "gaussians are Laplace .* different loc"),
    "different transforms in a batch": (
        lambda: pairwise(td.TransformedDistribution(td.Normal(P, X), td.AffineTransform(P, 1.0)), 0.3),
        "gaussians are .* different transforms",
    ),
    "several of a family without products": (
        lambda: jsg_many([td.Poisson(x) for x in X], [0.2, 0.3, 0.5]),
        "gaussians must be Gaussian, got members of Poisson; jsg compares two",
    ),
    "moved differently": (
        lambda: kl(st.gamma(2.0, 1.0), st.gamma(2.0, 3.0)),
        "gamma with loc 1.0 but N2 a gamma with l",
    ),
    "an inverse and a Wishart": (
        lambda: kl(st.invwishart(4, EYE), st.wishart(4, EYE)),
        "inverse Wishart but N2 a Wishart",
    ),
    "a family without parameters": (lambda: kl(st.norm, st.norm), "got norm_gen; call it with its parameters"),
    "a class": (lambda: kl(td.Normal, td.Normal), "got the class Normal; call it"),
    "a mixture of scikit-learn": (lambda: kl(GaussianMixture(), GaussianMixture()), "compare the components"),
    "images and others": (
        lambda: pairwise([td.LogNormal(0.0, 1.0)], 0.3, [td.Normal(0.0, 1.0)]),
        "gaussians is a LogNormal but others a Normal",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_a_matrix_compares_members_of_one_family(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_lists_of_numbers_are_arrays_in_scipys_distributions():
    """``2 * [1, 2]`` is a list of four."""
    x = [1.0, 2.0]
    for frozen in (st.chi2(x), st.chi2(3.0, scale=x), st.halfnorm(scale=x), st.gamma(2.0, scale=x)):
        assert kl(frozen, frozen).tolist() == [0, 0]


SOME = [lambda x: td.Gamma(x, x), td.Dirichlet, lambda x: td.Binomial(3, x / 10), lambda x: td.Laplace(x, x)]


@pytest.mark.parametrize("make", SOME)
def test_the_default_device_does_not_matter(make):
    first, second = make(X), make(X)
    with torch.device("meta"):
        assert (kl(first, second) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_same_gaussian_in_two_forms_is_at_a_distance_of_zero_or_of_the_rounding_of_its_form(dtype):
    """A covariance and its factor give exactly 0.

    The roots of D at low rank, and torch's inverse of a precision of condition up to 1e2, round the covariance.  The
    divergence is the square of that: 0.12 eps^2 and 1e3 eps^2 were measured over 40 such Gaussians.
    """
    generator, eps = torch.Generator().manual_seed(0), torch.finfo(dtype).eps
    for n in (2, 5):
        A, mean, std = (torch.rand(*shape, generator=generator, dtype=dtype) + 0.3 for shape in ((n, n), (n,), (n,)))
        cov = A @ A.mT + torch.eye(n, dtype=dtype)
        full = td.MultivariateNormal(mean, cov)
        assert kl(full, td.MultivariateNormal(mean, scale_tril=torch.linalg.cholesky(cov))) == 0
        assert kl(full, td.MultivariateNormal(mean, precision_matrix=torch.linalg.inv(cov))) <= 1e4 * eps**2
        forms = [
            td.Independent(td.Normal(mean, std), 1),
            td.MultivariateNormal(mean, torch.diag(std * std)),
            td.MultivariateNormal(mean, scale_tril=torch.diag(std)),
            td.LowRankMultivariateNormal(mean, torch.zeros(n, 1, dtype=dtype), std * std),
        ]
        for first, second in itertools.combinations(forms, 2):
            assert 0 <= kl(first, second) <= 2 * n * eps**2
            assert 0 <= kl(second, first) <= 2 * n * eps**2
