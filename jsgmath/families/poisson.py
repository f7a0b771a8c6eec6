"""Poisson distributions."""

from typing import Any, Self

from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import INFINITE, Array, Weight


class Poisson(Family):
    r"""Poisson distributions, :math:`p(x) = e^{-\lambda} \lambda^x / x!` on x = 0, 1, 2, ...

    .. math:: KL(\lambda_1 \| \lambda_2) = \lambda_1\, g(\lambda_2/\lambda_1 - 1), \quad g(x) = x - \log(1+x)

    The geometric mean has the rate :math:`\lambda_1^{1-w} \lambda_2^w` [2].

    Args:
        rate: the mean, non-negative and finite; its shape is the batch shape.

    Raises:
        TypeError, ValueError: the rate is not an array of real numbers that are non-negative and finite.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 10 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Poisson([2.0, 3.0]).geometric_mean(Poisson(8.0), [0.5, 0.0])
    Poisson(rate=[4.0, 3.0])
    """

    core_name = "poisson"

    def __init__(self, rate: Any):
        super().__init__(rate=rate)
        self.check("rate", "non-negative and finite", lambda x: (x >= 0) & (x < float("inf")))

    @classmethod
    def of_log_rate(cls, log_rate: Any) -> Self:
        """By the logarithm of the rate, in torch or JAX; its exponential would be rounded."""
        N = object.__new__(cls)
        Family.__init__(N, log_rate=log_rate)
        if N.library == "NumPy":
            raise TypeError("log_rate takes an array of torch or JAX; in NumPy give the rate")
        return N

    @property
    def has_log(self) -> bool:
        return "log_rate" in self.parameters

    def rate(self) -> Array:
        if not self.has_log:
            return self.work(self.parameters["rate"])
        return self.arithmetic.exp(self.work(self.parameters["log_rate"]))

    def rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Array, Array, Array, Array]:
        """The two rates, the logarithm of the ratio of the second to the first, and the rate of G.

        Where a rate is zero, the logarithm is 0.
        """
        m = self.arithmetic
        l1, l2 = self.rate(), other.rate()
        zero = (l1 == 0) | (l2 == 0)
        s1, s2 = m.where(zero, 1.0, l1), m.where(zero, 1.0, l2)
        log_ratio = m.log_ratio(m.excess(s2, s1), s2, s1)
        if self.has_log and other.has_log:
            x, y = (self.work(N.parameters["log_rate"]) for N in (self, other))
            log_ratio = m.where(zero, 0.0, y - x)
        near, small = m.near(weight * log_ratio)
        near = near & (l1 > 0) & (l2 > 0) & (own > 0) & (weight > 0)
        mean = m.where(near, s1 * m.exp(small), m.weighted_product(s1, own, s2, weight))
        gone = ((l1 == 0) & (own > 0)) | ((l2 == 0) & (weight > 0))
        mean = m.where(gone, 0.0, m.where(l1 == 0, l2, m.where(l2 == 0, l1, mean)))
        return l1, l2, log_ratio, mean

    def direct(self, other: Self) -> Array | None:
        if self.has_log or other.has_log:
            return None
        m, x, y = self.arithmetic, self.work(self.parameters["rate"]), self.work(other.parameters["rate"])
        return x * m.g_of((y - x) / x, y / x)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        if self.has_log or other.has_log:
            return None
        m, x, y = self.arithmetic, self.work(self.parameters["rate"]), self.work(other.parameters["rate"])
        return [m.log_ratio((x - y) / y, x, y), (y - x) / y]

    def at_once(self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool) -> Array | None:
        if self.has_log or other.has_log:
            return None
        m, (x, y) = self.arithmetic, (N.parameters["rate"].double() for N in (self, other))
        ratio, t, single = y / x, m.log_ratio((y - x) / x, y, x), self.parameters["rate"].dtype != m.xp.float64

        def power(share: float) -> Array:
            """``exp(share t)``; the exponential of a large t has its rounding many times over, which float32 hides."""
            k = m.exp(share * t)
            return k if single else m.where(abs(share * t) < 1, k, ratio**share)

        def h(share: float) -> Array:
            """``exp(s) - 1 - s`` for ``s = share t``"""
            s, k = share * t, power(share)
            return m.g_of(m.expm1(s) if single else m.where(abs(s) < 1, m.expm1(s), k - 1), k)

        if dual:
            return x * power(weight) * (w1 * h(-weight) + w2 * h(own))
        return w1 * (x * h(weight)) + w2 * (y * h(-own))

    def slopes_at_once(
        self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool
    ) -> list[Array] | None:
        if self.has_log or other.has_log:
            return None
        m, (x, y) = self.arithmetic, (N.parameters["rate"].double() for N in (self, other))
        t = m.log_ratio((y - x) / x, y, x)
        by1, by2 = m.expm1(weight * t), m.expm1(-own * t)  # what the rate of G exceeds those of both by, relatively
        if dual:
            both = (w1 * weight - w2 * own) * t
            return [own * m.exp(weight * t) * both - w1 * by1, weight * m.exp(-own * t) * both - w2 * by2]
        both = w1 * x * by1 + w2 * y * by2
        return [own * both / x - (w1 * weight) * t, weight * both / y + (w2 * own) * t]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m = self.arithmetic
        l1, _, log_ratio, mean = self.rates(other, own, weight)
        value = self.divergence(l1, mean, weight * log_ratio, times)
        return m.where(l1 == 0, times * mean, m.where(mean == 0, INFINITE, value))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m = self.arithmetic
        l1, _, log_ratio, mean = self.rates(other, own, weight)
        value = self.divergence(mean, l1, -weight * log_ratio, times)
        return m.where(mean == 0, times * l1, m.where(l1 == 0, INFINITE, value))

    def divergence(self, x: Array, y: Array, t: Array, times: Weight) -> Array:
        """``times KL(x||y)`` of positive rates with ``y = x exp(t)``."""
        m = self.arithmetic
        near, small = m.near(t)
        x, y, times = map(m.number, (x, y, times))
        close, t = x * m.number(m.g_of(m.expm1(small), m.exp(small))), m.number(t)
        return m.plain(times * m.chosen(near, close, (y - x) - x * t))

    def beyond(self, x: Array, mean: Array, weight: Weight, log_ratio: Array) -> Any:
        """``mean - x`` as a number, for ``mean = x exp(weight log_ratio)``, without cancellation."""
        m = self.arithmetic
        near, growth = m.growth(weight, log_ratio)
        return m.chosen(near & (log_ratio != 0), m.number(x) * growth, m.number(mean) - m.number(x))

    def differences(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, Any, Array]:
        """G's rate minus those of self and of other, and a correction of the logarithm of their ratio."""
        m = self.arithmetic
        l1, l2, log_ratio, mean = self.rates(other, own, weight)
        zero1, zero2 = l1 == 0, l2 == 0
        from1, from2 = self.beyond(l1, mean, weight, log_ratio), self.beyond(l2, mean, -own, log_ratio)
        return from1, from2, m.where(zero1 & ~zero2, INFINITE, m.where(zero2 & ~zero1, -INFINITE, 0.0 * log_ratio))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        l1, _, log_ratio, mean = self.rates(other, own, weight)
        from1, from2, infinite = self.differences(other, own, weight)
        zero1 = l1 == 0
        if self.has_log:
            value = self.slope_of_log(from1, from2, m.number(log_ratio), mean, w1, w2, own, weight, dual)
            return {"log_rate": m.where(zero1, 0.0, value if dual else value - m.weighted(w1 * weight, infinite))}
        n1, n2, g1, g2 = map(m.number, (w1, w2, own, weight))
        log_ratio, mean, divisor = map(m.number, (log_ratio, mean, m.where(zero1, 1.0, l1)))
        if dual:
            value = m.plain((-n1 * from1 + g1 * (n1 * g2 - n2 * g1) * mean * log_ratio) / divisor)
            # G/l1 and its logarithm are infinite at l1 = 0; of the terms with them, that with the logarithm is larger.
            w = own * (w1 * weight - w2 * own)
            limit = m.choice(w == 0.0, -m.weighted(w1 * (own < 1), infinite), m.weighted(w, infinite))
            return {"rate": m.where(zero1, m.where(m.plain(from2) == 0, w1 + 0 * l1, limit), value)}
        by_mean = g1 * (n1 * from1 + n2 * from2)
        value = m.where(zero1 & (m.plain(by_mean) < 0), -INFINITE, m.plain(by_mean / divisor - n1 * g2 * log_ratio))
        return {"rate": value - m.weighted(w1 * weight, infinite)}

    def slope_of_log(
        self, from1: Any, from2: Any, log_ratio: Any, mean: Array, w1: Any, w2: Any, own: Any, weight: Any, dual: bool
    ) -> Array:
        """The derivative by the logarithm of the rate."""
        m = self.arithmetic
        w1, w2, own, weight = map(m.number, (w1, w2, own, weight))
        if dual:
            return m.plain(own * (w1 * weight - w2 * own) * m.number(mean) * log_ratio - w1 * from1)
        rate = m.number(self.rate())
        return m.plain(own * (w1 * from1 + w2 * from2) - w1 * weight * rate * log_ratio)

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m = self.arithmetic
        log_ratio, mean = self.rates(other, own, weight)[2:]
        from1, from2, infinite = self.differences(other, own, weight)
        w1, w2, own, weight, log_ratio, mean = map(m.number, (w1, w2, own, weight, log_ratio, mean))
        if dual:
            size, infinite = (w1 * weight - w2 * own) * mean, abs(infinite)
            return m.plain(size * log_ratio * log_ratio) + m.weighted(m.plain(size), infinite)
        size = w1 * from1 + w2 * from2
        return m.plain(size * log_ratio) + m.weighted(m.plain(size), infinite)

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, rate=self.rates(other, own, weight)[3])
