"""Converts the distributions of other libraries to the classes that the divergences use.

Classes are matched by name, so that no library is imported.  Users add their own classes with `register`.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any, TypeVar, cast

import numpy as np

from jsgmath.checks import check_pair
from jsgmath.families import Family, Normal
from jsgmath.families.distribution import Distribution
from jsgmath.families.low_rank import LowRankMultivariateNormal
from jsgmath.gaussian import Gaussian
from jsgmath.interop import scipy, tensors
from jsgmath.interop.composite import Composite
from jsgmath.interop.images import Image, bases

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
    found = accepted(name, distribution)
    if found is None:
        raise TypeError(refusal(name, distribution))
    return found


def accepted(name: str, distribution: object) -> Any:
    """The same; None if the distribution is of a class or a family that is not accepted."""
    if isinstance(distribution, Image):
        return distribution._replace(base=adapted(name, distribution.base))
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
    return None


def refusal(name: str, distribution: object) -> str:
    """The message for an argument that is not accepted."""
    got, nearest = class_name(distribution), nearest_to(distribution)
    if nearest:
        return f"{name} is a {got}, which has no closed form here; {nearest}"
    wanted = "a jsgmath.Gaussian or a normal distribution of scipy.stats, torch, NumPyro, distrax or TFP"
    hint = (
        "pass Gaussian(mean=..., var=...), in which the scale is named (var, logvar, std or cov), or "
        "register its class with @jsgmath.register"
    )
    if tensors.package(distribution) == "torch" and hasattr(distribution, "dtype"):
        hint = "tensors go to jsgmath.torch"
    if without_parameters(distribution):
        hint = "call it with its parameters, and pass the result"
    return f"{name} must be {wanted}, or of a family in jsgmath.families, got {got}; {hint}"


def nearest_to(distribution: object) -> str | None:
    """What to pass instead of a distribution of another family; None for other objects."""
    names = [class_name(distribution).rpartition(".")[2], *(kind.__name__ for kind in type(distribution).__mro__[:-1])]
    for name in names:
        if name.lower() in NEAREST:
            return NEAREST[name.lower()]
    methods = ("log_prob", "rvs", "logpdf", "logpmf")
    if without_parameters(distribution) or not any(hasattr(distribution, method) for method in methods):
        return None
    return NEAREST_GAUSSIAN


def without_parameters(distribution: object) -> bool:
    """Whether an argument is a class, or one of SciPy's families, such as ``scipy.stats.norm``."""
    return isinstance(distribution, type) or any(x.__name__ == "rv_generic" for x in type(distribution).__mro__)


