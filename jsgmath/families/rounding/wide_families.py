"""Exponential families in pairs of floats in NumPy: what the compiled core computes, for machines without it.

The formulas are those of `terms.py`, the pairs those of `wide.py`.  Limits and bounds are those of the core,
``native/families.cpp`` (verification/README.md, "Exponential families in pairs of doubles").
"""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jsgmath import formula, special
from jsgmath.families import terms
from jsgmath.reduction import wide
from jsgmath.reduction.wide import Wide, growth, two_product, where

LARGEST, LARGEST_LOGIT, LARGEST_SPREAD, LEAST_WEIGHT, APART = 2.0**100, 69.3, 150.0, 2.0**-120, 0.125
BOUND, BOUND_SUM = 2.0**-74, 2.0**-102
SECOND_ORDER, SECOND_ORDER_DIRECT = 2.0**-156, 2.0**-160
# Bounds on the error of the logarithm of a ratio, relative and absolute, between weights, logits, or one of each.
OF_WEIGHTS, OF_LOGITS, OF_BOTH = (2.0**-79, 2.0**-101), (2.0**-103, 2.0**-103), (2.0**-79, 2.0**-78)

Array = np.ndarray
g, log = partial(wide.kernels, dual=False), partial(wide.kernels, dual=None)
difference = operator.sub


def moderate(x: Array) -> Array:
    return (x >= 1 / LARGEST) & (x <= LARGEST)


class Case(NamedTuple):
    """A divergence: its value in the core's enumeration, and the weights of the members in the mean."""

    divergence: int
    g1: Wide
    g2: Wide

    def of(self, functions: Sequence[Callable[..., Any]], kernels: Sequence[Sequence[Any]], *numbers: Wide) -> Any:
        """The terms of this divergence; ``kernels`` are the last arguments of ``direct`` and of the other functions."""
        to_mean, from_mean, direct = functions
        if self.divergence == DIRECT:
            return direct(*numbers, *kernels[0])
        return (from_mean if self.divergence == FROM_MEAN else to_mean)(*numbers, self.g1, self.g2, *kernels[1])


TO_MEAN, FROM_MEAN, DIRECT, BOTH_DIRECT = range(4)


