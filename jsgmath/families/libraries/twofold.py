"""The exponential in twice the precision of an array's type, where a result of single precision would cancel."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jsgmath.families.libraries.scaled import Scaled
from jsgmath.special import two_sum

Array = Any  # an array of torch or JAX
Twofold = tuple[Array, Array]  # a number and its rounding error

LOG2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068000949339362196969")
HALVINGS = 6
TERMS = 13
"""``x^TERMS/TERMS!`` is below 2^-108 for ``|x|`` up to ``log(2)/2^(HALVINGS+1)``, relative to x."""


def shortened(x: Fraction, bits: int) -> float:
    """The float of at most ``bits`` bits next to x towards 0."""
    places = bits - math.frexp(float(x))[1]
    return math.ldexp(math.floor(math.ldexp(1.0, places) * x), -places)


def log2_parts(bits: int) -> tuple[float, float, float]:
    """Numbers whose sum is log 2; products of the first two with an exponent up to 2^11 (2^8 in 24 bits) are exact."""
    short = bits - (11 if bits > 24 else 8)
    first = shortened(LOG2, short)
    second = shortened(LOG2 - Fraction(first), short)
    return first, second, shortened(LOG2 - Fraction(first) - Fraction(second), bits)


def exp_of(m: Any, high: Array, low: Array) -> tuple[Scaled, Scaled]:
    """``exp(high + low)``, where the exponential of half of ``high`` is within the range; ``m`` is an `Arithmetic`.

    The result is two numbers whose exponent is not limited.
    """
    bits = m.bits(high)

    def times(x: Any, y: Any) -> Any:
        product, lost = m.product(x[0], y[0])
        return quick_sum(product, lost + (x[0] * y[1] + x[1] * y[0]))

    def plus(x: Any, y: Any) -> Any:
        total, lost = sum_with(m, y, x[0])
        return quick_sum(total, lost + x[1])

    n = m.xp.round(m.constant(high) / math.log(2))
    first, second, third = log2_parts(bits)
    rest, lost = two_sum(high - n * first, -(n * second))
    x, rest = quick_sum(rest, lost + (low - n * third))
    x = x * 2.0**-HALVINGS, rest * 2.0**-HALVINGS

    def term(numbers: Twofold, part: Any, rest: Any) -> Twofold:
        return plus(times(times(numbers, x), (part + 0 * x[0], rest)), 1.0)

    def doubled(y: Any, two: Any) -> Twofold:
        return times(y, plus(y, two))

    # exp(x) - 1 = x (1 + x/2 (1 + x/3 (1 + ...))), and the exponential of 2 x less 1 is y (y + 2)
    fractions = [Fraction(1, k) for k in range(TERMS, 1, -1)]
    parts = [shortened(f, bits) for f in fractions]
    rests = [shortened(f - Fraction(part), bits) for f, part in zip(fractions, parts, strict=True)]
    y = times(m.steps(term, (1 + 0 * x[0], 0 * x[0]), parts, rests), x)
    y = m.steps(doubled, y, [2.0] * HALVINGS)
    high, low = plus(y, 1.0)
    return Scaled.of(m, high, n), Scaled.of(m, low, n)


def log_beyond(m: Any, w: Sequence[Any], top: Sequence[Any], high: Array, low: Array) -> Array:
    """``log(w/top) - (high + low)``, accurate even if nearly all of it cancels.

    ``w`` and ``top`` are positive numbers, each with its rounding error.
    """
    beyond = m.log_of_number((w[0] - top[0]) / top[0], w[0] / top[0]) - high
    near, _ = m.near(beyond)
    e, rest = exp_of(m, m.where(near, high, 0.0), m.where(near, low, 0.0))
    scaled, lost = m.exact(top[0], e)
    difference = (w[0] + -scaled) + (w[1] - lost - top[0] * rest - top[1] * e)
    return m.where(near, m.log_of_number(difference / scaled, w[0] / scaled), beyond)


def sum_with(m: Any, constant: Any, x: Array) -> Twofold:
    """`two_sum` with a constant; a compiler would subtract it from itself."""
    return two_sum(m.unknown(constant + 0 * x), x)


def quick_sum(x: Array, y: Array) -> Twofold:
    """The sum, and its rounding error for ``|x| >= |y|``."""
    total = x + y
    return total, y - (total - x)
