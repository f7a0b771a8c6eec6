"""Dirichlet and beta distributions."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, Weight
from jsgmath.families.log_gamma import bregman, bregman_less, digamma_less, textbook, trigamma_times


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
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 40 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Dirichlet([1.0, 2.0, 3.0]).geometric_mean(Dirichlet([3.0, 2.0, 1.0]), 0.25)
    Dirichlet(concentration=[1.5, 2.0, 2.5])
    """

    core_name = "dirichlet"
    of_gammas = True
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
        return cls(other.stacked()).repeated(other.copies).independent(other.event_dim)

    def concentration(self) -> Array:
        return self.work(self.parameters["concentration"])

    def for_core(self) -> tuple[int, list[Array]]:
        return 0, [self.parameters["concentration"]]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        a1, _, a, d = self.parts(other, own, weight)
        w, m = self.arithmetic.number(self.arithmetic.for_outcomes(weight)), self.arithmetic
        return m.plain(m.number(times) * self.divergence(a1, a, w * d, self.cross(other, w)))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        a1, _, a, d = self.parts(other, own, weight)
        w, m = self.arithmetic.number(self.arithmetic.for_outcomes(weight)), self.arithmetic
        return m.plain(m.number(times) * self.divergence(a, a1, -(w * d), self.cross(other, -w)))

    def cross(self, other: Any, weight: Any) -> Any:
        """``weight (a2 A1 - a1 A2)``, where A1 and A2 are the totals."""
        m, a1, a2 = self.arithmetic, self.concentration(), other.concentration()
        d = a2 - a1
        near = ((2 * d < a1) & (2 * d > -a1)).all(-1)[..., None]
        a1, a2, d = map(m.number, (a1, a2, d))
        first, second = m.chosen(near, d, a2), m.chosen(near, self.total(d), self.total(a2))
        total = self.total(a1)
        return weight * m.difference_of_products(first, (total, 0.0), a1, (second, 0.0))

    def divergence(self, x: Any, y: Any, d: Any, cross: Any) -> Any:
        """``KL(x||y)`` for ``y = x + d``; ``cross`` is y times the total of x minus x times the total of y."""
        m = self.arithmetic
        if m.closed:
            (of_each, sizes), (of_total, size) = self.with_totals(textbook, x, y, d)
            value, size = (of_each.sum(-1) - of_total[..., 0]), (sizes.sum(-1) + size[..., 0])
            again = self.divergence_by
            return m.closed.mended(value, ~(value > 2.0**-26 * size), again, (x, y, d, cross), 1)
        total_x, total_y = self.total(x), self.total(y)
        shares = y * m.g_of_number(-(cross / (total_x * y)), (x / total_x) * (total_y / y))
        # If one component is nearly the total, its term and the term of the total nearly cancel.
        largest = (m.plain(x / total_x) > 0.5) & (m.plain(y / total_y) > 0.5)
        some = largest.any(-1)[..., None]
        if m.moderate and not some.any():
            of_each, of_total = self.with_totals(bregman, x, y, d)
            return m.sum_of_numbers(shares + of_each) - of_total[..., 0]
        zero = m.number(0 * m.plain(x / total_x))
        one = (
            m.chosen(some, self.total(m.chosen(largest, z, zero)), zero + z0)
            for z, z0 in ((x, 1.0), (y, 1.0), (d, 0.0))
        )
        rest = (m.chosen(some, self.total(m.chosen(largest, zero, z)), zero) for z in (x, y, d))
        of_each, of_total = self.with_totals(bregman, x, y, d)
        of_total = m.chosen(some, bregman_less(m, *one, *rest), -of_total)
        return m.sum_of_numbers(shares + m.chosen(largest, zero, of_each)) + m.first(of_total)

    def divergence_by(self, m: Arithmetic, *numbers: Any) -> Any:
        """`divergence`, with the functions of another arithmetic."""
        return self.altered(chosen=m).divergence(*numbers)

    def with_totals(self, function: Callable[..., Any], *numbers: Any) -> list[Any]:
        """A function of `log_gamma` of the components, and of their totals."""
        m = self.arithmetic
        return m.of_each(partial(function, m), numbers, tuple(map(self.total, numbers)))

    def total(self, x: Any) -> Any:
        """The sum of the components; their axis gets length 1."""
        m = self.arithmetic
        return m.each(m.sum_of_numbers(x))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m, (a1, _, a, d) = self.arithmetic, self.parts(other, own, weight)
        from1, opposite = self.log_difference(other, own, weight), (weight, own)
        w1, w2, own, weight = (m.number(m.for_outcomes(w)) for w in (w1, w2, own, weight))
        if dual:
            return self.by_parameter(m.plain(own * (w1 * weight - w2 * own) * self.spread(a, d) - w1 * from1))
        by_mean = own * (w1 * from1 + w2 * other.log_difference(self, *opposite))
        return self.by_parameter(m.plain(by_mean - w1 * weight * self.spread(a1, d)))

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m, (_, _, a, d) = self.arithmetic, self.parts(other, own, weight)
        from1, from2 = self.log_difference(other, own, weight), other.log_difference(self, weight, own)
        w1, w2, own, weight = (m.number(m.for_outcomes(w)) for w in (w1, w2, own, weight))
        if dual:
            return m.plain(m.sum_of_numbers((w1 * weight - w2 * own) * self.spread(a, d) * d))
        return m.plain(m.sum_of_numbers((w1 * from1 + w2 * from2) * d))

    def parts(self, other: Any, own: Weight, weight: Weight) -> tuple[Any, Any, Any, Any]:
        """Numbers: the concentrations of self, other and G, and the difference of other's and self's."""

        def compute() -> tuple[Any, Any, Any, Any]:
            m = self.arithmetic
            a1, a2 = m.number(self.concentration()), m.number(other.concentration())
            w1, w2 = m.number(m.for_outcomes(own)), m.number(m.for_outcomes(weight))
            return a1, a2, w1 * a1 + w2 * a2, a2 - a1

        return self.once("parts", compute)

    def log_difference(self, other: Any, own: Weight, weight: Weight) -> Any:
        """The expectation of the logarithms under G, minus that under self."""

        def compute() -> Any:
            m, (x, _, y, d) = self.arithmetic, self.parts(other, own, weight)
            d = m.number(m.for_outcomes(weight)) * d
            of_each, of_total = self.with_totals(digamma_less, x, y, d)
            return of_each - of_total

        return self.once("log_difference", compute)

    def spread(self, x: Any, d: Any) -> Any:
        """The covariance matrix of the logarithms under x, times d."""
        of_each, of_total = self.with_totals(trigamma_times, x, d)
        return of_each - of_total

    def mean(self, other: Any, own: Weight, weight: Weight) -> Array:
        """The concentration of G."""
        m = self.arithmetic
        own, weight = m.for_outcomes(own), m.for_outcomes(weight)
        return m.average(own, self.concentration(), weight, other.concentration())

    def by_parameter(self, derivative: Array) -> dict[str, Array]:
        """Converts a derivative by the concentration to the derivatives by the parameters."""
        return {"concentration": derivative}

    def mean_with(self, other: Any, own: Weight, weight: Weight) -> Self:
        return self.like(other, concentration=self.mean(other, own, weight))


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

    def stacked(self) -> Array:
        """The concentration in the type of the parameters."""
        return self.arithmetic.stack([self.arithmetic.broadcast(x, self.shape) for x in self.parameters.values()], -1)

    def concentration(self) -> Array:
        m = self.arithmetic
        a, b = (self.work(self.parameters[name]) for name in ("a", "b"))
        return m.stack([a + 0 * b, 0 * a + b], -1)

    def for_core(self) -> tuple[int, list[Array]]:
        return 0, [self.stacked()]

    def mean_with(self, other: Any, own: Weight, weight: Weight) -> Self:
        concentration = self.mean(other, own, weight)
        return self.like(other, a=concentration[..., 0], b=concentration[..., 1])

    def by_parameter(self, derivative: Array) -> dict[str, Array]:
        return {"a": derivative[..., 0], "b": derivative[..., 1]}
