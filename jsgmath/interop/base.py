"""What users hold, as the divergences take it: by the name of its class, so that no library is imported for it.

A class of one's own is added by `register`.  Every adapter returns a `Gaussian`, another `Distribution`, or
something that another adapter takes.
"""

# pyright: reportUnknownLambdaType=false

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from jsgmath import families
from jsgmath.families.arithmetic import arithmetic, library_of
from jsgmath.families.distribution import Distribution
from jsgmath.families.low_rank import LowRank
from jsgmath.gaussian import Gaussian, real_array

Adapter = Callable[[Any], object]
A = TypeVar("A", bound=Adapter)
Adapted = Any  # Gaussian | Distribution

registered: dict[type, Adapter] = {}


def register(kind: type) -> Callable[[A], A]:
    """Makes the functions of this package take instances of ``kind``, which a decorated function translates.

    Args:
        kind: the class; its subclasses are taken, too.

    The function gets an instance and returns anything that is taken already: a `Gaussian`, a member of
    `jsgmath.families`, a distribution of scipy or torch.

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


def adapted(name: str, distribution: object) -> Adapted:
    """``distribution`` as one of ours; ``name`` is the argument's, for the message."""
    if isinstance(distribution, Gaussian | Distribution):
        return distribution
    for kind in type(distribution).__mro__:
        root = kind.__module__.partition(".")[0]
        adapter = registered.get(kind) or KNOWN.get((root, kind.__name__))
        if adapter is None:
            continue
        result = adapter(distribution)
        if type(result) is type(distribution):
            raise TypeError(f"the function registered for {kind.__name__} returned another of these; return a Gaussian")
        if result is not None:
            return adapted(name, result)
    wanted = "a jsgmath.Gaussian or a distribution of scipy.stats, torch, NumPyro, distrax or TFP that is one"
    hint = (
        f"wrap it, as in {name}=Gaussian(mean=..., var=...), which says whether the scale is var, logvar, std or cov, "
        "or register its class by @jsgmath.register"
    )
    kind = type(distribution)
    if kind.__module__.partition(".")[0] == "torch" and hasattr(distribution, "dtype"):
        hint = "tensors go to jsgmath.torch"
    raise TypeError(f"{name} must be {wanted}, or of a family in jsgmath.families, got {_kind(distribution)}; {hint}")


def as_gaussian(name: str, distribution: object) -> Gaussian:
    """``distribution`` as a `Gaussian`, for functions that take no other."""
    found = adapted(name, distribution)
    if isinstance(found, families.Normal) and found.library == "JAX":
        found = _gaussian_of(found)
    if not isinstance(found, Gaussian):
        kind = _kind(distribution)
        raise TypeError(f"{name} must be a Gaussian of NumPy here, got {kind}; give it as jsgmath.Gaussian")
    return found


def pair_of(N1: object, N2: object, name1: str = "N1", name2: str = "N2") -> tuple[Adapted, Adapted]:
    """Both arguments of a divergence, in forms that go together."""
    first, second = adapted(name1, N1), adapted(name2, N2)
    if (library1 := _library(first)) != (library2 := _library(second)):
        if {library1, library2} != {"NumPy", "JAX"}:
            raise TypeError(f"{name1} is of {library1} but {name2} of {library2}; convert one of them")
        first, second = (_gaussian_of(x) if isinstance(x, families.Normal) else x for x in (first, second))
    if type(first) is not type(second):
        first, second = _common(first, second), _common(second, first)
    if type(first) is not type(second):
        kinds = f"{name1} is a {_kind(N1)} but {name2} a {_kind(N2)}"
        raise TypeError(f"{kinds}; a divergence compares members of one family")
    if isinstance(first, families.Family) and isinstance(second, families.Family) and first.event != second.event:
        events = f"{name1} has {first.event} event dimensions but {name2} has {second.event}"
        raise ValueError(f"{events}; wrap the other in Independent")
    return first, second


def _library(found: Adapted) -> str:
    return "NumPy" if isinstance(found, Gaussian) else found.library


