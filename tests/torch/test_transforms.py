"""The divergences under torch.func, torch.compile and autocast, and with parameters.

The kernel runs in its interpreter.
"""

import warnings
from functools import partial

import pytest
import torch
from torch.autograd import forward_ad
from torch.distributions import Normal
from torch.func import grad, jacrev, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import jsgmath
from jsgmath.families import Gamma
from jsgmath.torch import (
    JSGLoss,
    functions,
    jsg_full,
    jsg_standard_normal,
    kl_diagonal,
    kl_standard_normal,
    sample_and_jsg,
)
from jsgmath.torch.triton import diagonal as kernels
from tests.torch.against_numpy import divergence
from tests.torch.inputs import BACKENDS, backends, numbers, traced, variants


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


EYE = torch.eye(4, dtype=torch.float64)
ON_TENSORS = {
    "standard normal": lambda mean, logvar: jsg_standard_normal(mean, logvar, 0.3),
    "alpha": lambda mean, logvar: jsg_standard_normal(mean, logvar, torch.tensor(0.3)),
    "diagonal": lambda mean, logvar: kl_diagonal(mean, logvar, 2 * mean, 0 * logvar),
    "full": lambda mean, logvar: jsg_full(mean, EYE * (logvar / 2).exp()[..., None], 0 * mean, EYE, 0.3),
    "loss": lambda mean, logvar: JSGLoss(0.3, dim=(0, 1))(mean, logvar),
    "sample": lambda mean, logvar: sample_and_jsg(mean, logvar, 0.3, 7)[0],
    "normal": lambda mean, logvar: jsgmath.kl(*(Normal(mean, s, validate_args=False) for s in (logvar.exp(), 1.0))),
    "gamma": lambda mean, logvar: jsgmath.kl(*(Gamma(logvar.exp(), mean.exp() * s) for s in (1.0, 2.0))),
}


@pytest.mark.parametrize("name", ["diagonal", "full", "loss", "sample"])
def test_torch_jit_records_a_program_for_other_numbers(name):
    """It sees torch's operators only: instead of a call of the core it recorded memory without values."""
    mean, logvar, *others = (numbers(3, 4, seed=k, grad=False) for k in range(4))
    divergence = ON_TENSORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is old, and that shapes become constants
        traced = torch.jit.trace(divergence, (mean, logvar), check_trace=False)
    torch.testing.assert_close(traced(*others), divergence(*others))


def test_make_fx_traces_a_distribution_of_symbolic_shape():
    mean, logvar, *others = (numbers(3, 4, seed=k, grad=False) for k in range(4))
    program = make_fx(ON_TENSORS["normal"], tracing_mode="symbolic")(mean, logvar)
    torch.testing.assert_close(program(*others), ON_TENSORS["normal"](*others))


@pytest.mark.parametrize("name", ["standard normal", "alpha", "diagonal", "loss", "normal", "gamma"])
def test_forward_mode_is_the_gradient_along_a_tangent(name):
    mean, logvar, tangent = (numbers(3, 4, seed=k, grad=k == 0) for k in range(3))
    (gradient,) = torch.autograd.grad(ON_TENSORS[name](mean, logvar).sum(), mean)
    with forward_ad.dual_level():
        dual = ON_TENSORS[name](forward_ad.make_dual(mean.detach(), tangent), logvar)
        along = forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(along.sum(), (gradient * tangent).sum())


@backends
def test_forward_mode_of_an_empty_batch_is_empty(backend):
    """Values and tangents have the shape of the batch; alpha has a tangent too."""
    mean, logvar, tril = torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, 4, 4)
    alpha = torch.tensor(0.3)
    functions = {
        "diagonal": lambda m, a: jsg_standard_normal(m, logvar, a, backend=backend),
        "full": lambda m, a: jsg_full(m, tril, m, tril, a, backend=backend),
        "sample": lambda m, a: sample_and_jsg(m, logvar, a, 7, backend=backend)[1],
    }
    for name, function in functions.items():
        for found in torch.func.jvp(function, (mean, alpha), (mean, torch.ones(()))):
            assert found.shape == (0,), name


def test_the_core_cannot_be_traced():
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=r"torch.jit.trace .*backend='eager' or 'auto', got 'native'"),
    ):
        warnings.simplefilter("ignore")
        torch.jit.trace(lambda x: jsg_standard_normal(x, x, 0.3, backend="native"), numbers(3, 4, grad=False))


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
def test_incoming_gradients_may_be_batched(backend):
    mean, logvar = (numbers(3, 4, seed=k, grad=False) for k in range(2))

    def rows(mean):
        return jsg_standard_normal(mean, logvar, 0.3, backend=backend)

    one_by_one = torch.autograd.functional.jacobian(rows, mean)
    together = torch.autograd.functional.jacobian(rows, mean, vectorize=True)
    torch.testing.assert_close(together, one_by_one)


