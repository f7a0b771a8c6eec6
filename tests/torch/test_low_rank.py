"""Gaussians with covariance D + W W^T, against the definition in 60 digits."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from mpmath import mp
from torch import distributions as td

from jsgmath import Gaussian, bhattacharyya, families, jsg, jsg_dual, kl
from tests.torch.inputs import low_rank
from verification.oracles import DIGITS, textbook_jsg


def mpmath_divergences(N1, N2, alpha):
    """JSG and JSG* [eqs. 8, 10]."""
    with mp.workdps(DIGITS):
        factors = [mp.matrix(N.cov_factor.tolist()) for N in (N1, N2)]
        covs = [W * W.T + mp.diag(N.cov_diag.tolist()) for W, N in zip(factors, (N1, N2), strict=True)]
        pair = [(mp.matrix(N.loc.tolist()), S) for N, S in zip((N1, N2), covs, strict=True)]
        return [float(textbook_jsg(*pair, alpha, dual=dual)) for dual in (False, True)]


@pytest.mark.parametrize("part", ["mean", "factor", "diagonal", "all"])
@pytest.mark.parametrize("gap", [1.0, 1e-3, 1e-9])
def test_near_equal_low_rank_normals_lose_no_digits(part, gap):
    """A formula with covariances would lose all digits at 1e-9, whose square is below epsilon."""
    torch.manual_seed(2)
    n, k = 8, 2
    N1 = low_rank(torch.randn(n), torch.randn(n, k), torch.rand(n) + 0.5)
    moved = {name: gap * (part in (name, "all")) for name in ("mean", "factor", "diagonal")}
    N2 = low_rank(
        N1.loc + moved["mean"] * torch.randn(n),
        N1.cov_factor * (1 + moved["factor"] * torch.randn(n, k)),
        N1.cov_diag * (1 + moved["diagonal"] * torch.rand(n)),
    )
    for alpha in (0.0, 0.3, 1.0):
        expected = mpmath_divergences(N1, N2, alpha)
        for function, value in zip((jsg, jsg_dual), expected, strict=True):
            # The largest error of 100 draws was 3e-15, epsilon times a condition of about 10.
            assert function(N1, N2, alpha).item() == pytest.approx(value, rel=2e-14)
    assert jsg(N1, N1, 0.3).item() == jsg_dual(N1, N1, 0.3).item() == 0


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
def test_low_rank_normals_that_are_far_apart_lose_no_digits(condition):
    """``W^2/D`` and the ratios of the diagonals have the size ``condition``; ``K`` has an eigenvalue 1/condition."""
    torch.manual_seed(4)
    n, k = 6, 2
    W, D = torch.randn(2, n, k), torch.rand(2, n) + 0.5
    pairs = [
        ((W[0], D[0] / condition), (W[1], D[1] / condition)),
        ((W[0], D[0] / condition), (0 * W[1], D[1])),
        ((W[0], D[0]), (W[1], D[1] * condition ** torch.linspace(-0.5, 0.5, n))),
    ]
    for first, second in pairs:
        N1, N2 = (low_rank(torch.randn(n), *parts) for parts in (first, second))
        for alpha in (0.0, 1e-12, 0.3, 1.0):
            for function, value in zip((jsg, jsg_dual), mpmath_divergences(N1, N2, alpha), strict=True):
                # The largest error of some hundred was 5e-13, at 1e8.
                assert function(N1, N2, alpha).item() == pytest.approx(value, rel=1e-14 * condition**0.5)


def test_low_rank_normals_have_gradients():
    torch.manual_seed(3)

    def divergence(function, mean1, W1, D1, mean2, W2, D2, alpha):
        N1, N2 = (td.LowRankMultivariateNormal(*x, validate_args=False) for x in ((mean1, W1, D1), (mean2, W2, D2)))
        return function(N1, N2, alpha)

    def draw():
        return [torch.randn(4).double(), torch.randn(4, 1).double(), torch.rand(4).double() + 0.5]

    inputs = [x.requires_grad_() for x in (*draw(), *draw())]
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for function in (jsg, jsg_dual):
        assert torch.autograd.gradcheck(lambda *x, f=function: divergence(f, *x), [*inputs, alpha])
        assert torch.autograd.gradgradcheck(lambda *x, f=function: divergence(f, *x), [*inputs, alpha], fast_mode=True)
        same = [x.detach().clone().requires_grad_() for x in (*inputs[:3], *inputs[:3])]
        gradients = torch.autograd.grad(divergence(function, *same, 0.3), same)
        assert all((x == 0).all() for x in gradients)  # although eigenvalues have no derivatives there


def low_rank_of(seed):
    torch.manual_seed(seed)
    return torch.randn(4).double(), torch.randn(4, 2).double(), torch.rand(4).double() + 0.5


@pytest.mark.parametrize("function", [jsg, jsg_dual])
def test_equal_low_rank_normals_have_second_derivatives(function):
    """They equal finite differences of the gradient for full covariances."""
    mean, W, D = low_rank_of(3)
    step = torch.randn(4, 2).double()

    def slope(W1, full=False):
        N1 = td.LowRankMultivariateNormal(mean, W1, D, validate_args=False)
        N2 = td.LowRankMultivariateNormal(mean, W, D, validate_args=False)
        if full:
            N1, N2 = (td.MultivariateNormal(mean, N.covariance_matrix, validate_args=False) for N in (N1, N2))
        return torch.autograd.grad(function(N1, N2, 0.3), W1, create_graph=True)[0]

    at = W.clone().requires_grad_()
    (product,) = torch.autograd.grad((slope(at) * step).sum(), at)
    moved = [slope((W + e * step).requires_grad_(), full=True) for e in (1e-5, -1e-5)]
    # The errors are the third derivative times the squared step, 1e-10, and rounding divided by the step, 1e-11.
    torch.testing.assert_close(product, (moved[0] - moved[1]) / 2e-5, rtol=0, atol=1e-8)


@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("function", [jsg, jsg_dual])
def test_low_rank_normals_have_derivatives_by_alpha_at_0_and_1(function, alpha, convention):
    """They equal those for full covariances."""
    made = [td.LowRankMultivariateNormal(*low_rank_of(seed)) for seed in (3, 4)]
    full = [td.MultivariateNormal(N.loc, N.covariance_matrix) for N in made]
    at = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
    found, expected = (torch.autograd.grad(function(*p, at, convention=convention), at)[0] for p in (made, full))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)  # 6e-14 was measured


def test_low_rank_normals_of_10000_dimensions_need_no_square_matrix():
    """A square matrix would take 800 MB; the peak is below 100 MB, the size of 13 arrays such as W."""
    script = """
