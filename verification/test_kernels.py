"""What `special.py` adds to the formula: the series near zero, and a difference that loses nothing."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from mpmath import mp

from jsgmath import special

WORK = special.WORK
EPS = float(np.finfo(WORK).eps)


@pytest.mark.parametrize("terms", [1, 2, 9])
def test_the_tail_is_the_truncated_series(terms):
    """``P(w) = 1/3 + w/5 + w^2/7 + ...``, in rational numbers."""
    w = Fraction(2, 19)
    assert special.tail(w, Fraction(1), terms) == sum(w**k / (2 * k + 3) for k in range(terms))


@pytest.mark.parametrize("bits", [24, 53, 64])
@pytest.mark.parametrize("x", [mp.mpf(-2) / 3, 2], ids=["-2/3", "2"])
def test_the_series_is_as_long_as_it_must_be(bits, x):
    """What is left out is below a tenth of the last bit of g and gs, where w is largest; two terms less is not."""
    with mp.workdps(60):
        q = x / (2 + x)
        smaller = min(x - mp.log(1 + x), mp.log(1 + x) - x / (1 + x))
        terms = special.series_terms(bits)
        left_out = [
            abs(2 * q) * mp.nsum(lambda k: q ** (2 * k + 2) / (2 * k + 3), [n, mp.inf]) for n in (terms, terms - 2)
        ]
        assert left_out[0] <= smaller * mp.mpf(2) ** -bits / 10 < left_out[1]


def test_a_sum_and_what_it_lost_are_the_exact_sum():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, 500)) * 10.0 ** rng.integers(-12, 12, size=(2, 500))).astype(WORK) / 3
    high, low = special.two_sum(a, b)
    assert (high == a + b).all()
    for numbers in zip(a, b, high, low, strict=True):
        x, y, whole, rest = (Fraction(*number.as_integer_ratio()) for number in numbers)
        assert whole + rest == x + y


@pytest.mark.parametrize("name", ["g", "gs"])
def test_the_kernels_keep_every_digit_of_the_working_precision(name):
    """On both sides of the two ends of the series, towards zero, and far away."""
    powers = WORK(2) ** np.arange(-60, 60)
    near = np.random.default_rng(0).integers(2**16, 2**20, 400) * WORK(2) ** -18  # between 1/4 and 4
    k = np.concatenate([powers, near, 1 + powers[:59], 1 - powers[:59]])
    x, zero = k - 1, 0 * k
    values = special.numpy_kernel(getattr(special, name))(x, k, k, zero)
    for argument, value in zip(x, values, strict=True):
        with ctx.workprec(400):
            e, got = (arb(fmpq(*number.as_integer_ratio())) for number in (argument, value))
            truth = e - (1 + e).log() if name == "g" else (1 + e).log() - e / (1 + e)
            # 2.6 was measured; the difference outside the series loses less than two bits.
            assert abs(got - truth) <= 4 * EPS * truth
