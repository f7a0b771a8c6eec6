"""Families of torch in float64 at the ends of the range, against NumPy, and gradients against closed forms."""

import pytest
import torch

import jsgmath
from jsgmath import families
from jsgmath.families.normal import Normal

KL, DUAL, TINY = (0.0, "deasy", False), (0.3, "deasy", True), (1e-8, "nielsen", False)
NEAR_ONE = 0.99999999, "nielsen", True
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
    # Outcomes that hardly differ, next to one that is far: the derivatives are made of the small differences.
    (
        "outcomes",
        (1.1143264854354247, 0.007219572698630104, -0.02352471089108165),
        (1.1143264854354245, -718.1703043171539, -0.023524710891081647),
        (0.5, "nielsen", True),
        {3: -1.0362623340876521e-17, 5: 1.0362623340876521e-17},
    ),
    (
        "probabilities",
        (4.173998242428058e-246, 3.2183644353368144, 0.9029000527616445),
        (4.1739982424280584e-246, 3.218364435336814, 1.37439429727142e-139),
        DUAL,
        {3: 2.9858755439199106e-17},
    ),
    # A small shape and a large one; their Bregman divergence is shifted.
    ("Gamma", (1.9417489179247274e176, 1.7976931348623157e308), (0.385317084173402, 0.01175412754702704), NEAR_ONE, {}),
    ("Geometric", (5.729730252041188e-307,), (5.7297302520469185e-307,), DUAL, {1: 6.458268704854047e293}),
    ("successes", (709.0,), (-1.5631591951386243,), (0.3, "nielsen", True), {0: 1.9053194037746524e-216}),
    ("either", (-4944.197370929234,), (1.804560575105009e-257,), (0.3, "deasy", False), {}),
]


def vector(x):
    return torch.stack(x) if isinstance(x[0], torch.Tensor) else list(x)


OTHER_FORMS = {
    "logits": [lambda x: families.Bernoulli(logits=x)] * 2,
    "outcomes": [lambda *x: families.Categorical(logits=vector(x))] * 2,
    "probabilities": [lambda *x: families.Categorical(vector(x))] * 2,
    "successes": [lambda x: families.Geometric(logits=x)] * 2,
    "either": [lambda x: families.Geometric(logits=x), families.Geometric],
}


@pytest.mark.parametrize(("name", "first", "second", "divergence", "gradients"), CASES)
def test_nothing_leaves_the_range_before_the_result_does(name, first, second, divergence, gradients):
    """An earlier version gave NaN, infinity, or ten wrong digits in each case."""
    alpha, convention, dual = divergence
    kinds = [Normal] * 2 if name == "Normal" else OTHER_FORMS.get(name) or [getattr(families, name)] * 2
    plain = kinds if name != "Normal" else [lambda mean, std: jsgmath.Gaussian([mean], std=[std])] * 2
    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (*first, *second)]
    compute = jsgmath.jsg_dual if dual else jsgmath.jsg
    members = kinds[0](*given[: len(first)]), kinds[1](*given[len(first) :])
    found = compute(*members, alpha, convention=convention)
    wanted = compute(plain[0](*first), plain[1](*second), alpha, convention=convention)
    # A result is a sum of a few terms, each rounded a few times.
    assert found.item() == pytest.approx(float(wanted), rel=16 * 2.0**-52, abs=0)
    derivatives = torch.autograd.grad(found, given)
    assert not any(x.isnan() for x in derivatives)
    for place, derivative in gradients.items():
        assert derivatives[place].item() == pytest.approx(derivative, rel=16 * 2.0**-52, abs=0)
