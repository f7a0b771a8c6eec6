"""Divergences of exponential families of NumPy, correctly rounded: each value is the float nearest to the true value.

As for Gaussians (`jsgmath.rounding`), the compiled core or NumPy computes a value with a bound on its error.  If the
bound does not decide the rounding, `nearest.py` computes the value.  So the bits are the same on every machine.
"""

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from jsgmath import native
from jsgmath.checks import common_shape

Family = Any  # of base.py, which imports this file


class Divergence(IntEnum):
    """The divergences that can be rounded: `FamilyDivergence` of the core."""

    TO_MEAN = 0
    FROM_MEAN = 1
    DIRECT = 2
    BOTH_DIRECT = 3


class Batch(NamedTuple):
    """The arguments of the core: see `native.families`."""

    name: str
    forms: tuple[int, int]
    divergence: Divergence
    reverse: bool
    arrays: Sequence[np.ndarray]
    copies: np.ndarray
    alpha: np.ndarray
    shape: tuple[int, ...]
    events: tuple[int, ...]
    k: tuple[int, ...]
    single: bool


NO = np.array(0.0)


def batch_of(
    first: Family, second: Family, divergence: Divergence, reverse: bool, alpha: np.ndarray
) -> tuple[Batch, Any]:
    """The batch, and the type of its values."""
    if alpha.size == 1 and divergence < Divergence.DIRECT and reverse and alpha.flat[0] in (0, 1):
        if (alpha.flat[0] == 0) == (divergence is Divergence.FROM_MEAN):
            first, second = second, first
        divergence = Divergence.DIRECT
    components = common_shape("shapes", {"N1": first.shape, "N2": second.shape})
    axes = len(components) - first.event_dim
    shape = common_shape("shapes", {"N1": components[:axes], "alpha": alpha.shape})
    (form1, arrays1), (form2, arrays2) = first.for_core(), second.for_core()
    k = arrays1[0].shape[-1:] if first.core_axes else ()
    arrays = [*arrays1, *[NO] * (2 - len(arrays1)), *arrays2, *[NO] * (2 - len(arrays2))]
    dtype = np.result_type(*first.parameters.values(), *second.parameters.values())
    copies, single = np.asarray(first.copies, np.float64), dtype == np.float32
    numbers = first.core_name, (form1, form2), divergence, reverse
    return Batch(*numbers, arrays, copies, alpha, shape, components[axes:], k, single), dtype


def rounded_divergence(first: Family, second: Family, divergence: Divergence, reverse: bool, alpha: np.ndarray) -> Any:
    """The nearest floats, in the common type of all parameters; alpha has only the axes of the batch."""
    batch, dtype = batch_of(first, second, divergence, reverse, alpha)
    if native.CORE is None:
        from jsgmath.families.rounding.by_numpy import families  # imported here, because only this needs its tables
    else:
        families = native.families
    values, left = families(*batch)
    if left:
        decide(batch, values)
    return values.astype(dtype, copy=False)[()]


def decide(batch: Batch, values: np.ndarray) -> None:
    """Replaces NaN by the nearest float."""
    from jsgmath.families.rounding.nearest import Component, nearest  # imported here, because few values need them
    from jsgmath.families.rounding.nearest_gamma import DEFINITIONS

    definition, each = DEFINITIONS[batch.name], (*batch.shape, *batch.events)
    copies, alpha = np.broadcast_to(batch.copies, each), np.broadcast_to(batch.alpha, batch.shape)
    members = [
        [np.broadcast_to(x, (*each, *batch.k)) for x in arrays if x is not NO]
        for arrays in (batch.arrays[:2], batch.arrays[2:])
    ]
    for i in map(tuple, np.argwhere(np.isnan(values))):
        # One row for each component, with all its parameters.
        first, second = (
            np.concatenate([x[i].reshape(-1, math.prod(batch.k)) for x in arrays], -1) for arrays in members
        )
        components = [
            Component(tuple(map(float, x)), tuple(map(float, y)), float(times))
            for x, y, times in zip(first, second, copies[i].ravel(), strict=True)
        ]
        values[i] = nearest(definition, cases_of(batch, float(alpha[i])), batch.forms, components, batch.single)


def cases_of(batch: Batch, alpha: float) -> list[tuple[float, bool, bool]]:
    """The divergences that are summed: alpha, whether the mean is reversed, and whether it is the dual."""
    match batch.divergence:
        case Divergence.DIRECT:
            return [(0.0, True, False)]
        case Divergence.BOTH_DIRECT:
            return [(0.0, True, False), (1.0, True, False)]
        case divergence:
            return [(alpha, batch.reverse, divergence is Divergence.FROM_MEAN)]
