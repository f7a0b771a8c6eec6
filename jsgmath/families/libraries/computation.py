"""Functions that compute their own derivatives."""

from collections.abc import Sequence
from typing import Any, Protocol

Array = Any  # an array of NumPy, torch or JAX


class Computation(Protocol):
    """A function of arrays and its derivatives."""

    vectors: Sequence[bool]
    """For each array, whether its last axis is that of a vector of parameters."""

    def value(self, arrays: Sequence[Array]) -> Array:
        """One value per component."""
        ...

    def derivatives(self, arrays: Sequence[Array], needed: Sequence[bool]) -> list[Array | None]:
        """The derivatives of each component's value by each array; None for derivatives that are not needed."""
        ...
