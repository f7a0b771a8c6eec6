"""Gaussians of one dimension, and with their axis as an event diagonal ones, in the arrays of torch or JAX."""

from collections.abc import Sequence
from typing import Any, Self

from jsgmath import formula
from jsgmath.families.arithmetic import Array
from jsgmath.families.base import Family

Canonical = tuple[Array, Array, Array, Array, Array, Array, Array]


class Normal(Family):
    """``N(mean, std^2)``, as those libraries hold them; NumPy's are `jsgmath.Gaussian`, which loses less."""

    def __init__(self, mean: Array, std: Array, event: int = 0):
        super().__init__(event, mean=mean, std=std)

    def canonical(self, other: Self) -> Canonical:
        """``log_r1, r1, r2, e1, e2, d1, d2`` of `formula.py`."""
        m = self.arithmetic
        m1, s1, m2, s2 = (m.work(x) for x in (self.mean, self.std, other.mean, other.std))
        q1, q2, delta, total, mean = s1 / s2, s2 / s1, s1 - s2, s1 + s2, m1 - m2
        e1, e2 = delta / s2 * (total / s2), -delta / s1 * (total / s1)
        return 2 * m.log(q1), q1 * q1, q2 * q2, e1, e2, mean / s1, mean / s2

    def terms(self, other: Any, g1: Array, g2: Array, dual: bool) -> tuple[Array, Array]:
        pair = self.canonical(other)
        if dual:
            return formula.from_mean(g1, g2, *pair, gs=self.arithmetic.gs)
        return formula.to_mean(g1, g2, *pair, g=self.arithmetic.g)

    def held(self) -> Any:
        if self.library != "torch":
            return self
        from torch import distributions

        mean, std = (self.arithmetic.broadcast(x, self.batch_shape) for x in (self.mean, self.std))
        normal = distributions.Normal(mean, std)
        return distributions.Independent(normal, self.event) if self.event else normal

    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        return self.terms(other, own, weight, dual=False)[0]

    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        return self.terms(other, own, weight, dual=True)[0]

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.mean_of([self, other], [own, weight])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members, for weights of the batch."""
        first = members[0]
        return first.mean_of(members, [first.arithmetic.work(first.with_axes(w)) for w in weights])

    def mean_of(self, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The same for weights with axes for the components; self is the first member."""
        m = self.arithmetic
        ratios = [w * self.canonical(N)[1] for w, N in zip(weights, members, strict=True)]
        k = sum(ratios)
        mean = sum(r / k * m.work(N.mean) for r, N in zip(ratios, members, strict=True))
        dtype = m.result_type(*(x for N in members for x in N.parameters.values()))
        return type(self)(m.rounded(mean, dtype), m.rounded(m.work(self.std) / k**0.5, dtype), self.event)

    @property
    def mean(self) -> Array:
        return self.parameters["mean"]

    @property
    def std(self) -> Array:
        return self.parameters["std"]
