"""Weights of several Gaussians, as exact numbers: those that were given are rounded, and their sum is 1 only nearly."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jsgmath.wide import Wide, where

ROUNDED = 1e-6  # allowed difference of a sum of weights from 1, for weights in float32
EXACT = 2.0**-44  # of a sum that is 1 except for the rounding of weights in float64


def wide_weights(weights: np.ndarray) -> Wide:
    """Weights of shape ``(K, ...)`` whose sum is 1.

    If the sum is 1 except for rounding, the largest weight is computed from the others, as 1 - alpha is.  Being the
    largest, it stays positive, and rounding changes it least.  Otherwise all are divided by their sum.
    """
    w = Wide.of(weights)
    total, largest = w.sum(0), weights == weights.max(0)
    rest = (1.0 - Wide.of(np.where(largest, 0.0, weights)).sum(0)) / largest.sum(0).astype(float)
    return where(np.abs(total.high - 1) <= EXACT, where(largest, rest, w), w / total)


def exact_weights(weights: Sequence[float]) -> list[Fraction]:
    """The same for K numbers, without rounding."""
    exact = [Fraction(x) for x in weights]
    total, largest = sum(exact, Fraction(0)), max(exact)
    if abs(float(total) - 1) > EXACT:
        return [x / total for x in exact]
    others = sum((x for x in exact if x != largest), Fraction(0))
    return [(1 - others) / exact.count(largest) if x == largest else x for x in exact]
