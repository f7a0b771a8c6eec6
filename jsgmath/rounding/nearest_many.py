"""The float nearest to the divergence of several diagonal Gaussians, by `several.py` on decimal numbers.

This is the last and slowest path, as `nearest.py` is for a pair.  If the decimal numbers leave the float open, the true
value may be 0 or in the middle between two floats; both are recognised in rational arithmetic.
"""

import decimal
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jsgmath.reduction.exact import context
from jsgmath.rounding.nearest import DIGITS, EXACT, LOG, compressed, decimal_kernel, ratios_of, rounded, variance_of
from jsgmath.rounding.several import Scalars, Unit, product, twice_divergences


class Member(NamedTuple):
    """One of several Gaussians, in one dimension or more, and its weights in the divergence and in the mean."""

    form: str
    means: Sequence[float]
    scales: Sequence[float]
    w: Fraction
    g: Fraction


def nearest_diagonal(members: Sequence[Member], dual: bool, single: bool) -> float:
    """The float64, or the float32 if ``single``, nearest to the divergence.

    Raises:
        ArithmeticError: 1600 digits do not suffice.
    """
    lower = upper = math.nan
    for digits in DIGITS:
        with decimal.localcontext(context(digits)):
            value, error = _bounded(members, dual)
            lower, upper = (rounded(max(x, Decimal(0)), single) for x in (value - error, value + error))
        if lower == upper:
            return lower
        if digits == DIGITS[0]:
            exact = _exact(members, dual)
            if exact is not None:
                return rounded(exact, single)
    below = _rational_below(members, dual)
    if below is not None and 2 * below == Fraction(lower) + Fraction(upper):
        return upper
    raise ArithmeticError(
        f"{DIGITS[-1]} digits do not tell which float is nearest to the divergence; change an input by a rounding"
    )


def moments(members: Sequence[Member], form: str) -> list[tuple[Decimal, Decimal]]:
    """For each coordinate the mean of the product of experts, and its variance or log-variance."""
    with decimal.localcontext(context(DIGITS[0])):
        s, places = _scalars(members)
        k, shift = product(s, _column(x.g for x in members))
        last = [(Decimal(members[j].means[i]), Decimal(members[j].scales[i])) for i, j in enumerate(places)]
        means, scales = (np.array(x, object) for x in zip(*last, strict=True))
        return list(zip(means + shift, scales - LOG(k) if form == "logvar" else s.reference_variance / k, strict=True))


def _bounded(members: Sequence[Member], dual: bool) -> tuple[Decimal, Decimal]:
    """The divergence, and a bound on its error, in the current precision."""
    s, _ = _scalars(members)
    unit = Decimal(10) ** (1 - decimal.getcontext().prec) / 2
    g, w = _column(x.g for x in members), _column(x.w for x in members)
    value, error = (w * x for x in twice_divergences(s, g, dual, decimal_kernel(dual), np.abs, Unit(unit, 50 * unit)))
    whole = value.sum()
    return whole / 2, error.sum() + (value.size + 8) * unit * whole


def _column(weights: Iterable[Fraction]) -> np.ndarray:
    return np.array([[Decimal(x.numerator) / Decimal(x.denominator)] for x in weights])


def reference(form: str, scales: Any, g: Any) -> Any:
    """The logarithm of the share of a Gaussian in the precision of the product, in float64."""
    logs = scales if form == "logvar" else np.log(scales) * (2 if form == "std" else 1)
    return np.log(g) - logs


def _scalars(members: Sequence[Member]) -> tuple[Scalars, list[int]]:
    """For arrays of shape ``(K, n)``, and the place of the reference for each coordinate."""
    with np.errstate(divide="ignore"):
        keys = [reference(x.form, np.array(x.scales), float(x.g)) for x in members]
    columns: list[Any] = []
    forms = [x.form for x in members]
    places: list[int] = np.argmax(keys, axis=0).tolist()
    for i, place in enumerate(places):
        given = [Decimal(x.scales[i]) for x in members]
        means = [Decimal(x.means[i]) for x in members]
        scales = compressed(forms, given)
        variances = [variance_of(*pair) for pair in zip(forms, scales, strict=True)]
        logs = [_log_variance(*pair) for pair in zip(forms, given, strict=True)]
        rows: list[Any] = []
        for j, form in enumerate(forms):
            pair = scales[j], variances[j], scales[place], variances[place]
            r, inverse_r, e, y = ratios_of((form, forms[place]), *pair)
            log_r = (EXACT if form == forms[place] == "logvar" else decimal.getcontext()).subtract(logs[j], logs[place])
            delta = EXACT.subtract(means[j], means[place])
            rows.append((log_r, r, inverse_r, e, y, abs(e), abs(y), delta, variances[j], variances[place]))
        columns.append(rows)
    arrays = np.array(columns, object).transpose(2, 1, 0)
    *numbers, last = arrays
    return Scalars._make([*numbers, last[0]]), places


