"""At home in torch: second derivatives, torch.func, torch.compile, autocast, parameters, graphs kept and used again.

The kernel runs in its interpreter.
"""

import itertools

import pytest
import torch
from torch.func import grad, jacrev, vmap

import jsgmath
from jsgmath.torch import (
    functions,
    jsg_full,
    jsg_standard_normal,
    kl_diagonal,
    kl_standard_normal,
    sample_and_jsg,
)
from jsgmath.torch.eager import diagonal as eager
from jsgmath.torch.triton import diagonal as kernels
from tests.torch.against_numpy import divergence

VARIANTS = list(itertools.product((False, True), ("deasy", "nielsen")))
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
backends = pytest.mark.parametrize("backend", ["eager", "triton"])
# torch.compile's tracing calls what it means to replace.
traced = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def numbers(*shape, dtype=torch.float64, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_(grad)


@backends
@variants
@pytest.mark.parametrize("gaussians", [1, 2])
def test_first_and_second_derivatives_are_those_of_differences(gaussians, dual, convention, backend):
    """Every one by every other, alpha's too, between different Gaussians and between equal ones.

    In the slow interpreter along random directions only.
    """
    tensors = [numbers(2, 2, seed=k) for k in range(2 * gaussians)]
    equal = [numbers(2, 2, seed=k % 2) for k in range(4)] if gaussians == 2 else [torch.zeros_like(x) for x in tensors]
    alpha = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)

    def function(*arguments):
        return divergence(arguments[:-1], arguments[-1], dual=dual, convention=convention, backend=backend)

    for inputs in (tensors, [x.detach().requires_grad_() for x in equal]):
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            assert check(function, (*inputs, alpha), fast_mode=backend == "triton")


@backends
def test_a_third_derivative_is_that_of_the_closed_form(backend):
    """KL(q||p) by the log-variance: exp(logvar)/2, from the second derivative on."""
    logvar = numbers(4)
    value = jsg_standard_normal(torch.zeros(4).double(), logvar, 0.0, backend=backend)
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), logvar, create_graph=True)
    torch.testing.assert_close(value, logvar.exp() / 2)


@backends
def test_a_graph_of_the_gradient_changes_nothing_in_the_gradient(backend):
    """The eager gradient that waited is multiplied once more: a rounding."""
    mean, logvar = (numbers(3, 4, dtype=torch.float32, seed=k) for k in range(2))
    loss = jsg_standard_normal(mean, logvar, 0.3, backend=backend).square().sum()
    with_graph = torch.autograd.grad(loss, (mean, logvar), create_graph=True)
    without = torch.autograd.grad(loss, (mean, logvar))
    torch.testing.assert_close(with_graph, without, rtol=16 * 2.0**-24, atol=0)


@backends
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", functions.REDUCTIONS)
def test_backward_may_come_twice_and_with_any_gradient_from_above(reduction, dtype, backend):
    mean, logvar = (numbers(5, 4, dtype=dtype, seed=k) for k in range(2))
    upstream = torch.tensor([1.0, 1.0, -3.0, 0.0, 0.25])

    def loss(backend):
        value = jsg_standard_normal(mean, logvar, 0.3, backend=backend, reduction=reduction)
        return (value * upstream.to(dtype)).sum()

    value = loss(backend)
    first = torch.autograd.grad(value, (mean, logvar), retain_graph=True)
    copies = [x.clone() for x in first]
    second = [x / 2 for x in torch.autograd.grad(value, (mean, logvar), torch.tensor(2.0, dtype=dtype))]
    wanted = torch.autograd.grad(loss("eager"), (mean, logvar))
    # In float32 the factor may come before a rounding or after it.  What comes from above in bfloat16 has its errors.
    rtol = 2.0**-7 if dtype == torch.bfloat16 else 1e-6
    for a, b, c, copy in zip(first, second, wanted, copies, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=0)
        torch.testing.assert_close(a, c, rtol=rtol, atol=1e-7)
        assert torch.equal(a, copy)  # what was handed over is not written to again


@backends
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients_from_the_forward_are_handed_over_as_they_are(reduction, backend, monkeypatch):
    """Where the gradient from above is 1, the backward computes nothing and allocates nothing of their size."""
    module = {"eager": eager, "triton": kernels}[backend]
    held = []
    rows = module.rows
    monkeypatch.setattr(module, "rows", lambda *a, **k: held.append(rows(*a, **k)) or held[-1])
    mean, logvar = (numbers(7, 10, dtype=torch.float32, seed=k) for k in range(2))
    value = jsg_standard_normal(mean, logvar, 0.3, backend=backend, reduction=reduction)
    before = [x.clone() for x in held[0][1:3]]
    gradients = torch.autograd.grad(value, (mean, logvar))
    assert len(held) == 1
    for gradient, waiting, untouched in zip(gradients, held[0][1:3], before, strict=True):
        assert gradient.data_ptr() == waiting.data_ptr()
        assert torch.equal(gradient, untouched)


