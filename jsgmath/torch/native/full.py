"""The computation of `triton/full.py` by the compiled core, on a CPU: value and gradients in one pass over memory.

Everything is computed in doubles.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from jsgmath.torch.eager import diagonal as eager_diagonal
from jsgmath.torch.eager import full as eager
from jsgmath.torch.native import diagonal
from jsgmath.torch.typed import Alpha, Asked

LARGEST = 64  # for larger n, the matrix products of torch.linalg are faster


def evaluate(
    mean1: Tensor, tril1: Tensor, mean2: Tensor, tril2: Tensor, alpha: Alpha, *,
    dual: bool, reverse: bool, **wanted: Any,
) -> Asked:  # fmt: skip
    """Returns what `triton.full.evaluate` returns.  Above n = 64, `eager.full.evaluate` computes the results."""
    compute = diagonal.evaluate if mean1.shape[-1] <= LARGEST else eager.evaluate
    return compute(mean1, tril1, mean2, tril2, alpha, dual=dual, reverse=reverse, **wanted)


rescaled: Callable[..., Asked] = partial(eager_diagonal.rescaled, compute=evaluate)
