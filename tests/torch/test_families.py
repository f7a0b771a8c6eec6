"""Exponential families with torch tensors: their values, their gradients, and refused arguments."""

import itertools

import numpy as np
import pytest
import torch
from mpmath import mp
from torch import distributions

from jsgmath import families, jsg_dual, kl
from jsgmath.families import Beta, Categorical, Poisson
from verification import family_oracles, members
from verification.pairs import DIVERGENCES


def tensors(form, parameters, dtype=torch.float64):
    made = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in parameters]
    if form.startswith(("Dirichlet", "Categorical")):
        return [torch.stack(made).detach().requires_grad_()]
    return made


def on_tensors(form, parameters):
    name, _, keyword = form.partition(", ")
    family = getattr(families, name)
    *first, last = parameters
    return family(*first, **{keyword: last}) if keyword else family(*parameters)


@pytest.mark.parametrize("form", members.FORMS)
def test_torch_computes_the_same_in_float64_and_in_float32(form):
    """60 ulps are allowed: 46 were measured over 400 random pairs of each family, with parameters from 1e-8 to 1e8.

    For `Beta` 496 were measured: five bits of the gamma function's divergence cancel, and only one parameter is far.
    """
    for seed in range(3):
        pair = members.ordinary(form, seed, (1.0, 1e-3, 1e-6)[seed])
        for (dual, convention), dtype in zip(DIVERGENCES * 2, [torch.float64] * 4 + [torch.float32] * 4, strict=True):
            given = [tensors(form, p, dtype) for p in pair]
            value = on_tensors(form, given[0]).skew(on_tensors(form, given[1]), 0.3, convention, dual)
            N1, N2 = (on_tensors(form, [x.detach().numpy() for x in p]) for p in given)
            truth = N1.skew(N2, 0.3, convention, dual)
            assert value.dtype == dtype
            assert abs(value.item() - truth) <= 60 * np.spacing(truth)


@pytest.mark.parametrize("seed", [5, 6])  # one-parameter members are 0.3 % apart, and far apart
@pytest.mark.parametrize("form", members.FORMS)
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_torch_differentiates_it(form, dual, convention, seed):
    """Derivatives are by every parameter and by alpha, near and far; between equal members all are 0."""
    first, second = (tensors(form, p) for p in members.ordinary(form, seed))

    def value(alpha, *parameters):
        N1, N2 = (on_tensors(form, p) for p in (parameters[: len(first)], parameters[len(first) :]))
        return N1.skew(N2, alpha, convention, dual)

    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    # Differences of values of order one by steps of 1e-6 leave 1e-10.
    assert torch.autograd.gradcheck(value, (alpha, *first, *second), atol=1e-9, rtol=1e-6)
    same = [x.detach().clone().requires_grad_() for x in first]
    for gradient in torch.autograd.grad(value(0.3, *first, *same), [*first, *same]):
        # The terms are of order one and cancel.
        assert gradient.abs().max() <= 1e-15


def test_a_probability_of_zero_leaves_torchs_gradients_finite():
    p = torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64, requires_grad=True)
    value = Categorical(p).skew(Categorical(q), 0.0, "deasy", False)
    # KL(p||q) of the weights q: 1/sum(q) - p/q.
    expected = torch.tensor([1.0, 0.0, 1 - 0.5 / 0.3], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(value, q)
    assert torch.allclose(gradient, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Beta(np.array(1.0), torch.tensor(1.0)), "Beta got arrays of NumPy and torch; use one"),
        (
            lambda: Poisson(1.0).skew(Poisson(torch.tensor(1.0)), 0.5, "deasy", False),
            "N1 is of NumPy but N2 of torch; convert one of them",
        ),
    ],
)
def test_two_libraries_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [100, 1000, 5000])
def test_probabilities_of_far_logits_may_underflow(size, dtype):
    """Their powers do not underflow, so the geometric mean has outcomes that neither distribution has in floats."""
    torch.manual_seed(3)
    for _ in range(10):
        logits = [size * torch.randn(4, dtype=dtype) for _ in range(2)]
        exact = [tuple(mp.exp(mp.mpf(x)) for x in given.tolist()) for given in logits]
        for dual, convention in DIVERGENCES:
            value = Categorical(logits=logits[0]).skew(Categorical(logits=logits[1]), 0.25, convention, dual)
            truth = family_oracles.skew("Categorical", *exact, 0.25, convention, dual)
            # The logarithms of G's probabilities, of some `size`, are rounded.
            limit = 8 * size * torch.finfo(dtype).eps
            assert value.item() == pytest.approx(float(truth), rel=limit, abs=1e-12)


def test_a_weight_of_zero_leaves_the_other_gradients_right():
    """Gradients pass through torch's normalisation of the weights, for an alpha of 0 or 1 and for one in between."""
    weights = torch.tensor([0.0, 0.5, 0.25], dtype=torch.float64, requires_grad=True)
    other = distributions.Categorical(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    for divergence in (kl, lambda p, q: jsg_dual(p, q, 0.3)):
        (gradient,) = torch.autograd.grad(divergence(distributions.Categorical(weights), other), weights)
        assert abs(gradient[0]) > 1e300  # the true one is infinite; its product with the weight must be 0
        moved = [weights.detach() + torch.tensor([0.0, step, 0.0]) for step in (1e-5, -1e-5)]
        high, low = (divergence(distributions.Categorical(x), other) for x in moved)
        assert gradient[1].item() == pytest.approx((high - low).item() / 2e-5, rel=1e-7)


@pytest.mark.parametrize("gap", [1e-6, 1e-3, 1.0, 20.0])
def test_logits_in_float32_keep_their_digits_however_close_they_are(gap):
    """Values are compared with the definition, gradients with those in float64, which has another formula.

    1.2 and 1.9 eps were measured.  A constant that is added to all logits changes nothing.
    """
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(12, generator=generator)
    second = first + gap * torch.randn(12, generator=generator) + 3
    eps = torch.finfo(torch.float32).eps
    for alpha, (dual, convention) in itertools.product((0.0, 0.001, 0.3), DIVERGENCES):
        exact = [tuple(mp.exp(mp.mpf(x)) for x in given.tolist()) for given in (first, second)]
        found = []
        for dtype in (torch.float32, torch.float64):
            logits = [x.to(dtype).requires_grad_() for x in (first, second)]
            value = Categorical(logits=logits[0]).skew(Categorical(logits=logits[1]), alpha, convention, dual)
            found.append((value, *torch.autograd.grad(value, logits)))
        truth = family_oracles.skew("Categorical", *exact, alpha, convention, dual)
        assert found[0][0].item() == pytest.approx(float(truth), rel=2 * eps, abs=0)
        for got, want in zip(found[0][1:], found[1][1:], strict=True):
            assert (got - want).abs().max() <= 4 * eps * want.abs().max()
        same = [first.clone().requires_grad_() for _ in range(2)]
        value = Categorical(logits=same[0]).skew(Categorical(logits=same[1]), alpha, convention, dual)
        assert value == 0
        assert all((x == 0).all() for x in torch.autograd.grad(value, same))
