"""Converts the distributions of torch, NumPyro, distrax and TFP, whose attributes have the same names.

Classes are matched by name, so that no library is imported.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from jsgmath import families
from jsgmath.checks import real_array
from jsgmath.families import low_rank, low_rank_terms
from jsgmath.families.gamma import Powers
from jsgmath.families.libraries import arithmetic
from jsgmath.families.libraries.arithmetic import library_of
from jsgmath.gaussian import Gaussian
from jsgmath.interop.composite import Composite
from jsgmath.interop.images import Image
from jsgmath.interop.scipy import inverse_wishart, univariate

Converter = Callable[[Any], Any]


def concrete(array: Any) -> np.ndarray:
    """Converts an array of JAX or TensorFlow to NumPy."""
    try:
        return real_array("an array", np.asarray(array))
    except Exception as error:
        if library_of(array) != "JAX":
            raise
        raise TypeError(
            "full covariances of JAX arrays are computed by NumPy, which can be neither traced nor differentiated "
            f"({type(error).__name__}); JAX itself is used for Normal, Independent and MultivariateNormalDiag"
        ) from None


def normal(distribution: Any) -> Any:
    loc, scale = distribution.loc, distribution.scale
    if has_derivatives(loc, scale) or package(distribution) in ("torch", "numpyro"):  # NumPyro keeps plain numbers
        return families.Normal(*arrays(distribution, loc, scale))
    return univariate(np.asarray(loc), np.asarray(scale))


def diagonal_normal(distribution: Any) -> Any:
    std = distribution.scale_diag if package(distribution) == "distrax" else distribution.scale.diag_part()
    loc = mean_of(distribution, std)
    if has_derivatives(loc, std):
        return families.Normal(*arrays(distribution, loc, abs(std)), event_dim=1)
    return Gaussian(np.asarray(loc), std=np.abs(np.asarray(std)))


def mean_of(distribution: Any, like: Any) -> Any:
    """The mean; TFP keeps None for 0.  ``like`` is an array of the shape and type of a mean."""
    return 0 * like if distribution.loc is None else distribution.loc


def torch_multivariate_normal(distribution: Any) -> Any:
    """The factor is taken as it was given: ``scale_tril`` repeats it for each mean."""
    from jsgmath.torch.distributions import MultivariateNormal  # imports torch

    return MultivariateNormal(distribution.loc, distribution._unbroadcasted_scale_tril)


def multitask_normal(distribution: Any) -> Any:
    """GPyTorch's normal distribution of a matrix, whose entries come by rows, unless it is ``interleaved=False``."""
    normal = torch_multivariate_normal(distribution)
    if distribution._interleaved:
        return normal
    rows, columns = distribution.event_shape
    order = [column * rows + row for row in range(rows) for column in range(columns)]
    root = normal.scale_tril[..., order, :]
    return type(normal)(normal.mean[..., order], low_rank_terms.triangular(arithmetic("torch"), root))


def numpyro_multivariate_normal(distribution: Any) -> Gaussian:
    return of_factor(concrete(distribution.loc), concrete(distribution.scale_tril), lower=True)


def distrax_multivariate_normal(distribution: Any) -> Gaussian:
    return of_factor(concrete(distribution.loc), concrete(distribution.scale_tri), distribution.is_lower)


def tfp_multivariate_normal(distribution: Any) -> Gaussian:
    factor = concrete(distribution.scale.to_dense())
    return of_factor(concrete(mean_of(distribution, factor[..., 0])), factor, not np.triu(factor, 1).any())


def of_factor(mean: np.ndarray, factor: np.ndarray, lower: bool) -> Gaussian:
    """A Gaussian with covariance ``factor @ factor.T``; the signs of the columns do not matter.

    A factor that is not lower triangular is replaced by one that is, computed in float64.
    """
    if not lower:
        return of_triangular_factor(mean, low_rank_terms.triangular(arithmetic("NumPy"), factor.astype(np.float64)))
    signs = np.where(np.diagonal(factor, axis1=-2, axis2=-1) < 0, -1, 1).astype(factor.dtype)
    return Gaussian(mean, scale_tril=factor * signs[..., None, :])


def of_triangular_factor(mean: np.ndarray, factor: np.ndarray) -> Gaussian:
    """A Gaussian whose Cholesky factor stays in float64; results have the type of the mean."""
    N = Gaussian(mean, scale_tril=factor)
    return Gaussian.checked(N.form, N.mean.astype(np.asarray(mean).dtype), N.scale, N.factor)