@backends
def test_vmap_is_a_batch(backend):
    mean, logvar = (numbers(5, 3, 4, seed=k, grad=False) for k in range(2))
    alpha = torch.rand(5, dtype=torch.float64)

    def rows(mean, logvar, alpha):
        return jsg_standard_normal(mean, logvar, alpha, backend=backend)

    wanted = rows(mean, logvar, alpha[:, None].expand(5, 3))
    torch.testing.assert_close(vmap(rows)(mean, logvar, alpha), wanted)
    torch.testing.assert_close(vmap(rows, in_dims=(1, 1, None))(mean, logvar, alpha), wanted.T)
    torch.testing.assert_close(vmap(vmap(rows, (0, 0, None)))(mean, logvar, alpha), wanted)
    shared = vmap(rows, (0, None, None))(mean, logvar[0], 0.3)
    torch.testing.assert_close(shared, rows(mean, logvar[0].expand(5, 3, 4), 0.3))


@backends
def test_gradients_map_and_mapped_functions_have_gradients(backend):
    mean, logvar = (numbers(5, 3, 4, seed=k, grad=False) for k in range(2))
    alpha = torch.rand(5, dtype=torch.float64)

    def loss(mean, logvar, alpha):
        return jsg_standard_normal(mean, logvar, alpha, backend=backend, reduction="mean")

    leaves = [x.clone().requires_grad_() for x in (mean, logvar, alpha)]
    rows = jsg_standard_normal(*leaves[:2], leaves[2][:, None].expand(5, 3), backend="eager")
    wanted = torch.autograd.grad(rows.mean(1).sum(), leaves)
    everything = 0, 1, 2
    torch.testing.assert_close(vmap(grad(loss, everything))(mean, logvar, alpha), wanted)
    torch.testing.assert_close(grad(lambda *x: vmap(loss)(*x).sum(), everything)(mean, logvar, alpha), wanted)
    hessian = jacrev(jacrev(lambda m: loss(m, logvar[0], 0.3)))(mean[0])
    wanted = torch.autograd.functional.hessian(
        lambda m: jsg_standard_normal(m, logvar[0], 0.3, backend="eager").mean(), mean[0]
    )
    torch.testing.assert_close(hessian, wanted)


@backends
def test_gradients_from_above_may_come_in_batches(backend):
    mean, logvar = (numbers(3, 4, seed=k, grad=False) for k in range(2))

    def rows(mean):
        return jsg_standard_normal(mean, logvar, 0.3, backend=backend)

    one_by_one = torch.autograd.functional.jacobian(rows, mean)
    together = torch.autograd.functional.jacobian(rows, mean, vectorize=True)
    torch.testing.assert_close(together, one_by_one)


@backends
@pytest.mark.parametrize("gaussians", [1, 2])
def test_the_operators_keep_torch_s_rules(gaussians, backend):
    rows = [numbers(3, 4, dtype=torch.bfloat16, seed=k, grad=False) for k in range(2 * gaussians)] + [None] * 2
    for alphas in (None, torch.rand(3), torch.rand(1)):
        arguments = (*rows[:4], alphas, 0.3, True, False, backend)
        torch.library.opcheck(torch.ops.jsgmath.divergence.default, arguments)
        torch.library.opcheck(torch.ops.jsgmath.gradient.default, (torch.rand(3), *arguments, alphas is not None))


