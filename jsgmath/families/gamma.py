"""Gamma and exponential distributions."""

from typing import Any, Self

from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import Array, Weight
from jsgmath.families.log_gamma import bregman, digamma_less, trigamma_times


class Rated(Family):
    """A family with a rate or a scale parameter; neither is converted to the other, which would round it."""

    def __init__(self, rate: Any, scale: Any, **parameters: Any):
        given = {name: x for name, x in (("rate", rate), ("scale", scale)) if x is not None}
        if len(given) != 1:
            got = "both" if given else "neither"
            raise TypeError(f"{type(self).__name__} takes either rate= or scale=, which is 1/rate, got {got}")
        super().__init__(**parameters, **given)
        for name in self.parameters:
            self.check(name, "positive and finite", lambda x: (x > 0) & (x < float("inf")))

    def for_core(self) -> tuple[int, list[Array]]:
        names = [name for name in ("shape", "rate", "scale") if name in self.parameters]
        return int("scale" in names), [self.parameters[name] for name in names]

    def rate_ratio(self, other: Self) -> tuple[tuple[Array, Weight], tuple[Array, Weight]]:
        """Two numbers, each with its rounding error, whose ratio is other's rate divided by self's."""
        m = self.arithmetic
        if self.parameters.keys() == other.parameters.keys():
            x1, x2 = (self.work(x.parameters["rate" if "rate" in x.parameters else "scale"]) for x in (self, other))
            return ((x2, 0.0), (x1, 0.0)) if "rate" in self.parameters else ((x1, 0.0), (x2, 0.0))
        # The product of a rate and a scale may leave the range, so half of its exponent goes to the other number.
        x, y = (self.work(next(N.parameters[name] for name in N.parameters if name != "shape")) for N in (self, other))
        e1, e2 = m.exponent(x), m.exponent(y)
        high, low = m.product(m.scaled(x, -e1), m.scaled(y, -e2))
        half = (e1 + e2) // 2
        product = m.scaled(high, e1 + e2 - half), m.scaled(low, e1 + e2 - half)
        one = m.scaled(0 * high + 1, -half), 0.0
        return (one, product) if "rate" in self.parameters else (product, one)

    def rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, Any, Any, Any]:
        """The rates of self, other and G, and other's minus self's, all multiplied by a common factor."""
        return self.once("rates", lambda: self.new_rates(other, own, weight))

    def new_rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, Any, Any, Any]:
        if other.kept and "rates" in other.kept:
            b2, b1, b, d = other.kept["rates"]
            return b1, b2, b, -d
        m = self.arithmetic
        (high2, low2), (high1, low1) = ([m.number(x) for x in rate] for rate in self.rate_ratio(other))
        return high1, high2, m.number(own) * high1 + m.number(weight) * high2, (high2 - high1) + (low2 - low1)

    def by_rate(self, derivative: Any) -> dict[str, Array]:
        """Converts the derivative by the logarithm of the rate to the derivative by the parameter."""
        (name,) = self.parameters.keys() & {"rate", "scale"}
        m = self.arithmetic
        value = derivative / m.number(self.work(self.parameters[name]))
        return {name: m.plain(value if name == "rate" else -value)}

    def slope_of_rates(
        self, b1: Any, b2: Any, b: Any, d: Any, w1: Any, w2: Any, own: Any, weight: Any, dual: bool
    ) -> Any:
        """A part of the derivative by the logarithm of the rate, for rates b; ``d`` is 0 for equal members."""
        if dual:
            return (w1 * weight * weight * b2 + w2 * own * own * b1) / b * d
        return (w1 * weight * weight * (b2 / b1) + w2 * own * own * (b1 / b2)) * d

    def mean_rate(self, other: Self, own: Array, weight: Array) -> dict[str, Array]:
        """The rate or scale of G, in the form of self."""
        m, ((high2, _), (high1, _)) = self.arithmetic, self.rate_ratio(other)
        larger = own * high1 > weight * high2
        share = m.where(larger, own + weight * (high2 / high1), own * (high1 / high2) + weight)
        numerator, denominator = m.where(larger, 1.0, high2), m.where(larger, 1.0, high1)
        if "rate" in self.parameters:
            return {"rate": m.quotient([self.work(self.parameters["rate"]), share, numerator], [denominator])}
        return {"scale": m.quotient([self.work(self.parameters["scale"]), denominator], [numerator, share])}


