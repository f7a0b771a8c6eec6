"""Bounds on the error of gamma and Dirichlet divergences in pairs of doubles: `README.md`, "Gamma and Dirichlet"."""

import re
from typing import NamedTuple

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from jsgmath import special
from jsgmath.families import gamma_terms, stirling
from jsgmath.native import build
from verification.pair_arithmetic import Paired, U
from verification.rounding import Rounded, prove
from verification.test_pair_arithmetic import ROOT_HALF, ROOT_TWO, tail_of

# The relative error of a kernel, if its arguments have the errors below; that of every term of a divergence.
ARGUMENT, KERNEL = arb(2) ** -92, arb(2) ** -85
PAIRS, TAIL = build.FINE_TAIL_PAIRS, build.FINE_TAIL_PAIRS + build.FINE_TAIL
TERM = arb(float.fromhex(re.search(r"BOUND_TERM = (\S+);", (build.HERE / "gamma.cpp").read_text())[1]))
LEFT_OUT = arb(2) ** -79


def tail(w):
    """What `FineTail` in gamma.cpp computes from w."""
    first = arb(2) / (2 * PAIRS + 3)
    return tail_of(w, PAIRS, TAIL, first, first)


def kernel(x, k, j, m):
    """g in pairs, where k is 2^j times m."""
    if j == 0:
        f, log_rest = x, Paired(arb(0), x=k.x)
    else:
        f = Paired(m.value - 1, m.error, m.low + U * (m.value - 1).abs_upper(), x=k.x)
        log = arb(2).log() * j
        log_rest = Paired(log, log.abs_upper() * arb(2) ** -103, log.abs_upper() * 3 * U, x=k.x)
    parts = f, m, log_rest
    return special.split_g(x, k, k, 0, split=lambda x, k: parts, tail=tail)


def test_the_kernel_in_pairs_keeps_the_bound():
    """This is proved for every k = 2^j m within the core's limits."""

    def error(m, j):
        k = m * arb(2) ** j
        x = k - 1
        m_pair = Paired(m, ARGUMENT * m.abs_upper(), 40 * U * m.abs_upper(), x=x)
        k_pair = Paired(k, ARGUMENT * k.abs_upper(), 40 * U * k.abs_upper(), x=x)
        x_pair = Paired(arb(1), ARGUMENT, 40 * U, 1, x)
        if j:
            x_pair = Paired(x, ARGUMENT * x.abs_upper(), 40 * U * x.abs_upper(), x=x)
        result = kernel(x_pair, k_pair, j, m_pair)
        return result.error / result.value.abs_lower() if result.value != 0 else arb("nan")

    # Beyond 2^9 the logarithm is below a hundredth of x, or x is -1 to a thousandth, and the errors no longer grow.
    for j in (*range(-9, 10), -400, 400):
        prove(KERNEL, lambda m, j=j: error(m, j), ROOT_HALF, ROOT_TWO)
    assert max(error(m, j) for j, m in ((-1, ROOT_TWO), (1, ROOT_HALF))) > KERNEL / 4


def test_stirlings_series_is_long_enough():
    """The second derivative of the omitted terms is at most that of the first; that of phi is at least 1/(2 x^2)."""
    following = stirling.bernoulli(stirling.TERMS + 1)[-1]
    share = 2 * abs(following) / stirling.SHIFT ** (2 * stirling.TERMS + 1)
    assert share < 2.0**-79
    assert share > 2.0**-80


# --- at single points: the whole text ---------------------------------------------------------------------------------


def g(x, k):
    mantissa, j = np.frexp(float(k.value.mid()))
    j = int(j) - (mantissa < 0.5**0.5)
    power = arb(2) ** j
    return kernel(x, k, j, Paired(k.value / power, k.error / power, k.low / power))


class Change(NamedTuple):
    """A number, and another number minus it, as in gamma.cpp."""

    value: object
    less: object

    def __add__(self, other):
        return Change(self.value + other.value, self.less + other.less)

    def __mul__(self, other):
        return Change(self.value * other.value, self.less * (other.value + other.less) + self.value * other.less)

    def __rmul__(self, number):
        return Change(number * self.value, number * self.less)

    def each(self, function):
        return Change(function(self.value), function(self.less))


