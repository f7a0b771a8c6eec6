"""The benchmarks of `python -m benchmarks`, for pytest-benchmark: gradients in torch, values in NumPy, one thread.

The group of a benchmark names what is computed, and ``implementation`` names the code that computes it.
"""

import os
import shutil

import numpy as np
import pytest
import torch

import jsgmath
from benchmarks import textbook
from jsgmath.torch import jsg_diagonal, jsg_standard_normal
from verification import peers

ALPHA = 0.3
COMPILER = os.environ.get("CXX", "g++")  # the compiler that torch.compile calls
sizes = pytest.mark.parametrize(("rows", "n"), [(128, 20), (4096, 256)])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def measure(benchmark):
    """Times ``function(*arguments)`` after five calls that are not timed; the first of them compiles."""

    def measure(group, implementation, function, *arguments):
        benchmark.group = group
        benchmark.extra_info["implementation"] = implementation
        for _ in range(5):
            function(*arguments)
        benchmark(function, *arguments)

    return measure


STANDARD = {
    "jsgmath": lambda *tensors: jsg_standard_normal(*tensors, ALPHA, backend="eager", reduction="sum"),
    "textbook": lambda *tensors: textbook.standard(*tensors, ALPHA).sum(),
    "torch.distributions, KL": lambda *tensors: textbook.kl(*tensors).sum(),
}
DIAGONAL = {
    "jsgmath": lambda *tensors: jsg_diagonal(*tensors, ALPHA, backend="eager", reduction="sum"),
    "textbook": lambda *tensors: textbook.diagonal(*tensors, ALPHA).sum(),
}


def torch_step(measure, name, implementation, function, count, rows, n):
    torch.manual_seed(1)
    tensors = [torch.randn(rows, n, requires_grad=True) for _ in range(count)]
    group = f"{name} with gradients, torch float32, {rows} x {n}"
    measure(group, implementation, lambda: torch.autograd.grad(function(*tensors), tensors))


@sizes
@pytest.mark.parametrize("implementation", STANDARD)
def test_standard(measure, implementation, rows, n):
    torch_step(measure, "JSG to N(0, I)", implementation, STANDARD[implementation], 2, rows, n)


@sizes
@pytest.mark.parametrize("implementation", DIAGONAL)
def test_diagonal(measure, implementation, rows, n):
    torch_step(measure, "JSG of two diagonal", implementation, DIAGONAL[implementation], 4, rows, n)


@sizes
@pytest.mark.parametrize(
    ("name", "functions", "count"),
    [("JSG to N(0, I)", STANDARD, 2), ("JSG of two diagonal", DIAGONAL, 4)],
    ids=["standard", "diagonal"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning:torch")
def test_compiled(measure, name, functions, count, rows, n):
    if not shutil.which(COMPILER):
        pytest.skip(f"found no C++ compiler {COMPILER!r}, which torch.compile needs on a CPU; name one in CXX")
    torch.compiler.reset()
    compiled = torch.compile(functions["textbook"], dynamic=False)
    torch_step(measure, name, "torch.compile of the textbook", compiled, count, rows, n)


@pytest.mark.parametrize("implementation", ["jsgmath", "textbook"])
def test_numpy_diagonal(measure, implementation):
    m1, logvar1, m2, logvar2 = np.random.default_rng(1).normal(size=(4, 1000, 20))

    def ours():
        return jsgmath.jsg(jsgmath.Gaussian(m1, logvar=logvar1), jsgmath.Gaussian(m2, logvar=logvar2), ALPHA)

    def other():
        return peers.diagonal_loss(m1, logvar1, m2, logvar2, ALPHA, dual=False)

    measure("JSG of two diagonal, NumPy, 1000 x 20", implementation, ours if implementation == "jsgmath" else other)


@pytest.mark.parametrize(("count", "n"), [(1, 10), (100, 10), (10, 50)])
@pytest.mark.parametrize("implementation", ["jsgmath", "textbook, eq. 9"])
def test_numpy_dense(measure, implementation, count, n):
    rng = np.random.default_rng(1)
    (m1, m2), factors = rng.normal(size=(2, count, n)), rng.normal(size=(2, count, n, 2 * n))
    S1, S2 = factors @ factors.mT / n

    def ours():
        return jsgmath.jsg(jsgmath.Gaussian(m1, cov=S1), jsgmath.Gaussian(m2, cov=S2), ALPHA)

    def other():
        return peers.eq_9(m1, S1, m2, S2, ALPHA, "deasy")

    measure(f"JSG of dense pairs, NumPy, {count} x {n}", implementation, ours if implementation == "jsgmath" else other)
