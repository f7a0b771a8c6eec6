"""Bounds on what rounding does to a formula, by running the formula's own text on them; and a proof by bisection.

A `Rounded` is the result of a floating-point computation: a ball of Arb around its exact value, and a bound on how far
rounding took it off.  Every operation propagates the errors of its operands, second order included, and adds its own.
With a ball that covers an interval the bound holds on all of it, and `prove` bisects until it is as good as claimed.
"""

from dataclasses import dataclass

from flint import arb

# The unit roundoff: one operation errs by at most U relatively.  Errors are counted in it, so that it enters only
# through products of errors, and what is proved for 2^-24 (float32) holds for every finer arithmetic.
U = arb(2) ** -24
# Relative errors assumed of the functions, in U: one unit in the last place is at most 2 U.
SQRT, LOG, EXP, EXPM1 = 1, 2, 2, 4
ZERO, ONE = arb(0), arb(1)


@dataclass(frozen=True)
class Rounded:
    """``x**order * value`` for the ball ``x`` of a free variable, off by at most ``|x|**order * error * U``.

    The order lets a quotient of two numbers that vanish at ``x = 0`` be bounded on a ball around it.
    """

    value: arb
    error: arb = ZERO
    order: int = 0
    x: arb = ONE

    def lowered(self, order):
        """Value and error as multiples of a lower power of x."""
        return self.value * self.x ** (self.order - order), self.error * self.x.abs_upper() ** (self.order - order)

    def rounded(self, value, error, order, units=1):
        """A result of which ``error`` is inherited, and its own rounding, or that of a function, is still to come."""
        return Rounded(value, (error + units * (value.abs_upper() + U * error)).upper(), order, self.x)

    def __add__(self, other):
        other = self._number(other)
        for a, b in ((self, other), (other, self)):
            if a.value == 0 and a.error == 0:  # adding nothing is exact
                return b
        order = min(self.order, other.order)
        (a, error), (b, other_error) = self.lowered(order), other.lowered(order)
        return self.rounded(a + b, error + other_error, order)

    def __mul__(self, other):
        if isinstance(other, int) and other == 2:  # exact
            return Rounded(2 * self.value, 2 * self.error, self.order, self.x)
        other = self._number(other)
        a, b = self.value.abs_upper(), other.value.abs_upper()
        error = a * other.error + b * self.error + U * self.error * other.error
        return self.rounded(self.value * other.value, error, self.order + other.order)

    def __truediv__(self, other):
        if isinstance(other, int) and other == 2:
            return Rounded(self.value / 2, self.error / 2, self.order, self.x)
        other = self._number(other)
        quotient = self.value / other.value
        error = (self.error + quotient.abs_upper() * other.error) / (other.value.abs_lower() - U * other.error)
        return self.rounded(quotient, error, self.order - other.order)

    def __neg__(self):
        return Rounded(-self.value, self.error, self.order, self.x)

    def __sub__(self, other):
        return self + -self._number(other)

    def log(self):
        value, error = self.lowered(0)
        return self.rounded(value.log(), error / (value.abs_lower() - U * error), 0, LOG)

    # What a comparison with a number may give: 3 for certainly true, 1 for possibly, 0 for false; `&` is "and".
    def __gt__(self, other):
        computed = self._computed()
        return 3 * (computed > other) | (not computed <= other)

    def __lt__(self, other):
        return -self > -other

    def _computed(self):
        value, error = self.lowered(0)
        return value + (U * error) * arb(0, 1)

    def _number(self, other):
        return other if isinstance(other, Rounded) else Rounded(arb(other), x=self.x)

    __radd__, __rmul__ = __add__, __mul__


def where(condition, a, b):
    """The one that is computed; where rounding or the ball's width leave that open, whatever both have in common."""
    if condition in (0, 3):
        return a if condition else b
    (value, error), (other_value, other_error) = a.lowered(0), b.lowered(0)
    return Rounded(value.union(other_value), error.max(other_error), x=a.x)


def prove(bound, function, low, high, narrowest=2.0**-40):
    """Prove ``function(x) <= bound`` for all x between ``low`` and ``high``; the number of intervals it took.

    ``function`` takes a ball and returns one that contains its values there, or NaN where it cannot tell.
    """
    intervals, count = [(arb(low), arb(high))], 0
    while intervals:
        low, high = intervals.pop()
        count += 1
        if not function(low.union(high)) <= bound:
            middle = ((low + high) / 2).mid()
            if not high - low > narrowest:
                raise AssertionError(f"not below {bound} near {float(middle)}, but {function(middle)}")
            intervals += [(low, middle), (middle, high)]
    return count
