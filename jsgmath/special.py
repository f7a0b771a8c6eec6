r"""The functions g and gs of the formula, and the scalars of two log-variances, for any type of number.

First come ``g(x) = x - log(1+x)`` and ``gs(x) = log(1+x) - x/(1+x)`` to the last digits, then both as torch and Triton
compute them, and the reduction of two log-variances to the scalars of `formula.py`.

Near zero both g and gs are differences of nearly equal numbers.  With ``q = x/(2+x)`` and ``w = q^2``, the series
``log(1+x) = 2 artanh(q) = 2q (1 + w/3 + w^2/5 + ...)`` gives them without cancellation,

    g  = q (x - 2 w P(w)),      gs = q (x/(1+x) + 2 w P(w)),      P(w) = 1/3 + w/5 + w^2/7 + ...

and for ``-2/3 < x < 2`` we have ``w < 1/4``: each term adds two bits.  Elsewhere the plain difference loses less than
two bits.  For positive x it takes ``1 + x`` for k, so that the rounding errors of x and k do not add up.

The text is generic: ``log`` and ``where`` are functions of the number type, ``one`` is its one, and ``terms`` is the
length of ``P`` (`series_terms`).  ``floor`` is a small number: outside ``(floor, 1/floor)`` a ratio of variances may
have been clamped.
"""

import math
from fractions import Fraction
from functools import partial

import numpy as np

# The type in which NumPy results are computed before they are rounded once: 80 bits on x86, for results within one unit
# of the last place.  Where a long double is a double, they are within 8, with rare exceptions (verification/README.md).
WORK = np.longdouble
# In one dimension, rounding changes a divergence by at most this many epsilons of `WORK`, relatively (same place).
ROUNDING = 23


def series_terms(bits):
    """The number of terms of ``P`` after which the rest is below a tenth of the last of ``bits`` bits."""
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
    """``a + b`` rounded, and the rounding error [Knuth], which matters once it is multiplied by a large number."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


def numpy_kernel(kernel):
    """`g` or `gs` for NumPy arrays of type `WORK`."""
    info = np.finfo(WORK)
    terms = series_terms(info.nmant + 1)
    return partial(kernel, log=np.log, where=np.where, one=WORK(1), terms=terms, floor=info.tiny ** WORK(0.75))


# How torch and Triton compute g and gs.  In a GPU kernel there is no time for both a logarithm and a long series, and
# in torch a choice costs as much as a logarithm.  So k is split into ``(1 + f) k_rest``:
#
#     g(x) = g(f) + (x - f) - log(k_rest),        gs(x) = gs(f) + (1/k - 1/(1+f)) + log(k_rest)
#
# with ``f = x``, so that only the series remains, wherever 1 + f lies between the numbers below.  At these numbers g
# and gs are already so large that rounding k and a logarithm costs at most six units of the last place.
SPLIT_FROM, SPLIT_TO = 3 / 8, 2.0


def ratio(x, y):
    """``x / y``; Triton replaces it by a faster division."""
    return x / y


def split(x, k, clamp, log):
    """``f``, ``1 + f`` and ``log(k_rest)``, with ``1 + f`` as near k as the numbers above allow."""
    m = clamp(k, SPLIT_FROM, SPLIT_TO)
    return clamp(x, SPLIT_FROM - 1, SPLIT_TO - 1), m, log(k / m)


def split_g(x, k, other_k, beyond, split, tail):
    """`g`; ``tail(w)`` is ``2 P(w)``, from `split_tail`, and ``beyond`` is added to ``log(k)``."""
    f, _, log_rest = split(x, k)
    q = ratio(f, f + 2.0)
    w = q * q
    return q * (f - w * tail(w)) + ((x - f) - (log_rest + beyond))


def split_gs(x, k, other_k, beyond, split, tail):
    """`gs`, with the arguments of `split_g`."""
    f, m, log_rest = split(x, k)
    q = ratio(f, f + 2.0)
    w = q * q
    inverse = ratio(1.0, m)
    return q * (f * inverse + w * tail(w)) + ((ratio(1.0, k) - inverse) + (log_rest + beyond))


def split_kernels(clamp, log, tail):
    """`g` and `gs` by the split, for a type of numbers that has these operations."""
    return [partial(kernel, split=partial(split, clamp=clamp, log=log), tail=tail) for kernel in (split_g, split_gs)]


def log_variance_pair(mean1, logvar1, mean2, logvar2, widest, furthest, stretching, exp, exp_and_expm1, within, where):
    """A pair as torch and Triton reduce it: ``beyond, r1, r2, e1, e2, d1, d2, i1, i2`` in the notation of `formula.py`.

    N2 is N(0, 1) if ``mean2`` is None.  ``within(x, limit)`` clamps to ``[-limit, limit]``.  Differences of
    log-variances are clamped to ``widest``, so that ratios are normal numbers, and ``beyond`` is what this cut off
    ``log_r1``; ``stretching(x, y)`` is ``x exp(y)``, or x where displacements need not be right then.  Displacements in
    units of a standard deviation, and ``i2``, are clamped to ``furthest``, for infinite ones could meet a zero.
    """
    if mean2 is None:
        difference = logvar1
    else:
        difference, low = two_sum(logvar1, -logvar2)
    log_r1 = within(difference, widest)
    beyond = within(difference - log_r1, 10.0**30)
    root, t = exp_and_expm1(0.5 * log_r1)
    if mean2 is None:
        inverse = ratio(1.0, root)
        d = mean1
        i1 = stretching(inverse, -0.5 * beyond)
        i2 = 1.0
    else:
        low = where(log_r1 == difference, 0.5 * low * root, 0.0)
        root = root + low
        t = t + low
        inverse = ratio(1.0, root)
        d = mean1 - mean2
        i1 = exp(within(-0.5 * logvar1, widest))
        i2 = within(stretching(i1 * root, 0.5 * beyond), furthest)
    r1 = root * root
    r2 = inverse * inverse
    e1 = t * (t + 2.0)
    return beyond, r1, r2, e1, -e1 * r2, within(d * i1, furthest), within(d * i2, furthest), i1, i2


def polynomial(x, coefficients):
    """Horner's scheme; the coefficient of the highest power comes first."""
    p = x * coefficients[0] + coefficients[1]
    for j in range(2, len(coefficients)):
        p = p * x + coefficients[j]
    return p


