"""Converts the distributions of SciPy, whose classes are matched by name so that `scipy.stats` is not imported."""

# pyright: reportUnknownLambdaType=false

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from jsgmath import families
from jsgmath.checks import real_array
from jsgmath.families.gamma import Powers
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
    """A frozen univariate distribution; None for other families than those of `FROZEN` and `IMAGES`."""
    name = distribution.dist.name
    make = FROZEN.get(name)
    if make is None and name not in IMAGES:
        return None
    shapes, loc, scale = distribution.dist._parse_args(*distribution.args, **distribution.kwds)
    shapes, loc, scale = [as_array(x) for x in shapes], as_array(loc), as_array(scale)
    if name == "norm":
        return univariate(loc, scale)
    if make is None:
        base, constants, *scales = IMAGES[name](*shapes, scale)
        return Image(base, name, {**constants, "loc": loc}, None, *scales)
    if np.any(np.asarray(loc) != 0) or (name == "beta" and np.any(np.asarray(scale) != 1)):
        constants = {"loc": loc, "scale": scale} if name == "beta" else {"loc": loc}
        values = [f"{constant} {x if np.ndim(x) == 0 else 'of an array'}" for constant, x in constants.items()]
        return Image(make(*shapes, scale), f"{name} with {' and '.join(values)}", constants)
    return make(*shapes, scale)


def as_array(x: Any) -> Any:
    """Converts a list to an array; returns anything else unchanged."""
    return np.asarray(cast(list[Any], x)) if isinstance(x, list | tuple) else x


def inverse_wishart(scale: np.ndarray, degrees: Any) -> Image:
    """The distribution of the inverses of Wishart matrices, whose precision is ``scale``."""
    base = Gaussian(0 * scale[..., 0], precision=scale)
    return Image(Composite(base, degrees=np.asarray(degrees)), "inverse Wishart", {})


def power(x: Any, exponent: Any) -> Any:
    return np.asarray(x) ** exponent


def log_normal(s: Any, scale: Any) -> tuple[Any, ...]:
    scale = real_array("scale", scale)

    def relative(other: Any) -> Gaussian:
        with np.errstate(over="ignore", under="ignore"):
            ratio = scale / other
            excess = (scale - other) / other
            sound = (ratio > 0) & (ratio < np.inf)
        far = np.log(scale) - np.log(other)
        return univariate(np.where(sound, np.log1p(np.where(sound, excess, 0.0)), far), s)

    return univariate(np.log(scale), s), {}, scale, relative


def length(n: int, scale: Any) -> Gaussian:
    """The Gaussian in n dimensions whose length is a random variable."""
    return Gaussian(np.zeros(n), std=np.asarray(scale)[..., None])


FROZEN: dict[str, Callable[..., Any]] = {
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
    "beta": lambda a, b, scale: families.Beta(a, b),
}
"""Converters of a frozen distribution's shape parameters and scale, by the name of its family."""

IMAGES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "lognorm": log_normal,
    "halfnorm": lambda scale: (univariate(0.0 * scale, scale), {}),
    "laplace": lambda scale: (families.Exponential(scale=scale), {}),
    "invgamma": lambda a, scale: (families.Gamma(shape=a, rate=scale), {}),
    "loggamma": lambda c, scale: (families.Gamma(shape=c, rate=1.0), {"scale": scale}),
    "weibull_min": lambda c, scale: (Powers(scale, c), {"c": c}),
    "weibull_max": lambda c, scale: (Powers(scale, c), {"c": c}),
    "invweibull": lambda c, scale: (families.Exponential(rate=power(scale, c)), {"c": c}),
    "pareto": lambda b, scale: (families.Exponential(rate=b), {"scale": scale}),
    "powerlaw": lambda a, scale: (families.Exponential(rate=a), {"scale": scale}),
    "rayleigh": lambda scale: (length(2, scale), {}),
    "maxwell": lambda scale: (length(3, scale), {}),
    "chi": lambda df, scale: (families.Gamma(shape=df / 2, scale=2 * power(scale, 2)), {}),
}
"""The base of an `Image`, the constants of its map besides the location, and maybe its `scale` and `relative`."""

ADAPTERS: dict[tuple[str, str], Callable[[Any], object]] = {
    ("scipy", "multivariate_normal_frozen"): lambda frozen: Gaussian(frozen.mean, cov=frozen.cov_object),
    ("scipy", "rv_continuous_frozen"): frozen,
    ("scipy", "rv_discrete_frozen"): frozen,
    ("scipy", "dirichlet_frozen"): lambda frozen: families.Dirichlet(frozen.alpha),
    ("scipy", "multinomial_frozen"): lambda frozen: families.Categorical(probs=frozen.p).repeated(frozen.n),
    ("scipy", "wishart_frozen"): lambda frozen: Composite(
        Gaussian(np.zeros(len(frozen.scale)), cov=frozen.scale), degrees=frozen.df
    ),
    ("scipy", "invwishart_frozen"): lambda frozen: inverse_wishart(np.asarray(frozen.scale), frozen.df),
    ("statistics", "NormalDist"): lambda x: univariate(x.mean, x.stdev),
    ("scipy", "Normal"): normal,
    ("scipy", "StandardNormal"): normal,
    ("scipy", "ShiftedScaledDistribution"): shifted_scaled,
    ("scipy", "Binomial"): lambda x: families.Bernoulli(probs=x.p).repeated(x.n),
}
"""Converters by package and class name."""
