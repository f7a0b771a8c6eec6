"""Type hints for `gamma_terms.py`, whose text is translated to C++, and so cannot have them."""

from collections.abc import Callable
from typing import Any, TypeVar

N = TypeVar("N")  # any type with + - * / and comparisons
C = TypeVar("C")  # of a coefficient

Kernel = Callable[[N, N], N]  # g, difference and series
Choose = Callable[[Any, Any, Any], N]
Bregman = Callable[[N, N, N], tuple[N, N]]

def bregman_terms(x: N, y: N, d: N, g: Kernel[N], series: Kernel[N], choose: Choose[N]) -> tuple[N, N]: ...

# fmt: off
def bregman_less_terms(
    x: N, y: N, d: N, more_x: N, more_y: N, more_d: N, total_x: N, total_y: N, total_d: N, cross: N,
    g: Kernel[N], series_less: Callable[[N, N, N, N], tuple[N, N]], choose: Choose[N],
) -> tuple[N, N]: ...
def stirling(
    x: N, y: N, total: N, weighted: N, plain: N, power: N, count: int, coefficient: Callable[[int], C]
) -> tuple[N, N, N, N]: ...
def gamma_term(
    x: N, y: N, d: N, rate_x: N, rate_y: N, cross: N, g: Kernel[N], bregman: Bregman[N]
) -> tuple[N, N]: ...
def gamma_to_mean(
    a1: N, a2: N, d: N, b1: N, b2: N, cross: N, g1: N, g2: N, g: Kernel[N], bregman: Bregman[N]
) -> tuple[N, N, N, N]: ...
def gamma_from_mean(
    a1: N, a2: N, d: N, b1: N, b2: N, cross: N, g1: N, g2: N, g: Kernel[N], bregman: Bregman[N]
) -> tuple[N, N, N, N]: ...
def dirichlet_cross(
    near: Any, a1: N, a2: N, d: N, total1: N, total2: N, total_d: N, difference: Kernel[N], choose: Choose[N]
) -> N: ...
def dirichlet_component(
    x: N, y: N, d: N, total_x: N, total_y: N, cross: N, g: Kernel[N], bregman: Bregman[N], choose: Choose[N]
) -> tuple[Any, N, N]: ...
def dirichlet_total(
    some: Any, x: N, y: N, d: N, more_x: N, more_y: N, more_d: N, total_x: N, total_y: N, total_d: N,
    difference: Kernel[N], g: Kernel[N], bregman: Bregman[N], bregman_less: Callable[..., tuple[N, N]],
    choose: Choose[N],
) -> tuple[N, N]: ...