def _common(found: Adapted, other: Adapted) -> Adapted:
    """``found`` in a form that ``other`` has or can take, too."""
    if _library(found) == "torch":
        from jsgmath.torch.distributions import Dense, dense

        if isinstance(other, Dense) and isinstance(found, families.Normal | LowRank):
            return dense(found)
    if isinstance(other, Gaussian) and isinstance(found, Gaussian | families.Normal | LowRank):
        return _gaussian_of(found)
    if isinstance(other, LowRank) and isinstance(found, families.Normal) and found.event == 1:
        mean, std = found.parameters.values()
        return LowRank.diagonal(mean, std)
    return found


def _gaussian_of(found: Adapted) -> Gaussian:
    if isinstance(found, LowRank):
        return Gaussian(found.mean, cov=found.covariance())
    if isinstance(found, families.Normal):
        mean, std = np.broadcast_arrays(*map(concrete, found.parameters.values()))
        if found.event > 1:
            mean, std = (x.reshape((*x.shape[: x.ndim - found.event], -1)) for x in (mean, std))
        return Gaussian(mean, std=std) if found.event else univariate(mean, std)
    return found


def concrete(array: Any) -> np.ndarray:
    """An array of JAX or TensorFlow as NumPy's."""
    try:
        return real_array("an array", np.asarray(array))
    except Exception as error:
        if library_of(array) != "JAX":
            raise
        raise TypeError(
            "full covariances of JAX arrays are computed by NumPy, which can be neither traced nor differentiated "
            f"({type(error).__name__}); JAX itself is taken by Normal, Independent and MultivariateNormalDiag"
        ) from None


def univariate(mean: np.ndarray, std: np.ndarray) -> Gaussian:
    """A batch of univariate Gaussians."""
    mean, std = np.broadcast_arrays(real_array("loc", mean), real_array("scale", std))
    return Gaussian(mean[..., None], std=std[..., None])


def _traced(*arrays: Any) -> str | None:
    """The library of the arrays, if it is one that differentiates."""
    libraries = {library_of(x) for x in arrays} & {"torch", "JAX"}
    return libraries.pop() if libraries else None


# scipy.stats


def _scipy_normal(normal: Any) -> Gaussian:
    return univariate(normal.mu, normal.sigma)  # Normal() with neither parameter is a StandardNormal, and has both


def _scipy_shifted_scaled(shifted: Any) -> Gaussian | None:
    """What ``2 * Normal() + 1`` makes."""
    if type(shifted._dist).__name__ not in ("Normal", "StandardNormal"):
        return None
    loc, scale = np.asarray(shifted.loc), np.asarray(shifted.scale)
    return univariate(loc + scale * shifted._dist.mu, abs(scale) * shifted._dist.sigma)


def _scipy_frozen(frozen: Any) -> object:
    """A frozen univariate distribution, by the name of its kind."""
    make = SCIPY.get(frozen.dist.name)
    if make is None:
        return None
    shapes, loc, scale = frozen.dist._parse_args(*frozen.args, **frozen.kwds)
    if make is not univariate and np.any(np.asarray(loc) != 0):
        raise ValueError(f"{frozen.dist.name} must have loc 0 to be of an exponential family, got {loc}")
    return univariate(loc, scale) if make is univariate else make(*shapes, scale)


def _scipy_binomial(n: Any, p: Any) -> families.Bernoulli:
    if np.any(np.asarray(n) != 1):
        raise ValueError(f"binom is taken for n = 1 only, as a Bernoulli distribution, got n = {n}")
    return families.Bernoulli(probs=p)


def _scipy_multinomial(frozen: Any) -> families.Categorical:
    if np.any(np.asarray(frozen.n) != 1):
        raise ValueError(f"multinomial is taken for n = 1 only, as a categorical distribution, got n = {frozen.n}")
    return families.Categorical(probs=frozen.p)


