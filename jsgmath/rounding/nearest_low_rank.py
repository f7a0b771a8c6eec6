r"""The float nearest to a divergence of Gaussians with covariance ``D + W W^T``, without an n-by-n matrix.

The definitions in `nearest_full.py` need traces, determinants and squares.  With ``a = 1/D`` and ``M = I + W' a W``,

    S^-1 = a - a W M^-1 W' a,      log det S = sum log D + log det M

so that they become sums over the n coordinates and algebra with matrices of few rows.  The sums are ``X' w X``: the
columns of X are those of W and the difference of the means, and the weights w are made of D (`low_rank_sums.py`).  The
compiled core finds them at first, and whole numbers where these leave the value open.  The algebra is that of whole
numbers in `nearest_full.py`.  The rest that a rounded inverse leaves bounds its error, and the number of bits rises
until all numbers within the bound round to the same float (verification/README.md, "Low rank in whole numbers").
"""

# pyright: reportConstantRedefinition=false

import decimal
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

from jsgmath import native
from jsgmath.reduction.exact import context
from jsgmath.rounding.low_rank_sums import EXTRA, LIMB, Base, BaseByCore, Gram
from jsgmath.rounding.nearest import Divergence, rounded
from jsgmath.rounding.nearest_full import (
    Covariance,
    Undecided,
    Whole,
    context_of,
    exact_covariance,
    inverse_of,
    share_of_means,
    weights_of,
    whole,
)
from jsgmath.special import two_sum

Given = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, factor, diagonal
# Limbs; a number that is shorter by more than the last has left the range of float64.  The core has as many bits as the
# first.
BY_CORE, FIRST, FIRST_EXACT, MOST = 4, 5, 10, 43
WANTED = 75  # bits of a value that are likely to decide
CERTAIN = 128  # bits of the value; if they do not decide, it is taken to be in the middle of two floats


Bounded = tuple[Fraction, Decimal]  # a number and a bound on its error
BOUNDS = context(20)


class Problem(NamedTuple):
    """Two Gaussians: columns ``[W1, W2, d, d']``, where ``d + d'`` is the difference of the means, and both D."""

    columns: np.ndarray
    diagonals: tuple[np.ndarray, np.ndarray]
    factors: tuple[np.ndarray, np.ndarray]  # which columns they are

    def base(self, limbs: int, shares: Sequence[Fraction]) -> Base | BaseByCore:
        """A combination of the diagonals."""
        return BaseByCore(self.diagonals, shares) if limbs == BY_CORE else Base(self.diagonals, shares, limbs)