import resource, time, torch, jsgmath
from torch.distributions import LowRankMultivariateNormal
n, k = 10_000, 10
N1, N2 = (LowRankMultivariateNormal(torch.randn(n), torch.randn(n, k), torch.rand(n) + 1) for _ in range(2))
jsgmath.jsg(N1, N1, 0.3)
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
value = jsgmath.jsg(N1, N2, 0.3)
assert value > 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kilobytes, seconds = map(float, done.stdout.split())
    assert kilobytes < 100_000
    assert seconds < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("diagonal", [1e-6, 1e-9])
def test_low_rank_and_full_normals_use_the_factor_that_was_given(diagonal, dtype):
    """In float32 the covariance ``W W^T + D`` would be singular: W^2/D is 1e6 or 1e9."""
    W = torch.tensor([[1.0], [1.0], [0.5]], dtype=dtype)
    low = td.LowRankMultivariateNormal(torch.zeros(3, dtype=dtype), W, torch.full((3,), diagonal, dtype=dtype))
    identity = td.MultivariateNormal(torch.zeros(3, dtype=dtype), torch.eye(3, dtype=dtype))
    same = low_rank(torch.zeros(3), torch.zeros(3, 1), torch.ones(3))
    for pair, exact in (((identity, low), (same, low)), ((low, identity), (low, same))):
        (expected, _), value = mpmath_divergences(*exact, 0.0), kl(*pair)
        assert value.dtype == dtype
        # `jsg_full` computes in float64, whose epsilon times the squared condition of the factors, 1e9, is 2e-7.
        assert value.item() == pytest.approx(expected, rel=2e-7)
    arrays = (x.numpy() for x in (low.loc, low.cov_factor, low.cov_diag))
    numpy = families.low_rank.LowRankMultivariateNormal(*arrays)
    value = kl(Gaussian(np.zeros(3, str(dtype)[6:]), cov=np.eye(3, dtype=str(dtype)[6:])), numpy)
    assert value.dtype == str(dtype)[6:]
    assert value == pytest.approx(mpmath_divergences(same, low, 0.0)[0], rel=1e-7 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
@pytest.mark.parametrize(("n", "k"), [(2, 3), (4, 4), (3, 9)])
@pytest.mark.parametrize("gap", [None, 1e-3, 1e-8])
def test_low_rank_normals_of_many_columns_lose_no_digits(n, k, size, gap):
    """``W^2/D`` is 1 to 1e12; with the inverse of ``I + W^T W/D`` no digit would be left."""
    torch.manual_seed(5)
    noise = [[torch.randn(shape).double() for shape in ((n,), (n, k), (n,))] for _ in range(2)]
    (mean, W, D), change = noise
    W, D = size * W, D.exp()
    if gap is None:
        other = size * change[0], size * change[1], change[2].exp()
    else:
        other = [x * (1 + gap * y) for x, y in zip((mean, W, D), change, strict=True)]
    N1, N2 = low_rank(mean, W, D), low_rank(*other)
    numpy = [
        families.low_rank.LowRankMultivariateNormal(*(x.numpy() for x in (N.loc, N.cov_factor, N.cov_diag)))
        for N in (N1, N2)
    ]
    for alpha in (0.0, 0.3, 1.0):
        for function, value in zip((jsg, jsg_dual), mpmath_divergences(N1, N2, alpha), strict=True):
            # The largest error of some hundred was 4e-14.
            assert function(N1, N2, alpha).item() == pytest.approx(value, rel=2e-13, abs=0)
            assert function(*numpy, alpha) == pytest.approx(value, rel=2e-13, abs=0)
    assert jsg(N1, N1, 0.3).item() == jsg_dual(*2 * [numpy[0]], 0.3) == 0


def test_an_alpha_with_a_gradient_does_not_change_the_value():
    """The issue's pair, whose value is log det((S1 + S2)/2)/2 - log det(S1 S2)/4 in 50 digits."""
    W1, W2 = (
        torch.tensor(x, dtype=torch.float64)
        for x in ([[1e3, 0.0, 5e2], [0.0, 1e3, 5e2]], [[9e2, 3e2, 0.0], [1e2, 8e2, 4e2]])
    )
    zero = torch.zeros(2, dtype=torch.float64)
    first, second = (td.LowRankMultivariateNormal(zero, W, zero + 1) for W in (W1, W2))
    half = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for alpha in (0.5, half):
        # The condition of the factors, about 1e3, times epsilon.
        assert bhattacharyya(first, second, alpha).item() == pytest.approx(0.029545328387363611, rel=1e-12)
    # By central differences, which are right to the square of the step.
    (gradient,) = torch.autograd.grad(jsg(first, second, half), half)
    step = (jsg(first, second, 0.5 + 1e-4) - jsg(first, second, 0.5 - 1e-4)) / 2e-4
    assert gradient.item() == pytest.approx(step.item(), rel=1e-5)
