"""What full covariances lose if their Cholesky factors are ill-conditioned."""

import functools
import math

import numpy as np
import pytest
import torch

from jsgmath.torch.eager import full as full_eager
from tests.torch.inputs import variants
from tests.torch.test_full import assert_close, implementations, reference, run


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [2, 12])
def test_the_error_grows_with_the_condition_of_the_factors_and_not_with_its_square(n, dtype, evaluate):
    """KL from and to N(0, I): forming W W' would leave no digit of float32 at a condition of 1e4."""
    eps = torch.finfo(dtype).eps
    small = 0.3 / math.sqrt(eps)
    diagonal = torch.ones(n)
    diagonal[-1] = 1 / small
    tril = (torch.ones(n, n).tril(-1) + torch.diag(diagonal)).to(dtype).expand(2, n, n)
    eye = torch.eye(n, dtype=dtype).expand(2, n, n)
    mean = torch.linspace(-1, 1, 2 * n).reshape(2, n).to(dtype)
    alpha = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for pair in ((mean, tril, 0 * mean, eye), (0 * mean, eye, mean, tril)):
        for dual in (False, True):
            got = run(evaluate, pair, alpha, dual, "deasy")
            want = reference(pair, alpha, dual, "deasy")
            condition = torch.linalg.cond(tril.double())[0].item()
            assert (np.abs(got[0].double().numpy() / want - 1) <= n * condition * eps).all()
            exact = run(full_eager.evaluate, [x.double() for x in pair], alpha, dual, "deasy")
            if dtype == torch.float32:
                for x, y in zip(got[1:4], exact[1:4], strict=True):
                    assert_close(x, y, y.abs().flatten(1).amax(1), n * condition)


@functools.cache
def ill_conditioned(n, condition, count=40):
    """Means and factors of unrelated covariances, the largest standard deviations ``condition`` times the smallest."""
    rng = np.random.default_rng(n)
    tensors = []
    for _ in range(2):
        sizes = condition ** -rng.uniform(size=(count, 1, n))
        sizes[..., 0], sizes[..., -1] = 1, 1 / condition
        left, right = (np.linalg.qr(rng.normal(size=(count, n, n)))[0] for _ in range(2))
        factor = np.linalg.qr((left * sizes @ right).swapaxes(1, 2))[1].swapaxes(1, 2)
        factor *= np.sign(factor.diagonal(axis1=1, axis2=2))[:, None]
        tensors += [torch.tensor(rng.normal(size=(count, n))), torch.tensor(np.tril(factor))]
    return tensors


@functools.cache
def ill_conditioned_reference(n, condition, alpha, dual, convention):
    tensors = ill_conditioned(n, condition)
    return reference(tensors, torch.full(tensors[0].shape[:1], alpha, dtype=torch.float64), dual, convention)


@implementations
@variants
@pytest.mark.parametrize("n", [3, 5])
def test_values_between_two_factors_of_condition_1e6_lose_the_condition_and_not_its_square(
    n, dual, convention, evaluate
):
    """The bound is n eps times the condition; 0.1 of it was measured.

    Products of ``L2^-1 L1`` with vectors that it shrinks, in JSG's means, lost up to 10^4 times the bound.
    """
    tensors = ill_conditioned(n, 1e6)
    for alpha in (0.0, 1e-3, 0.1, 0.5, 0.8, 1.0):
        want = ill_conditioned_reference(n, 1e6, alpha, dual, convention)
        value, *_ = run(evaluate, tensors, alpha, dual, convention, grad=False)
        error = np.abs(value.numpy() - want)
        assert (error <= n * 1e6 * torch.finfo(torch.float64).eps * want).all(), alpha
