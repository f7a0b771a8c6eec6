"""Parameters that other libraries would round before the formula, against decimal numbers; and certain outcomes."""

import math
from typing import Any, cast

import numpy as np
import pytest
import scipy.stats as st
import torch
from mpmath import mp
from torch import distributions as td

from jsgmath import families, jsg, jsg_dual, kl

NEAR = 1 + 1e-10


def exponential(ratio):
    """``KL`` of two exponential distributions, by the ratio of the second rate to the first."""
    return ratio - 1 - mp.log(ratio)


def weibull(first, second, shape):
    return exponential(mp.exp(shape * mp.log(mp.mpf(first) / mp.mpf(second))))


def failures(q1, q2):
    q1, q2 = mp.mpf(q1), mp.mpf(q2)
    return mp.log((1 - q1) / (1 - q2)) + q1 / (1 - q1) * mp.log(q1 / q2)


def odds(x1, x2):
    return failures(1 / (1 + mp.mpf(x1)), 1 / (1 + mp.mpf(x2)))


def poisson(x1, x2):
    return mp.exp(x1) * exponential(mp.exp(mp.mpf(x2) - mp.mpf(x1)))


def log_normal(first, second, s):
    return (mp.log(mp.mpf(first) / mp.mpf(second)) / s) ** 2 / 2


CASES = {
    "Weibull of scipy": (lambda x: st.weibull_min(3.0, scale=x), lambda x, y: weibull(x, y, 3), [1e50, 3.0, 1e-200]),
    "Weibull of torch": (
        lambda x: td.Weibull(x, torch.full_like(x, 3.0)),
        lambda x, y: weibull(x, y, 3),
        [1e50, 3.0, 1e-200],
    ),
    "lognorm of scipy": (lambda x: st.lognorm(0.5, scale=x), lambda x, y: log_normal(x, y, 0.5), [1e300, 7.0, 1e-5]),
    "NegativeBinomial": (lambda x: td.NegativeBinomial(1.0, probs=x), failures, [1e-30, 1e-300, 0.3, 1 - 2**-30]),
    "odds": (lambda x: families.Geometric.of(odds=x), odds, [1e20, 2.0, 1e-20]),
    "log-rates": (families.Poisson.of_log_rate, poisson, [100.0, 0.3, -300.0]),
    "log-rates of gamma distributions": (
        lambda x: families.Gamma(torch.full_like(x, 2.0), log_rate=x),
        lambda x, y: 2 * exponential(mp.exp(mp.mpf(y) - mp.mpf(x))),
        [100.0, 0.3, -300.0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_parameter_is_taken_as_it_was_given(name):
    make, reference, places = CASES[name]
    convert = float if "scipy" in name else lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with mp.workdps(500):
        for x in places:
            for y in (x * NEAR if x * NEAR < 1 or name != "NegativeBinomial" else x * (1 - 2**-40), x / 3):
                expected, given = reference(x, y), cast(list[Any], [convert(z) for z in (x, y)])
                value = kl(*map(make, given))
                limit = 16 * np.spacing(float(expected))
                assert abs(value.item() - expected) <= limit
                if "scipy" not in name:
                    steps = [mp.mpf(z) * mp.mpf(10) ** -60 for z in (x, y)]
                    slopes = [
                        (reference(x + steps[0], y) - expected) / steps[0],
                        (reference(x, y + steps[1]) - expected) / steps[1],
                    ]
                    for found, slope in zip(torch.autograd.grad(value, given), slopes, strict=True):
                        assert abs(found.item() - slope) <= 16 * max(np.spacing(abs(float(slope))), 5e-324)


SIGMOID = 1 / (1 + math.exp(-0.7))
CERTAIN = {
    "p of 1": (families.Geometric, 1.0, 0.7, -math.log(0.7), -1 / 0.7),
    "no failures": (lambda x: families.Geometric.of(failures=x), 0.0, 0.3, -math.log(0.7), 1 / 0.7),
    "rate of 0": (families.Poisson, 0.0, 0.7, 0.7, 1.0),
    "log-rate of -inf": (families.Poisson.of_log_rate, -math.inf, 0.7, math.exp(0.7), math.exp(0.7)),
    "logits of inf": (lambda x: families.Bernoulli(logits=x), math.inf, 0.7, -math.log(SIGMOID), SIGMOID - 1),
    "logits of -inf": (lambda x: families.Bernoulli(logits=x), -math.inf, 0.7, -math.log(1 - SIGMOID), SIGMOID),
}


@pytest.mark.parametrize(("make", "certain", "other", "value", "slope"), CERTAIN.values(), ids=CERTAIN)
def test_a_certain_distribution_has_the_right_divergences(make, certain, other, value, slope):
    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (certain, other)]
    first, second = map(make, given)
    found = kl(first, second)
    assert found.item() == pytest.approx(value, rel=1e-14)
    assert torch.autograd.grad(found, given[1])[0].item() == pytest.approx(slope, rel=1e-14)
    assert kl(second, first).item() == math.inf
    for divergence in (jsg, jsg_dual):
        for convention in ("deasy", "nielsen"):
            for alpha in (0.0, 0.3):
                for pair in ((first, second), (second, first)):
                    found = divergence(*pair, alpha, convention=convention)
                    assert not any(x.isnan() for x in (found, *torch.autograd.grad(found, given)))


@pytest.mark.parametrize("name", ["Gamma", "Beta", "Dirichlet"])
def test_moderate_shapes_in_float32_are_rounded_once_near_and_far(name):
    """These are computed by the textbook in float64, and again where its terms cancel."""
    rng = np.random.default_rng(1)
    x, far = (2.0 ** rng.uniform(-11, 11, (2, 400, 2))).astype(np.float32)
    near = x * (1 + rng.choice([0.0, 1e-7, 1e-5, 1e-3], x.shape))
    y = np.where(rng.random(x.shape) < 0.6, near, far).astype(np.float32)
    kind: Any = getattr(families, name)
    make: Any = kind if name == "Dirichlet" else lambda x: kind(x[..., 0], x[..., 1])
    for alpha, divergence in ((0.0, jsg), (0.3, jsg), (0.3, jsg_dual), (1 - 2.0**-11, jsg)):
        exact = divergence(make(x.astype(float)), make(y.astype(float)), alpha)
        given = [torch.tensor(z, requires_grad=True) for z in (x, y)]
        value = divergence(*map(make, given), alpha)
        assert (abs(value.detach().numpy() - exact) <= 0.6 * np.spacing(exact.astype(np.float32))).all()
        wide = [torch.tensor(z.astype(float), requires_grad=True) for z in (x, y)]
        slopes = torch.autograd.grad(divergence(*map(make, wide), alpha).sum(), wide)
        for found, slope in zip(torch.autograd.grad(value.sum(), given), slopes, strict=True):
            torch.testing.assert_close(found.double(), slope, rtol=1e-6, atol=1e-7 * slope.abs().mean().item())
