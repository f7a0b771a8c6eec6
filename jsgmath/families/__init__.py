"""Exponential families beyond the Gaussians of full covariance, in the arrays of NumPy, torch or JAX."""

from jsgmath.families.base import Family
from jsgmath.families.normal import Normal

__all__ = ["Family", "Normal"]
