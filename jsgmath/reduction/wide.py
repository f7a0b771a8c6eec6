"""Numbers in about twice the precision of float64, as pairs of arrays, with the logarithm and the exponential.

A `Wide` is an unevaluated sum ``high + low``.  It has the operations that `formula.py` uses, so the same text runs on
it as on float64.  Only `+ - * /` of float64 are used, so the bits are the same on every machine.

Within the range of `SAFE` the relative error of every operation is below ``ROUNDING``, that of `growth` and `log` below
``ELEMENTARY`` (near 1 it is the absolute error of `log`), and that of g and gs below ``KERNELS``.
"""

import math
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from jsgmath.reduction.exact import context, of_float
from jsgmath.special import two_sum

ROUNDING, ELEMENTARY, KERNELS = 2.0**-100, 2.0**-88, 2.0**-88
DIGITS = context(60, largest=999_999)
STEPS = 64  # of the table of powers of two
LN2 = DIGITS.ln(Decimal(2))


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``a * b`` rounded, and its rounding error [Dekker], for numbers up to about 1e300."""
    high = a * b
    (a1, a2), (b1, b2) = _halved(a), _halved(b)
    return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2


def _halved(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers with half as many bits whose sum is ``x`` [Veltkamp]."""
    scaled = x * (2.0**27 + 1)
    high = scaled - (scaled - x)
    return high, x - high


class Wide:
    """Arrays ``high + low`` of one shape, where ``|low|`` is at most half a unit of the last place of ``high``."""

    __slots__ = ("high", "low")
    __array_ufunc__ = None  # so that an array times a `Wide` is a `Wide`

    def __init__(self, high: Any, low: Any):
        self.high, self.low = high, low

    @classmethod
    def of(cls, x: Any) -> "Wide":
        """Returns a `Wide`, or converts a float64 number or array to one."""
        if isinstance(x, Wide):
            return x
        return cls(x, np.zeros_like(x))

    def __add__(self, other: Any) -> "Wide":
        if not isinstance(other, Wide):
            high, lost = two_sum(self.high, other)
            return Wide(*_quick_sum(high, lost + self.low))
        high, lost = two_sum(self.high, other.high)
        low, rest = two_sum(self.low, other.low)
        high, lost = _quick_sum(high, lost + low)
        return Wide(*_quick_sum(high, lost + rest))

    def __neg__(self) -> "Wide":
        return Wide(-self.high, -self.low)

    def __sub__(self, other: Any) -> "Wide":
        return self + -other

    def __rsub__(self, other: Any) -> "Wide":
        return -self + other

    def __mul__(self, other: Any) -> "Wide":
        if not isinstance(other, Wide):
            high, low = two_product(self.high, other)
            return Wide(*_quick_sum(high, low + self.low * other))
        high, low = two_product(self.high, other.high)
        return Wide(*_quick_sum(high, low + (self.high * other.low + self.low * other.high)))

    def __truediv__(self, other: Any) -> "Wide":
        other = Wide.of(other)
        first = self.high / other.high
        high, low = two_product(first, other.high)
        rest = ((self.high - high) - low) + (self.low - first * other.low)
        return Wide(*_quick_sum(first, rest / other.high))

    def __rtruediv__(self, other: Any) -> "Wide":
        return Wide.of(other) / self

    def __gt__(self, other: Any) -> np.ndarray:
        return self.high > (other.high if isinstance(other, Wide) else other)

    def root(self) -> "Wide":
        """The square root of positive numbers, by one of Newton's steps."""
        root = np.sqrt(self.high)
        return (self - Wide(*two_product(root, root))) / (2 * root) + root

    __radd__, __rmul__ = __add__, __mul__

    def __getitem__(self, index: Any) -> "Wide":
        return Wide(self.high[index], self.low[index])

    def broadcast_to(self, shape: tuple[int, ...]) -> "Wide":
        return Wide(np.broadcast_to(self.high, shape), np.broadcast_to(self.low, shape))

    def reshaped(self, shape: tuple[int, ...]) -> "Wide":
        return Wide(self.high.reshape(shape), self.low.reshape(shape))

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.high)

    def sum(self, axis: int) -> "Wide":
        """The sum along an axis, by halves."""
        parts = Wide(np.moveaxis(self.high, axis, 0), np.moveaxis(self.low, axis, 0))
        while (count := len(parts.high)) > 1:
            half = count // 2
            summed = parts[:half] + parts[half : 2 * half]
            if count % 2:
                summed = Wide(*map(np.concatenate, ((summed.high, parts.high[-1:]), (summed.low, parts.low[-1:]))))
            parts = summed
        return parts[0] if count else Wide(np.zeros(parts.shape[1:]), np.zeros(parts.shape[1:]))


def _quick_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """`two_sum` for ``|a| >= |b|``."""
    high = a + b
    return high, b - (high - a)


def where(condition: Any, a: Any, b: Any) -> Wide:
    """Returns a where the condition is true, otherwise b."""
    a, b = Wide.of(a), Wide.of(b)
    return Wide(np.where(condition, a.high, b.high), np.where(condition, a.low, b.low))