def torch_low_rank_normal(distribution: Any) -> Any:
    from jsgmath.torch.low_rank import LowRankMultivariateNormal  # imports torch

    return LowRankMultivariateNormal(distribution.loc, distribution.cov_factor, distribution.cov_diag)


def numpyro_low_rank_normal(distribution: Any) -> Any:
    arrays = map(concrete, (distribution.loc, distribution.cov_factor, distribution.cov_diag))
    return low_rank.LowRankMultivariateNormal(*arrays)


def distrax_linear_normal(distribution: Any) -> Any:
    """The factor is a linear map, such as ``D + U V^T``."""
    factor = concrete(
        distribution.scale.to_dense() if hasattr(distribution.scale, "to_dense") else distribution.scale.matrix
    )
    return of_factor(concrete(distribution.loc), factor, not np.triu(factor, 1).any())


def torch_wishart(distribution: Any) -> Any:
    from jsgmath.torch.distributions import MultivariateNormal  # imports torch

    tril = distribution.scale_tril
    return Composite(MultivariateNormal(0 * tril[..., 0], tril), degrees=distribution.df)


def wishart(scale_tril: np.ndarray, degrees: Any) -> Composite:
    return Composite(Gaussian(0 * scale_tril[..., 0], scale_tril=scale_tril), degrees=np.asarray(degrees))


def numpyro_wishart(distribution: Any) -> Composite:
    return wishart(concrete(distribution.scale_tril), distribution.concentration)


def numpyro_inverse_wishart(distribution: Any) -> Image:
    return inverse_wishart(concrete(distribution.scale_matrix), distribution.concentration)


def tfp_wishart(distribution: Any) -> Composite:
    return wishart(
        concrete(
            distribution.scale.to_dense() if hasattr(distribution.scale, "to_dense") else distribution._scale.to_dense()
        ),
        distribution.df,
    )


def by_parameters(family: Callable[..., families.Family], **names: str) -> Converter:
    """Returns a converter to ``family``; ``names`` are the names of its parameters in the other library."""

    def converter(distribution: Any) -> families.Family:
        values = arrays(distribution, *(getattr(distribution, name) for name in names.values()))
        if not has_derivatives(*values):
            values = [np.asarray(x) for x in values]
        return family(**dict(zip(names, values, strict=True)))

    return converter


def by_probs_or_logits(family: Callable[..., families.Family]) -> Converter:
    """Returns a converter to ``family`` that uses the parameter from which the distribution was made."""

    def converter(distribution: Any) -> families.Family:
        name = given_parameter(distribution)
        return by_parameters(family, **{name.strip("_"): name})(distribution)

    return converter


def given_parameter(distribution: Any) -> str:
    """The name of the parameter from which the distribution was made.

    torch and NumPyro add the other one, which is less accurate, when it is asked for.  In torch it then comes later in
    ``__dict__``; NumPyro restores ``__dict__`` in another order, but names the parameter in the class.
    """
    for kind in type(distribution).__mro__:
        if kind.__name__.endswith(("Probs", "Logits")):
            return "probs" if kind.__name__.endswith("Probs") else "logits"
    names, attributes = ("_probs", "_logits", "probs", "logits"), cast(dict[str, Any], vars(distribution))
    if [name for name in attributes if name in (*names, "_batch_shape")][:2] == ["probs", "logits"]:
        return given_of_expanded(distribution)
    return next(name for name, value in attributes.items() if name in names and value is not None)


def given_of_expanded(distribution: Any) -> str:
    """Does the same for a result of torch's ``expand``, which stores both parameters."""
    from torch import finfo
    from torch.distributions.utils import probs_to_logits

    logits = distribution.logits
    follow = probs_to_logits(distribution.probs, is_binary=not hasattr(distribution, "_num_events"))
    rounding = 4 * finfo(logits.dtype).eps
    return "probs" if bool(follow.isclose(logits, rounding, rounding).all()) else "logits"


def has_derivatives(*values: Any) -> bool:
    """Whether an array is of torch or JAX."""
    return any(library_of(x) in ("torch", "JAX") for x in values)


def package(distribution: object) -> str:
    """The library of a distribution, also of a subclass that a user wrote."""
    roots = [kind.__module__.partition(".")[0] for kind in type(distribution).__mro__]
    return next((root for root in roots if root in ("torch", "numpyro", "distrax")), roots[0])


