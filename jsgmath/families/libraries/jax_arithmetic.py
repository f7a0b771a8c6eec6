"""The functions of JAX that a family's formulas need."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from jsgmath.families.libraries.arithmetic import INFINITE, Arithmetic, Array, Weight
from jsgmath.families.libraries.computation import Computation
from jsgmath.families.libraries.scaled import Scaled


class JaxArithmetic(Arithmetic):
    shortens_programs = True

    def __init__(self):
        super().__init__("JAX", jax.numpy)
        self.stopped, self.bitcast = jax.lax.stop_gradient, jax.lax.bitcast_convert_type
        self.barrier: Any = jax.lax.optimization_barrier  # pyright: ignore[reportUnknownMemberType]
        self.log1p = self.log_of_one_more

    def work(self, x: Array) -> Array:
        x = self.xp.asarray(x)
        return x.astype(self.xp.promote_types(x.dtype, self.xp.float32))

    def wide(self, x: Array) -> Array:
        x = self.xp.asarray(x)
        return x.astype(self.xp.promote_types(x.dtype, jax.dtypes.canonicalize_dtype("float64")))  # if JAX has 64 bits

    def array(self, x: Any, like: Array) -> Array:
        return self.xp.asarray(x, like.dtype if type(x) is int and type(like) is not int else None)

    def for_numbers(
        self, arrays: Sequence[Array], alpha: float | None, limits: Sequence[tuple[float, float]], family: Any
    ) -> Arithmetic:
        doubled = family.of_products and all(x.dtype != "float64" and self.wide(x).dtype == "float64" for x in arrays)
        return DOUBLE if doubled else self

    def rounded(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)

    def result_type(self, *arrays: Array) -> Any:
        return self.xp.result_type(*arrays)

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return self.xp.clip(x, low, high)

    def constant(self, x: Array) -> Array:
        return self.stopped(x)

    def exponent(self, x: Weight) -> Any:
        # This reads the bits, which compiles in less time than jax.numpy's frexp.  A subnormal number counts as 0.
        if type(x) is float:
            return super().exponent(x)
        width, places, bias = self.layout(x)
        bits = self.bitcast(self.stopped(x), width)
        e = self.xp.minimum(((bits >> places) & (2 * bias + 1)) - bias, bias - 1)  # also for infinity
        return e.astype(x.dtype)

    def scaled_array(self, x: Array, e: Any) -> Array:
        width, places, bias = self.layout(x)
        half = self.xp.floor(self.xp.asarray(e, x.dtype) / 2)
        for part in (half, e - half):
            x = x * self.bitcast((self.xp.clip(part, 1 - bias, bias) + bias).astype(width) << places, x.dtype)
        return x

    def normalised(self, x: Array) -> tuple[Array, Array]:
        e, (width, places, bias) = self.exponent(x), self.layout(x)
        return x * self.bitcast((bias - e).astype(width) << places, x.dtype), e

    def moved(self, x: Array, e: Any) -> Array:
        width, places, bias = self.layout(x)
        return x * self.bitcast((self.xp.clip(e, -64, 64) + bias).astype(width) << places, x.dtype)

    def lowered(self, x: Weight, e: Any) -> Any:
        if type(x) is float:
            return super().lowered(x, e)
        width, places, bias = self.layout(x)
        return x * self.bitcast((self.xp.maximum(e, 1 - bias) + bias).astype(width) << places, x.dtype)

    def layout(self, x: Array) -> tuple[str, int, int]:
        """The integer type of the same length, the place where the exponent begins, and its bias."""
        return ("int32", 23, 127) if x.dtype == "float32" else ("int64", 52, 1023)

    def g_of(self, x: Array, k: Array) -> Array:
        return super().g_of(x, self.kept(k))

    def gs_of(self, x: Array, k: Array) -> Array:
        return super().gs_of(x, self.kept(k))

    def of_each(self, function: Callable[..., Any], *rows: tuple[Any, ...]) -> list[Any]:
        # As one array, so that the program contains the function once.
        lengths = [(row[0].value if isinstance(row[0], Scaled) else row[0]).shape[-1] for row in rows]
        whole = function(*map(self.joined, zip(*rows, strict=True)))
        ends = itertools.accumulate(lengths)
        return [self.part(whole, end - length, end) for length, end in zip(lengths, ends, strict=True)]

    def joined(self, numbers: Sequence[Any]) -> Any:
        """Numbers one after another along the last axis."""
        if isinstance(numbers[0], Scaled):
            parts = ([x.value for x in numbers], [x.exponent for x in numbers])
            return Scaled(self, *map(self.joined, parts))
        shape = self.xp.broadcast_shapes(*(x.shape[:-1] for x in numbers))
        return self.xp.concatenate([self.broadcast(x, (*shape, x.shape[-1])) for x in numbers], -1)

    def steps(self, step: Callable[..., Any], numbers: tuple[Array, ...], *rows: list[float]) -> tuple[Array, ...]:
        if not any(isinstance(x, Tracer) for x in numbers):
            return super().steps(step, numbers, *rows)  # a scan would be compiled at each call
        dtype = numbers[0].dtype
        columns = [self.xp.asarray(row, dtype) for row in rows]
        return jax.lax.scan(lambda numbers, row: (step(numbers, *row), None), numbers, columns)[0]

    def log_of_one_more(self, x: Array) -> Array:
        """``log(1 + x)``; XLA's own is wrong by up to 130 ulp in float64, near -0.41."""
        k = self.kept(1 + x)
        return self.log(k) + self.where(k < INFINITE, (x - (k - 1)) / k, 0.0)

    def unknown(self, x: Array) -> Array:
        return self.barrier(x)  # by the constants 1 and 0 XLA made NaN of derivatives of gamma distributions

    def kept(self, k: Array) -> Array:
        """``k`` behind a barrier: compiled code would replace ``1/exp(t)`` by ``exp(-t)``, which rounds differently."""
        return self.barrier(k)

    def log_rest(self, x: Array) -> Array:
        # A quotient of equal numbers is not always 1 in compiled code.
        return self.where(abs(x - 1) < 4 * float(self.xp.finfo(x.dtype).eps), 0.0, self.log(x))

    def differentiable(self, compute: Computation, arrays: Sequence[Array]) -> Array:
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


class DoubleJaxArithmetic(JaxArithmetic):
    """The functions for parameters of at most 32 bits, in float64: no product of a few of them leaves its range."""

    def number(self, x: Any) -> Any:
        return x


DOUBLE = DoubleJaxArithmetic()
