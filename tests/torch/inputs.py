"""Backends, variants and random tensors for the tests in torch."""

import itertools

import pytest
import torch
from torch.distributions import LowRankMultivariateNormal

from jsgmath import native

VARIANTS = list(itertools.product((False, True), ("deasy", "nielsen")))
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
BACKENDS = ["eager", "triton"] + ["native"] * (native.CORE is not None)
backends = pytest.mark.parametrize("backend", BACKENDS)
# Tracing by torch.compile calls functions that it will replace, and these warn.
traced = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def numbers(*shape, dtype=torch.float64, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_(grad)


def derivatives(function, inputs):
    """Value, gradient, and the gradient of a combination of all its entries, by every input that requires one."""
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    inputs = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
    weights = [numbers(*x.shape, seed=10 + k, grad=False) for k, x in enumerate((*outputs, *inputs))]
    first = torch.autograd.grad(outputs, inputs, weights[: len(outputs)], create_graph=True)
    second = torch.autograd.grad(first, inputs, weights[len(outputs) :])
    return [*outputs, *first, *second]


def assert_same_derivatives(function, inputs):
    """Compares the derivatives of all backends with eager: a dozen roundings of terms of order one in float64."""
    wanted, *others = [derivatives(lambda *x, b=backend: function(*x, backend=b), inputs) for backend in BACKENDS]
    for results in others:
        for got, want in zip(results, wanted, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-13)


def low_rank(mean, factor, diagonal):
    """A torch LowRankMultivariateNormal in float64."""
    return LowRankMultivariateNormal(*(torch.as_tensor(x, dtype=torch.float64) for x in (mean, factor, diagonal)))
