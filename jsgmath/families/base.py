r"""The base class of exponential families, with arrays of NumPy, torch or JAX.

Let ``F`` be the log-normaliser and ``theta`` the natural parameters.  The normalised geometric mean ``G`` of two
members has the natural parameters ``g1 theta1 + g2 theta2``, and ``KL(N1||G)`` is the Bregman divergence of F between
the parameters of G and N1 [2].  A difference of values of F loses its digits if the members are close.  Each family
therefore computes both divergences as sums of non-negative terms: ``g`` and ``gs`` of `formula.py` at arguments that
vanish if the members are equal.

[2] Nielsen 2019, https://arxiv.org/abs/1904.04017
"""

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from jsgmath import formula
from jsgmath.checks import check_dimensions, check_pair, common_shape, real_array
from jsgmath.families.arithmetic import Array, library_of
from jsgmath.families.distribution import Distribution
from jsgmath.hints import Convention


class Family(Distribution):
    """A batch of members of an exponential family.  The parameters broadcast, and so do two batches.

    The last ``event_dim`` axes are independent components of one distribution; a divergence sums over them.
    """

    parameter_axes: ClassVar[int] = 0
    """1 if a member has a vector of parameters, whose axis is the last of the parameter's array."""

    parameters: dict[str, Array]

    def __init__(self, event_dim: int = 0, **parameters: Any):
        libraries = {library for library in map(library_of, parameters.values()) if library}
        if len(libraries) > 1:
            raise TypeError(f"{type(self).__name__} got arrays of {' and '.join(sorted(libraries))}; use one")
        self.event_dim = event_dim
        self.library = libraries.pop() if libraries else "NumPy"
        if self.library == "NumPy":
            self.parameters = {name: real_array(name, x) for name, x in parameters.items()}
        else:
            like = next(x for x in parameters.values() if library_of(x))
            self.parameters = {name: self.arithmetic.array(x, like) for name, x in parameters.items()}
            for name, x in self.parameters.items():
                self.arithmetic.check_kind(name, x)
        common_shape("shapes", {name: tuple(x.shape) for name, x in self.parameters.items()})

    def check(self, name: str, wanted: str, good: Callable[[Array], Array]) -> None:
        """Checks the values of a parameter, if it was given and is NumPy's; reading others would wait for a device."""
        x = self.parameters.get(name)
        if self.library == "NumPy" and x is not None and not good(x).all():
            raise ValueError(f"{name} must be {wanted}, got {x[~good(x)].flat[0]}")

    def check_vector(self, name: str, least: int) -> None:
        """Checks that a parameter, if it was given, has a last axis of at least that length."""
        x = self.parameters.get(name)
        if x is not None and (x.ndim == 0 or x.shape[-1] < least):
            raise ValueError(f"{name} must have shape (..., K) with K at least {least}, got {tuple(x.shape)}")

    def like(self, other: Self, **parameters: Array) -> Self:
        """A member with these parameters, rounded to the common type of the parameters of self and other."""
        m = self.arithmetic
        dtype = m.result_type(*self.parameters.values(), *other.parameters.values())
        member = type(self)(**{name: m.rounded(x, dtype) for name, x in parameters.items()})
        return member.independent(self.event_dim)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={x.tolist()}" for name, x in self.parameters.items())
        events = f".independent({self.event_dim})" if self.event_dim else ""
        return f"{type(self).__name__}({parameters}){events}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch axes and event axes, without the axis of a vector of parameters."""
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in self.parameters.values()))
        return shape[: len(shape) - self.parameter_axes]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.shape[: len(self.shape) - self.event_dim]

    @property
    def dim(self) -> int:
        """The length of a vector of parameters, otherwise 1."""
        return next(iter(self.parameters.values())).shape[-1] if self.parameter_axes else 1

    def independent(self, axes: int) -> Self:
        """The same members, with ``axes`` more trailing axes of the batch as independent components."""
        other = copy.copy(self)
        other.event_dim = self.event_dim + axes
        return other

    def expanded(self, shape: tuple[int, ...]) -> Self:
        """The same members, with batch and event axes broadcast to ``shape``."""
        other, m = copy.copy(self), self.arithmetic
        other.parameters = {
            name: m.broadcast(x, shape + tuple(x.shape[x.ndim - self.parameter_axes :]))
            for name, x in self.parameters.items()
        }
        return other

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        other = self.expanded(self.shape)
        other.parameters = {name: x[index] for name, x in other.parameters.items()}
        return other

    @abstractmethod
    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        """``KL(self||G)`` per member; in G self has the weight ``own`` and other has ``weight``."""

    @abstractmethod
    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        """``KL(G||self)`` per member, with the arguments of `to_mean`."""

    @abstractmethod
    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        """``G``, with the arguments of `to_mean`."""

    def terms(self, other: Any, g1: Array, g2: Array, dual: bool) -> tuple[Array, Array]:
        """The two KL divergences whose weighted sum is JSG or JSG* [1, eqs. 8, 10]."""
        if dual:
            return self.from_mean(other, g1, g2), other.from_mean(self, g2, g1)
        return self.to_mean(other, g1, g2), other.to_mean(self, g2, g1)

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG or JSG* between two batches of one class and library."""
        m = self.arithmetic
        w1, w2, g1, g2 = self.weights(other, "alpha", alpha, convention)
        with m.quiet():
            kl1, kl2 = self.terms(other, g1, g2, dual)
            value = formula.skew(w1, w2, m.where(w1 == 0, 0 * w1, kl1), m.where(w2 == 0, 0 * w2, kl2))
            if self.event_dim:
                value = value.sum(tuple(range(-self.event_dim, 0)))
            return m.rounded(value, m.result_type(*self.parameters.values(), *other.parameters.values()))

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The member that is the normalised geometric mean, in which ``other`` has the weight ``weight``."""
        _, _, g1, g2 = self.weights(other, "weight", weight, "nielsen")
        with self.arithmetic.quiet():
            return self.mean_with(other, g1, g2)

    def weights(self, other: Self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        """``w1, w2, g1, g2`` with axes for the components, after all checks of the pair."""
        check_pair(self, other)
        check_dimensions(self.dim, other.dim)
        m, like = self.arithmetic, next(iter(self.parameters.values()))
        alpha = m.weight(name, alpha, like)
        w1, w2 = (self.with_event_axes(m.work(m.array(w, like))) for w in (1 - alpha, alpha))
        common_shape("shapes", {"N1": self.shape, "N2": other.shape, name: tuple(w2.shape)})
        g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
        return w1, w2, g1, g2

    def with_event_axes(self, weight: Array) -> Array:
        """A weight of the batch, with axes of length 1 for the components."""
        return weight.reshape(tuple(weight.shape) + (1,) * self.event_dim)
