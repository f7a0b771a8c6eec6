"""Families whose parameters lie at opposite ends of the range; the expected numbers were computed with 700 digits."""

import itertools
import math

import numpy as np
import pytest
import torch

from jsgmath import families, jsg, jsg_dual, kl

INF = math.inf
KL, HALF, B = (0.0, "deasy", False), (0.5, "deasy", False), (0.5, "nielsen", True)
CASES = [
    ("Gamma", (1e-30, 1e30), (2e-30, 1e-30), KL, 0.30685281944, (-1e30, 0, 5e29, -2)),
    ("Gamma", (1e30, 1e30), (1e-30, 1e-30), KL, 102.197390656, (0, 0, -1e30, 0)),
    ("Gamma", (1e-30, 1e-30), (1.0, 1e30), HALF, 5.0000000297e29, (INF, -INF, 2.5e29, 0.25)),
    ("Gamma", (1e30, 1e30), (1e-30, 1e-30), B, 51.0021217377, (0, 0, -5e29, 0)),
    ("Gamma", (1e200, 1e-200), (2e-200, 1e100), B, 3.45387763949e202, (345.3877639491, -INF, -2.5e199, 5e99)),
    ("Beta", (1e30, 1e-30), (1e-30, 1e30), KL, INF, (1, -INF, -1e30, 1e30)),
    ("Beta", (1e30, 1e-30), (3.0, 1e-30), B, 3.33842371602e-29, (0, -0.3465735903, 0, 33.73081064)),
    ("Beta", (1e200, 1e150), (1e-200, 2.0), KL, 862.05047134, (0, 0, -1e200, 115.12925465)),
    ("Beta", (1.7e308, 1.7e308), (1e200, 1e-200), KL, 6.9314718055994525e199, (0, 0, 0.6931471806, -1e200)),
    ("Beta", (1.7e308, 1.7e308), (1e200, 1e-200), B, 3.46573590279973e199, (0, 0, 0.3465735903, -5e199)),
    ("Exponential", (1e30,), (1e-30,), B, 68.3844056152, (0, -5e29)),
    ("Poisson", (1e-30,), (1e30,), HALF, 3.403877691e31, (-INF, 34.2887764)),
    # G has the rate 0 too, and approaches it as rate^0.3 or rate^0.7.
    ("Poisson", (0.0,), (2.0,), (0.3, "deasy", True), 0.6, (INF, 0.3)),
    ("Poisson", (2.0,), (0.0,), (0.3, "deasy", True), 1.4, (0.7, -INF)),
    ("Poisson", (0.0,), (2.0,), KL, 2.0, (-INF, 1)),
]


@pytest.mark.parametrize(("name", "first", "second", "divergence", "value", "gradients"), CASES)
def test_values_and_gradients_are_right_or_infinite(name, first, second, divergence, value, gradients):
    alpha, convention, dual = divergence
    types = [torch.float64] if max(*first, *second) > 1e38 else [torch.float32, torch.float64]
    for dtype in types:
        given = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in (*first, *second)]
        members = [getattr(families, name)(*part) for part in (given[: len(first)], given[len(first) :])]
        found = (jsg_dual if dual else jsg)(*members, alpha, convention=convention)
        limit = torch.finfo(dtype).max
        # The parameters of the expected numbers are rounded to float32, if they are within its range.
        rel = 1e-6
        if value < limit or dtype is torch.float32:
            assert found.item() == pytest.approx(value, rel=rel)
        for x, expected in zip(torch.autograd.grad(found, given), gradients, strict=True):
            assert not x.isnan()
            if abs(expected) < INF:
                # Terms of size 1 may cancel.
                assert x.item() == pytest.approx(expected, rel=rel, abs=4 * torch.finfo(dtype).eps)
            elif dtype is torch.float32:
                assert x.item() == expected


ENDS = {"float32": (1.2e-38, 1e-30, 3.0, 1e30, 3.4e38), "float64": (2.3e-308, 1e-200, 3.0, 1e200, 1.7e308)}


@pytest.mark.parametrize("dtype", ENDS)
@pytest.mark.parametrize("name", ["Gamma", "Beta", "Exponential", "Poisson"])
def test_nothing_is_nan_up_to_the_ends_of_the_range(name, dtype):
    """This covers torch with its gradients, and NumPy at few points, because decimal numbers take 0.1 s for each."""
    count = 2 if name in ("Gamma", "Beta") else 1
    values = np.array(list(itertools.product(ENDS[dtype], repeat=2 * count)), dtype).T
    few = values[:, :: 62 if count == 2 else 1]
    kind = getattr(families, name)
    for alpha, convention, dual in (KL, (1.0, "deasy", False), HALF, B, (1e-20, "nielsen", False)):
        divergence = jsg_dual if dual else jsg
        given = torch.tensor(values, requires_grad=True)
        found = divergence(kind(*given[:count]), kind(*given[count:]), alpha, convention=convention)
        (gradient,) = torch.autograd.grad(found.sum(), given)
        plain = divergence(kind(*few[:count]), kind(*few[count:]), alpha, convention=convention)
        assert not any(np.isnan(x).any() for x in (found.detach().numpy(), gradient.numpy(), plain))
        assert (found >= 0).all()
        assert (plain >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("first", "second", "value", "gradients"),
    [
        (0.0, -1e4, 9998.613705638880, (math.log(2), -1.0)),
        (-1e4, -9990.0, math.exp(10) - 11, (1 - math.exp(10), math.exp(10) - 1)),
        (-1e4, 0.0, INF, (-INF, INF)),
        (-700.0, -1e4, 9299.0, (1.0, -1.0)),
        (1e4, 0.0, math.log(2), (0.0, -0.5)),
    ],
)
def test_far_logits_of_geometric_distributions(first, second, value, gradients, dtype):
    """``KL = log p1 - log p2 + (q1/p1)(log q1 - log q2)``; for low odds it is that of exponential distributions."""
    given = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in (first, second)]
    found = kl(*(families.Geometric(logits=x) for x in given))
    assert found.item() == pytest.approx(value, rel=1e-6)
    assert kl(*(families.Geometric(logits=x) for x in (first, second))) == pytest.approx(value, rel=1e-12)
    for x, expected in zip(torch.autograd.grad(found, given), gradients, strict=True):
        assert x.item() == pytest.approx(expected, rel=1e-6)
