"""Families of torch in float64 at the ends of the range, against NumPy, and gradients of closed forms."""

import pytest
import torch

import jsgmath
from jsgmath import families
from jsgmath.families.normal import Normal

KL, DUAL, TINY = (0.0, "deasy", False), (0.3, "deasy", True), (1e-8, "nielsen", False)
CASES = [
    # A family or its logits, the parameters of both members, and some of the derivatives by them.
    ("Normal", (2.0e163, 0.011), (2.1e163, 0.011), (1e-20, "nielsen", True), {}),
    ("Normal", (0.5, 1.7e308), (0.25, 1.0), (0.0, "deasy", True), {1: 1 / 1.7e308}),
    ("Exponential", (11.350968517650946,), (1.5230952235439648e-155,), TINY, {1: -4.8930404098960985e302}),
    ("Poisson", (1.0,), (8.988465674311579e307,), (1e-8, "deasy", True), {0: -8.988338112562325e307}),
    ("Poisson", (5.733966603703646,), (2.2250738585072014e-308,), DUAL, {1: -6.644949766031678e94}),
    ("Gamma", (2.25e-308, 0.002), (2.2500000000000005e-308, 0.002), (0.3, "deasy", False), {}),
    ("Bernoulli", (5.921319853556185e-264,), (0.9113511011688218,), KL, {}),
    ("logits", (8906.270431182847,), (-0.2884436256330371,), KL, {1: -0.5716150640948803}),
    ("logits", (777.231164361644,), (-95.25581947472489,), DUAL, {0: -5.143026949272019e-71}),
]


@pytest.mark.parametrize(("name", "first", "second", "divergence", "gradients"), CASES)
def test_nothing_leaves_the_range_before_the_result_does(name, first, second, divergence, gradients):
    """Each was NaN, infinite or wrong in its first ten digits."""
    alpha, convention, dual = divergence
    kind = {"Normal": Normal, "logits": lambda x: families.Bernoulli(logits=x)}.get(name) or getattr(families, name)
    plain = kind if name != "Normal" else lambda mean, std: jsgmath.Gaussian([mean], std=[std])
    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (*first, *second)]
    compute = jsgmath.jsg_dual if dual else jsgmath.jsg
    found = compute(kind(*given[: len(first)]), kind(*given[len(first) :]), alpha, convention=convention)
    wanted = compute(plain(*first), plain(*second), alpha, convention=convention)
    # A sum of a few terms, each of which is rounded a few times.
    assert found.item() == pytest.approx(float(wanted), rel=16 * 2.0**-52, abs=0)
    derivatives = torch.autograd.grad(found, given)
    assert not any(x.isnan() for x in derivatives)
    for place, derivative in gradients.items():
        assert derivatives[place].item() == pytest.approx(derivative, rel=16 * 2.0**-52, abs=0)
