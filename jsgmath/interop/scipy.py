"""Converts the distributions of SciPy, whose classes are matched by name so that `scipy.stats` is not imported."""

# pyright: reportUnknownLambdaType=false

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from jsgmath import families
from jsgmath.checks import real_array
from jsgmath.gaussian import Gaussian
from jsgmath.interop.composite import Composite
from jsgmath.interop.images import Image


def univariate(mean: Any, std: Any) -> Gaussian:
    """A batch of univariate Gaussians."""
    mean, std = np.broadcast_arrays(real_array("loc", mean), real_array("scale", std))
    return Gaussian(mean[..., None], std=std[..., None])


def normal(distribution: Any) -> Gaussian:
    return univariate(distribution.mu, distribution.sigma)  # a StandardNormal has both, too


def shifted_scaled(distribution: Any) -> Gaussian | None:
    """Converts a result such as ``2 * Normal() + 1``; returns None if its base is not normal."""
    base = distribution._dist
    if type(base).__name__ not in ("Normal", "StandardNormal"):
        return None
    loc, scale = real_array("loc", distribution.loc), real_array("scale", distribution.scale)
    return univariate(loc + scale * base.mu, abs(scale) * base.sigma)


def frozen(distribution: Any) -> object:
    """Converts a frozen univariate distribution; returns None if its family is not in `FROZEN`."""
    make = FROZEN.get(distribution.dist.name)
    if make is None:
        return None
    shapes, loc, scale = distribution.dist._parse_args(*distribution.args, **distribution.kwds)
    shapes, loc, scale = [as_array(x) for x in shapes], as_array(loc), as_array(scale)
    if make is univariate:
        return univariate(loc, scale)
    if distribution.dist.name in IMAGES:
        return make(*shapes, loc, scale)
    if np.any(np.asarray(loc) != 0):
        raise ValueError(f"{distribution.dist.name} must have loc 0 to be of an exponential family, got {loc}")
    return make(*shapes, scale)


def as_array(x: Any) -> Any:
    """Converts a list to an array; returns anything else unchanged."""
    return np.asarray(cast(list[Any], x)) if isinstance(x, list | tuple) else x


def log_normal(s: Any, loc: Any, scale: Any) -> Image:
    return Image(univariate(np.log(scale), s), "lognorm", {"loc": loc})


def weibull(c: Any, loc: Any, scale: Any) -> Image:
    return Image(families.Exponential(scale=np.asarray(scale) ** c), "weibull_min", {"c": c, "loc": loc})


def beta(a: Any, b: Any, scale: Any) -> families.Beta:
    if np.any(np.asarray(scale) != 1):
        raise ValueError(f"beta must have scale 1 to be of an exponential family, got {scale}")
    return families.Beta(a, b)


FROZEN: dict[str, Callable[..., object]] = {
    "norm": univariate,
    "bernoulli": lambda p, scale: families.Bernoulli(probs=p),
    "binom": lambda n, p, scale: families.Bernoulli(probs=p).repeated(n),
    "nbinom": lambda n, p, scale: families.Geometric(probs=p).repeated(n),
    "poisson": lambda mu, scale: families.Poisson(rate=mu),
    "geom": lambda p, scale: families.Geometric(probs=p),
    "expon": lambda scale: families.Exponential(scale=scale),
    "gamma": lambda a, scale: families.Gamma(shape=a, scale=scale),
    "erlang": lambda a, scale: families.Gamma(shape=a, scale=scale),
    "chi2": lambda df, scale: families.Gamma(shape=df / 2, scale=2 * scale),
    "beta": beta,
    "lognorm": log_normal,
    "halfnorm": lambda loc, scale: Image(univariate(0.0 * scale, scale), "halfnorm", {"loc": loc}),
    "laplace": lambda loc, scale: Image(families.Exponential(scale=scale), "laplace", {"loc": loc}),
    "invgamma": lambda a, loc, scale: Image(families.Gamma(shape=a, rate=scale), "invgamma", {"loc": loc}),
    "weibull_min": weibull,
    "pareto": lambda b, loc, scale: Image(families.Exponential(rate=b), "pareto", {"loc": loc, "scale": scale}),
}
"""Converters of a frozen distribution's shape parameters and scale, by the name of its family."""

IMAGES = ("lognorm", "halfnorm", "laplace", "invgamma", "weibull_min", "pareto")
"""Those whose converter also takes the location."""

ADAPTERS: dict[tuple[str, str], Callable[[Any], object]] = {
    ("scipy", "multivariate_normal_frozen"): lambda frozen: Gaussian(frozen.mean, cov=frozen.cov_object),
    ("scipy", "rv_continuous_frozen"): frozen,
    ("scipy", "rv_discrete_frozen"): frozen,
    ("scipy", "dirichlet_frozen"): lambda frozen: families.Dirichlet(frozen.alpha),
    ("scipy", "multinomial_frozen"): lambda frozen: families.Categorical(probs=frozen.p).repeated(frozen.n),
    ("scipy", "wishart_frozen"): lambda frozen: Composite(
        Gaussian(np.zeros(len(frozen.scale)), cov=frozen.scale), degrees=frozen.df
    ),
    ("scipy", "Normal"): normal,
    ("scipy", "StandardNormal"): normal,
    ("scipy", "ShiftedScaledDistribution"): shifted_scaled,
    ("scipy", "Binomial"): lambda x: families.Bernoulli(probs=x.p).repeated(x.n),
}
"""Converters by package and class name."""
