r"""The Bregman divergence of the logarithm of the gamma function, minus that of Stirling's ``x log x - x``.

For a convex f, ``B_f(y:x) = f(y) - f(x) - f'(x) (y - x)``.  With ``e = (y - x)/x``,

    f = -log x:          g(e)
    f = x log x - x:     y gs(e)
    f = x^-p:            (y - x)^2/(x y) sum_{j<p} (p - j) x^(j-p) y^-j

``phi(x) = log Gamma(x) - x log x + x`` is convex as well, because ``psi'(x) > 1/x``.  For large x it is ``-log(x)/2 +
c_1/x + c_2/x^3 + ...`` [Stirling], so that nothing cancels.  A small x is shifted by ``log Gamma(x) = log Gamma(x+m) -
sum_{j<m} log(x+j)``.  The two terms ``x log x - x`` then contribute, without the linear terms, which would cancel,

    (y+m) gs(d/(x+m)) - y gs(d/x) = -y g(-m d/((x+m) y)) - m g(d/(x+m)),      d = y - x
"""

import math
from typing import Any

from jsgmath.families.libraries.arithmetic import INFINITE, Arithmetic, Array, Weight
from jsgmath.families.stirling import coefficients

SHIFT = 12
"""For x from here on, Stirling's series gives 64 bits with the coefficients below."""
COEFFICIENTS = tuple(coefficients(13))

SHORTER = {24: (6, 5), 53: (12, 9)}
"""The shift, and the number of coefficients that it needs, by the number of bits."""


def shift_and_terms(m: Arithmetic, x: Array) -> tuple[int, int]:
    return SHORTER.get(m.bits(x), (SHIFT, len(COEFFICIENTS)))


