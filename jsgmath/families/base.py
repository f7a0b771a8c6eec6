r"""The base class of exponential families, with arrays of NumPy, torch or JAX.

Let ``F`` be the log-normaliser and ``theta`` the natural parameters.  The normalised geometric mean ``G`` of two
members has the natural parameters ``g1 theta1 + g2 theta2``, and ``KL(N1||G)`` is the Bregman divergence of F between
the parameters of G and N1 [2].  A difference of values of F loses its digits if the members are close.  Each family
therefore computes both divergences as sums of non-negative terms: ``g`` and ``gs`` of `formula.py` at arguments that
vanish if the members are equal.

[2] Nielsen 2019, https://arxiv.org/abs/1904.04017
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from jsgmath import formula
from jsgmath.checks import check_dimensions, check_pair, common_shape, differ, real_array
from jsgmath.families.distribution import Distribution
from jsgmath.families.libraries import arithmetic
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, Weight, library_of
from jsgmath.families.pair_computation import PairComputation
from jsgmath.families.rounding import Divergence, rounded_divergence
from jsgmath.hints import Convention

FEW = 4096  # in larger arrays, checking only the smallest and the largest number is faster


def one_of(family: object, **parameters: Any) -> dict[str, Any]:
    """Returns the one parameter of the two that was given."""
    given = {name: x for name, x in parameters.items() if x is not None}
    if len(given) != 1:
        first, second = parameters
        kind = type(family).__name__
        raise TypeError(f"{kind} takes either {first}= or {second}=, got {'both' if given else 'neither'}")
    return given


class Family(Distribution):
    """A batch of members of an exponential family.  The parameters broadcast, and so do two batches.

    The last ``event_dim`` axes are independent components of one distribution; a divergence sums over them.
    """

    of_products: ClassVar[bool] = True
    """Whether the formulas contain products of a few parameters, and no exponentials of them."""
    of_gammas: ClassVar[bool] = False
    """Whether the formulas contain gamma functions."""
    parameter_axes: ClassVar[int] = 0
    """1 if a member has a vector of parameters, whose axis is the last of the parameter's array."""
    core_axes: ClassVar[int] = 0
    """The same for the arrays that the core takes."""

    core_name: ClassVar[str] = ""
    """The name in `native.FAMILIES` of a family whose divergences NumPy rounds correctly."""

    parameters: dict[str, Array]
    copies: Any = 1
    """The number of independent draws that make up one draw; it multiplies the divergences."""
    kept: dict[str, Any] | None = None
    """Intermediate results of one computation, if this is a copy made for it."""
    twin: Any = None
    """The same two distributions in the other order, if this is two as one."""
    chosen: Arithmetic | None = None
    """The arithmetic of one computation, if this is a copy made for it."""

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

    @property
    def arithmetic(self) -> Arithmetic:
        return self.chosen or arithmetic(self.library)  # torch.compile cannot trace a property of `super()`

    @property
    def moderate(self) -> tuple[float, float]:
        """The limits between which no product of parameters leaves the range of float32."""
        return 2.0**-12, 2.0**12

    def limits(self, name: str) -> tuple[float, float]:
        """The limits of `moderate` for one parameter."""
        return self.moderate

    def direct_limits(self, name: str) -> tuple[float, float]:
        """The limits between which `direct` and `at_once` are accurate."""
        return self.limits(name)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Returns ``compute()`` and caches it, because one computation needs it more than once."""
        if self.kept is None:
            return compute()
        if name not in self.kept:
            of_twin = self.twin.kept.get(name) if self.twin else None
            self.kept[name] = compute() if of_twin is None else self.arithmetic.exchanged(of_twin)
        return self.kept[name]

    def check(self, name: str, wanted: str, good: Callable[[Array], Array], interval: bool = True) -> None:
        """Checks the values of a parameter of NumPy, if it was given; reading other arrays would wait for a device.

        If the good numbers form an ``interval``, only the smallest and the largest of a large array are checked; both
        are NaN if one number is.
        """
        x = self.parameters.get(name)
        if self.library != "NumPy" or x is None:
            return
        looked_at = x
        if interval and x.size > FEW:
            with np.errstate(invalid="ignore"):
                looked_at = np.array([x.min(), x.max()])
        if not good(looked_at).all():
            raise ValueError(f"{name} must be {wanted}, got {x[~good(x)].flat[0]}")

    def check_vector(self, name: str, least: int) -> None:
        """Checks that a parameter, if it was given, has a last axis of length ``least`` or more."""
        x = self.parameters.get(name)
        if x is not None and (x.ndim == 0 or x.shape[-1] < least):
            raise ValueError(f"{name} must have shape (..., K) with K at least {least}, got {tuple(x.shape)}")

    def like(self, other: Self, **parameters: Array) -> Self:
        """Makes a member with these parameters, rounded to the common type of the parameters of self and other."""
        m = self.arithmetic
        dtype = m.result_type(*self.parameters.values(), *other.parameters.values())
        member = type(self)(**{name: m.rounded(x, dtype) for name, x in parameters.items()})
        return member.repeated(self.copies).independent(self.event_dim)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={x.tolist()}" for name, x in self.parameters.items())
        events = f".independent({self.event_dim})" if self.event_dim else ""
        copies = "" if isinstance(self.copies, int) and self.copies == 1 else f".repeated({self.copies})"
        return f"{type(self).__name__}({parameters}){copies}{events}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch axes and event axes, without the axis of a vector of parameters."""
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in self.parameters.values()))
        shape = shape[: len(shape) - self.parameter_axes]
        return np.broadcast_shapes(shape, tuple(np.shape(self.copies)))

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.shape[: len(self.shape) - self.event_dim]

    @property
    def dim(self) -> int:
        """The length of a vector of parameters, otherwise 1."""
        return next(iter(self.parameters.values())).shape[-1] if self.parameter_axes else 1

    def independent(self, axes: int) -> Self:
        """Makes ``axes`` more trailing axes of the batch independent components."""
        return self.altered(event_dim=self.event_dim + axes)

    def altered(self, **attributes: Any) -> Self:
        """A copy with other attributes.  (torch.compile of torch 2.11 refuses `copy.copy`.)"""
        other = object.__new__(type(self))
        for name in ("event_dim", "library", "parameters", "copies", "kept", "twin", "chosen"):
            setattr(other, name, attributes[name] if name in attributes else getattr(self, name))
        return other

    def repeated(self, copies: Any) -> Self:
        """The distributions of ``copies`` independent draws; those of a Bernoulli distribution are binomial.

        >>> from jsgmath import families, kl
        >>> first, second = (families.Bernoulli(probs=p) for p in (0.25, 0.5))
        >>> print(kl(first.repeated(4), second.repeated(4)) / kl(first, second))
        4.0
        """
        return self.altered(copies=copies if isinstance(copies, int) or library_of(copies) else np.asarray(copies))

    def of_as_many_draws_as(self, other: Self) -> bool:
        return not differ(self.copies, other.copies)

    def expanded(self, shape: tuple[int, ...]) -> Self:
        """Broadcasts batch and event axes to ``shape``."""
        parameters = {
            name: self.arithmetic.broadcast(x, shape + tuple(x.shape[x.ndim - self.parameter_axes :]))
            for name, x in self.parameters.items()
        }
        return self.altered(parameters=parameters)

    def indexed(self, index: Any) -> Self:
        """A part of the batch."""
        other = self.expanded(self.shape)
        other.parameters = {name: x[index] for name, x in other.parameters.items()}
        if np.ndim(self.copies):
            other.copies = self.arithmetic.broadcast(self.copies, self.shape)[index]
        return other

    def work(self, x: Array) -> Array:
        """Converts an array to the precision of the computation."""
        return self.arithmetic.wide(x)

    def for_core(self) -> tuple[int, list[np.ndarray]]:
        """The arguments of the core: 1 for a scale or log-odds, otherwise 0, then one or two arrays of parameters."""
        ((name, x),) = self.parameters.items()
        return int(name in ("scale", "logits")), [x]

    @abstractmethod
    def to_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        """``times KL(self||G)`` per member; in G, self has the weight ``own`` and other has ``weight``.

        The product may be finite although the divergence is not.
        """

    @abstractmethod
    def from_mean(self, other: Any, own: Weight, weight: Weight, times: Weight) -> Array:
        """``times KL(G||self)`` per member, with the arguments of `to_mean`."""

    def direct(self, other: Any) -> Array | None:
        """``KL(self||other)`` by a faster formula for moderate parameters; None if there is no such formula."""

    def direct_slopes(self, other: Any) -> list[Array] | None:
        """The derivatives of `direct` by the parameters of self, then by those of other, or None."""

    def at_once(self, other: Any, w1: float, w2: float, own: float, weight: float, dual: bool) -> Array | None:
        """JSG or JSG* by a faster formula for moderate parameters; None if there is none.  Arguments as in `slopes`."""

    def slopes_at_once(
        self, other: Any, w1: float, w2: float, own: float, weight: float, dual: bool
    ) -> list[Array] | None:
        """The derivatives of `at_once` by the parameters of self, then by those of other, or None."""

    @abstractmethod
    def mean_with(self, other: Any, own: Array, weight: Array) -> Self:
        """``G``, with the arguments of `to_mean`."""

    @abstractmethod
    def slopes(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> dict[str, Array]:
        """Derivatives of JSG or JSG* per component by each parameter of self.

        ``w1`` is the weight of the divergence between self and G, and ``w2`` that of the one between other and G.
        Let eta be the expectation that belongs to theta, and H its derivative.  By the natural parameter theta of self
        the derivatives are

            own (w1 (eta_G - eta_1) + w2 (eta_G - eta_2)) - w1 weight H_1 (theta_2 - theta_1)      of JSG
            w1 (eta_1 - eta_G) + own (w1 weight - w2 own) H_G (theta_2 - theta_1)                  of JSG*
        """

    @abstractmethod
    def slope_of_weight(self, other: Any, w1: Weight, w2: Weight, own: Weight, weight: Weight, dual: bool) -> Array:
        """The derivative by ``weight = 1 - own``, with the arguments of `slopes`.

        It is the product of ``theta_2 - theta_1`` with ``w1 (eta_G - eta_1) + w2 (eta_G - eta_2)`` for JSG, and with
        ``(w1 weight - w2 own) H_G (theta_2 - theta_1)`` for JSG*.
        """

    def terms(
        self, other: Any, g1: Weight, g2: Weight, dual: bool, w1: Weight = 1.0, w2: Weight = 1.0
    ) -> tuple[Array, Array]:
        """The two KL divergences whose sum is JSG or JSG* [1, eqs. 8, 10], each multiplied by its weight."""
        if dual:
            return self.from_mean(other, g1, g2, w1), other.from_mean(self, g2, g1, w2)
        return self.to_mean(other, g1, g2, w1), other.to_mean(self, g2, g1, w2)

    def skew(self, other: Self, alpha: Any, convention: Convention, dual: bool) -> Array:
        """JSG or JSG* between two batches of one class and library."""
        m, alpha = self.arithmetic, self.checked_weight(other, "alpha", alpha)
        if self.library == "NumPy" and self.core_name:
            divergence = Divergence.FROM_MEAN if dual else Divergence.TO_MEAN
            return rounded_divergence(self, other, divergence, convention == "deasy", self.without_event_axes(alpha))
        arrays = [*self.parameters.values(), *other.parameters.values()]
        number = isinstance(alpha, float)
        computation = PairComputation(self, other, alpha if number else None, convention, dual)
        with m.quiet():
            value = m.differentiable(computation, arrays if number else [*arrays, alpha])
            value = value if isinstance(self.copies, int) and self.copies == 1 else value * self.copies
            if self.event_dim:
                value = value.sum(tuple(range(-self.event_dim, 0)))
            return m.rounded(value, m.result_type(*arrays))

    def jeffreys(self, other: Self, kl: Callable[[Any, Any], Array]) -> Array:
        """``KL(N1||N2) + KL(N2||N1)``, in NumPy rounded once."""
        if self.library != "NumPy" or not self.core_name:
            return super().jeffreys(other, kl)
        self.checked_weight(other, "alpha", 0.0)
        return rounded_divergence(self, other, Divergence.BOTH_DIRECT, True, np.array(0.0))

    def geometric_mean(self, other: Self, weight: Any) -> Self:
        """The member that is the normalised geometric mean, in which ``other`` has the weight ``weight``."""
        _, _, g1, g2 = self.weights(other, "weight", weight, "nielsen")
        with self.arithmetic.quiet():
            return self.mean_with(other, g1, g2)

    def weights(self, other: Self, name: str, alpha: Any, convention: Convention) -> tuple[Array, Array, Array, Array]:
        """``w1, w2, g1, g2`` with axes for the components, after all checks of the pair."""
        m, like, alpha = self.arithmetic, next(iter(self.parameters.values())), self.checked_weight(other, name, alpha)
        w1, w2 = (self.work(m.array(w, like)) for w in (1 - alpha, alpha))
        return w1, w2, *formula.mean_weights(w1, w2, convention == "deasy")[:2]

    def checked_weight(self, other: Self, name: str, alpha: Any) -> Weight:
        """Alpha as a float, or as an array with axes for the components, after all checks of the pair."""
        check_pair(self, other)
        check_dimensions(self.dim, other.dim)
        if not self.of_as_many_draws_as(other):
            raise ValueError(
                f"N1 is of {self.copies} draws but N2 of {other.copies}; "
                "they are of one exponential family only if these numbers are equal"
            )
        alpha = self.arithmetic.weight(name, alpha, next(iter(self.parameters.values())))
        alpha = alpha if isinstance(alpha, float) else self.with_event_axes(alpha)
        shape = () if isinstance(alpha, float) else tuple(alpha.shape)
        common_shape("shapes", {"N1": self.shape, "N2": other.shape, name: shape})
        return alpha

    def without_event_axes(self, weight: np.ndarray) -> np.ndarray:
        """Undoes `with_event_axes`: the weight in float64, with the axes of the batch."""
        return weight.astype(np.float64).reshape(weight.shape[: weight.ndim - self.event_dim] if weight.ndim else ())

    def with_event_axes(self, weight: Array) -> Array:
        """A weight of the batch, with axes of length 1 for the components."""
        return weight.reshape(tuple(weight.shape) + (1,) * self.event_dim)
