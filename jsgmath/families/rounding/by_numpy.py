"""Exponential families in NumPy, for machines without the core: what `native.families` returns, in pairs of floats."""

import math
from collections.abc import Sequence

import numpy as np

from jsgmath import formula, special
from jsgmath.families.rounding import wide_gamma
from jsgmath.families.rounding.wide_families import (
    BOTH_DIRECT,
    BOUND,
    BOUND_SUM,
    DIRECT,
    LEAST_WEIGHT,
    Array,
    Case,
    bernoulli,
    categorical,
    exponential,
    geometric,
    poisson,
)  # fmt: skip
from jsgmath.reduction.wide import Wide

SCALARS = {"exponential": exponential, "poisson": poisson, "geometric": geometric, "bernoulli": bernoulli}


def families(
    name: str,
    forms: tuple[int, int],
    divergence: int,
    reverse: bool,
    arrays: Sequence[Array],
    copies: Array,
    alpha: Array,
    shape: tuple[int, ...],
    events: tuple[int, ...],
    k: tuple[int, ...],
    single: bool,
) -> tuple[Array, int]:
    """Returns what `native.families` returns."""
    each = (*shape, *events)
    if name in ("gamma", "dirichlet") and math.prod(each) < wide_gamma.FEW:
        return np.full(shape, np.nan), math.prod(shape)
    x1, x2, y1, y2 = (np.broadcast_to(z, (*each, *k)).astype(np.float64) for z in arrays)
    w2 = np.broadcast_to(alpha, shape).astype(np.float64).reshape(shape + (1,) * len(events))
    if math.prod(each) == 0:
        return np.zeros(shape), 0
    with np.errstate(all="ignore"):
        weights = Wide(*special.two_sum(1.0, -w2)), Wide.of(w2)
        g1, g2, _ = formula.mean_weights(*weights, reverse)

        def of(
            divergence: int, forms: tuple[int, int], x: tuple[Array, Array], y: tuple[Array, Array]
        ) -> tuple[Wide, Array, Array]:
            case = Case(divergence, g1, g2)
            if name in ("gamma", "dirichlet"):
                return getattr(wide_gamma, name)(case, forms, weights, x, y)
            if name == "categorical":
                return categorical(case, forms, weights, x[0], y[0])
            found, sound = SCALARS[name](case, forms, x[0], y[0])
            value = found if divergence == DIRECT else formula.skew(*weights, *found)
            return value, BOUND * value.high, sound

        x, y = (x1, x2), (y1, y2)
        if divergence == BOTH_DIRECT:
            parts = of(DIRECT, forms, x, y), of(DIRECT, (forms[1], forms[0]), y, x)
            value, error, sound = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1], parts[0][2] & parts[1][2]
        else:
            value, error, sound = of(divergence, forms, x, y)
        if divergence < DIRECT:
            sound = sound & ((w2 == 0) | (w2 >= LEAST_WEIGHT))
        value = value * np.broadcast_to(copies, each)
        n, error = math.prod(events), np.broadcast_to(error * copies, each)
        rows = (*shape, n)
        value, error = value.broadcast_to(each).reshaped(rows).sum(-1), error.reshape(rows).sum(-1)
        error = error * (1 + 2.0**-20) + BOUND_SUM * n * n * value.high
        values = nearest(value, error, single)
        values = np.where(np.broadcast_to(sound, each).reshape(rows).all(-1), values, np.nan)
    return values, int(np.isnan(values).sum())


def nearest(value: Wide, error: Array, single: bool) -> Array:
    """The float nearest to every number within the error, or NaN if there are two, as `nearest` of ``kernels.hpp``."""
    lower, upper = value.high + (value.low - error), value.high + (value.low + error)
    if not single:
        return np.where(lower == upper, lower, np.nan)
    info, sound = np.finfo(np.float32), np.full(lower.shape, True)
    for end in (lower, upper):
        middle = (end.view(np.uint64) & 0x1FFFFFFF) == 0x10000000
        sound &= (end >= float(info.tiny)) & (end <= float(info.max)) & ~middle
    found = lower.astype(np.float32).astype(np.float64)
    sound &= found == upper.astype(np.float32)
    return np.where((lower == 0) & (upper == 0), 0.0, np.where(sound, found, np.nan))
