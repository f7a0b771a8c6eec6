"""The float nearest to a divergence of diagonal Gaussians, by `formula.py` on decimal numbers of rising precision.

This is the last and slowest path. It computes the few values that faster arithmetic cannot round with certainty: the
true value is almost in the middle between two floats, or a number leaves the range of that arithmetic.

Decimal numbers have no such range, and every operation on them has a relative error of at most U = 10^(1-digits)/2,
including the logarithm and the exponential. So the bound of verification/README.md, "How much rounding can do", holds:
precision rises until all numbers within the bound round to the same float. If the true value is exactly in the middle,
no precision suffices. Such a value is rational; it is recognised in rational arithmetic and rounded to the even
neighbour. (It is proved that such a value is rational for the KL divergences, and if every log-variance is 0; see
`certified.py`.)
"""

import decimal
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jsgmath import formula, special
from jsgmath.reduction.exact import context


class Divergence(IntEnum):
    """The divergences that can be rounded; the Jeffreys divergence has no alpha."""

    JSG = 0
    JSG_DUAL = 1
    JEFFREYS = 2


DIGITS = (40, 100, 400, 1600)
# The bound in units of U. For a pair in one dimension it is 46 (verification/README.md); the rest covers the rounding
# of the bound itself. A sum of n terms adds n.
ROUNDING = 50
# Sums, differences and products of floats are exact in this one: a float has at most 767 digits, from 1e308 to 1e-1074.
EXACT = context(6000)
# The exponential of this exceeds every number that is made of a few floats: log-variances beyond it, or farther apart,
# are as good as infinite, and are brought down to it.
LARGEST_LOGVAR = Decimal(10**6)
# Beyond these a logarithm is that of the other ratio; see `special.log_k`.
FLOOR = Decimal((0, (1,), -400_000))
LOG: Any = np.frompyfunc(Decimal.ln, 1, 1)  # of a Decimal, or of an array of them

Coordinate = tuple[float, float, float, float]  # mean1, scale1, mean2, scale2
Scalars = tuple[Any, Any, Any, Any, Any, Any, Any]  # log_r1, r1, r2, e1, e2, d1, d2 of `formula.py`
Kernel = Callable[..., Any]


class Root(NamedTuple):
    """A multiple of a square root that is never taken, because the formula squares each displacement in the end."""

    square: Any
    factor: Any = 1

    def __rmul__(self, other: Any) -> "Root":
        return Root(self.square, other * self.factor)

    def __mul__(self, other: Any) -> Any:
        return self.factor * other.factor * self.square


def nearest(
    divergence: Divergence,
    reverse: bool,
    forms: tuple[str, str],
    coordinates: Sequence[Coordinate],
    alpha: float,
    single: bool,
) -> float:
    """The float64, or the float32 if ``single``, nearest to one divergence; ``reverse`` as in `mean_weights`.

    Raises:
        ArithmeticError: 1600 digits do not suffice.
    """
    same_form = forms[0] == forms[1]
    apart = [c for c in coordinates if not (same_form and c[0] == c[2] and c[1] == c[3])]  # the others add 0
    lower = upper = math.nan
    for digits in DIGITS:
        with decimal.localcontext(context(digits)):
            value = _decimal(divergence, reverse, forms, apart, Decimal(alpha))
            error = value * (ROUNDING + len(apart)) * Decimal(10) ** (1 - digits) / 2
            lower, upper = (rounded(x, single) for x in (value - error, value + error))
        if lower == upper:
            return lower
        if digits == DIGITS[0]:
            exact = _exact(divergence, reverse, forms, apart, Fraction(alpha))
            if exact is not None:
                return rounded(exact, single)
    below = _rational_below(divergence, reverse, forms, apart, alpha)
    if below is not None and 2 * below == Fraction(lower) + Fraction(upper):
        return upper
    raise ArithmeticError(
        f"{DIGITS[-1]} digits do not tell which float is nearest to the divergence; change an input by a rounding"
    )


def rounded(x: Decimal | Fraction, single: bool) -> float:
    """The float64, or the float32 if ``single``, nearest to a number that is not negative; of two, the even one."""
    try:
        near = float(x)
    except OverflowError:
        return math.inf
    if not single or math.isinf(near):
        return near
    # Round to the odd neighbour; then the second rounding can tell on which side of a middle x is.
    if type(x)(near) != x and struct.unpack("<q", struct.pack("<d", near))[0] % 2 == 0:
        near = math.nextafter(near, math.inf if type(x)(near) < x else -math.inf)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(near))


