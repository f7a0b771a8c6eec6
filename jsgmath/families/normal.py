"""Gaussians of one dimension, and with their axis as an event diagonal ones, in the arrays of torch or JAX."""

from typing import Self

from jsgmath import formula
from jsgmath.arithmetic import Array
from jsgmath.families.base import Family


class Normal(Family):
    """``N(mean, std^2)``, as those libraries hold them; NumPy's are `jsgmath.Gaussian`, which loses less."""

    def __init__(self, mean: Array, std: Array, event: int = 0):
        super().__init__(event, mean=mean, std=std)

    def canonical(self, other: Self) -> tuple[Array, ...]:
        """``log_r1, r1, r2, e1, e2, d1, d2`` of `formula.py`."""
        m = self.arithmetic
        m1, s1, m2, s2 = (m.work(x) for x in (*self.parameters.values(), *other.parameters.values()))
        q1, q2, delta, total, mean = s1 / s2, s2 / s1, s1 - s2, s1 + s2, m1 - m2
        e1, e2 = delta / s2 * (total / s2), -delta / s1 * (total / s1)
        return 2 * m.log(q1), q1 * q1, q2 * q2, e1, e2, mean / s1, mean / s2

    def terms(self, other: Self, g1: Array, g2: Array, dual: bool) -> tuple[Array, Array]:
        pair = self.canonical(other)
        if dual:
            return formula.from_mean(g1, g2, *pair, self.arithmetic.gs)
        return formula.to_mean(g1, g2, *pair, self.arithmetic.g)

    def to_mean(self, other: Self, own: Array, weight: Array) -> Array:
        return self.terms(other, own, weight, dual=False)[0]

    def from_mean(self, other: Self, own: Array, weight: Array) -> Array:
        return self.terms(other, own, weight, dual=True)[0]

    def mean_with(self, other: Self, own: Array, weight: Array) -> Self:
        m = self.arithmetic
        m1, s1, m2, _ = (m.work(x) for x in (*self.parameters.values(), *other.parameters.values()))
        _, r1, r2, *_ = self.canonical(other)
        k1, _, p1, p2 = formula.shares(own, weight, r1, r2)
        dtype = m.result_type(*self.parameters.values(), *other.parameters.values())
        return type(self)(m.rounded(p1 * m1 + p2 * m2, dtype), m.rounded(s1 / k1**0.5, dtype), self.event)
