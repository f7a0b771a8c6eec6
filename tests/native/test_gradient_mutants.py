"""Broken C++ for derivatives gives other bits, or leaves other rows undecided (see `test_many_mutants.py`).

The formulas are translated from Python, so `verification/mutants.py` tests them.  The bound is tested by the proof in
verification/test_many_arithmetic.py.
"""

from itertools import product

import numpy as np
import pytest

from jsgmath import Gaussian, jsg_dual_grad, jsg_grad, native
from tests.native import test_gradient
from tests.native.test_gradient import Batch
from tests.native.test_many_mutants import same

MUTANTS = {
    # number.hpp
    "variances whose low parts do not count": ("number.hpp", "high.low + low.high", "high.low"),
    # gradient.cpp
    "sizes of a difference": ("gradient.cpp", "a.size + b.size", "absolute((a.value + b.value).high)"),
    "a slope of one sign": ("gradient.cpp", "slope > 0 ? a : -a", "a"),
    "a half without its low part": ("gradient.cpp", "0.5 * a.value.low", "Lanes{}"),
    "roots without the variance": ("gradient.cpp", "a.factor * b.factor * a.inverse_v", "a.factor * b.factor"),
    "kernels as exact as products": ("gradient.cpp", "KERNEL_UNITS * absolute(found.high)", "0.0 * found.high"),
    "a deviation for a variance": ("gradient.cpp", "two_product(scale, scale)", "exact(scale)"),
    "no limit of a log-variance among variances": (
        "gradient.cpp", "poison(between(scale, -WIDEST_LOGVAR, WIDEST_LOGVAR))", "Lanes{}"),
    "a displacement without its low part": ("gradient.cpp", "two_sum(mean1, -mean2)", "exact(mean1 - mean2)"),
    "no limits of displacements": ("gradient.cpp", "zero_or_inside(s.delta.high)", "true"),
    "a log-ratio without its low part": ("gradient.cpp", "two_sum(scale1, -scale2)", "exact(scale1 - scale2)"),
    "the other log-variance": ("gradient.cpp", "exact(-scale2)", "exact(-scale1)"),
    "no limit of the first log-variance": ("gradient.cpp", "between(scale1, -WIDEST_LOGVAR, WIDEST_LOGVAR)", "true"),
    "no limit of the second log-variance": ("gradient.cpp", "between(scale2, -WIDEST_LOGVAR, WIDEST_LOGVAR)", "true"),
    "a difference that loses low parts": ("gradient.cpp", "apart(v1, v2)", "v1 - v2"),
    "no limit of the first variance": ("gradient.cpp", "inside(v1.high)", "true"),
    "no limit of the second variance": ("gradient.cpp", "inside(v2.high)", "true"),
    "a variance and a log-variance that are close": ("gradient.cpp", "s.sound &= absolute(s.e1.high) >= APART;", ""),
    "the derivative by the first variance": ("gradient.cpp", "logvar1 * i1.inverse_v", "logvar1"),
    "the derivative by the second variance": ("gradient.cpp", "logvar2 * i2.inverse_v", "logvar2"),
    "alpha of the first row": ("gradient.cpp", "row * b.alpha_stride", "0 * b.alpha_stride"),
    "alpha of one row in all lanes": ("gradient.cpp", "columns ? 0 : b.alpha_stride", "0"),
    "open derivatives that do not count": ("gradient.cpp", "decided &= nearest == nearest;", ""),
    "no bound": ("gradient.cpp", "UNIT * found.of[which].size", "0.0 * found.of[which].size"),
    "no bound by alpha": ("gradient.cpp", "of_sum * by_alpha.size", "0.0 * by_alpha.size"),
    "unsound columns": ("gradient.cpp", "last_one.value.high += poison(s.sound);", ""),
    "lanes that are not valid": ("gradient.cpp", "set_lane(last_one.value.high, lane, 0)", "(void)0"),
    "lanes without their low parts": ("pair.hpp", "every(lane(x.low, i))", "Lanes{}"),
    "open rows not counted": ("gradient.cpp", "open += to != to;", ""),
}  # fmt: skip


def least(dual, N1, N2):
    """Alphas near the least divergence, where the terms of the derivative by alpha cancel to some 2^-20 of them.

    With equal means most of the bound is that of the kernels, and it leaves a quarter of these derivatives undecided.
    """
    low, high = np.zeros(N1.batch_shape), np.ones(N1.batch_shape)
    for _ in range(20):
        alpha = (low + high) / 2
        falls = (jsg_dual_grad if dual else jsg_grad)(N1, N2, alpha).alpha < 0
        low, high = np.where(falls, alpha, low), np.where(falls, high, alpha)
    return low


def further():
    """Rows of many columns, some with one column beyond the limits; and derivatives by alpha that cancel."""
    rng = np.random.default_rng(6)
    for form, dual in product(native.FORMS, (False, True)):
        for mean, logvar in rng.normal(size=(8, 2, 2, 21)):  # single rows, whose columns the lanes share
            for far in (0.0, 100.0):
                logvar[0, 5] += far
                scales = test_gradient.scale_of(form, logvar)
                Ns = [Gaussian(m, **{form: s}) for m, s in zip(mean[:, None], scales[:, None], strict=True)]
                yield Batch(dual, "deasy", *Ns, np.array([0.3]))
        same_variance = [Gaussian(m[:, None], **{form: np.ones((21, 1))}) for m in mean]
        yield Batch(dual, "deasy", *same_variance, np.array(0.5 + 2.0**-40 * rng.integers(0, 3, 21)))
        yield Batch(
            dual, "deasy", *(Gaussian(1e-30 * N.mean, **{form: N.scale}) for N in same_variance), np.full(21, 0.3)
        )
        logvars = rng.normal(size=(2, 50, 1))
        Ns = [Gaussian(np.zeros((50, 1)), **{form: test_gradient.scale_of(form, s)}) for s in logvars]
        yield Batch(dual, "deasy", *Ns, least(dual, *Ns))
    far = [Gaussian(np.ones((4, 1)), logvar=[[2839.0], [-900.0], [50.0], [60.0]]), Gaussian(np.zeros((4, 1)), var=1.0)]
    yield Batch(False, "deasy", *far, np.full(4, 0.3))
    yield Batch(False, "deasy", *far[::-1], np.full(4, 0.3))
    wide = [Gaussian(np.ones((4, 1)), var=1e25), far[1]]
    yield Batch(False, "deasy", *wide[::-1], np.full(4, 0.3))
    large = [Gaussian(1e25 * np.ones((4, 1)), var=1.0), Gaussian(np.zeros((4, 1)), var=1.0)]
    yield Batch(False, "deasy", *large, np.full(4, 0.3))
    logs = [Gaussian(np.zeros((2, 1)), logvar=[[s], [0.5]]) for s in (45.0, -45.0)]
    yield Batch(False, "deasy", logs[0], Gaussian(np.zeros((2, 1)), logvar=0.0), np.full(2, 0.3))
    yield Batch(False, "deasy", Gaussian(np.zeros((2, 1)), logvar=0.0), logs[1], np.full(2, 0.3))


BATCHES = [*test_gradient.batches(30), *further()]


def computed(core):
    found = [batch.by(core) for batch in BATCHES]
    return np.concatenate([x.ravel() for parts, _ in found for x in parts]), sum(left for _, left in found)


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("gradient",), MUTANTS.values())


@pytest.fixture(scope="module")
def right(core):
    return computed(native.open_core(core, "plain")[0])


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert all(map(same, computed(chosen(0)), right))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert not all(map(same, computed(chosen(number)), right))