@traced
@backends
@pytest.mark.parametrize("gaussians", [1, 2])
def test_a_compiled_step_is_one_graph_and_gives_what_the_plain_one_gives(gaussians, backend):
    torch._dynamo.reset()
    tensors = [numbers(5, 4, dtype=torch.float32, seed=k) for k in range(2 * gaussians)]

    def step(alpha, *tensors):
        return 2 * divergence(tensors, alpha, dual=True, backend=backend, reduction="mean")

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for alpha in (0.3, torch.tensor(0.3), torch.full((5,), 0.3, requires_grad=True)):
        inputs = [*tensors, *([alpha] if isinstance(alpha, torch.Tensor) and alpha.requires_grad else [])]
        results = [
            [value, *torch.autograd.grad(value, inputs)] for value in (f(alpha, *tensors) for f in (step, compiled))
        ]
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@traced
@backends
def test_what_is_compiled_is_evaluated_without_gradients_too(backend):
    torch._dynamo.reset()
    mean, logvar = numbers(5, 4), numbers(5, 4, seed=1)
    calls = [
        lambda mean, logvar: jsg_standard_normal(mean, logvar, 0.3, backend=backend),
        lambda mean, logvar: torch.cat([x.flatten() for x in sample_and_jsg(mean, logvar, 0.3, 1, backend=backend)]),
    ]
    for call in calls:
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(mean.detach(), logvar.detach()), call(mean.detach(), logvar.detach()))
        with torch.no_grad():
            assert torch.equal(compiled(mean, logvar), call(mean, logvar))
        (by_mean,) = torch.autograd.grad(compiled(mean, logvar).sum(), mean)
        assert torch.equal(by_mean, torch.autograd.grad(call(mean, logvar).sum(), mean)[0])


@traced
def test_a_transform_of_torch_func_inside_what_is_compiled_is_refused():
    """Dynamo traces it without gradients, which must not become zeros that nobody notices."""
    torch._dynamo.reset()
    compiled = torch.compile(grad(lambda mean: jsg_standard_normal(mean, mean, 0.3).sum()), backend="aot_eager")
    with pytest.raises(torch._dynamo.exc.InternalTorchDynamoError):
        compiled(numbers(5, 4, grad=False))


@traced
def test_a_new_alpha_is_no_new_compilation():
    """As a number: once for the first, which might be the only one, and once for all others."""
    torch._dynamo.reset()
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    mean, logvar = (numbers(5, 4, dtype=torch.float32, seed=k) for k in range(2))
    compiled = torch.compile(lambda alpha: jsg_standard_normal(mean, logvar, alpha), fullgraph=True, backend=count)
    for alpha in torch.linspace(0, 1, 22).tolist():
        assert torch.equal(compiled(alpha), jsg_standard_normal(mean, logvar, alpha))
    assert len(graphs) <= 2
    torch._dynamo.reset()
    graphs.clear()
    for alpha in torch.linspace(0, 1, 22):
        compiled(alpha)
    assert len(graphs) == 1


