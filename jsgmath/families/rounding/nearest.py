"""The float nearest to a divergence of exponential families, by the definition on decimal numbers of rising precision.

This is the last and slowest path.  It computes the values that faster arithmetic cannot round with certainty, and those
whose parameters are beyond the range of that arithmetic.  With the natural parameters theta, the log-normaliser F and
its derivative eta, ``KL(N1||N2) = F(theta2) - F(theta1) - eta1 (theta2 - theta1)`` [2].  Every number is a `Ball`:
decimal numbers have no limited range, and cancellation widens the ball.  Precision rises until the ball around the
divergence rounds to a single float.

[2] Nielsen 2019, https://arxiv.org/abs/1904.04017
"""

import decimal
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from jsgmath import formula
from jsgmath.families.rounding.ball import LOWEST, TWO, UPWARD, ZERO, Ball, TooWide, ball, total
from jsgmath.reduction.exact import context
from jsgmath.rounding.nearest import rounded

DIGITS = (48, 110, 400, 1600)
# ``1 - x`` is exact in this one for a float x in [0, 1].
EXACT = context(1200)
ONE, INFINITE = Decimal(1), math.inf

Numbers = tuple[float, ...]


class Case(NamedTuple):
    """A divergence: the weights of both KL divergences and of both members in the mean, and whether it is dual."""

    w1: Decimal
    w2: Decimal
    g1: Decimal
    g2: Decimal
    dual: bool


def case_of(alpha: float, reverse: bool, dual: bool) -> Case:
    w2 = Decimal(alpha)
    w1 = EXACT.subtract(ONE, w2)
    g1, g2, _ = formula.mean_weights(w1, w2, reverse)
    return Case(w1, w2, g1, g2, dual)


class Definition(ABC):
    """An exponential family.  A form is 0 for rates, weights and probabilities, and 1 for scales and log-odds."""

    @abstractmethod
    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        """Whether two members are exactly equal."""

    @abstractmethod
    def divergence(self, case: Case, form1: int, x: Numbers, form2: int, y: Numbers) -> Ball | float:
        """A ball around the divergence of two members that differ, or infinity."""


def of_pair(definition: Definition, case: Case, forms: tuple[int, int], x: Numbers, y: Numbers) -> Ball | float:
    """A ball around the divergence of two members, or a float if it is 0 or infinite."""
    at_end = (case.w1, case.w2) == (case.g1, case.g2) and 0 in (case.w1, case.w2)
    if at_end or definition.equal(forms[0], x, forms[1], y):
        return 0.0
    return definition.divergence(case, forms[0], x, forms[1], y)


class Member(NamedTuple):
    """The natural parameters, the log-normaliser and the expectations."""

    theta: list[Ball]
    F: Ball
    eta: list[Ball]


class Regular(Definition):
    """A family by its natural parameters."""

    @abstractmethod
    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        """Two members by their parameters."""

    @abstractmethod
    def of(self, theta: list[Ball]) -> Member:
        """The member with these natural parameters."""

    def limit(self, form: int, x: Numbers) -> bool:
        """Whether the distribution is the limit with all mass at 0, whose natural parameter is infinite."""
        return False

    def divergence(self, case: Case, form1: int, x: Numbers, form2: int, y: Numbers) -> Ball | float:
        w1, w2, g1, g2, dual = case
        if self.limit(form1, x):
            return self.of_limit(w1, w2, g1, dual, form2, y)
        if self.limit(form2, y):
            return self.of_limit(w2, w1, g2, dual, form1, x)
        N1, N2 = self.members(form1, x, form2, y)
        if g1 == 0 or g2 == 0:
            mean = N2 if g1 == 0 else N1
        else:
            mean = self.of([ball(g1) * s + ball(g2) * t for s, t in zip(N1.theta, N2.theta, strict=True)])
        found: list[Ball] = []
        for w, N, other, g in ((w1, N1, N2, g2), (w2, N2, N1, g1)):
            if w and g:
                eta = mean.eta if dual else N.eta
                steps = zip(eta, N.theta, other.theta, strict=True)
                along = total([e * (t - s) for e, s, t in steps]) * ball(g)
                found.append(ball(w) * (N.F - mean.F + along if dual else mean.F - N.F - along))
        return total(found)

    def of_limit(self, w: Decimal, other_w: Decimal, g: Decimal, dual: bool, form: int, x: Numbers) -> Ball | float:
        """The divergence if one member is the limit; w and g are its weights."""
        mean_is_limit = g > 0
        if dual:
            if mean_is_limit:
                return ball(other_w) * self.from_limit(form, x)
            return INFINITE if w else 0.0
        if mean_is_limit:
            return INFINITE if other_w else 0.0
        return ball(w) * self.from_limit(form, x)

    def from_limit(self, form: int, x: Numbers) -> Ball:
        """The KL divergence from the limit to a member: minus the logarithm of the member's probability of 0."""
        raise NotImplementedError


