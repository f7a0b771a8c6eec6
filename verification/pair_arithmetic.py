"""Bounds on the rounding errors of pairs of doubles (`jsgmath/native/pair.hpp`), by running a formula's text on them.

A `Paired` is the result of a computation: a ball of Arb around its exact value, a bound on its error, and a bound on
the low part of the pair.  Every operation propagates them and adds its own rounding, as README.md, "Pairs of doubles",
derives.  Bisection (`rounding.prove`) proves a bound on a whole interval.
"""

from dataclasses import dataclass, field

from flint import arb

U = arb(2) ** -53  # the unit roundoff of a double
ZERO, ONE = arb(0), arb(1)


@dataclass(frozen=True)
class Paired:
    """``x**order * value`` for the ball ``x`` of a free variable; ``error`` and ``low`` multiply ``|x|**order``."""

    value: arb
    error: arb = ZERO
    low: arb = ZERO
    order: int = 0
    x: arb = ONE
    quotients: dict = field(default_factory=dict)

    def lowered(self, order):
        """Value, error and low part as multiples of a lower power of x."""
        power = self.x ** (self.order - order)
        size = power.abs_upper()
        return self.value * power, self.error * size, self.low * size

    @property
    def largest(self):
        """An upper bound of the high part's size."""
        return self.value.abs_upper() + self.error + self.low

    def __add__(self, other):
        other = self._number(other)
        for a, b in ((self, other), (other, self)):
            if a.value == 0 and a.error == 0:  # adding nothing is exact
                return b
        order = min(self.order, other.order)
        (a, a_error, a_low), (b, b_error, b_low) = self.lowered(order), other.lowered(order)
        error, lows = a_error + b_error, a_low + b_low
        low = (U * ((a + b).abs_upper() + error + lows) + lows) * (1 + 3 * U)
        return self._paired(a + b, error + U * (lows + low), low, order)

    def __mul__(self, other):
        other = self._number(other)
        a, b = self.value.abs_upper(), other.value.abs_upper()
        low = (self.low * other.largest + other.low * self.largest + U * self.largest * other.largest) * (1 + 4 * U)
        error = a * other.error + b * self.error + self.error * other.error + self.low * other.low + 4 * U * low
        return self._paired(self.value * other.value, error, low, self.order + other.order)

    def __truediv__(self, other):
        other = self._number(other)
        quotient = self.value / other.value
        smallest = other.value.abs_lower() - other.error - other.low  # lower bound of the divisor's high part
        rest = 3 * U * self.largest + self.low + other.low * self.largest / smallest * (1 + 3 * U)
        own = rest / smallest * (6 * U + 2 * other.low / smallest)
        inherited = (self.error + quotient.abs_upper() * other.error) / (other.value.abs_lower() - other.error)
        return self._paired(quotient, inherited + own, rest / smallest * (1 + 6 * U), self.order - other.order)

    def __neg__(self):
        return Paired(-self.value, self.error, self.low, self.order, self.x)

    def __sub__(self, other):
        if other is self:  # the same two doubles
            return self._number(0.0)
        return self + -self._number(other)

    def __gt__(self, other):
        """Whether it is certainly larger; for choices that do not matter where the numbers are equal."""
        return bool(self.value > self._number(other).value)

    def _number(self, other):
        return other if isinstance(other, Paired) else Paired(arb(other), x=self.x)

    def _paired(self, value, error, low, order):
        return Paired(value, error.upper(), low.upper(), order, self.x)

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other):
        if other not in self.quotients:  # a second division gives the same two doubles
            self.quotients[other] = self._number(other) / self
        return self.quotients[other]
