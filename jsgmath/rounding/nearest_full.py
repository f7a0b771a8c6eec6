r"""The float nearest to a divergence of Gaussians of full covariance, by integer arithmetic with rising precision.

This is the last and slowest path, as `nearest.py` is for diagonal Gaussians.  With ``H = g1 S2 + g2 S1`` and
``d = m1 - m2`` the definitions [1, eqs. 8, 10] are

    2 JSG  = w1 g2 (tr S2^-1 S1 - n + d' S2^-1 d) + w2 g1 (tr S1^-1 S2 - n + d' S1^-1 d) - g1 g2 d' H^-1 d - log D
    2 JSG* = w1 (tr H^-1 S2 - n) + w2 (tr H^-1 S1 - n) + w1 |g2 S1^1/2 H^-1 d|^2 + w2 |g1 S2^1/2 H^-1 d|^2 + log D
    log D  = log det H - w2 log det S1 - w1 log det S2

An inverse S^-1 is replaced by Z'Z, where Z is a rounded inverse of a Cholesky factor.  Z S Z' is computed without a
rounding error, and its distance from I bounds all other errors (verification/README.md, "Full covariances in whole
numbers").  The number of bits rises until all numbers within the bound round to the same float.

A true value in the middle between two floats is rational; it is recognised in rational arithmetic.

[1] Deasy, Simidjievski, Lio 2020, https://arxiv.org/abs/2006.10599
"""

# pyright: reportConstantRedefinition=false

import decimal
import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, reduce
from operator import mul
from typing import NamedTuple

import numpy as np

from jsgmath import formula
from jsgmath.reduction.exact import context
from jsgmath.rounding.nearest import Divergence, is_power, rounded

BITS = (256, 512, 1280, 5120)
EXACT_FROM = 512  # bits; if fewer do not decide, the true value may lie in the middle between two floats
LARGEST_LOGVAR = 10_000  # the exponential of a larger one has too many digits

Given = tuple[np.ndarray, str, np.ndarray]  # a Gaussian: mean, form and scale


class Undecided(ArithmeticError):
    """More bits are needed."""


class Whole(NamedTuple):
    """Matrices of whole numbers (dtype object), times a power of two; sums and products are exact."""

    numbers: np.ndarray
    exponent: int

    @property
    def T(self) -> "Whole":
        return Whole(self.numbers.T, self.exponent)

    def __matmul__(self, other: "Whole") -> "Whole":
        return Whole(self.numbers @ other.numbers, self.exponent + other.exponent)

    def plus(self, other: "Whole") -> "Whole":
        low = min(self.exponent, other.exponent)
        one, two = (x.numbers << (x.exponent - low) for x in (self, other))
        return Whole(one + two, low)

    def times(self, factor: Fraction) -> "Whole":
        """The product with a number whose denominator is a power of two."""
        return Whole(self.numbers * factor.numerator, self.exponent + 1 - factor.denominator.bit_length())

    def dot(self, other: "Whole") -> Fraction:
        """The sum of the products of their entries."""
        return _scaled(int((self.numbers * other.numbers).sum()), self.exponent + other.exponent)


class Covariance(NamedTuple):
    """A covariance, with an error between ``-error`` and ``error`` times itself (as quadratic forms)."""

    matrix: Whole
    error: Fraction


class Inverse(NamedTuple):
    """Z with ``S^-1 = Z'Z``, with an error between ``-error`` and ``error`` times itself."""

    Z: Whole
    error: Fraction

    def of(self, covariance: Covariance) -> Fraction:
        """The trace of ``S^-1 C``."""
        return (self.Z @ covariance.matrix).dot(self.Z)

    def of_square(self, d: Whole) -> Fraction:
        """``d' S^-1 d``."""
        root = self.Z @ d
        return root.dot(root)

    def root_of_determinant(self) -> Fraction:
        """The root of the determinant of the inverse."""
        diagonal: list[int] = np.diagonal(self.Z.numbers).tolist()
        return _scaled(reduce(mul, diagonal), len(diagonal) * self.Z.exponent)


