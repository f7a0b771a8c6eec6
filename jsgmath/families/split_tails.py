"""The coefficients of `Arithmetic.tail`, stored because computing them would make the import a third slower."""

from jsgmath import special

SPLIT_TAILS = {24: special.split_tail(6), 53: special.split_tail(13)}
"""The coefficients for each number of bits of the significand."""
