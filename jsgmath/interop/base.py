"""Converts the distributions of other libraries to the classes that the divergences use.

Classes are matched by name, so that no library is imported.  Users add their own classes with `register`.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np

from jsgmath.checks import check_pair
from jsgmath.families import Family, Normal
from jsgmath.families.distribution import Distribution
from jsgmath.families.low_rank import LowRankMultivariateNormal
from jsgmath.gaussian import Gaussian
from jsgmath.interop import scipy, tensors

Adapter = Callable[[Any], object]
A = TypeVar("A", bound=Adapter)

registered: dict[type, Adapter] = {}


def register(kind: type) -> Callable[[A], A]:
    """Makes the functions of this package accept instances of ``kind``.

    Decorate with it a function that converts an instance to anything that is accepted already: a `Gaussian`, a member
    of `jsgmath.families`, or a distribution of SciPy or torch.

    Args:
        kind: the class; its subclasses are accepted as well.

    Raises:
        TypeError: ``kind`` is not a class.

    >>> class Reading:
    ...     def __init__(self, value, error):
    ...         self.value, self.error = value, error
    >>> @register(Reading)
    ... def gaussian(reading):
    ...     return Gaussian(mean=[reading.value], std=[reading.error])
    >>> from jsgmath import kl
    >>> print(kl(Reading(1.0, 1.0), Reading(0.0, 1.0)))
    0.5
    """
    if not isinstance(kind, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"register takes a class, got {kind!r}; write @jsgmath.register(MyDistribution)")

    def decorate(adapter: A) -> A:
        registered[kind] = adapter
        return adapter

    return decorate


def adapted(name: str, distribution: object) -> Any:
    """Converts an argument to a `Gaussian` or a `Distribution`; ``name`` is that of the argument, for the message."""
    if isinstance(distribution, Gaussian | Distribution):
        return distribution
    for kind in type(distribution).__mro__:
        adapter = registered.get(kind) or ADAPTERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if adapter is None:
            continue
        result = adapter(distribution)
        if type(result) is type(distribution):
            raise TypeError(
                f"the function registered for {kind.__name__} returned a {kind.__name__}; return a Gaussian"
            )
        if result is not None:
            return adapted(name, result)
    wanted = "a jsgmath.Gaussian or a normal distribution of scipy.stats, torch, NumPyro, distrax or TFP"
    hint = (
        "pass Gaussian(mean=..., var=...), in which the scale is named (var, logvar, std or cov), or "
        "register its class with @jsgmath.register"
    )
    kind = type(distribution)
    if kind.__module__.partition(".")[0] == "torch" and hasattr(distribution, "dtype"):
        hint = "tensors go to jsgmath.torch"
    got = class_name(distribution)
    raise TypeError(f"{name} must be {wanted}, or of a family in jsgmath.families, got {got}; {hint}")


def class_name(distribution: object) -> str:
    """The name of a class for messages; SciPy's frozen distributions have a common class, so their family is named."""
    name = getattr(getattr(distribution, "dist", None), "name", None)
    return f"scipy.stats.{name}" if name else type(distribution).__name__


def gaussian_pair(N1: object, N2: object) -> tuple[Gaussian, Gaussian]:
    """Converts both arguments of a function that takes only Gaussians of NumPy."""
    pair: list[Gaussian] = []
    for name, distribution in (("N1", N1), ("N2", N2)):
        found = adapted(name, distribution)
        found = to_gaussian(found) if found.library == "JAX" else found
        if not isinstance(found, Gaussian):
            got = class_name(distribution)
            raise TypeError(f"{name} must be a Gaussian of NumPy here, got {got}; give it as jsgmath.Gaussian")
        pair.append(found)
    return pair[0], pair[1]


def pair_of(N1: object, N2: object, name1: str = "N1", name2: str = "N2") -> tuple[Any, Any]:
    """Converts both arguments of a divergence, to two distributions of one class and library."""
    first, second = adapted(name1, N1), adapted(name2, N2)
    if {first.library, second.library} == {"NumPy", "JAX"}:
        first, second = to_gaussian(first), to_gaussian(second)
    if first.library == second.library and type(first) is not type(second):
        first, second = converted(first, second), converted(second, first)
    check_pair(first, second, name1, name2)
    return first, second


def converted(distribution: Any, other: Any) -> Any:
    """``distribution`` in the class of ``other``, if it is a special case of it, otherwise unchanged."""
    return to_gaussian(distribution) if isinstance(other, Gaussian) else other.from_other(distribution)


@singledispatch
def to_gaussian(distribution: Any) -> Any:
    """Converts a normal distribution to a `Gaussian` of NumPy; any other distribution is returned unchanged."""
    return distribution


@to_gaussian.register
def normal_to_gaussian(distribution: Normal) -> Gaussian:
    mean, std = np.broadcast_arrays(*map(tensors.concrete, distribution.parameters.values()))
    if distribution.event_dim == 0:
        return scipy.univariate(mean, std)
    batch = mean.shape[: mean.ndim - distribution.event_dim]
    return Gaussian(mean.reshape((*batch, -1)), std=std.reshape((*batch, -1)))


@to_gaussian.register
def low_rank_to_gaussian(distribution: LowRankMultivariateNormal) -> Gaussian:
    return tensors.of_triangular_factor(distribution.mean, distribution.scale_tril())


def independent(distribution: Any) -> Any:
    """An ``Independent`` of torch, NumPyro, distrax or TFP."""
    if hasattr(distribution, "base_dist"):  # torch, NumPyro
        base, axes = distribution.base_dist, distribution.reinterpreted_batch_ndims
    else:
        base = distribution.distribution
        axes = len(distribution.event_shape) - len(base.event_shape)
    base = adapted("the distribution in Independent", base)
    return with_event_axes(base, axes) if axes else base


@singledispatch
def with_event_axes(base: Distribution, axes: int) -> Any:
    """The same distributions, with the last ``axes`` axes of the batch as independent components."""
    return base.independent(axes)


@with_event_axes.register
def gaussian_with_event_axes(base: Gaussian, axes: int) -> Gaussian:
    if base.dim > 1:
        raise TypeError("Independent multivariate normals are not supported; give all dimensions to one Gaussian")
    shape = base.batch_shape
    mean, std = (np.broadcast_to(x[..., 0], shape) for x in (base.mean, base.scale))
    batch = shape[: len(shape) - axes]
    return Gaussian(mean.reshape((*batch, -1)), std=std.reshape((*batch, -1)))


def expanded(distribution: Any) -> Family:
    """An ``ExpandedDistribution`` of NumPyro, which repeats its base along new batch axes."""
    base = adapted("the distribution that is expanded", distribution.base_dist)
    if not isinstance(base, Family):
        raise TypeError("an expanded multivariate normal is not supported; divergences broadcast by themselves")
    return base.expanded((*distribution.batch_shape, *base.shape[len(base.batch_shape) :]))


ADAPTERS: dict[tuple[str, str], Adapter] = {
    **scipy.ADAPTERS,
    **tensors.ADAPTERS,
    **{(root, "Independent"): independent for root in ("torch", "numpyro", "distrax", "tensorflow_probability")},
    ("numpyro", "ExpandedDistribution"): expanded,
}
"""Converters by package and class name; each returns a `Gaussian`, a `Distribution` or None."""
