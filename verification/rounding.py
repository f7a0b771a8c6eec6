"""Bounds on the rounding error of a formula, from a run of its own text; and a proof of such bounds by bisection.

A `Rounded` is the result of a floating-point computation: a ball of Arb around its exact value, and a bound on its
rounding error.  Every operation propagates the errors of its operands, including products of errors, and adds its own.
If the ball covers an interval, the bound holds on all of it; `prove` bisects the interval until the bound is small
enough.
"""

from dataclasses import dataclass

from flint import arb

# The unit roundoff: the relative error of one operation is at most U.  Errors are counted in units of U, so that U
# matters only in products of errors, and a bound that is proved for 2^-24 (float32) holds for every smaller U.
U = arb(2) ** -24
# The assumed relative errors of the functions, in U; one unit in the last place is at most 2 U.
SQRT, LOG, EXP, EXPM1 = 1, 2, 2, 4
ZERO, ONE = arb(0), arb(1)


@dataclass(frozen=True)
class Rounded:
    """``x**order * value`` for the ball ``x`` of a free variable, wrong by at most ``|x|**order * error * U``.

    With the order, a quotient of two numbers that vanish at ``x = 0`` can be bounded on a ball around 0.
    """

    value: arb
    error: arb = ZERO
    order: int = 0
    x: arb = ONE

    def lowered(self, order):
        """Value and error as factors of a lower power of x."""
        return self.value * self.x ** (self.order - order), self.error * self.x.abs_upper() ** (self.order - order)

    def rounded(self, value, error, order, units=1):
        """A result with the inherited ``error`` plus its own rounding of ``units`` relative errors U."""
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

    # A comparison with a number gives 3 if it is certainly true, 1 if it may be true, 0 if false; so `&` means "and".
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
    """The number that is computed; if rounding or the width of the ball does not decide which, one that covers both."""
    if condition in (0, 3):
        return a if condition else b
    (value, error), (other_value, other_error) = a.lowered(0), b.lowered(0)
    return Rounded(value.union(other_value), error.max(other_error), x=a.x)


def prove(bound, function, low, high, narrowest=2.0**-40):
    """Proves ``function(x) <= bound`` for all x between ``low`` and ``high``; returns the number of intervals used.

    ``function`` takes a ball and returns a ball that contains its values there, or NaN if it cannot tell.
    """
    intervals, count = [(arb(low), arb(high))], 0
    while intervals:
        low, high = intervals.pop()
        count += 1
        if not function(low.union(high)) <= bound:
            middle = ((low + high) / 2).mid()
            if not high - low > narrowest:
                raise AssertionError(f"the value near {float(middle)} is {function(middle)}, not below {bound}")
            intervals += [(low, middle), (middle, high)]
    return count
