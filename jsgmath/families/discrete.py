"""The base class of categorical and Bernoulli distributions."""

from abc import abstractmethod
from typing import Any, NamedTuple, Self

from jsgmath import special
from jsgmath.families.base import Family, one_of
from jsgmath.families.discrete_scaled import Pair
from jsgmath.families.libraries.arithmetic import INFINITE, Arithmetic, Array, Weight, total

LARGE = 2.0
"""If the logarithm of k is larger in size, g and gs are written out, where nothing cancels and k cannot overflow."""


class Outcomes(NamedTuple):
    """What the formulas need of one distribution, for each outcome."""

    given: Array
    """Weights or logits; an arbitrary number where the weight is zero."""
    log_total: Array
    """The logit, or the logarithm of the weight, minus the logarithm of the probability."""
    probs: Array
    log_probs: Array
    """An arbitrary number where the probability is zero."""
    zero: Array
    """Whether the probability is zero."""


class Mean(NamedTuple):
    """What the formulas need of ``G`` and ``p1``, for each outcome."""

    p1: Array
    zero: Array
    """Whether p1 is zero."""
    probs: Array
    gone: Array
    """Whether the probability under G is zero."""
    log_k: Array
    moderate: Array
    """Whether k is neither large nor small, so that g and gs are used; elsewhere ``k`` is arbitrary."""
    k: Array
    excess: Array
    """``k - 1``"""

    def beyond(self, m: Arithmetic) -> Array:
        """``G - p1``"""
        return m.where(self.moderate & ~self.zero & ~self.gone, self.p1 * self.excess, self.probs - self.p1)