NEAREST_GAUSSIAN = "the nearest Gaussian has the same mean and variance: pass Gaussian(mean=..., var=...)"
PARTS = "pass its parts, and add their divergences"
BASE = "pass the distribution from which it is made; divergences broadcast by themselves"
POINT = "it has no density, and its divergences from other distributions are infinite"
NEAREST: dict[str, str] = {
    **dict.fromkeys(("gumbel", "gumbel_r"), "exp(-x/scale) has an Exponential distribution; pass that"),
    "gumbel_l": "exp(x/scale) has an Exponential distribution; pass that",
    **dict.fromkeys(("uniform", "continuousbernoulli", "kumaraswamy"), "the nearest family is Beta"),
    **dict.fromkeys(
        ("logistic", "softlaplace", "asymmetriclaplace", "asymmetriclaplacequantile"),
        "the nearest one is Laplace of one location",
    ),
    **dict.fromkeys(
        ("halfcauchy", "levy", "inversegaussian", "invgauss", "wald"), "the nearest family is InverseGamma"
    ),
    **dict.fromkeys(("generalizedpareto", "genpareto"), "the nearest one is Pareto of one scale"),
    **dict.fromkeys(
        ("relaxedbernoulli", "logitrelaxedbernoulli", "probitbernoulli"), "the nearest family is Bernoulli"
    ),
    **dict.fromkeys(
        ("relaxedonehotcategorical", "exprelaxedonehotcategorical", "discreteuniform", "randint", "rv_sample"),
        "the nearest family is Categorical",
    ),
    **dict.fromkeys(
        ("zeroinflatedpoisson", "zeroinflatedprobs", "zeroinflatedlogits"), "the nearest family is Poisson"
    ),
    **dict.fromkeys(("betabinomial", "betabinom", "hypergeom"), "the nearest one is Binomial"),
    **dict.fromkeys(("dirichletmultinomial", "dirichlet_multinomial_frozen"), "the nearest one is Multinomial"),
    **dict.fromkeys(
        ("studentt", "multivariatestudentt", "multivariate_t_frozen", "t", "cauchy"), "the nearest family is Normal"
    ),
    **dict.fromkeys(("matrixnormal", "matrix_normal_frozen"), "flatten it to a Gaussian whose cov is numpy.kron(U, V)"),
    **dict.fromkeys(
        (
            *("mixturesamefamily", "mixture", "mixturegeneral", "mixtureoftwo", "gaussianmixture", "basemixture"),
            *("_mixturebase", "mixtureofdiagnormals", "mixtureofdiagnormalssharedcovariance", "gaussianscalemixture"),
        ),
        "compare the components of the mixtures",
    ),
    **dict.fromkeys(
        ("maskeddistribution", "masked"),
        "pass the distribution without its mask, and set the divergences to 0 where the mask is False",
    ),
    **dict.fromkeys(("delta", "deterministic", "vectordeterministic", "unit", "empirical"), POINT),
    **dict.fromkeys(("batchreshape", "batchbroadcast"), BASE),
    **dict.fromkeys(("blockwise", "joint", "jointdistribution", "jointindependent"), PARTS),
    "rv_histogram": NEAREST_GAUSSIAN,
    "gaussianprocess": "pass its get_marginal_distribution()",
    "sample": "pass its distribution, and multiply the divergence by the number of draws",
}
"""What to pass instead of a distribution that is not accepted, by the name of its class in lower case."""


def class_name(distribution: object) -> str:
    """The name of a class for messages; SciPy's frozen distributions have a common class, so their family is named."""
    if isinstance(distribution, type):
        return f"the class {distribution.__name__}"
    name = getattr(getattr(distribution, "dist", None), "name", None)
    return f"scipy.stats.{name}" if name else type(distribution).__name__


def gaussian_pair(N1: object, N2: object) -> tuple[Gaussian, Gaussian]:
    """Converts both arguments of a function that takes only Gaussians of NumPy."""
    pair: list[Gaussian] = []
    both = bases(adapted("N1", N1), adapted("N2", N2), "N1", "N2")
    for name, distribution, found in (("N1", N1, both[0]), ("N2", N2, both[1])):
        found = to_gaussian(found) if found.library == "JAX" else found
        if not isinstance(found, Gaussian):
            got = class_name(distribution)
            raise TypeError(f"{name} must be a Gaussian of NumPy here, got {got}; give it as jsgmath.Gaussian")
        pair.append(found)
    return pair[0], pair[1]


def pair_of(N1: object, N2: object, name1: str = "N1", name2: str = "N2") -> tuple[Any, Any]:
    """Converts both arguments of a divergence to two distributions of one class and library."""
    first, second = bases(adapted(name1, N1), adapted(name2, N2), name1, name2)
    if {first.library, second.library} == {"NumPy", "JAX"}:
        first, second = to_gaussian(first), to_gaussian(second)
    if first.library == second.library and type(first) is not type(second):
        first, second = converted(first, second), converted(second, first)
    check_pair(first, second, name1, name2)
    return first, second


def converted(distribution: Any, other: Any) -> Any:
    """Converts a distribution to the class of ``other`` if it is a special case of it; else returns it unchanged."""
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
    """Converts an ``Independent`` of torch, NumPyro, distrax or TFP."""
    if hasattr(distribution, "base_dist"):  # torch, NumPyro
        base, axes = distribution.base_dist, distribution.reinterpreted_batch_ndims
    else:
        base = distribution.distribution
        axes = len(distribution.event_shape) - len(base.event_shape)
    base = adapted("the distribution in Independent", base)
    return with_event_axes(base, axes) if axes else base


@singledispatch
def with_event_axes(base: Distribution, axes: int) -> Any:
    """Makes the last ``axes`` axes of a batch independent components."""
    return base.independent(axes) if isinstance(base, Family | Composite) else Composite(base, axes)


