"""Proofs by SymPy on the shipped formula: the definition, the limits of eqs. 14-19, the derivatives, the signs.

They hold for a one-dimensional pair; `test_definition.py` tests the reduction of any pair to such pairs.
"""

from functools import cache

import pytest
import sympy

from verification.pairs import DIVERGENCES
from verification.symbolic import alpha, bhattacharyya, definition, g, gs, kl, m1, m2, shipped, shipped_grad, v1, v2, x

KL12, KL21 = kl(m1, v1, m2, v2), kl(m2, v2, m1, v1)
# Proposition 1 (eqs. 17-19) for the reversed mean, eqs. 14-15 for the original one: at alpha -> 0 and alpha -> 1.
LIMITS = {
    (False, "deasy"): (KL12, KL21),
    (True, "deasy"): (KL21, KL12),
    (False, "nielsen"): (0, 0),
    (True, "nielsen"): (0, 0),
}


@cache  # `mutants.py` asks many times, mostly for the same expressions
def is_zero(expression):
    return sympy.simplify(sympy.expand_log(expression, force=True)) == 0


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_shipped_formula_is_the_definition(dual, convention):
    """Eqs. 8 and 10 with 2, 12, 13, identically in alpha, the means and the variances."""
    for substitution in ({}, {alpha: sympy.Rational(1, 3)}):
        assert is_zero((shipped(dual, convention) - definition(dual, convention)).subs(substitution))


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_value_at_an_end_is_the_limit_claimed(dual, convention, end):
    """Eqs. 14-15 and 17-19 by substitution: the formula has no branch there."""
    assert is_zero(shipped(dual, convention).subs(alpha, end) - LIMITS[dual, convention][end])


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_the_limit_at_an_end_is_the_one_claimed(dual, convention, end):
    """Eqs. 14-15 and 17-19 as limits from inside, for one generic pair of rational parameters."""
    numbers = {m1: sympy.Rational(1, 3), m2: -2, v1: sympy.Rational(5, 7), v2: 3}
    limit = sympy.limit(shipped(dual, convention).subs(numbers), alpha, end, "-" if end else "+")
    assert is_zero(limit - sympy.sympify(LIMITS[dual, convention][end]).subs(numbers))


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@pytest.mark.parametrize("parameter", ["mean1", "logvar1", "logvar2", "alpha"])
def test_the_shipped_derivative_is_the_derivative(dual, convention, parameter):
    value, index = shipped(dual, convention), ["mean1", "logvar1", "logvar2", "alpha"].index(parameter)
    variable, factor = [(m1, 1), (v1, v1), (v2, v2), (alpha, 1)][index]
    assert is_zero(factor * sympy.diff(value, variable) - shipped_grad(dual, convention)[index])


def test_g_and_gs_are_non_negative():
    """Both vanish at 0 and their derivatives have the sign of x on x > -1."""
    for kernel, derivative in ((g, x / (1 + x)), (gs, x / (1 + x) ** 2)):
        expression = kernel(x, 1 + x, None, None)
        assert expression.subs(x, 0) == 0
        assert sympy.simplify(sympy.diff(expression, x) - derivative) == 0


@pytest.mark.parametrize(("kernel", "other"), [(g, gs), (gs, g)])
def test_g_and_gs_outgrow_their_parts(kernel, other):
    """``g/x`` and ``gs/(x/k)`` increase for all x > -1, so a kernel loses fewest digits far from 0; see `README.md`."""
    part = x if kernel is g else x / (1 + x)
    slope = sympy.diff(kernel(x, 1 + x, None, None) / part, x)
    assert sympy.simplify(slope - other(x, 1 + x, None, None) / x**2) == 0


def test_the_logarithm_is_twice_the_artanh_of_the_argument_of_the_series():
    """``log(1+x) = 2 artanh(q)``, ``q = x/(2+x)``: both sides are equal at 0 and have the same derivative."""
    difference = sympy.log(1 + x) - 2 * sympy.atanh(x / (2 + x))
    assert difference.subs(x, 0) == 0
    assert sympy.simplify(sympy.diff(difference, x)) == 0


def test_the_original_dual_is_the_bhattacharyya_distance():
    """The distance is -log of the integral of ``p1^(1-a) p2^a`` [Nielsen 2019]."""
    assert is_zero(shipped(True, "nielsen") - bhattacharyya(alpha))


def test_the_original_divergence_and_its_dual_add_up_to_jeffreys():
    """Their sum is a(1-a) J, with ``J = KL(N1||N2) + KL(N2||N1)``."""
    total = shipped(False, "nielsen") + shipped(True, "nielsen")
    assert is_zero(total - alpha * (1 - alpha) * (KL12 + KL21))


def test_the_reversed_divergence_is_the_two_kls_less_bhattacharyya():
    """JSG = (1-a)^2 KL(N1||N2) + a^2 KL(N2||N1) - B_(1-a)."""
    kls = (1 - alpha) ** 2 * KL12 + alpha**2 * KL21
    assert is_zero(shipped(False, "deasy") - (kls - bhattacharyya(1 - alpha)))


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_exchanging_the_gaussians_and_their_weights_changes_nothing(dual, convention):
    value = shipped(dual, convention)
    exchanged = value.subs({m1: m2, m2: m1, v1: v2, v2: v1, alpha: 1 - alpha}, simultaneous=True)
    assert is_zero(value - exchanged)


def test_the_reversed_mean_turns_eq_9_but_not_eq_11_into_the_definition():
    """Erratum: eq. 11 omits terms that cancel only for the original weights."""
    g1, g2 = alpha, 1 - alpha
    v = 1 / (g1 / v1 + g2 / v2)
    m = v * (g1 * m1 / v1 + g2 * m2 / v2)
    eq9 = (((1 - alpha) * v1 + alpha * v2) / v + (1 - alpha) * (m - m1) ** 2 / v + alpha * (m - m2) ** 2 / v - 1) / 2
    eq9 += (sympy.log(v) - (1 - alpha) * sympy.log(v1) - alpha * sympy.log(v2)) / 2
    eq11 = ((1 - alpha) * m1**2 / v1 + alpha * m2**2 / v2 - m**2 / v) / 2
    eq11 += ((1 - alpha) * sympy.log(v1) + alpha * sympy.log(v2) - sympy.log(v)) / 2
    assert is_zero(eq9 - definition(False, "deasy"))
    assert not is_zero(eq11 - definition(True, "deasy"))
