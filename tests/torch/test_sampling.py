"""`sample_and_jsg`: samples, divergences and gradients, for every tiling of the batch, and under torch's transforms."""

import itertools
import math

import numpy as np
import pytest
import torch

from jsgmath.torch import jsg_standard_normal, noise
from jsgmath.torch.sampling import sample_and_jsg
from jsgmath.torch.triton import sampling as kernels
from tests.torch.inputs import BACKENDS, assert_same_derivatives, backends, variants
from tests.torch.test_kernels import guarded, memory, strided  # noqa: F401  (memory is a fixture)

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@pytest.fixture
def small_tiles(monkeypatch):
    """A function that sets tiles as on a GPU, with NVIDIA's 32 lanes or AMD's 64: many programs, the last not full.

    The interpreter's own tiles have all rows.
    """
    tiling = kernels.tiling

    def patch(lanes=32):
        def compiled(count, n, _):
            with monkeypatch.context() as inner:
                inner.setattr(kernels, "INTERPRETED", False)
                return tiling(count, n, lanes)

        monkeypatch.setattr(kernels, "tiling", compiled)

    return patch


def tensors(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype).requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 20, 50, 64, 129, 257, 300, 1000, 1025])
def test_a_number_is_the_same_however_the_batch_is_tiled_and_split(n, small_tiles):
    """It is the same to the last bit, even if the second part begins among the four numbers of one thread."""
    rows = 700 // n + 3
    mean, logvar = tensors(rows, n)
    whole, _ = sample_and_jsg(mean, logvar, 0.3, 5, backend="triton")
    for lanes, split in ((32, 0), (32, 1), (64, rows - 1)):
        small_tiles(lanes)
        parts = [
            sample_and_jsg(mean[part], logvar[part], 0.3, 5, first_row=part.start, backend="triton")[0]
            for part in (slice(0, split), slice(split, rows))
        ]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("n", [1, 10, 20, 300])
@pytest.mark.parametrize(
    "kind", ["chunks of one output", "every third row", "transposed", "one row for all", "one number for all columns"]
)
def test_a_number_is_the_same_for_all_strides(kind, n, small_tiles):
    small_tiles()
    mean, logvar = strided(kind, 7 if n == 300 else 37, n)
    plain = sample_and_jsg(mean.contiguous(), logvar.contiguous(), 0.3, 5, backend="triton")
    for got, want in zip(sample_and_jsg(mean, logvar, 0.3, 5, backend="triton"), plain, strict=True):
        assert torch.equal(got, want)


def expected(mean, logvar, alpha, seed, *, first_row=0, dual=False, convention="deasy"):
    """The definition in torch operations, which autograd differentiates; 16-bit types are computed in float32."""
    work = torch.promote_types(mean.dtype, torch.float32)
    eps = noise.normal(torch.tensor([seed]), first_row, (mean.shape[:-1].numel(), mean.shape[-1]), work)
    z = mean.to(work) + torch.exp(logvar.to(work) / 2) * eps.view(mean.shape)
    options = dict(dual=dual, convention=convention, backend="eager")
    return z.to(mean.dtype), jsg_standard_normal(mean.to(work), logvar.to(work), alpha, **options).to(mean.dtype)