def in_double(x):
    return x.each(in_double) if isinstance(x, Change) else Rounded(x.value, (x.error + x.low) / U)


def in_pairs(x):
    return x.each(in_pairs) if isinstance(x, Change) else Paired(x.value, x.error * U)


def summed(x, y, one):
    coefficients = [arb(fmpq(c.numerator, c.denominator)) for c in stirling.coefficients(stirling.TERMS)]
    zero, first, further = 0 * one, coefficients[: build.STIRLING_PAIRS], coefficients[build.STIRLING_PAIRS :]
    total, *state = gamma_terms.stirling(x, y, zero, zero, zero, one, len(first), lambda n: first[n])
    start = [in_double(z) for z in (x, y, zero, *state)]
    rounded = [Rounded(c, abs(c)) for c in further]
    if isinstance(one, Change):
        rounded = [Change(c, Rounded(arb(0))) for c in rounded]
    rest = gamma_terms.stirling(*start, len(rounded), lambda n: rounded[n])[0]
    return total + in_pairs(rest)


def series(x, y):
    return summed(x, y, Paired(arb(1)))


def series_less(x, y, more_x, more_y):
    return summed(Change(x, more_x), Change(y, more_y), Change(Paired(arb(1)), Paired(arb(0))))


def difference(x, y):
    """Computed as in pair.hpp: in the end the low part is below a unit of the high part."""
    d = x - y
    error = d.error + 2 * U * (x.low + y.low)
    return Paired(d.value, error, U * (d.value.abs_upper() + error))


def choose(condition, x, y):
    return x if condition else y


def bregman(x, y, d):
    return gamma_terms.bregman_terms(x, y, d, g, series, choose)


def bregman_less(*numbers):
    return gamma_terms.bregman_less_terms(*numbers, g, series_less, choose)


def exact(x):
    return Paired(arb(float(x)))


def exact_difference(x, y):
    d = arb(float(x)) - arb(float(y))
    return Paired(d, low=U * d.abs_upper())


def truth(x, y):
    """The Bregman divergence of ``log Gamma(t) - t log t + t``."""
    value = y.lgamma() - x.lgamma() - x.digamma() * (y - x)
    return value - (y * y.log() - y - x * x.log() + x - x.log() * (y - x))


def assert_bounded(found, expected, bound=TERM):
    """The bound of the run, plus the truncation error of the series, is below ``bound``; the value is the true one."""
    plus, minus = found
    size = plus.value + minus.value
    assert plus.error + minus.error <= (bound - LEFT_OUT) * size
    assert abs(plus.value - minus.value - expected) <= LEFT_OUT * size


