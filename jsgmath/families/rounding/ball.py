"""Decimal numbers with a bound on their error."""

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import reduce
from operator import add

from jsgmath.reduction.exact import context

# Errors are rounded upward.
UPWARD = context(6, decimal.ROUND_UP)
# Exponentials of numbers below this are as good as 0.
LOWEST = Decimal(-(10**17))
ZERO, TWO = Decimal(0), Decimal(2)


class TooWide(ArithmeticError):
    """A ball contains a number for which there is no result; more digits make it narrower."""


class Ball:
    """A number within ``error`` of ``value``; operations round in the current precision."""

    def __init__(self, value: Decimal, error: Decimal = ZERO):
        self.value, self.error = value, error

    def __add__(self, other: "Ball") -> "Ball":
        return made(self.value + other.value, self.error, other.error)

    def __neg__(self) -> "Ball":
        return Ball(self.value.copy_negate(), self.error)

    def __sub__(self, other: "Ball") -> "Ball":
        return self + -other

    def __mul__(self, other: "Ball") -> "Ball":
        of_first = UPWARD.multiply(self.error, UPWARD.add(abs(other.value), other.error))
        return made(self.value * other.value, of_first, UPWARD.multiply(abs(self.value), other.error))

    def __truediv__(self, other: "Ball") -> "Ball":
        least = other.least()
        quotient = self.value / other.value
        above = UPWARD.add(self.error, UPWARD.multiply(abs(quotient), other.error))
        return made(quotient, UPWARD.divide(above, least))

    def least(self) -> Decimal:
        """A lower bound on the sizes of the numbers in the ball."""
        least = (abs(self.value) - self.error).next_minus()
        if least <= 0:
            raise TooWide
        return least

    def ln(self) -> "Ball":
        least = self.least()
        return made(self.value.ln(), UPWARD.divide(self.error, least))

    def exp(self) -> "Ball":
        if self.error > 1:
            raise TooWide
        value = max(self.value, LOWEST).exp()
        if self.value < LOWEST:
            return Ball(ZERO, UPWARD.multiply(value, Decimal(3)))
        return made(value, UPWARD.multiply(UPWARD.multiply(value, self.error), TWO))

    def expm1(self) -> "Ball":
        """``exp(x) - 1`` with its leading digits, however near x is to 0."""
        if abs(self.value) > 1:
            return self.exp() - ball(1)
        return self.near_zero(lambda x: x.exp() - 1, Decimal(3))

    def log1p(self) -> "Ball":
        """``log(1 + x)`` with its leading digits, however near x is to 0."""
        if abs(self.value) > 0.5:
            return (ball(1) + self).ln()
        return self.near_zero(lambda x: (1 + x).ln(), Decimal(3))

    def near_zero(self, function: Callable[[Decimal], Decimal], slope: Decimal) -> "Ball":
        """A function ``x + c x^2 + ...`` with ``|c| <= 1``, computed with extra digits for those that cancel."""
        if self.error > 0.1:
            raise TooWide
        x, digits = self.value, decimal.getcontext().prec
        inherited = UPWARD.multiply(self.error, slope)
        if x == 0:
            return Ball(ZERO, inherited)
        if x.adjusted() < -digits:
            return made(x, inherited, UPWARD.multiply(x, x))
        with decimal.localcontext() as context:
            context.prec = digits + 3 - x.adjusted()
            value = function(x)
        return made(+value, inherited)


def made(value: Decimal, *errors: Decimal) -> Ball:
    """A value that was rounded to a unit of its last place, with the errors that come from its operands."""
    unit = UPWARD.multiply(abs(value), Decimal((0, (1,), 1 - decimal.getcontext().prec)))
    return Ball(value, reduce(UPWARD.add, errors, unit))


def ball(x: float | Decimal) -> Ball:
    """A ball of radius 0."""
    return Ball(Decimal(x))


def total(terms: Sequence[Ball]) -> Ball:
    return reduce(add, terms)