def arrays(distribution: object, *values: Any) -> list[Any]:
    """The values; those of NumPyro and distrax, which may keep other numbers, as arrays of floats of JAX."""
    if package(distribution) not in ("numpyro", "distrax"):
        return list(values)
    found = [arithmetic("JAX").array(x, x) for x in values]
    return [x * 1.0 if x.dtype.kind in "iu" else x for x in found]


def repeated(family: Callable[..., families.Family]) -> Converter:
    """Returns a converter for distributions of ``total_count`` draws from a member of ``family``."""

    def converter(distribution: Any) -> families.Family:
        one_hot = getattr(distribution, "_categorical", distribution)  # torch stores the parameters there
        return by_probs_or_logits(family)(one_hot).repeated(distribution.total_count)

    return converter


def one_hot(distribution: Any) -> families.Family:
    return by_probs_or_logits(families.Categorical)(getattr(distribution, "_categorical", distribution))


def negative_binomial(distribution: Any) -> families.Family:
    """Converts to a sum of geometric distributions; their q is the distribution's probability."""
    (value,) = arrays(distribution, getattr(distribution, name := given_parameter(distribution)))
    if name.endswith("logits"):
        base = families.Geometric(logits=-(value if has_derivatives(value) else np.asarray(value)))
    elif has_derivatives(value):
        base = families.Geometric.of(failures=value)
    else:
        base = families.Geometric(probs=1 - np.asarray(value))
    return base.repeated(distribution.total_count)


def image(name: str, base: Converter, *constants: str) -> Converter:
    """Returns a converter to an `Image` whose map has the parameters ``constants``."""
    return lambda distribution: Image(base(distribution), name, {c: getattr(distribution, c) for c in constants})


def half_normal(distribution: Any) -> families.Normal | Gaussian:
    """Converts to a normal distribution of mean 0; the divergences do not depend on the sign of its variable."""
    scale = distribution.scale
    if has_derivatives(scale) or package(distribution) in ("torch", "numpyro"):
        return families.Normal(*arrays(distribution, 0 * scale, scale))
    return univariate(0.0 * np.asarray(scale), np.asarray(scale))


def weibull(distribution: Any) -> Powers:
    """The distribution of a power."""
    shape, scale = arrays(distribution, distribution.concentration, distribution.scale)
    return Powers(*((scale, shape) if has_derivatives(scale, shape) else map(np.asarray, (scale, shape))))


def rate_of(distribution: Any) -> Any:
    """Returns the rate; TFP's distributions may have its logarithm instead."""
    if getattr(distribution, "rate", None) is not None:
        return distribution.rate
    log_rate = distribution.log_rate
    return arithmetic(library_of(log_rate) or "NumPy").exp(log_rate)


def poisson(distribution: Any) -> families.Poisson:
    log_rate = getattr(distribution, "log_rate", None)
    if getattr(distribution, "rate", None) is None and has_derivatives(log_rate):
        return families.Poisson.of_log_rate(log_rate)
    (rate,) = arrays(distribution, rate_of(distribution))
    return families.Poisson(rate if has_derivatives(rate) else np.asarray(rate))


def gamma(distribution: Any) -> families.Gamma:
    shape, log_rate = distribution.concentration, getattr(distribution, "log_rate", None)
    if getattr(distribution, "rate", None) is None and has_derivatives(shape, log_rate):
        return families.Gamma(shape, log_rate=log_rate)
    values = arrays(distribution, shape, rate_of(distribution))
    return families.Gamma(*(values if has_derivatives(*values) else map(np.asarray, values)))


def exp_inverse_gamma(distribution: Any) -> families.Gamma:
    """Converts the logarithm of an inverse gamma variable; TFP may store the logarithm of the scale."""
    scale = distribution.scale
    if scale is None and has_derivatives(distribution.concentration, distribution.log_scale):
        return families.Gamma(distribution.concentration, log_rate=distribution.log_scale)
    if scale is None:
        scale = arithmetic(library_of(distribution.log_scale) or "NumPy").exp(distribution.log_scale)
    values = [distribution.concentration, scale]
    return families.Gamma(*(values if has_derivatives(*values) else map(np.asarray, values)))


def tfp_low_rank_covariance(distribution: Any) -> Any:
    D = distribution.cov_diag_factor
    parts = mean_of(distribution, D), distribution.cov_perturb_factor, D
    return low_rank.LowRankMultivariateNormal(*map(concrete, parts))


