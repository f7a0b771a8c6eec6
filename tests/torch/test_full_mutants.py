"""Broken C++ for full covariances in torch fails the tests of test_full.py."""

import pytest
import torch

from jsgmath import native
from jsgmath.torch.native import full as full_native
from tests.native.conftest import parts, switched  # noqa: F401
from tests.torch import test_full

MUTANTS = {
    "no difference of near factors": ("near ? both * e : root2 * x", "root2 * x"),
    "a diagonal by a difference": ("dot[j] * shared", "norm - a[j]"),
    "a difference from the second factor": ("multiply_add(-less, second[i], more)", "more"),
    "a quotient by a ratio near 1": ("close ? multiply_add(-excess, column[i], sign * rest[i]) : "
                                     "multiply_add(-ratio, column[i], given[i])",
                                     "multiply_add(-ratio, column[i], given[i])"),
    "a pivot minus 1": ("pivot_term(T.excess[j], T[j * n + j])", "pivot_term(T[j * n + j] - 1.0, T[j * n + j])"),
    "a whole trace": ("0.5 * sum", "sum"),
    "a product with itself": ("multiply_add(e, e, e + e)", "e + e"),
    "the other triangle's sign": ("Q[i * n + j] = -U[j * n + i]", "Q[i * n + j] = U[j * n + i]"),
    "a part's sign": ("terms::part(weight, -U[j * n + i])", "terms::part(weight, U[j * n + i])"),
    "a matrix that is not added": ("to[j * n + i] += x[i];", "to[j * n + i] = x[i];"),
    "weights not exchanged": ("b.exchanged ? alpha : 1.0 - alpha", "1.0 - alpha"),
    "a mean's slope not turned": ("lane(w.by_mean[i], lane_) * (turned ? -1 : 1)", "lane(w.by_mean[i], lane_)"),
    "a slope by alpha not turned": ("lane(found, i) * (b.turned(i) ? -1 : 1)", "lane(found, i)"),
    "a slope not scaled back": ("w.by_mean[i] *= w.scale[i];", ";"),
    "one of two products": ("w.D[e] -= w.part[e];", ";"),
}  # fmt: skip


@pytest.fixture(scope="module")
def chosen(switched):  # noqa: F811
    return switched(("full_tensors",), [("full_tensors.cpp", *replacement) for replacement in MUTANTS.values()])


def check(core):
    """Runs tests in five dimensions; the installed core computes the expected values."""

    def evaluate(*arguments, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "CORE", core)
            return full_native.evaluate(*arguments, **options)

    for dual, convention in test_full.VARIANTS:
        given = 5, torch.float64, dual, convention, evaluate
        test_full.test_values_are_those_of_the_numpy_reference(*given)
        test_full.test_gradients_are_the_eager_ones_in_float64(*given)


def test_without_a_mutant_the_core_is_right(chosen):
    check(chosen(0))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, chosen):
    with pytest.raises(AssertionError):
        check(chosen(number))
