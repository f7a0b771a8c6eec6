"""The functions of NumPy, torch and JAX that a family's formulas need besides ``+ - * /``.

torch and JAX are imported when the first array of theirs is met.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.checks import as_weight, number_between_0_and_1

Array = Any  # an array of NumPy, torch or JAX


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

    def kernel(self, g: Callable[..., Array], x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        """Evaluates `special.g` or `special.gs`."""
        terms, floor = special.series_terms(self.bits(x)), float(self.xp.finfo(x.dtype).tiny) ** 0.75
        return g(x, k, other_k, log_r, log=self.log, where=self.where, one=1.0, terms=terms, floor=floor)

    def g(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        """``g(x)`` as `formula.py` calls it."""
        return self.kernel(special.g, x, k, other_k, log_r)

    def gs(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        """``gs(x)`` as `formula.py` calls it."""
        return self.kernel(special.gs, x, k, other_k, log_r)

    def g_of(self, x: Array, k: Array) -> Array:
        """``g(x)``, where ``k = 1 + x`` neither overflows nor underflows."""
        return self.g(x, k, k, 0.0)

    def gs_of(self, x: Array, k: Array) -> Array:
        """``gs(x)``, where ``k = 1 + x`` neither overflows nor underflows."""
        return self.gs(x, k, k, 0.0)

    def finite(self, x: Array) -> Array:
        """``x``, but a number that is finite instead of an infinite one."""
        largest = self.xp.finfo(x.dtype).max
        return self.where(x > largest, largest, self.where(x < -largest, -largest, x))

    def largest(self, x: Array) -> Array:
        """The maximum over the last axis, which is kept with length 1."""
        return self.xp.amax(x, axis=-1, keepdims=True)

    def log_ratio(self, excess: Array, y: Array, x: Array) -> Array:
        """``log(y/x)`` of positive numbers, given ``excess = y/x - 1``."""
        near = (excess > -0.5) & (excess < 1)
        return self.where(near, self.log1p(self.where(near, excess, 0.0)), self.log(self.where(near, 1.0, y / x)))

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

    def kernel(self, g: Callable[..., Array], x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        return special.numpy_kernel(g)(x, k, other_k, log_r)


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
