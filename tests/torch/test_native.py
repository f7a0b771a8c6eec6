"""The compiled core on tensors: the ends of the range against mpmath, threads, and torch's tracers."""

import itertools
import math

import numpy as np
import pytest
import torch
from mpmath import mp
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from jsgmath import native
from jsgmath.torch import jsg_diagonal, jsg_full, jsg_standard_normal, sample_and_jsg
from tests.torch.against_numpy import divergence, unit
from tests.torch.inputs import VARIANTS, numbers

pytestmark = pytest.mark.skipif(native.CORE is None, reason=f"the compiled core is absent: {native.REASON}")


def exact(m1, l1, m2, l2, alpha, dual, convention):
    """Eqs. 8 and 10 with eqs. 2, 12 and 13, for one dimension."""

    def kl(m, v, n, w):
        return (v / w - 1 - mp.log(v / w) + (m - n) ** 2 / w) / 2

    g1, g2 = (1 - alpha, alpha) if convention == "nielsen" else (alpha, 1 - alpha)
    v1, v2 = mp.exp(l1), mp.exp(l2)
    v = 1 / (g1 / v1 + g2 / v2)
    m = v * (g1 * m1 / v1 + g2 * m2 / v2)
    kl1, kl2 = (kl(m, v, n, w) if dual else kl(n, w, m, v) for n, w in ((m1, v1), (m2, v2)))
    return (1 - alpha) * kl1 + alpha * kl2


def nearest(x, dtype):
    """A number as a float, infinite beyond the range of the type."""
    return float(x) if abs(x) < torch.finfo(dtype).max else math.copysign(math.inf, x)


# Log-variances and means at the ends of each type: variances beyond the range, whose ratio may lie within it, and
# displacements that overflow once they are squared.
FAR = {
    torch.float32: ([-1400, -700, -90, 0, 88, 200, 1400], [0, 1e-30, 3e19, -3e38]),
    torch.float64: ([-1416, -720, -640, 0, 300, 705, 1000], [0, 1e-200, 1e154, -1e308]),
}


@pytest.mark.parametrize("dtype", FAR, ids=str)
def test_values_and_gradients_are_right_to_the_ends_of_the_range(dtype):
    """Values are within 2 ulp, or infinite like the truth; gradients within 4 ulp of the sizes of their terms.

    Differences give the exact gradients: with 1800 digits, steps of 1e-250 of the size of each number leave an error
    of 1e-250.
    """
    rng = np.random.default_rng(1)
    logvars, means = FAR[dtype]
    cases = np.stack([rng.choice(choices, 24) for choices in (means, logvars, means[:2], logvars)], 1)
    numbers = torch.tensor(cases, dtype=torch.float64).to(dtype)
    info = torch.finfo(dtype)
    for alpha, (dual, convention) in itertools.product((0.0, 0.3, 1.0), VARIANTS):
        columns = [x[:, None].clone().requires_grad_() for x in numbers.T]
        value = jsg_diagonal(*columns, alpha, dual=dual, convention=convention, backend="native")
        gradients = torch.autograd.grad(value.sum(), columns)
        chosen = rng.choice(len(cases), 2, replace=False)
        for row in chosen:
            with mp.workdps(1800):
                point = [mp.mpf(x) for x in numbers[row].tolist()]
                rest = mp.mpf(alpha), dual, convention
                want = exact(*point, *rest)
                got, nearest_want = value[row].item(), nearest(want, dtype)
                place = unit(dtype, nearest_want) if math.isfinite(nearest_want) else 1.0
                assert got == nearest_want or abs(got - want) <= 2 * place
                for i, gradient in enumerate(gradients):
                    step = mp.mpf(10) ** -250
                    if i in (0, 2):
                        step *= max(abs(point[0]), abs(point[2]), mp.exp((point[1] + point[3]) / 4))
                    ends = [
                        exact(*[x + sign * step * (i == j) for j, x in enumerate(point)], *rest) for sign in (-1, 1)
                    ]
                    slope = (ends[1] - ends[0]) / (2 * step)
                    size = abs(slope) + (2 * want if i in (1, 3) else 0)
                    got = gradient[row].item()
                    if size < info.max:
                        assert abs(got - slope) <= 4 * (size * info.eps + info.smallest_normal * info.eps)
                    elif abs(slope) > info.max * 1.01:
                        assert got == math.copysign(math.inf, slope)


