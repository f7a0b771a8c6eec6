"""Exponential families other than Gaussians of full covariance, with arrays of NumPy, torch or JAX."""

from jsgmath.families.base import Family
from jsgmath.families.bernoulli import Bernoulli
from jsgmath.families.categorical import Categorical
from jsgmath.families.dirichlet import Beta, Dirichlet
from jsgmath.families.gamma import Exponential, Gamma
from jsgmath.families.geometric import Geometric
from jsgmath.families.normal import Normal
from jsgmath.families.poisson import Poisson

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirichlet",
    "Exponential",
    "Family",
    "Gamma",
    "Geometric",
    "Normal",
    "Poisson",
]