def points(seed, count, low, high):
    """Pairs of numbers, near and far."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = 10 ** rng.uniform(low, high)
        e = rng.choice([10 ** rng.uniform(-15, 0), 10 ** rng.uniform(-15, 0) - 1])
        yield x, 10 ** rng.uniform(low, high) if rng.random() < 0.5 else x * (1 + e)


def test_the_divergence_of_log_gamma_keeps_the_bound():
    with ctx.workprec(500):
        for x, y in points(0, 40, -9, 12):
            found = bregman(exact(x), exact(y), exact_difference(y, x))
            assert_bounded(found, truth(arb(x), arb(y)))


def test_a_gamma_distribution_keeps_the_bound():
    with ctx.workprec(500):
        for i, ((a1, a2), (b1, b2)) in enumerate(zip(points(1, 16, -9, 12), points(2, 16, -9, 12), strict=True)):
            b2 = b1 * (a2 / a1) if i % 4 == 0 else b2
            w2 = arb((0.25, 1e-9, 0.75, 1.0)[i % 4])
            A1, A2, B1, B2 = map(arb, (a1, a2, b1, b2))
            cross = A1 * B2 - A2 * B1
            numbers = (
                exact(a1),
                exact(a2),
                exact_difference(a2, a1),
                exact(b1),
                exact(b2),
                Paired(cross, low=U * abs(cross)),
            )
            for function in (gamma_terms.gamma_to_mean, gamma_terms.gamma_from_mean):
                found = function(*numbers, Paired(1 - w2), Paired(w2), g, bregman)[:2]
                mean = (1 - w2) * A1 + w2 * A2, (1 - w2) * B1 + w2 * B2
                pair = ((A1, B1), mean) if function is gamma_terms.gamma_to_mean else (mean, (A1, B1))
                (a, b), (c, d) = pair
                definition = (a - c) * a.digamma() - a.lgamma() + c.lgamma() + c * (b / d).log() + a * (d - b) / b
                assert_bounded(found, definition)


def dirichlet(a1, a2, w2, to_mean):
    """``plus, minus`` of ``KL(N1||G)`` or ``KL(G||N1)``, as gamma.cpp adds them up."""
    each = [(exact(x), exact(y), exact_difference(y, x)) for x, y in zip(a1, a2, strict=True)]
    total1, total2, total_d = (normal(numbers) for numbers in zip(*each, strict=True))
    near = bool(abs(total_d.value) < total1.value / 2)
    g1, g2, found = Paired(1 - w2), Paired(w2), []

    def numbers(x, y, d):
        mean, move = g1 * x + g2 * y, g2 * d
        return (x, mean, move) if to_mean else (mean, x, -move)

    total, largest = numbers(total1, total2, total_d), (exact(1), exact(1), exact(0))
    some, others = False, [(exact(0), exact(0), exact(0))]
    for x, y, d in each:
        cross = g2 * gamma_terms.dirichlet_cross(near, x, y, d, total1, total2, total_d, difference, choose)
        of = numbers(x, y, d)
        cross = cross if to_mean else -cross
        is_largest, *parts = gamma_terms.dirichlet_component(*of, *total[:2], cross, g, bregman, choose)
        found.append(parts)
        if is_largest:
            some, largest = True, of
        else:
            others.append(of)
    more = (normal(numbers) for numbers in zip(*others, strict=True))
    functions = difference, g, bregman, bregman_less, choose
    found.append(gamma_terms.dirichlet_total(some, *largest, *more, *total, *functions))
    return tuple(normal(parts) for parts in zip(*found, strict=True))


def normal(numbers):
    """The sum, made a pair whose low part is below a unit of the high part after each addition."""
    found = exact(0)
    for x in numbers:
        found = found + x
        size = found.value.abs_upper() + found.error
        found = Paired(found.value, found.error, U * size)
    return found


def kl(x, y):
    X, Y = sum(x), sum(y)
    terms = (b.lgamma() - a.lgamma() + (a - b) * (a.digamma() - X.digamma()) for a, b in zip(x, y, strict=True))
    return sum(terms) + X.lgamma() - Y.lgamma()


def concentrations():
    """Two members: far, near, large, nearly proportional, or with one component that is nearly the total."""
    rng = np.random.default_rng(3)
    for i in range(16):
        k = rng.choice([2, 3, 6])
        x = 10 ** rng.uniform(*((-9, 15) if i % 2 else (-2, 6)), k)
        step = 10 ** rng.uniform(-15, 0) * rng.normal(size=k)
        ratio = 1 + 10 ** rng.uniform(-12, 0)
        y = [10 ** rng.uniform(-3, 6, k), x * abs(1 + step), x * ratio, x * ratio * abs(1 + 1e-3 * step)][i // 2 % 4]
        if i % 8 == 7:
            y[1:] = x[1:]
        yield x, y
    large = 1e14 * rng.uniform(0.5, 2, 3)
    yield large, 1.1 * large * (1 + 1e-12 * rng.normal(size=3))


@pytest.mark.parametrize("to_mean", [True, False])
def test_a_dirichlet_distribution_keeps_the_bound(to_mean):
    with ctx.workprec(500):
        for i, (x, y) in enumerate(concentrations()):
            w2 = arb((1.0, 0.25, 1e-6)[i % 3])
            X, Y = (list(map(arb, map(float, z))) for z in (x, y))
            mean = [(1 - w2) * a + w2 * b for a, b in zip(X, Y, strict=True)]
            found = dirichlet(x, y, w2, to_mean)
            root = max(float(x.sum()), float(y.sum())) ** 0.5
            bound = TERM + len(x) * (arb(2) ** -93 + arb(2) ** -95 * root)
            assert_bounded(found, kl(X, mean) if to_mean else kl(mean, X), bound)
