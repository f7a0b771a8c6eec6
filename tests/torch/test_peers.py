"""Cases from the test suites, and the formulas, of other libraries that compute these divergences."""

import math

import numpy as np
import pytest
import torch
from torch import distributions as td

from jsgmath import Gaussian, bhattacharyya, jeffreys, jsg, jsg_dual, jsg_extended, jsg_many, kl
from jsgmath.torch import jsg_standard_normal
from verification import peers

# The parameters of torch's own tests of KL: pytorch, test/distributions/test_distributions.py, class TestKL.
CURVED = [1.0, 2.5, 1.0, 2.5], [1.5, 1.5, 3.5, 3.5]
OUTCOMES = [[0.4, 0.3, 0.3], [0.2, 0.7, 0.1], [0.33, 0.33, 0.34], [0.2, 0.2, 0.6]]
GRIDS = {
    "Bernoulli": (td.Bernoulli, [0.1, 0.2, 0.6, 0.9]),
    "Binomial": (lambda p: td.Binomial(30, p), [0.1, 0.2, 0.6, 0.9]),
    "Beta": (td.Beta, *CURVED),
    "Categorical": (td.Categorical, OUTCOMES),
    "Chi2": (td.Chi2, [1.0, 2.0, 2.5, 5.0]),
    "Exponential": (td.Exponential, [1.0, 2.5, 5.0, 10.0]),
    "Gamma": (td.Gamma, *CURVED),
    "HalfNormal": (td.HalfNormal, [1.0, 2.0, 1.0, 2.0]),
    "InverseGamma": (td.InverseGamma, *CURVED),
    "Laplace": (lambda scale: td.Laplace(-2.0, scale), [1.0, 2.5, 1.0, 2.5]),  # both have one location
    "LogNormal": (td.LogNormal, [-2.0, 2.0, -3.0, 3.0], [1.0, 2.0, 1.0, 2.0]),
    "Normal": (td.Normal, [-2.0, 2.0, -3.0, 3.0], [1.0, 2.0, 1.0, 2.0]),
    "OneHotCategorical": (td.OneHotCategorical, OUTCOMES),
    "Poisson": (td.Poisson, [0.3, 1.0, 5.0, 10.0]),
    "Pareto": (lambda alpha: td.Pareto(2.5, alpha), [2.25, 3.75, 2.25, 3.75]),  # both have one scale
    "Dirichlet": (td.Dirichlet, [[0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.33, 0.33, 0.34], [0.2, 0.2, 0.4]]),
}
PAIRS = [(name, name) for name in GRIDS] + [
    (first, second) for first in ("Chi2", "Exponential", "Gamma") for second in ("Chi2", "Exponential", "Gamma")
]


def by_columns_and_rows(first, second):
    """Every member of the first grid against every member of the second, as a batch of shape (4, 4)."""
    (kind1, *parameters1), (kind2, *parameters2) = GRIDS[first], GRIDS[second]
    columns = (torch.tensor(x, dtype=torch.float64)[:, None] for x in parameters1)
    rows = (torch.tensor(x, dtype=torch.float64)[None] for x in parameters2)
    return kind1(*columns).expand((4, 4)), kind2(*rows).expand((4, 4))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_kl_of_the_cases_of_torch(first, second):
    p, q = by_columns_and_rows(first, second)
    # torch's sums of logarithms and gamma functions lose up to three digits.
    torch.testing.assert_close(kl(p, q), td.kl_divergence(p, q), rtol=1e-12, atol=1e-13)


def test_binomials_of_torch_with_a_count_for_each():
    counts = torch.tensor([3, 4])
    p, q = (td.Binomial(counts, torch.tensor(x).double()) for x in ([0.4, 0.6], [0.5, 0.8]))
    torch.testing.assert_close(kl(p, q), td.kl_divergence(p, q), rtol=1e-12, atol=0)


def test_the_edge_cases_of_torch():
    """KL of certain outcomes is 0 between equal ones, and infinite between different ones."""
    zero, one = (td.Bernoulli(torch.tensor(p)) for p in (0.0, 1.0))
    certain = td.Categorical(torch.tensor([0.0, 1.0]))
    assert [kl(p, p).item() for p in (zero, one, certain)] == [0, 0, 0]
    assert kl(zero, one).item() == kl(one, zero).item() == math.inf


def test_the_infinite_examples_of_torch():
    """TestKL, infinite_examples, those of one family; with the probability 0 in the other argument they are finite."""
    some = td.Categorical(torch.tensor([[0.9, 0.1], [0.9, 0.1]]))
    certain = td.Categorical(torch.tensor([1.0, 0.0]))
    assert kl(some, certain).tolist() == [math.inf, math.inf]
    torch.testing.assert_close(kl(certain, some), td.kl_divergence(certain, some))
    two, zero = td.Poisson(2.0), td.Poisson(0.0)
    assert kl(two, zero).item() == math.inf
    assert kl(zero, two).item() == 2
    for alpha in (0.3, torch.tensor(0.3)):
        assert [jsg(*pair, alpha).item() for pair in ((two, zero), (zero, two), (zero, zero))] == [
            math.inf,
            math.inf,
            0,
        ]
        torch.testing.assert_close(jsg_dual(two, zero, alpha), torch.tensor(1.4))
        torch.testing.assert_close(bhattacharyya(zero, two, alpha), torch.tensor(0.6))