def _log_variance(form: str, scale: Decimal) -> Decimal:
    return scale if form == "logvar" else scale.ln() * (2 if form == "std" else 1)


def _rational_below(members: Sequence[Member], dual: bool) -> Fraction | None:
    """A rational lower bound of the divergence, or None; the difference may be a tiny exponential.

    It needs that all Gaussians in G have one variance.  With u = log(v_k/v_G) the terms of the variances are then
    ``-1 - u`` and ``exp(u)``, or ``-1 + u`` and ``exp(-u)`` in the dual.
    """
    below = Fraction(0)
    for i in range(len(members[0].means)):
        if any(x.form != "logvar" for x in members) or len(own := {x.scales[i] for x in members if x.g}) > 1:
            return None
        last = Fraction(*own)
        logs = [(x.w, (1 if dual else -1) * (Fraction(x.scales[i]) - last)) for x in members]
        below += sum((w * (u - 1) for w, u in logs if u), Fraction(0))
    return below / 2


class _Precision(NamedTuple):
    """``1/v = exp(-exponent) factor``, both rational."""

    exponent: Fraction
    factor: Fraction


def _precision(form: str, scale: float) -> _Precision:
    if form == "logvar":
        return _Precision(Fraction(scale), Fraction(1))
    return _Precision(Fraction(0), 1 / Fraction(scale) ** (2 if form == "std" else 1))


def _exact(members: Sequence[Member], dual: bool) -> Fraction | None:
    """The divergence if it is surely 0 or rational; else None.

    Exponentials of different rational numbers are linearly independent over the rational numbers
    [Lindemann, Weierstrass].
    """
    value, rational = Fraction(0), True
    logs: list[tuple[Fraction, Fraction]] = []
    for i in range(len(members[0].means)):
        precisions = [_precision(x.form, x.scales[i]) for x in members]
        means = [Fraction(x.means[i]) for x in members]
        for own, mean, member in zip(precisions, means, members, strict=True):
            if not member.w:
                continue
            total: dict[Fraction, Fraction] = defaultdict(Fraction)
            force: dict[Fraction, Fraction] = defaultdict(Fraction)
            for other, P, m in zip(members, precisions, means, strict=True):
                total[P.exponent] += other.g * P.factor
                force[P.exponent] += other.g * P.factor * (mean - m)
            total = {t: x for t, x in total.items() if x}
            if total == {own.exponent: own.factor} and not any(force.values()):
                continue
            if {*total, own.exponent} != {0}:
                rational = False
                continue
            r, d = total[Fraction(0)] / own.factor, force[Fraction(0)] / total[Fraction(0)]
            logs.append((r, member.w))
            part = (1 / r - 1 + d * d * own.factor) if dual else (r - 1 + d * d * total[Fraction(0)])
            value += member.w * part / 2
    return value if rational and is_one(logs) else None


def is_one(powers: Sequence[tuple[Fraction, Fraction]]) -> bool:
    """Whether a product of powers ``x^exponent`` is 1, by factors of the numbers without a common divisor."""
    factors = [1]
    for x, _ in powers:
        for number in (x.numerator, x.denominator):
            factors = _refined(factors, number)
    for factor in factors[1:]:
        exponent = Fraction(0)
        for x, power in powers:
            exponent += power * (_multiplicity(x.numerator, factor) - _multiplicity(x.denominator, factor))
        if exponent:
            return False
    return True


def _refined(factors: list[int], number: int) -> list[int]:
    """A 1, then numbers above 1 without common divisors, whose products are the given factors and the number."""
    result, waiting = list(factors), [number]
    while waiting:
        x = waiting.pop()
        for i, factor in enumerate(result[1:], 1):
            common = math.gcd(x, factor)
            if common > 1:
                del result[i]
                waiting += [common, factor // common, x // common] if factor != x else []
                if factor == x:
                    result.append(x)
                break
        else:
            if x > 1:
                result.append(x)
    return result


def _multiplicity(number: int, factor: int) -> int:
    count = 0
    while number % factor == 0:
        number, count = number // factor, count + 1
    return count
