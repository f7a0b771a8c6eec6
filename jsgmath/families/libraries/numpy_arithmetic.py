"""The functions of NumPy that a family's formulas need."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.checks import as_weight
from jsgmath.families.libraries.arithmetic import Arithmetic, Array

LONGEST = 2**15
"""An exponent that no long double has."""


class NumPyArithmetic(Arithmetic):
    def __init__(self):
        super().__init__("NumPy", np)

    def work(self, x: Array) -> Array:
        return np.asarray(x).astype(special.WORK)

    def array(self, x: Any, like: Array) -> Array:
        return np.asarray(x)

    def rounded(self, x: Array, dtype: Any) -> Array:
        return x.astype(dtype)[()]

    def result_type(self, *arrays: Array) -> Any:
        return np.result_type(*arrays)

    def weight(self, name: str, alpha: Any, like: Array) -> Any:
        return as_weight(name, alpha)

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def scaled_array(self, x: Array, e: Any) -> Array:
        return np.ldexp(x, np.clip(e, -2 * LONGEST, 2 * LONGEST).astype(np.int32))

    def clamp(self, x: Array, low: float, high: float) -> Array:
        return np.clip(x, low, high)

    def g(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        return special.numpy_kernel(special.g)(x, k, other_k, log_r)

    def gs(self, x: Array, k: Array, other_k: Array, log_r: Array) -> Array:
        return special.numpy_kernel(special.gs)(x, k, other_k, log_r)

    def g_of(self, x: Array, k: Array) -> Array:
        return self.g(x, k, k, 0.0)

    def gs_of(self, x: Array, k: Array) -> Array:
        return self.gs(x, k, k, 0.0)