@backends
@variants
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sample_divergence_and_gradients_are_those_of_the_plain_expression(
    dtype, dual, convention, backend, small_tiles, request
):
    """Terms of order 1 to 10 differ by a few roundings; 16-bit types are rounded once from float32.

    Inputs and the kernel's outputs lie between guards.
    """
    small_tiles()
    if backend == "triton":
        request.getfixturevalue("memory")
    for (rows, n), per_row in (((110, 10), True), ((2, 1025), False)):
        mean, logvar = (guarded(t.detach()).requires_grad_() for t in tensors(rows, n, dtype=dtype, seed=n))
        alpha = torch.linspace(0, 1, rows if per_row else 3, dtype=torch.float64)[slice(None) if per_row else 1]
        alpha = alpha.clone().requires_grad_()
        weights = [
            t.detach()
            for t in (*tensors(rows, n, dtype=dtype, seed=n + 1)[:1], *tensors(rows, dtype=dtype, seed=n)[:1])
        ]
        results = []
        for function, keywords in ((sample_and_jsg, dict(backend=backend, first_row=3)), (expected, dict(first_row=3))):
            outputs = function(mean, logvar, alpha, 17, dual=dual, convention=convention, **keywords)
            results.append((*outputs, *torch.autograd.grad(outputs, (mean, logvar, alpha), weights)))
        for got, want in zip(*results, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            assert got.isfinite().all()  # every element was written
            error, size = (got.double() - want.double()).abs(), want.double().abs().clamp(min=1)
            eps = torch.finfo(dtype if got.dtype == dtype else torch.promote_types(dtype, torch.float32)).eps
            if got.shape == alpha.shape:
                size = size.clamp(min=n * (1 if per_row else rows))  # a sum of so many terms of both signs
            assert (error <= 16 * eps * size).all()


@backends
def test_a_seed_advanced_before_the_backward_does_not_change_it(backend):
    mean, logvar = tensors(6, 10)
    seed = torch.tensor([41])
    z, divergence = sample_and_jsg(mean, logvar, 0.3, seed, backend=backend)
    seed.add_(1)
    got = torch.autograd.grad(z.square().sum() + divergence.sum(), (mean, logvar))
    z, divergence = sample_and_jsg(mean, logvar, 0.3, 41, backend=backend)
    want = torch.autograd.grad(z.square().sum() + divergence.sum(), (mean, logvar))
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    advanced, _ = sample_and_jsg(mean, logvar, 0.3, seed, backend=backend)
    assert torch.equal(advanced, sample_and_jsg(mean, logvar, 0.3, 42, backend=backend)[0])
    assert (advanced != z).all()


@backends
def test_the_backward_pass_keeps_only_the_inputs_and_the_seed(backend):
    """It keeps mean and log-variance without a copy, as their addresses show, and the seed."""
    mean, logvar = tensors(40, 20)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        sample_and_jsg(mean, logvar, 0.3, 5, backend=backend)
    assert {t.data_ptr() for t in kept if t.numel() > 1} == {mean.data_ptr(), logvar.data_ptr()}


@backends
def test_either_output_alone_has_its_gradient(backend):
    mean, logvar = tensors(5, 7, dtype=torch.float64)
    for index in (0, 1):
        results = []
        for function in (sample_and_jsg, expected):
            keywords = dict(backend=backend) if function is sample_and_jsg else {}
            output = function(mean, logvar, 0.3, 5, **keywords)[index]
            results.append(torch.autograd.grad(output.sin().sum(), (mean, logvar)))
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-14)  # float64, a dozen roundings


def inputs_of_derivatives():
    """Inputs with alpha as a number, as a tensor of one entry, and with one entry for each row."""
    mean, logvar = tensors(2, 2, dtype=torch.float64)
    for alpha in (torch.tensor([0.2, 0.9]), torch.tensor(0.3)):
        yield mean, logvar, alpha.double().requires_grad_()
    yield mean, logvar, 0.3


@variants
def test_derivatives_are_those_of_differences_first_and_second(dual, convention):
    def function(*inputs):
        return sample_and_jsg(*inputs, 5, dual=dual, convention=convention, backend="eager")

    for inputs in inputs_of_derivatives():
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            assert check(function, inputs, fast_mode=True)


@variants
def test_derivatives_of_the_kernels_are_those_of_the_eager_backend_first_and_second(dual, convention):
    """Differences would launch the slow interpreter hundreds of times."""

    def function(*inputs, backend):
        return sample_and_jsg(*inputs, 5, dual=dual, convention=convention, backend=backend)

    for inputs in inputs_of_derivatives():
        assert_same_derivatives(function, inputs)


