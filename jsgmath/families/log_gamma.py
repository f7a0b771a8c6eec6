r"""The Bregman divergence of the logarithm of the gamma function, minus that of Stirling's ``x log x - x``.

For a convex f, ``B_f(y:x) = f(y) - f(x) - f'(x) (y - x)``.  With ``e = (y - x)/x``,

    f = -log x:          g(e)
    f = x log x - x:     y gs(e)
    f = x^-p:            (y - x)^2/(x y) sum_{j<p} (p - j) x^(j-p) y^-j

``phi(x) = log Gamma(x) - x log x + x`` is convex as well, because ``psi'(x) > 1/x``.  For large x it is ``-log(x)/2 +
c_1/x + c_2/x^3 + ...`` [Stirling], so that nothing cancels.  A small x is shifted by ``log Gamma(x) = log Gamma(x+m) -
sum_{j<m} log(x+j)``.  The two terms ``x log x - x`` then contribute, without the linear terms, which would cancel,

    (y+m) gs(d/(x+m)) - y gs(d/x) = -y g(-m d/((x+m) y)) - m g(d/(x+m)),      d = y - x

With ``e_j = d/(x+j)``, ``m g(e_m)`` is subtracted from the sum of ``g(e_j)`` term by term, by ``g(e_j) - g(e_m) =
g(z) + z e_m`` with ``1 + z = (1 + e_j)/(1 + e_m)``, so that ``z = (m-j) d/((x+j)(y+m))`` has the sign of d.
"""

from typing import Any

from jsgmath.families.libraries.arithmetic import Arithmetic, Array
from jsgmath.families.stirling import coefficients

SHIFT = 12
"""For x from here on, Stirling's series gives 64 bits with the coefficients below."""
COEFFICIENTS = tuple(coefficients(13))

SHORTER = {24: (6, 5), 53: (12, 9)}
"""The shift, and the number of coefficients that it needs, by the number of bits."""


def shift_and_terms(m: Arithmetic, x: Array) -> tuple[int, int]:
    return SHORTER.get(m.bits(x), (SHIFT, len(COEFFICIENTS)))