def nearest_full(
    divergence: Divergence, reverse: bool, first: Given, second: Given, alpha: float, single: bool
) -> float:
    """The float64, or the float32 if ``single``, nearest to one divergence; ``reverse`` as in `mean_weights`.

    Raises:
        ValueError: a covariance is not positive definite in exact arithmetic, or a log-variance is beyond 10,000.
        ArithmeticError: 5120 bits do not suffice.
    """
    weights = weights_of(reverse, alpha)
    _, _, g1, g2 = weights
    if divergence is not Divergence.JEFFREYS and not reverse and g1 * g2 == 0:
        return 0.0  # [1, eqs. 14, 15]
    same = same_covariances(first, second)
    d = whole(first[0]).plus(whole(-second[0]))
    if same and not d.numbers.any():
        return 0.0
    arguments = divergence, weights, (first, second), d, same
    return decided(lambda bits: _bounded(*arguments, bits), lambda: _exact(*arguments), single, "N1 or N2")


def decided(
    bounded: Callable[[int], tuple[Fraction, Fraction]],
    exact: Callable[[], Fraction | None],
    single: bool,
    gaussians: str,
) -> float:
    """The nearest float, computed with a precision that rises until the float is certain.

    Args:
        bounded: a function of the number of bits; returns the value and a bound on its error.
        exact: a function that returns the value if it is surely rational, else None.
        gaussians: the name of the Gaussians in an error message.
    """
    definite = True
    for bits in BITS:
        try:
            value, error = bounded(bits)
            definite = True
        except Undecided:
            definite = False
            continue
        lower, upper = (rounded(max(x, Fraction(0)), single) for x in (value - error, value + error))
        if lower == upper:
            return lower
        if bits == EXACT_FROM:
            truth = exact()
            if truth is not None:
                return rounded(truth, single)
    if not definite:
        raise ValueError(
            f"{gaussians} is not positive definite in exact arithmetic; pass its cov or precision + jitter * I"
        )
    raise ArithmeticError(
        f"{BITS[-1]} bits do not tell which float is nearest to the divergence; change an input by a rounding"
    )


def weights_of(reverse: bool, alpha: float) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """``w1, w2, g1, g2``, exactly."""
    w1, w2 = 1 - Fraction(alpha), Fraction(alpha)
    g1, g2, _ = formula.mean_weights(w1, w2, reverse)
    return w1, w2, g1, g2


def _scaled(x: int, exponent: int) -> Fraction:
    return Fraction(x << exponent) if exponent >= 0 else Fraction(x, 1 << -exponent)


def whole(array: np.ndarray) -> Whole:
    """Floats, exactly; a vector becomes a column."""
    ratios = [x.as_integer_ratio() for x in array.astype(float).ravel().tolist()]
    shift = max(q.bit_length() for _, q in ratios)
    numbers = np.array([p << (shift - q.bit_length()) for p, q in ratios], object)
    return Whole(numbers.reshape((-1, 1) if array.ndim == 1 else array.shape), 1 - shift)


def _diagonal(column: Whole) -> Whole:
    return Whole(np.diag(column.numbers[:, 0]), column.exponent)


def exact_covariance(form: str, scale: np.ndarray) -> Whole | None:
    """The exact covariance, for the forms that need neither an inverse nor an exponential; otherwise None."""
    if form == "logvar":
        return None if scale.any() else _diagonal(whole(scale + 1))
    if form == "precision":
        return None
    if form == "low_rank":
        W = whole(scale[:, :-1]) if scale.shape[1] > 1 else Whole(np.zeros((len(scale), 1), object), 0)
        return (W @ W.T).plus(_diagonal(whole(scale[:, -1])))
    given = whole(scale)
    if scale.ndim == 1:
        given = _diagonal(given)
    return given @ given.T if form in ("scale_tril", "std") else given


def same_covariances(first: Given, second: Given) -> bool:
    """Whether the covariances are equal, if this can be seen without an inverse."""
    if first[1] == second[1]:
        return np.array_equal(first[2], second[2])
    one, other = (exact_covariance(*side[1:]) for side in (first, second))
    return one is not None and other is not None and not one.plus(other.times(Fraction(-1))).numbers.any()


def covariance_of(form: str, scale: np.ndarray, bits: int) -> Covariance:
    exact = exact_covariance(form, scale)
    if exact is not None:
        return Covariance(exact, Fraction(0))
    if form == "precision":
        inverse = inverse_of(Covariance(whole(scale), Fraction(0)), bits)
        return Covariance(inverse.Z.T @ inverse.Z, inverse.error)
    if np.abs(scale).max() > LARGEST_LOGVAR:
        raise ValueError(f"a log-variance beyond {LARGEST_LOGVAR} meets a full covariance; give both in other units")
    with decimal.localcontext(context_of(bits)):
        variances = [Decimal(x).exp() for x in scale.tolist()]
    low = min(x.adjusted() for x in variances)
    exponent = math.floor(low * math.log2(10)) - bits
    numbers = [math.floor(Fraction(x) / Fraction(2) ** exponent) for x in variances]
    column = np.array(numbers, object)[:, None]
    return Covariance(_diagonal(Whole(column, exponent)), Fraction(1, 1 << (bits - 2)))


