"""Type hints for `formula.py`.  That file has none, because Triton compiles its text and would run them."""

from collections.abc import Callable
from typing import Any, TypeVar

N = TypeVar("N")  # a NumPy array, a torch or Triton tensor, a SymPy symbol, an Arb ball: any type with + - * /
Kernel = Callable[[N, N, N, Any], N]  # of x, k, other_k and log_r: g or gs

def mean_weights(w1: N, w2: N, reverse: bool) -> tuple[N, N, int]: ...
def shares(g1: N | float, g2: N | float, r1: N, r2: N) -> tuple[N, N, N, N]: ...
def to_mean(
    g1: N | float, g2: N | float, log_r1: N | float, r1: N, r2: N, e1: N, e2: N, d1: N, d2: N, g: Kernel[N]
) -> tuple[N, N]: ...
def from_mean(
    g1: N | float, g2: N | float, log_r1: N | float, r1: N, r2: N, e1: N, e2: N, d1: N, d2: N, gs: Kernel[N]
) -> tuple[N, N]: ...
def skew(w1: N | float, w2: N | float, kl1: N, kl2: N) -> N: ...

# fmt: off
def exchanged(
    w1: N | float, w2: N | float, g1: N | float, g2: N | float,
    r1: N, r2: N, e1: N, e2: N, d1: N, d2: N, i1: N | float, i2: N | float,
) -> tuple[N | float, N | float, N | float, N | float, N, N, N, N, N, N, N | float, N | float]: ...
def to_mean_grad(
    w1: N | float, w2: N | float, g1: N | float, g2: N | float,
    r1: N, r2: N, e1: N, e2: N, d1: N, d2: N, i1: N | float, i2: N | float,
) -> tuple[N, N]: ...
def to_mean_by_alpha(
    w1: N | float, w2: N | float, g1: N | float, g2: N | float,
    slope: int, kl1: N, kl2: N, r1: N, r2: N, e1: N, e2: N, d1: N, d2: N,
) -> N: ...
def from_mean_grad(
    w1: N | float, w2: N | float, g1: N | float, g2: N | float,
    r1: N, r2: N, e1: N, e2: N, d1: N, d2: N, i1: N | float, i2: N | float,
) -> tuple[N, N]: ...
def from_mean_by_alpha(
    w1: N | float, w2: N | float, g1: N | float, g2: N | float,
    slope: int, kl1: N, kl2: N, r1: N, r2: N, e1: N, e2: N, d1: N, d2: N,
) -> N: ...
# fmt: on