class Exponentials(Regular):
    """The rate or scale b: ``theta = -b``, ``F = -log b``, ``eta = 1/b``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y if form1 == form2 else Fraction(x[0]) * Fraction(y[0]) == 1

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        return self.member(form1, ball(*x)), self.member(form2, ball(*y))

    def member(self, form: int, b: Ball) -> Member:
        if form == 0:
            return self.of([-b])
        return Member([-(ball(1) / b)], b.ln(), [b])

    def of(self, theta: list[Ball]) -> Member:
        rate = -theta[0]
        return Member(theta, -rate.ln(), [ball(1) / rate])


class Poissons(Regular):
    """The rate l: ``theta = log l``, ``F = eta = l``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        first, second = (Member([rate.ln()], rate, [rate]) for rate in (ball(*x), ball(*y)))
        return first, second

    def of(self, theta: list[Ball]) -> Member:
        rate = theta[0].exp()
        return Member(theta, rate, [rate])

    def limit(self, form: int, x: Numbers) -> bool:
        return x[0] == 0

    def from_limit(self, form: int, x: Numbers) -> Ball:
        return ball(*x)


class Geometrics(Regular):
    """With ``q = 1 - p``: ``theta = log q``, ``F = -log p``, ``eta = q/p``."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y if form1 == form2 else {form1: x[0], form2: y[0]} == {0: 0.5, 1: 0.0}

    def members(self, form1: int, x: Numbers, form2: int, y: Numbers) -> tuple[Member, Member]:
        first, second = Decimal(x[0]), Decimal(y[0])
        if form1 == form2 == 1 and max(first, second) < LOWEST / 10:  # only their difference matters
            shift = LOWEST / 10 - max(first, second)
            first, second = EXACT.add(first, shift), EXACT.add(second, shift)
        return self.member(form1, first), self.member(form2, second)

    def member(self, form: int, x: Decimal) -> Member:
        if form == 0:
            p = ball(x)
            return Member([(-p).log1p()], -p.ln(), [(ball(1) - p) / p])
        odds = ball(min(max(-x, LOWEST), -LOWEST)).exp()
        return Member([-softplus(ball(x))], softplus(-ball(x)), [odds])

    def of(self, theta: list[Ball]) -> Member:
        p = -theta[0].expm1()
        return Member(theta, -p.ln(), [(ball(1) - p) / p])

    def limit(self, form: int, x: Numbers) -> bool:
        return form == 0 and x[0] == 1

    def from_limit(self, form: int, x: Numbers) -> Ball:
        return self.member(form, Decimal(x[0])).F


def softplus(x: Ball) -> Ball:
    """``log(1 + exp(x))``"""
    return (x if x.value > 0 else ball(0)) + (-x if x.value > 0 else x).exp().log1p()


class Categoricals(Definition):
    """Weights or logits of the outcomes."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        if form1 == form2:
            zeros = (-INFINITE if form1 else 0.0,)
            first, second = ([n for n in numbers if n not in zeros] for numbers in (x, y))
            if [n in zeros for n in x] != [n in zeros for n in y]:
                return False
            s, t = list(map(Fraction, first)), list(map(Fraction, second))
            if form1:
                return all(b - a == t[0] - s[0] for a, b in zip(s, t, strict=True))
            return all(b * s[0] == a * t[0] for a, b in zip(s, t, strict=True))
        # A ratio of exponentials of floats is irrational unless it is 1.
        weights, logits = (x, y) if form1 == 0 else (y, x)
        there = [(w, z) for w, z in zip(weights, logits, strict=True) if w or z > -INFINITE]
        return len(set(there)) == 1 and there[0][0] > 0 and there[0][1] > -INFINITE

    def divergence(self, case: Case, form1: int, x: Numbers, form2: int, y: Numbers) -> Ball | float:
        w1, w2, g1, g2, dual = case
        first, second = self.log_probs(form1, x), self.log_probs(form2, y)
        if g1 == 0 or g2 == 0:
            mean = second if g1 == 0 else first
        else:
            both = first.keys() & second.keys()
            mean = normalised({i: ball(g1) * first[i] + ball(g2) * second[i] for i in both})
        if not mean:
            return INFINITE
        found: list[Ball] = []
        for w, g, N in ((w1, g2, first), (w2, g1, second)):
            if w and g:
                P, Q = (mean, N) if dual else (N, mean)
                if P.keys() - Q.keys():
                    return INFINITE
                found += [ball(w) * P[i].exp() * (P[i] - Q[i]) for i in P]
        return total(found)

    def log_probs(self, form: int, x: Numbers) -> dict[int, Ball]:
        """The logarithms of the probabilities that are not zero."""
        if form == 0:
            return normalised({i: ball(w).ln() for i, w in enumerate(x) if w})
        return normalised({i: ball(z) for i, z in enumerate(x) if z > -INFINITE})


