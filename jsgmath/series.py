"""The coefficients of the series that torch, Triton and JAX compute, by the number of bits of the significand.

They are imported when they are first needed, because to compute them takes longer than to import the package.
"""

from jsgmath import special

TAIL = {24: special.split_tail(6), 53: special.split_tail(13)}
EXPM1 = {24: special.expm1_ratio(6), 53: special.expm1_ratio(11)}
