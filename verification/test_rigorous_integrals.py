"""The shipped formula is the integral of the densities, to 30 proved digits: eqs. 1, 7, 8 and 10.

Both sides are balls of Arb, proved to contain the true value.  One side uses only that a Gaussian's log-density is a
quadratic polynomial and that the geometric mean is the normalised product of powers of two densities.  The other side
runs `formula.py` and `special.py` as shipped.  The two balls overlap and are this narrow, which proves 30 digits.
"""

from functools import partial
from math import factorial

import pytest
from flint import acb, arb, arb_poly, ctx, fmpq

from jsgmath import formula, special
from verification.oracles import mean_weights
from verification.pairs import DIVERGENCES

BITS = 160
# Integrals go from -REACH to REACH; `_tail` bounds the rest, which is below 1e-100.
REACH = 60
# (m1, v1), (m2, v2): an ordinary pair, equal variances, nearly equal Gaussians, Gaussians far apart.
PAIRS = [
    ((fmpq(1, 3), fmpq(5, 7)), (fmpq(-2), fmpq(3))),
    ((fmpq(1), fmpq(2)), (fmpq(-1, 2), fmpq(2))),
    ((fmpq(0), fmpq(1)), (fmpq(1, 1000), fmpq(1001, 1000))),
    ((fmpq(3), fmpq(1, 9)), (fmpq(-1), fmpq(4))),
]
ALPHAS = [fmpq(0), fmpq(1, 10), fmpq(1, 2), fmpq(9, 10), fmpq(1)]


def log_density(mean, variance):
    x = arb_poly([-arb(mean), 1])
    return x * x * (-1 / (2 * arb(variance))) - (2 * arb.pi() * arb(variance)).log() / 2


def integral(exponent, factor):
    """The integral of ``exp(exponent(x)) factor(x)`` over all x, for two polynomials; it has no singularities."""

    def integrand(x, _):
        return _at(exponent, x).exp() * _at(factor, x)

    return acb.integral(integrand, -REACH, REACH).real + _tail(exponent, factor, 1) + _tail(exponent, factor, -1)


def _at(polynomial, x):
    """Horner's rule, for complex x."""
    value = acb(0)
    for coefficient in reversed(polynomial.coeffs()):
        value = value * x + coefficient
    return value


def _tail(exponent, factor, side):
    """A ball that contains the integral beyond ``side * REACH``.

    At a distance y beyond that point, the exponent is ``e0 - rate y - e2 y^2 <= e0 - rate y``, and the factor is at
    most ``sum |a_j| y^j``.  The integral of ``exp(-rate y) y^j`` is ``j!/rate^(j+1)``.
    """
    beyond = arb_poly([side * REACH, side])
    exponent, factor = exponent(beyond), factor(beyond)
    rate = -exponent[1]
    assert rate > 0 >= exponent[2]
    bound = exponent[0].exp() * sum(abs(a) * factorial(j) / rate ** (j + 1) for j, a in enumerate(factor.coeffs()))
    assert bound < 1e-100
    return bound * arb(0, 1)


def by_integrals(N1, N2, alpha, dual, convention):
    """Eq. 8, or eq. 10 if ``dual``, with eq. 1 for each KL divergence and eq. 7 or 16 for the mean."""
    g1, g2 = mean_weights(arb(alpha), convention)
    w1, w2 = 1 - arb(alpha), arb(alpha)
    p1, p2 = log_density(*N1), log_density(*N2)
    product = g1 * p1 + g2 * p2
    g = product - integral(product, arb_poly([1])).log()
    if dual:
        return integral(g, w1 * (g - p1) + w2 * (g - p2))
    return w1 * integral(p1, p1 - g) + w2 * integral(p2, p2 - g)


def by_the_shipped_formula(N1, N2, alpha, dual, convention):
    (m1, v1), (m2, v2) = ((arb(m), arb(v)) for m, v in (N1, N2))
    kernel = partial(
        special.gs if dual else special.g,
        log=arb.log,
        where=lambda condition, yes, no: yes if condition else no,
        one=arb(1),
        terms=special.series_terms(BITS),
        floor=arb(2) ** -1000,
    )
    w1, w2 = 1 - arb(alpha), arb(alpha)
    g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
    delta = m1 - m2
    pair = (v1 / v2).log(), v1 / v2, v2 / v1, (v1 - v2) / v2, (v2 - v1) / v1, delta / v1.sqrt(), delta / v2.sqrt()
    terms = formula.from_mean if dual else formula.to_mean
    return formula.skew(w1, w2, *terms(g1, g2, *pair, kernel))


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize(("N1", "N2"), PAIRS, ids=["ordinary", "equal variances", "nearly equal", "far apart"])
def test_the_shipped_formula_is_the_integral_to_30_digits(N1, N2, dual, convention):
    with ctx.workprec(BITS):
        for alpha in ALPHAS:
            integral = by_integrals(N1, N2, alpha, dual, convention)
            shipped = by_the_shipped_formula(N1, N2, alpha, dual, convention)
            assert integral.overlaps(shipped)
            if convention == "nielsen" and alpha in (0, 1):  # 0 by eqs. 14 and 15, and 0 has no relative width
                assert shipped == 0
                assert integral.rad() < 1e-30
            else:
                assert integral.rad() < 1e-30 * integral
                assert shipped.rad() < 1e-30 * shipped