@pytest.mark.parametrize(
    "pair",
    [
        (td.Normal(-1.0, 2.0), td.Exponential(3.0)),
        (td.Beta(1.0, 2.0), td.Gamma(1.0, 2.0)),
        (td.Normal(0.0, 1.0), td.Laplace(0.0, 1.0)),
    ],
    ids=lambda pair: " and ".join(type(x).__name__ for x in pair),
)
def test_pairs_of_two_families_are_refused_even_if_torch_has_a_kl(pair):
    """The geometric mean of the two belongs to neither family."""
    with pytest.raises(TypeError, match="one family"):
        kl(*pair)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (4, 1, 3)])
def test_uqpys_shapes_and_ends(shape):
    """UQpy, test_functional_geometric_js_divergence.py: one value per element, not negative; KL at alpha 0."""
    torch.manual_seed(1)
    mean1, mean2 = 2 * torch.rand(2, *shape, dtype=torch.float64) - 1
    std1, std2 = 0.001 + torch.rand(2, *shape, dtype=torch.float64)
    p, q = td.Normal(mean1, std1), td.Normal(mean2, std2)
    for alpha in (0.0, 0.25, 1.0):
        value = jsg(p, q, alpha)
        assert value.shape == shape
        assert (value >= 0).all()
        together = jsg(*(td.Independent(x, len(shape)) for x in (p, q)), alpha)
        torch.testing.assert_close(together, value.sum(), rtol=1e-14, atol=0)
    torch.testing.assert_close(jsg(p, q, 0.0), td.kl_divergence(p, q), rtol=1e-12, atol=1e-13)


def product_of_experts(mean, logvar, weights):
    """mmJSD, divergence_measures/mm_div.py, alpha_poe, without its constant 1e-8 in the variance."""
    precision = weights[:, None] * np.exp(-logvar)
    return (precision * mean).sum(0) / precision.sum(0), -np.log(precision.sum(0))


@pytest.mark.parametrize("weights", [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.25, 0.25], [0.0, 0.4, 0.6]])
def test_mmjsds_divergence_of_several_gaussians(weights):
    """mmJSD, calc_alphaJSD_modalities: the weighted sum of the KLs to the product of experts."""
    mean = np.array([[0.0, 0.0], [1.0, -1.0], [2.0, 0.5]])
    logvar, weights = np.array([[0.0, 0.0], [-1.0, 0.5], [0.3, -2.0]]), np.array(weights)
    G = product_of_experts(mean, logvar, weights)
    expected = sum(w * peers.diagonal_kl(m, v, *G) for w, m, v in zip(weights, mean, logvar, strict=True))
    gaussians = [Gaussian(m, logvar=v) for m, v in zip(mean, logvar, strict=True)]
    assert jsg_many(gaussians, weights) == pytest.approx(expected, rel=1e-13)


def test_nielsens_six_quantities():
    """Nielsen 2025, https://arxiv.org/abs/2508.05066: G-JSD and extended G-JSD by J and B, for N(0, 1) and N(1, 4).

    By hand: KL = log 2 + 2/8 - 1/2 and 5/2 - log 2 - 1/2, B = 1/20 + log(5/4)/2.
    """
    p, q = Gaussian(0.0, var=1.0), Gaussian(1.0, var=4.0)
    J, B = 1.75, 0.05 + math.log(1.25) / 2
    expected = {
        kl(p, q): math.log(2) - 0.25,
        kl(q, p): 2 - math.log(2),
        jeffreys(p, q): J,
        bhattacharyya(p, q, 0.5): B,
        jsg(p, q, 0.5, convention="nielsen"): J / 4 - B,
        jsg_extended(p, q, 0.5): J / 4 + math.exp(-B) - 1,
    }
    for value, number in expected.items():
        assert value == pytest.approx(number, rel=1e-14)
    assert jsg_dual(p, q, 0.5) == pytest.approx(B, rel=1e-14)


def test_distraxs_geometric_jensen_shannon_divergence():
    """distrax, MultivariateNormalFromBijector, from the factors A1 and A2 and the difference d of the means.

    It is ``tr(2K - log(I + K))/4 + |A1^-1 d|^2/8 + |A2^-1 d|^2/8 - |A^-1 d|^2/8``.  A A^T is the mean of the
    covariances, and ``4K = M M^T`` with ``M = A2^-1 A1 - (A1^-1 A2)^T``.
    """
    rng = np.random.default_rng(1)
    for n in (1, 2, 5):
        mean1, mean2 = rng.normal(size=(2, n))
        A1, A2 = (np.tril(rng.normal(size=(n, n)), -1) + np.diag(rng.uniform(0.5, 2, n)) for _ in range(2))
        M = np.linalg.solve(A2, A1) - np.linalg.solve(A1, A2).T
        K, d = M @ M.T / 4, mean1 - mean2
        A = np.linalg.cholesky((A1 @ A1.T + A2 @ A2.T) / 2)
        squares = [(np.linalg.solve(x, d) ** 2).sum() for x in (A1, A2, A)]
        expected = (2 * np.trace(K) - np.linalg.slogdet(np.eye(n) + K)[1]) / 4
        expected += (squares[0] + squares[1] - squares[2]) / 8
        N1, N2 = Gaussian(mean1, scale_tril=A1), Gaussian(mean2, scale_tril=A2)
        assert jsg(N1, N2, 0.5, convention="nielsen") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9])
def test_geometric_js_loss(dual, alpha):
    """geometric-js, vae/models/losses.py, _gjs_normal_loss with invert_alpha: the mean over the batch."""
    torch.manual_seed(1)
    mean, logvar = torch.randn(2, 64, 10, dtype=torch.float64)
    expected = peers.released_loss(mean, logvar, alpha, dual, torch).mean()
    value = jsg_standard_normal(mean, logvar, alpha, dual=dual, reduction="mean")
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
