"""Categorical distributions."""

from typing import Any, NamedTuple, Self

from jsgmath.families.bernoulli import Bernoulli
from jsgmath.families.discrete import Discrete
from jsgmath.families.libraries.arithmetic import INFINITE, Array


class Tilt(NamedTuple):
    """``p1`` and, per outcome, ``t = log(p2/p1)`` up to a constant; G and N2 as N1 times exponentials of t.

    With ``Z = sum p1 exp(g2 t)`` and ``Z2 = sum p1 exp(t)``, ``KL(N1||G) = log Z - g2 E_1 t``, and the others are of
    the same kind.  Float64 leaves float32 enough digits even where most of them cancel.
    """

    probs: Array
    t: Array
    growth: Array
    """``exp(g2 t) - 1``"""
    lost: Array
    """``Z - 1``"""
    growth2: Array
    """``exp(t) - 1``"""
    lost2: Array
    """``Z2 - 1``"""
    weighted: Array
    """``p1 t``"""
    average: Array
    """The expectation of t under N1."""

    def expectation(self, growth: Array, lost: Array) -> Array:
        """The expectation of t under G or N2."""
        return (self.average + dot(self.weighted, growth)) / (1 + lost)

    def value(self, w1: float, w2: float, own: float, weight: float, dual: bool) -> Array | None:
        """JSG or JSG*, or None if it may have lost digits."""
        log_z, log_z2 = self.lost.log1p(), self.lost2.log1p()
        if dual:
            mean = self.expectation(self.growth, self.lost)
            value = w1 * (weight * mean - log_z) + w2 * (log_z2 - log_z - own * mean)
        else:
            value = w1 * (log_z - weight * self.average)
            if w2:
                value = value + w2 * (log_z - log_z2 + own * self.expectation(self.growth2, self.lost2))
        # The sum of the terms that cancel is ``first E|t|``; where they cancel, the value is near ``second E t^2 / 2``.
        first, second = w1 * weight + w2 * own, w1 * weight**2 + w2 * own**2
        near = value < 2.0**-47 * first * (first / second if second else 0.0)
        if near.any() and (near & (self.t != 0).any(-1)[..., None]).any():
            return None
        return value[..., 0]

    def slopes(self, w1: float, w2: float, own: float, weight: float, dual: bool) -> tuple[Array, Array]:
        """The derivatives by both logits."""
        to_mean = (self.growth - self.lost) / (1 + self.lost)  # G/p1 - 1
        to_other = (self.growth2 - self.lost2) / (1 + self.lost2)  # p2/p1 - 1
        if dual:
            centred = self.t - self.expectation(self.growth, self.lost)
            both = (w1 * weight - w2 * own) * (centred + centred * to_mean)
            first, second = own * both - w1 * to_mean, weight * both - w2 * (to_mean - to_other)
        else:
            both = to_mean - w2 * to_other if w2 else to_mean
            first, second = (w1 * weight) * (self.average - self.t), weight * both
            if own:
                centred = self.t - self.expectation(self.growth2, self.lost2)
                first, second = first + own * both, second + (w2 * own) * (centred + centred * to_other)
        return self.probs * first, self.probs * second


def dot(x: Array, y: Array) -> Array:
    """The sum of the products along the last axis of tensors, which becomes an axis of length 1."""
    return (x[..., None, :] @ y[..., None])[..., 0]


