"""Bounds on the error of divergences of exponential families before they are rounded; see `README.md`."""

import math
import re

import pytest
from flint import arb

from jsgmath import special
from jsgmath.families.rounding import wide_families
from jsgmath.native import build
from jsgmath.reduction import wide
from verification.pair_arithmetic import Paired, U
from verification.rounding import prove
from verification.test_gamma_terms import ARGUMENT as GAMMA_ARGUMENT
from verification.test_gamma_terms import KERNEL as GAMMA_KERNEL
from verification.test_pair_arithmetic import OPERATION, tail_of

ROOT_HALF, ROOT_TWO, HALF_LOG_TWO = arb(0.5).sqrt(), arb(2).sqrt(), arb(2).log() / 2
LOW = 60 * U  # relative size of the low part of an argument
# Relative errors of log(k), of exp(s), of exp(s) - 1 and of exp(s) - 1 - s, for exact arguments.
LOGARITHM, EXPONENTIAL, MINUS_ONE, GROWTH = (arb(2) ** -x for x in (82.9, 85.9, 84.1, 81.4))
# Relative errors of x and k as `terms.py` passes them to g, and that of g.
ARGUMENT, KERNEL = arb(2) ** -79.9, arb(2) ** -74.3
FARTHEST = 202  # within the limits, k lies between 2^-201 and 2^201


def core_constant(name):
    text = (build.HERE / "members.hpp").read_text()
    return float.fromhex(re.search(rf"\b{name} = (0x[0-9a-fp.+-]+)", text)[1])


def tail(w):
    """What `LongTail` of the core computes from w."""
    return tail_of(w, build.LONG_TAIL_PAIRS, build.LONG_TAIL_PAIRS + build.LONG_TAIL, 0.16, 0.14)


def parts(j, m, x_error, k_error):
    """``x``, ``k`` and what `Split` of the core computes from them, for ``k = 2^j m``."""
    k = m * arb(2) ** j
    x = k - 1
    k_pair = Paired(k, k_error * k.abs_upper(), LOW * k.abs_upper(), x=x)
    if j == 0:
        x_pair = Paired(arb(1), x_error, LOW, 1, x)
        return x_pair, k_pair, (x_pair, k_pair, Paired(arb(0), x=x))
    x_pair = Paired(x, x_error * x.abs_upper(), LOW * x.abs_upper(), x=x)
    m_pair = Paired(m, k_error * m.abs_upper(), LOW * m.abs_upper(), x=x)
    f = Paired(m - 1, m_pair.error, m_pair.low + U * (m - 1).abs_upper(), x=x)
    log2 = arb(2).log() * j
    return x_pair, k_pair, (f, m_pair, Paired(log2, log2.abs_upper() * arb(2) ** -103, log2.abs_upper() * 3 * U, x=x))


def relative(result):
    smallest = result.value.abs_lower()
    return result.error / smallest if smallest > 0 else arb("nan")


def kernel_error(j, m):
    x, k, split = parts(j, m, ARGUMENT, ARGUMENT)
    return relative(special.split_g(x, k, None, 0, split=lambda x, k: split, tail=tail))


def logarithm(j, m):
    """``log(k)`` of an exact k, as `Logarithm` computes it."""
    _, _, (f, _, log_rest) = parts(j, m, arb(0), arb(0))
    q = f / (f + 2.0)
    w = q * q
    return log_rest + q * (w * tail(w) + 2.0)


def test_the_kernel_keeps_its_bound():
    """The text of `special.split_g`, for every k = 2^j m within the limits."""
    for j in range(-FARTHEST, FARTHEST + 1):
        prove(KERNEL, lambda m, j=j: kernel_error(j, m), ROOT_HALF, ROOT_TWO)
    assert max(kernel_error(j, m) for j, m in ((-1, ROOT_TWO), (1, ROOT_HALF))) > KERNEL / 4


def test_the_logarithm_keeps_its_bound():
    for j in (-201, -20, -2, -1, 0, 1, 2, 20, 201):
        prove(LOGARITHM, lambda m, j=j: relative(logarithm(j, m)), ROOT_HALF, ROOT_TWO)