class Inverted:
    """What divergences need of the inverse of ``base + R G R'``; the columns of R are those of W1, W2 or both."""

    def __init__(self, given: Problem, base: Base | BaseByCore, shares: Sequence[tuple[int, Fraction]], alone: bool):
        """``shares`` are the factors in R, with their numbers in G; if ``alone``, only the determinant is computed."""
        self._crossed: dict[int, Gram] = {}
        self.given, self.base, self.bits = given, base, base.bits
        self.rows = np.concatenate([given.factors[i] for i, _ in shares])
        self.shares = [g for i, g in shares for _ in given.factors[i]]
        self.sums = base.gram(given.columns[:, self.rows] if alone else given.columns)
        rows = np.arange(len(self.rows)) if alone else self.rows
        unit = -self.bits - 2 - max(g.numerator.bit_length() for g in self.shares)
        inverses = [math.floor(1 / g / Fraction(2) ** unit) for g in self.shares]
        K = self.sums.part(rows, rows).plus(Whole(np.diag(np.array(inverses, object)), unit))
        self.Z = inverse_of(Covariance(K, Fraction(1, 1 << self.bits)), self.bits)
        self.spread = self._spread(self.sums.roots(rows))
        self.error = _decimal(self.Z.error) + 2 * _decimal(self.sums.error) * self.spread
        if self.error > Decimal("1e-3"):
            raise Undecided

    def _spread(self, roots: Whole) -> Decimal:
        """The weight of an error of sums with these roots, in units of K."""
        column = Whole(np.abs(self.Z.Z.numbers), self.Z.Z.exponent) @ roots
        return _decimal(column.dot(column))

    def log_det(self) -> Bounded:
        context = context_of(self.bits + EXTRA)
        factor = self.Z.root_of_determinant()
        log = -2 * Fraction(context.ln(context.divide(Decimal(factor.numerator), Decimal(factor.denominator))))
        for g, count in Counter(self.shares).items():
            if g != 1:
                log += count * Fraction(context.ln(context.divide(Decimal(g.numerator), Decimal(g.denominator))))
        logs = self.base.log_of_product()
        count = len(self.rows)
        rounding = (_decimal(abs(log) + abs(logs)) + 8 * len(self.given.columns) + count) / (1 << self.bits)
        return log + logs, 2 * count * self.error + rounding

    @cached_property
    def displaced(self) -> Whole:
        """``R' base^-1 d``"""
        return _joined(self.sums.part(self.rows, slice(-2, None)))

    @cached_property
    def size_of_d(self) -> tuple[Fraction, Decimal]:
        """``d' base^-1 d``, and an upper bound of its root."""
        part, roots = self.sums.part(slice(-2, None), slice(-2, None)), self.sums.roots(slice(-2, None))
        return _sum(part), _decimal(_sum(roots))

    def square(self) -> Bounded:
        """``d' (base + R G R')^-1 d``"""
        size, root_of_size = self.size_of_d
        root = self.Z.Z @ self.displaced
        error = self.error + 5 * _decimal(self.sums.error) * (1 + self.spread)
        return size - root.dot(root), error * root_of_size * root_of_size

    def trace(self, other: int) -> Bounded:
        """``tr (base + R G R')^-1 S``, where S is a covariance of the two."""
        columns, crossed = self.given.factors[other], self.crossed(other)
        trace, total = _sum(_diagonal_of(self.sums.part(columns, columns))), self.base.total(other)
        half = self.Z.Z @ self.sums.part(self.rows, columns)
        taken = self.Z.of(Covariance(crossed.part(*self.own), Fraction(0))) + half.dot(half)
        size = _decimal(total + trace)
        error = size * (2 * self.error + _decimal(self.sums.error) * (1 + 3 * self.spread))
        error += 2 * _decimal(crossed.error) * self._spread(crossed.roots(self.own[0]))
        return total + trace - taken, error + size * 4 * len(self.given.columns) / (1 << self.bits)

    @property
    def own(self) -> tuple[slice, slice]:
        rows = slice(0, len(self.rows))
        return rows, rows

    def crossed(self, other: int) -> Gram:
        """The sums of R and d with weights ``D/base^2``."""
        if other not in self._crossed:
            columns = np.hstack([self.given.columns[:, self.rows], self.given.columns[:, -2:]])
            self._crossed[other] = self.base.gram_with(other, columns)
        return self._crossed[other]

    def quadratic_form(self, other: int) -> Bounded:
        """``y' S y`` for ``y = (base + R G R')^-1 d``, where S is a covariance of the two."""
        columns, crossed = self.given.factors[other], self.crossed(other)
        solution = self.Z.Z.T @ (self.Z.Z @ self.displaced)
        # This bounds the error of the solution in the norm of K.
        root_of_size, sums_error = self.size_of_d[1], _decimal(self.sums.error)
        wrong = 2 * root_of_size * (self.error + 2 * sums_error * self.spread.sqrt(BOUNDS))
        sizes = Whole(np.abs(solution.numbers), solution.exponent)

        Q, d = crossed.part(*self.own), slice(-2, None)
        of_d = _sum(crossed.part(d, d)) - 2 * _joined(crossed.part(self.own[0], d)).dot(solution)
        value = of_d + (Q @ solution).dot(solution)
        share = 2 * self._trace_of(Q)
        magnitude = _decimal(_sum(crossed.roots(d)) + crossed.roots(self.own[0]).dot(sizes))
        error = _decimal(crossed.error) * magnitude * magnitude
        error += 2 * magnitude * share.sqrt(BOUNDS) * wrong + share * wrong * wrong

        C = self.sums.part(columns, self.rows)
        projected = _joined(self.sums.part(columns, d)).plus((C @ solution).times(Fraction(-1)))
        reach = root_of_size + _decimal(self.sums.roots(self.rows).dot(sizes))
        roots = self.sums.roots(columns)
        off = sums_error * reach + wrong
        error += 2 * off * _decimal(Whole(np.abs(projected.numbers), projected.exponent).dot(roots))
        error += off * off * _decimal(roots.dot(roots))
        return value + projected.dot(projected), error

    def _trace_of(self, Q: Whole) -> Decimal:
        return _decimal(self.Z.of(Covariance(Q, Fraction(0))))