@backends
def test_under_autocast_the_result_is_float32_and_types_may_differ(backend):
    """As torch's own losses are: a value of 300 nats in bfloat16 would be known to two of them."""
    linear = torch.nn.Linear(6, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mean, logvar = linear(torch.randn(5, 6)).chunk(2, -1)
        assert mean.dtype == torch.bfloat16
        for other in (logvar, logvar.float()):
            value = jsg_standard_normal(mean, other, 0.3, backend=backend)
            assert value.dtype == torch.float32
            wanted = jsg_standard_normal(mean.double(), other.double(), 0.3, backend=backend)
            torch.testing.assert_close(value.double(), wanted.double(), rtol=16 * 2.0**-24, atol=0)
    value.sum().backward()
    assert linear.weight.grad.isfinite().all()


@backends
def test_sums_of_16_bits_are_rounded_once(backend):
    mean, logvar = (numbers(1000, 4, dtype=torch.bfloat16, seed=k, grad=False) for k in range(2))
    wide = jsg_standard_normal(mean.float(), logvar.float(), 0.3, backend=backend, reduction="sum")
    assert torch.equal(jsg_standard_normal(mean, logvar, 0.3, backend=backend, reduction="sum"), wide.bfloat16())


@backends
def test_alpha_may_be_a_parameter(backend):
    alpha = torch.nn.Parameter(torch.tensor(0.9))
    mean, logvar = (numbers(50, 4, dtype=torch.float32, seed=k, grad=False) for k in range(2))
    optimiser = torch.optim.SGD([alpha], lr=0.01)
    values = []
    for _ in range(5):
        optimiser.zero_grad()
        value = jsg_standard_normal(mean, logvar, alpha, backend=backend, reduction="mean")
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


def test_kl_is_the_same_kernel_both_ways():
    """Proposition 1, against the closed forms of eqs. 2 to 4."""
    mean, logvar, other_mean, other_logvar = (numbers(5, 4, seed=k, grad=False) for k in range(4))
    q = jsgmath.Gaussian(mean.numpy(), logvar=logvar.numpy())
    r = jsgmath.Gaussian(other_mean.numpy(), logvar=other_logvar.numpy())
    p = jsgmath.Gaussian([0.0] * 4, var=[1.0] * 4)
    for backend in ("eager", "triton"):
        for got, want in (
            (kl_standard_normal(mean, logvar, backend=backend), jsgmath.kl(q, p)),
            (kl_standard_normal(mean, logvar, direction="pq", backend=backend), jsgmath.kl(p, q)),
            (kl_diagonal(mean, logvar, other_mean, other_logvar, backend=backend), jsgmath.kl(q, r)),
            (kl_diagonal(other_mean, other_logvar, mean, logvar, backend=backend), jsgmath.kl(r, q)),
        ):
            torch.testing.assert_close(got, torch.as_tensor(want), rtol=16 * 2.0**-53, atol=0)
    with pytest.raises(ValueError, match="direction must be 'qp' or 'pq', got 'forward'"):
        kl_standard_normal(mean, logvar, direction="forward")


@backends
def test_a_kl_keeps_what_log_variances_beyond_the_range_say(backend):
    """At the ends of alpha log(k) is the log-ratio itself, and its exponential negligible."""
    logvar = torch.tensor([[-100.0], [-1e4], [100.0], [1e4]])
    for direction, rows in (("qp", slice(0, 2)), ("pq", slice(2, 4))):
        value = kl_standard_normal(0 * logvar, logvar, direction=direction, backend=backend)[rows]
        torch.testing.assert_close(value, (logvar[rows, 0].abs() - 1) / 2, rtol=2.0**-22, atol=0)


@pytest.mark.parametrize("backend", ["eager", "triton"])
def test_nothing_waits_for_the_device(backend, monkeypatch):
    """A tensor on the meta device has no numbers: whoever asks for one fails, as in the capture of a CUDA graph."""

    class Launched:
        def __getitem__(self, grid):
            return lambda *arguments, **options: None

    monkeypatch.setattr(kernels, "jsg_kernel", Launched())
    mean, logvar = (torch.empty(7, 10, device="meta", requires_grad=True) for _ in range(2))
    for alpha in (0.3, torch.empty(7, device="meta", requires_grad=True)):
        for reduction in functions.REDUCTIONS:
            value = jsg_standard_normal(mean, logvar, alpha, backend=backend, reduction=reduction)
            value.backward(torch.empty_like(value))
    with pytest.raises(RuntimeError, match="meta"):
        mean.sum().item()


def factors(rows, n, seed=0, dtype=torch.float64):
    """Means and Cholesky factors of two Gaussians a row."""
    mean1, mean2 = (numbers(rows, n, seed=seed + k, dtype=dtype) for k in range(2))
    tril1, tril2 = (
        (numbers(rows, n, n, seed=seed + k, grad=False).tril(-1) / n + torch.eye(n) * (1 + k / 2)).to(dtype)
        for k in (2, 3)
    )
    return [mean1, tril1.requires_grad_(), mean2, tril2.requires_grad_()]


@backends
@variants
def test_full_covariances_have_first_and_second_derivatives_between_equal_gaussians_too(dual, convention, backend):
    """Below the diagonal alone: what stands above it is not read."""
    different = factors(2, 2)
    equal = [x.detach().clone().requires_grad_() for x in different[:2] * 2]
    alpha = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)

    def function(mean1, tril1, mean2, tril2, alpha):
        options = dict(dual=dual, convention=convention, backend=backend)
        return jsg_full(mean1, tril1.tril(), mean2, tril2.tril(), alpha, **options)

    for inputs in (different, equal):
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            assert check(function, (*inputs, alpha), fast_mode=backend == "triton")


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
    # Once as they are, once multiplied by what comes from above.
    for factor in (1.0, 5.0):
        plain = torch.autograd.grad(factor * loss(*tensors, alpha), tensors)
        torch.testing.assert_close(plain, tuple(x * factor / 5 for x in wanted))


@backends
def test_the_operators_of_full_covariance_keep_torch_s_rules(backend):
    rows = [x.detach() for x in factors(3, 4, dtype=torch.float32)]
    for alphas in (None, torch.rand(3)):
        arguments = (*rows, alphas, 0.3, True, False, f"full {backend}")
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
def test_what_does_not_fit_is_said_by_name(tensors, error, message):
    with pytest.raises(error, match=message):
        jsg_full(*tensors, 0.3)


def test_beyond_64_dimensions_torch_linalg_takes_over():
    tensors = factors(2, 70)
    results = [jsg_full(*tensors, 0.3, backend=backend) for backend in ("eager", "triton")]
    assert torch.equal(*results)
    gradients = [torch.autograd.grad(3 * value.sum(), tensors) for value in results]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
