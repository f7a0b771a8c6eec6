"""The identities that hold for every exponential family compare the library with itself and with integrals."""

import numpy as np
import pytest
import scipy.stats as st
import sympy as sp
from hypothesis import given, settings
from mpmath import mp

from jsgmath import Gaussian, bhattacharyya, families, formula, jeffreys, jsg, jsg_dual, kl
from jsgmath.families.libraries.arithmetic import Arithmetic
from verification import family_oracles, members
from verification.pairs import DIVERGENCES, interior, seeds

# Each side is a sum of a few terms of size up to J, each accurate to an ulp.
REL = 1e-13
each_form = pytest.mark.parametrize("form", members.FORMS)
few = settings(max_examples=12)


def pair(form, seed):
    make = members.FORMS[form][0]
    return [make(*p) for p in members.ordinary(form, seed)]


def close(left, right, size):
    return abs(left - right) <= REL * size


@pytest.mark.parametrize("form", ["Poisson", "Geometric", "Exponential", "Gamma", "Beta", "Categorical", "Bernoulli"])
@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_the_original_dual_is_the_bhattacharyya_distance_by_sums_and_integrals(form, alpha):
    """``B_a = -log`` of the sum or integral of ``p^(1-a) q^a``."""
    (N1, N2), (family, *exact) = members.made(form, members.ordinary(form, 4))
    with mp.workdps(20):

        def power(x):
            p, q = (family_oracles.LOG_DENSITY[family](N, x) for N in exact)
            return mp.exp((1 - alpha) * p + alpha * q)

        if family in family_oracles.DISCRETE:
            total = mp.fsum(power(x) for x in range(len(exact[0]) if family == "Categorical" else 600))
        else:
            total = family_oracles._integral(family, power)
        assert bhattacharyya(N1, N2, alpha) == pytest.approx(float(-mp.log(total)), rel=1e-12, abs=0)


@each_form
@few
@given(seed=seeds, a=interior)
def test_the_original_divergences_sum_to_jeffreys_and_the_reversed_one_is_quadratic_in_the_kls(form, seed, a):
    """``JSG + JSG* = a(1-a) J``; for the reversed mean, ``JSG = (1-a)^2 KL + a^2 KL' - B_(1-a)``."""
    N1, N2 = pair(form, seed)
    J = jeffreys(N1, N2)
    total = N1.skew(N2, a, "nielsen", False) + N1.skew(N2, a, "nielsen", True)
    assert close(total, a * (1 - a) * J, J)
    right = (1 - a) ** 2 * kl(N1, N2) + a**2 * kl(N2, N1) - bhattacharyya(N1, N2, 1 - a)
    assert close(N1.skew(N2, a, "deasy", False), right, J)


@each_form
@settings(max_examples=8)
@given(seed=seeds, a=interior)
def test_the_reversed_dual_the_minimum_and_jeffreys_follow_from_the_geometric_means(form, seed, a):
    """The reversed dual is B plus a KL between the means; the mean minimises the dual; J splits at the mean.

    The means are rounded, which changes a KL of size D by about ``eps sqrt(D)``.
    """
    N1, N2 = pair(form, seed)
    R, J = pair(form, seed + 1)[1], jeffreys(N1, N2)
    G, reversed_mean = N1.geometric_mean(N2, a), N1.geometric_mean(N2, 1 - a)
    B, size = bhattacharyya(N1, N2, a), (1 + J) / min(a, 1 - a)
    assert close(N1.skew(N2, a, "deasy", True), B + kl(reversed_mean, G), size)
    left = (1 - a) * kl(R, N1) + a * kl(R, N2)
    assert close(left, kl(R, G) + B, size + left)
    assert close(jeffreys(N1, G) / a + jeffreys(N2, G) / (1 - a), J, size)


@each_form
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@settings(max_examples=6)
@given(seed=seeds, a=interior)
def test_exchanging_the_two_exchanges_the_weights(form, dual, convention, seed, a):
    """``JSG(N1, N2, a) = JSG(N2, N1, 1-a)``, and the same for the dual."""
    N1, N2 = pair(form, seed)
    value = N1.skew(N2, a, convention, dual)
    # 1 - a is rounded, and near an end this is a larger part of the small weight; so the error is relative to J.
    assert close(value, N2.skew(N1, 1 - a, convention, dual), jeffreys(N1, N2))


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
def test_independent_components_add(dual, convention):
    for make in (members.FORMS[form][0] for form in ("Poisson", "Bernoulli", "Geometric", "Exponential")):
        first, second = np.array([[0.2, 0.7, 0.4], [0.9, 0.3, 0.5]]), np.array([0.1, 0.6, 0.8])
        each = make(first).skew(make(second), [[0.1], [0.8]], convention, dual)
        together = make(first).independent(1).skew(make(second).independent(1), [0.1, 0.8], convention, dual)
        assert together == pytest.approx(each.sum(-1), rel=1e-15, abs=0)