def _joined(columns: Whole) -> Whole:
    """The sum of the columns, as a column."""
    return Whole(columns.numbers.sum(1)[:, None], columns.exponent)


def _diagonal_of(matrix: Whole) -> Whole:
    return Whole(np.diagonal(matrix.numbers), matrix.exponent)


def _sum(array: Whole) -> Fraction:
    return Fraction(int(array.numbers.sum())) * Fraction(2) ** array.exponent


def _decimal(x: Fraction) -> Decimal:
    """Converts a number to a Decimal, for bounds, which allow for rounding."""
    return BOUNDS.divide(Decimal(x.numerator), Decimal(x.denominator))


def nearest_low_rank(
    divergence: Divergence, reverse: bool, first: Given, second: Given, alpha: float, single: bool
) -> float:
    """The float64, or the float32 if ``single``, nearest to JSG or its dual; ``reverse`` as in `mean_weights`.

    Raises:
        ValueError: a number is not finite, or a diagonal not positive.
        ArithmeticError: 900 bits do not suffice.
    """
    weights = weights_of(reverse, alpha)
    same_means = np.array_equal(first[0], second[0])
    same = all(np.array_equal(x, y) for x, y in zip(first[1:], second[1:], strict=True))
    if (not reverse and weights[2] * weights[3] == 0) or (same and same_means):
        return 0.0
    given, limbs = _problem(first, second), FIRST if native.CORE is None else BY_CORE
    while True:
        more = limbs if limbs > BY_CORE else 1
        try:
            with decimal.localcontext(BOUNDS):
                value, error = _bounded(divergence, weights, given, same, limbs)
                share = 2 * error / _decimal(value) if value > 0 else Decimal(1)
            lower, upper = (rounded(max(value + s * Fraction(error), Fraction(0)), single) for s in (-2, 2))
            if lower == upper:
                return lower
            if share < Decimal(2) ** -CERTAIN:
                return rounded(_shortened(value), single)
            if share < 1:
                more = max(1, math.ceil((WANTED + math.log2(share)) / LIMB))
            elif limbs >= FIRST_EXACT and same_means and _equal(first, second):
                return 0.0
        except Undecided:
            pass
        if limbs == MOST:
            break
        limbs = min(MOST, limbs + more)
    raise ArithmeticError(
        f"{LIMB * MOST} bits do not tell which float is nearest to the divergence; change an input by a rounding"
    )


def _shortened(x: Fraction) -> Fraction:
    """The nearest number of `CERTAIN` bits."""
    unit = Fraction(2) ** (x.numerator.bit_length() - x.denominator.bit_length() - CERTAIN)
    return round(x / unit) * unit


@np.errstate(all="ignore")
def _problem(first: Given, second: Given) -> Problem:
    (m1, W1, D1), (m2, W2, D2) = ([np.asarray(x, float) for x in side] for side in (first, second))
    W1, W2 = (W if W.shape[1] else np.zeros((len(W), 1)) for W in (W1, W2))
    d = two_sum(m1, -m2)
    d = d if np.isfinite(d).all() else (m1, -m2)
    columns = np.hstack([W1, W2, np.stack(d, 1)])
    if not (np.isfinite(columns).all() and min(D1.min(), D2.min()) > 0 and max(D1.max(), D2.max()) < np.inf):
        raise ValueError("a low-rank Gaussian needs finite numbers and a positive diagonal; check N1 and N2")
    places = np.arange(W1.shape[1] + W2.shape[1])
    return Problem(columns, (D1, D2), (places[: W1.shape[1]], places[W1.shape[1] :]))


