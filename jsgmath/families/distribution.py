"""The interface of all distributions except `jsgmath.Gaussian`, as the divergences use it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

from jsgmath.families.libraries import arithmetic
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, total
from jsgmath.hints import Convention


class Distribution(ABC):
    """A batch of distributions in the arrays of one library."""

    library: str
    """``"NumPy"``, ``"torch"`` or ``"JAX"``."""
    event_dim: int
    """The number of trailing axes that belong to one distribution, as in `torch.distributions`."""

    @property
    def arithmetic(self) -> Arithmetic:
        """The functions of the library."""
        return arithmetic(self.library)

    @property
    @abstractmethod
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of the batch."""

    @abstractmethod
    def indexed(self, index: Any) -> Self:
        """A part of the batch."""

    @abstractmethod
    def skew(self, other: Any, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG or JSG* between two batches of one class and library."""

    def jeffreys(self, other: Any, kl: Callable[[Any, Any], Array]) -> Array:
        """``KL(N1||N2) + KL(N2||N1)``; a class without a better formula calls the function ``kl``."""
        return kl(self, other) + kl(other, self)

    @abstractmethod
    def geometric_mean(self, other: Any, weight: Any) -> Self:
        """The normalised geometric mean, in which ``other`` has the weight ``weight``."""

    @classmethod
    def product(cls, members: Sequence[Any], weights: Sequence[Array]) -> Any:
        """The normalised geometric mean of any number of Gaussians."""
        raise TypeError(f"gaussians must be Gaussian, got members of {cls.__name__}; jsg compares two of them")

    @classmethod
    def jsg_many(
        cls, members: Sequence[Any], weights: Sequence[Array], mean_weights: Sequence[Array], dual: bool
    ) -> Array:
        """JSG, or JSG*, of any number of Gaussians from their geometric mean."""
        G = cls.product(members, mean_weights)
        terms = [N.skew(G, 0.0, "deasy", dual) for N in members]
        m = members[0].arithmetic
        return m.rounded(total(w * term for w, term in zip(weights, terms, strict=True)), m.result_type(*terms))

    @classmethod
    def from_other(cls, other: Any) -> Any:
        """Converts ``other``, a distribution of another class, to this class if it is a special case of this class."""
        return other

    def to_library(self) -> Any:
        """The equivalent distribution of the library itself, if there is one, otherwise self."""
        return self
