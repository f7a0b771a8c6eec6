"""Dirichlet and beta distributions."""

from functools import partial
from typing import Any, Self

import numpy as np

from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import Array, Weight
from jsgmath.families.log_gamma import bregman, bregman_less, digamma_less, trigamma_times


class Dirichlet(Family):
    r"""Dirichlet distributions, :math:`p(x) \propto \prod_i x_i^{a_i - 1}` on the simplex.

    The geometric mean has the concentration :math:`(1-w) a_1 + w a_2` [2].  With :math:`A = \sum_i a_i`

    .. math:: KL(a_1 \| a_2) = \sum_i B_\phi(a_{2i} : a_{1i}) - B_\phi(A_2 : A_1) + A_2\, KL(a_2/A_2 \| a_1/A_1)

    where :math:`B_\phi` is the Bregman divergence of `log_gamma`, and the last term is the divergence between two
    categorical distributions.

    Args:
        concentration: shape ``(..., K)`` with K at least 2, positive and finite.

    Raises:
        TypeError, ValueError: the concentration is not an array of real numbers, or not as described.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        truth (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, where one total
        exceeds the largest number and the other is near the smallest, the former is taken as that number.

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Dirichlet([1.0, 2.0, 3.0]).geometric_mean(Dirichlet([3.0, 2.0, 1.0]), 0.25)
    Dirichlet(concentration=[1.5, 2.0, 2.5])
    """

    core_name = "dirichlet"
    parameter_axes = core_axes = 1

    def __init__(self, concentration: Any):
        super().__init__(concentration=concentration)
        self.check_vector("concentration", least=2)
        self.check("concentration", "positive and finite", lambda x: (x > 0) & (x < float("inf")))

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts a beta distribution; any other distribution is returned unchanged."""
        if cls is not Dirichlet or not isinstance(other, Beta):
            return other
        return cls(other.concentration()).repeated(other.copies).independent(other.event_dim)

    def concentration(self) -> Array:
        return self.work(self.parameters["concentration"])

    def for_core(self) -> tuple[int, list[Array]]:
        return 0, [self.parameters["concentration"]]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        a1, a2, a, d = self.parts(other, own, weight)
        w, unit = self.arithmetic.for_outcomes(weight), self.unit(a1, a2)
        return self.divergence(a1, a, w * d, self.cross(a1, a2, d, w, unit), times, unit)

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        a1, a2, a, d = self.parts(other, own, weight)
        w, unit = self.arithmetic.for_outcomes(weight), self.unit(a1, a2)
        return self.divergence(a, a1, -w * d, self.cross(a1, a2, d, -w, unit), times, unit)

    def unit(self, a1: Array, a2: Array) -> Weight:
        """A power of two, by which concentrations are multiplied before they are added.

        It is 1 if no total can overflow, and where the other total would underflow; then the larger one is clamped.
        """
        m = self.arithmetic
        if m.moderate:
            return 1.0
        small = 0.5 ** (a1.shape[-1].bit_length() + 1)
        info, top1, top2 = m.xp.finfo(a1.dtype), m.largest(a1), m.largest(a2)
        far = m.xp.maximum(top1, top2) > small * float(info.max)
        far = far & (m.xp.minimum(top1, top2) > float(info.tiny) / small)
        return m.where(far, small + 0 * top1, 1.0)

    def cross(self, a1: Array, a2: Array, d: Array, weight: Weight, unit: Weight) -> tuple[Weight, ...]:
        """``weight (a2 A1 - a1 A2)`` as four factors, where A1 and A2 are the totals times the unit."""
        m = self.arithmetic
        near = ((2 * d < a1) & (2 * d > -a1)).all(-1)[..., None]
        first, second = m.where(near, d, a2), m.where(near, self.total(d, unit), self.total(a2, unit))
        total = self.total(a1, unit)
        return weight, *m.difference_of_products(first, (total, 0 * total), a1, (second, 0 * second))

    def divergence(self, x: Array, y: Array, d: Array, cross: tuple[Weight, ...], times: Weight, unit: Weight) -> Array:
        """``times KL(x||y)`` for ``y = x + d``.

        ``cross`` has the factors of y times the total of x minus x times the total of y, times the unit.
        """
        m = self.arithmetic
        total_x, total_y, total_d = self.total(x, unit), self.total(y, unit), self.total(d, unit)
        z, outer = -m.quotient(cross, [total_x, y]), m.for_outcomes(times)
        shares = m.times_g([outer, y], z, [x, total_y], [total_x, y])
        # If one component is nearly the total, its term nearly cancels that of the total.
        half = [(z / x.shape[-1]).sum(-1)[..., None] / 2 for z in (x, y)]
        largest = (x / x.shape[-1] > half[0]) & (y / x.shape[-1] > half[1])
        some = largest.any(-1)[..., None]
        if m.moderate and not some.any():
            of_total = -bregman(m, 1.0, total_x, total_y, total_d, unit)
            return (shares + bregman(m, outer, x, y, d)).sum(-1) + times * of_total[..., 0]
        one = (
            m.where(some, m.where(largest, z, 0.0).sum(-1)[..., None], z0) for z, z0 in ((x, 1.0), (y, 1.0), (d, 0.0))
        )
        rest = (m.where(some, m.where(largest, 0.0, z).sum(-1)[..., None], 0.0) for z in (x, y, d))
        of_total = m.where(some, bregman_less(m, *one, *rest), -bregman(m, 1.0, total_x, total_y, total_d, unit))
        of_total = m.where(of_total < 0, m.finite(of_total), of_total)
        terms = shares + m.where(largest, 0.0, bregman(m, outer, x, y, d))
        return terms.sum(-1) + times * of_total[..., 0]

    def total(self, x: Array, unit: Weight) -> Array:
        """The sum of the components times the unit; their axis is kept with length 1."""
        return self.arithmetic.finite((x * unit).sum(-1)[..., None])

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        a1, a2, a, d = self.parts(other, own, weight)
        w1, w2, own, weight = map(m.for_outcomes, (w1, w2, own, weight))
        from1 = partial(self.log_difference, a1, a, weight * d)
        from2 = partial(self.log_difference, a2, a, -own * d)
        if dual:
            derivative = m.combined((own * (w1 * weight - w2 * own), partial(self.spread, a, d)), (-w1, from1))
        else:
            along = -w1 * weight, partial(self.spread, a1, d)
            derivative = m.combined((own * w1, from1), (own * w2, from2), along)
        derivative = 0 * a1 if isinstance(derivative, int) else derivative
        return self.by_parameter(derivative)

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m = self.arithmetic
        a1, a2, a, d = self.parts(other, own, weight)
        w1, w2, own, weight = map(m.for_outcomes, (w1, w2, own, weight))
        if dual:
            return ((w1 * weight - w2 * own) * (self.spread(a, d) * d)).sum(-1)
        from1, from2 = self.log_difference(a1, a, weight * d), self.log_difference(a2, a, -own * d)
        return ((w1 * from1 + w2 * from2) * d).sum(-1)

    def parts(self, other: Any, own: Weight, weight: Weight) -> tuple[Array, Array, Array, Array]:
        """The concentrations of self, other and G, and what other's exceeds self's by."""
        m, a1, a2 = self.arithmetic, self.concentration(), other.concentration()
        own, weight = m.for_outcomes(own), m.for_outcomes(weight)
        return a1, a2, m.average(own, a1, weight, a2), a2 - a1

    def log_difference(self, x: Array, y: Array, d: Array) -> Array:
        """What the expectation of the logarithms under y exceeds that under x by."""
        m, unit = self.arithmetic, self.unit(x, y)
        total_x, total_y, total_d = (self.total(z, unit) for z in (x, y, d))
        return digamma_less(m, x, y, d) - digamma_less(m, total_x, total_y, total_d, unit)

    def spread(self, x: Array, d: Array) -> Array:
        """The covariance matrix of the logarithms under x, times d."""
        m, unit = self.arithmetic, self.unit(x, abs(d))
        total_x, total_d = self.total(x, unit), self.total(d, unit)
        fits = total_x < unit * float(m.xp.finfo(x.dtype).max)  # of a larger one the digamma's slope is the inverse
        total_x, rest = m.where(fits, total_x / unit, total_x), m.where(fits, 1 / unit, 1.0)
        of_each, of_total = trigamma_times(m, x, d), trigamma_times(m, total_x, total_d) * rest
        return m.less(of_each, of_total, m.log(abs(d)) - 2 * m.log(x), m.log(abs(total_d)) - 2 * m.log(total_x))

    def by_parameter(self, derivative: Array) -> dict[str, Array]:
        """A derivative by the concentration as those by the parameters."""
        return {"concentration": derivative}

    def mean_with(self, other: Any, own: Weight, weight: Weight) -> Self:
        return self.like(other, concentration=self.parts(other, own, weight)[2])


class Beta(Dirichlet):
    r"""Beta distributions, :math:`p(x) \propto x^{a-1} (1-x)^{b-1}` on (0, 1): `Dirichlet` with two components.

    Args:
        a, b: positive and finite; their shapes broadcast to the batch shape.

    Raises:
        TypeError, ValueError: as for `Dirichlet`.

    Accuracy: as for `Dirichlet`.

    >>> Beta(1.0, [2.0, 4.0]).geometric_mean(Beta(3.0, 2.0), 0.5)
    Beta(a=[2.0, 2.0], b=[2.0, 3.0])
    """

    parameter_axes = 0

    def __init__(self, a: Any, b: Any):
        Family.__init__(self, a=a, b=b)
        for name in ("a", "b"):
            self.check(name, "positive and finite", lambda x: (x > 0) & (x < float("inf")))

    def concentration(self) -> Array:
        m = self.arithmetic
        a, b = (self.work(self.parameters[name]) for name in ("a", "b"))
        return m.stack([a + 0 * b, 0 * a + b], -1)

    def for_core(self) -> tuple[int, list[Array]]:
        return 0, [np.stack(np.broadcast_arrays(self.parameters["a"], self.parameters["b"]), -1)]

    def mean_with(self, other: Any, own: Weight, weight: Weight) -> Self:
        concentration = self.parts(other, own, weight)[2]
        return self.like(other, a=concentration[..., 0], b=concentration[..., 1])

    def by_parameter(self, derivative: Array) -> dict[str, Array]:
        return {"a": derivative[..., 0], "b": derivative[..., 1]}
