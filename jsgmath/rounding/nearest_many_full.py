r"""The float nearest to the divergence of several Gaussians of full covariance, by integers of rising precision.

This is the last path, as `nearest_full.py` is for a pair.  With ``P_j = S_j^-1``, the precision of the product of
experts ``P = sum_j g_j P_j``, and ``u_k = P m_k - sum_j g_j P_j m_j``,

    2 JSG  = sum_k w_k (tr P S_k    - n + u_k' P^-1 u_k)          - log det P - sum_k w_k log det S_k
    2 JSG* = sum_k w_k (tr P^-1 P_k - n + u_k' P^-1 P_k P^-1 u_k) + log det P + sum_k w_k log det S_k
"""

# pyright: reportConstantRedefinition=false

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import NamedTuple

import numpy as np

from jsgmath.rounding.nearest_full import (
    Covariance,
    Inverse,
    Rational,
    Whole,
    context_of,
    covariance_of,
    decided,
    inverse_of,
    rational_of,
    same_covariances,
    whole,
)
from jsgmath.rounding.nearest_many import is_one


class Member(NamedTuple):
    """One of several Gaussians, and its weights in the divergence and in the mean."""

    mean: np.ndarray
    form: str
    scale: np.ndarray
    w: Fraction
    g: Fraction


def nearest_full(members: Sequence[Member], dual: bool, single: bool) -> float:
    """The float64, or the float32 if ``single``, nearest to the divergence.

    Raises:
        ValueError: a covariance is not positive definite in exact arithmetic, or a log-variance is beyond 10,000.
        ArithmeticError: 5120 bits do not suffice.
    """
    unit = math.lcm(*(x.g.denominator for x in members))
    means = [whole(x.mean) for x in members]
    offsets = _offsets(means, [int(x.g * unit) for x in members])
    same = all(same_covariances(members[0][:3], x[:3]) for x in members[1:])
    if same and not any(d.numbers.any() for x, d in zip(members, offsets, strict=True) if x.w):
        return 0.0

    def bounded(bits: int) -> tuple[Fraction, Fraction]:
        return _equal(members, offsets, unit, bits) if same else _bounded(members, means, unit, dual, bits)

    return decided(bounded, lambda: _exact(members, dual), single, "one of the Gaussians")


def _sum(matrices: Sequence[Whole]) -> Whole:
    return reduce(Whole.plus, matrices)


def _times(matrix: Whole, factor: int) -> Whole:
    return Whole(matrix.numbers * factor, matrix.exponent)


def _offsets(means: Sequence[Whole], shares: Sequence[int]) -> list[Whole]:
    """The distances of the means from their weighted mean, times the sum of the weights."""
    mean = _sum([_times(m, -x) for m, x in zip(means, shares, strict=True)])
    return [_times(m, sum(shares)).plus(mean) for m in means]


def _equal(members: Sequence[Member], offsets: Sequence[Whole], unit: int, bits: int) -> tuple[Fraction, Fraction]:
    """The divergence of Gaussians of equal covariance, and a bound on its error."""
    inverse = inverse_of(covariance_of(members[0].form, members[0].scale, bits), bits)
    squares = (x.w * inverse.of_square(d) for x, d in zip(members, offsets, strict=True))
    value = sum(squares, Fraction(0)) / (2 * unit * unit)
    return value, 2 * inverse.error * value


class _Both(NamedTuple):
    """A covariance, its inverse, and the logarithm of its determinant."""

    covariance: Covariance
    precision: Covariance
    log_det: Fraction


def _both(form: str, scale: np.ndarray, bits: int) -> _Both:
    exact = form == "precision"
    given = Covariance(whole(scale), Fraction(0)) if exact else covariance_of(form, scale, bits)
    inverse = inverse_of(given, bits)
    other = Covariance(inverse.Z.T @ inverse.Z, inverse.error)
    log_det = _log_det(inverse, bits)
    return _Both(other, given, -log_det) if exact else _Both(given, other, log_det)


