"""Matrices in about twice the precision of float64, with a bound on their error.

A `Twofold` is an unevaluated sum ``high + low`` of two float64 arrays.  To multiply two matrices, each is cut into
pieces with so few bits that their float64 products and sums are exact, in any order in which the BLAS adds [Ozaki,
Ogita, Oishi, Rump 2012].
"""

# pyright: reportConstantRedefinition=false

import math
from functools import cached_property
from typing import Any

import numpy as np

from jsgmath.reduction.wide import two_product
from jsgmath.special import two_sum

PIECES = 5
EPS = 2.0**-52


class Twofold:
    """Matrices ``high + low``, shape ``(..., n, m)``; each entry is within ``error`` of the exact one."""

    high: np.ndarray
    low: np.ndarray
    error: np.ndarray

    def __init__(self, high: np.ndarray, low: np.ndarray | float = 0.0, error: np.ndarray | float = 0.0):
        self.high, self.low, self.error = high, *(np.broadcast_to(x, high.shape) for x in (low, error))

    @cached_property
    def T(self) -> "Twofold":
        transpose = Twofold(*(x.swapaxes(-1, -2) for x in (self.high, self.low, self.error)))
        transpose.T = self
        return transpose

    @property
    def bits(self) -> int:
        """The number of bits of a piece; with it a sum of ``PIECES * m`` products fits into 53 bits."""
        return (55 - math.ceil(math.log2(PIECES * self.high.shape[-1]))) // 2

    @cached_property
    def pieces(self) -> list[np.ndarray]:
        """Summands, the largest first; each has the next `bits` bits of a row, counted from its largest entry."""
        high, low = self.high, self.low
        exponent = np.frexp(np.abs(high).max(-1, keepdims=True))[1]
        pieces: list[np.ndarray] = []
        for count in range(1, PIECES + 1):
            shift = np.ldexp(1.5, exponent + 53 - self.bits * count)
            pieces.append((high + shift) - shift)
            high, low = two_sum(high - pieces[-1], low)
        return pieces

    def __matmul__(self, other: "Twofold") -> "Twofold":
        m = self.high.shape[-1]
        left = np.concatenate(self.pieces, -1)
        right = np.concatenate(other.T.pieces[::-1], -1).swapaxes(-1, -2)
        high = low = np.zeros(1)
        for count in range(PIECES, 0, -1):  # all products of pieces i and j with i + j = count + 1, as one product
            high, lost = two_sum(left[..., : m * count] @ right[..., -m * count :, :], high)
            low = low + lost
        # Six products of order 2^(-bits * PIECES), relative to the largest entries of row and column, are left out.
        # In the bound, 4 comes from the powers of two in place of these entries, and 2 from the earlier sums.
        rows, columns = np.abs(self.high), np.abs(other.high)
        error = m * 2.0 ** (6 - PIECES * self.bits) * rows.max(-1, keepdims=True) * columns.max(-2, keepdims=True)
        error = error + EPS**2 * np.abs(high) + rows @ other.error + self.error @ (columns + other.error)
        return Twofold(*two_sum(high, low), error)

    def __add__(self, other: "Twofold") -> "Twofold":
        high, lost = two_sum(self.high, other.high)
        low = self.low + other.low
        rounding = np.where(low == 0, 0, EPS * (np.abs(low) + np.abs(lost)))
        rounding = rounding + EPS * (np.abs(self.low) + np.abs(other.low))
        return Twofold(*two_sum(high, lost + low), rounding + self.error + other.error)

    def times(self, other: "Twofold") -> "Twofold":
        """The product of the entries, which broadcast; ``other`` is exact."""
        high, lost = two_product(self.high, other.high)
        low = lost + (self.high * other.low + self.low * other.high)
        error = self.error * np.abs(other.high + other.low) + 4 * EPS**2 * np.abs(high)
        return Twofold(*two_sum(high, low), error)

    def __neg__(self) -> "Twofold":
        return Twofold(-self.high, -self.low, self.error)

    def scaled(self, exponents: np.ndarray) -> "Twofold":
        """Each entry times a power of two."""
        return Twofold(*(np.ldexp(x, exponents) for x in (self.high, self.low, self.error)))

    def inverse(self) -> "Twofold":
        """The inverse, by Newton's iteration ``X + X (I - A X)``, which doubles the right digits in each step."""
        rows = -np.frexp(np.abs(self.high).max(-1, keepdims=True))[1]
        columns = -np.frexp(np.abs(np.ldexp(self.high, rows)).max(-2, keepdims=True))[1]
        A = self.scaled(rows + columns)
        X, one = Twofold(np.linalg.inv(A.high)), Twofold(np.broadcast_to(np.eye(A.high.shape[-1]), A.high.shape))
        for _ in range(4):
            moved = X + X @ (one + -(A @ X))
            X = Twofold(moved.high, moved.low)
        residual = one + -(A @ X)
        error = 2 * np.abs(X.high) @ (np.abs(residual.high) + residual.error)  # A^-1 = X (I - residual)^-1
        return Twofold(X.high, X.low, error).scaled((rows + columns).swapaxes(-1, -2))

    def diagonal(self, dtype: type[np.floating[Any]]) -> tuple[np.ndarray, np.ndarray]:
        """The diagonal, rounded once to ``dtype``, and its error."""
        high, low, error = (np.diagonal(x, axis1=-2, axis2=-1) for x in (self.high, self.low, self.error))
        return high.astype(dtype) + low, error
