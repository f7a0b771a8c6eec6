"""Exponential families of SciPy and torch, against the same members of `jsgmath.families`."""

import numpy as np
import pytest
import scipy.stats as st
import torch
from torch import distributions as td

from jsgmath import bhattacharyya, geometric_mean, jeffreys, jsg, jsg_bounds, jsg_dual, jsg_extended, kl, pairwise
from jsgmath.families import Bernoulli, Beta, Categorical, Dirichlet, Exponential, Gamma, Geometric, Poisson

PROBS = np.array([[0.2, 0.5, 0.3], [0.6, 0.15, 0.25]])
LOGITS = np.log(PROBS) + np.array([[1.0], [-2.0]])
POSITIVE = np.array([[0.5, 2.0, 7.0], [1.5, 2.5, 0.25]])
OTHER = np.array([[3.0, 1.0, 0.5], [0.5, 4.0, 1.0]])


def both(make, *parameters):
    return [make(*x) for x in zip(*parameters, strict=True)]


def t(x):
    return torch.tensor(x, requires_grad=True)


# name: (distributions of the library, the same as members of jsgmath.families)
SCIPY = {
    "bernoulli": (both(st.bernoulli, PROBS), both(lambda p: Bernoulli(probs=p), PROBS)),
    "binom": (both(lambda p: st.binom(1, p), PROBS), both(lambda p: Bernoulli(probs=p), PROBS)),
    "Binomial": (both(lambda p: st.Binomial(n=1, p=p), PROBS), both(lambda p: Bernoulli(probs=p), PROBS)),
    "multinomial": (both(lambda p: st.multinomial(1, p), PROBS), both(lambda p: Categorical(probs=p), PROBS)),
    "poisson": (both(st.poisson, POSITIVE), both(lambda x: Poisson(rate=x), POSITIVE)),
    "geom": (both(st.geom, PROBS), both(lambda p: Geometric(probs=p), PROBS)),
    "chi2": (both(st.chi2, POSITIVE), both(lambda x: Gamma(shape=x / 2, scale=2.0), POSITIVE)),
    "expon": (both(lambda x: st.expon(scale=x), POSITIVE), both(lambda x: Exponential(scale=x), POSITIVE)),
    "gamma": (
        both(lambda a, b: st.gamma(a, scale=b), POSITIVE, OTHER),
        both(lambda a, b: Gamma(shape=a, scale=b), POSITIVE, OTHER),
    ),
    "beta": (both(st.beta, POSITIVE, OTHER), both(Beta, POSITIVE, OTHER)),
    "dirichlet": (both(st.dirichlet, POSITIVE), both(Dirichlet, POSITIVE)),
}
TORCH = {
    "Bernoulli": (both(lambda p: td.Bernoulli(t(p)), PROBS), both(lambda p: Bernoulli(probs=p), PROBS)),
    "Bernoulli, by logits": (
        both(lambda x: td.Bernoulli(logits=t(x)), LOGITS),
        both(lambda x: Bernoulli(logits=x), LOGITS),
    ),
    "Categorical": (both(lambda p: td.Categorical(t(p)), PROBS), both(lambda p: Categorical(probs=p), PROBS)),
    "Categorical, by logits": (
        both(lambda x: td.Categorical(logits=t(x)), LOGITS),
        both(lambda x: Categorical(logits=x), LOGITS),
    ),
    "Poisson": (both(lambda x: td.Poisson(t(x)), POSITIVE), both(lambda x: Poisson(rate=x), POSITIVE)),
    "Geometric": (both(lambda p: td.Geometric(t(p)), PROBS), both(lambda p: Geometric(probs=p), PROBS)),
    "Geometric, by logits": (
        both(lambda p: td.Geometric(logits=t(np.log(p / (1 - p)))), PROBS),
        both(lambda p: Geometric(probs=p), PROBS),
    ),
    "Exponential": (both(lambda x: td.Exponential(t(x)), POSITIVE), both(lambda x: Exponential(rate=x), POSITIVE)),
    "Gamma": (
        both(lambda a, b: td.Gamma(t(a), t(b)), POSITIVE, OTHER),
        both(lambda a, b: Gamma(shape=a, rate=b), POSITIVE, OTHER),
    ),
    "Chi2": (both(lambda x: td.Chi2(t(x)), POSITIVE), both(lambda x: Gamma(shape=x / 2, rate=0.5), POSITIVE)),
    "Beta": (both(lambda a, b: td.Beta(t(a), t(b)), POSITIVE, OTHER), both(Beta, POSITIVE, OTHER)),
    "Dirichlet": (both(lambda a: td.Dirichlet(t(a)), POSITIVE), both(Dirichlet, POSITIVE)),
}


