"""Complex numbers in pairs of doubles, against mpmath with 60 digits."""

import numpy as np
import pytest
from mpmath import mp

from jsgmath.reduction import wide_complex
from jsgmath.reduction.wide import Wide
from jsgmath.reduction.wide_complex import Complex

DIGITS = 60


def exact(x):
    return [mp.mpf(float(high)) + mp.mpf(float(low)) for high, low in zip(x.high, x.low, strict=True)]


def complex_numbers(z):
    return [mp.mpc(*pair) for pair in zip(exact(z.re), exact(z.im), strict=True)]


def drawn(rng, scale, count=100):
    """Random numbers with low parts."""
    high, low = rng.normal(size=(2, count)) * scale
    return Wide.of(high) + low * 2.0**-60


def worst(found, truth):
    return max(float(abs(x - y) / abs(y)) for x, y in zip(found, truth, strict=True))


@pytest.mark.parametrize("scale", [1e-9, 1e-2, 1.0, 1e2, 1e6])
def test_sines_and_exponentials_have_all_digits(scale):
    """Errors are relative to the result near 0, otherwise to 1, and grow with the number of turns."""
    rng = np.random.default_rng(1)
    x = drawn(rng, scale)
    with mp.workdps(DIGITS):
        for found, function in zip(wide_complex.cosm1_and_sin(x), (lambda y: mp.cos(y) - 1, mp.sin), strict=True):
            for value, y in zip(exact(found), exact(x), strict=True):
                size = min(abs(function(y)), 1) if scale < 1 else 1
                assert abs(value - function(y)) <= 2.0**-88 * size * max(1, scale)
        if scale <= 100:
            z = Complex(Wide(np.abs(x.high), x.low * np.sign(x.high)), drawn(rng, scale))
            minus = Complex(-z.re, -z.im)
            assert worst(complex_numbers(wide_complex.exp(minus)), map(mp.exp, complex_numbers(minus))) < 2.0**-85
            lack = complex_numbers(wide_complex.lack(z))
            assert worst(lack, (-mp.expm1(y) for y in complex_numbers(minus))) < 2.0**-85


def test_products_quotients_and_roots_have_all_digits():
    """Products along an axis include one whose factors would overflow and underflow, and an empty one."""
    rng = np.random.default_rng(2)
    a, b = (Complex(drawn(rng, 1.0), drawn(rng, 1.0)) for _ in "ab")
    with mp.workdps(DIGITS):
        x, y = map(complex_numbers, (a, b))
        assert worst(complex_numbers(a * b), (p * q for p, q in zip(x, y, strict=True))) < 2.0**-95
        assert worst(complex_numbers(a.inverse()), (1 / p for p in x)) < 2.0**-95
        assert worst(complex_numbers(a.root()), map(mp.sqrt, x)) < 2.0**-95
        scale = np.where(np.arange(100) < 50, 1e200, 1e-190)
        scaled = Complex(*(Wide(part.high * scale, part.low * scale) for part in a))
        product, exponent = wide_complex.product_of(scaled)
        found = mp.mpc(
            mp.mpf(float(product.re.high)) + float(product.re.low),
            mp.mpf(float(product.im.high)) + float(product.im.low),
        )
        truth = mp.fprod(complex_numbers(scaled))
        assert abs(found * mp.mpf(2) ** int(exponent) / truth - 1) < 2.0**-88


@pytest.mark.parametrize("scale", [1e-100, 1e-6, 1e-3])
def test_g_of_small_numbers_keeps_its_digits(scale):
    rng = np.random.default_rng(3)
    x = Complex(drawn(rng, scale), drawn(rng, scale))
    with mp.workdps(300):
        truth = [y - mp.log1p(y) for y in complex_numbers(x)]
        assert worst(complex_numbers(wide_complex.g_near(x)), truth) < 2.0**-67
