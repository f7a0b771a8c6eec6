"""Broken C++ for exponential families gives other bits, or leaves far more values undecided.

All mutants are compiled together, and a variable chooses one. The constants and the bounds on the error are tested by
the proofs in verification/test_family_arithmetic.py and verification/test_gamma_terms.py.
"""

from itertools import product

import numpy as np
import pytest

from jsgmath import native
from jsgmath.families import (
    Bernoulli,
    Categorical,
    Dirichlet,
    Exponential,
    Gamma,
    Geometric,
    Poisson,
    rounding,
)
from jsgmath.families.rounding import Divergence
from tests.native import calls, test_families, test_gamma

MUTANTS = {
    # All families
    "a logarithm without its low part": ("members.hpp", "log_rest + q * (w * LongTail{}(w) + every(2))",
                                         "exact((log_rest + q * (w * LongTail{}(w) + every(2))).high)"),
    "exp(x) - 1 for exp(x) - 1 - x": ("members.hpp", "found.minus_one_and_x", "found.minus_one"),
    "no limits": ("members.hpp", "between(x, 1 / LARGEST, LARGEST)", "true"),
    "a rounding test of one side": ("kernels.hpp", "lower == upper ? lower : every(NAN_)",
                                    "lower == sum ? lower : every(NAN_)"),
    "no bound": ("members.hpp", "sum.error * (1 + 0x1p-20) + of_sum * sum.value.high", "Lanes{}"),
    "members not exchanged": ("members.hpp", "in.exchanged()", "in"),
    "lanes that are not valid": ("members.hpp", "set_lane(times, lane, 0);", ""),
    "lanes without their low parts": ("pair.hpp", "every(lane(x.low, i))", "Lanes{}"),
    "no copies": ("members.hpp", "found.value * times", "found.value"),
    "open values not counted": ("members.hpp", "open[i] += to[i] != to[i];", ""),
    # families.cpp
    "a product without its low part": ("families.cpp", "two_product(x, y) + sound", "exact(x * y) + sound"),
    "a scale for a rate": ("families.cpp", "in.form1 == PLAIN ? many(product, pair(1)) : many(pair(1), product)",
                           "in.form1 == PLAIN ? many(pair(1), product) : many(product, pair(1))"),
    "no limit of log-odds": ("families.cpp", "between(x, -LARGEST_LOGIT, LARGEST_LOGIT)", "true"),
    "no limit of their difference": ("families.cpp", "(x == 0) | moderate(absolute(x))", "true"),
    "a probability and log-odds that are close": ("families.cpp", "APART * larger(p1.high, p2.high)",
                                                  "0.0 * larger(p1.high, p2.high)"),
    "a difference of the other sign": ("families.cpp", "many(p2, q2, p1, q1, -d)", "many(p2, q2, p1, q1, d)"),
    "a difference without its low part": ("families.cpp", "two_sum(in(2), -in(0))", "exact(in(2) - in(0))"),
    "nothing for outcomes of probability 0": ("families.cpp", "beyond + rest", "beyond"),
    "outcomes that are impossible for N2 alone": ("families.cpp", "zero1 | ~zero2", "true"),
    "outcomes that are impossible for one alone": ("families.cpp", "~(zero1 ^ zero2)", "true"),
    "tops without a low part": ("families.cpp", "two_sum(top2, -top1)", "exact(top2 - top1)"),
    "a ratio without its low part": ("families.cpp", "difference(second, scaled) / scaled",
                                     "difference(second, exact(scaled.high)) / scaled"),
    "the other total": ("families.cpp", "all.p2[i] * all.inverse2", "all.p2[i] * all.inverse1"),
    "equal members not seen": ("families.cpp", "all.same ? Lanes{} : value.high", "value.high"),
    "the mean's sign": ("families.cpp", "grown(-s1).minus_one_and_x", "grown(s1).minus_one_and_x"),
    # gamma.cpp
    "a determinant without its low parts": ("gamma.cpp", "sum.low + (high.low + low.low)", "sum.low"),
    "differences that are not renormalised": ("pair.hpp", "return two_sum(high.high, high.low + (a.low - b.low));",
                                              "return {high.high, high.low + (a.low - b.low)};"),
    "a shorter series": ("gamma.cpp", "polynomial(FINE_TAIL, w.high)", "polynomial(LONG_TAIL, w.high)"),
    "a product of changes without a term": ("gamma.cpp", "a.less * (b.value + b.less)", "a.less * b.value"),
    "Stirling's series in doubles": ("gamma.cpp", "pair(STIRLING_PAIRS[STIRLING_PAIRS_COUNT - 1 - n])",
                                     "exact(pair(STIRLING_PAIRS[STIRLING_PAIRS_COUNT - 1 - n]).high)"),
    "no further terms of Stirling's series": ("gamma.cpp", "with_low(total, more.first)", "total"),
    "a term of the other sign": ("gamma.cpp", "divergence == FROM_MEAN ? -cross1 : cross1", "cross1"),
    "a move of the other sign": ("gamma.cpp", "return {mean, own, -move};", "return {mean, own, move};"),
    "a choice of the other one": ("gamma.cpp", "choose(is, of.x, largest.x)", "choose(is, largest.x, of.x)"),
    "a total without its low part": ("gamma.cpp", "normal(total1 + a1)", "exact((total1 + a1).high)"),
    "never near": ("gamma.cpp", "0.5 * total1.high", "0.0 * total1.high"),
}  # fmt: skip


