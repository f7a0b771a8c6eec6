"""The float nearest to a divergence of exponential families, by the definition on decimal numbers of rising precision.

This is the last and slowest path.  It takes the values that faster arithmetic cannot round with certainty, and the
parameters beyond the range of that arithmetic.  With the natural parameters theta, the log-normaliser F and the
expectations eta, its derivative, ``KL(N1||N2) = F(theta2) - F(theta1) - eta1 (theta2 - theta1)`` [2].  Every number is a
`Ball`: decimal numbers have no range, and what cancels widens the ball.  Precision rises until the ball around the
divergence rounds to a single float.

[2] Nielsen 2019, https://arxiv.org/abs/1904.04017
"""

import decimal
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any, NamedTuple

from jsgmath import formula
from jsgmath.nearest import rounded

DIGITS = (48, 110, 400, 1600)
# Of log-odds below this, the exponential is as good as 0; where both are, only their difference counts.
LOWEST = Decimal(-(10**6))
UPWARD = Context(prec=6, rounding=decimal.ROUND_UP, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
ZERO, ONE, INFINITE = Decimal(0), Decimal(1), float("inf")

Numbers = tuple[float, ...]


class TooWide(ArithmeticError):
    """A ball contains a number for which there is no result; more digits make it narrower."""


class Ball:
    """A number within ``error`` of ``value``; operations round in the current precision."""

    def __init__(self, value: Decimal, error: Decimal = ZERO):
        self.value, self.error = value, error

    def rounded(self, value: Decimal, *errors: Decimal) -> "Ball":
        """A result that has been rounded, for operands that have brought errors."""
        half_unit = UPWARD.multiply(abs(value), Decimal((0, (1,), 1 - decimal.getcontext().prec)))
        return Ball(value, reduce(UPWARD.add, errors, half_unit))

    def __add__(self, other: "Ball") -> "Ball":
        return self.rounded(self.value + other.value, self.error, other.error)

    def __neg__(self) -> "Ball":
        return Ball(self.value.copy_negate(), self.error)

    def __sub__(self, other: "Ball") -> "Ball":
        return self + -other

    def __mul__(self, other: "Ball") -> "Ball":
        first = UPWARD.multiply(self.error, UPWARD.add(abs(other.value), other.error))
        return self.rounded(self.value * other.value, first, UPWARD.multiply(abs(self.value), other.error))

    def __truediv__(self, other: "Ball") -> "Ball":
        quotient, least = self.value / other.value if other.value else ZERO, other.least()
        above = UPWARD.add(self.error, UPWARD.multiply(abs(quotient), other.error))
        return self.rounded(quotient, UPWARD.divide(above, least))

    def least(self) -> Decimal:
        """A number that none in the ball is below in size."""
        least = abs(self.value) - self.error
        if least <= 0:
            raise TooWide
        return least.next_minus()

    def ln(self) -> "Ball":
        return self.rounded(self.value.ln(), UPWARD.divide(self.error, self.least()))

    def exp(self) -> "Ball":
        if self.error > 1:
            raise TooWide
        value = self.value.exp()
        return self.rounded(value, UPWARD.multiply(UPWARD.multiply(value, self.error), Decimal(2)))


def ball(x: float | Decimal) -> Ball:
    """An exact number, but that an operation on it rounds."""
    return Ball(Decimal(x))


def total(terms: Sequence[Ball]) -> Ball:
    return reduce(add, terms)


class Member(NamedTuple):
    """Natural parameters, log-normaliser and expectations."""

    theta: list[Ball]
    F: Ball
    eta: list[Ball]


class Definition(ABC):
    """An exponential family.  ``form`` is 0 for rates and probabilities, and 1 for scales and log-odds."""

    @abstractmethod
    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        """Whether two members are the same, exactly."""

    @abstractmethod
    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[list[Ball], list[Ball]]:
        """The natural parameters of two members; what both have in common beyond all range may be left out."""

    @abstractmethod
    def of(self, theta: list[Ball]) -> Member:
        """The member with these natural parameters."""

    def limit(self, case: "Case", form1: int, x: Numbers, form2: int, y: Numbers) -> Any:
        """The divergence where a natural parameter is infinite: a float, or a ball; None where all are finite."""
        return None


class Case(NamedTuple):
    """Which divergence: weights of the KL divergences, and of the members in the mean."""

    w1: Decimal
    w2: Decimal
    g1: Decimal
    g2: Decimal
    dual: bool


def case_of(alpha: Decimal, reverse: bool, dual: bool) -> Case:
    w1, w2 = EXACT.subtract(ONE, alpha), alpha
    g1, g2, _ = formula.mean_weights(w1, w2, reverse)
    return Case(w1, w2, g1, g2, dual)


# ``1 - alpha`` is exact in this one.
EXACT = Context(prec=1200, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


def divergence(definition: Definition, case: Case, forms: tuple[int, int], x: Numbers, y: Numbers) -> Any:
    """A ball around the divergence of two members, or a float if it is exactly 0 or infinite."""
    w1, w2, g1, g2 = case[:4]
    if definition.equal(forms[0], x, forms[1], y) or (w1, w2) == (g1, g2) and (w1 == 0 or w2 == 0):
        return 0.0
    found = definition.limit(case, forms[0], x, forms[1], y)
    if found is not None:
        return found
    theta1, theta2 = definition.members(forms[0], x, forms[1], y)
    theta = [ball(g1) * s + ball(g2) * t for s, t in zip(theta1, theta2, strict=True)]
    G = definition.of(theta1 if g2 == 0 else theta2 if g1 == 0 else theta)
    found = []
    for w, own, other, g in ((w1, theta1, theta2, g2), (w2, theta2, theta1, g1)):
        if w and g:
            N = definition.of(own)
            F, eta = (N.F - G.F, G.eta) if case.dual else (G.F - N.F, N.eta)
            along = total([e * (t - s) for e, s, t in zip(eta, own, other, strict=True)]) * ball(g)
            found.append(ball(w) * (F + along if case.dual else F - along))
    return total(found)


class Component(NamedTuple):
    """Parameters of both members, and a factor of their divergence."""

    x: Numbers
    y: Numbers
    copies: float


def nearest(
    definition: Definition,
    cases: Sequence[tuple[float, bool, bool]],
    forms: tuple[int, int],
    components: Sequence[Component],
    single: bool,
) -> float:
    """The float64 nearest to the sum of some divergences, or of those that are a float32; of two, the even one.

    Args:
        cases: alpha, whether the mean is reversed, and whether the divergence is the dual, of each divergence.
        components: independent components, over which the divergences are summed.

    Raises:
        ArithmeticError: 1600 digits do not suffice.
    """
    lower = upper = math.nan
    for digits in DIGITS:
        with decimal.localcontext(Context(prec=digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)):
            try:
                value = _sum(definition, [case_of(Decimal(a), r, d) for a, r, d in cases], forms, components)
            except TooWide:
                continue
            if isinstance(value, float):
                return value
            error = UPWARD.multiply(value.error, Decimal(2))  # this sum and this difference are rounded, too
            lower, upper = (rounded(max(x, ZERO), single) for x in (value.value - error, value.value + error))
        if lower == upper:
            return lower
    if math.isnan(lower):
        raise ArithmeticError(f"{DIGITS[-1]} digits do not suffice for the divergence; change a parameter by a rounding")
    # The truth is a tie, or as near to one as 1600 digits tell.
    return rounded((Fraction(lower) + Fraction(upper)) / 2, single)


def _sum(
    definition: Definition, cases: Sequence[Case], forms: tuple[int, int], components: Sequence[Component]
) -> Ball | float:
    found = [
        (value, N.copies)
        for N in components
        if N.copies
        for value in (divergence(definition, case, forms, N.x, N.y) for case in cases)
    ]
    if any(value == INFINITE for value, _ in found if isinstance(value, float)):
        return INFINITE
    balls = [value * ball(copies) for value, copies in found if isinstance(value, Ball)]
    return total(balls) if balls else 0.0


class Exponentials(Definition):
    """The rate or scale b: ``theta = -b``, ``F = -log b``, ``eta = 1/b``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y if form1 == form2 else Fraction(x[0]) * Fraction(y[0]) == 1

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[list[Ball], list[Ball]]:
        return [self.theta(form1, *x)], [self.theta(form2, *y)]

    def theta(self, form: int, b: float) -> Ball:
        return -ball(b) if form == 0 else -(ball(1) / ball(b))

    def of(self, theta: list[Ball]) -> Member:
        rate = -theta[0]
        return Member(theta, -rate.ln(), [ball(1) / rate])


DEFINITIONS: dict[str, Definition] = {"exponential": Exponentials()}
