r"""``g(x) = x - log(1+x)`` and ``gs(x) = log(1+x) - x/(1+x)`` to the last digits, for any kind of number.

Near zero both are differences of nearly equal numbers.  With ``q = x/(2+x)`` and ``w = q^2``, the series
``log(1+x) = 2 artanh(q) = 2q (1 + w/3 + w^2/5 + ...)`` gives them without cancellation,

    g  = q (x - 2 w P(w)),      gs = q (x/(1+x) + 2 w P(w)),      P(w) = 1/3 + w/5 + w^2/7 + ...

and for ``-2/3 < x < 2`` we have ``w < 1/4``: each term adds two bits.  Elsewhere the plain difference loses less than
two bits.  For positive x it takes ``1 + x`` for k, so that the rounding errors of x and k do not add up.

The text is generic: ``log`` and ``where`` are the number type's own, ``one`` its one, ``terms`` the length of ``P``
(`series_terms`), and ``floor`` a small number: outside ``(floor, 1/floor)`` a ratio of variances may have been cut off.
"""

import math
from functools import partial

import numpy as np

# What NumPy results are computed in before they are rounded once: 80 bits on x86, for results within one unit of the
# last place.  Where a long double is a double, they are within 8 but for rare exceptions (verification/README.md).
WORK = np.longdouble
# In one dimension rounding takes a divergence off by at most so many epsilons of `WORK`, relatively (same place).
ROUNDING = 23


def series_terms(bits):
    """Terms of ``P`` after which what is left out is below a tenth of the last of ``bits`` bits."""
    return math.ceil(bits / 2)


def tail(w, one, terms):
    """``P(w)``, truncated."""
    p = 0 * w
    for j in range(terms):
        p = p * w + one / (2 * (terms - j) + 1)
    return p


def log_k(k, other_k, log_r, log, where, floor):
    """``log(k)``; from ``k = other_k exp(log_r)`` where ``exp(log_r)`` may have left the exponent range."""
    sound = (k > floor) & (k * floor < 1)
    return log(where(sound, k, other_k)) + where(sound, 0 * log_r, log_r)


def g(x, k, other_k, log_r, log, where, one, terms, floor):
    """``x - log(k)`` for ``k = 1 + x > 0``."""
    q = x / (x + 2)
    w = q * q
    near = q * (x - 2 * w * tail(w, one, terms))
    k = where(x > 0, 1 + x, k)
    return where((3 * x > -2) & (x < 2), near, x - log_k(k, other_k, log_r, log, where, floor))


def gs(x, k, other_k, log_r, log, where, one, terms, floor):
    """``log(k) - x/k`` for ``k = 1 + x > 0``."""
    q = x / (x + 2)
    w = q * q
    k = where(x > 0, 1 + x, k)
    near = q * (x / k + 2 * w * tail(w, one, terms))
    return where((3 * x > -2) & (x < 2), near, log_k(k, other_k, log_r, log, where, floor) - x / k)


def two_sum(a, b):
    """``a + b``, and what rounding took off it [Knuth]: it matters once multiplied by a large number."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


def numpy_kernel(kernel):
    """`g` or `gs` for NumPy arrays of type `WORK`."""
    info = np.finfo(WORK)
    terms = series_terms(info.nmant + 1)
    return partial(kernel, log=np.log, where=np.where, one=WORK(1), terms=terms, floor=info.tiny ** WORK(0.75))