class Discrete(Family):
    r"""Distributions with finitely many outcomes, in the form in which they were given.

    Let ``k = G/p1 = exp(t)/Z`` with ``t = g2 log(p2/p1)`` and ``Z = sum p1 exp(t)``.  Since ``sum G = sum p1``, the
    divergences are sums of non-negative terms:

    .. math:: KL(p_1 \| G) = \sum p_1\, g(k - 1), \qquad KL(G \| p_1) = \sum G\, gs(k - 1)

    A common factor of all ratios cancels in k, and so does its rounding error.
    """

    of_products = False

    def __init__(self, probs: Any, logits: Any):
        super().__init__(**one_of(self, probs=probs, logits=logits))

    @property
    def far(self) -> bool:
        """Whether intermediate results may overflow or underflow."""
        return self.library != "NumPy" and not self.arithmetic.moderate

    def pair(self, other: Any, own: Weight, weight: Weight) -> Pair:
        return self.once("pair", lambda: Pair(self, other, own, weight))

    def beyond(self, other: Any, own: Weight, weight: Weight) -> Any:
        """What G exceeds the probabilities of self by, as numbers."""
        if self.twin:
            return self.arithmetic.exchanged(self.twin.pair(other, own, weight).beyond)
        return self.pair(other, own, weight).beyond

    @abstractmethod
    def given(self) -> Array:
        """Weights or logits; the last axis is that of the outcomes."""

    def given_error(self) -> Array:
        """What must be added to `given` because that was rounded, if it is weights."""
        return 0 * self.given()

    @abstractmethod
    def difference(self, other: Any, given1: Array, given2: Array, ratio: Array) -> tuple[Array, Array]:
        """``given2 - ratio given1`` and ``ratio given1`` for weights; ``ratio`` is that of their totals."""

    @property
    def has_logits(self) -> bool:
        return "logits" in self.parameters

    def outcomes(self) -> Outcomes:
        if self.kept is None:
            return self.new_outcomes()
        if "outcomes" not in self.kept:
            self.kept["outcomes"] = self.new_outcomes()
        return self.kept["outcomes"]

    def new_outcomes(self) -> Outcomes:
        m, given = self.arithmetic, self.given()
        if not self.has_logits:
            zero, total = given == 0, given.sum(-1)[..., None]
            given, probs = m.where(zero, 1.0, given), given / total
            return Outcomes(given, m.log(total), probs, m.log(given) - m.log(total), zero)
        zero, top = given == -INFINITE, m.largest(given)
        given = m.where(zero, top, given)
        high, low = special.two_sum(given, -top)
        probs = m.where(zero, 0.0, m.exp(high) * (1 + low))
        total = probs.sum(-1)[..., None]
        return Outcomes(given, top + m.log(total), probs / total, given - top - m.log(total), zero)

    def log_ratio(self, other: Self, first: Outcomes, second: Outcomes) -> Array:
        """``log(p2/p1)``, accurate except for an error that is the same for all outcomes."""
        m = self.arithmetic
        if self.has_logits or other.has_logits:
            logits1, logits2 = (
                x.given if N.has_logits else m.log(x.given) for N, x in ((self, first), (other, second))
            )
            return (logits2 - logits1) - (second.log_total - first.log_total)
        ratio = m.exp(second.log_total - first.log_total)
        difference, scaled = self.difference(other, first.given, second.given, ratio)
        return m.log_ratio(difference / scaled, second.given, scaled)

    def mean(self, other: Any, own: Weight, weight: Weight) -> Mean:
        m = self.arithmetic
        own, weight = m.for_outcomes(own), m.for_outcomes(weight)
        first, second = self.outcomes(), other.outcomes()
        p1, zero = first.probs, first.zero
        gone = (zero & (second.zero | (own > 0))) | (second.zero & (weight > 0))
        # A common factor of all ratios cancels in k.  If one outcome is likely, all ratios are divided by its ratio, so
        # that it adds nothing to the sums below.
        log_ratio = m.where(zero | second.zero, 0.0, self.log_ratio(other, first, second))
        likely, shift = m.at_largest(p1, log_ratio)
        shift = m.where((likely > 0.5) & (weight * shift > -50), shift, 0.0)
        t = weight * (log_ratio - shift)
        growth = m.expm1(m.clamp(t, -INFINITE, LARGE))
        first_log, second_log = first.log_probs + t, second.log_probs - weight * shift
        log_product = m.where(zero, second_log, first_log)
        # Z - 1 is a sum of differences; if Z is below 1/2, log Z is computed from the logarithms of its terms.
        lost = m.where(gone, -p1, m.where(zero | (t >= LARGE), m.exp(log_product) - p1, p1 * growth)).sum(-1)[..., None]
        near, top = lost > -0.5, 0.0
        if isinstance(own, float) and own == 0.0:  # Z is 1 except for the shift
            log_z = m.log1p(m.where(near, lost, 0.0))
        else:
            top = m.largest(m.where(gone, -INFINITE, log_product))
            top = m.where(top == -INFINITE, 0.0, top)
            total = m.where(gone, 0.0, m.exp(m.where(gone, top, log_product) - top)).sum(-1)[..., None]
            log_z = m.where(near, m.log1p(m.where(near, lost, 0.0)), m.log(total) + top)
        log_k = t - log_z
        moderate = (log_k < LARGE) & (log_k > -LARGE)
        k = m.exp(m.where(moderate, log_k, 0.0))
        calm = near & (t < LARGE)
        if isinstance(own, float) and own == 0.0:
            probs = second.probs
        else:
            product = m.where(gone, 0.0, m.power(p1, own) * m.power(second.probs, weight))
            whole = product.sum(-1)[..., None]
            # A probability from logits may underflow although its power does not.
            tiny = m.xp.finfo(whole.dtype).tiny
            under = (~zero & (p1 < tiny)) | (~second.zero & (second.probs < tiny))
            under = (under & ~gone & (log_product - top > -60)).any(-1)[..., None]
            there = (whole > tiny**0.75) & ~under
            far = m.where(there, product / m.where(there, whole, 1.0), m.exp(log_product - log_z))
            probs = m.where(calm & moderate & ~zero, p1 * k, far)
        excess = m.where(calm, (growth - lost) / m.where(near, 1 + lost, 1.0), probs / m.where(p1 == 0, 1.0, p1) - 1)
        return Mean(p1, zero, m.where(gone, 0.0, probs), gone, log_k, moderate, k, excess)

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        if self.far:
            return self.pair(other, own, weight).to_mean(times)
        m = self.arithmetic
        p1, zero, G, gone, log_k, moderate, k, excess = self.mean(other, own, weight)
        value = m.where(moderate, p1 * m.g_of(excess, k), G - p1 - p1 * log_k)
        value = m.where(zero, G, m.where(gone, INFINITE, value)).sum(-1)
        return times * m.where(gone.all(-1), INFINITE, value)

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        if self.far:
            return self.pair(other, own, weight).from_mean(times)
        m = self.arithmetic
        p1, zero, G, gone, log_k, moderate, k, excess = self.mean(other, own, weight)
        value = m.where(moderate, G * m.gs_of(excess, k), p1 - G + G * log_k)
        value = m.where(gone, p1, m.where(zero, INFINITE, value)).sum(-1)
        return times * m.where(gone.all(-1), INFINITE, value)  # the two have no common outcome

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        """The derivatives by the weights or logits; a product with a weight that is the plain number 0 is left out."""
        if self.far:
            pair = self.pair(other, own, weight)
            return self.by_given(pair.slopes(other.beyond(self, weight, own), w1, w2, dual))
        m, first, second = self.arithmetic, self.outcomes(), other.outcomes()
        log_ratio = self.log_odds(other, first, second)
        by_first = own * w1, lambda: self.mean(other, own, weight).beyond(m)
        if dual:
            G = self.mean(other, own, weight).probs
            terms = [(-w1, by_first[1]), (own * (w1 * weight - w2 * own), lambda: self.centred(G, log_ratio))]
            probs = G
        else:
            by_second = own * w2, lambda: other.mean(self, weight, own).beyond(m)
            terms = [by_first, by_second, (-w1 * weight, lambda: self.centred(first.probs, log_ratio))]
            probs = first.probs
        *differences, (w, centred) = [(m.for_outcomes(w), f) for w, f in terms]
        found = [0 * first.probs]
        for w_difference, difference in differences:
            if not (isinstance(w_difference, float) and w_difference == 0.0):
                found.append(m.weighted(w_difference, self.per_weight(difference(), first.probs)))
        if not (isinstance(w, float) and w == 0.0):
            factor = self.per_weight(probs, first.probs) if dual or self.has_logits else 1.0
            term = factor * centred()
            found.append(m.weighted(w, m.where(probs == 0, 0.0, term) if self.has_logits else term))
        derivative = total(found)
        if dual and not self.has_logits:
            # G/p1 and its logarithm are infinite at p1 = 0; of the terms with them, that with the logarithm is larger.
            infinite, w1, own = 0 * first.probs + INFINITE, m.for_outcomes(w1), m.for_outcomes(own)
            limit = m.choice(w == 0.0, -m.weighted(w1 * (own < 1), infinite), m.weighted(w, infinite))
            derivative = m.where(first.zero & ~second.zero, limit, derivative)
        return self.by_given(derivative if self.has_logits else derivative / m.exp(first.log_total))

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        if self.far:
            pair = self.pair(other, own, weight)
            return pair.slope_of_weight(other.beyond(self, weight, own), w1, w2, dual)
        m, first, second = self.arithmetic, self.outcomes(), other.outcomes()
        log_ratio, mean = self.log_odds(other, first, second), self.mean(other, own, weight)
        from1, from2 = mean.beyond(m), other.mean(self, weight, own).beyond(m)
        w1, w2, own, weight = map(m.for_outcomes, (w1, w2, own, weight))
        if dual:
            return ((w1 * weight - w2 * own) * mean.probs * self.centred(mean.probs, log_ratio) ** 2).sum(-1)
        return ((w1 * from1 + w2 * from2) * self.centred(first.probs, log_ratio)).sum(-1)

    def log_odds(self, other: Self, first: Outcomes, second: Outcomes) -> Array:
        """`log_ratio`, which is infinite where one of the probabilities is zero."""
        m = self.arithmetic
        log_ratio = m.where(first.zero & ~second.zero, INFINITE, self.log_ratio(other, first, second))
        return m.where(second.zero & ~first.zero, -INFINITE, log_ratio)

    def centred(self, probs: Array, log_ratio: Array) -> Array:
        """``log_ratio`` minus its expectation; if one outcome is likely, only the others contribute."""
        m = self.arithmetic
        _, shift = m.at_largest(probs, log_ratio)
        log_ratio = log_ratio - m.finite(shift)
        return log_ratio - m.where(probs == 0, 0.0, probs * log_ratio).sum(-1)[..., None]

    def per_weight(self, x: Array, probs: Array) -> Array:
        """The derivative by the logarithm of the weight, or the one by the weight multiplied by the total weight."""
        return x if self.has_logits else self.arithmetic.where(x == 0, 0.0, x / probs)

    @abstractmethod
    def by_given(self, derivative: Array) -> dict[str, Array]:
        """Converts the derivative by the weights or logits of all outcomes to the derivative by the parameter."""