def _divergence(
    divergence: Divergence, reverse: bool, alpha: Any, scalars: Scalars, kernels: tuple[Kernel, Kernel]
) -> Any:
    """The formula on the scalars of one coordinate, for numbers of any type; ``kernels`` are g and gs."""
    g, gs = kernels
    if divergence is Divergence.JEFFREYS:
        zero = alpha - alpha
        ends = (_divergence(Divergence.JSG, True, end, scalars, kernels) for end in (zero, zero + 1))
        return sum(ends)
    w1, w2 = 1 - alpha, alpha
    g1, g2, _ = formula.mean_weights(w1, w2, reverse)
    if divergence is Divergence.JSG:
        return formula.skew(w1, w2, *formula.to_mean(g1, g2, *scalars, g))
    return formula.skew(w1, w2, *formula.from_mean(g1, g2, *scalars, gs))


def _decimal(
    divergence: Divergence, reverse: bool, forms: tuple[str, str], coordinates: Sequence[Coordinate], alpha: Decimal
) -> Decimal:
    """The divergence in the current precision."""
    kernels = decimal_kernel(False), decimal_kernel(True)
    values = (_divergence(divergence, reverse, alpha, s, kernels) for s in pair_scalars(forms, coordinates))
    return sum(values, Decimal(0))


def decimal_kernel(dual: bool) -> Kernel:
    """g, or gs if dual, in the current precision, for a Decimal or an array of them."""
    terms = special.series_terms(math.ceil(decimal.getcontext().prec * math.log2(10)))
    kernel = special.gs if dual else special.g
    return partial(kernel, log=LOG, where=_choose, one=Decimal(1), terms=terms, floor=FLOOR)


def _choose(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, bool):
        return a if condition else b
    return np.where(condition, a, b)  # pyright: ignore[reportUnknownVariableType]


def pair_scalars(forms: tuple[str, str], coordinates: Sequence[Coordinate]) -> Iterator[Scalars]:
    """The scalars of `formula.py` for each coordinate, each rounded once or twice."""
    for numbers in coordinates:
        m1, s1, m2, s2 = map(Decimal, numbers)
        delta = EXACT.subtract(m1, m2)
        square = EXACT.multiply(delta, delta)
        t1, t2 = compressed(forms, (s1, s2))
        v1, v2 = variance_of(forms[0], t1), variance_of(forms[1], t2)
        log_r1 = EXACT.subtract(s1, s2) if forms == ("logvar", "logvar") else _log_ratio(forms, s1, v1, s2, v2)
        yield log_r1, *ratios_of(forms, t1, v1, t2, v2), Root(square / v1), Root(square / v2)


def compressed(forms: Sequence[str], scales: Sequence[Decimal]) -> list[Decimal]:
    """Scales whose log-variances have been brought into range, in the same order; differences within the range stay."""
    brought = dict(zip(scales, scales, strict=True))
    for negative in (False, True):
        before = place = LARGEST_LOGVAR
        for s in sorted(brought, reverse=negative):
            if s.copy_abs() > LARGEST_LOGVAR and (s < 0) == negative:
                place = EXACT.add(place, min(EXACT.subtract(s.copy_abs(), before), LARGEST_LOGVAR))
                before, brought[s] = s.copy_abs(), place.copy_negate() if negative else place
    return [brought[s] if form == "logvar" else s for form, s in zip(forms, scales, strict=True)]


def ratios_of(
    forms: tuple[str, str], s1: Decimal, v1: Decimal, s2: Decimal, v2: Decimal
) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """``r1, r2, e1, e2`` of two scales and their variances."""
    if forms == ("logvar", "logvar"):
        u = EXACT.subtract(s1, s2)
        return u.exp(), (-u).exp(), _expm1(u), _expm1(-u)
    excess = EXACT.subtract(v1, v2) if "logvar" not in forms else _difference(forms, s1, s2)
    return v1 / v2, v2 / v1, excess / v2, -excess / v1


def variance_of(form: str, scale: Decimal) -> Decimal:
    """The variance, exact if it or a standard deviation was given; a log-variance is one of `compressed`."""
    if form == "logvar":
        return scale.exp()
    return EXACT.multiply(scale, scale) if form == "std" else scale