def _log_det(inverse: Inverse, bits: int) -> Fraction:
    """The logarithm of the determinant of the matrix that was inverted."""
    root, digits = inverse.root_of_determinant(), context_of(bits)
    return -2 * Fraction(digits.ln(digits.divide(Decimal(root.numerator), Decimal(root.denominator))))


def _bounded(
    members: Sequence[Member], means: Sequence[Whole], unit: int, dual: bool, bits: int
) -> tuple[Fraction, Fraction]:
    """The divergence and a bound on its error.  Matrices and vectors of G are ``unit`` times as large."""
    n = len(members[0].mean)
    sides = [_both(x.form, x.scale, bits) for x in members]
    P = _sum([_times(side.precision.matrix, int(x.g * unit)) for x, side in zip(members, sides, strict=True)])
    given = max(max(x.covariance.error, x.precision.error) for x in sides)
    inverse = inverse_of(Covariance(P, given), bits)
    own = [x.w * side.log_det for x, side in zip(members, sides, strict=True)]
    logs = [_log_det(inverse, bits) - n * _log(unit, bits), *own]
    value = size = Fraction(0)
    for member, side, mean in zip(members, sides, means, strict=True):
        if not member.w:
            continue
        distances = [mean.plus(_times(other, -1)) for other in means]
        forces = [x.precision.matrix @ d for x, d in zip(sides, distances, strict=True)]
        spread = sum((x.g * f.dot(d) for x, f, d in zip(members, forces, distances, strict=True)), Fraction(0))
        force = _sum([_times(f, int(x.g * unit)) for x, f in zip(members, forces, strict=True)])
        if dual:
            trace = unit * inverse.of(side.precision)
            d = inverse.Z.T @ (inverse.Z @ force)
            square = (side.precision.matrix @ d).dot(d)
            spread *= trace
        else:
            trace, square = P.dot(side.covariance.matrix) / unit, inverse.of_square(force) / unit
        value += member.w * (trace - n + square)
        size += member.w * (trace + spread + 4 * n)
    log_det = sum(logs, Fraction(0))
    value += log_det if dual else -log_det
    rounding = Fraction(2 + math.ceil(sum(map(abs, logs))), 1 << bits)
    return value / 2, 8 * (given + inverse.error) * size + rounding


def _log(x: int, bits: int) -> Fraction:
    return Fraction(context_of(bits).ln(Decimal(x)))


def _exact(members: Sequence[Member], dual: bool) -> Fraction | None:
    """The divergence if it is surely rational, because all variances are and the logarithms add up to 0; else None."""
    n = len(members[0].mean)
    one = Rational(np.eye(n, dtype=int).astype(object), Fraction(1))
    given = [rational_of(x.form, x.scale) for x in members]
    covariances = [S for S in given if S is not None]
    if len(covariances) < len(given):
        return None
    dets, precisions = zip(*(S.solve(one) for S in covariances), strict=True)
    P = reduce(Rational.plus, (x.times(member.g) for x, member in zip(precisions, members, strict=True)))
    det, inverse = P.solve(one)
    if not is_one([(det, Fraction(1)), *((x, member.w) for x, member in zip(dets, members, strict=True))]):
        return None
    value = Fraction(0)
    columns = [Rational(x.numbers, Fraction(2) ** x.exponent) for x in map(whole, (x.mean for x in members))]
    for member, S, own, mean in zip(members, covariances, precisions, columns, strict=True):
        distances = (mean.plus(other.times(Fraction(-1))) for other in columns)
        parts = (_product(x, d).times(y.g) for x, d, y in zip(precisions, distances, members, strict=True))
        d = _product(inverse, reduce(Rational.plus, parts))
        trace, square = (inverse.dot(own), own) if dual else (P.dot(S), P)
        value += member.w * (trace - n + _product(square, d).dot(d))
    return value / 2


def _product(one: Rational, other: Rational) -> Rational:
    return Rational(one.numbers @ other.numbers, one.scale * other.scale)
