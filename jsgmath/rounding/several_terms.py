"""The arithmetic of `several.py` for one of the Gaussians, in one dimension, for any type of number.

``size`` returns the magnitude of a number, in the type in which bounds on errors are computed.  ``select(condition, a,
b)`` returns a or b.  All other operations are ``+ - * /``, so that the core can be made from the same text.
"""


def summands(g, inverse_r, y, size_y, delta, size):
    """What a Gaussian adds to ``k``, ``k (m_G - m_0)`` and ``Y``, and to the sizes of the terms of the last two."""
    share = g * inverse_r
    force = share * delta
    return share, force, g * y, size(force), size(g) * size_y


def twice_divergence(
    r, e, size_e, delta, log_r, precision, k, mean, excess, size_mean, size_excess, dual, kernel, size, select,
    relative, rounding,
):  # fmt: skip
    """``2 KL(N_j||G)``, or ``2 KL(G||N_j)`` if dual, and a bound on its error; ``precision`` is ``1/v_G`` or ``1/v_j``.

    The errors of ``v_j/v_G - 1`` and ``m_j - m_G`` are ``relative`` times the sizes of their terms.  Without these
    errors, that of the value would be ``rounding`` times the value.
    """
    ratio = k * r
    displacement = delta - mean
    near, size_near = e + excess * r, size_e + size_excess * size(r)
    size_direct = size(ratio) + 1
    direct = size_direct < size_near
    x = select(direct, ratio - 1, near)
    value = kernel(x, ratio, k, log_r) + displacement * displacement * precision

    of_x = relative * select(direct, size_direct, size_near)
    of_d = relative * (size(delta) + size_mean)
    # g'(x) is at most 4 min(|x|, 1), and gs'(x) that divided by 1 + x; near x = -1 the logarithm is computed from k.
    slope = select(size(x) + of_x < 1, size(x) + of_x, 0 * of_x + 1)
    if dual:
        of_kernel = of_x * slope / size(ratio)
    else:
        of_kernel = of_x * slope
    of_square = of_d * (2 * size(displacement) + of_d) * size(precision)
    error = 10 * of_kernel + of_square + rounding * size(value)
    # This slope is valid for a small change only.
    return value, select(16 * of_x > 1 + size(x), 2 * size(value) + 2, error)
