"""Distributions of other libraries, converted to the classes that the divergences compute with."""

from jsgmath.interop.base import Adapted, adapted, as_gaussian, pair_of, register

__all__ = ["Adapted", "adapted", "as_gaussian", "pair_of", "register"]
