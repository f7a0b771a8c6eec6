"""The divergences of gamma and Dirichlet distributions by their definition, in decimal numbers of the current precision.

Terms cancel here, so every result comes with the sum of the sizes of its terms: its error is at most `roundings` units
of that sum.  `nearest.py` raises the precision until that is little enough.
"""

import decimal
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from jsgmath.families.stirling import coefficients

HALF = Decimal("0.5")


class Sized(NamedTuple):
    """A number, and the sum of the sizes of the terms that it was added up from."""

    value: Decimal
    size: Decimal

    def __add__(self, other: "Sized") -> "Sized":  # type: ignore[override]
        return Sized(self.value + other.value, self.size + other.size)

    def times(self, factor: Decimal) -> "Sized":
        return Sized(factor * self.value, abs(factor) * self.size)


ZERO = Sized(Decimal(0), Decimal(0))


def roundings(digits: int) -> int:
    """The error of all that follows in units of ``10^(1-digits)`` of the size: README.md of verification, "Decimals"."""
    return 10 * digits + 100


@cache
def _stirling(digits: int) -> list[tuple[Decimal, Decimal]]:
    """``c_n`` and ``(2n - 1) c_n`` for as many n as `log_gamma_and_digamma` may use, correctly rounded."""
    exact = coefficients(digits // 2 + 10)
    context = decimal.Context(prec=digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
    rounded = [context.divide(Decimal(c.numerator), Decimal(c.denominator)) for c in exact]
    return [(c, context.multiply(c, 2 * n + 1)) for n, c in enumerate(rounded)]


class LogGamma(NamedTuple):
    """``log Gamma(x)`` without ``log(2 pi)/2``, and its derivative."""

    x: Decimal
    value: Sized
    slope: Sized


def log_gamma(x: Decimal) -> LogGamma:
    """By Stirling's series; x is shifted to at least the number of digits, from where half as many terms suffice."""
    digits = decimal.getcontext().prec
    product, derivative = Decimal(1), Decimal(0)
    steps = math.ceil(digits - x) if x < digits else 0
    for j in range(steps):
        product, derivative = product * (x + j), derivative * (x + j) + product
    far = x + steps
    log, inverse, log_product = far.ln(), 1 / far, product.ln()
    series, slope, power = Decimal(0), Decimal(0), inverse
    for c, c_slope in _stirling(digits):
        if abs(c_slope) * power < Decimal(10) ** -digits:
            break
        series, slope, power = series + c * power, slope + c_slope * power * inverse, power * inverse * inverse
    value = (far - HALF) * log - far + series - log_product
    inverses = derivative / product
    size = (far + 1) * abs(log) + far + abs(log_product) + 1
    return LogGamma(x, Sized(value, size), Sized(log - HALF * inverse - slope - inverses, abs(log) + 1 + inverses))


def bregman(x: LogGamma, y: LogGamma) -> Sized:
    """The Bregman divergence of the logarithm of the gamma function between y and x."""
    d = x.x - y.x
    value = y.value.value - x.value.value + d * x.slope.value
    return Sized(value, y.value.size + x.value.size + abs(d) * x.slope.size)


class Gamma:
    """A gamma distribution by its shape and its rate."""

    def __init__(self, shape: Decimal, rate: Decimal):
        self.shape, self.rate, self.log_rate = log_gamma(shape), rate, rate.ln()

    def mixed(self, own: Decimal, other: "Gamma", weight: Decimal) -> "Gamma":
        shape = own * self.shape.x + weight * other.shape.x
        return Gamma(shape, own * self.rate + weight * other.rate)

    def kl(self, other: "Gamma") -> Sized:
        a, b = self.shape.x, other.shape.x
        value = b * (self.log_rate - other.log_rate) + a * (other.rate - self.rate) / self.rate
        size = b * (abs(self.log_rate) + abs(other.log_rate)) + a * (other.rate + self.rate) / self.rate
        return bregman(self.shape, other.shape) + Sized(value, size)


class Dirichlet:
    """A Dirichlet distribution by its concentration."""

    def __init__(self, concentration: Sequence[Decimal]):
        self.components = [log_gamma(x) for x in concentration]
        self.total = log_gamma(sum(concentration, Decimal(0)))

    def mixed(self, own: Decimal, other: "Dirichlet", weight: Decimal) -> "Dirichlet":
        pairs = zip(self.components, other.components, strict=True)
        return Dirichlet([own * x.x + weight * y.x for x, y in pairs])

    def kl(self, other: "Dirichlet") -> Sized:
        found = bregman(self.total, other.total).times(Decimal(-1))
        for x, y in zip(self.components, other.components, strict=True):
            found += bregman(x, y)
        return found
