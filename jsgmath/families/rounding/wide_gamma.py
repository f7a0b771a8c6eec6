"""Gamma and Dirichlet distributions in pairs of floats in NumPy, as ``native/gamma.cpp`` computes them.

The formulas are those of `gamma_terms.py`; the limits and bounds are derived in verification/README.md, "Gamma and
Dirichlet".
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from typing import Any, NamedTuple, Self

import numpy as np

from jsgmath import formula, special
from jsgmath.families import gamma_terms, stirling
from jsgmath.families.rounding.wide_families import DIRECT, FROM_MEAN, TO_MEAN, Array, Case, difference, g, moderate
from jsgmath.reduction.wide import Wide, two_product, where

BOUND_TERM, BOUND_EACH, BOUND_CROSS = 2.0**-77, 2.0**-93, 2.0**-95
# With a rate and a scale, shape times rate of the two must differ by at least this share; closer pairs are computed in
# decimal numbers.
APART = 2.0**-20
FEW = 16  # for fewer divergences, decimal numbers take no longer

Found = tuple[Wide, Array, Array]
"""The divergence, a bound on its error, and whether it is sound."""


class Change(NamedTuple):
    """A number, and another number minus it."""

    value: Any
    less: Any

    def __add__(self, other: Self) -> "Change":  # type: ignore[override]
        return Change(self.value + other.value, self.less + other.less)

    def __mul__(self, other: Self) -> "Change":  # type: ignore[override]
        return Change(self.value * other.value, self.less * (other.value + other.less) + self.value * other.less)


@cache
def coefficients() -> tuple[list[Wide], list[float]]:
    """The coefficients of Stirling's series, the first as pairs, as many as in the core."""
    from jsgmath.native import build  # imported here, because its own imports take long

    found = stirling.coefficients(stirling.TERMS)
    first, further = found[: build.STIRLING_PAIRS], found[build.STIRLING_PAIRS :]
    return [Wide(float(x), float(x - Fraction(float(x)))) for x in first], list(map(float, further))


def series(x: Wide, y: Wide) -> Wide:
    first, further = coefficients()
    zero, one = Wide.of(0 * x.high), Wide.of(0 * x.high + 1)
    found, *state = gamma_terms.stirling(x, y, zero, zero, zero, one, len(first), lambda n: first[n])
    weighted, plain, power = (z.high for z in state)
    numbers = x.high, y.high, zero.high, weighted, plain, power
    return found + gamma_terms.stirling(*numbers, len(further), lambda n: further[n])[0]


def series_less(x: Wide, y: Wide, more_x: Wide, more_y: Wide) -> tuple[Wide, Wide]:
    first, further = coefficients()
    zero, one = Wide.of(0 * x.high), Wide.of(0 * x.high + 1)
    none = Change(zero, zero)
    numbers = Change(x, more_x), Change(y, more_y), none, none, none, Change(one, zero)
    found, *state = gamma_terms.stirling(*numbers, len(first), lambda n: Change(first[n], zero))
    weighted, plain, power = map(highs, state)
    numbers = highs(numbers[0]), highs(numbers[1]), highs(none), weighted, plain, power
    rest = gamma_terms.stirling(*numbers, len(further), lambda n: Change(further[n], 0.0))[0]
    return found.value + rest.value, found.less + rest.less


def highs(x: Change) -> Change:
    return Change(x.value.high, x.less.high)


bregman = partial(gamma_terms.bregman_terms, g=g, series=series, choose=where)
bregman_less = partial(gamma_terms.bregman_less_terms, g=g, series_less=series_less, choose=where)


