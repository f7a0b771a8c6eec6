"""The benchmarks of `python -m benchmarks`, for pytest-benchmark: gradients in torch, values in NumPy, one thread.

The group of a benchmark names what is computed, and ``implementation`` names the code that computes it.
"""

import os
import shutil

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

import jsgmath
from benchmarks import textbook
from jsgmath import native
from jsgmath.torch import jsg_diagonal, jsg_standard_normal
from verification import peers

ALPHA = 0.3
COMPILER = os.environ.get("CXX", "g++")  # the compiler that torch.compile calls
sizes = pytest.mark.parametrize(("rows", "n"), [(128, 10), (128, 20), (4096, 256)])


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Leaves one thread to torch, to NumPy's BLAS and to the compiled core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(native, "cores", lambda: 1)
    with threadpool_limits(1):
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
    "jsgmath": lambda *tensors: jsg_standard_normal(*tensors, ALPHA, reduction="sum"),
    "torch operations": lambda *tensors: jsg_standard_normal(*tensors, ALPHA, backend="eager", reduction="sum"),
    "textbook": lambda *tensors: textbook.standard(*tensors, ALPHA).sum(),
    "torch.distributions, KL": lambda *tensors: textbook.kl(*tensors).sum(),
}
DIAGONAL = {
    "jsgmath": lambda *tensors: jsg_diagonal(*tensors, ALPHA, reduction="sum"),
    "torch operations": lambda *tensors: jsg_diagonal(*tensors, ALPHA, backend="eager", reduction="sum"),
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


@pytest.mark.parametrize("rows_n", [(1, 1), (1, 10), (1000, 20), (10000, 50)], ids=lambda x: f"{x[0]}x{x[1]}")
@pytest.mark.parametrize("form", ["var", "std", "logvar"])
@pytest.mark.parametrize("implementation", ["jsgmath", "textbook"])
def test_numpy_diagonal(measure, implementation, form, rows_n):
    """The textbook takes the form that is given: log-variances as the paper's code does, else variances."""
    m1, logvar1, m2, logvar2 = np.random.default_rng(1).normal(size=(4, *rows_n))
    scales = [{"var": np.exp(x), "std": np.exp(x / 2), "logvar": x}[form] for x in (logvar1, logvar2)]

    def ours():
        N1, N2 = (jsgmath.Gaussian(m, **{form: s}) for m, s in zip((m1, m2), scales, strict=True))
        return jsgmath.jsg(N1, N2, ALPHA)

    def other():
        if form == "logvar":
            return peers.diagonal_loss(m1, scales[0], m2, scales[1], ALPHA, dual=False)
        v1, v2 = scales if form == "var" else (s * s for s in scales)
        return peers.diagonal_variances(m1, v1, m2, v2, ALPHA)

    group = f"JSG of two diagonal, NumPy, {form}, {rows_n[0]} x {rows_n[1]}"
    measure(group, implementation, ours if implementation == "jsgmath" else other)


@pytest.mark.parametrize(("count", "n"), [(1, 2), (1, 10), (100, 3), (100, 10), (80, 20), (10, 50), (10, 64), (1, 200)])
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


@pytest.mark.parametrize(("count", "n"), [(300, 5), (300, 20)])
@pytest.mark.parametrize("implementation", ["jsgmath", "textbook, eq. 9"])
def test_numpy_pairwise(measure, implementation, count, n):
    rng = np.random.default_rng(1)
    mean, factor = rng.normal(size=(count, n)), rng.normal(size=(count, n, 2 * n))
    S = factor @ factor.mT / n

    def ours():
        return jsgmath.pairwise(jsgmath.Gaussian(mean, cov=S), ALPHA)

    def other():
        return [peers.eq_9(mean[i : i + 1], S[i : i + 1], mean, S, ALPHA, "deasy") for i in range(count)]

    measure(
        f"all pairs of full covariances, NumPy, {count} x {n}",
        implementation,
        ours if implementation == "jsgmath" else other,
    )
