"""Complex numbers in about twice the precision of float64, with the functions that `js` needs.

Errors are relative to the size of the complex number, and below 2^-90 unless a function says otherwise.
"""

from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from jsgmath.reduction.exact import of_float
from jsgmath.reduction.wide import DIGITS, Wide, constant, exp_and_expm1, fraction, where

PI = Decimal("3.1415926535897932384626433832795028841971693993751058209749445923")
TURN = 64  # entries of the table of sines


class Complex(NamedTuple):
    """Complex numbers ``re + i im``, whose parts are `Wide`."""

    re: Any
    im: Any

    def __add__(self, other: Any) -> "Complex":
        if isinstance(other, Complex):
            return Complex(self.re + other.re, self.im + other.im)
        return Complex(self.re + other, self.im)

    def __sub__(self, other: Any) -> "Complex":
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: Any) -> "Complex":
        if isinstance(other, Complex):
            return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)
        return Complex(self.re * other, self.im * other)

    def inverse(self) -> "Complex":
        return self.inverse_times(1.0)

    def inverse_times(self, x: Any) -> "Complex":
        """``x / self`` for a real number."""
        scale = x / (self.re * self.re + self.im * self.im)
        return Complex(self.re * scale, self.im * -scale)

    def root(self) -> "Complex":
        """The principal square root, by one of Newton's steps."""
        first: Any = np.sqrt(self.high)
        a, b = Wide.of(first.real), Wide.of(first.imag)
        square = Complex(a * a - b * b, a * b * 2.0)
        step = (self - square).high / (2 * first)
        return Complex(a + step.real, b + step.imag)

    def __getitem__(self, index: Any) -> "Complex":
        return Complex(self.re[index], self.im[index])

    def sum(self, axis: int) -> "Complex":
        return Complex(self.re.sum(axis), self.im.sum(axis))

    @property
    def high(self) -> np.ndarray:
        """The number in float64."""
        return self.re.high + 1j * self.im.high


@cache
def _sines() -> tuple[Wide, Wide]:
    """``cos - 1`` and ``sin`` of the multiples of ``2 pi/TURN``, by their series."""
    found: list[list[Decimal]] = [[], []]
    for i in range(TURN):
        x = DIGITS.divide(DIGITS.multiply(2 * i, PI), TURN)
        sums, term = [Decimal(0), Decimal(0)], Decimal(1)
        for k in range(1, 70):
            term = DIGITS.divide(DIGITS.multiply(term, x), k)
            sums[k % 2] = (DIGITS.add if k % 4 < 2 else DIGITS.subtract)(sums[k % 2], term)
        for to, total in zip(found, sums, strict=True):
            to.append(total)
    parts = [[constant(x) for x in column] for column in found]
    cosine, sine = (Wide(np.array([x.high for x in c]), np.array([x.low for x in c])) for c in parts)
    return cosine, sine


@cache
def _step() -> tuple[float, ...]:
    """``2 pi/TURN`` as a sum of numbers, all but the last of 24 bits."""
    rest, parts = DIGITS.divide(DIGITS.multiply(2, PI), TURN), list[float]()
    for _ in range(4):
        parts.append(float(np.float32(float(rest))))
        rest = DIGITS.subtract(rest, of_float(parts[-1]))
    return *parts, float(rest)


def cosm1_and_sin(x: Wide) -> tuple[Wide, Wide]:
    """``cos(x) - 1`` and ``sin(x)``, for ``|x|`` up to 2^24; near 0 both have a small relative error."""
    step = _step()
    n = np.rint(x.high / step[0])
    for part in step:
        x = x - n * part
    z = x * x
    tail = z.high * (1 / 362880 - z.high * (1 / 39916800 - z.high / 6227020800))
    sine = x - x * z * (fraction(1, 6) - z * (fraction(1, 120) - z * (fraction(1, 5040) - tail)))
    tail = z.high * (1 / 40320 - z.high * (1 / 3628800 - z.high / 479001600))
    cosine = z * (z * (fraction(1, 24) - z * (fraction(1, 720) - tail)) - 0.5)  # minus one, like the entry of the table
    i = n.astype(np.int64) % TURN
    table_cosine, table_sine = (t[i] for t in _sines())
    turned = table_cosine + cosine + table_cosine * cosine - table_sine * sine
    return turned, table_sine + table_sine * cosine + sine + table_cosine * sine


def exp(x: Complex) -> Complex:
    """The exponential."""
    size, _ = exp_and_expm1(x.re)
    cosine, sine = cosm1_and_sin(x.im)
    return Complex(size * (cosine + 1.0), size * sine)


def lack(x: Complex) -> Complex:
    """``1 - exp(-x)`` for x of real part >= 0."""
    size, less = exp_and_expm1(-x.re)
    cosine, sine = cosm1_and_sin(x.im)
    return Complex(-(less + size * cosine), size * sine)


def product_of(k: Complex) -> tuple[Complex, np.ndarray]:
    """The product along the last axis, by halves, and the exponent of the power of two that was divided out."""
    k = Complex(*(Wide(*(np.moveaxis(y, -1, 0) for y in (x.high, x.low))) for x in k))
    exponent = np.zeros(k.re.shape[1:], int)
    while True:
        unit = np.frexp(np.maximum(np.abs(k.re.high), np.abs(k.im.high)))[1]
        k = Complex(*(Wide(np.ldexp(x.high, -unit), np.ldexp(x.low, -unit)) for x in k))
        exponent = exponent + unit.sum(0)
        half = len(unit) // 2
        if not half:
            return k[0], exponent
        product = k[:half] * k[half : 2 * half]
        last = k[2 * half :]
        k = Complex(
            *(
                Wide(*map(np.concatenate, ((x.high, y.high), (x.low, y.low))))
                for x, y in zip(product, last, strict=True)
            )
        )


def g_near(x: Complex) -> Complex:
    """``x - log(1 + x)`` for ``|x| < 2^-8 + 2^-10``, with a relative error below 2^-67."""
    h = x.high
    tail: Any = 0 * h
    for k in range(12, 3, -1):
        tail = 1 / k - h * tail
    tail = h * tail
    rest = x * Complex(fraction(1, 3) - tail.real, Wide.of(-tail.imag))
    return x * x * Complex(0.5 - rest.re, -rest.im)


def choose(condition: np.ndarray, a: Complex, b: Complex) -> Complex:
    """Returns a where the condition is true, otherwise b."""
    return Complex(where(condition, a.re, b.re), where(condition, a.im, b.im))
