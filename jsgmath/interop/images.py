"""Distributions that are images of others under one invertible map, which changes no divergence."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from jsgmath.checks import described, differ, plain, readable


class Image(NamedTuple):
    """The distribution of ``f(x)`` for x from ``base``.

    Two images have the divergences of their bases if they have the same map: the same ``kind`` and ``constants``.
    """

    base: Any
    """A `Gaussian` or a `Distribution`."""
    name: str
    constants: Mapping[str, Any]
    """The parameters of the map by name, for instance the location of a Laplace distribution."""
    image: Callable[[Any], Any] | None = None
    """Converts a result of the class of ``base`` to its image; None if no library has a class for it."""
    scale: Any = None
    """A parameter whose logarithm is the mean of the base."""
    relative: Callable[[Any], Any] | None = None
    """The base of ``f(x)/scale`` for another scale.  The logarithms of two scales, rounded, have another difference."""

    @property
    def kind(self) -> str:
        """The kind of map: one for all distributions that have a list of maps, otherwise the name of the class."""
        return "transforms" if "transforms" in self.constants else self.name


def bases(first: Any, second: Any, name1: str, name2: str) -> tuple[Any, Any]:
    """The two distributions, or their bases if both are images under the same map."""
    if not isinstance(first, Image) and not isinstance(second, Image):
        return first, second
    kinds = [x.name if isinstance(x, Image) else described(x) for x in (first, second)]
    if not isinstance(first, Image) or not isinstance(second, Image) or first.kind != second.kind:
        raise TypeError(
            f"{name1} is a {kinds[0]} but {name2} a {kinds[1]}; a divergence compares members of one family"
        )
    for constant, value in first.constants.items():
        if not same(value, second.constants[constant]):
            raise ValueError(
                f"{name1} and {name2} are {first.name} distributions of different {constant}; "
                "they are of one exponential family only if these are equal"
            )
    if first.relative and second.relative:
        return first.relative(first.scale), second.relative(first.scale)
    return first.base, second.base


def same(x: Any, y: Any) -> bool:
    """Whether two parameters or maps are equal."""
    if x is y:
        return True
    if isinstance(x, list) and isinstance(y, list):
        first, second = cast(list[Any], x), cast(list[Any], y)
        return len(first) == len(second) and all(map(same, first, second))
    same_as: Any = getattr(cast(Any, x), "same_as", None)  # of a bijector of distrax, which compares by identity
    if same_as is not None:
        return bool(same_as(y)) or same_numbers(cast(object, x), y)
    return not differ(x, y)


def same_numbers(x: object, y: object) -> bool:
    """Whether two maps are of one class, with equal attributes."""
    first, second = vars(x), vars(y)
    alike = type(x) is type(y) and list(first) == list(second)
    return alike and all(same(first[name], second[name]) for name in first)


def check_one_map(name: str, batch: Image) -> None:
    """Checks that all members of a batch, along its first axis, have the same map."""
    base = batch.base
    axes = len(base.batch_shape) + (0 if base.event_dim == 1 == getattr(base, "dim", 0) else base.event_dim)
    for constant, value in batch.constants.items():
        if any(x.ndim == axes and (x != x[:1]).any() for x in numbers_in(constant, value)):
            raise ValueError(
                f"{name} are {batch.name} distributions of different {constant}; "
                "they are of one exponential family only if these are equal"
            )


def numbers_in(constant: str, value: Any) -> list[Any]:
    """A parameter of a map, or the parameters of its parts, as arrays of NumPy."""
    found = [value]
    if constant == "transforms":
        found = [x for part in value for x in getattr(part, "__dict__", {}).values() if hasattr(x, "shape")]
    return [np.asarray(plain(x)) for x in found if readable(x)]