def _parts(x: Decimal, count: int = 2) -> list[float]:
    """Floats whose sum is nearly x; each is the float nearest to x minus the floats before it."""
    found: list[float] = []
    for _ in range(count):
        found.append(float(x))
        x = DIGITS.subtract(x, of_float(found[-1]))
    return found


def constant(x: Decimal) -> Wide:
    return Wide(*_parts(x))


@cache
def fraction(n: int, k: int) -> Wide:
    return constant(DIGITS.divide(Decimal(n), Decimal(k)))


@cache
def _table(kind: str) -> Wide:
    """The powers ``2^(i/STEPS)``, or the logarithms of ``128/(128 + i)`` for i from -48 to 64."""
    if kind == "exp":
        exact = [DIGITS.exp(DIGITS.multiply(LN2, DIGITS.divide(Decimal(i), Decimal(STEPS)))) for i in range(STEPS)]
    else:
        exact = [DIGITS.minus(DIGITS.ln(DIGITS.divide(Decimal(128 + i), Decimal(128)))) for i in range(-48, 65)]
    return Wide(*np.array([_parts(x) for x in exact]).T)


@cache
def _step() -> tuple[float, float, float]:
    """``log(2)/STEPS`` as three numbers: products of the first two with whole numbers up to 2^17 are exact."""
    rest = DIGITS.divide(LN2, Decimal(STEPS))
    parts: list[float] = []
    for _ in range(2):
        mantissa, exponent = math.frexp(float(rest))
        parts.append(math.ldexp(round(math.ldexp(mantissa, 35)), exponent - 35))
        rest = DIGITS.subtract(rest, of_float(parts[-1]))
    return parts[0], parts[1], float(rest)


def growth(x: Any) -> tuple[Wide, Wide, Wide]:
    """``exp(x), exp(x) - 1, exp(x) - 1 - x``, for ``|x|`` up to 700.

    ``exp(x) = 2^(n/STEPS) (1 + s + bend)``, where ``s + bend`` is a Taylor series at most half a step from 0.
    """
    x = Wide.of(x)
    one, two, three = _step()
    n = np.rint(np.clip(x.high, -700.0, 700.0) / one)
    s = ((x - n * one) - n * two) - n * three
    tail = 1 / 5040 + s.high * (1 / 40320 + s.high * (1 / 362880 + s.high / 3628800))
    bend = fraction(1, 120) + s.high * (1 / 720 + s.high * tail)
    for k in (24, 6, 2):
        bend = bend * s + fraction(1, k)
    bend = bend * s * s
    whole = n.astype(np.int32)
    i = whole % STEPS
    power, scale = _table("exp")[i], (whole - i) // STEPS
    factor = Wide(np.ldexp(power.high, scale), np.ldexp(power.low, scale))
    rest = factor * (s + bend)
    minus_one = rest + (factor - 1.0)
    return factor + rest, minus_one, where(n == 0, bend, minus_one - x)


def exp_and_expm1(x: Any) -> tuple[Wide, Wide]:
    """The first two of `growth`."""
    return growth(x)[:2]


@cache
def _log2() -> Wide:
    return constant(LN2)


def _log1p(x: Wide) -> tuple[Wide, Wide, Wide]:
    """``log(1 + x)``, ``q = x/(2+x)`` and ``2 w P(w)`` of `special.py`, with ``w = q^2``, for ``|x|`` up to 2^-7."""
    q = x / (x + 2.0)
    w = q * q
    tail = w.high * (2 / 7 + w.high * (2 / 9 + w.high * (2 / 11 + w.high * (2 / 13))))
    part = w * (fraction(2, 3) + w * (fraction(2, 5) + tail))
    return q * (part + 2.0), q, part


def log(k: Any) -> Wide:
    """The logarithm of a positive number."""
    k = Wide.of(k)
    return kernels(k - 1.0, k, None)


def kernels(x: Wide, k: Wide, dual: bool | None) -> Wide:
    """`special.g`, or `special.gs` if dual: ``x - log(k)``, or ``log(k) - x/k``, for ``k = 1 + x > 0``; or ``log(k)``.

    The logarithm is the sum of three: of a power of two, of ``128/(128 + i)`` from a table, and of the last factor.
    """
    k = where(x.high > -0.5, x + 1.0, k)
    near = np.abs(x.high) < 2.0**-7
    split: tuple[np.ndarray, np.ndarray] = np.frexp(k.high)
    mantissa, exponent = split
    low = mantissa < 0.7
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), exponent - low
    i = np.clip(np.rint(128 / np.where(mantissa > 0, mantissa, 1.0) - 128), -48, 64).astype(np.int32)
    rest = Wide(mantissa, np.ldexp(k.low, -exponent)) * ((128 + i) / 128) - 1.0
    logs, q, part = _log1p(where(near, x, rest))
    logs = where(near, logs, _log2() * exponent.astype(float) + (_table("log")[i + 48] + logs))
    if dual is None:
        return logs
    share = x / k if dual else x
    return where(near, q * (share + part), logs - share) if dual else where(near, q * (share - part), share - logs)
