"""The functions of NumPy, torch and JAX that a family's formulas need besides ``+ - * /``.

torch and JAX are imported when the first array of theirs is met.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.checks import as_weight, number_between_0_and_1
from jsgmath.families.computation import Computation

Array = Any  # an array of NumPy, torch or JAX
Weight = Any  # an array, or a float
INFINITE = float("inf")


SPLIT_TAILS = {24: special.split_tail(6), 53: special.split_tail(13)}
"""The coefficients of `Arithmetic.tail`, by the number of bits."""


class Arithmetic(ABC):
    """The functions of one library.  Those that all three libraries have under one name are taken from ``xp``."""

    library: str
    """``"NumPy"``, ``"torch"`` or ``"JAX"``."""
    xp: Any
    """The library's module: ``numpy``, ``torch`` or ``jax.numpy``."""
    log: Callable[[Array], Array]
    log1p: Callable[[Array], Array]
    exp: Callable[[Array], Array]
    expm1: Callable[[Array], Array]
    where: Callable[[Any, Any, Any], Array]
    stack: Callable[[Any, int], Array]
    broadcast: Callable[[Array, tuple[int, ...]], Array]

    def __init__(self, library: str, xp: Any):
        self.library, self.xp = library, xp
        self.log, self.log1p, self.exp, self.expm1 = xp.log, xp.log1p, xp.exp, xp.expm1
        self.where, self.stack, self.broadcast = xp.where, xp.stack, xp.broadcast_to

    @abstractmethod
    def work(self, x: Array) -> Array:
        """Converts an array to the precision of the computation."""

    @abstractmethod
    def array(self, x: Any, like: Array) -> Array:
        """Converts a number or an array to an array on the device of ``like``."""

    @abstractmethod
    def rounded(self, x: Array, dtype: Any) -> Array:
        """Converts an array to ``dtype``."""

    @abstractmethod
    def result_type(self, *arrays: Array) -> Any:
        """Returns the type to which the types of ``arrays`` promote."""

    def weight(self, name: str, alpha: Any, like: Array) -> Any:
        """Checks alpha, unless that would synchronise the device; returns it in the precision used for ``1 - alpha``.

        ``like`` is a parameter of the distributions.
        """
        return alpha if library_of(alpha) == self.library else number_between_0_and_1(name, alpha)

    def check_kind(self, name: str, x: Array) -> None:
        """Checks that an array holds floating-point numbers of 16 to 64 bits."""
        if str(x.dtype) not in ("float16", "bfloat16", "float32", "float64"):
            raise TypeError(f"{name} must be of a floating type of 16, 32 or 64 bits, got {x.dtype}; convert it first")

    def constant(self, x: Array) -> Array:
        """Returns ``x`` without derivatives."""
        return x

    def quiet(self) -> AbstractContextManager[Any]:
        """Silences the warnings of NumPy about intermediate overflows; the other libraries give none."""
        return nullcontext()

    def log_rest(self, x: Array) -> Array:
        """The logarithm of a quotient that is mostly 1, for `special.split`."""
        return self.log(x)

    def tail(self, w: Array) -> Array:
        """``2 P(w)`` of `special.split_g`."""
        return special.polynomial(w, SPLIT_TAILS[self.bits(w)])

    def g_of(self, x: Array, k: Array) -> Array:
        """``g(x)``, where ``k = 1 + x`` does not underflow."""
        k = self.normal(k)
        return special.split_kernels(self.clamp, self.log_rest, self.tail)[0](x, k, k, 0.0)

    def gs_of(self, x: Array, k: Array) -> Array:
        """``gs(x)``, where ``k = 1 + x`` neither overflows nor underflows."""
        return special.split_kernels(self.clamp, self.log_rest, self.tail)[1](x, k, k, 0.0)

    def g(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        """``g(x)`` as `formula.py` calls it."""
        sound, log_k = self.log_k(k, other_k, log_r)
        return self.where(sound, self.g_of(x, k), x - log_k)

    def gs(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        """``gs(x)`` as `formula.py` calls it."""
        sound, log_k = self.log_k(k, other_k, log_r)
        normal = k > float(self.xp.finfo(k.dtype).tiny)
        return self.where(sound, self.gs_of(x, k), log_k + (self.where(normal, 1 / k, self.exp(-log_k)) - 1))

    def log_k(self, k: Array, other_k: Array, log_r: Array) -> tuple[Array, Array]:
        """Whether k is far from overflow and underflow, and ``log(k)`` for the k that are not."""
        floor = float(self.xp.finfo(k.dtype).tiny) ** 0.75
        return (k > floor) & (k * floor < 1), self.log(other_k) + log_r

    @abstractmethod
    def clamp(self, x: Array, low: float, high: float) -> Array:
        """``x``, but at least ``low`` and at most ``high``; NaN stays NaN."""

    def differentiable(self, compute: Computation, arrays: Sequence[Array]) -> Array:
        """``compute.value(arrays)``, whose derivatives are ``compute.derivatives(arrays, needed)``."""
        return compute.value(arrays)

    def finite(self, x: Array) -> Array:
        """``x``, but a number that is finite instead of an infinite one."""
        largest = self.xp.finfo(x.dtype).max
        return self.clamp(x, -largest, largest)

    def largest(self, x: Array) -> Array:
        """The maximum over the last axis, which is kept with length 1."""
        return self.xp.amax(x, axis=-1, keepdims=True)

    def weighted(self, weight: Weight, x: Array) -> Array:
        """``weight * x``, and 0 where the weight is 0, even if x is infinite."""
        if isinstance(weight, float):
            return weight * x if weight else 0.0 * self.finite(x)
        return self.where(weight == 0, 0.0, weight * x)

    def near(self, t: Array) -> tuple[Array, Array]:
        """Whether t is small, and t where it is; elsewhere nothing cancels in ``exp(t) - 1``."""
        near = (t < 2) & (t > -2)
        return near, self.where(near, t, 0.0)

    def for_outcomes(self, weight: Weight) -> Weight:
        """A weight with an axis of length 1 for the components of a vector."""
        return weight if isinstance(weight, float) else weight[..., None]

    def normal(self, x: Array) -> Array:
        """A positive number, within the range of normal numbers."""
        info = self.xp.finfo(x.dtype)
        return self.clamp(x, info.tiny, info.max)

    def used(self, weight: Weight, x: Array) -> Array:
        """``x``, but 0 where its weight is 0."""
        if isinstance(weight, float):
            return x if weight else 0 * self.finite(x)
        return self.where(weight == 0, 0.0, x)

    def at_largest(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The maximum of x over the last axis, which is kept with length 1, and y at its place."""
        shape = np.broadcast_shapes(tuple(x.shape), tuple(y.shape))
        x, y = self.broadcast(x, shape), self.broadcast(y, shape)
        place = self.xp.argmax(self.constant(x), -1)[..., None]
        return self.taken(x, place), self.taken(y, place)

    def taken(self, x: Array, place: Array) -> Array:
        """``x`` at a place on the last axis, which is kept with length 1."""
        return self.xp.take_along_axis(x, place, -1)

    def log_ratio(self, excess: Array, y: Array, x: Array) -> Array:
        """``log(y/x)`` of positive numbers, given ``excess = y/x - 1``; ``y/x`` itself may leave the range."""
        k = y / x
        f, _, log_rest = special.split(excess, k, self.clamp, self.log_rest)
        sound = (k > float(self.xp.finfo(k.dtype).tiny)) & (k < INFINITE)
        return self.where(sound, self.log1p(f) + log_rest, 2 * self.log(y**0.5 / x**0.5))

    def excess(self, y: Array, x: Array) -> Array:
        """``y/x - 1`` of positive numbers, also where their difference is too small for a normal number."""
        scale = self.where(x < self.xp.finfo(x.dtype).tiny * 2.0 ** (2 * self.bits(x)), 2.0 ** (2 * self.bits(x)), 1.0)
        return (y * scale - x * scale) / (x * scale)

    def choice(self, condition: Any, x: Any, y: Any) -> Any:
        """`where` for a condition that may be a plain truth value, as that of a weight is."""
        return (x if condition else y) if isinstance(condition, bool) else self.where(condition, x, y)

    def power(self, x: Array, weight: Weight) -> Array:
        """``x ** weight``"""
        if isinstance(weight, float) and weight in (0.0, 1.0):
            return x if weight else 1.0
        return x**weight

    def product(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The rounded product ``x * y`` and its rounding error [Dekker]."""
        high = x * y
        x1, x2 = self.halves(x)
        y1, y2 = self.halves(y)
        return high, ((x1 * y1 - high) + x1 * y2 + x2 * y1) + x2 * y2

    def halves(self, x: Array) -> tuple[Array, Array]:
        """Two numbers with half as many bits whose sum is ``x`` [Veltkamp]."""
        scaled = x * (2.0 ** ((self.bits(x) + 1) // 2) + 1)
        high = scaled - (scaled - x)
        return high, x - high

    def bits(self, x: Array) -> int:
        """The length of the significand of an array's numbers."""
        return 1 - round(math.log2(float(self.xp.finfo(x.dtype).eps)))


class NumPyArithmetic(Arithmetic):
    def __init__(self):
        super().__init__("NumPy", np)

    def work(self, x: Array) -> Array:
        return np.asarray(x).astype(special.WORK)

    def array(self, x: Any, like: Array) -> Array:
        return np.asarray(x)

    def rounded(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)[()]

    def result_type(self, *arrays: Array) -> Any:
        return np.result_type(*arrays)

    def weight(self, name: str, alpha: Any, like: Array) -> Any:
        return as_weight(name, alpha)

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return np.clip(x, low, high)

    def g(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        return special.numpy_kernel(special.g)(x, k, other_k, log_r)

    def gs(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        return special.numpy_kernel(special.gs)(x, k, other_k, log_r)

    def g_of(self, x: Array, k: Array) -> Array:
        return self.g(x, k, k, 0.0)

    def gs_of(self, x: Array, k: Array) -> Array:
        return self.gs(x, k, k, 0.0)


class TorchArithmetic(Arithmetic):
    def __init__(self):
        import torch

        super().__init__("torch", torch)

    def work(self, x: Array) -> Array:
        return x.to(self.xp.promote_types(x.dtype, self.xp.float32))

    def array(self, x: Any, like: Array) -> Array:
        return self.xp.as_tensor(x, dtype=like.dtype if isinstance(x, float) else None, device=like.device)

    def rounded(self, x: Array, dtype: Any) -> Array:
        return x.to(dtype)

    def result_type(self, *arrays: Array) -> Any:
        dtype = arrays[0].dtype
        for x in arrays:
            dtype = self.xp.promote_types(dtype, x.dtype)
        return dtype

    def weight(self, name: str, alpha: Any, like: Array) -> Any:
        if not isinstance(alpha, self.xp.Tensor):
            return number_between_0_and_1(name, alpha)
        self.check_kind(name, alpha)
        if alpha.device != like.device:
            raise ValueError(f"{name} is on {alpha.device} but the distributions on {like.device}; move it there")
        return alpha.double()

    def check_kind(self, name: str, x: Array) -> None:
        from jsgmath.families.tensors import check_kind  # imports torch

        check_kind(name, x)

    def constant(self, x: Array) -> Array:
        return x.detach()

    def taken(self, x: Array, place: Array) -> Array:
        return x.gather(-1, place)

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return x.clamp(low, high)

    def differentiable(self, compute: Computation, arrays: Sequence[Array]) -> Array:
        from jsgmath.families import computed

        kind = computed.Compiled if self.xp.compiler.is_compiling() else computed.Computed
        return kind.apply(compute, *arrays)


class JaxArithmetic(Arithmetic):
    def __init__(self):
        import jax

        super().__init__("JAX", jax.numpy)

    def work(self, x: Array) -> Array:
        x = self.xp.asarray(x)
        return x.astype(self.xp.promote_types(x.dtype, self.xp.float32))

    def array(self, x: Any, like: Array) -> Array:
        return self.xp.asarray(x)

    def rounded(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)

    def result_type(self, *arrays: Array) -> Any:
        return self.xp.result_type(*arrays)

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return self.xp.clip(x, low, high)

    def log_rest(self, x: Array) -> Array:
        # A quotient of equal numbers is not always 1 in compiled code.
        return self.where(abs(x - 1) < 4 * float(self.xp.finfo(x.dtype).eps), 0.0, self.log(x))

    def differentiable(self, compute: Computation, arrays: Sequence[Array]) -> Array:
        import jax
        from jax.custom_derivatives import SymbolicZero

        @jax.custom_jvp
        def value(*arrays: Array) -> Array:
            return compute.value(arrays)

        def tangent(primals: Sequence[Array], tangents: Sequence[Array]) -> tuple[Array, Array]:
            needed = [not isinstance(x, SymbolicZero) for x in tangents]
            result, derivatives = value(*primals), compute.derivatives(primals, needed)
            along = self.xp.zeros_like(result)
            for derivative, x, vector in zip(derivatives, tangents, compute.vectors, strict=True):
                if derivative is not None:
                    term = derivative * x
                    along = along + (term.sum(-1) if vector else term)
            return result, along.astype(result.dtype)

        value.defjvp(tangent, symbolic_zeros=True)
        return value(*arrays)


MADE: dict[str, Arithmetic] = {}  # not functools.cache: torch.compile ignores it, and warns


def arithmetic(library: str) -> Arithmetic:
    """The `Arithmetic` of ``"NumPy"``, ``"torch"`` or ``"JAX"``."""
    if library not in MADE:
        MADE[library] = {"NumPy": NumPyArithmetic, "torch": TorchArithmetic, "JAX": JaxArithmetic}[library]()
    return MADE[library]


def library_of(value: object) -> str | None:
    """The library of an array, or None for a number or a list of numbers."""
    if isinstance(value, list | tuple):
        return None  # torch.compile cannot read the module of these classes
    root = type(value).__module__.partition(".")[0]
    return {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "jaxlib": "JAX"}.get(root)


def total(terms: Iterable[Array]) -> Array:
    """The sum of at least one array; a type checker believes that `sum` may return the integer 0."""
    return sum(terms)
