"""Bounds on the error of the compiled core before it rounds: `README.md`, "Pairs of doubles"."""

import math
import re

import pytest
from flint import arb

from jsgmath import special
from jsgmath.native import build
from verification.pair_arithmetic import Paired, U
from verification.rounding import prove

ROOT_HALF, ROOT_TWO, HALF_LOG_TWO = arb(0.5).sqrt(), arb(2).sqrt(), arb(2).log() / 2
OPERATION = arb(2) ** -95  # relative error of some ten operations in pairs
# Relative errors of exp(u) - 1 and of exp(u), as elementary.hpp computes them.
MINUS_ONE, EXPONENTIAL = arb(2) ** -75.3, arb(2) ** -77.1
# Relative errors of the kernels' arguments, and their low parts. The worst x is that of two forms, a log-variance
# among them, whose variances differ by an eighth.
X_ERROR, K_ERROR, LOW = 10.1 * EXPONENTIAL, 1.01 * EXPONENTIAL, 40 * U
# Relative error of the kernels, and the low parts of what they return.
KERNEL, KERNEL_LOW = arb(2) ** -69.2, 2200 * U
# Relative error of the logarithm of a product, in addition to an absolute one of 2^-98.
LOGARITHM = arb(2) ** -74
FARTHEST = 262  # within the core's limits k lies between 2^-261 and 2^201


def core_constant(name):
    """The value of a constant in diagonal.cpp."""
    text = (build.HERE / "diagonal.cpp").read_text()
    return float.fromhex(re.search(rf"\b{name} = (0x[0-9a-fp.+-]+)", text)[1])


def tail_of(w, pairs, count, doubles, slope):
    """2 P(w) by ``count`` terms, the first ``pairs`` of them in pairs of doubles, with its error and its low part.

    The terms in double are at most ``doubles`` times ``w**pairs``, and their derivative ``slope`` times it.
    """
    value, error, low = w.lowered(0)
    series, power = arb(0), arb(1)
    for k in range(60):
        series += 2 * power / (2 * k + 3)
        power *= value
    series += power * arb(0, 1)
    size = value.abs_upper()  # the first coefficient is below 0.7
    in_double = size**pairs * (4 * U * doubles + slope * low)
    left_out = 2 * size**count / (2 * count + 3) / (1 - size)
    return Paired(series, (in_double + left_out + 0.5 * error + OPERATION).upper(), 4 * U, x=w.x)


def tail(w):
    """What `Tail` in elementary.hpp computes from w."""
    return tail_of(w, build.TAIL_PAIRS, build.TAIL_PAIRS + build.TAIL, 0.23, 0.2)


def kernel_error(kernel, j, m):
    """Relative error and low part of a kernel for ``k = 2^j m``."""
    k = m * arb(2) ** j
    x = k - 1
    k_pair = Paired(k, K_ERROR * k.abs_upper(), LOW * k.abs_upper(), x=x)
    m_pair = Paired(m, K_ERROR * m.abs_upper(), LOW * m.abs_upper(), x=x)
    if j == 0:
        x_pair = f = Paired(arb(1), X_ERROR, LOW, 1, x)
        log_rest = Paired(arb(0), x=x)
    else:
        x_pair = Paired(x, X_ERROR * x.abs_upper(), LOW * x.abs_upper(), x=x)
        f = Paired(m - 1, m_pair.error, m_pair.low + U * (m - 1).abs_upper(), x=x)
        log2 = arb(2).log() * j
        log_rest = Paired(log2, log2.abs_upper() * arb(2) ** -103, log2.abs_upper() * 3 * U, x=x)
    parts = f, k_pair if j == 0 else m_pair, log_rest
    text = {"g": special.split_g, "gs": special.split_gs}[kernel]
    result = text(x_pair, k_pair, None, 0, split=lambda x, k: parts, tail=tail)
    smallest = result.value.abs_lower()
    return (result.error / smallest, result.low / smallest) if smallest > 0 else (arb("nan"), arb("nan"))


@pytest.mark.parametrize("kernel", ["g", "gs"])
def test_the_kernels_in_pairs_keep_the_bound(kernel):
    """The text of `special.split_g` and `special.split_gs`, for every k = 2^j m within the core's limits."""
    for j in range(-FARTHEST, FARTHEST + 1):
        prove(KERNEL, lambda m, j=j: kernel_error(kernel, j, m)[0], ROOT_HALF, ROOT_TWO)
        prove(KERNEL_LOW, lambda m, j=j: kernel_error(kernel, j, m)[1], ROOT_HALF, ROOT_TWO)
    # The bound is not much too large: where the split changes from one power of two to the next, half of it is reached.
    assert max(kernel_error(kernel, j, m)[0] for j, m in ((-1, ROOT_TWO), (1, ROOT_HALF))) > KERNEL / 2


