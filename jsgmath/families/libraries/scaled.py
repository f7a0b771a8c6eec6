"""Numbers whose exponent is not limited, for formulas whose intermediate results would leave the range of floats."""

import math
from typing import Any

Array = Any  # an array of torch or JAX, or a float
NOTHING = -(2.0**60)
"""The exponent of 0: so small that it never decides the exponent of a sum."""


class Scaled:
    """``value 2**exponent``, in arrays or plain numbers.  Differences are normalised, so that products of a few values
    stay within the range; only `array` may overflow or underflow."""

    def __init__(self, arithmetic: Any, value: Array, exponent: Any):
        self.arithmetic, self.value, self.exponent = arithmetic, value, exponent
        self.plain: Array | None = None

    @classmethod
    def of(cls, arithmetic: Any, x: Any, exponent: Any = 0) -> "Scaled":
        """``x 2**exponent`` for an array or a number x."""
        if isinstance(x, Scaled):
            return x
        if isinstance(x, int | float):
            value, own = math.frexp(x)
            return cls(arithmetic, value, own + exponent if x else NOTHING)
        value, own = arithmetic.normalised(x)
        zero = arithmetic.constant(x) == 0
        return cls(arithmetic, value, arithmetic.where(zero, NOTHING, own + exponent))

    def array(self) -> Array:
        """The nearest float."""
        if self.plain is None:
            self.plain = self.arithmetic.scaled(self.value, self.exponent)
        return self.plain

    def not_far(self) -> Array:
        """The nearest float if it is near 1; otherwise any number that is far from 1 on the same side."""
        return self.arithmetic.moved(self.value, self.exponent)

    def normalised(self) -> "Scaled":
        """Returns the same number with a value of size 1/2 to 2."""
        return Scaled.of(self.arithmetic, self.value, self.exponent)

    @property
    def nothing(self) -> bool:
        """Whether this is the plain number 0, whose addition needs no operation."""
        return isinstance(self.value, float) and self.value == 0.0

    def __mul__(self, other: Any) -> "Scaled":
        other = Scaled.of(self.arithmetic, other)
        return Scaled(self.arithmetic, self.value * other.value, self.exponent + other.exponent)

    def __truediv__(self, other: Any) -> "Scaled":
        other = Scaled.of(self.arithmetic, other)
        return Scaled(self.arithmetic, self.value / other.value, self.exponent - other.exponent)

    def __rtruediv__(self, other: Any) -> "Scaled":
        return Scaled.of(self.arithmetic, other) / self

    def __neg__(self) -> "Scaled":
        return Scaled(self.arithmetic, -self.value, self.exponent)

    def __add__(self, other: Any) -> "Scaled":
        other = Scaled.of(self.arithmetic, other)
        if self.nothing or other.nothing:
            return other if self.nothing else self
        value, top = self.aligned(other)
        return Scaled(self.arithmetic, value, self.arithmetic.exponent_unless_zero(value, top))

    def aligned(self, other: "Scaled") -> tuple[Array, Any]:
        """The sum, as a value and an exponent."""
        m, x, y = self.arithmetic, self.value, other.value
        if type(x) is not type(y):  # one is a plain number, and the result has the type of the array
            x, y = (0 * y + x, y) if isinstance(x, float) else (x, 0 * x + y)
        top = m.choice(self.exponent > other.exponent, self.exponent, other.exponent)
        return m.lowered(x, self.exponent - top) + m.lowered(y, other.exponent - top), top

    def __sub__(self, other: Any) -> "Scaled":
        return (self + -Scaled.of(self.arithmetic, other)).normalised()

    def __rsub__(self, other: Any) -> "Scaled":
        return Scaled.of(self.arithmetic, other) - self

    __rmul__, __radd__ = __mul__, __add__

    def where(self, condition: Array, other: "Scaled") -> "Scaled":
        """Returns self where the condition is true, otherwise ``other``."""
        m = self.arithmetic
        return Scaled(m, m.where(condition, self.value, other.value), m.where(condition, self.exponent, other.exponent))

    def sum(self) -> "Scaled":
        """The sum over the last axis."""
        m = self.arithmetic
        top = m.largest_exponent(self.exponent)
        return Scaled.of(m, m.lowered(self.value, self.exponent - top).sum(-1), top[..., 0])

    def log(self) -> Array:
        """The logarithm, as an array."""
        return self.arithmetic.log(self.value) + (0 * self.value + self.exponent) * math.log(2)