@backends
def test_vmap_numbers_its_entries_like_one_batch_after_the_other(backend):
    mean, logvar = (t.detach() for t in tensors(4, 3, 5, dtype=torch.float64))
    alpha, seed = torch.linspace(0.1, 0.9, 4, dtype=torch.float64), torch.tensor(9)

    def loss(mean, logvar, alpha):
        z, divergence = sample_and_jsg(mean, logvar, alpha, seed, backend=backend)
        return z.square().sum() + divergence.sum()

    gradients = torch.func.grad(loss, argnums=(0, 1, 2))
    got = torch.vmap(gradients, in_dims=(1, 0, 0), randomness="different")(mean.movedim(0, 1), logvar, alpha)
    leaves = [t.clone().requires_grad_() for t in (mean, logvar, alpha)]
    z, divergence = sample_and_jsg(leaves[0], leaves[1], leaves[2][:, None].expand(4, 3), seed, backend=backend)
    want = torch.autograd.grad(z.square().sum() + divergence.sum(), leaves)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)  # sums in another order

    one_mean = torch.vmap(lambda s: sample_and_jsg(mean[0], s, 0.3, seed, backend=backend), randomness="different")
    z, divergence = one_mean(logvar)
    want = sample_and_jsg(mean[0].expand(4, 3, 5), logvar, 0.3, seed, backend=backend)
    torch.testing.assert_close((z, divergence), want, rtol=1e-14, atol=0)
    assert (z[0] != z[1]).all()


@backends
@pytest.mark.parametrize("randomness", ["error", "same"])
def test_vmap_without_randomness_different_is_refused(randomness, backend):
    mean, logvar = (t.detach() for t in tensors(4, 3, 5))
    with pytest.raises(RuntimeError, match=r'pass randomness="different" to torch.vmap'):
        torch.vmap(lambda m, s: sample_and_jsg(m, s, 0.3, 1, backend=backend), randomness=randomness)(mean, logvar)
    with pytest.raises(ValueError, match="one seed for all entries"):
        each = torch.vmap(lambda m, s, k: sample_and_jsg(m, s, 0.3, k, backend=backend), randomness="different")
        each(mean, logvar, torch.arange(4))


# Dynamo instantiates an autograd function, which torch itself warns of.
@pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>:DeprecationWarning")
@backends
def test_torch_compile_takes_forward_and_backward_whole(backend):
    torch._dynamo.reset()
    compiled = torch.compile(sample_and_jsg, fullgraph=True, backend="aot_eager")
    mean, logvar = tensors(6, 10)
    seed = torch.tensor([3])
    for alpha, key in ((0.3, 7), (0.4, seed), (torch.tensor(0.3, requires_grad=True), seed)):
        leaves = [mean, logvar, *([alpha] if isinstance(alpha, torch.Tensor) else [])]
        results = []
        for function in (compiled, sample_and_jsg):
            z, divergence = function(mean, logvar, alpha, key, backend=backend)
            results.append((z, divergence, *torch.autograd.grad(z.square().sum() + divergence.sum(), leaves)))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("alpha", [None, torch.tensor([0.3]), torch.linspace(0, 1, 5)])
@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "eager"])
def test_the_operators_pass_opcheck(alpha, backend):
    for dtype in DTYPES:
        mean, logvar = (t.detach() for t in tensors(5, 12, dtype=dtype))
        mean, logvar = torch.cat([mean, logvar], -1).chunk(2, -1)
        for seed in (None, torch.tensor([3])):
            torch.library.opcheck(
                torch.ops.jsgmath.sample.default, (mean, logvar, alpha, seed, 0.3, 3, 2, True, False, backend)
            )
        by_value = mean[:, 0].to(torch.promote_types(dtype, torch.float32))
        arguments = mean, logvar, alpha, torch.tensor([3]), mean + 1, by_value, 0.3, 2, True, False, backend
        for by_alpha in (False, True):
            torch.library.opcheck(torch.ops.jsgmath.sample_gradient.default, (*arguments, by_alpha))


