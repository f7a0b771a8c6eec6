"""Converts the distributions of other libraries to the classes that the divergences use."""

from jsgmath.interop.base import adapted, gaussian_pair, pair_of, register

__all__ = ["adapted", "gaussian_pair", "pair_of", "register"]
