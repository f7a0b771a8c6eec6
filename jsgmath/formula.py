r"""The one scalar formula that every divergence of this package is made of, and its derivatives.

Simultaneous diagonalisation turns two Gaussians into independent pairs of one dimension, ``N(m1, v1)`` and
``N(m2, v2)``.  For such a pair, index 1 belonging to ``N1`` and index 2 to ``N2``, write

    r1 = v1/v2,  e1 = r1 - 1,  d1 = (m1 - m2)/sqrt(v1)        r2 = v2/v1,  e2 = r2 - 1,  d2 = (m1 - m2)/sqrt(v2)

The geometric mean ``G`` with weights ``g1 + g2 = 1`` has precision ``g1/v1 + g2/v2`` [1, eq. 12], so that

    k1 = v1/v_G = g1 + g2 r1,   p1 = g1/k1                    k2 = v2/v_G = g2 + g1 r2,   p2 = g2/k2

``p1 + p2 = 1`` are the shares of the two precisions in G's, its mean is ``p1 m1 + p2 m2`` [1, eq. 13], and
``1/k1 = v_G/v1 = p1 + p2 r2 = 1 + p2 e2``, and with the indices exchanged.  Then

    2 KL(N1||G) = g(g2 e1) + g2 p2 d2^2      g(x)  = x - log(1+x)        >= 0
    2 KL(G||N1) = gs(g2 e1) + (p2 d1)^2      gs(x) = log(1+x) - x/(1+x)  >= 0

and likewise for N2 with the indices exchanged.  Every summand is non-negative, so nothing cancels.

The functions below use only ``+ - * /``, so the same text runs on NumPy arrays, torch and Triton tensors, SymPy symbols
and Arb balls.  ``g`` and ``gs`` are arguments, called as ``g(x, k, other_k, log_r)`` with ``k = 1 + x`` free of
cancellation and ``k = other_k exp(log_r)``, for an implementation to choose what is exact (`special.py`) or needs
least (a symbolic one is ``x - log(k)``).  Products are ordered so that a weight of zero meets a factor before it
can overflow.

[1] Deasy, Simidjievski, Lio 2020, https://arxiv.org/abs/2006.10599
"""


def mean_weights(w1, w2, reverse):
    """Weights ``g1, g2`` of the geometric mean, and ``d g2/d alpha``: eq. 7 of [1], or reversed, its eq. 16."""
    if reverse:
        g1, g2, slope = w2, w1, -1
    else:
        g1, g2, slope = w1, w2, 1
    return g1, g2, slope


def shares(g1, g2, r1, r2):
    """``k1, k2`` and the shares ``p1, p2`` of N1 and N2 in the precision of G."""
    k1 = g1 + g2 * r1
    k2 = g2 + g1 * r2
    return k1, k2, g1 / k1, g2 / k2


def to_mean(g1, g2, log_r1, r1, r2, e1, e2, d1, d2, g):
    """``KL(N1||G), KL(N2||G)``, the two terms of JSG [1, eq. 8]."""
    k1, k2, p1, p2 = shares(g1, g2, r1, r2)
    kl1 = g(g2 * e1, k1, k2, log_r1) + (g2 * d2) * (p2 * d2)
    kl2 = g(g1 * e2, k2, k1, -log_r1) + (g1 * d1) * (p1 * d1)
    return kl1 / 2, kl2 / 2


def from_mean(g1, g2, log_r1, r1, r2, e1, e2, d1, d2, gs):
    """``KL(G||N1), KL(G||N2)``, the two terms of the dual JSG* [1, eq. 10]."""
    k1, k2, p1, p2 = shares(g1, g2, r1, r2)
    kl1 = gs(g2 * e1, k1, k2, log_r1) + (p2 * d1) * (p2 * d1)
    kl2 = gs(g1 * e2, k2, k1, -log_r1) + (p1 * d2) * (p1 * d2)
    return kl1 / 2, kl2 / 2


def exchanged(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2):
    """The same numbers with the indices exchanged."""
    return w2, w1, g2, g1, r2, r1, e2, e1, d2, d1, i2, i1


def skew(w1, w2, kl1, kl2):
    """The weighted sum that makes a divergence of the two terms."""
    return w1 * kl1 + w2 * kl2


def to_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2):
    """Derivatives of JSG by ``m1`` (``m2``: its negative) and ``log v1``; ``i1 = 1/sqrt(v1)``, ``i2 = 1/sqrt(v2)``.

    That by ``log v2`` is the second one with the indices exchanged.
    """
    _, _, p1, p2 = shares(g1, g2, r1, r2)
    c1 = w1 * g2 * p2
    c2 = w2 * g1 * p1
    u1, s1 = c1 * d2, c1 * e1
    u2, s2 = c2 * d1, c2 * e2
    return u1 * i2 + u2 * i1, (s1 + u1 * (p1 * d2) - s2 - u2 * (d1 + p2 * d1)) / 2


def to_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2):
    """Derivative of JSG by alpha; ``slope`` from `mean_weights`, ``kl1, kl2`` from `to_mean`."""
    _, _, p1, p2 = shares(g1, g2, r1, r2)
    by_weight1 = (w1 * d2) * (p2 * d2) * (2 + p2 * e2) - (w1 * e1) * (p2 * e2)
    by_weight2 = (w2 * d1) * (p1 * d1) * (2 + p1 * e1) - (w2 * e2) * (p1 * e1)
    return kl2 - kl1 + slope * (by_weight1 - by_weight2) / 2


def from_mean_grad(w1, w2, g1, g2, r1, r2, e1, e2, d1, d2, i1, i2):
    """Derivatives of the dual JSG*, as `to_mean_grad`."""
    _, _, p1, p2 = shares(g1, g2, r1, r2)
    h1 = p2 * d1
    h2 = p1 * d2
    c1 = w1 * p2
    c2 = w2 * p1
    s1 = c1 * (p2 * e2)
    s2 = c2 * (p1 * e1)
    mean1 = c1 * h1 * i1 + c2 * h2 * i2
    logvar1 = (s2 + w1 * h1 * h1 * (p1 - p2) - s1 - 2 * (w2 * h2 * h2 * p2)) / 2
    return mean1, logvar1


def from_mean_by_alpha(w1, w2, g1, g2, slope, kl1, kl2, r1, r2, e1, e2, d1, d2):
    """Derivative of the dual JSG* by alpha, as `to_mean_by_alpha`; ``kl1, kl2`` from `from_mean`."""
    _, _, p1, p2 = shares(g1, g2, r1, r2)
    inverse1 = p1 + p2 * r2
    inverse2 = p2 + p1 * r1
    by_weight1 = inverse1 * (2 * (w1 * d1) * (p2 * d1) * inverse2 - (w1 * e1) * (p2 * e2))
    by_weight2 = inverse2 * (2 * (w2 * d2) * (p1 * d2) * inverse1 - (w2 * e2) * (p1 * e1))
    return kl2 - kl1 + slope * (by_weight1 - by_weight2) / 2