def _bounded(
    divergence: Divergence, weights: tuple[Fraction, ...], given: Problem, same: bool, limbs: int
) -> tuple[Fraction, Decimal]:
    """The divergence and a bound on its error."""
    w1, w2, g1, g2 = weights
    zero, one, dual = Fraction(0), Fraction(1), divergence is Divergence.JSG_DUAL
    D1, D2 = (given.base(limbs, x) for x in ((one, zero), (zero, one)))
    if same:
        share = share_of_means(divergence, (w1, w2, g1, g2))
        value, error = Inverted(given, D1, [(0, one)], alone=False).square()
        return share * value, _decimal(share) * error
    n = len(given.columns)
    terms: list[tuple[Fraction, Bounded]] = []  # each a factor, and a number with its error
    bases = [given.base(limbs, (g2, g1)), D1, D2]
    factors = [[(i, g) for i, g in ((0, g2), (1, g1)) if g], [(0, one)], [(1, one)]]
    shares = one, -w2, -w1

    if not dual:
        known: dict[int, Inverted] = {}
        for weight, own, other in ((w1 * g2, 2, 0), (w2 * g1, 1, 1)):
            if weight:
                known[own] = S = Inverted(given, bases[own], factors[own], alone=False)
                terms += [(weight, S.trace(other)), (weight, S.square()), (-weight * n, (one, Decimal(0)))]
        if g1 * g2:
            known[0] = H = Inverted(given, bases[0], factors[0], alone=False)
            terms.append((-g1 * g2, H.square()))
    else:
        known = {0: Inverted(given, bases[0], factors[0], alone=False)}
        H = known[0]
        for weight, g, other, trace_of in ((w1, g2, 0, 1), (w2, g1, 1, 0)):
            if weight:
                terms += [(weight, H.trace(trace_of)), (-weight * n, (one, Decimal(0)))]
                if g:
                    terms.append((weight * g * g, H.quadratic_form(other)))
    for i, share in enumerate(shares):
        if share:
            S = known.get(i) or Inverted(given, bases[i], factors[i], alone=True)
            terms.append((share if dual else -share, S.log_det()))
    value = sum((factor * x for factor, (x, _) in terms), Fraction(0))
    error = sum((_decimal(abs(factor)) * e for factor, (_, e) in terms), Decimal(0))
    return value / 2, error / 2


def _equal(first: Given, second: Given) -> bool:
    """Whether two covariances are equal; some rows are compared before all the others."""
    (_, W1, D1), (_, W2, D2) = first, second
    some = np.linspace(0, len(D1) - 1, min(len(D1), 40)).astype(int)
    dense = [_dense(W[some], D[some]) for W, D in ((W1, D1), (W2, D2))]
    if dense[0].plus(dense[1].times(Fraction(-1))).numbers.any():
        return False
    # The squared size of W1 W1' - W2 W2' + D1 - D2.
    W = [whole(x) if x.shape[1] else Whole(np.zeros((len(x), 1), object), 0) for x in (W1, W2)]
    delta = whole(D1).plus(whole(-D2))
    size = delta.dot(delta)
    for i, j, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -2)):
        product = W[i].T @ W[j]
        size += sign * product.dot(product)
    for sign, x in ((2, W[0]), (-2, W[1])):
        lengths = Whole((x.numbers * x.numbers).sum(1)[:, None], 2 * x.exponent)
        size += sign * lengths.dot(delta)
    return size == 0


def _dense(W: np.ndarray, D: np.ndarray) -> Whole:
    dense = exact_covariance("low_rank", np.column_stack([W, D]))
    assert dense is not None
    return dense
