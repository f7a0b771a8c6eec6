"""The errors of pairs of float64 arrays are within the bounds in `wide.py`; the reference is mpmath in 90 digits."""

import numpy as np
import pytest
from mpmath import mp

from jsgmath.reduction import wide
from jsgmath.reduction.wide import Wide

RNG = np.random.default_rng(1)
COUNT = 200


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(90):
        yield


def draw(low, high, sign=True):
    """Random numbers between two powers of two, with a low part."""
    size = np.exp2(RNG.uniform(low, high, COUNT)) * (RNG.choice([-1, 1], COUNT) if sign else 1)
    return Wide(size, size * 2.0**-54 * RNG.uniform(-1, 1, COUNT))


def exact(x):
    return [mp.mpf(float(high)) + mp.mpf(float(low)) for high, low in zip(x.high, x.low, strict=True)]


def error(found, truths):
    """The largest relative error."""
    return float(max(abs(x / truth - 1) for x, truth in zip(exact(found), truths, strict=True)))


def test_operations_lose_less_than_they_state():
    a, b = draw(-40, 40), draw(-40, 40)
    near = Wide(-a.high * (1 + 2.0**-40 * RNG.normal(size=COUNT)), 0.37 * a.low)
    pairs = list(zip(exact(a), exact(b), exact(near), strict=True))
    assert error(a + b, [x + y for x, y, _ in pairs]) < wide.ROUNDING
    assert error(a - b, [x - y for x, y, _ in pairs]) < wide.ROUNDING
    assert error(a + near, [x + z for x, _, z in pairs]) < wide.ROUNDING
    assert error(a * b, [x * y for x, y, _ in pairs]) < wide.ROUNDING
    assert error(a / b, [x / y for x, y, _ in pairs]) < wide.ROUNDING
    positive = draw(-40, 40, sign=False)
    assert error(positive.root(), [mp.sqrt(x) for x in exact(positive)]) < wide.ROUNDING
    columns = Wide(positive.high.reshape(2, -1), positive.low.reshape(2, -1)).sum(-1)
    whole = exact(positive)
    assert error(columns, [mp.fsum(whole[: COUNT // 2]), mp.fsum(whole[COUNT // 2 :])]) < 8 * wide.ROUNDING


@pytest.mark.parametrize("size", [(-60, -20), (-9, -7), (-7, -3), (-3, 0), (0, 9)])
def test_the_exponential_and_its_distance_from_the_tangent(size):
    x = draw(*size)
    for function, truth in zip(wide.growth(x), (mp.exp, mp.expm1, lambda y: mp.expm1(y) - y), strict=True):
        assert error(function, [truth(y) for y in exact(x)]) < wide.ELEMENTARY


@pytest.mark.parametrize("size", [(-40, -20), (-9, -7), (-7, -6), (-6, 0), (0, 120)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_kernels_and_the_logarithm(size, sign):
    x = draw(*size, sign=False)
    if sign < 0:
        x = -x if size[1] <= 0 else Wide(RNG.uniform(-0.999, -0.01, COUNT), np.zeros(COUNT))
    k = x + 1.0
    numbers = exact(x)
    logs = [mp.log1p(y) for y in numbers]
    assert error(wide.kernels(x, k, dual=None), logs) < wide.ELEMENTARY
    assert error(wide.kernels(x, k, dual=False), [y - mp.log1p(y) for y in numbers]) < wide.KERNELS
    dual = wide.kernels(x, k, dual=True)
    assert error(dual, [mp.log1p(y) - y / (1 + y) for y in numbers]) < wide.KERNELS
