"""Geometric distributions."""

from typing import Any, Self

import numpy as np

from jsgmath.families.base import Family, one_of
from jsgmath.families.libraries.arithmetic import INFINITE, Array, Weight


class Geometric(Family):
    r"""Geometric distributions, :math:`p(x) = p\,q^x` with :math:`q = 1 - p`, on x = 0, 1, 2, ... or on 1, 2, 3, ...

    .. math:: KL(p_1 \| p_2) = g(p_2/p_1 - 1) + \frac{q_1}{p_1}\, g(q_2/q_1 - 1), \quad g(x) = x - \log(1+x)

    The divergences are the same whether x counts the failures or the trials.  The geometric mean has
    :math:`q = q_1^{1-w} q_2^w` [2].

    Args:
        probs: the probability p of success, in (0, 1]; its shape is the batch shape.
        logits: the log-odds of success, finite.  Give either probs or logits.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Geometric(0.75).geometric_mean(Geometric(0.9375), 0.5)
    Geometric(probs=0.875)
    """

    core_name = "geometric"
    of_products = False

    def __init__(self, probs: Any = None, *, logits: Any = None):
        super().__init__(**one_of(self, probs=probs, logits=logits))
        self.check("probs", "in (0, 1]", lambda x: (x > 0) & (x <= 1))
        self.check("logits", "finite; use probs=1 for an infinite one", lambda x: (x < INFINITE) & (x > -INFINITE))

    @property
    def has_logits(self) -> bool:
        return "logits" in self.parameters

    def shifted(self, other: Self) -> Array:
        """The parameter of self; two very low logits are shifted, because only their difference counts."""
        m, x = self.arithmetic, self.work(next(iter(self.parameters.values())))
        if not (self.has_logits and other.has_logits):
            return x
        y, lowest = self.work(other.parameters["logits"]), -float(m.bits(x))
        top = m.xp.maximum(x, y)
        under = m.xp.minimum(x, y) < float(np.log(m.xp.finfo(x.dtype).tiny))
        return m.where(under & (top < lowest), (x - top) + lowest, x)

    def numbers(self, other: Self) -> tuple[Array, Array, Array, Array, Array]:
        """p, q, the logarithms of both, and whether q is zero; then its logarithm is arbitrary."""
        m, x = self.arithmetic, self.shifted(other)
        if self.has_logits:
            small = m.exp(-abs(x))
            larger, smaller = 1 / (1 + small), small / (1 + small)
            p, q = m.where(x > 0, larger, smaller), m.where(x > 0, smaller, larger)
            rest = m.log1p(small)
            return p, q, -(m.where(x < 0, -x, 0.0) + rest), -(m.where(x > 0, x, 0.0) + rest), x == INFINITE
        zero = x == 1
        return x, 1 - x, m.log(x), m.log1p(-m.where(zero, 0.5, x)), zero

    def log_ratio(self, other: Self) -> Array:
        """``log(q2/q1)``; it is arbitrary where q1 or q2 is zero."""
        m = self.arithmetic
        (p1, q1, _, log1, zero1), (p2, q2, _, log2, zero2) = self.numbers(other), other.numbers(self)
        if self.has_logits and other.has_logits:
            x1, x2 = self.shifted(other), other.shifted(self)
            near, d = m.near(x1 - x2)
            top1, top2 = (m.where(x > 0, x, 0.0) for x in (x1, x2))
            excess = p2 * m.expm1(d)
            far = (top1 - top2) + ((log2 + top2) - (log1 + top1))
            return m.where(near & (excess > -0.5), m.log1p(m.where(excess > -0.5, excess, 0.0)), far)
        if self.has_logits or other.has_logits:
            return log2 - log1
        zero = zero1 | zero2
        q1, q2 = m.where(zero, 1.0, q1), m.where(zero, 1.0, q2)
        return m.log_ratio(m.where(zero, 0.0, p1 - p2) / q1, q2, q1)

    def mean(self, other: Any, own: Weight, weight: Weight) -> tuple[Array, ...]:
        """p and q of self and of G, and their differences.

        These are ``p1, q1, p_G, q_G, log(q_G/q1), q_G - q1``, whether ``q1`` and ``q_G`` are zero, and ``log(p_G/p1)``.
        """
        m = self.arithmetic
        (p1, q1, log_p1, log1, zero1), (p2, _, log_p2, log2, zero2) = self.numbers(other), other.numbers(self)
        gone = (zero1 & (own > 0)) | (zero2 & (weight > 0))
        log_q = own * log1 + weight * log2
        # G's p lies between the two; a product above may be smaller than normal numbers, which JAX takes as 0.
        p = m.where(gone, 1.0, m.xp.maximum(-m.expm1(log_q), m.xp.minimum(p1, p2)))
        q = m.where(gone, 0.0, m.exp(log_q))
        t = weight * self.log_ratio(other)
        near, small = m.near(t)
        under = p < float(m.xp.finfo(p.dtype).tiny)  # only if one of the weights is 0, or nearly
        log_k = m.where(under, m.choice(own > weight, 0.0, log_p2 - log_p1), m.log(m.where(under, 1.0, p)) - log_p1)
        difference = m.where(near & ~gone & ~zero1, q1 * m.expm1(small), q - q1)
        return p1, q1, p, q, t, difference, zero1, gone, log_k

    def of_successes(self, difference: Array, y: Array, x: Array, log_k: Array) -> Array:
        """``g(difference/x)`` for ``difference = y - x``, where ``log_k`` is the logarithm of ``y/x``."""
        m = self.arithmetic
        tiny = float(m.xp.finfo(x.dtype).tiny)
        k = y / m.where(x < tiny, 1.0, x)
        near = (x >= tiny) & (k >= tiny) & (k < INFINITE)
        close = m.g_of(m.where(near, difference / m.where(near, x, 1.0), 0.0), m.where(near, k, 1.0))
        return m.where(near, close, m.where(log_k == 0, 0.0, m.exp(log_k) - 1 - log_k))

    @property
    def moderate(self) -> tuple[float, float]:
        return (-8.0, 8.0) if self.has_logits else (2.0**-12, 1 - 2.0**-12)

    def both(self, other: Self) -> tuple[Array, ...] | None:
        """``p1, q1, p2, q2, p2/p1 - 1, q2/q1 - 1`` for moderate parameters of one form."""
        m = self.arithmetic
        if self.has_logits != other.has_logits:
            return None
        x, y = (self.work(next(iter(N.parameters.values()))) for N in (self, other))
        if not self.has_logits:
            return x, 1 - x, y, 1 - y, (y - x) / x, (x - y) / (1 - x)
        p1, p2 = 1 / (1 + m.exp(-x)), 1 / (1 + m.exp(-y))
        q1, q2 = 1 / (1 + m.exp(x)), 1 / (1 + m.exp(y))
        return p1, q1, p2, q2, q2 * m.expm1(y - x), p2 * m.expm1(x - y)

    def direct(self, other: Self) -> Array | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, of_p, of_q = found
        return m.g_of(of_p, p2 / p1) + q1 / p1 * m.g_of(of_q, q2 / q1)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, of_p, of_q = found
        log_ratio = m.log_ratio(of_q, q2, q1) / p1
        if self.has_logits:
            return [log_ratio * q1, of_p]
        return [log_ratio / p1, of_p / p2 / q2]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m = self.arithmetic
        p1, q1, p, q, t, difference, zero, gone, log_k = self.mean(other, own, weight)
        near, small = m.near(t)
        failures = m.where(near, q1 * m.g_of(m.expm1(small), m.exp(small)), q - q1 - q1 * t)
        value = self.of_successes(-difference, p, p1, log_k) + m.where(t == 0, 0.0, failures / p1)
        return times * m.where(zero, -m.log(p), m.where(gone, INFINITE, value))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m = self.arithmetic
        p1, q1, p, q, t, difference, zero, gone, log_k = self.mean(other, own, weight)
        near, small = m.near(-t)
        failures = m.where(near, q * m.g_of(m.expm1(small), m.exp(small)), q1 - q + q * t)
        value = self.of_successes(difference, p1, p, -log_k) + m.where(t == 0, 0.0, failures / p)
        return times * m.where(gone, -m.log(p1), m.where(zero, INFINITE, value))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        p1, q1, p, q, _, from1, zero1, _, log_k = self.mean(other, own, weight)
        p2, _, _, _, _, from2, zero2, _, _ = other.mean(self, weight, own)
        log_ratio = self.log_ratio(other)
        log_ratio = m.where(zero1 & ~zero2, INFINITE, m.where(zero2 & ~zero1, -INFINITE, log_ratio))

        def divided(w: Weight, x: Array, *divisors: Array) -> Array:
            if isinstance(w, float) and w == 0.0:
                return 0 * p1
            return m.where((w == 0) | (x == 0), 0.0, m.quotient([w, x], divisors))

        # By log q, divided by p, and then by the parameter.
        if self.has_logits:
            share, unit = m.exp(-log_k), q1 * log_ratio
            by_own = divided(w1 if dual else w1 * own, from1, p)
        else:
            share, unit = m.quotient([1 + 0 * p], [q1, p]), m.quotient([log_ratio], [p1])
            by_own = divided(w1 if dual else w1 * own, from1, q1, p, p1)
        if dual:
            along = divided(own * (w1 * weight - w2 * own), share * (q * log_ratio), p)
            return {next(iter(self.parameters)): by_own - along}
        derivative = divided(w1 * weight, unit, p1) - by_own - divided(w2 * own, share * from2, p2)
        return {next(iter(self.parameters)): derivative}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m = self.arithmetic
        p1, _, p, q, _, from1, *_ = self.mean(other, own, weight)
        p2, _, _, _, _, from2, *_ = other.mean(self, weight, own)
        log_ratio = self.log_ratio(other)
        if dual:
            return m.quotient([w1 * weight - w2 * own, q, log_ratio, log_ratio], [p, p])
        return m.quotient([w1, from1, log_ratio], [p1, p]) + m.quotient([w2, from2, log_ratio], [p2, p])

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, probs=self.mean(other, own, weight)[2])
