"""The benchmarks of `python -m benchmarks`, for pytest-benchmark: gradients in torch, values in NumPy, one thread.

The group of a benchmark names what is computed, and ``implementation`` names the code that computes it.
"""

import os
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import distributions as td

import jsgmath
from benchmarks import cases, textbook
from benchmarks.families import FAMILIES as NUMPY_FAMILIES
from jsgmath import native
from jsgmath.families.low_rank import LowRankMultivariateNormal
from jsgmath.torch import jsg_diagonal, jsg_full, jsg_standard_normal
from verification import peers

ALPHA = 0.3
COMPILER = os.environ.get("CXX", "g++")  # the compiler that torch.compile calls
compiles = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning:torch"
)
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


KL = "torch.distributions, KL"
STANDARD = {
    "jsgmath": lambda *tensors: jsg_standard_normal(*tensors, ALPHA, reduction="sum"),
    "torch operations": lambda *tensors: jsg_standard_normal(*tensors, ALPHA, backend="eager", reduction="sum"),
    "textbook": lambda *tensors: textbook.standard(*tensors, ALPHA).sum(),
    KL: lambda *tensors: textbook.kl(*tensors).sum(),
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


FULL = {
    "jsgmath": lambda *tensors: jsg_full(*tensors, ALPHA),
    "torch operations": lambda *tensors: jsg_full(*tensors, ALPHA, backend="eager"),
    "textbook": lambda *tensors: textbook.full(*tensors, ALPHA),
}


@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize(("rows", "n"), [(1000, 5), (200, 20), (20, 64)])
@pytest.mark.parametrize("implementation", FULL)
def test_full(measure, implementation, rows, n, dtype):
    """Pairs at distances of about 1, 1e-4 and 1e-7, in turn, by their Cholesky factors."""
    tensors = cases.Case("full", rows, n, dtype).inputs("cpu")
    group = f"JSG of full covariances with gradients, torch {cases.DTYPES[dtype]}, {rows} x {n}".replace("torch.", "")
    measure(group, implementation, cases.training(FULL[implementation], tensors))


def compiled_or_skip(function):
    if not shutil.which(COMPILER):
        pytest.skip(f"found no C++ compiler {COMPILER!r}, which torch.compile needs on a CPU; name one in CXX")
    torch.compiler.reset()
    return torch.compile(function, dynamic=False)


@sizes
@pytest.mark.parametrize(
    ("name", "functions", "count"),
    [("JSG to N(0, I)", STANDARD, 2), ("JSG of two diagonal", DIAGONAL, 4)],
    ids=["standard", "diagonal"],
)
@compiles
def test_compiled(measure, name, functions, count, rows, n):
    compiled = compiled_or_skip(functions["textbook"])
    torch_step(measure, name, "torch.compile of the textbook", compiled, count, rows, n)


def logits(*shape):
    return lambda: [torch.randn(*shape, requires_grad=True)]


def positive(count, *shape):
    return lambda: [(0.2 + 4.8 * torch.rand(*shape)).requires_grad_() for _ in range(count)]


FAMILIES = {
    "Bernoulli": (lambda x: td.Bernoulli(logits=x), logits(100_000)),
    "Poisson": (td.Poisson, positive(1, 100_000)),
    "Gamma": (td.Gamma, positive(2, 100_000)),
    "Dirichlet": (td.Dirichlet, positive(1, 10_000, 10)),
    "Categorical": (lambda x: td.Categorical(logits=x), logits(64, 50_257)),
}


@pytest.mark.parametrize("implementation", ["jsgmath", "torch.distributions"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(measure, family, implementation):
    torch.manual_seed(1)
    kind, parameters = FAMILIES[family]
    first, second = parameters(), parameters()
    divergence = jsgmath.kl if implementation == "jsgmath" else td.kl_divergence

    def step():
        return torch.autograd.grad(divergence(kind(*first), kind(*second)).sum(), [*first, *second])

    size = " x ".join(map(str, first[0].shape))
    measure(f"KL of {family} with gradients, torch float32, {size}", implementation, step)


@pytest.mark.parametrize("implementation", ["jsgmath", "textbook"])
@pytest.mark.parametrize("divergence", ["KL", "JSG"])
@pytest.mark.parametrize("family", NUMPY_FAMILIES)
def test_numpy_families(measure, family, divergence, implementation):
    textbook_of, rng = NUMPY_FAMILIES[family], np.random.default_rng(1)
    arguments = textbook_of.parameters(rng), textbook_of.parameters(rng), *([ALPHA] if divergence == "JSG" else [])
    if implementation == "textbook":
        function = textbook_of.jsg_of if divergence == "JSG" else textbook_of.kl_of
    else:
        function = partial(textbook_of.ours, jsgmath.jsg if divergence == "JSG" else jsgmath.kl)
    size = " x ".join(map(str, arguments[0].shape))
    measure(f"{divergence} of {family}, NumPy float64, {size}", implementation, function, *arguments)


FORMS = ["var", "std", "logvar"]
ROWS_N = [(1, 1), (1, 10), (1000, 20), (10000, 50)]


def numpy_pair(form, rows, n):
    """Means and scales of two batches, ``m1, s1, m2, s2``."""
    m1, logvar1, m2, logvar2 = np.random.default_rng(1).normal(size=(4, rows, n))
    s1, s2 = ({"var": np.exp(x), "std": np.exp(x / 2), "logvar": x}[form] for x in (logvar1, logvar2))
    return m1, s1, m2, s2


def ours(m1, s1, m2, s2, form):
    return jsgmath.jsg(jsgmath.Gaussian(m1, **{form: s1}), jsgmath.Gaussian(m2, **{form: s2}), ALPHA)


def of_the_textbook(m1, s1, m2, s2, form, xp=np, alpha=ALPHA):
    """The textbook uses the given form: log-variances like the paper's code, otherwise variances."""
    if form == "logvar":
        return peers.diagonal_loss(m1, s1, m2, s2, alpha, False, xp)
    v1, v2 = (s1, s2) if form == "var" else (s1 * s1, s2 * s2)
    return peers.diagonal_variances(m1, v1, m2, v2, alpha, xp)


def kl_of_torch(m1, s1, m2, s2, form):
    """KL, which is a different quantity, for comparison."""
    deviation = {"var": np.sqrt, "std": np.asarray, "logvar": lambda s: np.exp(s / 2)}[form]
    return peers.torch_kl(m1, deviation(s1), m2, deviation(s2))


NUMPY = {"jsgmath": ours, "textbook": of_the_textbook, KL: kl_of_torch}


@pytest.mark.parametrize("rows_n", ROWS_N, ids=lambda x: f"{x[0]}x{x[1]}")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("implementation", NUMPY)
def test_numpy_diagonal(measure, implementation, form, rows_n):
    arrays = numpy_pair(form, *rows_n)
    group = f"JSG of two diagonal, NumPy, {form}, {rows_n[0]} x {rows_n[1]}"
    measure(group, implementation, lambda: NUMPY[implementation](*arrays, form))


@pytest.mark.parametrize("rows_n", ROWS_N[2:], ids=lambda x: f"{x[0]}x{x[1]}")
@pytest.mark.parametrize("form", ["var", "logvar"])
@compiles
def test_numpy_compiled(measure, form, rows_n):
    """The textbook in torch float64, compiled."""
    compiled = compiled_or_skip(lambda *tensors: of_the_textbook(*tensors, form, torch))
    tensors = [torch.from_numpy(x) for x in numpy_pair(form, *rows_n)]
    group = f"JSG of two diagonal, NumPy, {form}, {rows_n[0]} x {rows_n[1]}"
    measure(group, "torch.compile of the textbook", lambda: compiled(*tensors))


def gradient(m1, s1, m2, s2, form):
    return jsgmath.jsg_grad(jsgmath.Gaussian(m1, **{form: s1}), jsgmath.Gaussian(m2, **{form: s2}), ALPHA)


def gradient_of_the_textbook(m1, s1, m2, s2, form):
    """Derivatives by the means, the scales and alpha, computed by autograd in float64."""
    tensors = [torch.from_numpy(x).requires_grad_() for x in (m1, s1, m2, s2)]
    alpha = torch.tensor(ALPHA, dtype=torch.float64, requires_grad=True)
    divergence = of_the_textbook(*tensors, form, torch, alpha)
    return torch.autograd.grad(divergence.sum(), [*tensors, alpha])


GRADIENTS = {"jsgmath": gradient, "textbook in torch, with autograd": gradient_of_the_textbook}


@pytest.mark.parametrize(("rows", "n"), [(1, 10), (1000, 20)])
@pytest.mark.parametrize("form", ["var", "logvar"])
@pytest.mark.parametrize("implementation", GRADIENTS)
def test_numpy_gradient(measure, implementation, form, rows, n):
    arrays = numpy_pair(form, rows, n)
    group = f"gradient of JSG of two diagonal, NumPy, {form}, {rows} x {n}"
    measure(group, implementation, lambda: GRADIENTS[implementation](*arrays, form))


DENSE_SIZES = [(1, 2), (1, 10), (100, 3), (100, 10), (80, 20), (10, 64), (1, 200)]
DENSE = {
    "jsgmath": lambda *arrays: ours(*arrays, "cov"),
    "textbook, eq. 9": lambda *arrays: peers.eq_9(*arrays, ALPHA, "deasy"),
    KL: peers.torch_kl,
}


@pytest.mark.parametrize(("count", "n"), DENSE_SIZES)
@pytest.mark.parametrize("implementation", DENSE)
def test_numpy_dense(measure, implementation, count, n):
    rng = np.random.default_rng(1)
    (m1, m2), factors = rng.normal(size=(2, count, n)), rng.normal(size=(2, count, n, 2 * n))
    S1, S2 = factors @ factors.mT / n
    group = f"JSG of dense pairs, NumPy, {count} x {n}"
    measure(group, implementation, lambda: DENSE[implementation](m1, S1, m2, S2))


PAIRWISE = {
    "jsgmath": lambda mean, S: jsgmath.pairwise(jsgmath.Gaussian(mean, cov=S), ALPHA),
    "textbook, eq. 9": lambda mean, S: [
        peers.eq_9(mean[i : i + 1], S[i : i + 1], mean, S, ALPHA, "deasy") for i in range(len(mean))
    ],
}


@pytest.mark.parametrize(("count", "n"), [(300, 5), (300, 20)])
@pytest.mark.parametrize("implementation", PAIRWISE)
def test_numpy_pairwise(measure, implementation, count, n):
    rng = np.random.default_rng(1)
    mean, factor = rng.normal(size=(count, n)), rng.normal(size=(count, n, 2 * n))
    S = factor @ factor.mT / n
    group = f"all pairs of full covariances, NumPy, {count} x {n}"
    measure(group, implementation, lambda: PAIRWISE[implementation](mean, S))


SEVERAL = {
    "jsgmath": lambda means, v, w: jsgmath.jsg_many(jsgmath.Gaussian(means, var=v), w),
    "textbook, eqs. 2, 12 and 13": peers.several,
}


@pytest.mark.parametrize(("rows", "n"), [(1, 20), (1000, 20)])
@pytest.mark.parametrize("implementation", SEVERAL)
def test_numpy_several(measure, implementation, rows, n):
    rng = np.random.default_rng(1)
    means, logvars = rng.normal(size=(2, 3, rows, n))
    weights, variances = np.array([0.5, 0.25, 0.25]), np.exp(logvars)
    group = f"JSG of three diagonal Gaussians and their product, NumPy, {rows} x {n}"
    measure(group, implementation, lambda: SEVERAL[implementation](means, variances, weights))


SEVERAL_FULL = {
    "jsgmath": lambda means, S, w: jsgmath.jsg_many(jsgmath.Gaussian(means, cov=S), w),
    "textbook, eqs. 2, 12 and 13": peers.several_full,
}


@pytest.mark.parametrize(("rows", "n"), [(1, 10), (100, 3), (100, 10)])
@pytest.mark.parametrize("implementation", SEVERAL_FULL)
def test_numpy_several_full(measure, implementation, rows, n):
    rng = np.random.default_rng(1)
    means, factors = rng.normal(size=(3, rows, n)), rng.normal(size=(3, rows, n, 2 * n))
    S, weights = factors @ factors.mT / n, np.array([0.5, 0.25, 0.25])
    group = f"JSG of three full covariances and their product, NumPy, {rows} x {n}"
    measure(group, implementation, lambda: SEVERAL_FULL[implementation](means, S, weights))


def low_rank(*arrays):
    first, second = (LowRankMultivariateNormal(*arrays[i : i + 3]) for i in (0, 3))
    return jsgmath.jsg(first, second, ALPHA)


LOW_RANK = {"jsgmath": low_rank, "textbook, by Woodbury": lambda *arrays: peers.low_rank(*arrays, ALPHA)}


@pytest.mark.parametrize(("n", "rank"), [(1000, 3), (10_000, 10)])
@pytest.mark.parametrize("implementation", LOW_RANK)
def test_numpy_low_rank(measure, implementation, n, rank):
    rng = np.random.default_rng(1)
    arrays = [x for _ in "12" for x in (rng.normal(size=n), rng.normal(size=(n, rank)), rng.uniform(0.5, 3, n))]
    group = f"JSG of low-rank covariances, NumPy, {n} dimensions, rank {rank}"
    measure(group, implementation, lambda: LOW_RANK[implementation](*arrays))
