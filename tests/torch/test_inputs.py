"""Bad input to the functions of jsgmath.torch, and tensors given to those of NumPy."""

import numpy as np
import torch

from jsgmath import Gaussian, jsg, kl
from jsgmath.torch import jsg_diagonal, jsg_standard_normal
from tests.test_inputs import N, assert_refused, table

NUMPY = {
    "alpha a tensor": (lambda: jsg(N, N, torch.tensor(0.5)), TypeError, "alpha | torch tensor | jsgmath.torch"),
    "mean a tensor": (lambda: Gaussian(torch.zeros(2), var=1.0), TypeError, "mean | torch tensor | jsgmath.torch"),
    "cov a tensor": (lambda: Gaussian([0.0, 0.0], cov=torch.eye(2)), TypeError, "cov | torch tensor | jsgmath.torch"),
    "a tensor": (lambda: kl(torch.zeros(2), N), TypeError, "N1 | Gaussian | Tensor | jsgmath.torch"),
}
x, y = torch.zeros(4, 3), torch.zeros(4, 3)
TORCH = {
    "an array as mean": (
        lambda: jsg_standard_normal(np.zeros(3), y, 0.5),
        TypeError,
        "mean | tensor | ndarray | jsgmath",
    ),
    "integers as logvar": (lambda: jsg_standard_normal(x, y.int(), 0.5), TypeError, "logvar | floating-point | int32"),
    "complex numbers as mean": (lambda: jsg_standard_normal(x * 1j, y, 0.5), TypeError, "mean | floating | complex64"),
    "two types": (
        lambda: jsg_standard_normal(x, y.double(), 0.5),
        TypeError,
        "mean is torch.float32 | float64 | convert",
    ),
    "two dimensions": (
        lambda: jsg_standard_normal(x, y[:, :2], 0.5),
        ValueError,
        "mean has dimension 3 | logvar has 2",
    ),
    "rows that do not broadcast": (
        lambda: jsg_standard_normal(x, y[:3], 0.5),
        ValueError,
        "(4, 3) | (3, 3) | broadcast",
    ),
    "a second Gaussian that does not": (
        lambda: jsg_diagonal(x, y, x[:3], y[:3], 0.5),
        ValueError,
        "mean1 of (4, 3) | mean2 of (3, 3) | broadcast",
    ),
    "tensors of no dimension": (lambda: jsg_standard_normal(x[0, 0], y[0, 0], 0.5), ValueError, "(..., n) | ()"),
    "tensors of dimension 0": (lambda: jsg_standard_normal(x[:, :0], y[:, :0], 0.5), ValueError, "n >= 1 | (4, 0)"),
    "two devices": (lambda: jsg_standard_normal(x, y.to("meta"), 0.5), ValueError, "mean is on cpu | logvar on meta"),
    "alpha above 1": (lambda: jsg_standard_normal(x, y, 1.2), ValueError, "alpha | [0, 1] | 1.2"),
    "alpha NaN": (lambda: jsg_standard_normal(x, y, float("nan")), ValueError, "alpha | [0, 1] | nan"),
    "alpha text": (lambda: jsg_standard_normal(x, y, "0.5"), TypeError, "alpha | float or a tensor | str"),
    "alpha a truth value": (lambda: jsg_standard_normal(x, y, True), TypeError, "alpha | float or a tensor | bool"),
    "alpha of integers": (lambda: jsg_standard_normal(x, y, torch.tensor(1)), TypeError, "alpha | floating | int64"),
    "alpha of other length": (lambda: jsg_standard_normal(x, y, torch.zeros(3)), ValueError, "alpha | (3,) | (4,)"),
    "alpha on another device": (
        lambda: jsg_standard_normal(x, y, torch.zeros(1, device="meta")),
        ValueError,
        "alpha is on meta | cpu | move",
    ),
    "convention unknown": (lambda: jsg_standard_normal(x, y, 0.5, convention="paper"), ValueError, "'deasy' | 'paper'"),
    "backend unknown": (
        lambda: jsg_standard_normal(x, y, 0.5, backend="cuda"),
        ValueError,
        "'triton' | 'eager' | 'cuda'",
    ),
    "reduction unknown": (lambda: jsg_standard_normal(x, y, 0.5, reduction="batch"), ValueError, "'mean' | 'batch'"),
}


@table(NUMPY, TORCH)
def test_bad_tensors_are_refused_with_their_reason(call, exception, fragments):
    assert_refused(call, exception, fragments)
