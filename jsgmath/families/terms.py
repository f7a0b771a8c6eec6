r"""The divergences of each family as sums of non-negative terms, for numbers of any type with ``+ - * /``.

C++ is translated from these functions (``native/translate.py``), and NumPy runs them on pairs of floats
(`wide_families.py`).  In each, ``KL(N1||G), KL(N2||G)`` are the divergences to the geometric mean with the weights
``g1 + g2 = 1``, ``KL(G||N1), KL(G||N2)`` are those from it, and ``KL(N1||N2)`` needs no mean.  The number type brings
the functions

    difference(x, y)   ``x - y``, accurate even if nearly all of it cancels
    g(x, k)            ``x - log(k)`` for ``k = 1 + x``
    log(x, k)          ``log(k)`` for ``k = 1 + x``
    growth(s)          ``exp(s), exp(s) - 1, exp(s) - 1 - s``

all of them accurate to the last digits relative to their results.  verification/README.md derives the terms.
"""


def exponential_direct(x1, x2, difference, g):
    """``KL(N1||N2)`` of exponential distributions; the rate of N2 is that of N1 times ``x2/x1``."""
    return g(difference(x2, x1) / x1, x2 / x1)


def exponential_to_mean(x1, x2, g1, g2, difference, g):
    """``KL(N1||G), KL(N2||G)``"""
    d = difference(x2, x1)
    mean = g1 * x1 + g2 * x2
    return g(g2 * d / x1, mean / x1), g(-(g1 * d / x2), mean / x2)


def exponential_from_mean(x1, x2, g1, g2, difference, g):
    """``KL(G||N1), KL(G||N2)``"""
    d = difference(x2, x1)
    mean = g1 * x1 + g2 * x2
    return g(-(g2 * d / mean), x1 / mean), g(g1 * d / mean, x2 / mean)


def poisson_direct(l1, l2, difference, g):
    """``KL(N1||N2)`` of Poisson distributions, by their rates."""
    return l1 * g(difference(l2, l1) / l1, l2 / l1)


def poisson_to_mean(l1, l2, g1, g2, difference, log, growth):
    """``KL(N1||G), KL(N2||G)``"""
    t = log(difference(l2, l1) / l1, l2 / l1)
    _, _, h1 = growth(g2 * t)
    _, _, h2 = growth(-(g1 * t))
    return l1 * h1, l2 * h2


def poisson_from_mean(l1, l2, g1, g2, difference, log, growth):
    """``KL(G||N1), KL(G||N2)``"""
    t = log(difference(l2, l1) / l1, l2 / l1)
    ratio1, _, _ = growth(g2 * t)
    _, _, h1 = growth(-(g2 * t))
    _, _, h2 = growth(g1 * t)
    mean = l1 * ratio1
    return mean * h1, mean * h2


def of_probabilities(p1, p2, difference):
    """``p1, q1, p2, q2, p1 - p2`` with ``q = 1 - p``."""
    return p1, 1.0 - p1, p2, 1.0 - p2, difference(p1, p2)


def of_log_odds(x1, x2, growth):
    """The results of `of_probabilities` for probabilities whose log-odds are x1 and x2."""
    odds1, _, _ = growth(x1)
    odds2, _, _ = growth(x2)
    _, v, _ = growth(x2 - x1)
    q1 = 1.0 / (1.0 + odds1)
    q2 = 1.0 / (1.0 + odds2)
    p1 = odds1 * q1
    return p1, q1, odds2 * q2, q2, -(p1 * q2 * v)


def of_both(p1, x2, difference, growth):
    """The results of `of_probabilities` for p1 and log-odds x2; the difference of close ones is not accurate."""
    odds2, _, _ = growth(x2)
    q2 = 1.0 / (1.0 + odds2)
    p2 = odds2 * q2
    return p1, 1.0 - p1, p2, q2, difference(p1, p2)


def geometric_direct(p1, q1, p2, q2, d, g):
    """``KL(N1||N2)`` of geometric distributions with ``p`` and ``q = 1 - p``; ``d = p1 - p2``."""
    return g(-(d / p1), p2 / p1) + q1 / p1 * g(d / q1, q2 / q1)


def geometric_mean_of(p1, q1, p2, q2, d, g1, g2, log, growth):
    """``p`` of G, and ``log(q2/q1)``."""
    t = log(d / q1, q2 / q1)
    _, minus_p, _ = growth(g1 * log(-p1, q1) + g2 * log(-p2, q2))
    return -minus_p, t


def geometric_to_mean(p1, q1, p2, q2, d, g1, g2, g, log, growth):
    """``KL(N1||G), KL(N2||G)``"""
    p, t = geometric_mean_of(p1, q1, p2, q2, d, g1, g2, log, growth)
    _, v1, h1 = growth(g2 * t)
    _, v2, h2 = growth(-(g1 * t))
    return g(-(q1 * v1 / p1), p / p1) + q1 * h1 / p1, g(-(q2 * v2 / p2), p / p2) + q2 * h2 / p2


def geometric_from_mean(p1, q1, p2, q2, d, g1, g2, g, log, growth):
    """``KL(G||N1), KL(G||N2)``"""
    p, t = geometric_mean_of(p1, q1, p2, q2, d, g1, g2, log, growth)
    k1, v1, _ = growth(g2 * t)
    _, v2, _ = growth(-(g1 * t))
    _, _, h1 = growth(-(g2 * t))
    _, _, h2 = growth(g1 * t)
    q = q1 * k1
    return g(q1 * v1 / p, p1 / p) + q * h1 / p, g(q2 * v2 / p, p2 / p) + q * h2 / p


def bernoulli_direct(p1, q1, p2, q2, d, g):
    """``KL(N1||N2)`` of Bernoulli distributions, with the arguments of `geometric_direct`."""
    return p1 * g(-(d / p1), p2 / p1) + q1 * g(d / q1, q2 / q1)


def bernoulli_to(p, q, s, g, growth):
    """The divergence from the distribution of ``p`` and ``q = 1 - p`` to the one whose log-odds are larger by s."""
    k, v, _ = growth(s)
    z = q + p * k
    return p * g(q * v / z, k / z) + q * g(-(p * v / z), 1.0 / z)


def bernoulli_from(p, q, s, g, growth):
    """The divergence in the other direction, with the arguments of `bernoulli_to`."""
    k, v, _ = growth(s)
    z = q + p * k
    return (p * k * g(-(q * v / k), z / k) + q * g(p * v, z)) / z


def log_odds_between(p1, q1, p2, q2, d, log):
    """The log-odds of N2 minus those of N1."""
    odds = p1 * q2
    return log(-(d / odds), p2 * q1 / odds)


def bernoulli_to_mean(p1, q1, p2, q2, t, g1, g2, g, growth):
    """``KL(N1||G), KL(N2||G)``; t is the log-odds of N2 minus those of N1."""
    return bernoulli_to(p1, q1, g2 * t, g, growth), bernoulli_to(p2, q2, -(g1 * t), g, growth)


def bernoulli_from_mean(p1, q1, p2, q2, t, g1, g2, g, growth):
    """``KL(G||N1), KL(G||N2)``"""
    return bernoulli_from(p1, q1, g2 * t, g, growth), bernoulli_from(p2, q2, -(g1 * t), g, growth)
