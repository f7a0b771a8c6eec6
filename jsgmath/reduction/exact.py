"""Converts single scales with 40 digits, for differences of numbers that were given in different forms."""

from decimal import MAX_EMAX, ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow


def context(digits: int, rounding: str = ROUND_HALF_EVEN, largest: int = MAX_EMAX) -> Context:
    """The settings of decimal arithmetic; `Context` takes missing ones from `decimal.DefaultContext`, a user's own."""
    return Context(digits, rounding, -largest, largest, True, False, [], [InvalidOperation, DivisionByZero, Overflow])


def of_float(x: float) -> Decimal:
    """The same number; ``Decimal(x)`` raises where the user traps `decimal.FloatOperation`."""
    return Decimal.from_float(x)  # noqa: FURB164


DIGITS = context(40, largest=999_999)


def variance(form: str, scale: float) -> Decimal:
    """The variance of a single scale, as a Decimal of 40 digits."""
    x = of_float(scale)
    if form == "logvar":
        return DIGITS.exp(x)
    return DIGITS.multiply(x, x) if form == "std" else x


def excess(v1: Decimal, v2: Decimal) -> Decimal:
    """``v1/v2 - 1``, with 40 digits."""
    return DIGITS.divide(DIGITS.subtract(v1, v2), v2)


def two_floats(x: Decimal) -> tuple[float, float]:
    """The float nearest to a Decimal, and the float nearest to the remainder."""
    high = float(x)
    return high, float(DIGITS.subtract(x, of_float(high)))
