"""Exponential families in pairs of floats in NumPy: what the compiled core does, where there is none.

A pair is an unevaluated sum of two float64.  The formulas are those of `terms.py`.  Limits, series and bounds are those
of the core, ``native/families.cpp`` (verification/README.md, "Exponential families in pairs of doubles").
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from jsgmath import formula, special
from jsgmath.families import terms

LARGEST, LARGEST_LOGIT, LARGEST_SPREAD, LEAST_WEIGHT, APART = 2.0**100, 69.3, 150.0, 2.0**-120, 0.125
BOUND, BOUND_SUM = 2.0**-74, 2.0**-102
SECOND_ORDER, SECOND_ORDER_DIRECT = 2.0**-156, 2.0**-160
# Bounds on the error of the logarithm of a ratio, relative and absolute, between weights, logits, or one of each.
OF_WEIGHTS, OF_LOGITS, OF_BOTH = (2.0**-79, 2.0**-101), (2.0**-103, 2.0**-103), (2.0**-79, 2.0**-78)

Array = np.ndarray


class Pair:
    """An unevaluated sum of two arrays; the low one is at most some hundred units of the last place of the high one."""

    def __init__(self, high: Any, low: Any = 0.0):
        self.high, self.low = high, low

    def __add__(self, other: Any) -> "Pair":
        other = pair(other)
        high, low = special.two_sum(self.high, other.high)
        return Pair(high, low + (self.low + other.low))

    def __neg__(self) -> "Pair":
        return Pair(-self.high, -self.low)

    def __sub__(self, other: Any) -> "Pair":
        return self + -pair(other)

    def __rsub__(self, other: float) -> "Pair":
        return pair(other) + -self

    def __mul__(self, other: Any) -> "Pair":
        other = pair(other)
        high, low = two_product(self.high, other.high)
        return Pair(high, low + (self.high * other.low + self.low * other.high))

    def __truediv__(self, other: Any) -> "Pair":
        other = pair(other)
        quotient = self.high / other.high
        high, low = two_product(quotient, other.high)
        rest = ((self.high - high) - low) + (self.low - quotient * other.low)
        return Pair(quotient, rest / other.high)

    def __rtruediv__(self, other: float) -> "Pair":
        return pair(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __gt__(self, other: Any) -> Array:
        return self.high > pair(other).high

    def __getitem__(self, index: Any) -> "Pair":
        return Pair(self.high[index], self.low[index])


def pair(x: Any) -> Pair:
    return x if isinstance(x, Pair) else Pair(x)


def where(condition: Array, x: Any, y: Any) -> Pair:
    x, y = pair(x), pair(y)
    return Pair(np.where(condition, x.high, y.high), np.where(condition, x.low, y.low))


def two_product(x: Any, y: Any) -> tuple[Any, Any]:
    """``x * y`` rounded, and the rounding error [Veltkamp, Dekker]."""
    high = x * y
    (x1, x2), (y1, y2) = halves(x), halves(y)
    return high, ((x1 * y1 - high) + x1 * y2 + x2 * y1) + x2 * y2


def halves(x: Any) -> tuple[Any, Any]:
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def difference(x: Pair, y: Pair) -> Pair:
    high, low = special.two_sum(x.high, -y.high)
    return Pair(*special.two_sum(high, low + (x.low - y.low)))


def settled(x: Pair) -> Pair:
    """The same number after a cancellation, with a low part below a unit of the last place again."""
    return Pair(*special.two_sum(x.high, x.low))


def total(x: Pair) -> Pair:
    """The sum over the last axis."""
    shape = np.broadcast_shapes(np.shape(x.high), np.shape(x.low))
    x = Pair(np.broadcast_to(x.high, shape), np.broadcast_to(x.low, shape))
    while (n := x.high.shape[-1]) > 1:
        half = n // 2
        found = x[..., :half] + x[..., half : 2 * half]
        rest = x[..., 2 * half :]
        x = Pair(np.concatenate([found.high, rest.high], -1), np.concatenate([found.low, rest.low], -1))
    return x[..., 0]


class Series(NamedTuple):
    """Coefficients, the lowest power first: some as pairs, then others as floats."""

    pairs: list[Pair]
    floats: list[float]

    def __call__(self, x: Pair) -> Pair:
        value = Pair(np.zeros_like(x.high))
        for c in reversed(self.floats):
            value = Pair(value.high * x.high + c)
        for c in reversed(self.pairs):
            value = x * value + c
        return value


def constant(x: Fraction) -> Pair:
    high = float(x)
    return Pair(high, float(x - Fraction(high)))


class Constants(NamedTuple):
    """Series of the length of the core's, and log(2)."""

    tail: Series
    """``2 P(w)`` of `special.py`"""
    curve: Series
    """``(exp(t) - 1 - t)/t^2``"""
    log2: Pair