def series_error(t):
    """Absolute error of ``exp(t) - 1 - t``, for ``|t| <= log(2)/2``."""
    in_pairs, count = build.LONG_EXP_PAIRS, build.LONG_EXP_PAIRS + build.LONG_EXP
    size = t.abs_upper()
    in_double = size ** (in_pairs + 2) / math.factorial(in_pairs + 2) * (4 * U * 1.05 + 0.2 * 8 * U)
    left_out = size ** (count + 2) / math.factorial(count + 2) * 1.02
    return in_double + left_out + OPERATION * size**2


@pytest.mark.parametrize("n", [*range(-12, 0), *range(1, 12), -200, 200])
def test_the_exponential_keeps_its_bounds(n):
    """exp(s) = 2^n exp(t); if n is 0, the error is t^2 times a factor that is largest at the ends."""
    power, reduction = arb(2) ** n, 400 * arb(2) ** -96

    def errors(t, exact):
        error = power * (series_error(t) + reduction + OPERATION)
        return error / exact(power * t.exp(), n * arb(2).log() + t).abs_lower()

    for bound, exact in (
        (EXPONENTIAL, lambda e, s: e),
        (MINUS_ONE, lambda e, s: e - 1),
        (GROWTH, lambda e, s: e - 1 - s),
    ):
        prove(bound, lambda t, exact=exact: errors(t, exact), -HALF_LOG_TWO, HALF_LOG_TWO)
    for end in (-HALF_LOG_TWO, HALF_LOG_TWO):
        assert series_error(end) / (end.exp() - 1 - end) < GROWTH


def test_the_core_rounds_by_a_bound_above_what_is_proved():
    bound = arb(core_constant("BOUND"))
    # Probabilities of log-odds, and p1 - p2 of one of each, which differ by an eighth: 9 times the error of one.
    probability = 2 * EXPONENTIAL + 5 * OPERATION
    d = (9 * probability).max(2 * probability + MINUS_ONE) + 5 * OPERATION
    # The logarithm of a ratio of probabilities, near 1 by its difference d/q from 1, passes on 1.2 times their errors.
    step = LOGARITHM + 1.2 * (d + probability) + 4 * OPERATION
    # exp(s) - 1 and exp(s) - 1 - s change by at most 1.6 and 2.3 times as much as s, relatively, for |s| <= 1, and
    # beyond by 1.6 and 3.3 times its absolute error, which is that of log(m) alone.
    argument = MINUS_ONE + 1.6 * step + 2 * probability + 5 * OPERATION
    assert argument < ARGUMENT
    # A factor of g or of exp(s) - 1 - s is at worst p exp(s)/z, with z = q + p exp(s).
    factor = 4 * probability + EXPONENTIAL + step + 10 * OPERATION
    for term in (KERNEL, GROWTH + 3.3 * step):
        assert term + factor + 10 * OPERATION < 0.9 * bound


def test_numpy_keeps_what_is_proved_of_the_core():
    """`tests/reduction/test_wide.py` tests that the pairs of NumPy keep their bounds."""
    assert min(LOGARITHM, EXPONENTIAL, MINUS_ONE, GROWTH) > wide.ELEMENTARY
    assert OPERATION > 10 * wide.ROUNDING
    # For k <= 1/2, g changes by (dk + |x| dx)/g(x), where g(x) >= 0.193 (1 + |x|)/1.5; from there on by dx alone, at
    # most 2.6 times as much as x.
    for argument, kernel in ((ARGUMENT, KERNEL), (GAMMA_ARGUMENT, GAMMA_KERNEL)):
        assert wide.KERNELS + 7.8 * argument < kernel


def test_numpy_has_the_limits_and_bounds_of_the_core():
    assert core_constant("BOUND") == wide_families.BOUND
    assert core_constant("BOUND_SUM") == wide_families.BOUND_SUM
    assert core_constant("LARGEST") == wide_families.LARGEST
    assert core_constant("LEAST_WEIGHT") == wide_families.LEAST_WEIGHT
    text = (build.HERE / "families.cpp").read_text()
    for name, (relative_error, absolute_error) in (
        ("OF_WEIGHTS", wide_families.OF_WEIGHTS),
        ("OF_LOGITS", wide_families.OF_LOGITS),
        ("OF_BOTH", wide_families.OF_BOTH),
    ):
        found = re.search(rf"\b{name} = {{(0x\S+), (0x\S+)}}", text)
        assert [float.fromhex(x) for x in found.groups()] == [relative_error, absolute_error]
    # For weights, the error of t is that of the logarithm and that of its argument, which has a few roundings.
    assert wide_families.OF_WEIGHTS[0] > LOGARITHM
