"""Gamma and exponential distributions."""

from typing import Any, Self

from jsgmath import special
from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, Weight
from jsgmath.families.libraries.scaled import Scaled
from jsgmath.families.log_gamma import bregman, digamma_less, textbook, trigamma_times


class Rated(Family):
    """A family with a rate, its logarithm or a scale as a parameter; none is rounded to another."""

    def __init__(self, rate: Any, scale: Any, log_rate: Any = None, **parameters: Any):
        given = {name: x for name, x in (("rate", rate), ("scale", scale), ("log_rate", log_rate)) if x is not None}
        if len(given) != 1:
            got = "both" if given else "neither"
            raise TypeError(f"{type(self).__name__} takes either rate= or scale=, which is 1/rate, got {got}")
        super().__init__(**parameters, **given)
        if self.library == "NumPy" and "log_rate" in self.parameters:
            raise TypeError("log_rate= takes an array of torch or JAX; give rate= in NumPy")
        for name in self.parameters.keys() - {"log_rate"}:
            self.check(name, "positive and finite", lambda x: (x > 0) & (x < float("inf")))

    def for_core(self) -> tuple[int, list[Array]]:
        names = [name for name in ("shape", "rate", "scale") if name in self.parameters]
        return int("scale" in names), [self.parameters[name] for name in names]

    def rate_ratio(self, other: Self) -> tuple[tuple[Array, Weight], tuple[Array, Weight]]:
        """Two numbers, each with its rounding error, whose ratio is other's rate divided by self's."""
        m = self.arithmetic
        logs = self.log_of_ratio(other)
        if logs is not None:
            # A ratio near 1 is the sum of 1 and its difference from 1, as a rounded sum and the rounding error.
            near, small = m.near(logs)
            excess = m.expm1(small)
            high = 1 + excess
            low = m.where(high > 2, 1 - (high - excess), excess - (high - 1))
            return (m.chosen(near, high, self.far_ratio(other)), m.where(near, low, 0.0)), (1 + 0 * high, 0.0)
        (form, x), (other_form, y) = self.rate(), other.rate()
        if form == other_form:
            return ((y, 0.0), (x, 0.0)) if form == "rate" else ((x, 0.0), (y, 0.0))
        # A rate times a scale, whose exponent is shared out, because it may leave the range.
        e1, e2 = m.exponent(x), m.exponent(y)
        high, low = m.product(m.scaled(x, -e1), m.scaled(y, -e2))
        half = (e1 + e2) // 2
        product = m.scaled(high, e1 + e2 - half), m.scaled(low, e1 + e2 - half)
        one = m.scaled(0 * high + 1, -half), 0.0
        return (one, product) if form == "rate" else (product, one)

    def log_of_ratio(self, other: Any) -> Any:
        """The logarithm of other's rate divided by self's, if the parameters are logarithms."""
        if "log_rate" not in self.parameters or "log_rate" not in other.parameters:
            return None
        return self.work(other.parameters["log_rate"]) - self.work(self.parameters["log_rate"])

    def far_ratio(self, other: Any) -> Any:
        """The same ratio as a number, for logarithms that are not near each other."""
        m = self.arithmetic
        high, low = special.two_sum(*(z * self.work(N.parameters["log_rate"]) for N, z in ((other, 1), (self, -1))))
        return m.exp_of_number(high) * m.number(1 + low)

    def rate(self) -> tuple[str, Array]:
        """The name and the array of the parameter that is a rate or a scale."""
        if "log_rate" in self.parameters:
            return "rate", self.arithmetic.exp(self.work(self.parameters["log_rate"]))
        (name,) = self.parameters.keys() & {"rate", "scale"}
        return name, self.work(self.parameters[name])

    def rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, Any, Any, Any]:
        """The rates of self, other and G, and other's minus self's, all multiplied by a common factor."""
        return self.once("rates", lambda: self.new_rates(other, own, weight))

    def new_rates(self, other: Self, own: Weight, weight: Weight) -> tuple[Any, Any, Any, Any]:
        if other.kept and "rates" in other.kept and not self.twin:
            b2, b1, b, d = other.kept["rates"]
            return b1, b2, b, -d
        m = self.arithmetic
        (high2, low2), (high1, low1) = ([m.number(x) for x in rate] for rate in self.rate_ratio(other))
        return high1, high2, m.number(own) * high1 + m.number(weight) * high2, (high2 - high1) + (low2 - low1)

    def by_rate(self, derivative: Any) -> dict[str, Array]:
        """Converts the derivative by the logarithm of the rate, a number, to the derivative by the parameter."""
        m = self.arithmetic
        if "log_rate" in self.parameters:
            return {"log_rate": m.plain(derivative)}
        name, x = self.rate()
        value = derivative / m.number(x)
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
        name, x = self.rate()
        if name == "rate":
            return {"rate": m.quotient([x, share, numerator], [denominator])}
        return {"scale": m.quotient([x, denominator], [numerator, share])}


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


