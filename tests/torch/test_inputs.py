"""Bad input to the functions of jsgmath.torch, and tensors given to those of NumPy."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch

from jsgmath import Gaussian, families, jsg, kl
from jsgmath.torch import JSGLoss, jsg_diagonal, jsg_full, jsg_standard_normal, sample_and_jsg
from tests.test_inputs import N, assert_refused, table

NUMPY = {
    "alpha a tensor": (lambda: jsg(N, N, torch.tensor(0.5)), TypeError, "alpha | torch tensor | jsgmath.torch"),
    "mean a tensor": (lambda: Gaussian(torch.zeros(2), var=1.0), TypeError, "mean | torch tensor | jsgmath.torch"),
    "cov a tensor": (lambda: Gaussian([0.0, 0.0], cov=torch.eye(2)), TypeError, "cov | torch tensor | jsgmath.torch"),
    "means a list of tensors": (lambda: Gaussian([*torch.zeros(2)], var=1.0), TypeError, "mean | torch tensor"),
    "a list of tensors that require gradients": (
        lambda: jsg(N, N, [torch.ones((), requires_grad=True)]),
        TypeError,
        "alpha | torch tensor",
    ),
    "a tensor": (lambda: kl(torch.zeros(2), N), TypeError, "N1 | Gaussian | Tensor | jsgmath.torch"),
}


class Image(torch.Tensor):
    """A user's own class, as in torchvision."""


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch says of both kinds that they are prototypes
    NESTED = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)], layout=torch.jagged)
    MASKED = torch.masked.masked_tensor(torch.zeros(4, 3), torch.ones(4, 3) > 0)
FLOAT8 = torch.float8_e4m3fn
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
    "float8": (lambda: jsg_standard_normal(x.to(FLOAT8), y.to(FLOAT8), 0.5), TypeError, "mean | float8 | convert it"),
    "alpha of float8": (lambda: jsg_standard_normal(x, y, y[:, 0].to(FLOAT8)), TypeError, "alpha | float8"),
    "sparse": (lambda: jsg_standard_normal(x.to_sparse(), y, 0.5), TypeError, "mean | dense | sparse_coo | to_dense"),
    "a sparse factor": (
        lambda: jsg_full(x[:, :2], torch.eye(2).to_sparse(), x[:, :2], torch.eye(2), 0.5),
        TypeError,
        "tril1 | dense | to_dense",
    ),
    "float8 in a family": (lambda: kl(*2 * [families.Poisson(y[0].to(FLOAT8))]), TypeError, "rate | float8"),
    "a sparse parameter": (lambda: kl(*2 * [families.Poisson(y.to_sparse())]), TypeError, "rate | dense | to_dense"),
    "nested": (lambda: jsg_standard_normal(NESTED, y, 0.5), TypeError, "mean | one tensor | nested | to_padded_tensor"),
    "nested in a family": (lambda: kl(*2 * [families.Poisson(NESTED)]), TypeError, "rate | nested"),
    "masked": (lambda: jsg_standard_normal(MASKED, y, 0.5), TypeError, "mean | masked | .to_tensor(value)"),
    "alpha above 1 in a family": (
        lambda: jsg(*2 * [families.Poisson(y + 1)], torch.tensor([0.5, 1.5])),
        ValueError,
        "alpha | [0, 1] | 1.5",
    ),
    "alpha NaN for normals": (
        lambda: jsg(*2 * [torch.distributions.Normal(x, y + 1)], torch.tensor(float("nan"))),
        ValueError,
        "alpha | [0, 1] | nan",
    ),
    "mean of a subclass": (lambda: Gaussian(Image(x), var=1.0), TypeError, "mean | torch tensor | jsgmath.torch"),
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


def test_a_subclass_of_tensor_is_a_tensor_with_gradients():
    mean = Image(torch.tensor([1.0, 2.0])).requires_grad_()
    for pair in (
        [torch.distributions.Normal(m, torch.ones(2)) for m in (mean, torch.zeros(2))],
        [families.Poisson(m) for m in (mean, torch.ones(2))],
    ):
        value = kl(*pair)
        assert isinstance(value, torch.Tensor)
        (gradient,) = torch.autograd.grad(value.sum(), mean)
        assert (gradient[1] > 0) & (gradient >= 0).all()


@pytest.mark.parametrize("number", [np.float32(0.5), np.float16(0.5), np.float64(0.5), Fraction(1, 2)])
def test_a_weight_may_be_any_real_number(number):
    value = jsg_standard_normal(x + 1, y, number)
    assert (value == jsg_standard_normal(x + 1, y, 0.5)).all()
    assert JSGLoss(alpha=number)(x + 1, y) == JSGLoss(alpha=0.5)(x + 1, y)


@pytest.mark.parametrize("integer", [np.int64(3), np.uint8(3)])
def test_a_seed_and_a_row_may_be_any_integers(integer):
    sample, _ = sample_and_jsg(x, y, 0.5, integer, first_row=integer)
    assert (sample == sample_and_jsg(x, y, 0.5, 3, first_row=3)[0]).all()
