"""Univariate Gaussians, and diagonal ones (with event axes), in arrays of torch or JAX."""

from collections.abc import Sequence
from typing import Any, Self

from jsgmath import formula
from jsgmath.families.base import Family
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, Weight, total

Canonical = tuple[Array, Array, Array, Array, Array, Array, Array]


class Normal(Family):
    """Normal distributions ``N(mean, std^2)`` of torch or JAX; for NumPy `jsgmath.Gaussian` is more accurate.

    The geometric mean has the precision and the mean of [1, eqs. 12-13].

    Args:
        mean: its shape broadcasts with that of std to the batch shape.
        std: the standard deviation, positive; it is not checked, because reading it would wait for a device.

    Raises:
        TypeError, ValueError: a parameter is not an array of real numbers, or the shapes do not broadcast.

    Accuracy: that of torch operations in `jsgmath.torch.jsg_diagonal`.

    References: [1] Deasy et al. 2020, https://arxiv.org/abs/2006.10599

    >>> Normal([0.0, 1.0], 1.0).geometric_mean(Normal(3.0, 1.0), 0.5)
    Normal(mean=[1.5, 2.0], std=1.0)
    """

    def __init__(self, mean: Array, std: Array, event_dim: int = 0):
        super().__init__(event_dim, mean=mean, std=std)

    def limits(self, name: str) -> tuple[float, float]:
        low, high = self.moderate
        return (-high, high) if name == "mean" else (low, high)

    def direct(self, other: Self) -> Array:
        e, d, _, _ = self.ratios(other)
        m, k = self.arithmetic, self.std / other.std
        return 0.5 * (m.g_of(e, k * k) + d * d)

    def direct_slopes(self, other: Self) -> list[Array]:
        e, d, s1, s2 = self.ratios(other)
        by_mean = d / s2
        return [by_mean, e / s1, -by_mean, -(e + d * d) / s2]

    def ratios(self, other: Self) -> tuple[Array, Array, Array, Array]:
        """``e1, d2`` of `formula.py`, and both standard deviations."""
        s1, s2 = self.std, other.std
        q = (s1 - s2) / s2
        return q * (q + 2), (self.mean - other.mean) / s2, s1, s2

    def canonical(self, other: Self) -> Canonical:
        """The scalars ``log_r1, r1, r2, e1, e2, d1, d2`` of `formula.py`; the ratios r are within the range."""
        m = self.arithmetic
        m1, s1, m2, s2 = (m.work(x) for x in (self.mean, self.std, other.mean, other.std))
        q1, q2, delta, total, mean = s1 / s2, s2 / s1, s1 - s2, s1 + s2, m1 - m2
        e1, e2 = delta / s2 * (total / s2), -delta / s1 * (total / s1)
        log_r1 = 2 * m.log_ratio(delta / s2, s1, s2)
        return log_r1, m.normal(q1 * q1), m.normal(q2 * q2), e1, e2, mean / s1, mean / s2

    def numbers(self, other: Self) -> tuple[Any, ...]:
        """``r1, r2, e1, e2, d1, d2, 1/std1, 1/std2``, each an `Arithmetic.number`."""
        m = self.arithmetic
        m1, s1, m2, s2 = (m.number(m.work(x)) for x in (self.mean, self.std, other.mean, other.std))
        q1, q2, delta, total, mean = s1 / s2, s2 / s1, s1 - s2, s1 + s2, m1 - m2
        e1, e2 = (delta / s2) * (total / s2), (-delta / s1) * (total / s1)
        return q1 * q1, q2 * q2, e1, e2, mean / s1, mean / s2, 1 / s1, 1 / s2

    def terms(
        self, other: Any, g1: Weight, g2: Weight, dual: bool, w1: Weight = 1.0, w2: Weight = 1.0
    ) -> tuple[Array, Array]:
        m = self.arithmetic
        w1, w2, g1, g2 = map(m.number, (w1, w2, g1, g2))
        r1, r2, e1, e2, d1, d2, _, _ = self.numbers(other)
        kernel = m.gs_of_number if dual else m.g_of_number
        formulas = formula.from_mean if dual else formula.to_mean

        def of_numbers(x: Any, k: Any, other_k: Any, log_r: Any) -> Any:
            return kernel(x, k)

        kl1, kl2 = formulas(g1, g2, 0.0, r1, r2, e1, e2, d1, d2, of_numbers)
        return m.plain(w1 * kl1), m.plain(w2 * kl2)

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        m = self.arithmetic
        grad: Any = formula.from_mean_grad if dual else formula.to_mean_grad
        *pair, i1, i2 = self.numbers(other)
        by_mean, by_log_var = grad(*map(m.number, (w1, w2, own, weight)), *pair, i1, i2)
        return {"mean": m.plain(by_mean), "std": m.plain(by_log_var * 2 * i1)}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m = self.arithmetic
        *pair, _, _ = self.numbers(other)
        by_alpha: Any = formula.from_mean_by_alpha if dual else formula.to_mean_by_alpha
        return m.plain(by_alpha(*map(m.number, (w1, w2, own, weight)), 1, 0.0, 0.0, *pair))

    def to_library(self) -> Any:
        if self.library != "torch":
            return self
        from torch import distributions

        mean, std = (self.arithmetic.broadcast(x, self.shape) for x in (self.mean, self.std))
        normal = distributions.Normal(mean, std)
        return distributions.Independent(normal, self.event_dim) if self.event_dim else normal

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        return self.terms(other, own, weight, dual=False, w1=times)[0]

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        return self.terms(other, own, weight, dual=True, w1=times)[0]

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.mean_of([self, other], [own, weight])

    @classmethod
    def product(cls, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """The normalised geometric mean of any number of members; the weights have the axes of the batch."""
        first = members[0]
        return first.mean_of(members, [first.arithmetic.work(first.with_event_axes(w)) for w in weights])

    def mean_of(self, members: Sequence[Self], weights: Sequence[Array]) -> Self:
        """Computes `product` for weights that have axes for the components; self is the first member.

        Ratios are taken to the member of the largest share in the precision, so that no ratio of a member with a weight
        above 0 overflows.
        """
        m = self.arithmetic
        stds = [m.work(N.std) for N in members]
        shares = [m.constant(w**0.5 / s) for w, s in zip(weights, stds, strict=True)]
        largest, std = shares[0] + 0 * stds[0], stds[0] + 0 * shares[0]
        for share, s in zip(shares[1:], stds[1:], strict=True):
            better = share > largest
            largest, std = m.where(better, share, largest), m.where(better, s, std)
        ratios = [w * m.finite((std / s) ** 2) for w, s in zip(weights, stds, strict=True)]
        k = total(ratios)
        mean = total(r / k * m.work(N.mean) for r, N in zip(ratios, members, strict=True))
        dtype = m.result_type(*(x for N in members for x in N.parameters.values()))
        return type(self)(m.rounded(mean, dtype), m.rounded(std / k**0.5, dtype), self.event_dim)

    @classmethod
    def jsg_many(
        cls, members: Sequence[Self], weights: Sequence[Array], mean_weights: Sequence[Array], dual: bool
    ) -> Array:
        """JSG, or JSG*, of any number of Gaussians from their geometric mean, also accurate if they are close."""
        first = members[0]
        m = first.arithmetic
        w, g = ([m.work(first.with_event_axes(x)) for x in y] for y in (weights, mean_weights))
        terms = terms_to_mean([[x.canonical(y) for y in members] for x in members], g, m, dual)
        # A Gaussian of weight zero adds nothing, even if its divergence overflows.
        terms = [m.where((x != 0) | (term < float("inf")), term, 0 * x) for x, term in zip(w, terms, strict=True)]
        value = total(weight * term for weight, term in zip(w, terms, strict=True))
        value = value.sum(tuple(range(-first.event_dim, 0))) if first.event_dim else value
        return m.rounded(value, m.result_type(*(x for N in members for x in N.parameters.values())))

    @property
    def mean(self) -> Array:
        return self.parameters["mean"]

    @property
    def std(self) -> Array:
        return self.parameters["std"]


def terms_to_mean(pairs: list[list[Any]], g: list[Array], m: Arithmetic, dual: bool) -> list[Array]:
    """``KL(N_k||G)`` for each k, or ``KL(G||N_k)`` if dual; ``pairs[k][j]`` has the scalars of N_k and N_j."""
    terms: list[Array] = []
    for k, row in enumerate(pairs):
        r, e, shift = g[k], 0 * g[k], 0 * g[k]
        for j, (_, r1, _, e1, _, d1, _) in enumerate(row):
            if j != k:
                weighted = g[j] * m.finite(r1)
                r, e, shift = r + weighted, e + g[j] * m.finite(e1), shift + weighted * m.finite(d1)
        pair = m.log(r), r, 1 / r, e, -e / r, shift / r, shift / r**0.5
        formulas, kernel = (formula.from_mean, m.gs) if dual else (formula.to_mean, m.g)
        terms.append(formulas(0.0, 1.0, *pair, kernel)[0])
    return terms