@each_form
@few
@given(seed=seeds, a=interior)
def test_bhattacharyya_and_jsg_keep_their_bounds(form, seed, a):
    """``B <= min(a KL, (1-a) KL')``; the reversed JSG is at most ``U = (1-a)^2 KL + a^2 KL'`` and not far below it."""
    N1, N2 = pair(form, seed)
    forward, backward, slack = kl(N1, N2), kl(N2, N1), 1 + REL
    assert bhattacharyya(N1, N2, a) <= min(a * forward, (1 - a) * backward) * slack
    upper = (1 - a) ** 2 * forward + a**2 * backward
    lower = upper - min((1 - a) * forward, a * backward)
    assert lower - REL * upper <= N1.skew(N2, a, "deasy", False) <= upper * slack


@each_form
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@settings(max_examples=6)
@given(seed=seeds, a=interior)
def test_equal_members_have_divergence_zero(form, dual, convention, seed, a):
    N, _ = pair(form, seed)
    assert N.skew(N, a, convention, dual) == 0


def choose(condition, yes, no):
    """Chooses one of two computations of the same number; SymPy cannot decide which one is more accurate."""
    return yes if condition in (True, sp.true) else no


class Symbolic(Arithmetic):
    """The functions of a family's shipped text, for SymPy expressions."""

    array = rounded = result_type = None  # not needed

    def __init__(self):
        self.log, self.exp, self.where = sp.log, sp.exp, choose

    def clamp(self, x, low, high):
        return x

    def normal(self, x):
        return x

    def finite(self, x):
        return x

    def quotient(self, factors, divisors=()):
        return sp.prod(factors) / sp.prod(divisors)

    def average(self, w1, x, w2, y):
        return w1 * x + w2 * y

    def wide(self, x):
        return x

    def number(self, x):
        return x

    def weighted_product(self, x, own, y, weight):
        return x**own * y**weight

    def log_ratio(self, excess, y, x):
        return sp.log(y / x)

    def excess(self, y, x):
        return y / x - 1

    def g_of(self, x, k):
        return x - sp.log(k)

    def g(self, x, k, other_k, log_r):
        return x - sp.log(k)

    def gs(self, x, k, other_k, log_r):
        return sp.log(k) - x / k

    def log1p(self, x):
        return sp.log(1 + x)

    def expm1(self, x):
        return sp.exp(x) - 1

    def work(self, x):
        return x

    def bits(self, x):
        return 64


x, y, a = sp.symbols("x y a", positive=True)
TEXTBOOK = {families.Poisson: x * sp.log(x / y) - x + y, families.Exponential: sp.log(x / y) + y / x - 1}


def symbolic(family, rate):
    """A member with a symbolic rate, for the shipped text."""
    kind = type(family.__name__, (family,), {"__init__": lambda self: None, "arithmetic": Symbolic()})
    member = kind()
    member.parameters = {"rate": rate}
    return member


def vanishes(expression):
    exact = sp.nsimplify(expression, rational=True)
    return sp.simplify(sp.expand_log(sp.expand(sp.powsimp(sp.expand(exact))), force=True)) == 0


@pytest.mark.parametrize("family", TEXTBOOK)
@pytest.mark.parametrize("dual", [False, True])
def test_the_shipped_text_has_the_two_kls_or_zero_at_the_ends(family, dual):
    """Proposition 1, on the families' own text: by substitution, and by ``limit`` where SymPy is fast enough."""
    N1, N2 = symbolic(family, x), symbolic(family, y)
    forward = TEXTBOOK[family]
    ends = forward, forward.subs({x: y, y: x}, simultaneous=True)
    for reverse in (True, False):
        g1, g2, _ = formula.mean_weights(1 - a, a, reverse)
        value = formula.skew(1 - a, a, *N1.terms(N2, g1, g2, dual))
        for end in (0, 1):
            expected = ends[end != dual] if reverse else 0
            assert vanishes(value.subs(a, end) - expected)
            if family is families.Exponential:
                limit = sp.limit(sp.nsimplify(value, rational=True), a, end, "+" if end == 0 else "-")
                assert vanishes(limit - expected)


def test_a_wishart_divergence_is_that_of_its_scale_times_the_degrees_of_freedom():
    """A Wishart variable of integer degrees is the scatter of that many draws from N(0, scale)."""
    scales = np.array([[2.0, 0.5], [0.5, 1.0]]), np.eye(2)
    wisharts = [st.wishart(5, S) for S in scales]
    gaussians = [Gaussian(np.zeros(2), cov=S) for S in scales]
    for divergence in (jsg, jsg_dual):
        value, one = divergence(*wisharts, 0.3), divergence(*gaussians, 0.3)
        assert one > 0.01
        assert value == pytest.approx(5 * one, rel=1e-15)
