"""Geometric distributions."""

from typing import Any, Self

from jsgmath.families.arithmetic import Array
from jsgmath.families.base import Family


class Geometric(Family):
    r"""Geometric distributions, :math:`p(x) = p\,q^x` with :math:`q = 1 - p`, on x = 0, 1, 2, ... or on 1, 2, 3, ...

    .. math:: KL(p_1 \| p_2) = g(p_2/p_1 - 1) + \frac{q_1}{p_1}\, g(q_2/q_1 - 1), \quad g(x) = x - \log(1+x)

    The divergences are the same whether x counts the failures or the trials.  The geometric mean has
    :math:`q = q_1^{1-w} q_2^w` [2].

    Args:
        probs: the probability p of success, in (0, 1]; its shape is the batch shape.

    Raises:
        TypeError, ValueError: probs is not an array of real numbers in (0, 1].

    Accuracy: within 1 ulp, compared with 60 digits, for members that are near or far
    (``verification/test_families.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Geometric(0.75).geometric_mean(Geometric(0.9375), 0.5)
    Geometric(probs=0.875)
    """

    def __init__(self, probs: Any):
        super().__init__(probs=probs)
        self.check("probs", "in (0, 1]", lambda x: (x > 0) & (x <= 1))

    def mean(self, other: Any, own: Array, weight: Array) -> tuple[Array, ...]:
        """``p1``, ``p_G``, ``log(q_G/q1)``, ``q_G - q1`` and ``q1``; the third and fourth are arbitrary if a q is 0."""
        m = self.arithmetic
        p1, p2 = m.work(self.parameters["probs"]), m.work(other.parameters["probs"])
        gone = ((p1 == 1) & (own > 0)) | ((p2 == 1) & (weight > 0))
        s1, s2 = m.where(p1 < 1, p1, 0.5), m.where(p2 < 1, p2, 0.5)
        t = weight * m.log_ratio((s1 - s2) / (1 - s1), 1 - s2, 1 - s1)
        p = m.where(gone, 1.0, -m.expm1(own * m.log1p(-s1) + weight * m.log1p(-s2)))
        return p1, p, t, (1 - s1) * m.expm1(t), 1 - p1

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        p1, p, t, difference, q1 = self.mean(other, own, weight)
        value = m.g_of(-difference / p1, p / p1) + q1 / p1 * m.g(m.expm1(t), m.exp(t), 1.0, t)
        return m.where(q1 == 0, -m.log(p), m.where(p == 1, float("inf"), value))

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        m = self.arithmetic
        p1, p, t, difference, q1 = self.mean(other, own, weight)
        value = m.g_of(difference / p, p1 / p) + q1 * m.exp(t) / p * m.g(m.expm1(-t), m.exp(-t), 1.0, -t)
        return m.where(p == 1, -m.log(p1), m.where(q1 == 0, float("inf"), value))

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, probs=self.mean(other, own, weight)[1])
