"""Gamma and Dirichlet distributions by their definition, in decimal numbers, for `nearest.py`."""

import decimal
import math
from decimal import Decimal
from fractions import Fraction
from functools import cache

from jsgmath.families.rounding import nearest
from jsgmath.families.rounding.ball import UPWARD, Ball, TooWide, ball, total
from jsgmath.families.rounding.nearest import Member, Numbers, Regular
from jsgmath.families.stirling import coefficients

HALF = Decimal("0.5")


@cache
def _stirling(digits: int) -> list[tuple[Decimal, Decimal]]:
    """``c_n`` and ``(2n - 1) c_n`` of Stirling's series, for all n that `log_gamma` may need for so many digits."""
    exact = enumerate(coefficients(digits // 2 + 10))
    return [(_rounded(c), _rounded((2 * n + 1) * c)) for n, c in exact]


def _rounded(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def log_gamma(x: Ball) -> tuple[Ball, Ball]:
    """``log Gamma(x)`` without ``log(2 pi)/2``, and its derivative.

    They come from Stirling's series.  x is shifted to at least the number of digits; then half as many terms suffice.
    verification/README.md derives the error.
    """
    if 2 * x.error > x.value:
        raise TooWide
    digits = decimal.getcontext().prec
    product, derivative, steps = Decimal(1), Decimal(0), 0
    if x.value < digits:
        steps = math.ceil(digits - x.value)
        for j in range(steps):
            factor = x.value + j
            product, derivative = product * factor, derivative * factor + product
    far = x.value + steps
    log, inverse, log_product, inverses = far.ln(), 1 / far, product.ln(), derivative / product
    value, slope, power = (far - HALF) * log - far - log_product, log - HALF * inverse - inverses, inverse
    for c, c_slope in _stirling(digits):
        if abs(c_slope) * power < Decimal((0, (1,), -digits)):
            break
        value, slope, power = value + c * power, slope - c_slope * power * inverse, power * inverse * inverse
    else:
        raise AssertionError("Stirling's series needs more terms")
    size, slope_size = far * (abs(log) + 1) + abs(log) + abs(log_product) + 1, abs(log) + 1 + inverses
    unit = Decimal((0, (1,), 1 - digits)) * (3 * steps + 40)
    # For the numbers of the ball, which are at least x/2, the derivative is below |log x| + 1 + 3/x, and the second
    # derivative below 2/x + 4/x^2.
    least = 1 / x.value
    own = UPWARD.multiply(x.error, abs(x.value.ln()) + 2 + 4 * least)
    own_slope = UPWARD.multiply(x.error, 3 * least + 5 * least * least)
    return Ball(value, UPWARD.add(own, unit * size)), Ball(slope, UPWARD.add(own_slope, unit * slope_size))


class Gammas(Regular):
    """A shape a and a rate b: ``theta = a, -b``, ``F = log Gamma(a) - a log b``, ``eta = psi(a) - log b, a/b``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y if form1 == form2 else x[0] == y[0] and Fraction(x[1]) * Fraction(y[1]) == 1

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        return self.member(form1, *x), self.member(form2, *y)

    def member(self, form: int, a: float, b: float) -> Member:
        return self.of([ball(a), -ball(b) if form == 0 else -(ball(1) / ball(b))])

    def of(self, theta: list[Ball]) -> Member:
        a, b = theta[0], -theta[1]
        (value, slope), log = log_gamma(a), b.ln()
        return Member(theta, value - a * log, [slope - log, a / b])


class Dirichlets(Regular):
    """The concentration a, with total A: ``theta = a``, ``F = sum log Gamma(a_i) - log Gamma(A)``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        first, second = (self.of([ball(a) for a in z]) for z in (x, y))
        return first, second

    def of(self, theta: list[Ball]) -> Member:
        value, slope = log_gamma(total(theta))
        values, slopes = zip(*map(log_gamma, theta), strict=True)
        return Member(theta, total(values) - value, [x - slope for x in slopes])


DEFINITIONS = nearest.DEFINITIONS | {"gamma": Gammas(), "dirichlet": Dirichlets()}
