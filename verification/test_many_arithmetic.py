"""How far a divergence of several Gaussians can be from the truth before the core rounds it: `README.md`."""

import re

import pytest
from flint import arb

from jsgmath import special
from jsgmath.native import build
from verification.pair_arithmetic import U
from verification.rounding import prove
from verification.test_family_arithmetic import (
    EXPONENTIAL,
    FARTHEST,
    MINUS_ONE,
    ROOT_HALF,
    ROOT_TWO,
    parts,
    relative,
    tail,
)

# Of an operation with low parts up to 15 U, and of an addition whose result is settled, relative to the sizes of terms.
OPERATION, ADDITION = arb(2) ** -97, 40 * U**2


def core_constant(name):
    text = (build.HERE / "many.cpp").read_text()
    return arb(float.fromhex(re.search(rf"\b{name} = (0x[0-9a-fp.+-]+)", text)[1]))


def kernel_error(kernel, j, m):
    """Relative error of a kernel for ``k = 2^j m``, which is x + 1 but for an operation, or an exact number."""
    x, k, split = parts(j, m, arb(0), 4 * OPERATION)
    return relative(kernel(x, k, None, 0, split=lambda x, k: split, tail=tail))


@pytest.mark.parametrize("kernel", [special.split_g, special.split_gs])
def test_the_kernels_keep_their_bound(kernel):
    bound = core_constant("KERNELS")
    for j in range(-FARTHEST, FARTHEST + 1):
        prove(bound, lambda m, j=j: kernel_error(kernel, j, m), ROOT_HALF, ROOT_TWO)
    assert max(kernel_error(kernel, j, m) for j, m in ((-1, ROOT_TWO), (1, ROOT_HALF))) > bound / 2


def test_the_scalars_keep_their_bound():
    """Relative to the sizes that the text takes: those of e and y, or with both forms ``1 + r`` and ``1 + 1/r``."""
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
