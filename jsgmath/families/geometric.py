"""Geometric distributions."""

from typing import Any, NamedTuple, Self

from jsgmath.families.base import Family, one_of
from jsgmath.families.libraries.arithmetic import INFINITE, Arithmetic, Array, Weight
from jsgmath.families.libraries.twofold import log_beyond, sum_with


class Mean(NamedTuple):
    """N1, and how the geometric mean G differs from it; all but the last three are made by `Arithmetic.number`."""

    p1: Any
    q1: Any
    """Arbitrary where it is zero."""
    p: Any
    """p of G."""
    q: Any
    log_ratio: Any
    """``log(q2/q1)``, but 0 where one of them is zero."""
    growth: Any
    """``q/q1 - 1``, but 0 where ``log_ratio`` is."""
    grown: Any
    """``q/q1``, but 1 where ``log_ratio`` is 0."""
    zero1: Array
    """Whether q1 is zero."""
    zero2: Array
    """Whether q2 is zero."""
    gone: Array
    """Whether q is zero."""

    def beyond(self, m: Arithmetic) -> Any:
        """What ``q/p`` of G exceeds that of N1 by."""
        more = self.q1 * m.chosen(self.gone, -1.0, self.growth) / (self.p * self.p1)
        return m.chosen(self.zero1, self.q / self.p, more)


