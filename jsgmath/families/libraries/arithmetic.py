"""The functions of a library that a family's formulas need in addition to ``+ - * /``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Any, cast

import numpy as np

from jsgmath import special
from jsgmath.checks import number_between_0_and_1
from jsgmath.families.libraries.computation import Computation
from jsgmath.families.libraries.scaled import NOTHING, Scaled

Array = Any  # an array of NumPy, torch or JAX
Weight = Any  # an array, or a float
INFINITE = float("inf")
LIBRARIES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "jaxlib": "JAX"}


LOG2 = Fraction("0.693147180559945309417232121458176568")
LARGEST_LOG = {24: 2.0**22, 53: 2.0**51}
"""The logarithm of the largest number, by the bits of its exponent; sums of a few exponents must be exact."""
OUTSIDE = 5000
"""An exponent that no float has."""
FAR = 2.0**24
"""The ratio from which on g and gs are computed as they are defined."""


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
    shortens_programs = False
    """Whether fewer operations matter more than the copies that they need."""
    closed: Any = None
    """The gamma functions of the library, if they are accurate enough for the formulas of the textbook."""
    moderate = False
    """Whether all parameters are known to be far from the ends of the range."""

    def __init__(self, library: str, xp: Any):
        self.library, self.xp = library, xp
        self.log, self.log1p, self.exp, self.expm1 = xp.log, xp.log1p, xp.exp, xp.expm1
        self.where, self.stack, self.broadcast = xp.where, xp.stack, xp.broadcast_to

    @abstractmethod
    def work(self, x: Array) -> Array:
        """Converts an array to the precision of the computation."""

    def wide(self, x: Array) -> Array:
        """Does the conversion of `work` for formulas that may leave the range of the parameters' type on the way."""
        return self.work(x)

    @abstractmethod
    def array(self, x: Any, like: Array) -> Array:
        """Converts a number or an array to an array on the device of ``like``."""

    @abstractmethod
    def rounded(self, x: Array, dtype: Any) -> Array:
        """Converts an array to ``dtype``."""

    @abstractmethod
    def result_type(self, *arrays: Array) -> Any:
        """Returns the common type of ``arrays``."""

    def weight(self, name: str, alpha: Any, like: Array) -> Any:
        """Checks alpha, unless that would synchronise the device; returns it in the precision used for ``1 - alpha``.

        ``like`` is a parameter of the distributions.
        """
        return alpha if library_of(alpha) == self.library else number_between_0_and_1(name, alpha)

    def check_kind(self, name: str, x: Array) -> None:
        """Checks that an array has floating-point numbers of 16 to 64 bits."""
        if str(x.dtype) not in ("float16", "bfloat16", "float32", "float64"):
            raise TypeError(f"{name} must be of a floating type of 16, 32 or 64 bits, got {x.dtype}; convert it first")

    def constant(self, x: Array) -> Array:
        """Returns ``x`` without derivatives."""
        return x

    def for_numbers(
        self, arrays: Sequence[Array], alpha: float | None, limits: Sequence[tuple[float, float]], family: Any
    ) -> "Arithmetic":
        """Returns the arithmetic for these parameters of a family: a faster one if each lies between its two limits."""
        return self

    def quiet(self) -> AbstractContextManager[Any]:
        """Silences the warnings of NumPy about intermediate overflows; the other libraries give none."""
        return nullcontext()

    def log_rest(self, x: Array) -> Array:
        """The logarithm of a quotient that is 1 in most cases, for `special.split`."""
        return self.log(x)

    def tail(self, w: Array) -> Array:
        """``2 P(w)`` of `special.split_g`."""
        from jsgmath.series import TAIL

        return special.polynomial(w, TAIL[self.bits(w)])

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
        """``x``, with the largest finite number in place of an infinite one."""
        largest = self.xp.finfo(x.dtype).max
        return self.clamp(x, -largest, largest)

    def arange(self, first: int, end: int, like: Array) -> Array:
        """The whole numbers from ``first`` to ``end - 1``, on the device of ``like``."""
        return self.xp.arange(first, end)

    def largest(self, x: Array) -> Array:
        """The maximum over the last axis, which gets length 1."""
        return self.xp.amax(x, axis=-1, keepdims=True)

    def unknown(self, x: Array) -> Array:
        """``x``, in a way that a compiler does not compute with it."""
        return x

    def weighted(self, weight: Weight, x: Array) -> Array:
        """``weight * x``, and 0 where the weight is 0, even if x is infinite."""
        if isinstance(weight, float):
            return weight * x if weight else 0.0 * self.finite(x)
        return self.where(weight == 0, 0.0, weight * x)

    def near(self, t: Array) -> tuple[Array, Array]:
        """Whether t is small, and t where it is small; elsewhere nothing cancels in ``exp(t) - 1``."""
        near = (t < 2) & (t > -2)
        return near, self.where(near, t, 0.0)

    def for_outcomes(self, weight: Weight) -> Weight:
        """A weight with an axis of length 1 for the components of a vector."""
        return weight if isinstance(weight, float) else weight[..., None]

    def normal(self, x: Array) -> Array:
        """A positive number, within the range of normal numbers."""
        info = self.xp.finfo(x.dtype)
        return self.clamp(x, info.tiny, info.max)

    def at_largest(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The maximum of x over the last axis, which gets length 1, and y at its place."""
        shape = np.broadcast_shapes(tuple(x.shape), tuple(y.shape))
        x, y = self.broadcast(x, shape), self.broadcast(y, shape)
        place = self.xp.argmax(self.constant(x), -1)[..., None]
        return self.taken(x, place), self.taken(y, place)

    def taken(self, x: Array, place: Array) -> Array:
        """``x`` at a place on the last axis, which gets length 1."""
        return self.xp.take_along_axis(x, place, -1)

    def log_ratio(self, excess: Array, y: Array, x: Array) -> Array:
        """``log(y/x)`` of positive numbers, given ``excess = y/x - 1``; ``y/x`` itself may leave the range."""
        k = y / x
        f, _, log_rest = special.split(excess, k, self.clamp, self.log_rest)
        sound = (k > float(self.xp.finfo(k.dtype).tiny)) & (k < INFINITE)
        return self.where(sound, self.log1p(f) + log_rest, self.log(y) - self.log(x))

    def excess(self, y: Array, x: Array) -> Array:
        """``y/x - 1`` of positive numbers, also where their difference is too small for a normal number."""
        scale = self.where(x < self.xp.finfo(x.dtype).tiny * 2.0 ** (2 * self.bits(x)), 2.0 ** (2 * self.bits(x)), 1.0)
        return (y * scale - x * scale) / (x * scale)

    def choice(self, condition: Any, x: Any, y: Any) -> Any:
        """`where` for a condition that may be a bool, because that of a plain number is one."""
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

    def exponent(self, x: Weight) -> Any:
        """The e for which x is ``2**e`` times a number in [1/2, 1), without derivatives, in the type of x.

        An integer of 32 bits could not hold the exponents of exponentials, such as those of logits.
        """
        if type(x) is float:
            return float(math.frexp(x)[1])
        return self.rounded(self.xp.frexp(self.constant(x))[1], x.dtype)

    def scaled(self, x: Weight, e: Any) -> Any:
        """``x 2**e``"""
        return math.ldexp(x, int(max(e, -OUTSIDE))) if type(x) is float else self.scaled_array(x, e)

    def scaled_array(self, x: Array, e: Any) -> Array:
        """`scaled` for an array."""
        return x * 2.0**e

    def normalised(self, x: Array) -> tuple[Array, Array]:
        """A number of size 1/2 to 2 and the exponent e for which x is ``2**e`` times that number."""
        e = self.exponent(x)
        return self.scaled(x, -e), e

    def exponent_unless_zero(self, x: Weight, e: Any) -> Any:
        """``e``, and `NOTHING` where x is zero."""
        if isinstance(x, float):
            return e if x else NOTHING
        return self.where(self.constant(x) == 0, NOTHING, e)

    def moved(self, x: Array, e: Any) -> Array:
        """``x 2**e`` for an x near 1; if the result is far from 1, any number that is far from 1 on the same side."""
        return self.scaled(x, e)

    def lowered(self, x: Weight, e: Any) -> Any:
        """``x 2**e`` for an e that is not positive; results below the normal numbers need not be right."""
        return self.scaled(x, e)

    def quotient(self, factors: Sequence[Weight], divisors: Sequence[Weight] = ()) -> Array:
        """The product of the factors, divided by the divisors; no intermediate result leaves the range."""
        value: Any = 1.0
        e: Any = 0
        for x in factors:
            own = self.exponent(x)
            value, e = value * self.scaled(x, -own), e + own
        for x in divisors:
            own = self.exponent(x)
            value, e = value / self.scaled(x, -own), e - own
        return self.scaled(value, e)

    def average(self, w1: Weight, x: Array, w2: Weight, y: Array) -> Array:
        """``w1 x + w2 y`` for positive numbers and weights whose sum is 1; neither 0 nor infinite by rounding."""
        mean = w1 * x + w2 * y
        low, high = self.xp.minimum(x, y), self.xp.maximum(x, y)
        return self.where((mean > 0) & (mean < INFINITE), mean, self.where(mean > 0, high, low))

    def number(self, x: Any) -> Any:
        """Converts ``x`` to a `Scaled`, whose products, quotients and sums do not leave the range."""
        return Scaled.of(self, x)

    def plain(self, x: Any) -> Array:
        """Converts a result of `number` to an array."""
        return x.array() if isinstance(x, Scaled) else x

    def chosen(self, condition: Array, x: Any, y: Any) -> Any:
        """`where` for results of `number`."""
        if isinstance(x, Scaled) or isinstance(y, Scaled):
            return self.number(x).where(condition, self.number(y))
        return self.where(condition, x, y)

    def growth(self, weight: Weight, log: Array) -> tuple[Array, Any]:
        """Whether ``t = weight log`` is small, and ``exp(t) - 1`` as a number where it is."""
        t = weight * log
        near, small = self.near(t)
        tiny = abs(small) < float(self.xp.finfo(t.dtype).eps) / 4
        ratio = self.where(tiny, 1.0, self.expm1(small) / self.where(tiny, 1.0, small))
        return near, self.number(weight) * self.number(self.where(near, log, 0.0)) * self.number(ratio)

    def weighted_product(self, x: Array, own: Weight, y: Array, weight: Weight) -> Array:
        """``x**own y**weight`` of positive numbers; the weights add up to 1, but the larger one is rounded."""
        product = self.power(x, own) * self.power(y, weight)
        if isinstance(own, float) and self.bits(x) == 24:
            lost = [w - float(np.float32(w)) for w in (own, weight)]
            correction = lost[0] * self.log(x) + lost[1] * self.log(y)
        else:
            lost = self.choice(own > weight, (1 - own) - weight, (1 - weight) - own)
            correction = lost * self.log(self.choice(own > weight, x, y))
        product = product * (1 + correction)
        product = self.xp.maximum(product, self.xp.minimum(x, y))  # rounding leaves it between them
        return self.xp.minimum(product, self.xp.maximum(x, y))

    def largest_exponent(self, e: Array) -> Array:
        return self.xp.amax(e, axis=-1, keepdims=True)

    def log_of_number(self, x: Any, k: Any) -> Array:
        """``log(k)`` of a `number`, where ``k = 1 + x``."""
        if not isinstance(k, Scaled):
            return self.log_ratio(x, k, 1 + 0 * k)
        near, near_x, near_k = self.not_far(x, k)
        return self.where(near, self.log_ratio(near_x, near_k, 1 + 0 * near_k), k.log())

    def small_log_of_number(self, x: Any, k: Any) -> Any:
        """`log_of_number` as a `number`, however small it is."""
        if not isinstance(k, Scaled):
            return self.log_of_number(x, k)
        tiny = abs(self.plain(x)) < float(self.xp.finfo(self.plain(x).dtype).eps) / 4
        return self.chosen(tiny, x, self.log_of_number(x, k))

    def growth_of_number(self, x: Any) -> Any:
        """``exp(x) - 1`` as a number."""
        if not isinstance(x, Scaled):
            return self.expm1(x)
        plain = x.array()
        near, small = self.near(plain)
        tiny = abs(small) < float(self.xp.finfo(small.dtype).eps) / 4
        return self.chosen(near, self.chosen(tiny, x, self.expm1(small)), self.exp_of_number(plain) - 1)

    def exp_of_number(self, x: Array) -> Any:
        """``exp(x)`` as a number."""
        if not isinstance(self.number(1.0), Scaled):
            return self.exp(x)
        largest = LARGEST_LOG[24 if self.bits(x) == 24 else 53]
        x = self.clamp(x, -largest, largest)
        n = self.xp.round(self.constant(x) / math.log(2))
        places = 2.0 ** (self.bits(x) - 20) if self.bits(x) > 24 else 2.0**8
        high = math.floor(math.log(2) * places) / places  # so short that its product with n is exact
        low = float(LOG2 - Fraction(high))
        return Scaled.of(self, self.exp((x - n * high) - n * low), n)

    def power_of_number(self, x: Any, own: Weight, weight: Weight) -> Any:
        """``x**weight`` of a number, where ``weight + own = 1``, except for the rounding of the larger one."""
        lost: Any
        if isinstance(weight, float):
            plain = float(np.float32(weight)) if self.bits(x.value) == 24 else weight
            lost = (1 - plain) - own if weight > own else weight - plain
            w = 0 * x.value + plain
        else:
            w = 0 * x.value + weight
            lost = self.where(w > own, (1 - w) - own, 0 * w)
        high, low = self.product(w, 0 * w + x.exponent)
        n = self.xp.round(self.constant(high))
        power = x.value**w * self.exp(((high - n) + low) * math.log(2)) * (1 + lost * x.log())
        return Scaled.of(self, power, n)

    def taking_largest(self, x: Array) -> Callable[[Any], Any]:
        """Returns a function that picks, on the last axis of its argument, the element at the place of the largest x.

        The argument is an array or a number; the axis gets length 1.
        """

        def at_place(y: Any) -> Any:
            if isinstance(y, Scaled):
                return Scaled(self, at_place(y.value), at_place(y.exponent))
            return self.at_largest(x, y)[1]

        return at_place

    def each(self, x: Any) -> Any:
        """Adds an axis of length 1 to a number."""
        if isinstance(x, Scaled):
            return Scaled(self, x.value[..., None], x.exponent[..., None])
        return x[..., None]

    def whole_numbers(self, x: Any, first: int, end: int) -> Any:
        """The whole numbers from ``first`` to ``end - 1`` along a new last axis, in the type of x."""
        x = x.value if isinstance(x, Scaled) else x
        zero = (0 * x)[..., None]
        return zero + self.arange(first, end, zero)

    def first(self, x: Any) -> Any:
        """The first element along the last axis."""
        return Scaled(self, x.value[..., 0], x.exponent[..., 0]) if isinstance(x, Scaled) else x[..., 0]

    def part(self, x: Any, first: int, end: int) -> Any:
        """The elements along the last axis from the first on, before the end."""
        if isinstance(x, Scaled):
            return Scaled(self, x.value[..., first:end], x.exponent[..., first:end])
        return x[..., first:end]

    def of_each(self, function: Callable[..., Any], *rows: tuple[Any, ...]) -> list[Any]:
        """``function(*row)`` for each row of arguments, which may differ in the length of the last axis."""
        return [function(*row) for row in rows]

    def steps(self, step: Callable[..., Any], numbers: tuple[Array, ...], *rows: list[float]) -> tuple[Array, ...]:
        """``numbers = step(numbers, *row)`` for the rows one after another, each a number of every list."""
        for row in zip(*rows, strict=True):
            numbers = step(numbers, *row)
        return numbers

    def exchanged(self, x: Any) -> Any:
        """Numbers of two batches as one, with the second one first."""
        if isinstance(x, tuple):
            given = cast(tuple[Any, ...], x)
            parts = tuple(map(self.exchanged, given))
            return type(given)(*parts) if hasattr(given, "_fields") else parts
        if isinstance(x, Scaled):
            return Scaled(self, self.exchanged(x.value), self.exchanged(x.exponent))
        return x if isinstance(x, int | float) else x[::-1]

    def sum_of_numbers(self, x: Any) -> Any:
        """The sum over the last axis."""
        return x.sum() if isinstance(x, Scaled) else x.sum(-1)

    def g_of_number(self, x: Any, k: Any) -> Any:
        """``g(x)`` of a `number`, where ``k = 1 + x``."""
        if not isinstance(k, Scaled):
            return self.g_of(x, k)
        near, near_x, near_k = self.not_far(x, k)
        return self.number(self.g_of(near_x, near_k)).where(near, x - self.number(k.log()))

    def gs_of_number(self, x: Any, k: Any) -> Any:
        """``gs(x)`` of a `number`, where ``k = 1 + x``."""
        if not isinstance(k, Scaled):
            return self.gs_of(x, k)
        near, near_x, near_k = self.not_far(x, k)
        return self.number(self.gs_of(near_x, near_k)).where(near, 1 / k + self.number(k.log() - 1))

    def not_far(self, x: Scaled, k: Scaled) -> tuple[Array, Array, Array]:
        """Whether k is so near 1 that terms cancel in g and gs, and the x and k for which it is."""
        plain = k.not_far()
        near = (plain < FAR) & (plain > 1 / FAR)
        return near, self.where(near, x.array(), 0.0), self.where(near, plain, 1.0)

    def difference_of_products(self, x1: Any, y1: Sequence[Any], x2: Any, y2: Sequence[Any]) -> Any:
        """``x1 y1 - x2 y2`` of numbers, where each y is a number with its rounding error, in twice the precision."""
        (high1, low1), (high2, low2) = self.exact(x1, y1[0]), self.exact(x2, y2[0])
        errors = (low1, x1, y1[1]), (low2, x2, y2[1])
        low1, low2 = (low if self.is_nothing(error) else low + x * error for low, x, error in errors)
        difference = (high1 + -high2) + (low1 + -low2)
        return difference.normalised() if isinstance(difference, Scaled) else difference

    def is_nothing(self, x: Any) -> bool:
        """Whether a number is the plain 0, not an array."""
        return x.nothing if isinstance(x, Scaled) else isinstance(x, float) and x == 0.0

    def exact(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The rounded product of two numbers and its rounding error."""
        if not isinstance(x, Scaled):
            return self.product(x, y)
        e = x.exponent + y.exponent
        high, low = self.product(x.value, y.value)
        return Scaled(self, high, e), Scaled(self, low, e)

    def bits(self, x: Array) -> int:
        """The number of bits in the significand of an array's type."""
        return 1 - round(math.log2(float(self.xp.finfo(x.dtype).eps)))


def library_of(value: object) -> str | None:
    """The library of an array, or None for a number or a list of numbers."""
    if isinstance(value, list | tuple):
        return None  # torch.compile cannot read the module of these classes
    for kind in type(value).__mro__:  # a subclass of the user's too
        root = kind.__module__.partition(".")[0]
        if root in LIBRARIES:
            return LIBRARIES[root]
    return None


def total(terms: Iterable[Array]) -> Array:
    """The sum of at least one array; type checkers assume that `sum` may return the integer 0."""
    return sum(terms)
