"""Distributions whose divergences are sums or multiples of the divergences of other distributions."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from jsgmath.checks import check_pair, differ
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries.arithmetic import library_of
from jsgmath.hints import Convention


class Composite(Distribution):
    """Independent multivariate Gaussians, or Wishart distributions.

    Args:
        base: a batch of Gaussians.
        axes: the number of its trailing batch axes whose members are the parts of one distribution.
        degrees: the factor of their divergences: the degrees of freedom of a Wishart distribution, which is the
            distribution of the scatter of that many draws with mean 0.
    """

    described = "Wishart distribution, or independent multivariate Gaussians,"

    def __init__(self, base: Any, axes: int = 0, degrees: Any = 1):
        self.base, self.axes, self.degrees, self.library = base, axes, degrees, base.library
        self.event_dim = 1 + axes

    @property
    def batch_shape(self) -> tuple[int, ...]:
        shape = tuple(self.base.batch_shape)
        return shape[: len(shape) - self.axes]

    def indexed(self, index: Any) -> Self:
        raise TypeError(
            "independent multivariate Gaussians, or Wishart distributions, are not taken as a batch here; "
            "pass a list of them"
        )

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Any:
        raise TypeError("independent multivariate Gaussians are taken by the divergences of two distributions only")

    def combined(self, other: Self, divergence: Callable[[Any, Any, Any], Any], alpha: Any) -> Any:
        """The sum of the divergences of the parts, times the degrees of freedom."""
        check_pair(self, other)
        if differ(self.degrees, other.degrees):
            raise ValueError(
                f"N1 is a Wishart distribution of {self.degrees} degrees of freedom but N2 of {other.degrees}; "
                "they are taken only if these numbers are equal"
            )
        value = divergence(self.base, other.base, self.for_parts(alpha)) * self.degrees
        return value.sum(tuple(range(-self.axes, 0))) if self.axes else value

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        raise TypeError(
            "the geometric mean of independent multivariate Gaussians, or of Wishart distributions, has no class here; "
            "take that of their parts, which are multivariate Gaussians"
        )

    def independent(self, axes: int) -> "Composite":
        return type(self)(self.base, self.axes + axes, self.degrees)

    def for_parts(self, alpha: Any) -> Any:
        """A weight of the batch, with axes of length 1 for the parts."""
        if library_of(alpha) is None and np.ndim(alpha) == 0:
            return alpha
        alpha = alpha if library_of(alpha) else np.asarray(alpha)
        return alpha.reshape(tuple(alpha.shape) + (1,) * self.axes)
