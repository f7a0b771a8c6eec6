"""JSG or JSG* between two members of an exponential family as a `Computation`: values with closed-form derivatives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jsgmath import formula
from jsgmath.families.libraries.arithmetic import Array, Weight, total
from jsgmath.hints import Convention

Member = Any  # a Family of base.py, which imports this file


class PairComputation:
    """JSG or JSG* between two batches, as a function of their parameters, and of alpha if it is not a number."""

    def __init__(self, first: Member, second: Member, alpha: float | None, convention: Convention, dual: bool):
        self.templates = [N.altered(parameters={}) for N in (first, second)]  # torch's graph would keep tensors
        self.names = [list(first.parameters), list(second.parameters)]
        self.alpha, self.reverse, self.dual = alpha, convention == "deasy", dual
        one = bool(first.parameter_axes)
        members = zip((first, second), self.names, strict=True)
        self.wider = any(N.direct_limits(name) != N.limits(name) for N, names in members for name in names)
        self.vectors: Sequence[bool] = [one for names in self.names for _ in names] + [False] * (alpha is None)

    def operands(
        self, arrays: Sequence[Array], direct: bool = False
    ) -> tuple[Member, Member, Weight, Weight, Weight, Weight, int]:
        """The two batches, ``w1, w2, g1, g2``, and the derivative of ``g2`` by alpha."""
        given = iter(arrays)
        members = [
            template.altered(parameters={name: next(given) for name in names}, kept={})
            for template, names in zip(self.templates, self.names, strict=True)
        ]
        limits = [
            N.direct_limits(name) if direct else N.limits(name)
            for N, names in zip(members, self.names, strict=True)
            for name in names
        ]
        N, given_arrays = members[0], arrays[: len(limits)]
        if not N.of_products and self.names[0] != self.names[1]:
            limits = [(1.0, 0.0)] * len(limits)  # a probability and log-odds are compared in twice the precision
        m = N.arithmetic.for_numbers(given_arrays, self.alpha, limits, N)
        for member in members:
            member.chosen = m
            member.parameters = {name: member.work(x) for name, x in member.parameters.items()}
        weights = [m.unknown(members[0].work(x)) for x in given]
        arrays = [*(x for member in members for x in member.parameters.values()), *weights]
        w1: Weight = 1 - arrays[-1] if self.alpha is None else 1 - self.alpha
        w2: Weight = arrays[-1] if self.alpha is None else self.alpha
        if self.alpha is None:
            dtype = m.result_type(*arrays[:-1])
            w1, w2 = m.rounded(w1, dtype), m.rounded(w2, dtype)
        g1, g2, slope = formula.mean_weights(w1, w2, self.reverse)
        return members[0], members[1], w1, w2, g1, g2, slope

    def both(
        self, first: Member, second: Member, *weights: tuple[Weight, Weight]
    ) -> tuple[Member, Member, *tuple[Array, ...]]:
        """The two batches as one, the same with the second one first, and both weights of each pair as one."""
        m, shape = first.arithmetic, np.broadcast_shapes(first.shape, second.shape, *(np.shape(w) for w, _ in weights))
        like, rows = next(iter(first.parameters.values())), [N.expanded(shape).parameters for N in (first, second)]
        members = [
            first.altered(parameters={name: m.stack([x[name], y[name]], 0) for name in x}, kept={})
            for x, y in (rows, rows[::-1])
        ]
        members[0].twin, members[1].twin = members[1], members[0]
        stacks = [m.unknown(m.stack([m.rounded(m.array(w, like), like.dtype) for w in pair], 0)) for pair in weights]
        return *members, *(w.reshape((2, *(1,) * (1 + len(shape) - w.ndim), *w.shape[1:])) for w in stacks)

    def can_be_one(self, first: Member) -> bool:
        """Whether the two batches can be computed as one, so that the program is half as long."""
        m, x = first.arithmetic, next(iter(first.parameters.values()))
        exact = self.alpha is None or self.alpha in (0, 1) or m.bits(x) > 24
        return m.shortens_programs and exact and self.names[0] == self.names[1]

    def is_moderate(self, first: Member) -> bool:
        return self.alpha is not None and first.arithmetic.moderate

    def of_kl(self, first: Member, second: Member) -> tuple[Member, Member] | None:
        """The distributions for `Family.direct`, if the divergence is a KL divergence of moderate parameters."""
        if self.is_moderate(first) and self.reverse and self.alpha in (0, 1):
            return (first, second) if (self.alpha == 0) != self.dual else (second, first)
        return None

    def value(self, arrays: Sequence[Array]) -> Array:
        first, second, w1, w2, g1, g2, _ = self.operands(arrays, direct=self.wider)
        pair = self.of_kl(first, second)
        found = None
        if pair:
            found = pair[0].direct(pair[1])
        elif self.is_moderate(first):
            found = first.at_once(second, w1, w2, g1, g2, self.dual)
        if found is not None:
            return found
        if self.wider:
            first, second, w1, w2, g1, g2, _ = self.operands(arrays)
        m, in_between = first.arithmetic, self.alpha is None or 0 < self.alpha < 1
        if in_between and self.can_be_one(first):
            N, M, w, own, weight = self.both(first, second, (w1, w2), (g1, g2), (g2, g1))
            terms = N.from_mean(M, own, weight, w) if self.dual else N.to_mean(M, own, weight, w)
            return m.where(w == 0, 0 * w, terms).sum(0)
        if self.alpha is None:
            term1, term2 = first.terms(second, g1, g2, self.dual, w1, w2)
            return m.where(w1 == 0, 0 * w1, term1) + m.where(w2 == 0, 0 * w2, term2)
        pairs = ((w1, first, second, g1, g2), (w2, second, first, g2, g1))
        needed = [
            N.from_mean(M, own, weight, w) if self.dual else N.to_mean(M, own, weight, w)
            for w, N, M, own, weight in pairs
            if w
        ]
        return total(needed)

    def derivatives(self, arrays: Sequence[Array], needed: Sequence[bool]) -> list[Array | None]:
        first, second, w1, w2, g1, g2, slope = self.operands(arrays, direct=self.wider)
        pair = self.of_kl(first, second)
        both = None
        if pair:
            both = pair[0].direct_slopes(pair[1])
        elif self.is_moderate(first):
            both = first.slopes_at_once(second, w1, w2, g1, g2, self.dual)
        if both is not None:
            half = len(both) // 2 if pair and pair[0] is not first else 0
            ordered = both[half:] + both[:half]
            return [x if one else None for x, one in zip(ordered, needed, strict=True)]
        if self.wider:
            first, second, w1, w2, g1, g2, slope = self.operands(arrays)
        found = self.by_parameters(first, second, (w1, w2, g1, g2), needed)
        if self.alpha is None:
            by_alpha = None
            if needed[-1]:
                kl1, kl2 = first.terms(second, g1, g2, self.dual)
                by_alpha = kl2 - kl1 + slope * first.slope_of_weight(second, w1, w2, g1, g2, self.dual)
            found.append(by_alpha)
        return found

    def by_parameters(
        self, first: Member, second: Member, weights: tuple[Weight, ...], needed: Sequence[bool]
    ) -> list[Array | None]:
        """The derivatives by the parameters; the weights are ``w1, w2, g1, g2``."""
        w1, w2, g1, g2 = weights
        asked, names = iter(needed), self.names[0]
        if all(needed[: 2 * len(names)]) and self.can_be_one(first):
            above, below, *both = self.both(first, second, (w1, w2), (w2, w1), (g1, g2), (g2, g1))
            slopes = above.slopes(below, *both, self.dual)
            return [slopes[name][i] for i in (0, 1) for name in names]
        found: list[Array | None] = []
        for names, N, M, own_w, other_w, own, weight in (
            (self.names[0], first, second, w1, w2, g1, g2),
            (self.names[1], second, first, w2, w1, g2, g1),
        ):
            wanted = [next(asked) for _ in names]
            slopes: dict[str, Array] = N.slopes(M, own_w, other_w, own, weight, self.dual) if any(wanted) else {}
            found += [
                slopes[name] + 0 * N.parameters[name]
                if one and isinstance(slopes[name], int)
                else slopes[name]
                if one
                else None
                for name, one in zip(names, wanted, strict=True)
            ]
        return found
