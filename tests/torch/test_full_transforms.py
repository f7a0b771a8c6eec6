"""Full covariances: derivatives, torch.func, torch.compile, and errors.

The kernel runs in its interpreter.
"""

from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jsgmath.torch import jsg_full
from tests.torch.inputs import assert_same_derivatives, backends, numbers, traced, variants
from tests.torch.jacobians import assert_both_jacobians_are_differences


def factors(rows, n, seed=0, dtype=torch.float64):
    """Means and Cholesky factors of two Gaussians in each row."""
    mean1, mean2 = (numbers(rows, n, seed=seed + k, dtype=dtype) for k in range(2))
    tril1, tril2 = (
        (numbers(rows, n, n, seed=seed + k, grad=False).tril(-1) / n + torch.eye(n) * (1 + k / 2)).to(dtype)
        for k in (2, 3)
    )
    return [mean1, tril1.requires_grad_(), mean2, tril2.requires_grad_()]


def pairs():
    """Inputs of different Gaussians and of equal ones, and an alpha for each row."""
    different = factors(2, 2)
    equal = [x.detach().clone().requires_grad_() for x in different[:2] * 2]
    alpha = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)
    return (*different, alpha), (*equal, alpha)


def lower(mean1, tril1, mean2, tril2, alpha, **options):
    """Ignores entries above the diagonal in the differences as well, because `jsg_full` does not read them."""
    return jsg_full(mean1, tril1.tril(), mean2, tril2.tril(), alpha, **options)


@variants
def test_first_and_second_derivatives_are_those_of_differences(dual, convention):
    """Second derivatives are by every pair of inputs, also alpha, between different and between equal Gaussians."""
    for inputs in pairs():
        assert_both_jacobians_are_differences(partial(lower, dual=dual, convention=convention, backend="eager"), inputs)


@variants
def test_first_and_second_derivatives_of_the_kernel_are_those_of_the_eager_backend(dual, convention):
    for inputs in pairs():
        assert_same_derivatives(partial(lower, dual=dual, convention=convention), inputs)


@traced
@backends
def test_full_covariances_broadcast_map_and_compile(backend):
    torch._dynamo.reset()
    tensors = factors(5, 3)
    mean1, tril1, mean2, tril2 = tensors
    alpha = torch.rand(5, dtype=torch.float64)
    rows = jsg_full(*tensors, alpha, backend=backend)
    one_by_one = [jsg_full(*(x[i] for x in tensors), alpha[i], backend=backend) for i in range(5)]
    torch.testing.assert_close(rows, torch.stack(one_by_one))
    shared = jsg_full(mean1, tril1, mean2[0], tril2[0], 0.3, backend=backend)
    torch.testing.assert_close(shared[2], jsg_full(mean1[2], tril1[2], mean2[0], tril2[0], 0.3, backend=backend))

    def loss(*arguments):
        return jsg_full(*arguments, backend=backend, reduction="mean")

    wanted = torch.autograd.grad(jsg_full(*tensors, alpha, backend="eager").sum(), tensors)
    mapped = vmap(grad(loss, (0, 1, 2, 3)))(*(x.detach() for x in tensors), alpha)
    torch.testing.assert_close(mapped, wanted)
    compiled = torch.compile(lambda *x: 5 * loss(*x), fullgraph=True, backend="aot_eager")(*tensors, alpha)
    torch.testing.assert_close(torch.autograd.grad(compiled, tensors), wanted)
    # Once unchanged, once multiplied by the incoming gradient.
    for factor in (1.0, 5.0):
        plain = torch.autograd.grad(factor * loss(*tensors, alpha), tensors)
        torch.testing.assert_close(plain, tuple(x * factor / 5 for x in wanted))


@backends
def test_the_operators_of_full_covariance_pass_opcheck(backend):
    rows = [x.detach() for x in factors(3, 4, dtype=torch.float32)]
    for alphas in (None, torch.rand(3)):
        arguments = (*rows, alphas, 0.3, True, False, f"{backend}.full")
        torch.library.opcheck(torch.ops.jsgmath.divergence.default, arguments)
        torch.library.opcheck(torch.ops.jsgmath.gradient.default, (torch.rand(3), *arguments, alphas is not None))


MEAN, EYE = torch.zeros(3), torch.eye(3)


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ([MEAN, EYE, MEAN, torch.eye(4)], ValueError, "mean1 has dimension 3 but tril2 has 4"),
        ([MEAN, MEAN, MEAN, EYE], ValueError, r"tril1 must have shape \(..., n, n\) with n >= 1, got \(3,\)"),
        ([MEAN, EYE, MEAN, EYE.double()], TypeError, "mean1 is torch.float32 but tril2 is torch.float64"),
        ([MEAN.expand(2, 3), EYE, MEAN.expand(4, 3), EYE], ValueError, r"must broadcast, got mean1 of \(2, 3\)"),
        ([MEAN, EYE, MEAN, EYE.long()], TypeError, "tril2 must be a floating-point tensor, got torch.int64"),
        ([MEAN, [[1.0]], MEAN, EYE], TypeError, "tril1 must be a torch tensor, got list"),
    ],
)
def test_invalid_arguments_are_named(tensors, error, message):
    with pytest.raises(error, match=message):
        jsg_full(*tensors, 0.3)


def test_above_64_dimensions_torch_linalg_computes_the_results():
    tensors = factors(2, 70)
    results = [jsg_full(*tensors, 0.3, backend=backend) for backend in ("eager", "triton")]
    assert torch.equal(*results)
    gradients = [torch.autograd.grad(3 * value.sum(), tensors) for value in results]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
