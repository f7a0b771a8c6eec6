"""Type hints for `several_terms.py`, whose text is translated to C++, and so cannot have them."""

from collections.abc import Callable
from typing import Any, TypeVar

N = TypeVar("N")  # any type with + - * /
Magnitude = TypeVar("Magnitude")

# fmt: off
def summands(
    g: N, inverse_r: N, y: N, size_y: Magnitude, delta: N, size: Callable[[N], Magnitude]
) -> tuple[N, N, N, Magnitude, Magnitude]: ...
def twice_divergence(
    r: N, e: N, size_e: Magnitude, delta: N, log_r: Any, precision: N, k: N, mean: N, excess: N, size_mean: Magnitude,
    size_excess: Magnitude, dual: bool, kernel: Callable[..., N], size: Callable[[N], Magnitude],
    select: Callable[[Any, Any, Any], Any], relative: Any, rounding: Any,
) -> tuple[N, Magnitude]: ...