def gamma(
    case: Case, forms: tuple[int, int], w: tuple[Wide, Wide], x: tuple[Array, Array], y: tuple[Array, Array]
) -> Found:
    """Gamma distributions, by shapes, and rates or scales."""
    (a1, s1), (a2, s2) = x, y
    sound = moderate(a1) & moderate(s1) & moderate(a2) & moderate(s2)
    if forms[0] == forms[1]:
        b1, b2 = (s1, s2) if forms[0] == 0 else (s2, s1)
        cross, rates = Wide(*two_product(a1, b2)) - Wide(*two_product(a2, b1)), (Wide.of(b1), Wide.of(b2))
    else:
        product, one = Wide(*two_product(s1, s2)), Wide.of(1.0)
        rates = (product, one) if forms[0] == 0 else (one, product)
        first = rates[1] * a1
        cross = difference(first, rates[0] * a2)
        sound &= np.abs(cross.high) > APART * first.high
    numbers = Wide.of(a1), Wide.of(a2), Wide(*special.two_sum(a2, -a1)), *rates, cross
    if case.divergence == DIRECT:
        plus, minus = gamma_terms.gamma_term(*numbers, g, bregman)
    else:
        function = gamma_terms.gamma_to_mean if case.divergence == TO_MEAN else gamma_terms.gamma_from_mean
        plus1, minus1, plus2, minus2 = function(*numbers, case.g1, case.g2, g, bregman)
        plus, minus = formula.skew(*w, plus1, plus2), formula.skew(*w, minus1, minus2)
    return plus - minus, BOUND_TERM * (plus.high + minus.high), sound


class Numbers(NamedTuple):
    """Components, or totals, of the two distributions of KL(x||y), and ``y - x``."""

    x: Wide
    y: Wide
    d: Wide

    def each(self, function: Callable[[Wide], Wide]) -> "Numbers":
        return Numbers(*map(function, self))


def dirichlet(
    case: Case, forms: tuple[int, int], w: tuple[Wide, Wide], x: tuple[Array, Array], y: tuple[Array, Array]
) -> Found:
    a1, a2, d = Wide.of(x[0]), Wide.of(y[0]), Wide(*special.two_sum(y[0], -x[0]))
    total1, total2, total_d = (z.sum(-1)[..., None] for z in (a1, a2, d))
    near = np.abs(total_d.high) < 0.5 * total1.high
    cross = gamma_terms.dirichlet_cross(near, a1, a2, d, total1, total2, total_d, difference, where)
    if case.divergence == DIRECT:
        plus, minus = dirichlet_kl(Numbers(a1, a2, d), Numbers(total1, total2, total_d), cross)
    else:
        g1, g2, to_mean = case.g1[..., None], case.g2[..., None], case.divergence != FROM_MEAN

        def numbers(own: Wide, a1: Wide, a2: Wide, move: Wide) -> Numbers:
            mean = g1 * a1 + g2 * a2
            return Numbers(own, mean, move) if to_mean else Numbers(mean, own, -move)

        parts = [
            dirichlet_kl(
                numbers(own, a1, a2, weight * d),
                numbers(own_total, total1, total2, weight * total_d),
                weight * cross if to_mean else -(weight * cross),
            )
            for own, own_total, weight in ((a1, total1, g2), (a2, total2, -g1))
        ]
        plus, minus = (formula.skew(*w, one, two) for one, two in zip(*parts, strict=True))
    root = np.sqrt(np.maximum(total1.high, total2.high)[..., 0])
    error = (BOUND_TERM + x[0].shape[-1] * (BOUND_EACH + BOUND_CROSS * root)) * (plus.high + minus.high)
    return plus - minus, error, np.asarray((moderate(x[0]) & moderate(y[0])).all(-1))


def dirichlet_kl(of: Numbers, totals: Numbers, cross: Wide) -> tuple[Wide, Wide]:
    """``plus, minus`` of KL(x||y)."""
    largest, plus, minus = gamma_terms.dirichlet_component(*of, *totals[:2], cross, g, bregman, where)
    some = largest.any(-1)
    one = of.each(lambda z: where(some, where(largest, z, 0.0).sum(-1), 1.0))
    others = of.each(lambda z: where(largest, 0.0, z).sum(-1))
    whole = totals.each(lambda z: z[..., 0])
    plus_total, minus_total = gamma_terms.dirichlet_total(
        some, *one, *others, *whole, difference, g, bregman, bregman_less, where
    )
    return plus.sum(-1) + plus_total, minus.sum(-1) + minus_total
