"""Stirling's series for the logarithm of the gamma function, in exact numbers.

This file imports nothing of the package, because a build runs it before the package can be imported.
"""

from fractions import Fraction

SHIFT = 10
"""Numbers below it are shifted by it."""
TERMS = 24
"""The number of terms of Stirling's series after which the rest is below 2^-79 of the divergence, from `SHIFT` on."""


def bernoulli(count: int) -> list[Fraction]:
    """The Bernoulli numbers B_2, B_4, ... B_(2 count), by the numbers of zigzag permutations."""
    found: list[Fraction] = []
    row = [1]
    for n in range(1, 2 * count):
        following = [0]
        for x in reversed(row):
            following.append(following[-1] + x)
        row = following
        if n % 2:
            sign = 1 if n % 4 == 1 else -1
            found.append(Fraction(sign * (n + 1) * row[-1], 4 ** (n + 1) - 2 ** (n + 1)))
    return found


def coefficients(count: int) -> list[Fraction]:
    """The coefficients of ``1/x, 1/x^3, ...`` in Stirling's series for the logarithm of the gamma function."""
    return [b / (2 * n * (2 * n - 1)) for n, b in enumerate(bernoulli(count), start=1)]