def digamma_less(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``psi(y) - psi(x)`` for positive numbers x and y, ``d = y - x``, as a sum of terms of one sign and small ones."""
    inverse = d / (x * y)
    x, y, d = m.plain(x), m.plain(y), m.plain(d)
    shift, terms = shift_and_terms(m, x)
    total = 0 * x
    for j in range(1, shift):
        total = total + d / (x + j) / (y + j)
    x, y = x + shift, y + shift
    u, v = (1 / x) * (1 / x), (1 / y) * (1 / y)
    value, quotient = 0 * u, 0 * v  # of the series as a polynomial of u, and its divided difference
    for n in range(terms, 0, -1):
        c = (2 * n - 1) * COEFFICIENTS[n - 1]
        quotient = quotient * v + value
        value = value * u + c.numerator / c.denominator
    quotient = quotient * v + value
    shifted = m.log_of_number(m.number(d) / x, m.number(y) / x)
    return inverse + (total + d / x / y * (0.5 + (1 / x + 1 / y) * quotient) + shifted)


def trigamma_times(m: Arithmetic, x: Any, d: Any) -> Any:
    """``psi'(x) d`` for a positive x; both are numbers."""
    inverse, x = 1 / (x * x), m.plain(x)
    shift, terms = shift_and_terms(m, x)
    total = 0 * x
    for j in range(1, shift):
        total = total + 1 / (x + j) / (x + j)
    x = m.number(1.0) / (x + shift)
    u, value = m.plain(x * x), 0 * total
    for n in range(terms, 0, -1):
        c = 2 * n * (2 * n - 1) * COEFFICIENTS[n - 1]
        value = value * u + c.numerator / c.denominator
    return d * (inverse + total + x * (1 + x * (0.5 + x * value)))


def bregman(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``B_phi(y:x)`` for positive numbers x and y, ``d = y - x``."""
    plain_x, plain_y = m.plain(x), m.plain(y)
    large = (plain_x >= SHIFT) & (plain_y >= SHIFT)
    moved = m.where(large, 0.0, float(SHIFT))
    far_x, far_y = x + moved, y + moved
    stirling = m.plain(d / far_x) * m.plain(d / far_y) * _series(m.plain(1 / far_x), m.plain(1 / far_y))
    value = m.g_of_number(d / far_x, far_y / far_x) * 0.5 + stirling
    return value + m.chosen(large, 0 * plain_x, _shifted(m, x, y, d))


def bregman_less(m: Arithmetic, x: Array, y: Array, d: Array, more_x: Array, more_y: Array, more_d: Array) -> Array:
    """``B_phi(y:x) - B_phi(y + more_y : x + more_x)`` without cancellation, where ``more_d = more_y - more_x``.

    ``more_x`` and ``more_y`` must not exceed x and y, so that every ``1 + z`` below lies between 1/2 and 2.
    """
    large = (x >= SHIFT) & (y >= SHIFT)
    more = more_x, more_y, more_d
    near = m.where(large, 1.0, x), m.where(large, 1.0, y), m.where(large, 0.0, d)
    shifted = _shifted_less(m, *near, *(m.where(large, 0.0, z) for z in more))
    x, y = m.where(large, x, x + SHIFT), m.where(large, y, y + SHIFT)
    return _g_less(m, x, y, d, *more) / 2 + _remainder_less(m, x, y, d, *more) + shifted


def _shifted(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``B_phi(y:x) - B_phi(y+m:x+m)``"""
    far = m.g_of_number(d / (x + SHIFT), (y + SHIFT) / (x + SHIFT))
    mixed = m.g_of_number(-(d * SHIFT / (y * (x + SHIFT))), (x / (x + SHIFT)) * ((y + SHIFT) / y))
    steps = 0 * m.plain(x)[..., None] + m.xp.arange(1, SHIFT)
    xs, ys = m.each(x) + steps, m.each(y) + steps
    near = m.sum_of_numbers(m.g_of_number(m.each(d) / xs, ys / xs))
    return m.g_of_number(d / x, y / x) + ((near - y * mixed) - far * SHIFT)


def _g_less(m: Arithmetic, x: Array, y: Array, d: Array, more_x: Array, more_y: Array, more_d: Array) -> Array:
    """``g(e) - g(e') = g(z) + z e'``: ``e = d/x``, ``e' = (d + more_d)/(x + more_x)``, ``1 + z = (1+e)/(1+e')``."""
    other_x, other_y = x + more_x, y + more_y
    near = (2 * d < x) & (2 * d > -x)
    share = more_x / x
    z = m.where(near, d / other_y * share - more_d / other_y, y / other_y * share - more_y / other_y)
    return m.g_of(z, 1 + z) + m.quotient([z, d + more_d], [other_x])


def _shifted_less(m: Arithmetic, x: Array, y: Array, d: Array, more_x: Array, more_y: Array, more_d: Array) -> Array:
    """The difference of two values of `_shifted`, term by term."""
    other_x, other_y = x + more_x, y + more_y
    far_x, far_y, far_other_x, far_other_y = (z + SHIFT for z in (x, y, other_x, other_y))
    xs, ys = (m.stack([z + j for j in range(SHIFT)], -1) for z in (x, y))
    near = _g_less(m, xs, ys, *(z[..., None] for z in (d, more_x, more_y, more_d))).sum(-1)
    far = _g_less(m, far_x, far_y, d, more_x, more_y, more_d)
    share, far_ratio = more_x / other_x, far_x / far_other_y
    step = m.where(
        (2 * d < x) & (2 * d > -x),
        d / y * (far_ratio * (more_y / other_x) + share * (other_y / far_other_y)) - more_d / other_x * far_ratio,
        share - more_y / y * (x / other_x) * (far_other_x / far_other_y),
    )
    z = -SHIFT / far_x * step
    moved = (d + more_d) / far_other_x
    e = -m.quotient([d + more_d, float(SHIFT)], [far_other_x, other_y])
    of_other = m.times_g([more_y], e, [other_x, far_other_y], [other_y, far_other_x])
    mixed = y * m.g_of(z, 1 + z) - z * SHIFT * (y / other_y) * moved - of_other
    return near - SHIFT * far - mixed


def _remainder_less(m: Arithmetic, x: Array, y: Array, d: Array, more_x: Array, more_y: Array, more_d: Array) -> Array:
    """``d^2 v - (d + more_d)^2 v'``, where v is `_series` over x y; every step also computes its difference.

    Lengths are measured in the larger of x and y, so that their squares stay in the range.
    """
    unit = m.xp.maximum(x, y)
    d, more_d = d / unit, more_d / unit
    share_x, share_y = more_x / x, more_y / y
    x, y, other_x, other_y = 1 / x, 1 / y, 1 / (x + more_x), 1 / (y + more_y)
    less_x, less_y = share_x * other_x, share_y * other_y
    total, term, power = 0 * other_x, other_x, other_x
    total_less, term_less, power_less = 0 * less_x, less_x, less_x
    for p in range(1, 2 * len(COEFFICIENTS)):
        if p % 2:
            c = COEFFICIENTS[p // 2]
            total = total + c.numerator * term / c.denominator
            total_less = total_less + c.numerator * term_less / c.denominator
        power, power_less = power * other_x, power * less_x + power_less * x
        term, term_less = other_y * term + (p + 1) * power, y * term_less + less_y * term + (p + 1) * power_less
    product = (unit * other_x) * (unit * other_y)
    product_less = (unit * less_x) * (unit * y) + (unit * other_x) * (unit * less_y)
    value_less = product_less * (total + total_less) + product * total_less
    return d * d * value_less - more_d * (2 * d + more_d) * (product * total)


def _series(x: Array, y: Array) -> Array:
    """``sum_n c_n sum_{j<p} (p - j) x^(p-j) y^j`` with ``p = 2n - 1``."""
    total, term, power = 0 * x, x, x
    for p in range(1, 2 * len(COEFFICIENTS)):
        if p % 2:
            c = COEFFICIENTS[p // 2]
            total = total + c.numerator * term / c.denominator
        power = power * x
        term = y * term + (p + 1) * power
    return total