@backends
def test_the_divergence_is_that_of_jsg_standard_normal_with_its_options(backend):
    mean, logvar = tensors(4, 5, 3, dtype=torch.float64)
    for dual, convention, reduction in itertools.product((False, True), ("deasy", "nielsen"), ("none", "mean", "sum")):
        options = dict(dual=dual, convention=convention, reduction=reduction, backend=backend)
        for alpha in (0, 1, 0.3, np.float64(0.3), torch.tensor(0.3), torch.linspace(0, 1, 5).expand(4, 5)):
            z, divergence = sample_and_jsg(mean, logvar, alpha, 5, **options)
            assert z.shape == (4, 5, 3)
            # The sums are added in another order.
            torch.testing.assert_close(
                divergence, jsg_standard_normal(mean, logvar, alpha, **options), rtol=1e-14, atol=0
            )


@backends
def test_no_rows_give_no_samples(backend):
    mean, logvar = tensors(0, 10)
    z, divergence = sample_and_jsg(mean, logvar, 0.3, 5, backend=backend)
    assert (z.shape, divergence.shape) == ((0, 10), (0,))
    (z.sum() + divergence.sum()).backward()
    assert mean.grad.shape == (0, 10)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # NumPy warns in the interpreter
@backends
def test_a_row_with_nan_does_not_affect_the_others(backend):
    mean, logvar = (t.detach() for t in tensors(60, 10))
    sound = sample_and_jsg(mean, logvar, 0.3, 5, backend=backend)
    mean[30, 7] = logvar[31, 2] = math.nan
    broken = sample_and_jsg(mean, logvar, 0.3, 5, backend=backend)
    others = torch.tensor([row not in (30, 31) for row in range(60)])
    assert broken[1][~others].isnan().all()
    assert all(torch.equal(a[others], b[others]) for a, b in zip(sound, broken, strict=True))


ZERO = torch.zeros(3, 4)
WRONG = [
    (dict(seed=1.5), TypeError, "seed must be an int or an int64 tensor of one entry, got float"),
    (dict(seed=True), TypeError, "seed must be an int or an int64 tensor of one entry, got bool"),
    (dict(seed=torch.tensor([1, 2])), TypeError, r"got torch.int64 of shape \(2,\)"),
    (dict(seed=torch.tensor(1, dtype=torch.int32)), TypeError, "got torch.int32"),
    (dict(seed=torch.tensor(1, device="meta")), ValueError, "seed is on meta but mean on cpu; move it there"),
    (dict(seed=2**63), ValueError, "seed must fit in 64 bits with its sign"),
    (dict(first_row=-1), ValueError, "first_row must not be negative, got -1"),
    (dict(first_row=0.0), TypeError, "first_row must be an int, got float"),
    (dict(first_row=2**61), ValueError, "first_row must leave indices below 2\\^63"),
    (dict(alpha=1.5), ValueError, r"alpha must lie in \[0, 1\], got 1.5"),
    (dict(alpha="x"), TypeError, "alpha must be a float or a tensor, got str"),
    (dict(alpha=torch.zeros(2)), ValueError, "must have one entry or one per row"),
    (dict(mean=torch.zeros(3, 5)), ValueError, "mean has dimension 5 but logvar has 4"),
    (dict(convention="x"), ValueError, "convention must be one of 'deasy', 'nielsen', got 'x'"),
    (dict(backend="x"), ValueError, "backend must be one of"),
    (dict(reduction="x"), ValueError, "reduction must be one of"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_invalid_arguments_are_named(wrong, error, message):
    with pytest.raises(error, match=message):
        sample_and_jsg(**(dict(mean=ZERO, logvar=ZERO, alpha=0.5, seed=1) | wrong))
