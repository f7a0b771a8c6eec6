"""The functions of torch that a family's formulas need."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._C import _len_torch_dispatch_stack  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]

from jsgmath import special
from jsgmath.checks import number_between_0_and_1, readable
from jsgmath.families.libraries import torch_computed
from jsgmath.families.libraries.arithmetic import Arithmetic, Array, Weight
from jsgmath.families.libraries.computation import Computation
from jsgmath.families.libraries.tensors import check_kind


class TorchArithmetic(Arithmetic):
    def __init__(self):
        super().__init__("torch", torch)

    def work(self, x: Array) -> Array:
        return x.to(self.xp.promote_types(x.dtype, self.xp.float32))

    def wide(self, x: Array) -> Array:
        return self.work(x) if x.device.type == "mps" else x.double()  # this device has no float64

    def array(self, x: Any, like: Array) -> Array:
        return self.xp.as_tensor(
            x, dtype=like.dtype if isinstance(x, float) or type(x) is int else None, device=like.device
        )

    def arange(self, first: int, end: int, like: Array) -> Array:
        return self.xp.arange(first, end, device=like.device)

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
        if alpha.is_cpu and readable(alpha) and not _len_torch_dispatch_stack():
            inside = (alpha >= 0) & (alpha <= 1)
            if not inside.all():
                raise ValueError(f"{name} must lie in [0, 1], got {alpha[~inside][0].item():.6g}")
        return alpha.double()

    def check_kind(self, name: str, x: Array) -> None:
        check_kind(name, x)

    def constant(self, x: Array) -> Array:
        return x.detach()

    def taken(self, x: Array, place: Array) -> Array:
        return x.gather(-1, place)

    def scaled_array(self, x: Array, e: Any) -> Array:
        limit = math.frexp(self.xp.finfo(x.dtype).max)[1] - 1
        e = self.xp.as_tensor(e, dtype=x.dtype, device=x.device)
        half = self.xp.floor(e / 2)
        for part in (half, e - half):
            x = x * self.xp.exp2(part.clamp(-limit, limit))
        return x

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return x.clamp(low, high)

    def differentiable(self, compute: Computation, arrays: Sequence[Array]) -> Array:
        return torch_computed.differentiable(compute, arrays)

    def for_numbers(
        self, arrays: Sequence[Array], alpha: float | None, limits: Sequence[tuple[float, float]], family: Any
    ) -> Arithmetic:
        doubled = family.of_products and all(x.dtype != self.xp.float64 and x.device.type != "mps" for x in arrays)
        other = DOUBLE if doubled else self
        if alpha is None or 0 < min(alpha, 1 - alpha) < 2.0**-12:
            return other
        if self.xp.compiler.is_compiling() or any(type(x) is not self.xp.Tensor or x.is_cuda for x in arrays):
            return other
        try:
            for x, (low, high) in zip(arrays, limits, strict=True):
                least, largest = self.xp.aminmax(x.detach())
                if not (low <= least.item() and largest.item() <= high):
                    return other
        except RuntimeError:  # under torch.func or a tracer the numbers are not known
            return other
        return CLOSED if family.of_gammas and all(x.dtype != self.xp.float64 for x in arrays) else MODERATE


class DoubleArithmetic(TorchArithmetic):
    """The functions for parameters of at most 32 bits, computed in float64, whose range no product of a few leaves."""

    def number(self, x: Any) -> Any:
        return x


class ModerateArithmetic(TorchArithmetic):
    """The functions for parameters on a CPU whose products stay within the range of their type."""

    moderate = True

    def wide(self, x: Array) -> Array:
        return self.work(x)

    def number(self, x: Any) -> Any:
        return x

    def growth(self, weight: Weight, log: Array) -> tuple[Array, Any]:
        near, small = self.near(weight * log)
        return near, self.expm1(small)

    def finite(self, x: Array) -> Array:
        return x

    def normal(self, x: Array) -> Array:
        return x

    def log_ratio(self, excess: Array, y: Array, x: Array) -> Array:
        f, _, log_rest = special.split(excess, y / x, self.clamp, self.log_rest)
        return self.log1p(f) + log_rest

    def excess(self, y: Array, x: Array) -> Array:
        return (y - x) / x

    def quotient(self, factors: Sequence[Weight], divisors: Sequence[Weight] = ()) -> Array:
        value: Any = None
        for x in factors:
            if not (isinstance(x, float) and x == 1.0):
                value = x if value is None else value * x
        value = 1.0 if value is None else value
        for x in divisors:
            value = value / x
        return value

    def average(self, w1: Weight, x: Array, w2: Weight, y: Array) -> Array:
        return y if isinstance(w1, float) and w1 == 0.0 else w1 * x + w2 * y


class ClosedArithmetic(ModerateArithmetic):
    """The functions for moderate parameters of at most 32 bits of gamma functions, in float64, by the textbook.

    Float64 leaves enough digits, except where nearly all terms cancel; `mended` computes those numbers again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closed = self

    def wide(self, x: Array) -> Array:
        return x.double()

    def log_gamma(self, x: Array) -> Array:
        """The logarithm of the gamma function."""
        return self.xp.lgamma(x)

    def digamma(self, x: Array) -> Array:
        """The derivative of `log_gamma`."""
        return self.xp.digamma(x)

    def trigamma(self, x: Array) -> Array:
        """The derivative of `digamma`."""
        return self.xp.polygamma(1, x)

    def mended(
        self, value: Array, lost: Array, compute: Callable[..., Array], arrays: Sequence[Array], vectors: int = 0
    ) -> Array:
        """Returns ``value``, but where ``lost``, ``compute(arithmetic, *parts)`` of the parts of the arrays there."""
        if not lost.any():
            return value
        places = lost.flatten()
        own = [tuple(x.shape[x.ndim - vectors :]) for x in arrays]
        parts = [x.expand((*lost.shape, *axes)).reshape(-1, *axes)[places] for x, axes in zip(arrays, own, strict=True)]
        return value.flatten().index_put((places,), compute(MODERATE, *parts)).reshape(value.shape)


DOUBLE, MODERATE, CLOSED = DoubleArithmetic(), ModerateArithmetic(), ClosedArithmetic()