def context_of(bits: int) -> Context:
    return context(math.ceil(bits * math.log10(2)) + 5)


def inverse_of(covariance: Covariance, bits: int) -> Inverse:
    """The inverse, from a Cholesky factor with ``bits`` bits after the point, in units with a diagonal of about one."""
    S, n = covariance.matrix, len(covariance.matrix.numbers)
    diagonal: list[int] = np.diagonal(S.numbers).tolist()
    if min(diagonal) <= 0:
        raise Undecided
    unit = np.array([(x.bit_length() + S.exponent) // 2 for x in diagonal], object)
    shift = unit[:, None] + unit - S.exponent - bits
    A = np.where(shift > 0, S.numbers >> np.maximum(shift, 0), S.numbers << np.maximum(-shift, 0))
    L = np.zeros((n, n), object)
    for j in range(n):
        column = A[j:, j] - ((L[j:, :j] @ L[j, :j]) >> bits) if j else A[:, 0]
        if column[0] <= 0:
            raise Undecided
        L[j:, j] = (column << bits) // math.isqrt(int(column[0]) << bits)
    Z = np.zeros((n, n), object)
    for i in range(n):
        Z[i, i] = (1 << 2 * bits) // L[i, i]
        if i:
            Z[i, :i] = -(L[i, :i] @ Z[:i, :i]) // L[i, i]
    top = max(unit)
    scaled = Whole(Z << (top - unit), -bits - top)
    rest = (scaled @ S @ scaled.T).plus(Whole(-np.eye(n, dtype=int).astype(object), 0))
    error = _scaled(1 << int(np.abs(rest.numbers).sum(1).max()).bit_length(), rest.exponent)
    if error > Fraction(1, 1024):
        raise Undecided
    return Inverse(scaled, 2 * (error + covariance.error))


def _bounded(
    divergence: Divergence,
    weights: tuple[Fraction, Fraction, Fraction, Fraction],
    sides: tuple[Given, Given],
    d: Whole,
    same: bool,
    bits: int,
) -> tuple[Fraction, Fraction]:
    """The divergence and a bound on its error."""
    w1, w2, g1, g2 = weights
    S1, S2 = (covariance_of(*side[1:], bits) for side in sides)
    n = len(d.numbers)
    if same:
        inverse = inverse_of(S1, bits)
        value = share_of_means(divergence, weights) * inverse.of_square(d)
        return value, 2 * inverse.error * value
    P = cache(lambda: (inverse_of(S1, bits), inverse_of(S2, bits)))
    if divergence is Divergence.JEFFREYS:
        P1, P2 = P()
        traces = P2.of(S1) + P1.of(S2) + P1.of_square(d) + P2.of_square(d)
        return traces / 2 - n, 2 * (P1.error + P2.error + S1.error + S2.error) * traces
    P1, P2 = P()
    if g1 * g2 == 0:
        PH = P1 if g1 == 0 else P2
    else:
        H = S2.matrix.times(g1).plus(S1.matrix.times(g2))
        PH = inverse_of(Covariance(H, S1.error + S2.error), bits)
    unit = 4 * (P1.error + P2.error + PH.error + S1.error + S2.error)
    if divergence is Divergence.JSG:
        one = w1 * g2 and w1 * g2 * (P2.of(S1) + P2.of_square(d))
        other = w2 * g1 and w2 * g1 * (P1.of(S2) + P1.of_square(d))
        means = g1 * g2 * PH.of_square(d)
        rational, size = one + other - means - n * (w1 * g2 + w2 * g1), one + other + means
    else:
        z = PH.Z.T @ (PH.Z @ d)
        traces = w1 * PH.of(S2) + w2 * PH.of(S1)
        rational = traces - n
        for weight, g, S in ((w1, g2, S1), (w2, g1, S2)):
            rational += weight * g * g * (S.matrix @ z).dot(z)
        size = traces + 2 * (w1 * g2 + w2 * g1) * PH.of_square(d)
    digits = context_of(bits)
    roots = [inverse.root_of_determinant() for inverse in (PH, P1, P2)]
    logs = [
        -2 * Fraction(digits.ln(digits.divide(Decimal(x.numerator), Decimal(x.denominator)))) * weight
        for x, weight in zip(roots, (Fraction(1), -w2, -w1), strict=True)
        if weight
    ]
    log_det = sum(logs, Fraction(0))
    rounding = Fraction(1 + math.ceil(sum(map(abs, logs))), 1 << bits)
    value = rational + log_det if divergence is Divergence.JSG_DUAL else rational - log_det
    return value / 2, unit * (size + 3 * n) + rounding


def share_of_means(divergence: Divergence, weights: tuple[Fraction, Fraction, Fraction, Fraction]) -> Fraction:
    """The factor of ``d' S^-1 d`` in a divergence between equal covariances."""
    w1, w2, g1, g2 = weights
    return Fraction(1) if divergence is Divergence.JEFFREYS else (w1 * g2 * g2 + w2 * g1 * g1) / 2


class Rational(NamedTuple):
    """A matrix of whole numbers times a rational number."""

    numbers: np.ndarray
    scale: Fraction

    def solve(self, other: "Rational") -> tuple[Fraction, "Rational"]:
        """The determinant of this matrix, and its inverse times another."""
        n = len(self.numbers)
        det, solution = _solved(self.numbers, other.numbers)
        return det * self.scale**n, Rational(solution, other.scale / self.scale / det)

    def plus(self, other: "Rational") -> "Rational":
        unit = Fraction(1, math.lcm(self.scale.denominator, other.scale.denominator))
        one, two = (int(x.scale / unit) * x.numbers for x in (self, other))
        return Rational(one + two, unit)

    def times(self, factor: Fraction) -> "Rational":
        return Rational(self.numbers, self.scale * factor)

    def trace(self) -> Fraction:
        return self.scale * int(np.trace(self.numbers))

    def dot(self, other: "Rational") -> Fraction:
        """The sum of the products of two columns."""
        return self.scale * other.scale * int((self.numbers * other.numbers).sum())


def rational_of(form: str, scale: np.ndarray) -> Rational | None:
    exact = exact_covariance(form, scale)
    if exact is None and form == "logvar":
        return None
    numbers, exponent = exact or whole(scale)
    matrix = Rational(numbers, Fraction(2) ** exponent)
    return matrix if exact else matrix.solve(Rational(np.eye(len(numbers), dtype=int).astype(object), Fraction(1)))[1]


def _solved(A: np.ndarray, B: np.ndarray) -> tuple[int, np.ndarray]:
    """``det A`` and ``det A`` times A^-1 B, for a positive definite A, without fractions [Bareiss]."""
    both, before = np.hstack([A, B]), 1
    for k in range(len(A)):
        pivot, row = both[k, k], both[k].copy()
        both = (pivot * both - np.outer(both[:, k], row)) // before
        both[k], before = row, pivot
    return before, both[:, len(A) :]


def _exact(
    divergence: Divergence,
    weights: tuple[Fraction, Fraction, Fraction, Fraction],
    sides: tuple[Given, Given],
    d: Whole,
    same: bool,
) -> Fraction | None:
    """The divergence if it is surely rational, because all variances are and the logarithms add up to 0; else None."""
    w1, w2, g1, g2 = weights
    S1, S2 = (rational_of(*side[1:]) for side in sides)
    if S1 is None or S2 is None:
        return None
    column, n = Rational(d.numbers, Fraction(2) ** d.exponent), len(d.numbers)

    def square(S: Rational) -> Fraction:
        return S.solve(column)[1].dot(column)

    if same:
        return share_of_means(divergence, weights) * square(S1)
    (det1, product1), (det2, product2) = S1.solve(S2), S2.solve(S1)
    if divergence is Divergence.JEFFREYS:
        return (product1.trace() + product2.trace() + square(S1) + square(S2)) / 2 - n
    H = S2.times(g1).plus(S1.times(g2))
    det, z = H.solve(column)
    if not is_power(det / det2, det1 / det2, w2):
        return None
    if divergence is Divergence.JSG:
        one, other = product2.trace() - n + square(S2), product1.trace() - n + square(S1)
        return (w1 * g2 * one + w2 * g1 * other - g1 * g2 * z.dot(column)) / 2
    traces = (H.solve(S)[1].trace() for S in (S2, S1))
    squares = (Rational(S.numbers @ z.numbers, S.scale * z.scale).dot(z) for S in (S1, S2))
    terms = (t - n + g * g * s for t, g, s in zip(traces, (g2, g1), squares, strict=True))
    return formula.skew(w1, w2, *terms) / 2
