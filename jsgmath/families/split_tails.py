"""The coefficients of `Arithmetic.tail`; to compute them takes a third of the time that the package takes to import."""

from jsgmath import special

SPLIT_TAILS = {24: special.split_tail(6), 53: special.split_tail(13)}
"""By the number of bits of the significand."""
