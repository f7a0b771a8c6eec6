"""Converts single scales with 40 digits, for differences of numbers that were given in different forms."""

from decimal import Context, Decimal

DIGITS = Context(prec=40)


def variance(form: str, scale: float) -> Decimal:
    """The variance that belongs to a single scale, as a Decimal of 40 digits."""
    x = Decimal(scale)
    if form == "logvar":
        return DIGITS.exp(x)
    return DIGITS.multiply(x, x) if form == "std" else x


def excess(v1: Decimal, v2: Decimal) -> Decimal:
    """``v1/v2 - 1``, with 40 digits."""
    return DIGITS.divide(DIGITS.subtract(v1, v2), v2)


def two_floats(x: Decimal) -> tuple[float, float]:
    """The float nearest to a Decimal, and the float nearest to the remainder."""
    high = float(x)
    return high, float(DIGITS.subtract(x, Decimal(high)))