@pytest.mark.parametrize("dtype", FAR, ids=str)
@pytest.mark.parametrize("gaussians", [1, 2])
def test_an_infinite_mean_is_infinitely_far_and_nan_is_nan(dtype, gaussians):
    for (dual, convention), alpha in itertools.product(VARIANTS, (0.0, 0.3, 1.0)):
        if convention == "nielsen" and alpha in (0, 1):
            continue  # there the divergence is 0 for all means
        for bad, position in itertools.product((math.inf, math.nan), range(2 * gaussians)):
            if bad == math.inf and position % 2:
                continue
            tensors = [torch.zeros(1, 3, dtype=dtype) for _ in range(2 * gaussians)]
            tensors[position][0, 1] = bad
            value = divergence(tensors, alpha, dual=dual, convention=convention, backend="native").item()
            assert value == bad or (bad != bad and value != value)


@pytest.mark.parametrize("dtype", FAR, ids=str)
def test_the_bits_do_not_depend_on_threads_nor_on_other_rows(dtype):
    """A row has many blocks or one, or a block has several rows; each row has its alpha and its factor."""
    before = torch.get_num_threads()
    try:
        for rows, n in ((700, 300), (60_000, 7), (3, 90_000)):
            tensors = [numbers(rows, n, dtype=dtype, seed=k) for k in range(2)]
            alpha, factor = torch.linspace(0, 1, rows, requires_grad=True), torch.linspace(-2, 2, rows, dtype=dtype)

            def results(part, tensors=tensors, alpha=alpha, factor=factor):
                leaves = [x[part].detach().requires_grad_() for x in (*tensors, alpha)]
                value = jsg_standard_normal(*leaves, backend="native")
                sample = sample_and_jsg(*leaves, 5, first_row=part.start, backend="native")
                return [value, *torch.autograd.grad(value, leaves, factor[part]), *sample]

            torch.set_num_threads(1)
            alone = results(slice(0, rows))
            torch.set_num_threads(2)
            assert native.CORE
            assert all(torch.equal(a, b) for a, b in zip(alone, results(slice(0, rows)), strict=True))
            part = slice(rows // 3, rows // 3 + 2)
            for whole, some in zip(alone, results(part), strict=True):
                assert torch.equal(whole[part], some)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("rows", "n"), [(1001, 5), (5, 33)])
def test_the_bits_of_full_covariances_depend_on_neither_threads_nor_other_rows(rows, n):
    """Pairs are computed together in the lanes of a vector, and one by one."""
    means = [numbers(rows, n, seed=k) for k in range(2)]
    trils = [(numbers(rows, n, n, seed=k, grad=False).tril(-1) / n + k * torch.eye(n)).detach() for k in (2, 3)]
    alpha = torch.linspace(0, 1, rows, dtype=torch.float64)

    def results(part):
        leaves = [x[part].detach().requires_grad_() for x in (means[0], trils[0], means[1], trils[1], alpha)]
        value = jsg_full(*leaves, dual=n == 5, backend="native")
        return [value, *torch.autograd.grad(value.sum(), leaves)]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = results(slice(0, rows))
        torch.set_num_threads(2)
        assert all(torch.equal(a, b) for a, b in zip(alone, results(slice(0, rows)), strict=True))
        part = slice(rows // 3, rows // 3 + 2)
        assert all(torch.equal(whole[part], some) for whole, some in zip(alone, results(part), strict=True))
    finally:
        torch.set_num_threads(before)


def test_tracers_see_the_operators_of_torch():
    """A trace that runs with other numbers gives their results; tensors without numbers give the right shapes."""
    mean, logvar = numbers(5, 4), numbers(5, 4, seed=1)

    def function(mean, logvar):
        value = jsg_standard_normal(mean, logvar, 0.3, backend="native")
        z, divergence = sample_and_jsg(mean, logvar, 0.3, 5, backend="native")
        return value, z, *torch.autograd.grad(value.sum() + z.sin().sum() + divergence.sum(), (mean, logvar))

    traced = make_fx(function)(mean, logvar)
    others = numbers(5, 4, seed=2), numbers(5, 4, seed=3)
    for got, want in zip(traced(*others), function(*others), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-15, atol=0)
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in (mean, logvar)]
        for backend in ("auto", "native"):
            assert jsg_standard_normal(*fakes, 0.3, backend=backend).shape == (5,)


def test_tensors_on_other_devices_are_refused():
    with pytest.raises(ValueError, match="backend='native' needs tensors on a CPU, got meta; use backend='eager'"):
        jsg_standard_normal(*2 * [torch.zeros(3, 4, device="meta")], 0.3, backend="native")
