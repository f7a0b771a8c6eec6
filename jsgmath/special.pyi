"""Type hints for `special.py`.  That file has none, because Triton compiles part of it and would run them."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

N = TypeVar("N")  # a NumPy array, a torch or Triton tensor, a SymPy symbol, an Arb ball: any type with + - * /
Where = Callable[[Any, N, N], N]

WORK: type[np.longdouble]
ROUNDING: int
SPLIT_FROM: float
SPLIT_TO: float

def series_terms(bits: int) -> int: ...
def tail(w: N, one: Any, terms: int) -> N: ...
def log_k(k: N, other_k: N, log_r: N, log: Callable[[N], N], where: Where[N], floor: Any) -> N: ...
def g(
    x: N, k: N, other_k: N, log_r: N, log: Callable[[N], N], where: Where[N], one: Any, terms: int, floor: Any
) -> N: ...
def gs(
    x: N, k: N, other_k: N, log_r: N, log: Callable[[N], N], where: Where[N], one: Any, terms: int, floor: Any
) -> N: ...
def two_sum(a: N, b: N | float) -> tuple[N, N]: ...
def numpy_kernel(
    kernel: Callable[..., np.ndarray],
) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray | float], np.ndarray]: ...
def ratio(x: N, y: N) -> N: ...
def split(x: N, k: N, clamp: Callable[..., N], log: Callable[[N], N]) -> tuple[N, N, N]: ...
def split_g(
    x: N, k: N, other_k: N, beyond: N | float, split: Callable[[N, N], tuple[N, N, N]], tail: Callable[[N], N]
) -> N: ...
def split_gs(
    x: N, k: N, other_k: N, beyond: N | float, split: Callable[[N, N], tuple[N, N, N]], tail: Callable[[N], N]
) -> N: ...
def split_kernels(
    clamp: Callable[..., N], log: Callable[[N], N], tail: Callable[[N], N]
) -> list[Callable[[N, N, N, N | float], N]]: ...
def log_variance_pair(
    mean1: N,
    logvar1: N,
    mean2: N | None,
    logvar2: N | None,
    widest: float,
    furthest: float,
    stretching: Callable[[N, N], N],
    exp: Callable[[N], N],
    exp_and_expm1: Callable[[N], tuple[N, N]],
    within: Callable[[N, float], N],
    where: Callable[..., N],
) -> tuple[N, N, N, N, N, N, N, N, N]: ...
def polynomial(x: N, coefficients: Sequence[float]) -> N: ...
def economised(
    series: Iterable[Fraction], low: Fraction | float, high: Fraction | float, terms: int
) -> tuple[float, ...]: ...
def split_tail(terms: int) -> tuple[float, ...]: ...
def expm1_ratio(terms: int) -> tuple[float, ...]: ...