def normalised(logs: dict[int, Ball]) -> dict[int, Ball]:
    """The logarithms of numbers divided by their total."""
    if not logs:
        return {}
    top = max(logs.values(), key=lambda z: z.value)
    log_total = top + total([(z - top).exp() for z in logs.values()]).ln()
    return {i: z - log_total for i, z in logs.items()}


class Bernoullis(Categoricals):
    """Two outcomes: probabilities p and ``1 - p``, or logits x and 0."""

    def equal(self, form1: int, x: Numbers, form2: int, y: Numbers) -> bool:
        return x == y if form1 == form2 else {form1: x[0], form2: y[0]} == {0: 0.5, 1: 0.0}

    def log_probs(self, form: int, x: Numbers) -> dict[int, Ball]:
        if form == 1:
            return {0: -softplus(-ball(*x)), 1: -softplus(ball(*x))}
        p = ball(*x)
        probabilities = {0: p.ln} if x[0] == 1 else {1: (-p).log1p} if x[0] == 0 else {0: p.ln, 1: (-p).log1p}
        return {i: log() for i, log in probabilities.items()}


DEFINITIONS: dict[str, Definition] = {
    "exponential": Exponentials(),
    "poisson": Poissons(),
    "geometric": Geometrics(),
    "categorical": Categoricals(),
    "bernoulli": Bernoullis(),
}


class Component(NamedTuple):
    """Parameters of both members, and a factor of their divergence."""

    x: Numbers
    y: Numbers
    copies: float


def nearest(
    definition: Definition,
    cases: Sequence[tuple[float, bool, bool]],
    forms: tuple[int, int],
    components: Sequence[Component],
    single: bool,
) -> float:
    """The float64, or the float32 if ``single``, nearest to the sum of some divergences; of two, the even one.

    Args:
        cases: for each divergence alpha, whether the mean is reversed, and whether it is the dual.
        components: independent components, over which the divergences are summed.

    Raises:
        ArithmeticError: 1600 digits do not suffice.
    """
    lower = upper = math.nan
    for digits in DIGITS:
        with decimal.localcontext(context(digits)):
            try:
                value = _sum(definition, [case_of(*case) for case in cases], forms, components)
            except TooWide:
                continue
            if not isinstance(value, Ball):
                return value
            error = UPWARD.multiply(value.error, TWO)  # the sum and the difference are rounded as well
            lower, upper = (rounded(max(x, ZERO), single) for x in (value.value - error, value.value + error))
        if lower == upper:
            return lower
    if math.isnan(lower):
        raise ArithmeticError(
            f"{DIGITS[-1]} digits do not tell which float is nearest; change a parameter by a rounding"
        )
    # As far as 1600 digits can tell, the true value lies in the middle between two floats.
    return rounded((Fraction(lower) + Fraction(upper)) / 2, single)


def _sum(
    definition: Definition, cases: Sequence[Case], forms: tuple[int, int], components: Sequence[Component]
) -> Ball | float:
    balls: list[Ball] = []
    for N in components:
        for case in cases:
            value = of_pair(definition, case, forms, N.x, N.y) if N.copies else 0.0
            if isinstance(value, Ball):
                balls.append(value * ball(N.copies))
            elif value:
                return INFINITE
    return total(balls) if balls else 0.0
