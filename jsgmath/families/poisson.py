"""Poisson distributions."""

from typing import Any, Self

from jsgmath.families.arithmetic import INFINITE, Array, Weight
from jsgmath.families.base import Family


class Poisson(Family):
    r"""Poisson distributions, :math:`p(x) = e^{-\lambda} \lambda^x / x!` on x = 0, 1, 2, ...

    .. math:: KL(\lambda_1 \| \lambda_2) = \lambda_1\, g(\lambda_2/\lambda_1 - 1), \quad g(x) = x - \log(1+x)

    The geometric mean has the rate :math:`\lambda_1^{1-w} \lambda_2^w` [2].

    Args:
        rate: the mean, non-negative and finite; its shape is the batch shape.

    Raises:
        TypeError, ValueError: the rate is not an array of real numbers that are non-negative and finite.

    Accuracy: within 1 ulp, compared with 60 digits, for rates that are near or far (``verification/test_families.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Poisson([2.0, 3.0]).geometric_mean(Poisson(8.0), [0.5, 0.0])
    Poisson(rate=[4.0, 3.0])
    """

    def __init__(self, rate: Any):
        super().__init__(rate=rate)
        self.check("rate", "non-negative and finite", lambda x: (x >= 0) & (x < float("inf")))

    def rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Array, Array, Array, Array]:
        """The two rates, the logarithm of the ratio of the second to the first, and the rate of G.

        The logarithm is that of 1 where a rate is zero.
        """
        m = self.arithmetic
        l1, l2 = m.work(self.parameters["rate"]), m.work(other.parameters["rate"])
        zero = (l1 == 0) | (l2 == 0)
        s1, s2 = m.where(zero, 1.0, l1), m.where(zero, 1.0, l2)
        return l1, l2, m.log_ratio(m.excess(s2, s1), s2, s1), m.power(l1, own) * m.power(l2, weight)

    def to_mean(self, other: Any, own: Weight, weight: Weight) -> Array:
        m = self.arithmetic
        l1, _, log_ratio, mean = self.rates(other, own, weight)
        t = weight * log_ratio
        near, small = m.near(t)
        value = m.where(near, l1 * m.g_of(m.expm1(small), m.exp(small)), mean - l1 - l1 * t)
        return m.where(l1 == 0, mean, m.where(mean == 0, INFINITE, value))

    def from_mean(self, other: Any, own: Weight, weight: Weight) -> Array:
        m = self.arithmetic
        l1, _, log_ratio, mean = self.rates(other, own, weight)
        t = weight * log_ratio
        near, small = m.near(-t)
        value = m.where(near, mean * m.g_of(m.expm1(small), m.exp(small)), l1 - mean + mean * t)
        return m.where(mean == 0, l1, m.where(l1 == 0, INFINITE, value))

    def beyond(self, l1: Array, mean: Array, t: Array) -> Array:
        """``mean - l1``, for ``mean = l1 exp(t)``, without cancellation."""
        near, small = self.arithmetic.near(t)
        return self.arithmetic.where(near, l1 * self.arithmetic.expm1(small), mean - l1)

    def differences(self, other: Self, own: Weight, weight: Weight) -> tuple[Array, ...]:
        """The rates of self, of other and of G, what G's exceeds the others by, and the logarithm of the ratio."""
        m = self.arithmetic
        l1, l2, log_ratio, mean = self.rates(other, own, weight)
        from1, from2 = (self.beyond(x, mean, t) for x, t in ((l1, weight * log_ratio), (l2, -own * log_ratio)))
        zero1, zero2 = l1 == 0, l2 == 0
        from1, from2 = (m.where(zero1 | zero2, mean - x, y) for x, y in ((l1, from1), (l2, from2)))
        log_ratio = m.where(zero1 & ~zero2, INFINITE, m.where(zero2 & ~zero1, -INFINITE, log_ratio))
        return l1, l2, mean, from1, from2, log_ratio

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        l1, _, mean, from1, from2, log_ratio = self.differences(other, own, weight)
        zero1 = l1 == 0
        divisor = m.where(zero1, 1.0, l1)
        if dual:
            w = own * (w1 * weight - w2 * own)
            value = (m.weighted(w, mean * log_ratio) - w1 * from1) / divisor
            # mean/l1 and its logarithm are infinite at l1 = 0; of their products that with the logarithm is the larger.
            infinite = 0 * value + INFINITE
            limit = m.choice(w == 0.0, -m.weighted(w1 * (own < 1), infinite), m.weighted(w, infinite))
            return {"rate": m.where(zero1, m.where(from2 == 0, w1 + 0 * l1, limit), value)}
        difference = m.weighted(w1 * own, from1) + m.weighted(w2 * own, from2)
        by_mean = m.where(zero1 & (difference < 0), -INFINITE, difference / divisor)
        return {"rate": by_mean - m.weighted(w1 * weight, log_ratio)}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        _, _, mean, from1, from2, log_ratio = self.differences(other, own, weight)
        if dual:
            return (w1 * weight - w2 * own) * (mean * log_ratio) * log_ratio
        return (w1 * from1 + w2 * from2) * log_ratio

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, rate=self.rates(other, own, weight)[3])