def exponential_error(t):
    """Absolute error of ``exp(t) - 1`` from the series, for ``|t| <= log(2)/2``."""
    pairs, count = build.EXP_PAIRS, build.EXP_PAIRS + build.EXP
    size = t.abs_upper()
    first = 1 / arb(math.factorial(pairs + 2))
    in_double = size ** (pairs + 2) * first * (4 * U * 1.05 + 0.2 * 8 * U)
    left_out = size ** (count + 2) / math.factorial(count + 2) * 1.02
    reduction = 400 * arb(2) ** -96  # n times the difference of log(2) and LOG2_HIGH + LOG2_LOW
    return in_double + left_out + reduction + OPERATION * size


def test_the_exponential_in_pairs_keeps_the_bound():
    """exp(u) = 2^n exp(t), with n from -200 to 200."""
    for n in range(-201, 202):
        power = arb(2) ** n

        def error(t, power=power):
            return power * exponential_error(t) / (power * t.exp() - 1).abs_lower()

        if n:
            prove(MINUS_ONE, error, -HALF_LOG_TWO, HALF_LOG_TWO)
    # For n = 0 the error is |t|^7 times a constant, relative to |expm1(t)/t| > 0.84.
    assert exponential_error(HALF_LOG_TWO) / HALF_LOG_TWO / 0.84 <= MINUS_ONE
    prove(EXPONENTIAL, lambda t: exponential_error(t) / t.exp().abs_lower(), -HALF_LOG_TWO, HALF_LOG_TWO)


def test_the_core_rounds_by_a_bound_above_what_is_proved():
    """The parts: a kernel, or a term of the means with a smaller error; ten operations; the sum over n dimensions."""
    # e2 = -e1 r2 has the errors of both; in two forms an error of one variance counts (1 + 1/8)/(1/8) = 9 times.
    assert MINUS_ONE + EXPONENTIAL + 9 * OPERATION < X_ERROR
    assert 9 * EXPONENTIAL + EXPONENTIAL + 9 * OPERATION < X_ERROR
    mean_term = 5 * EXPONENTIAL + 10 * OPERATION
    assert mean_term < KERNEL
    assert 0.9 * core_constant("BOUND") > KERNEL + 10 * OPERATION
    # The low part of a sum of k terms is below (KERNEL_LOW/U + 10 + k) U =: L U; the next sum errs by (1 + 2 L) U^2.
    for n in (1, 10**3, 10**6, 10**9):
        lost = U**2 * n * (1 + 2 * (KERNEL_LOW / U + 10 + n))
        assert KERNEL + 10 * OPERATION + lost < core_constant("BOUND") + core_constant("BOUND_SUM") * n**2


def logarithm_error(m):
    """Absolute error of `Product::logarithm` in late.hpp, for a product without a power of two."""
    f = Paired(m - 1, low=2 * U)
    q = f / (f + 2.0)
    w = q * q
    return (q * (w * tail(w) + 2.0)).error


def test_the_logarithm_of_a_product_keeps_the_bound():
    def share(m):
        return logarithm_error(m) / (LOGARITHM * m.log().abs_lower() + arb(2) ** -98)

    prove(arb(1), share, ROOT_HALF, ROOT_TWO)
    assert share(ROOT_HALF) > 0.3


def test_the_core_rounds_by_a_bound_above_what_is_proved_where_logarithms_are_late():
    """Half the sizes of all that is added, with Jeffreys' weights, is at most six times (value + n)."""
    for x in (-0.9999, -0.5, -0.1, 1e-3, 0.4, 1.0, 2.14, 5.0, 1e6):
        log = math.log1p(x)
        assert abs(x) + abs(log) <= 4 * (x - log) + 2
        assert abs(x) + 2 + abs(log) <= 4 * (x - log) + 4  # the sum takes r and 1 apart
    late_low = 4 * LOW  # of (s/m) (v1/m), a product of two quotients of pairs
    # A product's low part after eight factors, each m or a variance; the errors of that many products without L L'.
    grown = 8 * (2 * LOW + U) + U
    product = 8 * (grown * 2 * LOW + 4 * U * (grown + 2 * LOW))
    assert product < arb(2) ** -87
    # m has the error of a variance, and so has each of the other numbers of a term.
    term, k = 4 * EXPONENTIAL + 10 * OPERATION, K_ERROR + EXPONENTIAL + 2 * product + 10 * OPERATION
    largest = (term + k).max(LOGARITHM + k)
    assert 0.9 * core_constant("BOUND_LATE") > 6 * largest
    for n in (1, 10**3, 10**6, 10**9):
        lost = 6 * U**2 * n * (1 + 2 * (late_low / U + 10 + n))
        assert 6 * largest + lost < core_constant("BOUND_LATE") + core_constant("BOUND_SUM") * n**2