@cache
def constants() -> Constants:
    from jsgmath.native import build  # here, because its imports take long

    def series(in_pairs: int, in_floats: int, coefficient: Callable[[int], Fraction]) -> Series:
        found = [coefficient(k) for k in range(in_pairs + in_floats)]
        return Series(list(map(constant, found[:in_pairs])), list(map(float, found[in_pairs:])))

    return Constants(
        series(build.LONG_TAIL_PAIRS, build.LONG_TAIL, lambda k: Fraction(2, 2 * k + 3)),
        series(build.LONG_EXP_PAIRS, build.LONG_EXP, lambda k: Fraction(1, math.factorial(k + 2))),
        constant(build.log_of_2()),
    )


def split(x: Pair, k: Pair) -> tuple[Pair, Pair, Pair]:
    """``f, m, log(2^j)`` with ``k = 2^j m`` and ``m = 1 + f`` between the roots of 1/2 and 2."""
    m, j = np.frexp(k.high)
    j = j - (m < math.sqrt(0.5))
    m = Pair(np.ldexp(k.high, -j), np.ldexp(k.low, -j))
    return where(j == 0, x, Pair(m.high - 1, m.low)), m, constants().log2 * j.astype(np.float64)


def g(x: Pair, k: Pair) -> Pair:
    return special.split_g(x, k, k, 0.0, split, constants().tail)


def log(x: Pair, k: Pair) -> Pair:
    f, _, log_rest = split(x, k)
    q = f / (f + 2.0)
    w = q * q
    return log_rest + q * (w * constants().tail(w) + 2.0)


def growth(x: Pair) -> tuple[Pair, Pair, Pair]:
    n = np.rint(x.high / constants().log2.high)
    t = x - constants().log2 * n
    t = where(n == 0, x, t)
    power = np.ldexp(1.0, np.where(np.isfinite(n), n, 0).astype(int))
    bend = t * (t * constants().curve(t))
    y = (t + bend) * power
    minus_one = y + (Pair(power) - 1.0)
    return y + power, minus_one, where(n == 0, bend, minus_one - x)


def moderate(x: Array) -> Array:
    return (x >= 1 / LARGEST) & (x <= LARGEST)


class Case(NamedTuple):
    """What is computed: the value of the divergence, and the weights of the members in the mean."""

    divergence: int
    g1: Pair
    g2: Pair

    def of(self, functions: Sequence[Callable[..., Any]], kernels: Sequence[Sequence[Any]], *numbers: Pair) -> Any:
        """The terms by the function for this divergence; ``kernels`` are what the last one and the others take."""
        to_mean, from_mean, direct = functions
        if self.divergence == DIRECT:
            return direct(*numbers, *kernels[0])
        return (from_mean if self.divergence == FROM_MEAN else to_mean)(*numbers, self.g1, self.g2, *kernels[1])


TO_MEAN, FROM_MEAN, DIRECT, BOTH_DIRECT = range(4)