def exponential(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    first, second = Wide.of(x), Wide.of(y)
    if forms[0] == forms[1]:
        ratio = (first, second) if forms[0] == 0 else (second, first)
    else:
        product = Wide(*two_product(x, y))
        ratio = (product, Wide.of(1.0)) if forms[0] == 0 else (Wide.of(1.0), product)
    functions = terms.exponential_to_mean, terms.exponential_from_mean, terms.exponential_direct
    return case.of(functions, ((difference, g), (difference, g)), *ratio), moderate(x) & moderate(y)


def poisson(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    functions = terms.poisson_to_mean, terms.poisson_from_mean, terms.poisson_direct
    kernels = (difference, g), (difference, log, growth)
    return case.of(functions, kernels, Wide.of(x), Wide.of(y)), moderate(x) & moderate(y)


def odds(forms: tuple[int, int], x: Array, y: Array) -> tuple[tuple[Wide, Wide, Wide, Wide, Wide], Array]:
    """``p1, q1, p2, q2, p1 - p2``, and whether they are accurate."""

    def probability(p: Array) -> Array:
        return (p >= 1 / LARGEST) & (p <= 1 - 2.0**-53)

    def logit(z: Array) -> Array:
        return np.abs(z) <= LARGEST_LOGIT

    if forms == (0, 0):
        return terms.of_probabilities(Wide.of(x), Wide.of(y), difference), probability(x) & probability(y)
    if forms == (1, 1):
        gap = np.abs(x - y)
        return terms.of_log_odds(Wide.of(x), Wide.of(y), growth), logit(x) & logit(y) & ((gap == 0) | moderate(gap))
    p, z = (x, y) if forms[0] == 0 else (y, x)
    p1, q1, p2, q2, d = terms.of_both(Wide.of(p), Wide.of(z), difference, growth)
    sound = probability(p) & logit(z) & (np.abs(d.high) >= APART * np.maximum(p1.high, p2.high))
    return ((p1, q1, p2, q2, d) if forms[0] == 0 else (p2, q2, p1, q1, -d)), sound


def geometric(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    numbers, sound = odds(forms, x, y)
    functions = terms.geometric_to_mean, terms.geometric_from_mean, terms.geometric_direct
    return case.of(functions, ((g,), (g, log, growth)), *numbers), sound


def bernoulli(case: Case, forms: tuple[int, int], x: Array, y: Array) -> tuple[Any, Array]:
    numbers, sound = odds(forms, x, y)
    if case.divergence != DIRECT:
        t = Wide(*special.two_sum(y, -x)) if forms == (1, 1) else terms.log_odds_between(*numbers, log)
        numbers = *numbers[:4], t
    functions = terms.bernoulli_to_mean, terms.bernoulli_from_mean, terms.bernoulli_direct
    return case.of(functions, ((g,), (g, growth)), *numbers), sound


def weights_of(form: int, x: Array) -> tuple[Wide, Array]:
    """Weights, or the exponentials of logits, and whether they are within the limits; zeros are allowed."""
    if form == 0:
        return Wide.of(x), ((x == 0) | moderate(x)).all(-1)
    top, none = x.max(-1, keepdims=True), x == -np.inf
    below = Wide(*special.two_sum(np.where(none, top, x), -top))
    return where(none, 0.0, growth(below)[0]), (below.high >= -LARGEST_SPREAD).all(-1)


class Outcomes(NamedTuple):
    """Both probabilities of each outcome, and the logarithm t of their ratio.

    An error of t that all outcomes have in common counts only by its square.
    """

    p1: Wide
    p2: Wide
    t: Wide
    """It is 0 where a probability is."""
    of_t: Array
    """A bound on the error of t."""
    sound: Array
    same: Array
    """Whether both members are given by the same numbers."""


def outcomes(forms: tuple[int, int], x: Array, y: Array) -> Outcomes:
    (p1, sound1), (p2, sound2) = weights_of(forms[0], x), weights_of(forms[1], y)
    inverse1, inverse2 = (1.0 / p.sum(-1)[..., None] for p in (p1, p2))
    ratio, zero = inverse1 / inverse2, (p1.high == 0) | (p2.high == 0)
    relative, absolute = OF_WEIGHTS if forms == (0, 0) else OF_LOGITS if forms == (1, 1) else OF_BOTH
    if forms == (1, 1):
        tops = special.two_sum(y.max(-1, keepdims=True), -x.max(-1, keepdims=True))
        shift = Wide(*tops) + log(ratio - 1.0, ratio)
        between = Wide(*special.two_sum(np.where(zero, 0.0, y), np.where(zero, 0.0, -x)))
        t, absolute = between - shift, absolute * np.abs(shift.high)
    else:
        scaled, second = ratio * where(zero, 1.0, p1), where(zero, 1.0, p2)
        t = log(difference(second, scaled) / scaled, second / scaled)
    of_t, same = relative * np.abs(t.high) + absolute, (x == y).all(-1) & (forms[0] == forms[1])
    return Outcomes(p1 * inverse1, p2 * inverse2, where(zero, 0.0, t), of_t, sound1 & sound2, same)


def categorical(
    case: Case, forms: tuple[int, int], w: tuple[Wide, Wide], x: Array, y: Array
) -> tuple[Wide, Array, Array]:
    """The divergence, a bound on its error, and whether the bound is valid (`Categoricals` in ``families.cpp``)."""
    p1, p2, t, of_t, sound, same = outcomes(forms, x, y)
    zero1, zero2 = p1.high == 0, p2.high == 0
    if case.divergence == DIRECT:
        _, v, h = growth(t)
        value, error = (p1 * h + where(zero1, p2, 0.0)).sum(-1), (of_t * p1.high * np.abs(v.high)).sum(-1)
        second_order, sound = SECOND_ORDER_DIRECT if forms == (0, 0) else SECOND_ORDER, sound & (zero1 | ~zero2).all(-1)
    else:
        g1, g2, w1, w2 = (z[..., None] for z in (case.g1, case.g2, *w))
        whole, excess, _ = growth(g2 * t)
        log_z = log((p1 * excess).sum(-1)[..., None], (p1 * whole).sum(-1)[..., None])
        s1, s2 = g2 * t - log_z, -(g1 * t) - log_z
        share1, share2 = w1.high * g2.high, w2.high * g1.high
        if case.divergence == TO_MEAN:
            (_, v1, h1), (_, v2, h2) = growth(s1), growth(s2)
            value = formula.skew(w1, w2, p1 * h1, p2 * h2).sum(-1)
            error = share1 * p1.high * np.abs(v1.high) + share2 * p2.high * np.abs(v2.high)
        else:
            mean = p1 * growth(s1)[0]
            value = formula.skew(w1, w2, mean * growth(-s1)[2], mean * growth(-s2)[2]).sum(-1)
            error = mean.high * (share1 * np.abs(s1.high) + share2 * np.abs(s2.high) + value.high[..., None])
        error, second_order = (of_t * error).sum(-1), SECOND_ORDER * (1 + log_z.high[..., 0] ** 2)
        sound = sound & (zero1 == zero2).all(-1)
    error = 2 * error + (BOUND + BOUND_SUM * x.shape[-1] ** 2) * value.high + second_order
    return where(same, 0.0, value), np.where(same, 0.0, error), sound