@backends
@pytest.mark.parametrize(("gaussians", "dtype"), [(1, torch.float32), (2, torch.bfloat16)])
def test_the_operators_pass_opcheck(gaussians, dtype, backend):
    rows = [numbers(3, 4, dtype=dtype, seed=k, grad=False) for k in range(2 * gaussians)] + [None] * 2
    for alphas in (None, torch.rand(3), torch.rand(1)):
        arguments = (*rows[:4], alphas, 0.3, True, False, f"{backend}.diagonal")
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
def test_a_compiled_function_works_without_gradients_too(backend):
    torch._dynamo.reset()
    mean, logvar = numbers(5, 4), numbers(5, 4, seed=1)
    calls = [
        lambda mean, logvar: jsg_standard_normal(mean, logvar, 0.3, backend=backend),
        lambda mean, logvar: torch.cat([x.flatten() for x in sample_and_jsg(mean, logvar, 0.3, 1, backend=backend)]),
    ]
    for call in calls:
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        # The compiler sees the eager operations, whose exponentials round otherwise.
        close = partial(torch.testing.assert_close, rtol=16 * 2.0**-52, atol=0)
        close(compiled(mean.detach(), logvar.detach()), call(mean.detach(), logvar.detach()))
        with torch.no_grad():
            close(compiled(mean, logvar), call(mean, logvar))
        (by_mean,) = torch.autograd.grad(compiled(mean, logvar).sum(), mean)
        assert torch.equal(by_mean, torch.autograd.grad(call(mean, logvar).sum(), mean)[0])


@traced
def test_a_transform_of_torch_func_inside_a_compiled_function_is_refused():
    """Dynamo traces it without gradients; the result must not be zeros without an error."""
    torch._dynamo.reset()
    compiled = torch.compile(grad(lambda mean: jsg_standard_normal(mean, mean, 0.3).sum()), backend="aot_eager")
    with pytest.raises(torch._dynamo.exc.InternalTorchDynamoError):
        compiled(numbers(5, 4, grad=False))


@traced
def test_a_new_alpha_does_not_compile_again():
    """A number is compiled once as a constant, and with the second value once for all others."""
    torch._dynamo.reset()
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    mean, logvar = (numbers(5, 4, dtype=torch.float32, seed=k) for k in range(2))
    compiled = torch.compile(lambda alpha: jsg_standard_normal(mean, logvar, alpha), fullgraph=True, backend=count)
    for alpha in torch.linspace(0, 1, 22).tolist():
        torch.testing.assert_close(compiled(alpha), jsg_standard_normal(mean, logvar, alpha))
    assert len(graphs) <= 2
    torch._dynamo.reset()
    graphs.clear()
    for alpha in torch.linspace(0, 1, 22):
        compiled(alpha)
    assert len(graphs) == 1


@backends
def test_under_autocast_the_result_is_float32_and_types_may_differ(backend):
    """Torch's own losses do the same; a value of 300 nats in bfloat16 would have an error of up to one nat."""
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
    for backend in BACKENDS:
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
def test_a_kl_is_right_for_log_variances_beyond_the_range(backend):
    """At alpha 0 and 1, log(k) is the log-ratio itself, and its exponential is negligible."""
    logvar = torch.tensor([[-100.0], [-1e4], [100.0], [1e4]])
    for direction, rows in (("qp", slice(0, 2)), ("pq", slice(2, 4))):
        value = kl_standard_normal(0 * logvar, logvar, direction=direction, backend=backend)[rows]
        torch.testing.assert_close(value, (logvar[rows, 0].abs() - 1) / 2, rtol=2.0**-22, atol=0)


@pytest.mark.parametrize("backend", ["eager", "triton"])
def test_nothing_waits_for_the_device(backend, monkeypatch):
    """A tensor on the meta device has no numbers; reading one raises, as in the capture of a CUDA graph."""

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


@traced
@variants
def test_compiled_programs_on_a_cpu_see_the_operations(dual, convention):
    """Compilers replace expm1 by exp minus 1, so these programs use a series, which keeps all digits."""
    torch._dynamo.reset()
    graphs = []
    logvar = torch.cat([torch.linspace(-40, 40, 41), torch.linspace(-1e-3, 1e-3, 41)])[:, None]
    tensors = 0.01 * logvar, logvar

    def function(mean, logvar):
        return jsg_standard_normal(mean, logvar, 0.3, dual=dual, convention=convention, backend="eager")

    compiled = torch.compile(function, fullgraph=True, backend=lambda graph, _: graphs.append(graph) or graph.forward)
    value = compiled(*tensors)
    assert not any("divergence" in str(node.target) for node in graphs[0].graph.nodes)
    torch.testing.assert_close(value, function(*tensors), rtol=16 * 2.0**-23, atol=0)
