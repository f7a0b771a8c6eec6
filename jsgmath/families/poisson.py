"""Poisson distributions."""

from typing import Any, Self

from jsgmath.families.arithmetic import Array
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

    def rates(self, other: Self, own: Array, weight: Array) -> tuple[Array, Array, Array]:
        """The rate of self, the logarithm of the ratio of G's rate to it, and the rate of G."""
        m = self.arithmetic
        l1, l2 = m.work(self.parameters["rate"]), m.work(other.parameters["rate"])
        log_ratio = self.log_ratio(l1, l2, weight)
        gone = ((l1 == 0) & (own > 0)) | ((l2 == 0) & (weight > 0))
        return l1, log_ratio, m.where(gone, 0.0, m.where(l1 > 0, l1, 1.0) * m.exp(log_ratio))

    def log_ratio(self, l1: Array, l2: Array, weight: Array) -> Array:
        """``log(rate of G / l1)``, where a rate of zero is replaced by 1."""
        m = self.arithmetic
        l1, l2 = m.where(l1 > 0, l1, 1.0), m.where(l2 > 0, l2, 1.0)
        return weight * m.log_ratio((l2 - l1) / l1, l2, l1)

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        l1, t, mean = self.rates(other, own, weight)
        value = l1 * m.g(m.expm1(t), m.exp(t), 1.0, t)
        return m.where(l1 == 0, mean, m.where(mean == 0, float("inf"), value))

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        l1, t, mean = self.rates(other, own, weight)
        value = mean * m.g(m.expm1(-t), m.exp(-t), 1.0, -t)
        return m.where(mean == 0, l1, m.where(l1 == 0, float("inf"), value))

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, rate=self.rates(other, own, weight)[2])
