"""Bernoulli distributions."""

from typing import Any, Self

from jsgmath.families import terms
from jsgmath.families.discrete import Discrete
from jsgmath.families.libraries.arithmetic import INFINITE, Array, total
from jsgmath.families.libraries.twofold import sum_with


class Bernoulli(Discrete):
    r"""Bernoulli distributions: the outcome is 1 with probability p, otherwise 0.

    The log-odds of the geometric mean are the weighted mean of the two log-odds [2].  Two distributions that are
    certain of different outcomes have no geometric mean, and a divergence that involves it is infinite.

    Args:
        probs: the probability p, in [0, 1]; its shape is the batch shape.
        logits: the log-odds, finite.  Give either probs or logits.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: as for `Categorical`.

    >>> Bernoulli(logits=[1.0, 2.0]).geometric_mean(Bernoulli(logits=-2.0), 0.25)
    Bernoulli(logits=[0.25, 1.0])
    """

    core_name = "bernoulli"

    def __init__(self, probs: Any = None, *, logits: Any = None):
        super().__init__(probs, logits)
        self.check("probs", "in [0, 1]", lambda x: (x >= 0) & (x <= 1))
        self.check(
            "logits", "finite; use probs=0 or probs=1 for infinite ones", lambda x: (x < INFINITE) & (x > -INFINITE)
        )

    @property
    def moderate(self) -> tuple[float, float]:
        return (-8.0, 8.0) if self.has_logits else (2.0**-12, 1 - 2.0**-12)

    def both(self, other: Self) -> tuple[Array, ...] | None:
        """``p1, q1, p2, q2, p2 - p1`` for moderate parameters of one form."""
        m = self.arithmetic
        if self.has_logits != other.has_logits:
            return None
        x, y = (self.work(next(iter(N.parameters.values()))) for N in (self, other))
        if not self.has_logits:
            return x, 1 - x, y, 1 - y, y - x
        p1, q2, q1, p2 = (1 / (1 + m.exp(z)) for z in (-x, y, x, -y))
        return p1, q1, p2, q2, p1 * q2 * m.expm1(y - x)

    def direct(self, other: Self) -> Array | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, d = found
        return p1 * m.g_of(d / p1, p2 / p1) + q1 * m.g_of(-d / q1, q2 / q1)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, d = found
        if self.has_logits:
            x, y = (self.work(N.parameters["logits"]) for N in (self, other))
            return [p1 * q1 * (x - y), d]
        return [m.log_ratio(-d / q1, q2, q1) - m.log_ratio(d / p1, p2, p1), d / p2 / q2]

    def log_odds_between(self, other: Self, found: tuple[Array, ...]) -> Array:
        """The log-odds of other minus those of self, given the numbers of `both`."""
        if self.has_logits:
            return self.work(other.parameters["logits"]) - self.work(self.parameters["logits"])
        p1, q1, p2, q2, d = found
        return self.arithmetic.log_ratio(d / (p1 * q2), p2 * q1, p1 * q2)

    def at_once(self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool) -> Array | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        (p1, q1, p2, q2, _), t = found, self.log_odds_between(other, found)
        divergence = terms.bernoulli_from if dual else terms.bernoulli_to

        def growth(s: Array) -> tuple[Array, Array, None]:
            return m.exp(s), m.expm1(s), None

        members = (w1, p1, q1, weight), (w2, p2, q2, -own)
        return total(w * divergence(p, q, share * t, m.g_of, growth) for w, p, q, share in members if w)

    def slopes_at_once(
        self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool
    ) -> list[Array] | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        (p1, q1, p2, q2, _), t = found, self.log_odds_between(other, found)
        spread1, spread2, k = p1 * q1, p2 * q2, m.exp(weight * t)
        z = q1 + p1 * k
        from1 = spread1 * m.expm1(weight * t) / z  # what p of G exceeds p1 by
        from2 = spread2 * m.expm1(-own * t) / (q2 + p2 * m.exp(-own * t))
        if dual:
            both = (w1 * weight - w2 * own) * (spread1 * k / (z * z)) * t
            first, second = own * both - w1 * from1, weight * both - w2 * from2
        else:
            both = w1 * from1 + w2 * from2
            first, second = own * both - (w1 * weight) * (spread1 * t), weight * both + (w2 * own) * (spread2 * t)
        return [first, second] if self.has_logits else [first / spread1, second / spread2]

    def given(self) -> Array:
        m = self.arithmetic
        given = m.work(next(iter(self.parameters.values())))
        if not self.has_logits:
            return m.stack([given, 1 - given], -1)
        certain = given == INFINITE  # of 1; the logits of the outcomes are then 0 and -inf
        return m.stack([m.where(certain, 0.0, given), m.where(certain, -INFINITE, 0.0 * m.finite(given))], -1)

    def given_error(self) -> Array:
        m, p = self.arithmetic, self.work(self.parameters["probs"])
        return m.stack([0 * p, sum_with(m, 1.0, -p)[1]], -1)

    def difference(self, other: Any, given1: Array, given2: Array, ratio: Array) -> tuple[Array, Array]:
        m = self.arithmetic
        p1, p2 = (m.work(x.parameters["probs"]) for x in (self, other))
        return m.stack([p2 - p1, p1 - p2], -1), given1

    def far_difference(self, other: Any) -> Any:
        m = self.arithmetic
        p1, p2 = (m.number(m.work(x.parameters["probs"])) for x in (self, other))
        return m.each(p2 - p1) * m.number(m.array([1.0, -1.0], m.plain(p1)))

    def by_given(self, derivative: Array) -> dict[str, Array]:
        if self.has_logits:
            return {"logits": derivative[..., 0]}
        first, second = derivative[..., 0], derivative[..., 1]
        infinite = abs(second) == INFINITE  # then the first, divided by a tiny probability, may have overflowed
        return {"probs": self.arithmetic.where(infinite, 0.0, first) - second}

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        if self.has_logits and other.has_logits:
            first, second = (self.arithmetic.work(x.parameters["logits"]) for x in (self, other))
            return self.like(other, logits=own * first + weight * second)
        mean = self.mean(other, own, weight)
        if self.library == "NumPy" and mean.gone.all(-1).any():
            raise ValueError("the two distributions have no common outcome, and so no geometric mean")
        return self.like(other, probs=mean.probs[..., 0])
