"""What every distribution other than `Gaussian` is to the divergences."""

from abc import ABC, abstractmethod
from typing import Any, Self

from jsgmath.families.arithmetic import Array
from jsgmath.hints import Convention


class Distribution(ABC):
    """A batch of distributions in the arrays of one library."""

    library: str
    """``"NumPy"``, ``"torch"`` or ``"JAX"``."""

    @abstractmethod
    def skew(self, other: Any, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG, or its dual, between two batches of one kind and library."""

    @abstractmethod
    def geometric_mean(self, other: Any, weight: Any) -> Self:
        """The normalised geometric mean, with ``weight`` on ``other``."""

    def held(self) -> Any:
        """The same as a user of that library holds it."""
        return self
