"""Broken C++ for several Gaussians gives other bits, or leaves other values undecided.

All mutants are compiled together, and a variable chooses one. The constants and the bounds on the error are tested by
the proofs in verification/test_many_arithmetic.py.
"""

from itertools import product

import numpy as np
import pytest

from jsgmath import native
from tests.native import test_many
from tests.native.test_many import Batch

MUTANTS = {
    # many.cpp
    "k from x, whatever x": ("many.cpp", "every(-0.5)", "every(-2)"),
    "variances whose low parts do not count": ("number.hpp", "high.low + low.high", "high.low"),
    "no limits of displacements": ("many.cpp", "sound &= zero_or_moderate(own.delta.high);", ""),
    "no limits of variances": ("many.cpp", "sound &= moderate(v.high);", ""),
    "a log-variance for a variance": ("many.cpp", "form == VAR || own_form == VAR", "form == VAR || own_form != STD"),
    "a deviation for a variance": ("many.cpp", "two_product(scale, scale)", "exact(scale)"),
    "no limit of a log-variance among variances": (
        "many.cpp", "grown(exact(scale)).value + poison(between(scale, -LARGEST_LOGVAR, LARGEST_LOGVAR))",
        "grown(exact(scale)).value"),
    "the smallest share": ("many.cpp", "to.g.high / to.variance.high", "to.variance.high / to.g.high"),
    "a reference without a weight": ("many.cpp", "to.g.high == 0 ? every(-__builtin_inf()) : share", "share"),
    "another one's variance": ("many.cpp", "chosen(larger, to.variance, last.variance)", "last.variance"),
    "weights in the mean alone": ("many.cpp", "larger(own.w.high, own.g.high)", "own.g.high"),
    "weights in the sum alone": ("many.cpp", "larger(own.w.high, own.g.high)", "own.w.high"),
    "a mean that does not count": ("many.cpp", "own.mean = counted ? own.mean : last.mean;", ""),
    "a log-variance that does not count": ("many.cpp", "counted ? own.scale : last.scale", "own.scale"),
    "a variance that does not count": ("many.cpp", "chosen(counted, own.variance, last.variance)", "own.variance"),
    "a displacement without its low part": ("many.cpp", "two_sum(own.mean, -last.mean)", "exact(own.mean - last.mean)"),
    "a log-ratio without its low part": ("many.cpp", "two_sum(scale, -last.scale)", "exact(scale - last.scale)"),
    "the excess of a ratio that was rounded": ("many.cpp", "apart(v, last.variance) * last.precision",
                                               "own.r - number(1)"),
    "errors of two forms as of one": ("many.cpp", "mixed ? ratio + 1.0 : absolute(excess)", "absolute(excess)"),
    "y of the other sign": ("many.cpp", "-(own.e * own.inverse_r)", "own.e * own.inverse_r"),
    "the other precision": ("many.cpp", "dual ? own.precision : precision_of_mean", "last.precision"),
    "no weights in the sum": ("many.cpp", "own.w * value", "value"),
    "weights of the first row": ("many.cpp", "b.weight_rows > 1 ? row : 0", "0"),
    "weights of one row in all lanes": ("many.cpp", "columns || b.weight_rows == 1 ? 0 : 1", "0"),
    "no limits of weights": ("many.cpp", "(found[part] == 0) | (found[part] >= LEAST_WEIGHT)", "true"),
    "weights that are not read again": ("many.cpp", "row == first || b.weight_rows > 1", "row == first"),
    "lanes that are not valid": ("many.cpp", "set_lane(found.value.high, lane, 0)", "(void)0"),
    "lanes without their low parts": ("pair.hpp", "every(lane(x.low, i))", "Lanes{}"),
    "no bound": ("many.cpp", "(1 + 0x1p-20) * sum.error", "0.0 * sum.error"),
    "values beyond the limits": ("many.cpp", "sum.value.high += poison(column.sound);", ""),
    "open values not counted": ("many.cpp", "open += to != to;", ""),
    "doubles for floats": ("many.cpp", "b.single ? nearest_single(high, low, margin) : nearest(high, low, margin)",
                           "nearest(high, low, margin)"),
    "mixed forms as those of the first": ("many.cpp", "batch.members[j].form == form ? form : MIXED", "form"),
}  # fmt: skip


def further():
    """Batches with cases that `batches` lacks: one row, constant weights, float32, single numbers beyond the limits."""
    rng = np.random.default_rng(21)
    for kind, dual in product(test_many.FORMS[:3], (False, True)):
        means, logvars = rng.normal(size=(2, 3, 9, 21))
        scales, w = test_many.scale_of(kind, logvars), rng.dirichlet(np.ones(3), 9).T
        yield Batch(3 * [kind], means[:, :1], scales[:, :1], w[:, :1], w[:, :1], dual)
        yield Batch(3 * [kind], means, scales, w[:, :1], w[:, 1:2], dual)
        yield Batch(3 * [kind], means, scales, w, w, dual, single=True)
        yield Batch(3 * [kind], 1e-170 * means, np.ones_like(scales), w, w, dual)
        far = scales.copy()
        far[2, 0, 5] = 80.0 if kind == "logvar" else 1e40
        yield Batch(3 * [kind], means[:, :1], far[:, :1], w[:, :1], w[:, :1], dual)
        for place in (0, 2):  # numbers without an effect
            distant, far, without = means.copy(), scales.copy(), w.copy()
            distant[place], without[place], far[place] = 1e250, 0.0, -750.0 if kind == "logvar" else 1e-250
            without /= without.sum(0)
            yield Batch(3 * [kind], distant, scales, without, without, dual)
            yield Batch(3 * [kind], means, far, without, without, dual)
    for far in (-800.0, 2839.0):  # the exponential of the latter overflows twice, to a number of ordinary size
        forms, scales = ["logvar", "var", "std"], np.array([far, 1.0, 1.0]).repeat(9).reshape(3, 9, 1)
        yield Batch(forms, means[..., :1], scales, w, w, False)


BATCHES = [*test_many.batches(40), *further()]


def computed(core):
    found = [batch.by(core) for batch in BATCHES]
    return np.concatenate([values for values, _ in found]), sum(left for _, left in found)


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("many",), MUTANTS.values())


@pytest.fixture(scope="module")
def right(core):
    return computed(native.open_core(core, "plain")[0])


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert all(map(same, computed(chosen(0)), right))


def same(got, wanted):
    return np.array_equal(got, wanted, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert not all(map(same, computed(chosen(number)), right))