def economised(series, low, high, terms):
    """Coefficients for `polynomial` of nearly the best approximation to a power series from ``low`` to ``high``.

    Again and again, the highest power is replaced by its best approximation by lower ones [Lanczos].
    """
    series, low, high = [Fraction(c) for c in series], Fraction(low), Fraction(high)
    shift, slope = (low + high) / (low - high), 2 / (high - low)
    chebyshev = [[Fraction(1)], [shift, slope]]
    while len(chebyshev) < len(series):
        before, last = chebyshev[-2:]
        following = [2 * shift * c for c in last] + [Fraction(0)]
        for power, c in enumerate(last):
            following[power + 1] += 2 * slope * c
        for power, c in enumerate(before):
            following[power] -= c
        chebyshev.append(following)
    while len(series) > terms:
        highest = series.pop()
        nearest = chebyshev[len(series)]
        series = [c - highest / nearest[-1] * t for c, t in zip(series, nearest, strict=False)]
    return tuple(float(c) for c in reversed(series))


def split_tail(terms):
    """Coefficients of ``2 P(w)`` for the w that the split leaves; each term adds more than four bits to g and gs."""
    largest = max((f / (f + 2)) ** 2 for f in (Fraction(SPLIT_FROM) - 1, Fraction(SPLIT_TO) - 1))
    return economised([Fraction(2, 2 * j + 3) for j in range(2 * terms + 4)], 0, largest, terms)


def expm1_ratio(terms):
    """Coefficients of ``expm1(f)/f`` for ``|f| <= log(2)/2``."""
    half_log2 = Fraction(0.34658)
    return economised([Fraction(1, math.factorial(j + 1)) for j in range(2 * terms)], -half_log2, half_log2, terms)
