"""Skew-geometric Jensen-Shannon divergences between Gaussians, numerically verified."""

import importlib
from types import ModuleType

from jsgmath import families
from jsgmath.bounds import bhattacharyya_bound, jsg_bounds, jsg_extended
from jsgmath.divergences import bhattacharyya, geometric_mean, jeffreys, jsg, jsg_dual, kl
from jsgmath.gaussian import Gaussian
from jsgmath.gradients import Gradient, jsg_dual_grad, jsg_grad
from jsgmath.interop import register
from jsgmath.many import geometric_mean_many, jsg_many
from jsgmath.mixture import js
from jsgmath.pairwise import pairwise

__version__ = "0.1.0"
__all__ = [
    "Gaussian",
    "Gradient",
    "bhattacharyya",
    "bhattacharyya_bound",
    "families",
    "geometric_mean",
    "geometric_mean_many",
    "jeffreys",
    "js",
    "jsg",
    "jsg_bounds",
    "jsg_dual",
    "jsg_dual_grad",
    "jsg_extended",
    "jsg_grad",
    "jsg_many",
    "kl",
    "pairwise",
    "register",
]


def __getattr__(name: str) -> ModuleType:
    if name == "certified":  # imported on first use, because it needs python-flint
        return importlib.import_module("jsgmath.certified")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
