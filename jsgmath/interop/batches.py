"""Several distributions as a list of one kind, or as one batch with an axis in front."""

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from jsgmath.families import Family
from jsgmath.families.arithmetic import arithmetic
from jsgmath.gaussian import Gaussian
from jsgmath.interop.base import Adapted, adapted, pair_of


def members(name: str, distributions: Any) -> list[Adapted]:
    """The distributions of a sequence, or those along the first axis of a batch, all of one kind."""
    if not isinstance(distributions, Sequence):
        batch = batch_of(name, distributions)
        return [batch.indexed(i) for i in range(batch.batch_shape[0])]
    sequence = cast(Sequence[Any], distributions)
    if not sequence:
        raise ValueError(f"{name} must hold at least one distribution, got none")
    found = [adapted(f"{name}[{i}]", x) for i, x in enumerate(sequence)]
    common = found[0]
    for i, x in enumerate(found):
        common, _ = pair_of(common, x, f"{name}[0]", f"{name}[{i}]")
    return [pair_of(x, common)[0] for x in found]


def batch_of(name: str, distributions: object) -> Gaussian | Family:
    """A batch as one holds it."""
    batch = adapted(name, distributions)
    if isinstance(batch, Gaussian | Family) and batch.batch_shape[:1] == (0,):
        raise ValueError(f"{name} must hold at least one distribution, got none")
    if not isinstance(batch, Gaussian | Family) or not batch.batch_shape:
        kind = type(distributions).__name__
        raise TypeError(f"{name} must be a sequence of distributions or a batch of them, got a single {kind}")
    return batch


def stacked(found: list[Adapted]) -> Gaussian | Family | None:
    """The members as one batch, or None where their arrays are not alike."""
    first = found[0]
    if isinstance(first, Gaussian):
        arrays = [[x.mean, x.scale] if x.is_diagonal else [x.mean, x.scale, x.factor] for x in found]
        if any(x.form != first.form for x in found) or not _alike(arrays):
            return None
        mean, scale, *factor = (np.stack(same) for same in zip(*arrays, strict=True))
        return Gaussian.checked(first.form, mean, scale, *(factor or [None]))
    if isinstance(first, Family):
        arrays = [list(x.parameters.values()) for x in found]
        if any(list(x.parameters) != list(first.parameters) for x in found) or not _alike(arrays):
            return None
        batch, stack = copy.copy(first), arithmetic(first.library).stack
        batch.parameters = {
            name: stack(same, 0) for name, same in zip(first.parameters, zip(*arrays, strict=True), strict=True)
        }
        return batch
    return None


def _alike(arrays: list[list[Any]]) -> bool:
    return len({tuple((tuple(x.shape), x.dtype) for x in one) for one in arrays}) == 1