def exponential(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    first, second = Pair(x), Pair(y)
    if forms[0] == forms[1]:
        ratio = (first, second) if forms[0] == 0 else (second, first)
    else:
        product = Pair(*two_product(x, y))
        ratio = (product, pair(1.0)) if forms[0] == 0 else (pair(1.0), product)
    functions = terms.exponential_to_mean, terms.exponential_from_mean, terms.exponential_direct
    return case.of(functions, ((difference, g), (difference, g)), *ratio), moderate(x) & moderate(y)


def poisson(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    functions = terms.poisson_to_mean, terms.poisson_from_mean, terms.poisson_direct
    kernels = (difference, g), (difference, log, growth)
    return case.of(functions, kernels, Pair(x), Pair(y)), moderate(x) & moderate(y)


def odds(forms: tuple[int, int], x: Array, y: Array) -> tuple[tuple[Pair, Pair, Pair, Pair, Pair], Array]:
    """``p1, q1, p2, q2, p1 - p2``, and whether they are accurate."""

    def probability(p: Array) -> Array:
        return (p >= 1 / LARGEST) & (p <= 1 - 2.0**-53)

    def logit(z: Array) -> Array:
        return np.abs(z) <= LARGEST_LOGIT

    if forms == (0, 0):
        return terms.of_probabilities(Pair(x), Pair(y), difference), probability(x) & probability(y)
    if forms == (1, 1):
        gap = np.abs(x - y)
        return terms.of_log_odds(Pair(x), Pair(y), growth), logit(x) & logit(y) & ((gap == 0) | moderate(gap))
    p, z = (x, y) if forms[0] == 0 else (y, x)
    p1, q1, p2, q2, d = terms.of_both(Pair(p), Pair(z), difference, growth)
    sound = probability(p) & logit(z) & (np.abs(d.high) >= APART * np.maximum(p1.high, p2.high))
    return ((p1, q1, p2, q2, d) if forms[0] == 0 else (p2, q2, p1, q1, -d)), sound


def geometric(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    numbers, sound = odds(forms, x, y)
    functions = terms.geometric_to_mean, terms.geometric_from_mean, terms.geometric_direct
    return case.of(functions, ((g,), (g, log, growth)), *numbers), sound


def bernoulli(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    numbers, sound = odds(forms, x, y)
    if case.divergence != DIRECT:
        t = Pair(*special.two_sum(y, -x)) if forms == (1, 1) else terms.log_odds_between(*numbers, log)
        numbers = *numbers[:4], t
    functions = terms.bernoulli_to_mean, terms.bernoulli_from_mean, terms.bernoulli_direct
    return case.of(functions, ((g,), (g, growth)), *numbers), sound


def weights_of(form: int, x: Array) -> tuple[Pair, Array]:
    """Weights, or the exponentials of logits, and whether they are within the limits; zeros are kept."""
    if form == 0:
        return Pair(x), ((x == 0) | moderate(x)).all(-1)
    top, none = x.max(-1, keepdims=True), x == -np.inf
    below = Pair(*special.two_sum(np.where(none, top, x), -top))
    return where(none, 0.0, growth(below)[0]), (below.high >= -LARGEST_SPREAD).all(-1)


class Outcomes(NamedTuple):
    """Both probabilities of each outcome, and the logarithm t of their ratio.

    An error of t that all outcomes have in common counts only by its square.
    """

    p1: Pair
    p2: Pair
    t: Pair
    """It is 0 where a probability is."""
    of_t: Array
    """A bound on the error of t."""
    sound: Array
    same: Array
    """Whether both members are given by the same numbers."""


def outcomes(forms: tuple[int, int], x: Array, y: Array) -> Outcomes:
    (p1, sound1), (p2, sound2) = weights_of(forms[0], x), weights_of(forms[1], y)
    inverse1, inverse2 = (1.0 / total(p)[..., None] for p in (p1, p2))
    ratio, zero = inverse1 / inverse2, (p1.high == 0) | (p2.high == 0)
    relative, absolute = OF_WEIGHTS if forms == (0, 0) else OF_LOGITS if forms == (1, 1) else OF_BOTH
    if forms == (1, 1):
        tops = special.two_sum(y.max(-1, keepdims=True), -x.max(-1, keepdims=True))
        shift = Pair(*tops) + log(settled(ratio - 1.0), ratio)
        between = Pair(*special.two_sum(np.where(zero, 0.0, y), np.where(zero, 0.0, -x)))
        t, absolute = settled(between - shift), absolute * np.abs(shift.high)
    else:
        scaled, second = ratio * where(zero, 1.0, p1), where(zero, 1.0, p2)
        t = log(difference(second, scaled) / scaled, second / scaled)
    of_t, same = relative * np.abs(t.high) + absolute, (x == y).all(-1) & (forms[0] == forms[1])
    return Outcomes(p1 * inverse1, p2 * inverse2, where(zero, 0.0, t), of_t, sound1 & sound2, same)


def categorical(
    case: Case, forms: tuple[int, int], w: tuple[Pair, Pair], x: Array, y: Array
) -> tuple[Pair, Array, Array]:
    """The divergence, a bound on its error, and whether it is sound: as `Categoricals` of ``families.cpp``."""
    p1, p2, t, of_t, sound, same = outcomes(forms, x, y)
    zero1, zero2 = p1.high == 0, p2.high == 0
    if case.divergence == DIRECT:
        _, v, h = growth(t)
        value, error = total(p1 * h) + total(where(zero1, p2, 0.0)), (of_t * p1.high * np.abs(v.high)).sum(-1)
        second_order, sound = SECOND_ORDER_DIRECT if forms == (0, 0) else SECOND_ORDER, sound & (zero1 | ~zero2).all(-1)
    else:
        g1, g2, w1, w2 = (z[..., None] for z in (case.g1, case.g2, *w))
        whole, excess, _ = growth(g2 * t)
        log_z = log(settled(total(p1 * excess))[..., None], total(p1 * whole)[..., None])
        s1, s2 = settled(g2 * t - log_z), settled(-(g1 * t) - log_z)
        share1, share2 = w1.high * g2.high, w2.high * g1.high
        if case.divergence == TO_MEAN:
            (_, v1, h1), (_, v2, h2) = growth(s1), growth(s2)
            value = total(formula.skew(w1, w2, p1 * h1, p2 * h2))
            error = share1 * p1.high * np.abs(v1.high) + share2 * p2.high * np.abs(v2.high)
        else:
            mean = p1 * growth(s1)[0]
            value = total(formula.skew(w1, w2, mean * growth(-s1)[2], mean * growth(-s2)[2]))
            error = mean.high * (share1 * np.abs(s1.high) + share2 * np.abs(s2.high) + value.high[..., None])
        error, second_order = (of_t * error).sum(-1), SECOND_ORDER * (1 + log_z.high[..., 0] ** 2)
        sound = sound & (zero1 == zero2).all(-1)
    error = 2 * error + (BOUND + BOUND_SUM * x.shape[-1] ** 2) * value.high + second_order
    return where(same, 0.0, value), np.where(same, 0.0, error), sound