TIES = 8
OPEN = 340  # undecided values; without a mutant there are 287
HALF = np.array(0.5)


def pairs():
    """Pairs of members, each with a weight and a divergence."""
    rng = np.random.default_rng(3)
    # (sqrt(l1) - sqrt(l2))^2/2 is half the square of an odd number of 27 bits: in the middle between two doubles.
    odd = 2.0 * rng.integers(2**26 - 2**20, 2**26, TIES) + 1
    yield Poisson((odd + 1) ** 2), Poisson(1.0), HALF, Divergence.FROM_MEAN, False
    for each in (test_families, test_gamma):
        for (N1, N2, alpha), divergence in product(each.batches(97), each.DIVERGENCES):
            yield N1, N2, alpha, *divergence
    # Rows that are summed, and float32.
    x, y = rng.uniform(0.2, 3, (2, 40, 11))
    yield *(Poisson(z).repeated(3).independent(1) for z in (x, y)), HALF, Divergence.TO_MEAN, False
    yield *map(Poisson, np.float32([x, y])), HALF, Divergence.TO_MEAN, False
    for N1, N2 in extreme_pairs(rng):
        yield N1, N2, np.array(0.3), Divergence.FROM_MEAN, False
    # Outcomes that are impossible for one or both.
    for first, second in (([0.0, 1, 2], [3.0, 5, 4]), ([3.0, 5, 4], [0.0, 1, 2]), ([0.0, 1, 2], [0.0, 5, 4])):
        for divergence in (Divergence.DIRECT, Divergence.FROM_MEAN):
            yield Categorical(first), Categorical(second), HALF, divergence, True


def extreme_pairs(rng):
    """Members beyond the limits of the parameters, and members that differ only by rounding."""
    for kind in (Exponential, Gamma, Dirichlet):
        far, other = 10.0 ** rng.uniform(-300, 300, (2, 8, 2))
        yield (kind(*far.T), kind(*other.T)) if kind is Gamma else (kind(far), kind(other))
    for kind, middle in product((Bernoulli, Geometric), (-705.0, 1e-158)):
        x, y = middle * (1 + 1e-3 * rng.normal(size=(2, 8)))
        yield kind(logits=x), kind(logits=y)
    logit = rng.normal(size=16)
    yield Bernoulli(1 / (1 + np.exp(-logit))), Bernoulli(logits=logit)
    x = rng.normal(size=(97, 4))
    yield Categorical(x**2), Categorical(x**2)
    large = 1e12 * rng.uniform(0.5, 2, (97, 4))
    yield Dirichlet(large), Dirichlet(large * (1 + 2.0**-52 * rng.integers(0, 2, large.shape)))


BATCHES = [rounding.batch_of(N1, N2, divergence, reverse, alpha)[0] for N1, N2, alpha, divergence, reverse in pairs()]
COMMITTED = calls.batches()


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("families", "gamma"), MUTANTS.values())


def values(core):
    """The values that the core decides, NaN for the others, and how many it reports as undecided."""
    found = [native.families(*batch, core=core) for batch in (*BATCHES, *COMMITTED[0])]
    return np.concatenate([each.ravel() for each, _ in found]), sum(left for _, left in found)


@pytest.fixture(scope="module")
def right(core):
    """The right values; those that the core does not decide are computed by decimal numbers."""
    found = []
    for batch in BATCHES:
        values, _ = native.families(*batch, core=native.open_core(core)[0])
        rounding.decide(batch, values)
        found.append(values.ravel())
    return np.concatenate([*found, COMMITTED[1]])


def noticed(values, left, right):
    is_open = np.isnan(values)
    return (
        (values != right)[~is_open].any() or left != is_open.sum() or is_open.sum() > OPEN or not is_open[:TIES].all()
    )


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert not noticed(*values(chosen(0)), right)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert noticed(*values(chosen(number)), right)
