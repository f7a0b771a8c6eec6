"""The measured cases: the kinds of computation, their inputs, and the implementations of each."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

import jsgmath.torch
from benchmarks import liger_style, textbook

ALPHA = 0.3
SEED = 1234
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


class Case(NamedTuple):
    """``rows`` Gaussians, or pairs of Gaussians, in ``n`` dimensions."""

    kind: str
    rows: int
    n: int
    dtype: str = "fp32"

    def __str__(self):
        return f"{KINDS[self.kind].name}, {self.dtype}, {self.rows} x {self.n}"

    def floor(self, gradient):
        """The bytes that must be read and written: each argument and each result once."""
        return self.rows * KINDS[self.kind].moved(self.n)[gradient] * DTYPES[self.dtype].itemsize

    def results(self):
        """The bytes of all results of forward and backward, except the divergences."""
        return self.rows * KINDS[self.kind].results(self.n) * DTYPES[self.dtype].itemsize

    def inputs(self, device):
        """Tensors that require gradients.

        Each row differs from the Gaussian it is compared with by about 1, 1e-4 or 1e-7, in turn.  The same tensors are
        checked and timed; no kernel branches on their values.
        """
        randn = partial(
            torch.randn,
            dtype=DTYPES[self.dtype],
            device=device,
            generator=torch.Generator(device).manual_seed(SEED),
        )
        gap = torch.tensor([1, 1e-4, 1e-7], dtype=DTYPES[self.dtype], device=device)
        gap = gap[torch.arange(self.rows, device=device) % 3]
        return [t.requires_grad_() for t in KINDS[self.kind].inputs(randn, gap, self.rows, self.n)]


def _rows(randn, gap, rows, n):
    return [randn(rows, n).mul_(gap[:, None]) for _ in range(2)]


def _pairs(randn, gap, rows, n):
    mean2, logvar2 = randn(rows, n), randn(rows, n)
    return [randn(rows, n).mul_(gap[:, None]).add_(t) for t in (mean2, logvar2)] + [mean2, logvar2]


def _full(randn, gap, rows, n):
    """Cholesky factors with diagonals of about 1 and condition numbers below 100, for any n."""

    def noise():
        return randn(rows, n, n).tril_(-1).mul_(0.3 / n**0.5) + torch.diag_embed(randn(rows, n).mul_(0.2))

    mean2, tril2 = randn(rows, n), noise() + torch.eye(n, device=gap.device, dtype=gap.dtype)
    tril2.diagonal(dim1=-2, dim2=-1).clamp_(min=0.3)
    mean1, tril1 = mean2 + gap[:, None] * randn(rows, n), tril2 + gap[:, None, None] * noise()
    tril1.diagonal(dim1=-2, dim2=-1).clamp_(min=0.3)
    return [mean1, tril1, mean2, tril2]


class Kind(NamedTuple):
    """One computation.  ``ours``, ``textbook`` and ``liger`` map the inputs to what autograd differentiates."""

    name: str
    inputs: Callable
    ours: Callable
    textbook: Callable
    liger: Callable | None
    moved: Callable  # n -> numbers per row that must be moved: by forward, and by forward and backward
    results: Callable  # n -> numbers per row that forward and backward return

    def uncompiled(self):
        """All implementations except torch.compile, as ``(name, function)``."""
        functions = {"jsgmath": self.ours, "Liger-style": self.liger, "textbook": self.textbook}
        return [(implementation, function) for implementation, function in functions.items() if function]


def _reduced(function, reduction, *tensors):
    return function(*tensors, ALPHA, reduction=reduction, backend="triton")


def _sum(function, *tensors):
    return function(*tensors, ALPHA).sum()


def _with_alpha(function, *tensors):
    return function(*tensors, ALPHA)


def _sample(mean, logvar):
    return jsgmath.torch.sample_and_jsg(mean, logvar, ALPHA, seed_on(mean.device))


_seeds = {}


def seed_on(device):
    """A seed on the device, copied there only once, because a CUDA graph must not contain the copy."""
    return _seeds.setdefault(device, torch.tensor(SEED, device=device))


KINDS = {
    "standard": Kind(
        "diagonal to N(0, I)",
        _rows,
        partial(_reduced, jsgmath.torch.jsg_standard_normal, "sum"),
        partial(_sum, textbook.standard),
        partial(liger_style.jsg_sum, alpha=ALPHA),
        lambda n: (2 * n, 4 * n),
        lambda n: 2 * n,
    ),
    "diagonal": Kind(
        "two diagonal Gaussians",
        _pairs,
        partial(_reduced, jsgmath.torch.jsg_diagonal, "sum"),
        partial(_sum, textbook.diagonal),
        partial(liger_style.jsg_sum, alpha=ALPHA),
        lambda n: (4 * n, 8 * n),
        lambda n: 4 * n,
    ),
    "sample": Kind(
        "sample and JSG to N(0, I)",
        _rows,
        _sample,
        partial(_with_alpha, textbook.sample),
        None,
        lambda n: (3 * n, 8 * n),
        lambda n: 3 * n,
    ),
    "full": Kind(
        "full covariance",
        _full,
        lambda *tensors: jsgmath.torch.jsg_full(*tensors, ALPHA),
        partial(_with_alpha, textbook.full),
        None,
        lambda n: (2 * (n * n + n), 4 * (n * n + n)),
        lambda n: 2 * (n * n + n),
    ),
}


def outputs_of(function, tensors):
    results = function(*tensors)
    return results if isinstance(results, tuple) else (results,)


def forward(function, tensors):
    """A function that calls ``function`` without gradients."""

    def call():
        with torch.no_grad():
            function(*tensors)

    return call


def training(function, tensors):
    """A function that runs forward and backward; results that are not scalars get a gradient made in advance."""
    given = [torch.ones_like(result) if result.ndim else None for result in outputs_of(function, tensors)]
    return lambda: torch.autograd.grad(outputs_of(function, tensors), tensors, given)
