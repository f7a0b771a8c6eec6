"""Type hints for `noise.py`.  That file has none, because Triton compiles some of its text and would run them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Series = tuple[tuple[float, ...], ...]

SERIES32: Series
SERIES64: Series

def box_muller(
    word1: Any,
    word2: Any,
    number: Callable[[Any], Any],
    split: Callable[[Any], Any],
    sqrt: Callable[[Any], Any],
    where: Callable[[Any, Any, Any], Any],
    polynomial: Callable[[Any, Any], Any],
    series: Series,
) -> tuple[Any, Any]: ...
def philox(
    c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, key0: Tensor, key1: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
def split(x: Tensor) -> tuple[Tensor, Tensor]: ...
def normal(seed: Tensor, first_row: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor: ...