def digamma_less(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``psi(y) - psi(x)`` for positive x and y with ``d = y - x``: a sum of terms of one sign, and of small terms."""
    inverse = d / (x * y)
    shift, terms = shift_and_terms(m, m.plain(x))
    shifted = m.log_of_number(d / (x + shift), (y + shift) / (x + shift))
    x, y, d = (m.finite(m.plain(z)) for z in (x, y, d))
    total, large, small = 0 * x, m.xp.maximum(x, y), m.xp.minimum(x, y)
    for j in range(1, shift):
        total = total + d / (large + j) * (1 / (small + j))  # XLA would merge two divisions in a row into one
    x, y = x + shift, y + shift
    u, v = (1 / x) * (1 / x), (1 / y) * (1 / y)
    value, quotient = 0 * u, 0 * v  # value and divided difference of the series, a polynomial of u
    for n in range(terms, 0, -1):
        c = (2 * n - 1) * COEFFICIENTS[n - 1]
        quotient = quotient * v + value
        value = value * u + c.numerator / c.denominator
    quotient = quotient * v + value
    total = total + d / (large + shift) * (1 / (small + shift)) * (0.5 + (1 / x + 1 / y) * quotient)
    return inverse + m.number(total + shifted)


def trigamma_times(m: Arithmetic, x: Any, d: Any) -> Any:
    """``psi'(x) d`` for a positive x; both are numbers."""
    inverse, plain = 1 / (x * x), m.plain(x)
    shift, terms = shift_and_terms(m, plain)
    total = 1 / (plain + 1) / (plain + 1)
    for j in range(2, shift):
        total = total + 1 / (plain + j) / (plain + j)
    x = 1 / (x + shift)
    u, value = m.plain(x), 0 * total
    for n in range(terms, 0, -1):
        c = 2 * n * (2 * n - 1) * COEFFICIENTS[n - 1]
        value = value * (u * u) + c.numerator / c.denominator
    return d * (inverse + m.number(total) + x * m.number(1 + u * (0.5 + u * value)))


def bregman(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``B_phi(y:x)`` for positive numbers x and y, ``d = y - x``."""
    large = (m.plain(x) >= SHIFT) & (m.plain(y) >= SHIFT)
    moved = m.number(m.where(large, 0.0, float(SHIFT)))
    far_x, far_y = x + moved, y + moved
    series = m.number(_series(m.plain(1 / far_x), m.plain(1 / far_y), shift_and_terms(m, m.plain(x))[1]))
    value = m.g_of_number(d / far_x, far_y / far_x) * 0.5 + (d / far_x) * (d / far_y) / far_x * series
    return value + m.chosen(large, 0.0, _shifted(m, x, y, d))


def bregman_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """``B_phi(y:x) - B_phi(y + more_y : x + more_x)`` without cancellation, where ``more_d = more_y - more_x``.

    ``more_x`` and ``more_y`` must not exceed x and y, so that every ``1 + z`` below lies between 1/2 and 2.
    """
    large = (m.plain(x) >= SHIFT) & (m.plain(y) >= SHIFT)
    more = more_x, more_y, more_d
    shifted = m.chosen(large, 0.0, _shifted_less(m, x, y, d, *more))
    moved = m.number(m.where(large, 0.0, float(SHIFT)))
    x, y = x + moved, y + moved
    return _g_less(m, x, y, d, *more) * 0.5 + _remainder_less(m, x, y, d, *more) + shifted


def _shifted(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``B_phi(y:x) - B_phi(y+m:x+m)``; all its terms but one are not negative."""
    far_x, far_y, left = x + SHIFT, y + SHIFT, m.whole_numbers(x, 1, SHIFT + 1)
    xs, ys = m.each(x) + (SHIFT - left), m.each(y) + (SHIFT - left)
    z = m.each(d / far_y) * m.number(left) / xs
    k = (ys / xs) * m.each(far_x / far_y)
    mixed = m.g_of_number(-(d * SHIFT / (y * far_x)), (x / far_x) * (far_y / y))
    return m.sum_of_numbers(m.g_of_number(z, k)) + (d / far_x) * m.sum_of_numbers(z) - y * mixed


def _g_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """``g(e) - g(e') = g(z) + z e'``: ``e = d/x``, ``e' = (d + more_d)/(x + more_x)``, ``1 + z = (1+e)/(1+e')``."""
    other_x, other_y = x + more_x, y + more_y
    share = more_x / x
    z = m.chosen(near(m, d, x), d / other_y * share - more_d / other_y, y / other_y * share - more_y / other_y)
    return m.g_of_number(z, 1 + z) + z * (d + more_d) / other_x


def near(m: Arithmetic, d: Any, x: Any) -> Array:
    """Whether d is less than half of x in size."""
    ratio = m.plain(d / x)
    return (2 * ratio < 1) & (2 * ratio > -1)


def _shifted_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """The difference of two values of `_shifted`, term by term."""
    other_x, other_y = x + more_x, y + more_y
    far_x, far_y, far_other_x, far_other_y = (z + SHIFT for z in (x, y, other_x, other_y))
    steps = m.whole_numbers(x, 0, SHIFT)
    xs, ys = m.each(x) + steps, m.each(y) + steps
    of_each = m.sum_of_numbers(_g_less(m, xs, ys, *map(m.each, (d, more_x, more_y, more_d))))
    far = _g_less(m, far_x, far_y, d, more_x, more_y, more_d)
    share, far_ratio = more_x / other_x, far_x / far_other_y
    step = m.chosen(
        near(m, d, x),
        d / y * (far_ratio * (more_y / other_x) + share * (other_y / far_other_y)) - more_d / other_x * far_ratio,
        share - more_y / y * (x / other_x) * (far_other_x / far_other_y),
    )
    z = -(step * SHIFT / far_x)
    moved = (d + more_d) / far_other_x
    e = -((d + more_d) * SHIFT / (far_other_x * other_y))
    of_other = more_y * m.g_of_number(e, (other_x / far_other_x) * (far_other_y / other_y))
    mixed = y * m.g_of_number(z, 1 + z) - z * SHIFT * (y / other_y) * moved - of_other
    return of_each - far * SHIFT - mixed


def _remainder_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """``d^2 v - (d + more_d)^2 v'``, where v is `_series` over ``x^2 y``; every step also computes its difference."""
    number_x, number_y, number_other_x, number_other_y = 1 / x, 1 / y, 1 / (x + more_x), 1 / (y + more_y)
    number_less_x, number_less_y = more_x / x * number_other_x, more_y / y * number_other_y
    x, y, other_x, other_y = map(m.plain, (number_x, number_y, number_other_x, number_other_y))
    less_x, less_y = m.plain(number_less_x), m.plain(number_less_y)
    total, term, power = 0 * other_x, 1 + 0 * other_x, 1 + 0 * other_x
    total_less, term_less, power_less = 0 * less_x, 0 * less_x, 0 * less_x
    for p in range(1, 2 * shift_and_terms(m, x)[1]):
        if p % 2:
            c = COEFFICIENTS[p // 2]
            total = total + c.numerator * term / c.denominator
            total_less = total_less + c.numerator * term_less / c.denominator
        power, power_less = power * other_x, power * less_x + power_less * x
        term, term_less = other_y * term + (p + 1) * power, y * term_less + less_y * term + (p + 1) * power_less
    product = number_other_x * number_other_y
    product_less = number_less_x * number_y + number_other_x * number_less_y
    total, total_less = m.number(total), m.number(total_less)
    total, total_less = number_other_x * total, number_less_x * (total + total_less) + number_other_x * total_less
    value_less = product_less * (total + total_less) + product * total_less
    return d * d * value_less - more_d * (2 * d + more_d) * (product * total)


def _series(x: Array, y: Array, terms: int) -> Array:
    """``sum_n c_n sum_{j<p} (p - j) x^(p-j-1) y^j`` with ``p = 2n - 1``."""
    total, term, power = 0 * x, 1 + 0 * x, 1 + 0 * x
    for p in range(1, 2 * terms):
        if p % 2:
            c = COEFFICIENTS[p // 2]
            total = total + c.numerator * term / c.denominator
        power = power * x
        term = y * term + (p + 1) * power
    return total
