"""Turns two Gaussians into one-dimensional pairs, in pairs of doubles, each relative to the larger variance."""

# pyright: reportConstantRedefinition=false

from typing import Any, NamedTuple

import numpy as np

from jsgmath.gaussian import Gaussian
from jsgmath.reduction.full import diagonalised, in_parts, pair_arrays
from jsgmath.reduction.pairs import ScalarPairs
from jsgmath.reduction.scaling import ScaledPair
from jsgmath.reduction.wide import LN2, Wide, constant, kernels, log, where

LARGEST_DISTANCE = 2.0**50  # a larger distance counts as infinite and is replaced by this one
TINY, UNIT = 2.0**-400, 300  # if all are below TINY, they are multiplied by 2^UNIT, so that squares do not underflow


class Directions(NamedTuple):
    """One-dimensional pairs: arrays of shape ``(rows, n)``, except the last."""

    larger1: np.ndarray  # whether the variance of N1 is the larger one
    ratio: Wide  # the smaller variance over the larger one
    excess: Wide  # the ratio minus one
    log_ratio: Wide
    square: Wide  # ``(m1 - m2)^2`` over the larger variance
    exponent: np.ndarray  # (rows,); the divergence is that of these numbers times ``2^exponent``

    def rows(self, index: np.ndarray) -> "Directions":
        arrays: Any = (x[index] for x in self)
        return Directions(*arrays)

    @classmethod
    def of(cls, larger1: np.ndarray, ratio: Wide, excess: Wide, log_ratio: Wide, distance: Wide) -> "Directions":
        """From displacements in units of the larger standard deviation."""
        size = np.maximum(np.abs(excess.high), np.abs(distance.high)).max(-1, initial=0)
        unit = np.where(size < TINY, UNIT, 0)
        excess, log_ratio, distance = (
            Wide(np.ldexp(x.high, unit[:, None]), np.ldexp(x.low, unit[:, None])) for x in (excess, log_ratio, distance)
        )
        distance = where(np.abs(distance.high) < LARGEST_DISTANCE, distance, LARGEST_DISTANCE)
        return cls(larger1, ratio, excess, log_ratio, distance * distance, -2 * unit)


def full_directions(N1: Gaussian, N2: Gaussian) -> tuple[Directions, np.ndarray, ScalarPairs]:
    """The directions, and `Reduced.relative` and `Reduced.slack`."""
    count = int(np.prod(np.broadcast_shapes(N1.batch_shape, N2.batch_shape)))
    found = [np.concatenate(x)[:count] for x in zip(*in_parts(N1, N2, _directions), strict=True)]
    larger1, *numbers = found[:9]
    wides = [Wide(*numbers[i : i + 2]) for i in range(0, 8, 2)]
    return Directions.of(larger1, *wides), found[9], ScalarPairs(*found[10:])


def _directions(given: ScaledPair) -> tuple[np.ndarray, ...]:
    """The arguments of `Directions.of`, as pairs of arrays, then the bounds."""
    transformed = diagonalised(given)
    matrices = transformed.S1, transformed.S2, transformed.difference
    c1, c2, e = (Wide(*(np.diagonal(y, axis1=-2, axis2=-1) for y in (x.high, x.low))) for x in matrices)
    far, unit1 = given.unit1[:, None] != 0, 2 * given.unit1[:, None]
    first = np.ldexp(c1.high / c2.high, unit1) > 1
    quotient = where(first, c2 / c1, c1 / c2)
    unit = np.where(first, -unit1, unit1)
    ratio = Wide(np.ldexp(quotient.high, unit), np.ldexp(quotient.low, unit))
    excess = where(far, ratio - 1.0, where(first, -e / c1, e / c2))
    logs = where(far, log(quotient) + constant(LN2) * unit.astype(float), kernels(excess, ratio, None))
    larger1 = first != given.swapped
    y = transformed.displacement
    distance = Wide(y.high[:, :, 0], y.low[:, :, 0]) / c2.root()
    distance = where(larger1, distance * ratio.root(), distance)
    unit = given.unit_displacement[:, None]
    distance = Wide(np.ldexp(distance.high, unit), np.ldexp(distance.low, unit))
    arrays = pair_arrays(given, transformed)
    wides = (x for pair in (ratio, excess, logs, distance) for x in (pair.high, pair.low))
    return larger1, *wides, *arrays[len(ScalarPairs._fields) : -1]