SCIPY: dict[str, Callable[..., object]] = {
    "norm": univariate,
    "bernoulli": lambda p, scale: families.Bernoulli(probs=p),
    "binom": lambda n, p, scale: _scipy_binomial(n, p),
    "poisson": lambda mu, scale: families.Poisson(rate=mu),
    "geom": lambda p, scale: families.Geometric(probs=p),
    "expon": lambda scale: families.Exponential(scale=scale),
    "gamma": lambda a, scale: families.Gamma(shape=a, scale=scale),
    "erlang": lambda a, scale: families.Gamma(shape=a, scale=scale),
    "chi2": lambda df, scale: families.Gamma(shape=df / 2, scale=2 * scale),
    "beta": lambda a, b, scale: _scipy_beta(a, b, scale),
}


def _scipy_beta(a: Any, b: Any, scale: Any) -> families.Beta:
    if np.any(np.asarray(scale) != 1):
        raise ValueError(f"beta must have scale 1 to be of an exponential family, got {scale}")
    return families.Beta(a, b)


# torch, NumPyro, distrax, TFP: the attributes are called alike


def _normal(normal: Any) -> Adapted:
    if _traced(normal.loc, normal.scale) or _root(normal) in ("torch", "numpyro"):  # NumPyro keeps plain numbers
        return families.Normal(*_arrays(normal, normal.loc, normal.scale))
    return univariate(np.asarray(normal.loc), np.asarray(normal.scale))


def _diagonal_normal(normal: Any) -> Adapted:
    std = normal.scale_diag if _root(normal) == "distrax" else normal.scale.diag_part()
    if _traced(normal.loc, std):
        return families.Normal(*_arrays(normal, normal.loc, abs(std)), event=1)
    return Gaussian(np.asarray(normal.loc), std=np.abs(np.asarray(std)))


def _multivariate_normal(normal: Any) -> Adapted:
    if _root(normal) == "torch":
        from jsgmath.torch.distributions import Dense

        return Dense(normal.loc, normal.scale_tril)
    if _root(normal) == "numpyro":
        return Gaussian(concrete(normal.loc), scale_tril=concrete(normal.scale_tril))
    if _root(normal) == "distrax":
        factor = concrete(normal.scale_tri)
        mean, lower = concrete(normal.loc), normal.is_lower
    else:
        factor = concrete(normal.scale.to_dense())
        mean, lower = concrete(normal.loc), not np.triu(factor, 1).any()
    if lower and (np.diagonal(factor, axis1=-2, axis2=-1) > 0).all():
        return Gaussian(mean, scale_tril=factor)
    return Gaussian(mean, cov=factor @ factor.swapaxes(-1, -2))


def _low_rank_normal(normal: Any) -> LowRank:
    arrays = normal.loc, normal.cov_factor, normal.cov_diag
    return LowRank(*(arrays if _root(normal) == "torch" else map(concrete, arrays)))


def _independent(independent: Any) -> Adapted:
    if hasattr(independent, "base_dist"):  # torch, NumPyro
        base, axes = independent.base_dist, independent.reinterpreted_batch_ndims
    else:
        base = independent.distribution
        axes = len(independent.event_shape) - len(base.event_shape)
    return _with_event(adapted("the distribution in Independent", base), axes)


def _with_event(base: Adapted, axes: int) -> Adapted:
    """``axes`` trailing axes of the batch as dimensions of one distribution."""
    if axes == 0:
        return base
    if isinstance(base, families.Family):
        return base.independent(axes)
    if isinstance(base, Gaussian) and base.dim == 1:
        shape = base.batch_shape
        mean, std = (np.broadcast_to(x[..., 0], shape) for x in (base.mean, base.scale))
        keep = shape[: len(shape) - axes]
        return Gaussian(mean.reshape((*keep, -1)), std=std.reshape((*keep, -1)))
    raise TypeError("Independent multivariate normals are not taken; sum the divergences of the base distributions")


def _expanded(expanded: Any) -> Adapted:
    """NumPyro's, of which the base is one of a batch."""
    base = adapted("the distribution that is expanded", expanded.base_dist)
    if not isinstance(base, families.Family):
        raise TypeError("an expanded multivariate normal is not taken; divergences broadcast by themselves")
    return base.expanded(tuple(expanded.batch_shape))