class Powers(Exponential):
    """Exponential distributions of ``x**power`` for Weibull distributed x, whose scale is given.

    ``scale**power`` is not computed, because rounding it would change the ratio of two.
    """

    core_name = ""

    def __init__(self, scale: Any, power: Any):
        Family.__init__(self, scale=scale, power=power)

    def log_of_ratio(self, other: Any) -> Any:
        m = self.arithmetic
        x, y = (self.work(N.parameters["scale"]) for N in (self, other))
        return -self.work(self.parameters["power"]) * m.log_ratio(m.excess(y, x), y, x)

    def far_ratio(self, other: Any) -> Any:
        m, power = self.arithmetic, self.work(self.parameters["power"])
        ratio = m.number(self.work(self.parameters["scale"])) / m.number(self.work(other.parameters["scale"]))
        return m.power_of_number(ratio, 1 - power, power) if isinstance(ratio, Scaled) else ratio**power

    def by_rate(self, derivative: Any) -> dict[str, Array]:
        m, scale, power = self.arithmetic, *(self.work(self.parameters[name]) for name in ("scale", "power"))
        by_scale = -(m.number(power) * derivative / m.number(scale))
        return {"scale": m.plain(by_scale), "power": m.plain(-(derivative * m.number(m.log(scale))))}

    def mean_with(self, other: Any, own: Array, weight: Array) -> Exponential:
        m, logs = self.arithmetic, self.log_of_ratio(other)
        share = own + weight * m.exp(logs)
        scale = self.work(self.parameters["scale"]) ** self.work(self.parameters["power"]) / share
        return Exponential(scale=scale).repeated(self.copies).independent(self.event_dim)


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
        log_rate: the logarithm of the rate, instead of both, in torch or JAX.

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
    of_gammas = True

    def __init__(self, shape: Any, rate: Any = None, *, scale: Any = None, log_rate: Any = None):
        super().__init__(rate, scale, log_rate, shape=shape)

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts an exponential distribution, whose shape is 1; any other distribution is returned unchanged."""
        if not isinstance(other, Exponential):
            return other
        ((name, x),) = other.parameters.items()
        return cls(0 * x + 1, **{name: x}).repeated(other.copies).independent(other.event_dim)

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, (a1, _, a, d, b1, _, b, cross) = self.arithmetic, self.parts(other, own, weight)
        w = m.number(weight)
        return m.plain(m.number(times) * divergence(m, a1, a, w * d, b1, b, w * cross))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, (a1, _, a, d, b1, _, b, cross) = self.arithmetic, self.parts(other, own, weight)
        w = -m.number(weight)
        return m.plain(m.number(times) * divergence(m, a, a1, w * d, b, b1, w * cross))

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
        if other.kept and "parts" in other.kept and not self.twin:
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

        def compute() -> Any:
            m, (a1, _, a, d, b1, _, b, _) = self.arithmetic, self.parts(other, own, weight)
            excess = m.number(weight) * self.rates(other, own, weight)[3] / b1
            return digamma_less(m, a1, a, m.number(weight) * d) - m.number(m.log_of_number(excess, b / b1))

        return self.once("log_difference", compute)

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        m = self.arithmetic
        shape = m.average(own, self.work(self.parameters["shape"]), weight, self.work(other.parameters["shape"]))
        return self.like(other, shape=shape, **self.mean_rate(other, own, weight))


def divergence(m: Arithmetic, a1: Any, a2: Any, d: Any, b1: Any, b2: Any, cross: Any) -> Any:
    """``KL(N1||N2)`` by shapes and rates, for ``d = a2 - a1`` and ``cross = a1 b2 - a2 b1``."""
    if m.closed:
        value, size = textbook(m, a1, a2, d)
        of_rates, means = a2 * m.log(b2 / b1), a1 * (b2 - b1) / b1
        value, size = value + (means - of_rates), size + abs(of_rates) + abs(means)
        return m.closed.mended(value, ~(value > 2.0**-26 * size), divergence, (a1, a2, d, b1, b2, cross))
    return bregman(m, a1, a2, d) + a2 * m.g_of_number(cross / (a2 * b1), (a1 * b2) / (a2 * b1))
