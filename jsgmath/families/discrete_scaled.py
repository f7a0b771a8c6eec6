"""Distributions with finitely many outcomes and parameters of any size, in numbers whose exponent is not limited.

The formulas are those of `discrete.Discrete`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jsgmath import special
from jsgmath.families.libraries.arithmetic import INFINITE, Arithmetic, Array, Weight
from jsgmath.families.libraries.twofold import log_beyond


class Member(NamedTuple):
    """The given weights or logits of one distribution, and what follows from them for each outcome."""

    given: Array
    weights: Any
    """Proportional to the probabilities."""
    total: Any
    probs: Any
    log_total: Array
    """The logarithm of the sum of the weights, or of the exponentials of the logits."""
    zero: Array


class Pair:
    """Two distributions of one family and their mean G; derivatives are by the parameters of ``first``."""

    def __init__(self, first: Any, second: Any, own: Weight, weight: Weight):
        self.m: Arithmetic = first.arithmetic
        self.families = first, second
        self.own, self.weight = self.m.for_outcomes(own), self.m.for_outcomes(weight)
        self.first, self.second = self.member(first), self.member(second)
        self.find_mean()

    def member(self, family: Any) -> Member:
        m, given = self.m, family.given()
        if family.has_logits:
            zero, top = given == -INFINITE, m.largest(given)
            high, low = special.two_sum(m.where(zero, top, given), -top)
            weights = m.chosen(zero, 0.0, m.exp_of_number(high) * m.number(1 + m.clamp(low, -0.5, 0.5)))
        else:
            zero, top, weights = given == 0, 0.0, m.number(given)
        total = m.each(m.sum_of_numbers(weights))
        return Member(given, weights, total, weights / total, top + total.log(), zero)

    def relative(self, probs: Any) -> tuple[Array, Callable[[Any], Any]]:
        """``log(p2/p1)`` minus its value at the likeliest outcome of ``probs``, and a function that picks that outcome.

        Differences of close outcomes are exact, however far the others are.  Where p1 or p2 is zero it is arbitrary.
        """
        m, a, b, (first, second) = self.m, self.first, self.second, self.families
        at_reference = m.taking_largest(m.where(self.both, m.plain(probs), -1.0))
        one = m.number(1.0)
        if first.has_logits and second.has_logits:
            x, y = (m.where(self.both, N.given, 0.0) for N in (a, b))
            high, low = special.two_sum(y, -x)
            return (high - at_reference(high)) + (low - at_reference(low)), at_reference
        if first.has_logits or second.has_logits:
            of_weights, logits = (second, a) if first.has_logits else (first, b)
            x, one = m.where(self.both, logits.given, 0.0), m.number(1.0)
            w = m.chosen(self.both, (b if first.has_logits else a).weights, one), m.number(of_weights.given_error())
            top = [at_reference(part) for part in w]
            log_ratio = log_beyond(m, w, top, *special.two_sum(x, -at_reference(x)))
            return (log_ratio if first.has_logits else -log_ratio), at_reference
        w1, w2 = m.chosen(self.both, a.weights, one), m.chosen(self.both, b.weights, one)
        if not first.parameter_axes:
            log_ratio = m.log_of_number(first.far_difference(second) / w1, w2 / w1)
            return log_ratio - at_reference(log_ratio), at_reference
        top1, top2 = at_reference(w1), at_reference(w2)
        difference = m.difference_of_products(w2, (top1, 0.0), w1, (top2, 0.0))
        return m.log_of_number(difference / (w1 * top2), (w2 / w1) * (top1 / top2)), at_reference

    def find_mean(self) -> None:
        m, a, b, own, weight = self.m, self.first, self.second, self.own, self.weight
        self.both = ~(a.zero | b.zero)
        self.gone = gone = (a.zero & (b.zero | (own > 0))) | (b.zero & (weight > 0))
        # A common factor of all ratios cancels.  All are divided by that of the likeliest outcome, so that it adds
        # nothing to the sums below.
        self.log_ratio, at_reference = self.relative(a.probs)
        near, growth = m.growth(weight, self.log_ratio)
        one = m.number(1.0)
        ratio = m.chosen(self.both, b.probs / m.chosen(self.both, a.probs, one), one)
        common = at_reference(ratio)
        power = m.power_of_number(ratio / common, own, weight)
        grown = m.chosen(near, 1 + growth, power)
        growth = m.chosen(near, growth, power - 1)
        of_second = b.probs / m.power_of_number(common, own, weight)
        product = m.chosen(gone, 0.0, m.chosen(a.zero, of_second, a.probs * grown))
        lost = m.chosen(gone, -a.probs, m.chosen(a.zero, of_second, a.probs * growth))
        lost = m.each(m.sum_of_numbers(lost))
        calm = m.plain(lost) > -0.5
        z = m.chosen(calm, 1 + lost, m.each(m.sum_of_numbers(product)))
        z = m.chosen(gone.all(-1)[..., None], m.number(1.0), z)
        self.probs, self.k = product / z, grown / z
        self.excess = m.chosen(calm, (growth - lost) / z, self.k - 1)
        self.beyond = m.chosen(a.zero | gone, self.probs - a.probs, a.probs * self.excess)

    def to_mean(self, times: Weight) -> Array:
        m, a = self.m, self.first
        terms = m.chosen(a.zero, self.probs, a.probs * m.g_of_number(self.excess, self.k))
        return self.summed(times, terms, self.gone & ~a.zero)

    def from_mean(self, times: Weight) -> Array:
        m, a = self.m, self.first
        terms = m.chosen(self.gone, a.probs, self.probs * m.gs_of_number(self.excess, self.k))
        return self.summed(times, terms, a.zero & ~self.gone)

    def summed(self, times: Weight, terms: Any, infinite: Array) -> Array:
        m = self.m
        infinite = infinite.any(-1) | self.gone.all(-1)
        value = m.plain(m.number(times) * m.sum_of_numbers(terms))
        return m.where(infinite, times * (0 * value + INFINITE), value)

    def centred(self, probs: Any, log_ratio: Array) -> Any:
        """The first result of `relative` for these probabilities, minus its expectation."""
        m = self.m
        centred = m.number(log_ratio)
        return centred - m.each(m.sum_of_numbers(probs * centred))

    def slopes(self, beyond2: Any, w1: Weight, w2: Weight, dual: bool) -> Array:
        """Derivatives by the weights or logits; ``beyond2`` is what G exceeds the second distribution by."""
        m, a, b = self.m, self.first, self.second
        w1, w2 = m.for_outcomes(w1), m.for_outcomes(w2)
        n1, n2, own, weight = map(m.number, (w1, w2, self.own, self.weight))
        if dual:
            centred = self.centred(self.probs, self.relative(self.probs)[0])
            slope = own * (n1 * weight - n2 * own) * self.probs * centred - n1 * self.beyond
        else:
            slope = own * (n1 * self.beyond + n2 * beyond2)
            slope = slope - n1 * weight * a.probs * self.centred(a.probs, self.log_ratio)
        if self.families[0].has_logits:
            return m.plain(slope)
        found = m.plain(slope / m.chosen(a.zero, m.number(1.0), a.weights))
        infinite = 0 * found + INFINITE
        if dual:
            # G/p1 and its logarithm are infinite at p1 = 0; of the terms with them, that with the logarithm is larger.
            w = self.own * (w1 * self.weight - w2 * self.own)
            limit = m.choice(w == 0.0, -m.weighted(w1 * (self.own < 1), infinite), m.weighted(w, infinite))
        else:
            limit = -m.weighted(w1 * self.weight + w2 * self.own, infinite)
            found = m.where(b.zero & ~a.zero, found + m.weighted(w1 * self.weight, infinite), found)
        return m.where(a.zero & ~b.zero, limit, found)

    def slope_of_weight(self, beyond2: Any, w1: Weight, w2: Weight, dual: bool) -> Array:
        m = self.m
        n1, n2, own, weight = map(m.number, (m.for_outcomes(w1), m.for_outcomes(w2), self.own, self.weight))
        if dual:
            centred = self.centred(self.probs, self.relative(self.probs)[0])
            return m.plain(m.sum_of_numbers((n1 * weight - n2 * own) * self.probs * centred * centred))
        terms = (n1 * self.beyond + n2 * beyond2) * self.centred(self.first.probs, self.log_ratio)
        return m.plain(m.sum_of_numbers(terms))
