r"""The sums over the coordinates that `nearest_low_rank.py` needs: ``X' w X`` for positive weights w, and others.

The compiled core computes them in pairs of doubles (`BaseByCore`), and whole numbers in any precision (`Base`).  For
these, numbers are cut into limbs of few bits, whose products and sums are exact in float64 in any order [Ozaki, Ogita,
Oishi, Rump 2012].  The error is a share of about 2^-bits; verification/README.md, "Low rank in whole numbers", derives
it.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from jsgmath import native
from jsgmath.rounding.nearest_full import Undecided, Whole, context_of, whole

LIMB, ROWS = 21, 2**10  # bits of a limb, and rows: a sum of so many products of two limbs has at most 52 bits
EXTRA = 64  # bits of products and logarithms
BITS_BY_CORE = 96  # the precision of sums and logarithms by the core; that of ``X' w X`` is finer


class Ratios(NamedTuple):
    """Positive numbers ``over / under * 2^exponent``, in arrays of whole numbers."""

    over: Any
    under: Any
    exponent: Any

    def times(self, other: "Ratios") -> "Ratios":
        return Ratios(self.over * other.over, self.under * other.under, self.exponent + other.exponent)

    @property
    def inverse(self) -> "Ratios":
        return Ratios(self.under, self.over, -self.exponent)

    @property
    def size(self) -> np.ndarray:
        """Exponents e of powers of two: each number is between ``2^(e-1)`` and ``2^(e+1)``."""
        return _bits(self.over) - _bits(self.under) + self.exponent

    def fixed(self, unit: Any) -> np.ndarray:
        """The numbers in units of ``2^unit``, rounded downwards."""
        shift = (self.exponent - unit).astype(object)
        return (self.over << np.maximum(shift, 0)) // (self.under << np.maximum(-shift, 0))

    def total(self, bits: int) -> Fraction:
        """The sum, too small by at most the share ``2 n 2^-bits``."""
        size = _bits(self.over) - _bits(self.under) + self.exponent
        unit = int(size.max()) - bits
        return Fraction(int(self.fixed(unit).sum())) * Fraction(2) ** unit

    def log_of_product(self, bits: int) -> Fraction:
        """The sum of the logarithms, to within ``4 n 2^-bits`` and a share of ``2^-bits``."""
        return (
            _log_of_product(self.over, bits)
            - _log_of_product(self.under, bits)
            + _log2(bits) * int(sum(self.exponent.tolist()))
        )


def _bits(numbers: np.ndarray) -> np.ndarray:
    return np.array([x.bit_length() for x in numbers.tolist()], np.int64)


@cache
def _log2(bits: int) -> Fraction:
    return Fraction(context_of(bits + EXTRA).ln(Decimal(2)))


def _log_of_product(numbers: np.ndarray, bits: int) -> Fraction:
    product, exponent = 1, 0
    for x in numbers.tolist():
        product *= x
        extra = product.bit_length() - bits - EXTRA
        if extra > 0:
            product >>= extra
            exponent += extra
    return Fraction(context_of(bits + EXTRA).ln(Decimal(product))) + _log2(bits) * exponent


def ratios(x: np.ndarray) -> Ratios:
    """Converts positive floats, exactly."""
    mantissa, exponent = np.frexp(x)
    numbers = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    return Ratios(numbers, np.ones_like(numbers), exponent.astype(np.int64) - 53)


def combination(factors: Sequence[tuple[Fraction, Ratios]]) -> Ratios:
    """A sum of floats times numbers whose denominators are powers of two."""
    terms = [(g.numerator * x.over, x.exponent - g.denominator.bit_length() + 1) for g, x in factors if g]
    low = np.min([e for _, e in terms], axis=0)
    over = sum(x << (e - low).astype(object) for x, e in terms)
    return Ratios(over, np.ones_like(over), low)


class Gram(NamedTuple):
    """``X' w X`` for positive weights; the error of entry ij is ``error`` times the root of entries ii and jj."""

    matrix: Whole
    error: Fraction

    def part(self, rows: Any, columns: Any) -> Whole:
        return Whole(self.matrix.numbers[rows][:, columns], self.matrix.exponent)

    def roots(self, rows: Any) -> Whole:
        """Upper bounds of the roots of the diagonal, as a column."""
        diagonal: list[int] = np.diagonal(self.matrix.numbers)[rows].tolist()
        odd = self.matrix.exponent % 2
        numbers = [math.isqrt(max(x, 0) << odd) + 1 if x else 0 for x in diagonal]
        return Whole(np.array(numbers, object)[:, None], (self.matrix.exponent - odd) // 2)


def gram(X: np.ndarray, weight: Ratios, limbs: int) -> Gram:
    """The sums ``X' w X``, with an error of about 2^(-LIMB limbs)."""
    n, columns = X.shape
    # A weight is 4^half times a number between 1 and 8; rows are multiplied by 2^half.
    half = (weight.size - 1) // 2
    fixed = weight.fixed(2 * half + 3 - LIMB * limbs)
    mask = (1 << LIMB) - 1
    shares = [(fixed >> LIMB * (limbs - 1 - p) & (mask if p else -1)).astype(float) for p in range(limbs)]
    size = np.frexp(X)[1] + half[:, None]
    top = np.where(X != 0, size, np.iinfo(np.int64).min).max(0)
    top = np.where((X != 0).any(0), top, 0)
    sums = np.zeros((limbs, columns, columns), object)
    for start in range(0, n, ROWS):
        cut = slice(start, start + ROWS)
        left = _limbs(np.ldexp(X[cut], half[cut, None] - top), limbs)
        right = _weighted(left, [x[cut, None] for x in shares], limbs)
        joined = np.concatenate(right, 1)
        found = np.zeros((limbs, columns, columns), np.int64)
        for q, x in enumerate(left):
            block = (x.T @ joined[:, : (limbs - q) * columns]).astype(np.int64)
            found[q:] += block.reshape(columns, limbs - q, columns).swapaxes(0, 1)
        sums += found
    numbers = sum(x << LIMB * (limbs - 1 - i) for i, x in enumerate(sums))
    low = int(top.min())
    shift = (top - low).astype(object)
    numbers = numbers << (shift[:, None] + shift)
    error = Fraction(32 * n * (2 * limbs + 6), 1 << LIMB * limbs)
    return Gram(Whole(numbers, 2 * low + 3 - LIMB * (limbs + 1)), error)


def _limbs(x: np.ndarray, limbs: int) -> list[np.ndarray]:
    """Numbers below 1, cut into whole numbers of `LIMB` bits, the largest first; zeros at the end are left out."""
    found: list[np.ndarray] = []
    while len(found) < limbs and (x.any() or not found):
        x = x * 2.0**LIMB
        found.append(np.trunc(x))
        x = x - found[-1]
    return found


def _weighted(left: list[np.ndarray], shares: list[np.ndarray], limbs: int) -> list[np.ndarray]:
    """The limbs of the products with the weights."""
    products = [
        sum((left[q] * shares[m - q] for q in range(len(left)) if 0 <= m - q < limbs), np.zeros_like(left[0]))
        for m in range(limbs)
    ]
    carry, found = np.zeros_like(left[0]), list[np.ndarray]()
    for x in products[::-1]:
        whole_part = x + carry
        carry = np.floor(whole_part * 2.0**-LIMB)
        found.append(whole_part - carry * 2.0**LIMB)
    return [carry, *found[:0:-1]]


class Base:
    """A diagonal ``B = g1 D1 + g2 D2`` and sums with it, by whole numbers."""

    def __init__(self, diagonals: Sequence[np.ndarray], shares: Sequence[Fraction], limbs: int):
        self.bits, self._limbs = LIMB * limbs, limbs
        self._diagonals = [ratios(D) for D in diagonals]
        self._base = combination(list(zip(shares, self._diagonals, strict=True)))

    def gram(self, X: np.ndarray) -> Gram:
        """``X' B^-1 X``"""
        return gram(X, self._base.inverse, self._limbs)

    def gram_with(self, other: int, X: np.ndarray) -> Gram:
        """``X' D/B^2 X``, where D is one of the diagonals."""
        inverse = self._base.inverse
        return gram(X, self._diagonals[other].times(inverse).times(inverse), self._limbs)

    def total(self, other: int) -> Fraction:
        """The sum of D/B, after `gram_with`; it errs by at most the share ``2 n 2^-bits``."""
        return self._diagonals[other].times(self._base.inverse).total(self.bits)

    def log_of_product(self) -> Fraction:
        """``log det B``, after `gram`, to within ``8 n 2^-bits`` and a share of ``2^-bits``."""
        return self._base.log_of_product(self.bits)


class BaseByCore:
    """A `Base` in pairs of doubles.

    Raises:
        Undecided: a number is beyond the limits of the core.
    """

    bits = BITS_BY_CORE

    def __init__(self, diagonals: Sequence[np.ndarray], shares: Sequence[Fraction]):
        self._diagonals = [np.ascontiguousarray(D) for D in diagonals]
        made_of = [(D, g) for D, g in zip(self._diagonals, shares, strict=True) if g]
        self._one, self._two = (made_of[0][0], made_of[1][0] if len(made_of) == 2 else None)
        pairs = [(float(g), float(g - Fraction(float(g)))) for _, g in made_of]
        self._shares = [x for pair in (*pairs, (0.0, 0.0))[:2] for x in pair]
        self._totals: dict[int, Fraction] = {}
        self._product: list[float] = []

    def gram(self, X: np.ndarray) -> Gram:
        found, self._product = self._sums(X, None)
        return found

    def gram_with(self, other: int, X: np.ndarray) -> Gram:
        found, (high, low, *_) = self._sums(X, self._diagonals[other])
        self._totals[other] = Fraction(high) + Fraction(low)
        return found

    def total(self, other: int) -> Fraction:
        return self._totals[other]

    def log_of_product(self) -> Fraction:
        _, _, high, low, exponent = self._product
        product, context = Fraction(high) + Fraction(low), context_of(self.bits + EXTRA)
        log = context.ln(context.divide(Decimal(product.numerator), Decimal(product.denominator)))
        return Fraction(log) + _log2(self.bits) * int(exponent)

    def _sums(self, X: np.ndarray, own: np.ndarray | None) -> tuple[Gram, list[float]]:
        found = native.sums(np.ascontiguousarray(X.T), self._one, self._two, self._shares, own)
        if found is None:
            raise Undecided
        n, columns = X.shape
        high, low = found[:-5].reshape(2, columns, columns)
        return Gram(whole(high).plus(whole(low)), Fraction(n + 96, 1 << 98)), found[-5:].tolist()
