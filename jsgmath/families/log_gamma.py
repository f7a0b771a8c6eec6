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
    """``psi(y) - psi(x)`` for positive numbers x and y, ``d = y - x``: a sum of terms of one sign and small terms."""
    if m.closed:
        near = abs(d) < 2.0**-12 * (x + 0 * y)
        return m.closed.mended(m.closed.digamma(y) - m.closed.digamma(x), near, digamma_less, (x, y, d))
    inverse = d / (x * y)
    shift, terms = shift_and_terms(m, m.plain(x))
    shifted = m.log_of_number(d / (x + shift), (y + shift) / (x + shift))
    x, y, d = (m.finite(m.plain(z)) for z in (x, y, d))
    large, small = m.xp.maximum(x, y), m.xp.minimum(x, y)

    def step(numbers: tuple[Array, ...], j: Any) -> tuple[Array, ...]:
        return (numbers[0] + d / (large + j) * (1 / (small + j)),)  # XLA makes one quotient of two in a row

    (total,) = m.steps(step, (0 * d + 0 * x + 0 * y,), [float(j) for j in range(1, shift)])
    x, y = x + shift, y + shift
    u, v = (1 / x) * (1 / x), (1 / y) * (1 / y)

    def horner(numbers: tuple[Array, ...], c: Any) -> tuple[Array, ...]:
        """The series as a polynomial of u, and its divided difference."""
        return numbers[0] * u + c, numbers[1] * v + numbers[0]

    factors = [float((2 * n - 1) * COEFFICIENTS[n - 1]) for n in range(terms, 0, -1)]
    value, quotient = m.steps(horner, (0 * u, 0 * (u * v)), factors)
    quotient = quotient * v + value
    total = total + d / (large + shift) * (1 / (small + shift)) * (0.5 + (1 / x + 1 / y) * quotient)
    return inverse + m.number(total + shifted)


def trigamma_times(m: Arithmetic, x: Any, d: Any) -> Any:
    """``psi'(x) d`` for a positive x; both are numbers."""
    if m.closed:
        return m.closed.trigamma(x) * d
    inverse, plain = 1 / (x * x), m.plain(x)
    shift, terms = shift_and_terms(m, plain)

    def step(numbers: tuple[Array, ...], j: Any) -> tuple[Array, ...]:
        return (numbers[0] + 1 / (plain + j) / (plain + j),)

    (total,) = m.steps(step, (1 / (plain + 1) / (plain + 1),), [float(j) for j in range(2, shift)])
    x = 1 / (x + shift)
    u = m.plain(x)

    def horner(numbers: tuple[Array, ...], c: Any) -> tuple[Array, ...]:
        return (numbers[0] * (u * u) + c,)

    factors = [float(2 * n * (2 * n - 1) * COEFFICIENTS[n - 1]) for n in range(terms, 0, -1)]
    (value,) = m.steps(horner, (0 * u,), factors)
    return d * (inverse + m.number(total) + x * m.number(1 + u * (0.5 + u * value)))


def textbook(m: Arithmetic, x: Any, y: Any, d: Any) -> tuple[Array, Array]:
    """``B_f(y:x)`` for ``f = log Gamma``, ``d = y - x``, and the sum of the sizes of its terms."""
    of = m.closed
    terms = of.log_gamma(y), -of.log_gamma(x), -(d * of.digamma(x))
    return terms[0] + terms[1] + terms[2], abs(terms[0]) + abs(terms[1]) + abs(terms[2])


def bregman(m: Arithmetic, x: Any, y: Any, d: Any) -> Any:
    """``B_phi(y:x)`` for positive numbers x and y, ``d = y - x``."""
    large = (m.plain(x) >= SHIFT) & (m.plain(y) >= SHIFT)
    moved = m.number(m.where(large, 0.0, float(SHIFT)))
    far_x, far_y = x + moved, y + moved
    series = m.number(_series(m, m.plain(1 / far_x), m.plain(1 / far_y)))
    # Of B_phi(y:x) - B_phi(y+m:x+m) all terms but one are not negative.
    last_x, last_y, left = x + SHIFT, y + SHIFT, m.whole_numbers(x, 1, SHIFT + 1)
    xs, ys = m.each(x) + (SHIFT - left), m.each(y) + (SHIFT - left)
    z = m.each(d / last_y) * m.number(left) / xs
    far, mixed, steps = m.of_each(
        m.g_of_number,
        (m.each(d / far_x), m.each(far_y / far_x)),
        (m.each(-(d * SHIFT / (y * last_x))), m.each((x / last_x) * (last_y / y))),
        (z, (ys / xs) * m.each(last_x / last_y)),
    )
    shifted = m.sum_of_numbers(steps) + (d / last_x) * m.sum_of_numbers(z) - y * m.first(mixed)
    return m.first(far) * 0.5 + (d / far_x) * (d / far_y) / far_x * series + m.chosen(large, 0.0, shifted)