def gamma_poisson(distribution: Any) -> families.Geometric:
    """A negative binomial distribution of NumPyro, also a ``NegativeBinomial2``, or of Pyro."""
    count, rate = arrays(distribution, distribution.concentration, distribution.rate)
    return families.Geometric.of(odds=rate).repeated(count)


def parametric(root: str, *suffixes: str) -> dict[tuple[str, str], Converter]:
    """Returns the converters for one library; NumPyro's classes have suffixes for probs and logits."""
    beta = {"a": "alpha", "b": "beta"} if root == "distrax" else {"a": "concentration1", "b": "concentration0"}
    found: dict[tuple[str, str], Converter] = {
        (root, "Poisson"): poisson,
        (root, "Exponential"): by_parameters(families.Exponential, rate="rate"),
        (root, "Gamma"): gamma,
        (root, "Dirichlet"): by_parameters(families.Dirichlet, concentration="concentration"),
        (root, "Beta"): by_parameters(families.Beta, **beta),
        (root, "Laplace"): image("Laplace", by_parameters(families.Exponential, scale="scale"), "loc"),
        (root, "HalfNormal"): image("HalfNormal", half_normal),
        (root, "Weibull"): image("Weibull", weibull, "concentration"),
    }
    for suffix in suffixes:
        found[root, f"Bernoulli{suffix}"] = by_probs_or_logits(families.Bernoulli)
        found[root, f"Categorical{suffix}"] = by_probs_or_logits(families.Categorical)
        found[root, f"Geometric{suffix}"] = by_probs_or_logits(families.Geometric)
        found[root, f"Binomial{suffix}"] = repeated(families.Bernoulli)
        found[root, f"Multinomial{suffix}"] = repeated(families.Categorical)
        found[root, f"OneHotCategorical{suffix}"] = one_hot
        found[root, f"NegativeBinomial{suffix}"] = negative_binomial
    return found


ADAPTERS: dict[tuple[str, str], Converter] = {
    ("torch", "MultivariateNormal"): torch_multivariate_normal,
    ("numpyro", "MultivariateNormal"): numpyro_multivariate_normal,
    ("distrax", "MultivariateNormalTri"): distrax_multivariate_normal,
    ("tensorflow_probability", "MultivariateNormalLinearOperator"): tfp_multivariate_normal,
    ("tensorflow_probability", "MultivariateNormalDiagPlusLowRankCovariance"): tfp_low_rank_covariance,
    ("torch", "LowRankMultivariateNormal"): torch_low_rank_normal,
    ("numpyro", "LowRankMultivariateNormal"): numpyro_low_rank_normal,
    ("distrax", "MultivariateNormalDiag"): diagonal_normal,
    ("tensorflow_probability", "MultivariateNormalDiag"): diagonal_normal,
    **{(root, "Normal"): normal for root in ("torch", "numpyro", "distrax", "tensorflow_probability")},
    **parametric("torch", ""),
    **parametric("numpyro", "Probs", "Logits"),
    ("numpyro", "Pareto"): image("Pareto", by_parameters(families.Exponential, rate="alpha"), "scale"),
    ("torch", "Wishart"): torch_wishart,
    ("gpytorch", "MultitaskMultivariateNormal"): multitask_normal,
    ("numpyro", "GammaPoisson"): gamma_poisson,
    ("pyro", "GammaPoisson"): gamma_poisson,
    ("numpyro", "InverseWishart"): numpyro_inverse_wishart,
    ("numpyro", "Wishart"): numpyro_wishart,
    ("tensorflow_probability", "WishartTriL"): tfp_wishart,
    **parametric("distrax", ""),
    **parametric("tensorflow_probability", ""),
    ("tensorflow_probability", "InverseGamma"): image(
        "InverseGamma", by_parameters(families.Gamma, shape="concentration", rate="scale")
    ),
    ("tensorflow_probability", "Pareto"): image(
        "Pareto", by_parameters(families.Exponential, rate="concentration"), "scale"
    ),
    ("tensorflow_probability", "ExpGamma"): image("ExpGamma", gamma),
    ("tensorflow_probability", "ExpInverseGamma"): image("ExpInverseGamma", exp_inverse_gamma),
    ("tensorflow_probability", "Chi2"): lambda x: families.Gamma(shape=x.df / 2, rate=0 * x.df + 0.5),
    ("distrax", "MultivariateNormalFromBijector"): distrax_linear_normal,
}
"""Converters by package and class name."""
