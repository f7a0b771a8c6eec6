r"""The divergences of gamma and Dirichlet distributions as sums of non-negative terms, for numbers of any type.

`log_gamma.py` derives the Bregman divergence of ``phi(x) = log Gamma(x) - x log x + x``.  Every function below returns
it as ``plus, minus``, two sums of non-negative terms whose difference it is: the error of the difference is that of the
terms, relative to ``plus + minus``.

The text uses only ``+ - * /``, comparisons and calls.  ``g(x, k)`` is ``x - log(k)`` for ``k = 1 + x`` [`special.py`],
``difference(x, y)`` is ``x - y``, accurate even if nearly all of it cancels, and ``choose(condition, x, y)`` chooses
between two numbers.  ``series(1/x, 1/y)`` is the sum of `stirling`, and ``series_less(1/x, 1/y, more_x, more_y)``
returns this sum and its change if the arguments grow by ``more_x`` and ``more_y``.  ``bregman`` and ``bregman_less``
are `bregman_terms` and `bregman_less_terms` with all these functions.
"""


def bregman_terms(x, y, d, g, series, choose):
    """``plus, minus`` of ``B_phi(y:x)``, where ``d = y - x``."""
    large = (x > 10) & (y > 10)
    far_x = choose(large, x, x + 10)
    far_y = choose(large, y, y + 10)
    far = g(d / far_x, far_y / far_x)
    rest = (d / far_x) * (d / far_y) * series(1 / far_x, 1 / far_y)
    steps = 0 * far
    for j in range(10):
        steps = steps + g(d / (x + j), (y + j) / (x + j))
    mixed = y * g(-(10 * d) / ((x + 10) * y), (x * (y + 10)) / ((x + 10) * y))
    return rest + choose(large, far / 2, steps), choose(large, 0 * far, mixed + 19 * far / 2)


def bregman_less_terms(x, y, d, more_x, more_y, more_d, total_x, total_y, total_d, cross, g, series_less, choose):
    """``plus, minus`` of ``B_phi(y:x) - B_phi(total_y:total_x)``; x and y are at least 10, totals at most twice these.

    The totals exceed x, y and d by ``more_x``, ``more_y`` and ``more_d``, and ``cross = y more_x - x more_y``.  By
    ``g(e) - g(e') = g(z) + z e'`` with ``1 + z = (1 + e)/(1 + e')``.
    """
    z = cross / (x * total_y)
    first = g(z, (y * total_x) / (x * total_y)) / 2
    second = z * (total_d / total_x) / 2
    rest, rest_less = series_less(1 / total_x, 1 / total_y, more_x / (x * total_x), more_y / (y * total_y))
    share = more_y / total_y + (more_x / total_x) * (y / total_y)
    third = (d / x) * (d / y) * (rest_less + share * rest)
    fourth = -(more_d * (d + total_d) / (total_x * total_y) * rest)
    zero = 0 * first
    plus = first + third + choose(second > zero, second, zero) + choose(fourth > zero, fourth, zero)
    return plus, choose(second > zero, zero, -second) + choose(fourth > zero, zero, -fourth)


def stirling(x, y, total, weighted, plain, power, count, coefficient):
    """``total + sum_p c_p sum_{j<p} (p - j) x^(p-j) y^j`` for ``count`` more odd p, and the numbers to continue with.

    ``weighted`` is the inner sum for the last p, ``plain`` the same without ``p - j``, and ``power`` is ``x^p``.
    """
    for n in range(count):
        power = x * power
        plain = y * plain + power
        weighted = x * weighted + plain
        total = total + coefficient(n) * weighted
        power = x * power
        plain = y * plain + power
        weighted = x * weighted + plain
    return total, weighted, plain, power


def gamma_term(x, y, d, rate_x, rate_y, cross, g, bregman):
    """``plus, minus`` of ``KL(x||y)`` of gamma distributions, by shapes and rates; ``cross = x rate_y - y rate_x``."""
    plus, minus = bregman(x, y, d)
    divisor = y * rate_x
    return plus + y * g(cross / divisor, (x * rate_y) / divisor), minus


def gamma_to_mean(a1, a2, d, b1, b2, cross, g1, g2, g, bregman):
    """``plus, minus`` of ``KL(N1||G)`` and of ``KL(N2||G)``; ``d = a2 - a1`` and ``cross = a1 b2 - a2 b1``."""
    a = g1 * a1 + g2 * a2
    b = g1 * b1 + g2 * b2
    plus1, minus1 = gamma_term(a1, a, g2 * d, b1, b, g2 * cross, g, bregman)
    plus2, minus2 = gamma_term(a2, a, -(g1 * d), b2, b, -(g1 * cross), g, bregman)
    return plus1, minus1, plus2, minus2


def gamma_from_mean(a1, a2, d, b1, b2, cross, g1, g2, g, bregman):
    """``plus, minus`` of ``KL(G||N1)`` and of ``KL(G||N2)``, with the arguments of `gamma_to_mean`."""
    a = g1 * a1 + g2 * a2
    b = g1 * b1 + g2 * b2
    plus1, minus1 = gamma_term(a, a1, -(g2 * d), b, b1, -(g2 * cross), g, bregman)
    plus2, minus2 = gamma_term(a, a2, g1 * d, b, b2, g1 * cross, g, bregman)
    return plus1, minus1, plus2, minus2


def dirichlet_cross(near, a1, a2, d, total1, total2, total_d, difference, choose):
    """``a2 total1 - a1 total2``; if the totals are near, computed from the differences ``d`` and ``total_d``."""
    return difference(choose(near, total1 * d, total1 * a2), choose(near, total_d, total2) * a1)


def dirichlet_component(x, y, d, total_x, total_y, cross, g, bregman, choose):
    """Whether a component is nearly the total; if not, its ``plus, minus`` in ``KL(x||y)``.

    ``cross = y total_x - x total_y``.
    """
    divisor = y * total_x
    plus, minus = bregman(x, y, d)
    plus = plus + y * g(-(cross / divisor), (x * total_y) / divisor)
    largest = (2 * x > total_x) & (2 * y > total_y) & (x > 10) & (y > 10)
    zero = 0 * plus
    return largest, choose(largest, zero, plus), choose(largest, zero, minus)


def dirichlet_total(
    some, x, y, d, more_x, more_y, more_d, total_x, total_y, total_d, difference, g, bregman, bregman_less, choose
):
    """``plus, minus`` of the total in ``KL(x||y)``, with the component that is nearly the total, if there is one.

    Separate terms of the two would nearly cancel.  ``more_x, more_y, more_d`` are the sums of the other components.
    """
    plus, minus = bregman(total_x, total_y, total_d)
    near = (x > 2 * d) & (x > -(2 * d))
    cross = difference(choose(near, d, y) * more_x, choose(near, more_d, more_y) * x)
    divisor = y * total_x
    share = y * g(-(cross / divisor), (x * total_y) / divisor)
    plus_less, minus_less = bregman_less(x, y, d, more_x, more_y, more_d, total_x, total_y, total_d, cross)
    return choose(some, share + plus_less, minus), choose(some, minus_less, plus)
