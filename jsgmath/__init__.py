"""Skew-geometric Jensen-Shannon divergences between Gaussians, numerically verified."""

from jsgmath.divergences import (
    Gradient,
    bhattacharyya,
    geometric_mean,
    jeffreys,
    jsg,
    jsg_dual,
    jsg_dual_grad,
    jsg_grad,
    kl,
)
from jsgmath.gaussian import Gaussian

__version__ = "0.1.0"
__all__ = [
    "Gaussian",
    "Gradient",
    "bhattacharyya",
    "geometric_mean",
    "jeffreys",
    "jsg",
    "jsg_dual",
    "jsg_dual_grad",
    "jsg_grad",
    "kl",
]
