"""Gamma and exponential distributions."""

from typing import Any, Self

from jsgmath.families.arithmetic import Array
from jsgmath.families.base import Family
from jsgmath.families.log_gamma import bregman


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
        (n1, d1), (n2, d2) = (self.fraction(x.parameters) for x in (self, other))
        return m.product(n2, d1), m.product(n1, d2)

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

    def excess(self, other: Self, own: Array, weight: Array) -> tuple[Array, Array]:
        """``b_G/b1 - 1`` and ``b_G/b1``, both without cancellation."""
        (high2, low2), (high1, low1) = self.rate_ratio(other)
        return weight * (((high2 - high1) + (low2 - low1)) / high1), own + weight * (high2 / high1)

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        return self.arithmetic.g_of(*self.excess(other, own, weight))

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        return self.arithmetic.gs_of(*self.excess(other, own, weight))

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

    def mean(self, other: Any, own: Array, weight: Array) -> tuple[Array, ...]:
        """The shapes of self and G, their difference, ``b_G/b1``, and ``b_G/b1 - a_G/a1`` times a1."""
        m = self.arithmetic
        a1, a2 = m.work(self.parameters["shape"]), m.work(other.parameters["shape"])
        (high2, low2), (high1, low1) = self.rate_ratio(other)
        (first, low_first), (second, low_second) = m.product(a1, high2), m.product(a2, high1)
        cross = (first - second) + ((low_first - low_second) + (a1 * low2 - a2 * low1))
        return a1, own * a1 + weight * a2, weight * (a2 - a1), own + weight * (high2 / high1), weight * (cross / high1)

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        a1, a, difference, ratio, cross = self.mean(other, own, weight)
        return bregman(m, a1, a, difference) + a * m.g_of(cross / a, a1 / a * ratio)

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        a1, a, difference, ratio, cross = self.mean(other, own, weight)
        return bregman(m, a, a1, -difference) + a1 * m.g_of(-cross / (a1 * ratio), a / a1 / ratio)

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        _, shape, *_ = self.mean(other, own, weight)
        return self.like(other, shape=shape, **self.mean_rate(other, own, weight))
