"""The numbers of NumPy, torch and JAX: what a family's formulas need of them besides ``+ - * /``."""

from functools import cache, partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from jsgmath import special

Array = Any  # of whichever library


class Arithmetic(NamedTuple):
    """One library's numbers; `g` and `gs` are called as in `formula.py`."""

    library: str
    work: Any
    """An array in the precision that is computed in."""
    weight: Any
    """``(name, alpha, like)``: alpha checked, as far as that waits for no device, in the precision of ``1 - alpha``."""
    array: Any
    """``(x, like)``: a number, or an array, as an array where ``like`` is."""
    broadcast: Any
    """``(x, shape)``"""
    stack: Any
    """Arrays of one shape, along a new first axis."""
    result_type: Any
    """Of arrays."""
    rounded: Any
    """``(x, result_type)``"""
    g: Any
    gs: Any
    log: Any
    log1p: Any
    exp: Any
    expm1: Any
    where: Any


def library_of(value: object) -> str | None:
    """The library of an array, or None for a plain number or a list of them."""
    root = type(value).__module__.partition(".")[0]
    return {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "jaxlib": "JAX"}.get(root)


@cache
def arithmetic(library: str) -> Arithmetic:
    """The `Arithmetic` of ``"NumPy"``, ``"torch"`` or ``"JAX"``, which is imported now at the earliest."""
    if library == "torch":
        from jsgmath.torch.arithmetic import TORCH

        return TORCH
    return _jax() if library == "JAX" else _numpy()


def number_between_0_and_1(name: str, alpha: object) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, Real):
        raise TypeError(f"{name} must be a float or an array of the Gaussians' library, got {type(alpha).__name__}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {alpha}")
    return float(alpha)


def _numpy() -> Arithmetic:
    from jsgmath.gaussian import as_weight

    return Arithmetic(
        library="NumPy",
        work=lambda x: np.asarray(x).astype(special.WORK),
        weight=lambda name, alpha, like: as_weight(name, alpha),
        array=lambda x, like: np.asarray(x),
        broadcast=np.broadcast_to,
        stack=np.stack,
        result_type=np.result_type,
        rounded=lambda x, dtype: x.astype(dtype)[()],
        g=special.numpy_kernel(special.g),
        gs=special.numpy_kernel(special.gs),
        log=np.log,
        log1p=np.log1p,
        exp=np.exp,
        expm1=np.expm1,
        where=np.where,
    )


def _jax() -> Arithmetic:
    import jax.numpy as jnp

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
        stack=jnp.stack,
        result_type=jnp.result_type,
        rounded=lambda x, dtype: x.astype(dtype),
        g=partial(kernel, special.g),
        gs=partial(kernel, special.gs),
        log=jnp.log,
        log1p=jnp.log1p,
        exp=jnp.exp,
        expm1=jnp.expm1,
        where=jnp.where,
    )
