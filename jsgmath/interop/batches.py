"""Converts several distributions to a list of one class, or to one batch with a new first axis."""

import copy
from collections.abc import Sequence
from functools import singledispatch
from typing import Any, cast

import numpy as np

from jsgmath.families import Family
from jsgmath.families.distribution import Distribution
from jsgmath.gaussian import Gaussian
from jsgmath.interop.base import adapted, pair_of
from jsgmath.interop.images import Image, bases, check_one_map


def members(name: str, distributions: Any) -> list[Any]:
    """Converts the distributions of a sequence, or those along the first axis of a batch, to one class."""
    if not isinstance(distributions, Sequence):
        batch = batch_of(name, distributions)
        return [batch.indexed(i) for i in range(batch.batch_shape[0])]
    sequence = cast(Sequence[Any], distributions)
    if not sequence:
        raise ValueError(f"{name} must hold at least one distribution, got none")
    found = [adapted(f"{name}[{i}]", x) for i, x in enumerate(sequence)]
    pairs = [bases(found[0], x, f"{name}[0]", f"{name}[{i}]") for i, x in enumerate(found)]
    found = [x for _, x in pairs]
    common = found[0]
    for i, x in enumerate(found):
        common, _ = pair_of(common, x, f"{name}[0]", f"{name}[{i}]")
    return [pair_of(x, common)[0] for x in found]


def batch_of(name: str, distributions: object) -> Gaussian | Distribution:
    """Converts one object that is a batch of at least one distribution."""
    batch = adapted(name, distributions)
    image, batch = batch, batch.base if isinstance(batch, Image) else batch
    if not batch.batch_shape:
        kind = type(distributions).__name__
        raise TypeError(f"{name} must be a sequence of distributions or a batch of them, got a single {kind}")
    if batch.batch_shape[0] == 0:
        raise ValueError(f"{name} must hold at least one distribution, got none")
    if isinstance(image, Image):
        check_one_map(name, image)
    return batch


def representative(distributions: Any) -> Any:
    """Returns the first member of a sequence, or a batch itself."""
    return cast(Sequence[Any], distributions)[0] if isinstance(distributions, Sequence) else distributions


def check_same_map(gaussians: Any, others: Any) -> None:
    """Checks that two sequences or batches, each checked before, are images under the same map."""
    first, second = (adapted(name, representative(x)) for name, x in (("gaussians", gaussians), ("others", others)))
    if isinstance(first, Image) or isinstance(second, Image):
        bases(first, second, "gaussians", "others")


@singledispatch
def stacked(first: Any, found: list[Any]) -> Gaussian | Family | None:
    """The distributions ``found`` as one batch, or None if that is not possible; ``first`` is ``found[0]``."""
    return None


@stacked.register
def stacked_gaussians(first: Gaussian, found: list[Gaussian]) -> Gaussian | None:
    arrays = [[x.mean, x.scale] if x.is_diagonal else [x.mean, x.scale, x.factor] for x in found]
    if any(x.form != first.form for x in found) or not alike(arrays):
        return None
    mean, scale, *factor = (np.stack(same) for same in zip(*arrays, strict=True))
    return Gaussian.checked(first.form, mean, scale, *(factor or [None]))


@stacked.register
def stacked_families(first: Family, found: list[Family]) -> Family | None:
    arrays = [list(x.parameters.values()) for x in found]
    if any(list(x.parameters) != list(first.parameters) for x in found) or not alike(arrays):
        return None
    if any(np.ndim(x.copies) or not first.of_as_many_draws_as(x) for x in found):
        return None  # `jsg` says what is wrong with such a pair
    batch = copy.copy(first)
    stacks = [first.arithmetic.stack(same, 0) for same in zip(*arrays, strict=True)]
    batch.parameters = dict(zip(first.parameters, stacks, strict=True))
    return batch


def alike(arrays: list[list[Any]]) -> bool:
    """Whether all lists hold arrays of the same shapes and types."""
    return len({tuple((tuple(x.shape), x.dtype) for x in one) for one in arrays}) == 1