def bregman_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """``B_phi(y:x) - B_phi(y + more_y : x + more_x)`` without cancellation, where ``more_d = more_y - more_x``.

    ``more_x`` and ``more_y`` must not exceed x and y, so that every ``1 + z`` below lies between 1/2 and 2.  With
    ``e = d/x`` and ``e' = (d + more_d)/(x + more_x)``, ``g(e) - g(e') = g(z) + z e'`` for ``1 + z = (1+e)/(1+e')``.
    """
    large = (m.plain(x) >= SHIFT) & (m.plain(y) >= SHIFT)
    more, close = (more_x, more_y, more_d), near(m, d, x)
    other_x, other_y, other_d = x + more_x, y + more_y, d + more_d
    # The terms of x + j, and the last one of x + m.
    steps = m.whole_numbers(x, 0, SHIFT + 1)
    xs, ys, other_xs, other_ys = (m.each(z) + steps for z in (x, y, other_x, other_y))
    d_each, more_x_each, more_y_each, more_d_each = map(m.each, (d, *more))
    share = more_x_each / xs
    zs = m.chosen(
        near(m, d_each, xs),
        d_each / other_ys * share - more_d_each / other_ys,
        ys / other_ys * share - more_y_each / other_ys,
    )
    # The one term of each divergence that is negative.
    far_x, far_other_x, far_other_y = (z + SHIFT for z in (x, other_x, other_y))
    share, far_ratio = more_x / other_x, far_x / far_other_y
    step = m.chosen(
        close,
        d / y * (far_ratio * (more_y / other_x) + share * (other_y / far_other_y)) - more_d / other_x * far_ratio,
        share - more_y / y * (x / other_x) * (far_other_x / far_other_y),
    )
    z = -(step * SHIFT / far_x)
    e = -(other_d * SHIFT / (far_other_x * other_y))
    of_steps, of_mixed, of_other = m.of_each(
        m.g_of_number,
        (zs, 1 + zs),
        (m.each(z), m.each(1 + z)),
        (m.each(e), m.each((other_x / far_other_x) * (far_other_y / other_y))),
    )
    of_steps = of_steps + zs * m.each(other_d) / other_xs
    first, rest, last = m.first(of_steps), m.part(of_steps, 0, SHIFT), m.first(m.part(of_steps, SHIFT, SHIFT + 1))
    mixed = y * m.first(of_mixed) - z * SHIFT * (y / other_y) * (other_d / far_other_x) - more_y * m.first(of_other)
    shifted = m.chosen(large, 0.0, m.sum_of_numbers(rest) - last * SHIFT - mixed)
    moved = m.number(m.where(large, 0.0, float(SHIFT)))
    return m.chosen(large, first, last) * 0.5 + _remainder_less(m, x + moved, y + moved, d, *more) + shifted


def near(m: Arithmetic, d: Any, x: Any) -> Array:
    """Whether d is less than half of x in size."""
    ratio = m.plain(d / x)
    return (2 * ratio < 1) & (2 * ratio > -1)


def _remainder_less(m: Arithmetic, x: Any, y: Any, d: Any, more_x: Any, more_y: Any, more_d: Any) -> Any:
    """``d^2 v - (d + more_d)^2 v'``, where v is `_series` over ``x^2 y``; every step also computes its difference."""
    number_x, number_y, number_other_x, number_other_y = 1 / x, 1 / y, 1 / (x + more_x), 1 / (y + more_y)
    number_less_x, number_less_y = more_x / x * number_other_x, more_y / y * number_other_y
    x, y, other_x, other_y = map(m.plain, (number_x, number_y, number_other_x, number_other_y))
    less_x, less_y = m.plain(number_less_x), m.plain(number_less_y)

    def step(numbers: tuple[Array, ...], c: Any, p: Any) -> tuple[Array, ...]:
        total, term, power, total_less, term_less, power_less = numbers
        total, total_less = total + c * term, total_less + c * term_less
        for n in (p + 1, p + 2):
            power, power_less = power * other_x, power * less_x + power_less * x
            term, term_less = other_y * term + n * power, y * term_less + less_y * term + n * power_less
        return total, term, power, total_less, term_less, power_less

    one, zero = 1 + 0 * (other_x * other_y), 0 * (less_x * less_y)
    total, _, _, total_less, _, _ = m.steps(step, (0 * one, one, one, zero, zero, zero), *_of_series(m, x))
    product = number_other_x * number_other_y
    product_less = number_less_x * number_y + number_other_x * number_less_y
    total, total_less = m.number(total), m.number(total_less)
    total, total_less = number_other_x * total, number_less_x * (total + total_less) + number_other_x * total_less
    value_less = product_less * (total + total_less) + product * total_less
    return d * d * value_less - more_d * (2 * d + more_d) * (product * total)


def _series(m: Arithmetic, x: Array, y: Array) -> Array:
    """``sum_n c_n sum_{j<p} (p - j) x^(p-j-1) y^j`` with ``p = 2n - 1``."""

    def step(numbers: tuple[Array, ...], c: Any, p: Any) -> tuple[Array, ...]:
        total, term, power = numbers
        total = total + c * term
        for n in (p + 1, p + 2):
            power = power * x
            term = y * term + n * power
        return total, term, power

    one = 1 + 0 * (x * y)
    return m.steps(step, (0 * one, one, one), *_of_series(m, x))[0]


def _of_series(m: Arithmetic, x: Array) -> tuple[list[float], list[float]]:
    """The coefficients of Stirling's series and their powers."""
    terms = shift_and_terms(m, x)[1]
    return [float(c) for c in COEFFICIENTS[:terms]], [2.0 * n + 1 for n in range(terms)]