class Exponential(Rated):
    r"""Exponential distributions, :math:`p(x) = b\,e^{-b x}` on x > 0.

    .. math:: KL(b_1 \| b_2) = g(b_2/b_1 - 1), \quad g(x) = x - \log(1+x)

    The geometric mean has the rate :math:`(1-w) b_1 + w b_2` [2].

    Args:
        rate: the rate b, positive and finite; its shape is the batch shape.
        scale: the reciprocal of the rate.  Give either rate or scale.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 8 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Exponential(rate=[1.0, 2.0]).geometric_mean(Exponential(scale=0.25), 0.5)
    Exponential(rate=[2.5, 3.0])
    """

    core_name = "exponential"

    def __init__(self, rate: Any = None, *, scale: Any = None):
        super().__init__(rate, scale)

    def direct(self, other: Self) -> Array | None:
        if not self.parameters.keys() == other.parameters.keys() == {"rate"}:
            return None
        m, x, y = self.arithmetic, self.work(self.parameters["rate"]), self.work(other.parameters["rate"])
        return m.g_of((y - x) / x, y / x)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        if not self.parameters.keys() == other.parameters.keys() == {"rate"}:
            return None
        x, y = self.work(self.parameters["rate"]), self.work(other.parameters["rate"])
        share = (y - x) / x
        return [-share / x, share / y]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, (b1, _, b, difference) = self.arithmetic, self.rates(other, own, weight)
        return m.plain(m.number(times) * m.g_of_number(m.number(weight) * difference / b1, b / b1))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        """``times KL(G||self)`` per member, by ``gs(x) = g(-x/(1+x))``."""
        m, (b1, _, b, difference) = self.arithmetic, self.rates(other, own, weight)
        return m.plain(m.number(times) * m.g_of_number(-(m.number(weight) * difference / b), b1 / b))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        """The derivatives, as `formula.to_mean_grad` and `formula.from_mean_grad` compute them, without the means."""
        m, (b1, b2, b, d) = self.arithmetic, self.rates(other, own, weight)
        w1, w2, own, weight = map(m.number, (w1, w2, own, weight))
        return self.by_rate(-self.slope_of_rates(b1, b2, b, d / b, w1, w2, own, weight, dual))

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m, (b1, b2, b, d) = self.arithmetic, self.rates(other, own, weight)
        w1, w2, own, weight = map(m.number, (w1, w2, own, weight))
        if dual:
            return m.plain((w1 * weight - w2 * own) * (d / b) * (d / b))
        return m.plain((w1 * weight / b1 - w2 * own / b2) * (d / b) * d)

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

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 40 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Gamma(shape=[1.0, 2.0], rate=1.0).geometric_mean(Gamma(shape=3.0, rate=2.0), 0.5)
    Gamma(shape=[2.0, 2.5], rate=1.5)
    """

    core_name = "gamma"

    def __init__(self, shape: Any, rate: Any = None, *, scale: Any = None):
        super().__init__(rate, scale, shape=shape)

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts an exponential distribution, whose shape is 1; any other distribution is returned unchanged."""
        if not isinstance(other, Exponential):
            return other
        ((name, x),) = other.parameters.items()
        return cls(0 * x + 1, **{name: x}).repeated(other.copies).independent(other.event_dim)

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, (a1, _, a, d, b1, _, b, cross) = self.arithmetic, self.parts(other, own, weight)
        of_rates = a * m.g_of_number(m.number(weight) * cross / (a * b1), (a1 * b) / (a * b1))
        return m.plain(m.number(times) * (bregman(m, a1, a, m.number(weight) * d) + of_rates))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, (a1, _, a, d, b1, _, b, cross) = self.arithmetic, self.parts(other, own, weight)
        of_rates = a1 * m.g_of_number(-(m.number(weight) * cross / (a1 * b)), (a * b1) / (a1 * b))
        return m.plain(m.number(times) * (bregman(m, a, a1, -(m.number(weight) * d)) + of_rates))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m, (a1, _, a, _, b1, b2, b, cross) = self.arithmetic, self.parts(other, own, weight)
        from1 = self.log_difference(other, own, weight)
        w1, w2, own, weight, from2 = *map(m.number, (w1, w2, own, weight)), other.log_difference(self, weight, own)
        by_rate = self.by_rate(-self.slope_of_rates(b1, b2, b, cross / b, w1, w2, own, weight, dual))
        if dual:
            by_shape = own * (w1 * weight - w2 * own) * self.spread(other, own, weight, a, b) - w1 * from1
        else:
            by_shape = own * (w1 * from1 + w2 * from2) - w1 * weight * self.spread(other, own, weight, a1, b1)
        return {"shape": m.plain(by_shape), **by_rate}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m, (_, _, a, d, b1, b2, b, cross) = self.arithmetic, self.parts(other, own, weight)
        by_rate, from1 = self.rates(other, own, weight)[3], self.log_difference(other, own, weight)
        w1, w2, own, weight, from2 = *map(m.number, (w1, w2, own, weight)), other.log_difference(self, weight, own)
        if dual:
            along = d * self.spread(other, own, weight, a, b) - d * by_rate / b + a * (by_rate / b) * (by_rate / b)
            return m.plain((w1 * weight - w2 * own) * along)
        means = (w1 * weight / b1 - w2 * own / b2) * (cross / b) * by_rate
        return m.plain((w1 * from1 + w2 * from2) * d + means)

    def parts(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, ...]:
        """The shapes of self, other and G, other's minus self's, all rates, and ``a1 b2 - a2 b1``."""
        return self.once("parts", lambda: self.new_parts(other, own, weight))

    def new_parts(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, ...]:
        if other.kept and "parts" in other.kept:
            a2, a1, a, d, b2, b1, b, cross = other.kept["parts"]
            return a1, a2, a, -d, b1, b2, b, -cross
        m = self.arithmetic
        a1, a2 = (m.number(self.work(N.parameters["shape"])) for N in (self, other))
        rate2, rate1 = ([m.number(x) for x in rate] for rate in self.rate_ratio(other))
        cross = m.difference_of_products(a1, rate2, a2, rate1)
        mean = m.number(own) * a1 + m.number(weight) * a2
        return a1, a2, mean, a2 - a1, *self.rates(other, own, weight)[:3], cross

    def spread(self, other: Self, own: Weight, weight: Weight, a: Any, b: Any) -> Any:
        """The derivative of the expectation of log x for the shape a and the rate b, in the direction of other."""
        d, of_rates = self.parts(other, own, weight)[3], self.rates(other, own, weight)[3]
        return trigamma_times(self.arithmetic, a, d) - of_rates / b

    def log_difference(self, other: Self, own: Weight, weight: Weight) -> Any:
        """The expectation of log x under G, minus that under self."""
        m, (a1, _, a, d, b1, _, b, _) = self.arithmetic, self.parts(other, own, weight)
        excess = m.number(weight) * self.rates(other, own, weight)[3] / b1
        return digamma_less(m, a1, a, m.number(weight) * d) - m.number(m.log_of_number(excess, b / b1))

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        m = self.arithmetic
        shape = m.average(own, self.work(self.parameters["shape"]), weight, self.work(other.parameters["shape"]))
        return self.like(other, shape=shape, **self.mean_rate(other, own, weight))
