"""Gamma and exponential distributions."""

from typing import Any, Self

from jsgmath import formula
from jsgmath.families.arithmetic import Array, Weight
from jsgmath.families.base import Family
from jsgmath.families.log_gamma import bregman, digamma_less, trigamma_times


class Rated(Family):
    """A family with a rate or a scale parameter; neither is rounded to the other."""

    def __init__(self, rate: Any, scale: Any, **parameters: Any):
        given = {name: x for name, x in (("rate", rate), ("scale", scale)) if x is not None}
        if len(given) != 1:
            got = "both" if given else "neither"
            raise TypeError(f"{type(self).__name__} takes either rate= or scale=, which is 1/rate, got {got}")
        super().__init__(**parameters, **given)
        for name in self.parameters:
            self.check(name, "positive and finite", lambda x: (x > 0) & (x < float("inf")))

    def rate_ratio(self, other: Self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Two numbers whose ratio is other's rate over self's, each with its rounding error."""
        m = self.arithmetic
        if self.parameters.keys() == other.parameters.keys():
            x1, x2 = (m.work(x.parameters["rate" if "rate" in x.parameters else "scale"]) for x in (self, other))
            zero = 0 * x1
            return ((x2, zero), (x1, zero)) if "rate" in self.parameters else ((x1, zero), (x2, zero))
        (n1, d1), (n2, d2) = (self.fraction(x.parameters) for x in (self, other))
        return m.product(n2, d1), m.product(n1, d2)

    def by_rate(self, first: Array, x1: Array, second: Array, x2: Array, numerator: Array) -> dict[str, Array]:
        """``(first/x1 + second/x2) numerator``, a derivative by the logarithm of the rate, as that by the parameter.

        The products are ordered so that they leave the range only if the derivative does.
        """
        m = self.arithmetic
        (name,) = self.parameters.keys() & {"rate", "scale"}
        own = m.work(self.parameters[name])

        def divided(weight: Weight, x: Array) -> Array:
            return m.weighted(weight, numerator / m.xp.maximum(x, own) / m.xp.minimum(x, own))

        derivative = divided(first, x1) + divided(second, x2)
        return {name: derivative if name == "rate" else -derivative}

    def fraction(self, parameters: dict[str, Array]) -> tuple[Array, Array]:
        """A rate as numerator and denominator."""
        if "rate" in parameters:
            rate = self.arithmetic.work(parameters["rate"])
            return rate, 0 * rate + 1
        scale = self.arithmetic.work(parameters["scale"])
        return 0 * scale + 1, scale

    def mean_rate(self, other: Self, own: Array, weight: Array) -> dict[str, Array]:
        """The rate or scale of G, in the form of self."""
        (high2, _), (high1, _) = self.rate_ratio(other)
        ratio = own + weight * (high2 / high1)
        if "rate" in self.parameters:
            return {"rate": self.arithmetic.work(self.parameters["rate"]) * ratio}
        return {"scale": self.arithmetic.work(self.parameters["scale"]) / ratio}


class Exponential(Rated):
    r"""Exponential distributions, :math:`p(x) = b\,e^{-b x}` on x > 0.

    .. math:: KL(b_1 \| b_2) = g(b_2/b_1 - 1), \quad g(x) = x - \log(1+x)

    The geometric mean has the rate :math:`(1-w) b_1 + w b_2` [2].

    Args:
        rate: the rate b, positive and finite; its shape is the batch shape.
        scale: the reciprocal of the rate.  Give either rate or scale.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: within 1 ulp, compared with 60 digits, for members that are near or far
    (``verification/test_families.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Exponential(rate=[1.0, 2.0]).geometric_mean(Exponential(scale=0.25), 0.5)
    Exponential(rate=[2.5, 3.0])
    """

    def __init__(self, rate: Any = None, *, scale: Any = None):
        super().__init__(rate, scale)

    def pair(self, other: Self) -> tuple[Array, ...]:
        """The scalars ``log_r1, r1, r2, e1, e2`` of `formula.py`, in which a rate takes the place of a precision."""
        m = self.arithmetic
        (high2, low2), (high1, low1) = self.rate_ratio(other)
        difference = (high2 - high1) + (low2 - low1)
        r1, r2 = (m.normal(x) for x in (high2 / high1, high1 / high2))
        return m.log(high2) - m.log(high1), r1, r2, difference / high1, -difference / high2

    def to_mean(self, other: Any, own: Weight, weight: Weight) -> Array:
        m = self.arithmetic
        log_r, r1, r2, e1, _ = self.pair(other)
        return m.g(m.weighted(weight, e1), own + weight * r1, weight + own * r2, log_r)

    def from_mean(self, other: Any, own: Weight, weight: Weight) -> Array:
        m = self.arithmetic
        log_r, r1, r2, e1, _ = self.pair(other)
        return m.gs(m.weighted(weight, e1), own + weight * r1, weight + own * r2, log_r)

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        """As `formula.to_mean_grad` and `formula.from_mean_grad`, without the means."""
        (high2, low2), (high1, low1) = self.rate_ratio(other)
        r1, r2 = (self.arithmetic.normal(x) for x in (high2 / high1, high1 / high2))
        _, _, p1, p2 = formula.shares(own, weight, r1, r2)
        difference = (high2 - high1) + (low2 - low1)
        if dual:
            high = own * high1 + weight * high2
            return self.by_rate(-(w1 * weight * p2 + w2 * own * p1), high, 0.0, high, difference)
        return self.by_rate(-w1 * weight * p2, high1, -w2 * own * p1, high2, difference)

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        _, r1, r2, e1, e2 = self.pair(other)
        k1, k2, p1, p2 = formula.shares(own, weight, r1, r2)
        if dual:
            return (w2 * own - w1 * weight) * (e1 / k1) * (e2 / k2)
        return (w2 * p1 - w1 * p2) * e1 * e2

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, **self.mean_rate(other, own, weight))


class Gamma(Rated):
    r"""Gamma distributions, :math:`p(x) = b^a x^{a-1} e^{-b x} / \Gamma(a)` on x > 0.

    .. math:: KL(a_1, b_1 \| a_2, b_2) = B_\phi(a_2 : a_1) + a_2\, g(\mu_1/\mu_2 - 1), \quad \mu = a/b

    where :math:`g(x) = x - \log(1+x)` and :math:`B_\phi` is the Bregman divergence of `log_gamma`.  Shape and rate of
    the geometric mean are the weighted means of the two shapes and rates [2].

    Args:
        shape: the shape a, positive and finite.
        rate: the rate b, positive and finite.
        scale: the reciprocal of the rate.  Give either rate or scale; it broadcasts with the shape a to the batch
            shape.

    Raises:
        TypeError, ValueError: not exactly one of rate and scale is given, or a parameter is not an array of real
            numbers as described.

    Accuracy: within 1 ulp, compared with 60 digits, for members that are near or far
    (``verification/test_families.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Gamma(shape=[1.0, 2.0], rate=1.0).geometric_mean(Gamma(shape=3.0, rate=2.0), 0.5)
    Gamma(shape=[2.0, 2.5], rate=1.5)
    """

    def __init__(self, shape: Any, rate: Any = None, *, scale: Any = None):
        super().__init__(rate, scale, shape=shape)

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts an exponential distribution, whose shape is 1; any other distribution is returned unchanged."""
        if not isinstance(other, Exponential):
            return other
        ((name, x),) = other.parameters.items()
        return cls(0 * x + 1, **{name: x}).repeated(other.copies).independent(other.event_dim)

    def mean(self, other: Any, own: Weight, weight: Weight) -> tuple[Array, ...]:
        """The shapes of self and G, their difference, ``b_G/b1``, its logarithm, and ``b_G/b1 - a_G/a1`` times a1."""
        a1, _, a, d, high1, high2, _, cross = self.parts(other, own, weight)
        m, ratio = self.arithmetic, own + weight * (high2 / high1)
        log_ratio = m.log(own * high1 + weight * high2) - m.log(high1)
        return a1, a, weight * d, ratio, log_ratio, weight * (cross / high1)

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        a1, a, difference, ratio, log_ratio, cross = self.mean(other, own, weight)
        return bregman(m, a1, a, difference) + a * m.g(cross / a, a1 / a * ratio, a1 / a, log_ratio)

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        a1, a, difference, ratio, log_ratio, cross = self.mean(other, own, weight)
        return bregman(m, a, a1, -difference) + a1 * m.g(-cross / (a1 * ratio), a / a1 / ratio, a / a1, -log_ratio)

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        a1, a2, a, d, high1, high2, difference, cross = self.parts(other, own, weight)
        _, _, p1, p2 = formula.shares(own, weight, *(m.normal(x) for x in (high2 / high1, high1 / high2)))
        high = own * high1 + weight * high2
        from1, from2 = self.log_differences(a1, a2, a, d, high1, high2, difference, own, weight)
        if dual:
            along = trigamma_times(m, a, d) - difference / high
            by_shape = m.weighted(own * (w1 * weight - w2 * own), along) - m.weighted(w1, from1)
            return {"shape": by_shape, **self.by_rate(-(w1 * weight * p2 + w2 * own * p1), high, 0.0, high, cross)}
        by_mean = m.weighted(own * w1, from1) + m.weighted(own * w2, from2)
        by_shape = by_mean - m.weighted(w1 * weight, trigamma_times(m, a1, d) - difference / high1)
        return {"shape": by_shape, **self.by_rate(-w1 * weight * p2, high1, -w2 * own * p1, high2, cross)}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m = self.arithmetic
        a1, a2, a, d, high1, high2, difference, cross = self.parts(other, own, weight)
        high = own * high1 + weight * high2
        if dual:
            along = d * (trigamma_times(m, a, d) - difference / high) - (d - a * (difference / high)) * (
                difference / high
            )
            return (w1 * weight - w2 * own) * along
        from1, from2 = self.log_differences(a1, a2, a, d, high1, high2, difference, own, weight)
        means = (w1 * weight / high1 - w2 * own / high2) * cross * (difference / high)
        return (w1 * from1 + w2 * from2) * d + means

    def parts(self, other: Self, own: Weight, weight: Weight) -> tuple[Array, ...]:
        """The three shapes, ``a2 - a1``, ``b1``, ``b2``, ``b2 - b1`` and ``a1 b2 - a2 b1``; b is the rate, scaled."""
        m = self.arithmetic
        a1, a2 = m.work(self.parameters["shape"]), m.work(other.parameters["shape"])
        (high2, low2), (high1, low1) = self.rate_ratio(other)
        (first, low_first), (second, low_second) = m.product(a1, high2), m.product(a2, high1)
        cross = (first - second) + ((low_first - low_second) + (a1 * low2 - a2 * low1))
        return a1, a2, own * a1 + weight * a2, a2 - a1, high1, high2, (high2 - high1) + (low2 - low1), cross

    def log_differences(
        self,
        a1: Array,
        a2: Array,
        a: Array,
        d: Array,
        b1: Array,
        b2: Array,
        difference: Array,
        own: Weight,
        weight: Weight,
    ) -> tuple[Array, Array]:
        """What the expectation of log x under G exceeds those under self and other by."""
        m = self.arithmetic
        b = own * b1 + weight * b2
        from1 = digamma_less(m, a1, a, weight * d) - m.log_ratio(weight * difference / b1, b, b1)
        from2 = digamma_less(m, a2, a, -own * d) - m.log_ratio(-own * difference / b2, b, b2)
        return from1, from2

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        _, shape, *_ = self.mean(other, own, weight)
        return self.like(other, shape=shape, **self.mean_rate(other, own, weight))
