"""Bounds on the error of divergences of several Gaussians, and of derivatives, before they are rounded: `README.md`."""

import re

import pytest
from flint import arb

from jsgmath import formula, special
from jsgmath.native import build
from verification.pair_arithmetic import ZERO, U
from verification.rounding import prove
from verification.test_family_arithmetic import (
    ARGUMENT,
    EXPONENTIAL,
    FARTHEST,
    MINUS_ONE,
    ROOT_HALF,
    ROOT_TWO,
    parts,
    relative,
    tail,
)

# Relative errors: of an operation with low parts up to 15 U; of an addition whose result is normalised, relative to the
# sizes of its terms.
OPERATION, ADDITION = arb(2) ** -97, 40 * U**2


def core_constant(name, file="many.cpp"):
    text = (build.HERE / file).read_text()
    return arb(float.fromhex(re.search(rf"\b{name} = (0x[0-9a-fp.+-]+)", text)[1]))


def kernel_error(kernel, j, m, of_x=ZERO, of_k=4 * OPERATION):
    """Relative error of a kernel for ``k = 2^j m``; k is x + 1 up to the error of one operation, or exact."""
    x, k, split = parts(j, m, of_x, of_k)
    return relative(kernel(x, k, None, 0, split=lambda x, k: split, tail=tail))


@pytest.mark.parametrize("kernel", [special.split_g, special.split_gs])
def test_the_kernels_keep_their_bound(kernel):
    bound = core_constant("KERNELS")
    for j in range(-FARTHEST, FARTHEST + 1):
        prove(bound, lambda m, j=j: kernel_error(kernel, j, m), ROOT_HALF, ROOT_TWO)
    assert max(kernel_error(kernel, j, m) for j, m in ((-1, ROOT_TWO), (1, ROOT_HALF))) > bound / 2


def test_the_scalars_keep_their_bound():
    """Errors are relative to the sizes in the text: those of e and y, or with both forms ``1 + r`` and ``1 + 1/r``."""
    bound = core_constant("SCALARS")
    assert bound > MINUS_ONE + EXPONENTIAL + 3 * OPERATION  # y = -e/r of log-variances
    difference = 2 * EXPONENTIAL + 4 * OPERATION  # e of both forms: two exponentials, and 1/v_0
    assert difference + 2 * EXPONENTIAL + 4 * OPERATION < bound  # y = -e v_0/v_j
    # log(k) and x/k where x < -1/2: k is a product of positive sums, and changes gs by at most 6.6 times its error.
    for count in (1, 10, 1000):
        ratio = 2 * EXPONENTIAL + (count + 6) * OPERATION
        assert 6.6 * ratio < (2 * count + 64) * bound
    assert OPERATION > 15**2 * U**2 + 4 * 31 * U**2
    assert core_constant("OF_SUM") > ADDITION


class Counted:
    """The error of a number, relative to the sizes of its terms, and its low part in units of U; stands for `Sized`."""

    def __init__(self, error, low):
        self.error, self.low = error, low
        assert low <= 40

    def with_operation(self, other, low):
        a, b = self.low, other.low
        return Counted(self.error + other.error + (a * b + 4 * (a + b + low)) * U**2, low)

    def __add__(self, other):
        other = counted(other)
        return Counted(max(self.error, other.error) + ADDITION, 1)

    def __mul__(self, other):
        other = counted(other)
        return self.with_operation(other, self.low + other.low + 1)

    def __truediv__(self, other):
        other = counted(other)
        return self if other.error == 0 == other.low else self.with_operation(other, self.low + other.low + 3)

    def __neg__(self):
        return self

    __radd__ = __sub__ = __rsub__ = __add__
    __rmul__ = __mul__


def counted(x):
    return x if isinstance(x, Counted) else Counted(arb(0), 0)


@pytest.mark.parametrize("dual", [False, True])
def test_derivatives_keep_the_bound_by_which_they_are_rounded(dual):
    """`formula.py` runs with the largest errors that scalars have: those of a log-variance and a variance."""
    unit, kernels = core_constant("UNIT", "gradient.cpp"), 32
    assert f"KERNEL_UNITS = {kernels};" in (build.HERE / "gradient.cpp").read_text()
    ratio = Counted(2 * EXPONENTIAL + 4 * OPERATION, 8)
    inverse_v = Counted(EXPONENTIAL + OPERATION, 6)
    excess = Counted(10 * EXPONENTIAL + 4 * OPERATION, 8)  # v1/(v1 - v2) is at most 9, since they differ by an eighth
    assert excess.error + 2 * OPERATION < ARGUMENT
    assert excess.error > MINUS_ONE + EXPONENTIAL + 3 * OPERATION
    root = Counted(inverse_v.error / 2, 5)  # a displacement and an inverse deviation are multiplied in pairs
    weight = Counted(arb(0), 1)
    kl = Counted(unit * 0.95, 1)  # the error is relative to its size, which is a multiple of its value
    scalars = ratio, ratio, excess, excess, root, root
    if dual:
        gradient, by_alpha = formula.from_mean_grad, formula.from_mean_by_alpha
    else:
        gradient, by_alpha = formula.to_mean_grad, formula.to_mean_by_alpha
    mean, logvar = gradient(*4 * [weight], *scalars, root, root)
    alpha = by_alpha(*4 * [weight], 1, kl, kl, *scalars)
    for derivative in (mean, logvar, logvar * inverse_v, alpha):
        assert derivative.error < 0.99 * unit
    assert (logvar * inverse_v).error > unit / 16
    kernel = special.split_gs if dual else special.split_g
    for j in range(-FARTHEST, FARTHEST + 1):
        prove(0.9 * kernels * unit, lambda m, j=j: kernel_error(kernel, j, m, ARGUMENT, ARGUMENT), ROOT_HALF, ROOT_TWO)