def _kind(distribution: object) -> str:
    """What to call it in a message: all of SciPy's frozen ones have a class in common."""
    name = getattr(getattr(distribution, "dist", None), "name", None)
    return f"scipy.stats.{name}" if name else type(distribution).__name__


def _root(distribution: object) -> str:
    return type(distribution).__module__.partition(".")[0]


def _arrays(distribution: object, *arrays: Any) -> list[Any]:
    """NumPyro's plain numbers as arrays of JAX."""
    if _root(distribution) != "numpyro":
        return list(arrays)
    jax = arithmetic("JAX")
    return [jax.array(x, x) for x in arrays]


def _family(kind: Callable[..., families.Family], **names: str) -> Callable[[Any], families.Family]:
    """Adapter of a distribution whose parameters have these names."""

    def adapter(distribution: Any) -> families.Family:
        values = _arrays(distribution, *(getattr(distribution, name) for name in names.values()))
        if not _traced(*values):
            values = [np.asarray(x) for x in values]
        return kind(**dict(zip(names, values, strict=True)))

    return adapter


def _probs_or_logits(kind: Callable[..., families.Family]) -> Adapter:
    """Adapter by whichever of the two the distribution was made from."""

    def adapter(distribution: Any) -> families.Family:
        given: dict[str, Any] = distribution.__dict__  # where torch and NumPyro put the other one when it is asked for
        name = next(n for n in ("_probs", "_logits", "probs", "logits") if given.get(n) is not None)
        return _family(kind, **{name.strip("_"): name})(distribution)

    return adapter


def _table() -> dict[tuple[str, str], Adapter]:
    known: dict[tuple[str, str], Adapter] = {
        ("scipy", "multivariate_normal_frozen"): lambda frozen: Gaussian(frozen.mean, cov=frozen.cov_object),
        ("scipy", "rv_continuous_frozen"): _scipy_frozen,
        ("scipy", "rv_discrete_frozen"): _scipy_frozen,
        ("scipy", "dirichlet_frozen"): lambda frozen: families.Dirichlet(frozen.alpha),
        ("scipy", "multinomial_frozen"): _scipy_multinomial,
        ("scipy", "Normal"): _scipy_normal,
        ("scipy", "StandardNormal"): _scipy_normal,
        ("scipy", "ShiftedScaledDistribution"): _scipy_shifted_scaled,
        ("scipy", "Binomial"): lambda binomial: _scipy_binomial(binomial.n, binomial.p),
        ("numpyro", "ExpandedDistribution"): _expanded,
        ("tensorflow_probability", "MultivariateNormalLinearOperator"): _multivariate_normal,
        ("distrax", "MultivariateNormalTri"): _multivariate_normal,
    }
    for root in ("torch", "numpyro", "distrax", "tensorflow_probability"):
        known[root, "Normal"] = _normal
        known[root, "Independent"] = _independent
    for root in ("torch", "numpyro"):
        known[root, "MultivariateNormal"] = _multivariate_normal
        known[root, "LowRankMultivariateNormal"] = _low_rank_normal
    for root in ("distrax", "tensorflow_probability"):
        known[root, "MultivariateNormalDiag"] = _diagonal_normal
    for root in ("torch", "numpyro"):
        known[root, "Poisson"] = _family(families.Poisson, rate="rate")
        known[root, "Exponential"] = _family(families.Exponential, rate="rate")
        known[root, "Gamma"] = _family(families.Gamma, shape="concentration", rate="rate")
        known[root, "Dirichlet"] = _family(families.Dirichlet, concentration="concentration")
        known[root, "Beta"] = _family(families.Beta, a="concentration1", b="concentration0")
    for root, suffixes in (("torch", ("",)), ("numpyro", ("Probs", "Logits"))):
        for suffix in suffixes:
            known[root, f"Bernoulli{suffix}"] = _probs_or_logits(families.Bernoulli)
            known[root, f"Categorical{suffix}"] = _probs_or_logits(families.Categorical)
            known[root, f"Geometric{suffix}"] = _family(families.Geometric, probs="probs")
    return known


KNOWN = _table()
