r"""What members of one exponential family have in common, in the arrays of NumPy, torch or JAX.

With the log-normaliser ``F`` and natural parameters ``theta``, the normalised geometric mean ``G`` of two members is
that with ``g1 theta1 + g2 theta2``, and ``KL(N1||G)`` is the Bregman divergence of F between its parameter and N1's
[2].  Taken as a difference of values of F it loses its digits where members are close.  Each family therefore writes
both of its divergences as a sum of non-negative terms, by ``g`` and ``gs`` of `formula.py`, of arguments that vanish
with the difference of the members.

[2] Nielsen 2019, https://arxiv.org/abs/1904.04017
"""

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from jsgmath import formula
from jsgmath.families.arithmetic import Arithmetic, Array, arithmetic, library_of
from jsgmath.families.distribution import Distribution
from jsgmath.gaussian import real_array
from jsgmath.hints import Convention


class Family(Distribution):
    """A batch of members: its parameters broadcast, and so do those of two batches.

    ``event`` trailing axes of the batch are independent components of one distribution, over which a divergence sums.
    """

    axes: ClassVar[int] = 0
    """Of the parameters, behind those of the batch: 1 where a member has a vector of parameters."""

    event: int
    library: str
    parameters: dict[str, Array]

    def __init__(self, event: int = 0, **parameters: Any):
        libraries = {library for x in parameters.values() if (library := library_of(x))}
        if len(libraries) > 1:
            raise TypeError(f"{type(self).__name__} got arrays of {' and '.join(sorted(libraries))}; use one")
        self.event = event
        self.library = libraries.pop() if libraries else "NumPy"
        if self.library == "NumPy":
            self.parameters = {name: real_array(name, x) for name, x in parameters.items()}
        else:
            like = next(x for x in parameters.values() if library_of(x))
            self.parameters = {name: self.arithmetic.array(x, like) for name, x in parameters.items()}
            for name, x in self.parameters.items():
                if "float" not in str(x.dtype):
                    raise TypeError(f"{name} must be of a floating type, got {x.dtype}; convert it first")
        try:
            _ = self.batch_shape
        except ValueError:
            shapes = " and ".join(f"{tuple(x.shape)} of {name}" for name, x in self.parameters.items())
            raise ValueError(f"shapes {shapes} do not broadcast; make them equal or 1") from None

    def check(self, name: str, wanted: str, good: Callable[[Array], Array]) -> None:
        """Refuse bad numbers of a parameter, if it is there, and if NumPy's: reading others would wait for a device."""
        x = self.parameters.get(name)
        if self.library == "NumPy" and x is not None and not good(x).all():
            raise ValueError(f"{name} must be {wanted}, got {x[~good(x)].flat[0]}")

    def check_vector(self, name: str, least: int) -> None:
        """Refuse a parameter without a last axis of so many."""
        x = self.parameters.get(name)
        if x is not None and (x.ndim == 0 or x.shape[-1] < least):
            raise ValueError(f"{name} must have shape (..., K) with K at least {least}, got {tuple(x.shape)}")

    def like(self, other: Self, **parameters: Array) -> Self:
        """A member with parameters in the working precision, rounded to the type of self's and other's."""
        m = self.arithmetic
        dtype = m.result_type(*self.parameters.values(), *other.parameters.values())
        member = type(self)(**{name: m.rounded(x, dtype) for name, x in parameters.items()})
        return member.independent(self.event)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={x.tolist()}" for name, x in self.parameters.items())
        event = f".independent({self.event})" if self.event else ""
        return f"{type(self).__name__}({parameters}){event}"

    @property
    def arithmetic(self) -> Arithmetic:
        return arithmetic(self.library)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """With the axes of ``event``, without those of a vector of parameters."""
        shapes = (x.shape for x in self.parameters.values())
        shape = np.broadcast_shapes(*(tuple(shape) for shape in shapes))
        return shape[: len(shape) - self.axes]

    def independent(self, axes: int) -> Self:
        """The same with so many more trailing axes of the batch as components."""
        other = copy.copy(self)
        other.event = self.event + axes
        return other

    def expanded(self, batch_shape: tuple[int, ...]) -> Self:
        """The same with the batch broadcast to that shape."""
        other, m = copy.copy(self), self.arithmetic
        other.parameters = {
            name: m.broadcast(x, batch_shape + tuple(x.shape[x.ndim - self.axes :]))
            for name, x in self.parameters.items()
        }
        return other

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        other = self.expanded(self.batch_shape)
        other.parameters = {name: x[index] for name, x in other.parameters.items()}
        return other

    @abstractmethod
    def to_mean(self, other: Any, own: Array, weight: Array) -> Array:
        """``KL(self||G)``, G having the weights ``own`` on self and ``weight`` on other: one value per member."""

    @abstractmethod
    def from_mean(self, other: Any, own: Array, weight: Array) -> Array:
        """``KL(G||self)``, as `to_mean`."""

    @abstractmethod
    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        """``G`` itself, as `to_mean`."""

    def terms(self, other: Any, g1: Array, g2: Array, dual: bool) -> tuple[Array, Array]:
        """The two divergences that a skew one is the sum of [1, eqs. 8, 10]."""
        if dual:
            return self.from_mean(other, g1, g2), other.from_mean(self, g2, g1)
        return self.to_mean(other, g1, g2), other.to_mean(self, g2, g1)

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG, or its dual, of two batches of one library."""
        m = self.arithmetic
        self.check_pair(other)
        w1, w2, g1, g2 = self.weights("alpha", alpha, convention)
        with self.arithmetic.quiet():
            kl1, kl2 = self.terms(other, g1, g2, dual)
            value = formula.skew(w1, w2, m.where(w1 == 0, 0 * w1, kl1), m.where(w2 == 0, 0 * w2, kl2))
            if self.event:
                value = value.sum(tuple(range(-self.event, 0)))
            return m.rounded(value, m.result_type(*self.parameters.values(), *other.parameters.values()))

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The member that is the normalised geometric mean, with ``weight`` on ``other``."""
        self.check_pair(other)
        _, _, g1, g2 = self.weights("weight", weight, "nielsen")
        with self.arithmetic.quiet():
            return self.mean_with(other, g1, g2)

    def check_pair(self, other: Self) -> None:
        """Refuse what makes no pair; self is called N1, and other N2."""
        if type(self) is not type(other):
            raise TypeError(f"N1 is {type(self).__name__} but N2 is {type(other).__name__}; they must be of one family")
        if self.library != other.library:
            raise TypeError(f"N1 is of {self.library} but N2 of {other.library}; use one")
        if self.event != other.event:
            raise ValueError(f"N1 has {self.event} axes of components but N2 has {other.event}; make them equal")
        shape, other_shape = self.batch_shape, other.batch_shape
        try:
            np.broadcast_shapes(shape, other_shape)
        except ValueError:
            raise ValueError(
                f"batch shapes {shape} of N1 and {other_shape} of N2 do not broadcast; make them equal or 1"
            ) from None
        if self.axes and self.dim != other.dim:
            raise ValueError(f"N1 has {self.dim} components but N2 has {other.dim}; they must be equal")

    @property
    def dim(self) -> int:
        """The length of a vector of parameters."""
        return next(iter(self.parameters.values())).shape[-1]

    def weights(self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        """``w1, w2, g1, g2`` with axes for the components."""
        m, like = self.arithmetic, next(iter(self.parameters.values()))
        alpha = m.weight(name, alpha, like)
        w1, w2 = 1 - alpha, alpha
        w1, w2 = (m.work(m.array(w, like)) for w in (w1, w2))
        w1, w2 = (self.with_axes(w) for w in (w1, w2))
        g1, g2, _ = formula.mean_weights(w1, w2, convention == "deasy")
        return w1, w2, g1, g2

    def with_axes(self, weight: Array) -> Array:
        """A weight of the batch with axes for the components."""
        return weight.reshape(tuple(weight.shape) + (1,) * self.event)