@pytest.mark.parametrize("distributions", SCIPY.values(), ids=SCIPY)
def test_scipy_distributions_give_the_bits_of_their_family(distributions):
    (N1, N2), same = distributions
    for alpha in (0.0, 0.3, 1.0):
        for function in (jsg, jsg_dual, bhattacharyya):
            np.testing.assert_array_equal(function(N1, N2, alpha), function(*same, alpha))
        assert type(geometric_mean(N1, N2, alpha)) is type(same[0])
    assert (kl(N1, N2) > 0).all()
    np.testing.assert_array_equal(jeffreys(N1, N2), jeffreys(*same))


@pytest.mark.parametrize("distributions", TORCH.values(), ids=TORCH)
def test_torch_distributions_give_tensors_with_gradients(distributions):
    (N1, N2), same = distributions
    for alpha in (0.0, 0.3, 1.0):
        for function in (jsg, jsg_dual):
            value = function(N1, N2, alpha)
            # The limit is that of float64, in which torch normalises probabilities and logits.
            np.testing.assert_allclose(value.detach(), function(*same, alpha), rtol=1e-13)
    value.sum().backward()
    values = [x.grad for N in (N1, N2) for x in vars(N).values() if isinstance(x, torch.Tensor) and x.is_leaf]
    assert all(x is None or x.isfinite().all() for x in values)
    torch.testing.assert_close(kl(N1, N2), td.kl_divergence(N1, N2), rtol=1e-12, atol=0)


def test_independent_components_add_up():
    N1, N2 = TORCH["Bernoulli"][0]
    value = jsg(td.Independent(N1, 1), td.Independent(N2, 1), 0.3)
    assert value.shape == ()
    assert value.item() == pytest.approx(jsg(N1, N2, 0.3).sum().item(), rel=1e-15)


def test_pairwise_takes_members_of_a_family():
    rates = [0.5, 1.0, 4.0]
    for distributions in (
        [st.poisson(x) for x in rates],
        Poisson(rate=rates),
        [td.Poisson(torch.tensor(x).double()) for x in rates],
    ):
        matrix = np.asarray(pairwise(distributions, 0.3))
        expected = [[jsg(Poisson(rate=x), Poisson(rate=y), 0.3) for y in rates] for x in rates]
        np.testing.assert_allclose(matrix, expected, rtol=1e-14)


def test_bounds_and_the_extended_divergence_take_scipy_distributions():
    N1, N2 = SCIPY["gamma"][0]
    lower, upper = jsg_bounds(N1, N2, 0.3)
    value = jsg(N1, N2, 0.3)
    assert ((lower <= value) & (value <= upper)).all()
    assert (jsg_extended(N1, N2, 0.3) >= value).all()


REFUSED = {
    "a gamma that is moved": (
        lambda: kl(st.gamma(2.0, loc=1.0), st.gamma(2.0)),
        TypeError,
        "gamma with loc 1.0 | a Gamma",
    ),
    "a beta that is stretched": (
        lambda: kl(st.beta(2.0, 3.0, scale=2.0), st.beta(2.0, 3.0)),
        TypeError,
        "beta with loc 0 and scale 2.0 | a Beta",
    ),
    "binomials of different n": (lambda: kl(st.binom(3, 0.1), st.binom(4, 0.2)), ValueError, "3 draws | 4"),
    "multinomials of different n": (
        lambda: kl(*(st.multinomial(n, [0.5, 0.5]) for n in (3, 4))),
        ValueError,
        "3 draws | 4",
    ),
    "Laplace distributions of different location": (
        lambda: kl(st.laplace(0.0, 1.0), st.laplace(1.0, 1.0)),
        ValueError,
        "laplace | different loc",
    ),
    "a log-normal and a normal distribution": (
        lambda: kl(td.LogNormal(*torch.ones(2)), td.Normal(*torch.ones(2))),
        TypeError,
        "LogNormal | Normal | one family",
    ),
    "two families": (lambda: kl(st.poisson(1.0), st.geom(0.5)), TypeError, "N1 | N2 | one family"),
    "a family and a Gaussian": (lambda: kl(st.norm(0, 1), st.expon()), TypeError, "N1 | N2 | one family"),
    "tensors of integers": (lambda: Poisson(rate=torch.tensor([1, 2])), TypeError, "floating | int64"),
    "two libraries": (
        lambda: kl(st.poisson(1.0), td.Poisson(torch.tensor(1.0))),
        TypeError,
        "N1 is of NumPy but N2 of torch",
    ),
}


@pytest.mark.parametrize(("call", "exception", "fragments"), REFUSED.values(), ids=REFUSED)
def test_distributions_outside_the_families_are_refused_with_the_reason(call, exception, fragments):
    with pytest.raises(exception) as caught:
        call()
    assert all(fragment in str(caught.value) for fragment in fragments.split(" | ")), caught.value
