"""The numbers of NumPy, torch and JAX: what a family's formulas need of them besides ``+ - * /``."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from jsgmath import special

Array = Any  # of whichever library


@dataclass(frozen=True)
class Arithmetic:
    """One library's numbers; `g` and `gs` are called as in `formula.py`."""

    library: str
    work: Callable[[Any], Any]
    """An array in the precision that is computed in."""
    weight: Callable[[str, Any, Any], Any]
    """``(name, alpha, like)``: alpha checked, as far as that waits for no device, in the precision of ``1 - alpha``."""
    array: Callable[[Any, Any], Any]
    """``(x, like)``: a number, or an array, as an array where ``like`` is."""
    broadcast: Callable[[Any, Any], Any]
    """``(x, shape)``"""
    result_type: Callable[..., Any]
    """Of arrays."""
    rounded: Callable[[Any, Any], Any]
    """``(x, result_type)``"""
    g: Callable[[Any, Any, Any, Any], Any]
    gs: Callable[[Any, Any, Any, Any], Any]
    bits: Callable[[Any], int]
    """Of an array's numbers: the length of the significand."""
    log: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]
    stack: Callable[[Any, int], Any]
    """``(arrays, axis)``"""
    largest: Callable[[Any], Any]
    """Of the last axis, which stays."""

    def quiet(self) -> AbstractContextManager[Any]:
        """Where NumPy does not warn of what overflows on the way; others never do."""
        return np.errstate(all="ignore") if self.library == "NumPy" else nullcontext()

    def g_of(self, x: Array, k: Array) -> Array:
        """``g(x)`` for a ``k = 1 + x`` that is in range."""
        return self.g(x, k, k, 0.0)

    def gs_of(self, x: Array, k: Array) -> Array:
        """``gs(x)``, likewise."""
        return self.gs(x, k, k, 0.0)

    def log_ratio(self, excess: Array, y: Array, x: Array) -> Array:
        """``log(y/x)`` of positive numbers, given ``excess = y/x - 1``."""
        near = (excess > -0.5) & (excess < 1)
        return self.where(near, self.log1p(self.where(near, excess, 0.0)), self.log(self.where(near, 1.0, y / x)))

    def product(self, x: Array, y: Array) -> tuple[Array, Array]:
        """``x * y``, and what rounding took off it [Dekker]."""
        high = x * y
        x1, x2 = self.halves(x)
        y1, y2 = self.halves(y)
        return high, ((x1 * y1 - high) + x1 * y2 + x2 * y1) + x2 * y2

    def halves(self, x: Array) -> tuple[Array, Array]:
        """Two numbers of half as many bits that add up to ``x`` [Veltkamp]."""
        scaled = x * (2.0 ** ((self.bits(x) + 1) // 2) + 1)
        high = scaled - (scaled - x)
        return high, x - high


def library_of(value: object) -> str | None:
    """The library of an array, or None for a plain number or a list of them."""
    root = type(value).__module__.partition(".")[0]
    return {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "jaxlib": "JAX"}.get(root)


made: dict[str, Arithmetic] = {}  # torch.compile looks through a functools.cache, and warns of it


def arithmetic(library: str) -> Arithmetic:
    """The `Arithmetic` of ``"NumPy"``, ``"torch"`` or ``"JAX"``, which is imported now at the earliest."""
    if library not in made:
        made[library] = {"NumPy": _numpy, "torch": _torch, "JAX": _jax}[library]()
    return made[library]


def total(terms: Iterable[Array]) -> Array:
    """The sum of one array or more; that of `sum` may to a type checker be 0."""
    return sum(terms)


def number_between_0_and_1(name: str, alpha: object) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, Real):
        raise TypeError(f"{name} must be a float or an array of the Gaussians' library, got {type(alpha).__name__}")
    if not 0 <= alpha <= 1:  # pyright: ignore[reportOperatorIssue]  # Real has no hints for it
        raise ValueError(f"{name} must lie in [0, 1], got {alpha}")
    return float(alpha)


def _torch() -> Arithmetic:
    from jsgmath.torch.arithmetic import TORCH

    return TORCH


def _numpy() -> Arithmetic:
    from jsgmath.gaussian import as_weight

    return Arithmetic(
        library="NumPy",
        work=lambda x: np.asarray(x).astype(special.WORK),
        weight=lambda name, alpha, like: as_weight(name, alpha),
        array=lambda x, like: np.asarray(x),
        broadcast=np.broadcast_to,
        result_type=np.result_type,
        rounded=lambda x, dtype: x.astype(dtype)[()],
        g=special.numpy_kernel(special.g),
        gs=special.numpy_kernel(special.gs),
        bits=lambda x: np.finfo(x.dtype).nmant + 1,
        log=np.log,
        log1p=np.log1p,
        exp=np.exp,
        expm1=np.expm1,
        where=np.where,
        stack=np.stack,
        largest=lambda x: x.max(-1, keepdims=True),
    )


def _jax() -> Arithmetic:
    import jax

    jnp: Any = jax.numpy

    def kernel(which: Any, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        info = jnp.finfo(x.dtype)
        terms, floor = special.series_terms(info.nmant + 1), float(info.tiny) ** 0.75
        return which(x, k, other_k, log_r, log=jnp.log, where=jnp.where, one=1.0, terms=terms, floor=floor)

    def weight(name: str, alpha: Any, like: Array) -> Array:
        return alpha if library_of(alpha) == "JAX" else number_between_0_and_1(name, alpha)

    return Arithmetic(
        library="JAX",
        work=lambda x: jnp.asarray(x).astype(jnp.promote_types(jnp.asarray(x).dtype, jnp.float32)),
        weight=weight,
        array=lambda x, like: jnp.asarray(x),
        broadcast=jnp.broadcast_to,
        result_type=jnp.result_type,
        rounded=lambda x, dtype: x.astype(dtype),
        g=partial(kernel, special.g),
        gs=partial(kernel, special.gs),
        bits=lambda x: jnp.finfo(x.dtype).nmant + 1,
        log=jnp.log,
        log1p=jnp.log1p,
        exp=jnp.exp,
        expm1=jnp.expm1,
        where=jnp.where,
        stack=jnp.stack,
        largest=lambda x: x.max(-1, keepdims=True),
    )