def _difference(forms: tuple[str, str], s1: Decimal, s2: Decimal) -> Decimal:
    """``v1 - v2`` of a log-variance and another form, with extra digits for those that cancel."""
    wanted = decimal.getcontext().prec
    digits = wanted + 10
    while True:
        with decimal.localcontext() as context:
            context.prec = digits
            v1, v2 = variance_of(forms[0], s1), variance_of(forms[1], s2)
            difference = EXACT.subtract(v1, v2)
            equal = (s1 if forms[0] == "logvar" else s2) == 0 and difference == 0
        if equal or (difference != 0 and difference.adjusted() - v2.adjusted() >= wanted + 2 - digits):
            return difference
        digits *= 2


def _log_ratio(forms: tuple[str, str], s1: Decimal, v1: Decimal, s2: Decimal, v2: Decimal) -> Decimal:
    """``log(v1/v2)``, or 0 where the formula does not use it, because the ratio is within the range."""
    if forms[0] == "logvar" and abs(s1) > 10**5:
        return s1 - v2.ln()
    if forms[1] == "logvar" and abs(s2) > 10**5:
        return v1.ln() - s2
    return Decimal(0)


def _expm1(x: Decimal) -> Decimal:
    """``exp(x) - 1``, with extra digits for those that cancel."""
    with decimal.localcontext() as context:
        context.prec += 2 + max(0, -x.adjusted())
        result = x.exp() - 1
    return +result


def _exact(
    divergence: Divergence, reverse: bool, forms: tuple[str, str], coordinates: Sequence[Coordinate], alpha: Fraction
) -> Fraction | None:
    """The divergence if it is surely rational, because all variances are and the logarithms add up to 0; else None."""
    if any(form == "logvar" and c[1 + 2 * i] != 0 for c in coordinates for i, form in enumerate(forms)):
        return None
    variance: dict[str, Callable[[float], Fraction]] = {
        "var": Fraction,
        "std": lambda s: Fraction(s) ** 2,
        "logvar": lambda s: Fraction(1),
    }
    det, ratio = Fraction(1), Fraction(1)
    # g and gs leave out the logarithms here; for all coordinates together these are the logarithm of det / ratio^alpha.
    kernels = _rational_g, _rational_gs
    total = Fraction(0)
    _, g2, _ = formula.mean_weights(1 - alpha, alpha, reverse)
    for m1, s1, m2, s2 in coordinates:
        v1, v2 = variance[forms[0]](s1), variance[forms[1]](s2)
        square = (Fraction(m1) - Fraction(m2)) ** 2
        scalars: Scalars = (
            Fraction(0),
            v1 / v2,
            v2 / v1,
            (v1 - v2) / v2,
            (v2 - v1) / v1,
            Root(square / v1),
            Root(square / v2),
        )
        total += _divergence(divergence, reverse, alpha, scalars, kernels)
        det *= 1 + g2 * scalars[3]
        ratio *= v1 / v2
    if divergence is Divergence.JEFFREYS or is_power(det, ratio, alpha):
        return total
    return None


def _rational_g(x: Any, k: Any, *_: Any) -> Any:
    return x


def _rational_gs(x: Any, k: Any, *_: Any) -> Any:
    return -x / k


def _rational_below(
    divergence: Divergence, reverse: bool, forms: tuple[str, str], coordinates: Sequence[Coordinate], alpha: float
) -> Fraction | None:
    """A rational lower bound of a KL divergence between log-variances; the difference may be a tiny exponential.

    With u = log(v1/v2), 2 KL(N1||N2) is the sum of ``-1 - u``, of ``exp(u)``, and of ``exp(-log v2) (m1 - m2)^2``.
    """
    if forms != ("logvar", "logvar") or not reverse or alpha not in (0, 1) or divergence is Divergence.JEFFREYS:
        return None
    sign = 1 if (divergence is Divergence.JSG) == (alpha == 0) else -1
    logs = [sign * (Fraction(s1) - Fraction(s2)) for _, s1, _, s2 in coordinates]
    return sum((-1 - u for u in logs if u), Fraction(0)) / 2 if any(logs) else None


def is_power(x: Fraction, base: Fraction, exponent: Fraction) -> bool:
    """Whether ``x = base^exponent``, for an exponent whose denominator is a power of 2."""
    for _ in range(exponent.denominator.bit_length() - 1):
        if base == 1:
            break
        roots = math.isqrt(base.numerator), math.isqrt(base.denominator)
        root = Fraction(*roots)
        if root * root != base:
            return False  # its square root is not rational, so base^exponent is not either
        base = root
    return x == base**exponent.numerator