@with_event_axes.register
def image_with_event_axes(base: Image, axes: int) -> Image:
    return base._replace(base=with_event_axes(base.base, axes), image=None)


@with_event_axes.register
def gaussian_with_event_axes(base: Gaussian, axes: int) -> Gaussian | Composite:
    if base.dim > 1:
        return Composite(base, axes)
    shape = base.batch_shape
    mean, std = (np.broadcast_to(x[..., 0], shape) for x in (base.mean, base.scale))
    batch = shape[: len(shape) - axes]
    return Gaussian(mean.reshape((*batch, -1)), std=std.reshape((*batch, -1)))


def expanded(distribution: Any) -> Family | Image | Gaussian:
    """An ``ExpandedDistribution`` of NumPyro, which repeats its base along new batch axes."""
    base = adapted("the distribution that is expanded", distribution.base_dist)
    if isinstance(base, Image) and isinstance(base.base, Family):
        inner = base.base
        shape = (*distribution.batch_shape, *inner.shape[len(inner.batch_shape) :])
        return base._replace(base=inner.expanded(shape), image=None)
    if isinstance(base, Gaussian):
        mean = np.broadcast_to(base.mean, (*distribution.batch_shape, base.dim))
        return Gaussian.checked(base.form, mean, base.scale, None if base.is_diagonal else base.factor)
    if not isinstance(base, Family):
        raise TypeError("an expanded multivariate normal is not supported; divergences broadcast by themselves")
    return base.expanded((*distribution.batch_shape, *base.shape[len(base.batch_shape) :]))


def transformed(distribution: Any) -> Image | None:
    """Converts a ``TransformedDistribution`` of torch, NumPyro or TFP, or a ``Transformed`` of distrax."""
    if hasattr(distribution, "transforms"):  # torch, NumPyro
        base, maps = distribution.base_dist, parts_of(distribution.transforms)
        invertible = all(getattr(x, "bijective", True) and type(x).__name__ != "AbsTransform" for x in maps)
    else:
        base, maps = distribution.distribution, [distribution.bijector]
        invertible = getattr(distribution.bijector, "_is_injective", True)
    if not invertible:
        return None
    base = accepted("the base", base)
    if base is None:
        return None  # the message names the transformed distribution
    if isinstance(base, Image):  # of another map, which comes first
        if base.kind != "transforms":
            return None
        base, maps = base.base, [*base.constants["transforms"], *maps]
    kind = cast(Any, type(distribution))

    def image(mean: Any) -> Any:
        return kind.__mro__[names.index("TransformedDistribution")](mean, maps)

    names = [x.__name__ for x in kind.__mro__]
    torch = kind.__module__.partition(".")[0] == "torch"
    name = names[0]
    return Image(base, name, {"transforms": maps}, image if torch else None)


def parts_of(maps: Iterable[Any]) -> list[Any]:
    """Lists maps one by one; a composition is replaced by its parts."""
    return [part for x in maps for part in (parts_of(x.parts) if hasattr(x, "parts") else [x])]


def image_of(distribution: object, mean: Any) -> Any:
    """Applies the map of ``distribution`` to ``mean``, the geometric mean of several bases."""
    found = adapted("N1", distribution)
    if not isinstance(found, Image):
        return mean
    if found.image is None or isinstance(mean, Distribution):
        raise TypeError(
            f"there is no class for the geometric mean of {found.name} distributions; "
            f"take that of their bases, which are {type(found.base).__name__}"
        )
    return found.image(mean)


ADAPTERS: dict[tuple[str, str], Adapter] = {
    **scipy.ADAPTERS,
    **tensors.ADAPTERS,
    **{(root, "Independent"): independent for root in ("torch", "numpyro", "distrax", "tensorflow_probability")},
    ("numpyro", "ExpandedDistribution"): expanded,
    **{(root, "TransformedDistribution"): transformed for root in ("torch", "numpyro", "tensorflow_probability")},
    ("distrax", "Transformed"): transformed,
}
"""Converters by package and class name; each returns a `Gaussian`, a `Distribution`, an `Image` or None."""
