"""The shipped formula on SymPy symbols, for a one-dimensional pair, with exact ``g`` and ``gs``."""

import sympy

from jsgmath import formula

m1, m2 = sympy.symbols("m1 m2", real=True)
v1, v2 = sympy.symbols("v1 v2", positive=True)
alpha = sympy.symbols("alpha", positive=True)
x = sympy.symbols("x", positive=True)

PAIR = (
    sympy.log(v1 / v2),
    v1 / v2,
    v2 / v1,
    v1 / v2 - 1,
    v2 / v1 - 1,
    (m1 - m2) / sympy.sqrt(v1),
    (m1 - m2) / sympy.sqrt(v2),
)


def g(x, k, other_k, log_r):
    return x - sympy.log(k)


def gs(x, k, other_k, log_r):
    return sympy.log(k) - x / k


def shipped(dual, convention):
    """The shipped divergence as an expression in alpha, m1, v1, m2 and v2."""
    w1, w2 = 1 - alpha, alpha
    g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)
    return formula.skew(w1, w2, *terms(g1, g2, *PAIR, kernel))


def shipped_grad(dual, convention):
    """The shipped derivatives by m1, log v1, log v2 and alpha."""
    w1, w2 = 1 - alpha, alpha
    g1, g2, slope = formula.mean_weights(w1, w2, convention == "deasy")
    terms, kernel = (formula.from_mean, gs) if dual else (formula.to_mean, g)
    derivatives = formula.from_mean_grad if dual else formula.to_mean_grad
    by_alpha = formula.from_mean_by_alpha if dual else formula.to_mean_by_alpha
    kl1, kl2 = terms(g1, g2, *PAIR, kernel)
    numbers = w1, w2, g1, g2, *PAIR[1:], 1 / sympy.sqrt(v1), 1 / sympy.sqrt(v2)
    return (
        *derivatives(*numbers),
        derivatives(*formula.exchanged(*numbers))[1],
        by_alpha(w1, w2, g1, g2, slope, kl1, kl2, *PAIR[1:]),
    )


def kl(ma, va, mb, vb):
    """KL by eq. 2, in one dimension."""
    return (va / vb + sympy.log(vb / va) + (mb - ma) ** 2 / vb - 1) / 2


def definition(dual, convention):
    """Eq. 8, or eq. 10 if ``dual``, from eqs. 2, 12 and 13."""
    g1, g2 = (alpha, 1 - alpha) if convention == "deasy" else (1 - alpha, alpha)
    v = 1 / (g1 / v1 + g2 / v2)
    m = v * (g1 * m1 / v1 + g2 * m2 / v2)
    if dual:
        return (1 - alpha) * kl(m, v, m1, v1) + alpha * kl(m, v, m2, v2)
    return (1 - alpha) * kl(m1, v1, m, v) + alpha * kl(m2, v2, m, v)


def bhattacharyya(weight):
    """-log of the integral of ``p1^(1-weight) p2^weight``; the exponent of the integrand is a quadratic."""
    t, centre = sympy.symbols("t centre", real=True)
    a = sympy.symbols("a", positive=True)
    integral = sympy.integrate(sympy.exp(-a * (t - centre) ** 2 / 2), (t, -sympy.oo, sympy.oo))
    log_p1, log_p2 = (-((t - m) ** 2 / v + sympy.log(2 * sympy.pi * v)) / 2 for m, v in ((m1, v1), (m2, v2)))
    exponent = (1 - weight) * log_p1 + weight * log_p2
    maximum = exponent.subs(t, sympy.solve(sympy.diff(exponent, t), t)[0])
    return -maximum - sympy.log(integral.subs(a, -sympy.diff(exponent, t, 2)))