class Geometric(Family):
    r"""Geometric distributions, :math:`p(x) = p\,q^x` with :math:`q = 1 - p`, on x = 0, 1, 2, ... or on 1, 2, 3, ...

    .. math:: KL(p_1 \| p_2) = g(p_2/p_1 - 1) + \frac{q_1}{p_1}\, g(q_2/q_1 - 1), \quad g(x) = x - \log(1+x)

    The divergences are the same whether x counts the failures or the trials.  The geometric mean has
    :math:`q = q_1^{1-w} q_2^w` [2].

    Args:
        probs: the probability p of success, in (0, 1]; its shape is the batch shape.
        logits: the log-odds of success, finite.  Give either probs or logits.

    Raises:
        TypeError, ValueError: not exactly one is given, or it is not an array of real numbers as described.

    Accuracy: correctly rounded in NumPy, over the whole range of the parameters and of alpha: the float nearest to the
        true value (``tests/native/test_families.py``, ``verification/test_families.py``).  In torch and JAX, values
        were measured within 25 units of the last place over the same range, derivatives within 16 units of the sum of
        the sizes of their terms (``tests/torch/test_family_range.py``).  JAX without 64 bits, its default, has the
        value of the float32 next to an alpha that is an array.

    References: [2] Nielsen 2019, https://arxiv.org/abs/1904.04017

    >>> Geometric(0.75).geometric_mean(Geometric(0.9375), 0.5)
    Geometric(probs=0.875)
    """

    core_name = "geometric"
    of_products = False

    def __init__(self, probs: Any = None, *, logits: Any = None):
        super().__init__(**one_of(self, probs=probs, logits=logits))
        self.check("probs", "in (0, 1]", lambda x: (x > 0) & (x <= 1))
        self.check("logits", "finite; use probs=1 for an infinite one", lambda x: (x < INFINITE) & (x > -INFINITE))

    @classmethod
    def of(cls, **parameter: Any) -> Self:
        """By the probability of a failure (``failures=``) or by the odds of a success (``odds=``), in torch or JAX.

        Other libraries give them for negative binomial distributions; converted, they would be rounded.
        """
        N = object.__new__(cls)
        Family.__init__(N, **parameter)
        if N.library == "NumPy":
            raise TypeError("failures= and odds= take an array of torch or JAX; in NumPy give probs=")
        return N

    @property
    def form(self) -> str:
        """The name of the parameter."""
        return next(iter(self.parameters))

    @property
    def has_logits(self) -> bool:
        return self.form == "logits"

    def numbers(self) -> tuple[Any, Any, Any, Array]:
        """p, q and the logarithm of q as numbers, and whether q is zero; then q and its logarithm are arbitrary."""
        return self.once("numbers", self.new_numbers)

    def new_numbers(self) -> tuple[Any, Any, Any, Array]:
        m, x = self.arithmetic, self.work(self.parameters[self.form])
        zero = x == {"probs": 1, "failures": 0}.get(self.form, INFINITE)
        x = m.where(zero, 0.5, x)
        if self.form in ("probs", "failures"):
            p, q = m.number(x), m.number(1 - x)
            p, q = (p, q) if self.form == "probs" else (q, p)
        elif self.form == "odds":
            q = 1 / (m.number(1.0) + m.number(x))
            p = m.number(x) * q
        elif m.moderate:
            p, q = 1 / (1 + m.exp(-x)), 1 / (1 + m.exp(x))
        else:
            small = m.exp_of_number(-abs(x))
            larger, smaller = 1 / (1 + small), small / (1 + small)
            p, q = m.chosen(x > 0, larger, smaller), m.chosen(x > 0, smaller, larger)
        log_q = m.small_log_of_number(-p, q)
        return m.chosen(zero, 1.0, p), q, log_q, zero

    def odds(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Two numbers, each with its rounding error, whose ratio is ``p/q``; arbitrary where q is zero."""
        m, x, (p, q, _, zero) = self.arithmetic, self.work(self.parameters[self.form]), self.numbers()
        if self.form == "odds":
            return (m.number(x), m.number(0.0)), (m.number(1.0 + 0 * x), m.number(0.0))
        error = m.number(sum_with(m, 1.0, -m.where(zero, 0.5, x))[1])
        of_p, of_q = (m.number(0.0), error) if self.form == "probs" else (error, m.number(0.0))
        return (p, of_p), (q, of_q)

    def log_odds_to(self, other: Self) -> Array:
        """The log-odds of other minus those of self; one of them is given by its log-odds, or both are."""
        m = self.arithmetic
        if not self.has_logits:
            return -other.log_odds_to(self)
        x = self.work(self.parameters["logits"])
        if other.has_logits:
            return self.work(other.parameters["logits"]) - x
        return log_beyond(m, *other.odds(), x, 0 * x)

    def mean(self, other: Any, own: Weight, weight: Weight) -> Mean:
        return self.once("mean", lambda: self.new_mean(other, own, weight))

    def new_mean(self, other: Any, own: Weight, weight: Weight) -> Mean:
        m = self.arithmetic
        (p1, q1, log1, zero1), (p2, q2, log2, zero2) = self.numbers(), other.numbers()
        some, gone = zero1 | zero2, (zero1 & (own > 0)) | (zero2 & (weight > 0))
        k = q2 / q1
        if self.has_logits or other.has_logits:
            near, difference = m.near(self.log_odds_to(other))
            # The difference is that of both p and both q; the smaller pair gives it more accurately.
            far = m.chosen(m.plain(p1) > 0.5, q2 - q1, p1 - p2) / q1
            excess = m.chosen(near, -(p1 * k * m.growth_of_number(m.number(difference))), far)
        elif self.form == other.form == "odds":
            x1, x2 = (m.number(self.work(N.parameters["odds"])) for N in (self, other))
            excess = (x1 - x2) * q2
        elif self.form == other.form:
            excess = (p1 - p2 if self.form == "probs" else q2 - q1) / q1
        else:
            excess = m.chosen(m.plain(p1) > 0.5, q2 - q1, p1 - p2) / q1
        t = m.chosen(some, 0.0, m.small_log_of_number(excess, k))
        g1, g2 = m.number(own), m.number(weight)
        p = -m.growth_of_number(g1 * log1 + g2 * log2)
        growth = m.growth_of_number(g2 * t)
        if not m.moderate:
            near, _ = m.near(m.plain(g2 * t))
            power = m.power_of_number(m.chosen(some, 1.0, k), own, weight)
            growth = m.chosen(near, growth, power - 1)
            grown = m.chosen(near, growth + 1, power)
        else:
            grown = 1 + growth
        p = m.chosen(gone, 1.0, m.chosen(zero1, p2, m.chosen(zero2, p1, p)))
        q = m.chosen(gone, 0.0, m.chosen(zero1, q2, q1 * grown))
        return Mean(p1, q1, p, q, t, growth, grown, zero1, zero2, gone)

    @property
    def moderate(self) -> tuple[float, float]:
        return (-8.0, 8.0) if self.has_logits else (2.0**-12, 1 - 2.0**-12)

    def both(self, other: Self) -> tuple[Array, ...] | None:
        """``p1, q1, p2, q2, p2/p1 - 1, q2/q1 - 1`` for moderate parameters of one form."""
        m = self.arithmetic
        if self.form != other.form or self.form not in ("probs", "logits"):
            return None
        x, y = (self.work(next(iter(N.parameters.values()))) for N in (self, other))
        if not self.has_logits:
            return x, 1 - x, y, 1 - y, (y - x) / x, (x - y) / (1 - x)
        p1, p2 = 1 / (1 + m.exp(-x)), 1 / (1 + m.exp(-y))
        q1, q2 = 1 / (1 + m.exp(x)), 1 / (1 + m.exp(y))
        return p1, q1, p2, q2, q2 * m.expm1(y - x), p2 * m.expm1(x - y)

    def direct(self, other: Self) -> Array | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, of_p, of_q = found
        return m.g_of(of_p, p2 / p1) + q1 / p1 * m.g_of(of_q, q2 / q1)

    def direct_slopes(self, other: Self) -> list[Array] | None:
        m, found = self.arithmetic, self.both(other)
        if found is None:
            return None
        p1, q1, p2, q2, of_p, of_q = found
        log_ratio = m.log_ratio(of_q, q2, q1) / p1
        if self.has_logits:
            return [log_ratio * q1, of_p]
        return [log_ratio / p1, of_p / p2 / q2]

    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, G = self.arithmetic, self.mean(other, own, weight)
        beyond = G.q1 * G.growth / G.p1
        value = m.g_of_number(-beyond, G.p / G.p1) + G.q1 / G.p1 * m.g_of_number(G.growth, G.grown)
        value = m.chosen(G.zero1, -m.small_log_of_number(-G.q, G.p), value)
        return m.where(G.gone & ~G.zero1, INFINITE * times, m.plain(m.number(times) * value))

    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        m, G = self.arithmetic, self.mean(other, own, weight)
        failures = G.q / G.p * m.g_of_number(-(G.growth / G.grown), 1 / G.grown)
        value = m.g_of_number(G.q1 * G.growth / G.p, G.p1 / G.p) + failures
        value = m.chosen(G.gone, -m.small_log_of_number(-m.chosen(G.zero1, 0.0, G.q1), G.p1), value)
        return m.where(G.zero1 & ~G.gone, INFINITE * times, m.plain(m.number(times) * value))

    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        """Derivatives by ``log q``, converted to those by the parameter."""
        m, G, reverse = self.arithmetic, self.mean(other, own, weight), other.mean(self, weight, own)
        n1, n2, g1, g2 = map(m.number, (w1, w2, own, weight))
        if dual:
            derivative = g1 * (n1 * g2 - n2 * g1) * (G.q / (G.p * G.p)) * G.log_ratio - n1 * G.beyond(m)
        else:
            by_mean = g1 * (n1 * G.beyond(m) + n2 * reverse.beyond(m))
            derivative = by_mean - n1 * g2 * (G.q1 / (G.p1 * G.p1)) * G.log_ratio
        if self.has_logits or self.form == "odds":
            return {self.form: m.plain(-((G.p1 if self.has_logits else G.q1) * derivative))}
        # Where one q is zero and the other is not, the logarithm of their ratio is infinite.
        value, infinite = m.plain(-(derivative / G.q1)), 0 * m.plain(G.q1) + INFINITE
        if dual:
            w = own * (w1 * weight - w2 * own)
            first = m.choice(w == 0.0, m.weighted(w1 * (own < 1), infinite), -m.weighted(w, infinite))
            second = value + m.choice(weight == 0.0, m.weighted(w, infinite), 0.0)
        else:
            first = m.weighted(w1 * weight + w2 * own, infinite)
            second = m.finite(value) - m.weighted(w1 * weight, infinite)  # divided by a tiny p, it may have overflowed
        value = m.where(G.zero1, m.where(G.zero2, 0.0, first), m.where(G.zero2, second, value))
        return {self.form: value if self.form == "probs" else -value}

    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        m, G, reverse = self.arithmetic, self.mean(other, own, weight), other.mean(self, weight, own)
        n1, n2, g1, g2 = map(m.number, (w1, w2, own, weight))
        if dual:
            return m.plain((n1 * g2 - n2 * g1) * (G.q / (G.p * G.p)) * G.log_ratio * G.log_ratio)
        return m.plain((n1 * G.beyond(m) + n2 * reverse.beyond(m)) * G.log_ratio)

    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        return self.like(other, probs=self.arithmetic.plain(self.mean(other, own, weight).p))