class Categorical(Discrete):
    r"""Categorical distributions: outcome i has probability :math:`p_i`.

    The geometric mean has probabilities proportional to :math:`p_{1i}^{1-w} p_{2i}^w` [2].  Two distributions without a
    common outcome have none, and a divergence that involves it is infinite.

    Args:
        probs: non-negative weights proportional to the probabilities, shape ``(..., K)``.
        logits: logarithms of such weights; ``-inf`` is a weight of zero.  Give either probs or logits.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 25 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).  JAX without 64 bits, its default, has the
        value of the float32 next to an alpha that is an array.

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Categorical(probs=[0.5, 0.25, 0.25]).geometric_mean(Categorical(probs=[0.5, 0.0, 0.5]), 1.0)
    Categorical(probs=[0.5, 0.0, 0.5])
    """

    core_name = "categorical"
    parameter_axes = core_axes = 1

    def __init__(self, probs: Any = None, *, logits: Any = None):
        super().__init__(probs, logits)
        for name in self.parameters:
            self.check_vector(name, least=1)
        self.check("probs", "non-negative and finite", lambda x: (x >= 0) & (x < INFINITE))
        self.check("probs", "positive somewhere", lambda x: x.any(-1)[..., None] | (x > 0), False)
        self.check("logits", "finite or -inf", lambda x: x < INFINITE)
        self.check("logits", "finite somewhere", lambda x: (x > -INFINITE).any(-1)[..., None] | (x > -INFINITE), False)

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts a Bernoulli distribution, whose 1 is the second outcome; any other is returned unchanged."""
        if not isinstance(other, Bernoulli):
            return other
        m, ((name, x),) = other.arithmetic, other.parameters.items()
        both = m.stack([0 * x if name == "logits" else 1 - x, x], -1)
        return cls(**{name: both}).repeated(other.copies).independent(other.event_dim)

    @property
    def moderate(self) -> tuple[float, float]:
        return (-8.0, 8.0) if self.has_logits else (1.0, 0.0)

    def direct_limits(self, name: str) -> tuple[float, float]:
        return (-1e4, 1e4) if self.has_logits else (1.0, 0.0)

    def tilt(self, other: Self, weight: float) -> Tilt | None:
        """G and N2 as N1 times exponentials, if the logits are so close that float64 has bits to spare; else None."""
        x, y = (next(iter(N.parameters.values())) for N in (self, other))
        if not (self.has_logits and other.has_logits) or self.arithmetic.bits(x) + self.arithmetic.bits(y) > 48:
            return None
        x, y = x.double(), y.double()
        probs, t = x.softmax(-1), y - x
        t = t - t[..., :1]
        low, high = t.aminmax()
        if (high - low).item() > 600:
            return None
        t = t - dot(probs, t)
        weighted = probs * t
        growth = (weight * t).expm1()
        growth2 = growth if weight == 1 else t.expm1()
        lost = dot(probs, growth)
        lost2 = lost if weight == 1 else dot(probs, growth2)
        return Tilt(probs, t, growth, lost, growth2, lost2, weighted, weighted.sum(-1)[..., None])

    def at_once(self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool) -> Array | None:
        found = self.tilt(other, weight)
        return None if found is None else found.value(w1, w2, own, weight, dual)

    def slopes_at_once(
        self, other: Self, w1: float, w2: float, own: float, weight: float, dual: bool
    ) -> list[Array] | None:
        found = self.tilt(other, weight)
        if found is None or found.value(w1, w2, own, weight, dual) is None:
            return None
        return [x.float() for x in found.slopes(w1, w2, own, weight, dual)]

    def direct(self, other: Self) -> Array | None:
        return self.at_once(other, 1.0, 0.0, 0.0, 1.0, False)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        return self.slopes_at_once(other, 1.0, 0.0, 0.0, 1.0, False)

    def given(self) -> Array:
        return self.arithmetic.work(next(iter(self.parameters.values())))

    def difference(self, other: Any, given1: Array, given2: Array, ratio: Array) -> tuple[Array, Array]:
        high, low = self.arithmetic.product(ratio, given1)
        return (given2 - high) - low, high

    def by_given(self, derivative: Array) -> dict[str, Array]:
        # The derivative by a weight of zero may be infinite.  The largest float replaces it, so that its product with
        # the weight (which occurs if weights are normalised or come from a softmax) is 0 and not NaN.
        return {next(iter(self.parameters)): self.arithmetic.finite(derivative)}

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        mean = self.mean(other, own, weight)
        if self.library == "NumPy" and mean.gone.all(-1).any():
            raise ValueError("the two distributions have no common outcome, and so no geometric mean")
        if self.has_logits and other.has_logits:
            m, own, weight = self.arithmetic, own[..., None], weight[..., None]
            first, second = self.outcomes().given, other.outcomes().given
            return self.like(other, logits=m.where(mean.gone, -INFINITE, own * first + weight * second))
        return self.like(other, probs=mean.probs)
