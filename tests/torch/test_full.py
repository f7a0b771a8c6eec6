"""Full covariances in torch, eager and by the Triton kernels, against the NumPy reference and each other."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

import jsgmath
from jsgmath import native
from jsgmath.torch.eager import diagonal as eager
from jsgmath.torch.eager import full as full_eager
from jsgmath.torch.native import full as full_native
from jsgmath.torch.triton import full as full_kernels
from tests.torch.jacobians import assert_jacobians_are_differences

VARIANTS = list(itertools.product((False, True), ("deasy", "nielsen")))
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)
MODULES = [full_eager, full_kernels] + [full_native] * (native.CORE is not None)
names = [module.__name__.split(".")[-2] for module in MODULES]
implementations, in_one_pass = (
    pytest.mark.parametrize("evaluate", [module.evaluate for module in MODULES[first:]], ids=names[first:])
    for first in (0, 1)
)
NS = (1, 2, 3, 5, 8, 9, 16, 33, 64)  # on either side of the kernels' limits, powers of two and others
ALPHAS = torch.tensor([0.0, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1.0], dtype=torch.float64)
GAPS = (None, 1e-2, 1e-4, 1e-7, 0.0)


def pairs(n, dtype, gap=None, count=7):
    """Means and Cholesky factors, NaN above the diagonal; condition numbers of a few hundred at most.

    ``gap`` is the relative difference of the second Gaussian from the first, 0 for equal ones, or None.
    """
    rng = np.random.default_rng(n)

    def gaussian():
        factor = np.tril(rng.normal(size=(count, n, n)) / (2 * math.sqrt(n)), -1)
        diagonal = np.exp(rng.uniform(-0.7, 0.7, size=(count, n)))
        return rng.normal(size=(count, n)), factor + diagonal[:, :, None] * np.eye(n)

    mean1, tril1 = gaussian()
    mean2, tril2 = gaussian()
    if gap is not None:
        mean2 = mean1 + gap * rng.normal(size=mean1.shape)
        tril2 = tril1 * (1 + gap * rng.normal(size=tril1.shape))
    above = np.triu(np.full((n, n), np.nan), 1)
    return [torch.tensor(x).to(dtype) for x in (mean1, tril1 + above, mean2, tril2 + above)]


def run(evaluate, tensors, alpha, dual, convention, grad=True):
    return evaluate(*tensors, alpha, dual=dual, reverse=convention == "deasy", grad=grad, by_alpha=grad)


@functools.cache
def expected(n, dtype, dual, convention):
    """`reference` for the pairs of `results`, which are the same for both implementations."""
    tensors, alpha, _ = results(full_eager.evaluate, n, dtype, dual, convention)
    return reference(tensors, alpha, dual, convention)


def reference(tensors, alpha, dual, convention):
    """`jsgmath.jsg` of the numbers in the tensors."""
    mean1, tril1, mean2, tril2 = (x.double().numpy() for x in tensors)
    function = jsgmath.jsg_dual if dual else jsgmath.jsg
    N1, N2 = (jsgmath.Gaussian(m, scale_tril=np.tril(x)) for m, x in ((mean1, tril1), (mean2, tril2)))
    return function(N1, N2, alpha.numpy(), convention=convention)


@functools.cache
def results(evaluate, n, dtype, dual, convention):
    """Pairs of every gap with every alpha, alpha, and the results of ``evaluate``."""
    tensors = [torch.cat(x) for x in zip(*(pairs(n, dtype, gap) for gap in GAPS), strict=True)]
    alpha = ALPHAS.repeat(len(GAPS))
    return tensors, alpha, run(evaluate, tensors, alpha, dual, convention)


# float32 at n = 64 and float64 at 33: the interpreter takes seconds for each.
sizes = pytest.mark.parametrize(
    ("n", "dtype"),
    [(n, d) for n in NS for d in (torch.float32, torch.float64) if n < 33 or (n == 64) == (d == torch.float32)],
    ids=str,
)


@implementations
@variants
@sizes
def test_values_are_those_of_the_numpy_reference(n, dtype, dual, convention, evaluate):
    """5 eps was measured for near-equal pairs, 2 n eps for others, whose condition numbers are up to a few hundred."""
    tensors, alpha, (value, *_) = results(evaluate, n, dtype, dual, convention)
    want = expected(n, dtype, dual, convention)
    assert value.dtype == dtype
    assert (value >= 0).all()
    error = np.abs(value.double().numpy() - want) / np.where(want == 0, 1, want) / torch.finfo(dtype).eps
    assert (error[: len(ALPHAS)] <= 16 + 4 * n).all()
    assert (error[len(ALPHAS) :] <= 16).all()
    assert torch.equal(run(evaluate, tensors, alpha, dual, convention, grad=False)[0], value)


@implementations
def test_an_almost_singular_factor_gives_the_right_kl(evaluate):
    """For a factor [[1, 0], [1, s]] and N(0, I), KL is (s^2 - log s^2)/2."""
    for dtype, small in ((torch.float32, (1e-3, 3e-4, 1e-4, 1e-8)), (torch.float64, (1e-8, 1e-15))):
        for s in small:
            tril = torch.tensor([[[1.0, 0.0], [1.0, s]]], dtype=dtype)
            mean, eye = torch.zeros(1, 2, dtype=dtype), torch.eye(2, dtype=dtype)[None]
            got = run(evaluate, (mean, tril, mean, eye), 0.0, False, "deasy")
            s = tril[0, 1, 1].double().item()
            assert abs(got[0].item() / ((s * s - math.log(s * s)) / 2) - 1) <= 8 * torch.finfo(dtype).eps
            # Derivatives by the factor: L1 - L1'^-1.
            wanted = tril.double() - torch.linalg.inv(tril.double()).mT.tril()
            assert_close(got[2], wanted, wanted.abs().amax((1, 2)), 8)


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [2, 12])
def test_scales_whose_squares_leave_the_range_of_float32_give_no_nan(n, dtype, evaluate):
    """KL from ``c ((1, 0), (1, s))`` to N(0, I), which is also the dual at alpha 1, and its derivatives.

    They are ``L1 - L1'^-1`` and ``I - L1 L1'``.  4 eps of the largest entry were measured.
    """
    scales = itertools.product((1e-15, 1e-3, 1.0, 1e3, 1e15), (1e-1, 1e-6, 1e-12, 1e-20, 1e-30))
    scales = torch.tensor([(c, c * s) for c, s in scales if c * s >= 1e-36], dtype=dtype)  # normal numbers of float32
    eye = torch.eye(n, dtype=dtype).expand(len(scales), n, n)
    mean = torch.zeros(len(scales), n, dtype=dtype)
    tril = scales[:, :1, None] * eye
    tril[:, 1, :2] = scales
    got = run(evaluate, (mean, tril, mean, eye), 0.0, False, "deasy")
    L, c = tril.double(), scales[:, :1, None].double()
    logs = L.diagonal(dim1=1, dim2=2).log().sum(1)
    want = (L.square().sum((1, 2)) - n) / 2 - logs
    assert ((got[0] - want).abs() <= 16 * torch.finfo(dtype).eps * (want.abs() + logs.abs())).all()
    inverse = torch.eye(n).double() / c
    inverse[:, 1, 0], inverse[:, 1, 1] = -1 / L[:, 1, 1], 1 / L[:, 1, 1]
    for x, y in ((got[2], (L - inverse.mT).tril()), (got[3], (eye.double() - L @ L.mT).tril())):
        assert_close(x, y, y.abs().amax((1, 2)), 8)


@implementations
@variants
@sizes
def test_equal_gaussians_are_at_distance_exactly_zero_and_have_no_slope(n, dtype, dual, convention, evaluate):
    for result in results(evaluate, n, dtype, dual, convention)[-1]:
        assert (result[-len(ALPHAS) :] == 0).all()


def assert_close(got, want, size, allowed):
    """Asserts that the error is at most ``allowed`` eps of each pair's size."""
    error = (got.double() - want.double()).flatten(1).abs().amax(1) / torch.finfo(got.dtype).eps
    assert (error <= allowed * size).all()


def assert_gradients_close(tensors, alpha, got, want, dual, allowed):
    """Asserts that the errors of gradients are at most ``allowed`` eps of the sizes of their terms.

    For a factor the size is the largest entry plus the part of the means, which is at most twice the value.  For alpha
    two divergences are subtracted, and the size is their sum.
    """
    value, by_mean1, by_tril1, by_tril2, by_alpha = want
    assert_close(got[1], by_mean1, by_mean1.abs().amax(1), allowed)
    for position, x, y in ((1, got[2], by_tril1), (3, got[3], by_tril2)):
        steepest = (1 / tensors[position].double().diagonal(dim1=1, dim2=2)).amax(1)
        assert_close(x, y, y.abs().amax((1, 2)) + 2 * value * steepest, allowed)
    doubles = [x.double() for x in tensors]
    ends = [run(full_eager.evaluate, doubles, torch.tensor([a]), dual, "deasy", grad=False)[0] for a in (0.0, 1.0)]
    assert_close(got[4][:, None], by_alpha[:, None], by_alpha.abs() + ends[0] + ends[1], allowed)


@in_one_pass
@variants
@sizes
def test_gradients_are_the_eager_ones_in_float64(n, dtype, dual, convention, evaluate):
    """The eager gradients are compared with derivatives of the value below."""
    tensors, alpha, got = results(evaluate, n, dtype, dual, convention)
    want = run(full_eager.evaluate, [x.double() for x in tensors], alpha, dual, convention)
    assert all(x.dtype == dtype for x in got)
    assert_gradients_close(tensors, alpha, got, want, dual, 50 + 8 * n)


@variants
@pytest.mark.parametrize("gap", [None, 1e-2, 0.0])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_eager_gradients_and_their_gradients_agree_with_finite_differences(n, gap, dual, convention):
    """This includes equal Gaussians and both ends of alpha."""
    alpha = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    tensors = [x.tril() if x.ndim == 3 else x for x in pairs(n, torch.float64, gap, count=3)]
    inputs = [x.clone().requires_grad_() for x in tensors]

    def results(*inputs):
        value, by_mean1, by_tril1, by_tril2, _ = run(full_eager.evaluate, inputs[:4], inputs[4], dual, convention)
        return value, by_mean1, by_tril1, by_tril2

    value, *gradients = results(*inputs, alpha)
    wanted = torch.autograd.grad(value.sum(), inputs)
    for got, want in zip((gradients[0], gradients[1], -gradients[0], gradients[2]), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)
    assert_jacobians_are_differences(results, tensors, [alpha])


@variants
@pytest.mark.parametrize("gap", [None, 0.0])
def test_eager_gradients_by_alpha_and_their_gradients_are_right(gap, dual, convention):
    tensors = [x.tril() if x.ndim == 3 else x for x in pairs(3, torch.float64, gap, count=3)]
    alpha = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    value, *_, by_alpha = run(full_eager.evaluate, tensors, alpha, dual, convention)
    (want,) = torch.autograd.grad(value.sum(), alpha)
    torch.testing.assert_close(by_alpha, want, rtol=1e-11, atol=1e-13)
    assert_jacobians_are_differences(
        lambda *x: run(full_eager.evaluate, x[:4], x[4], dual, convention)[1:], [*tensors, alpha.detach()]
    )


@implementations
@variants
def test_one_dimension_and_diagonal_factors_are_the_diagonal_formula(dual, convention, evaluate):
    for n in (1, 4, 12):
        mean1, tril1, mean2, tril2 = pairs(n, torch.float64)
        trils = [torch.diag_embed(x.diagonal(dim1=1, dim2=2)) for x in (tril1, tril2)]
        logvars = [2 * x.diagonal(dim1=1, dim2=2).log() for x in trils]
        got = run(evaluate, (mean1, trils[0], mean2, trils[1]), ALPHAS, dual, convention)
        value, by_mean1, by_logvar1, by_logvar2, by_alpha = run(
            eager.evaluate, (mean1, logvars[0], mean2, logvars[1]), ALPHAS, dual, convention
        )
        want = [value, by_mean1]
        for by_logvar, tril in ((by_logvar1, trils[0]), (by_logvar2, trils[1])):
            want.append(2 * by_logvar / tril.diagonal(dim1=1, dim2=2))
        got = [got[0], got[1], *(x.diagonal(dim1=1, dim2=2) for x in got[2:4]), got[4]]
        for x, y in zip(got, (*want, by_alpha), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


@in_one_pass
@variants
@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("n", [4, 12])
def test_pairs_with_very_different_covariances_keep_their_digits(n, scale, dual, convention, evaluate):
    """The covariances differ by 1e6.  The differences that near-equal pairs need would leave one digit of float32."""
    mean1, tril1, mean2, tril2 = pairs(n, torch.float32)
    tensors = mean1, tril1 * scale, mean2, tril2
    alpha = torch.tensor([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0], dtype=torch.float64)
    got = run(evaluate, tensors, alpha, dual, convention)
    doubles = [x.double() for x in tensors]
    want = run(full_eager.evaluate, doubles, alpha, dual, convention)
    np.testing.assert_allclose(want[0].numpy(), reference(doubles, alpha, dual, convention), rtol=1e-12)
    assert_close(got[0][:, None], want[0][:, None], want[0], 16 + 8 * n)
    assert_gradients_close(tensors, alpha, got, want, dual, 100 * n)


@pytest.mark.parametrize("n", [3, 8, 20])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_sixteen_bits_are_computed_in_float32(n, dtype):
    tensors = pairs(n, dtype)
    for module in MODULES:
        got, want = (run(module.evaluate, x, ALPHAS, False, "deasy") for x in (tensors, [y.float() for y in tensors]))
        for x, y in zip(got, want, strict=True):
            assert x.dtype == (torch.float32 if x is got[0] or x is got[-1] else dtype)
            assert torch.equal(x, y.to(x.dtype))


GUARD = 4096


@pytest.mark.parametrize("n", NS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_output_is_written_and_no_memory_around_it(n, dtype, monkeypatch):
    """Blocks are as on a GPU: several programs, the last one not full.  Inputs and outputs lie between guards."""
    tiling, blocks, empty = full_kernels.tiling, [], torch.empty

    def guarded(size, *, dtype, device):
        shape = (size,) if isinstance(size, int) else tuple(size)
        block = torch.full((2 * GUARD + math.prod(shape),), 7.0, dtype=dtype, device=device)
        blocks.append(block)
        return block[GUARD : len(block) - GUARD].fill_(float("nan") if dtype.is_floating_point else 1).view(shape)

    def compiled(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(full_kernels, "INTERPRETED", False)
            return tiling(*arguments)

    _, constants, _ = compiled(10**6, n, dtype.itemsize, full_kernels.LANES)
    count = 2 * constants.get("BLOCK", 1) * constants.get("PAIRS", 1) + 1
    tensors = pairs(n, dtype, count=count)
    alpha = torch.rand(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))[:, 1]
    want = run(full_eager.evaluate, tensors, alpha, n % 2 == 0, "deasy")
    inside = []
    for x in tensors:
        block = torch.full((2 * GUARD + x.numel(),), float("nan"), dtype=dtype)
        inside.append(block[GUARD : len(block) - GUARD].view(x.shape).copy_(x))
    monkeypatch.setattr(full_kernels, "tiling", compiled)
    monkeypatch.setattr(torch, "empty", guarded)
    results = run(full_kernels.evaluate, inside, alpha, n % 2 == 0, "deasy")
    monkeypatch.setattr(torch, "empty", empty)
    for got, expected in zip(results, want, strict=True):
        assert got.isfinite().all()
        assert_close(got.reshape(1, -1), expected.reshape(1, -1), expected.abs().max(), 100 * n)
    for block in blocks:
        assert (block[:GUARD] == 7).all()
        assert (block[len(block) - GUARD :] == 7).all()


@in_one_pass
def test_poisoned_pairs_leave_the_others_alone(evaluate):
    """Each of four pairs has NaN in a different tensor."""
    for n in (4, 12):
        tensors = pairs(n, torch.float32)
        sound = run(evaluate, tensors, ALPHAS, False, "deasy")
        for position in range(4):
            tensors[position][2 * position].fill_(float("nan"))
        for got, want in zip(run(evaluate, tensors, ALPHAS, False, "deasy"), sound, strict=True):
            assert all(x.isnan().any() for x in got[::2])
            assert torch.equal(got[1::2], want[1::2])


@in_one_pass
def test_tensors_that_are_not_contiguous_give_the_same_results(evaluate):
    for n in (3, 12):
        mean1, tril1, mean2, tril2 = pairs(n, torch.float32)
        want = run(evaluate, (mean1, tril1, mean2, tril2), ALPHAS, False, "deasy")
        strided = (
            torch.stack([mean1, mean2], 1)[:, 0],
            tril1.mT.contiguous().mT,
            mean2.repeat_interleave(2, 1)[:, ::2],
            torch.stack([tril1, tril2], 1)[:, 1],
        )
        for got, x in zip(run(evaluate, strided, ALPHAS, False, "deasy"), want, strict=True):
            assert torch.equal(got, x)


@in_one_pass
def test_one_alpha_applies_to_all_rows_and_no_rows_give_no_values(evaluate):
    for n in (3, 12):
        tensors = pairs(n, torch.float32)
        one = torch.tensor([0.3], dtype=torch.float64)
        results = (run(evaluate, tensors, alpha, True, "deasy") for alpha in (one, one.expand(7).clone()))
        for got, want in zip(*results, strict=True):
            assert torch.equal(got, want)
        nothing = run(evaluate, [x[:0] for x in tensors], one, True, "deasy")
        assert [x.shape[0] for x in nothing] == [0] * 5


@in_one_pass
def test_above_64_dimensions_torch_linalg_computes_the_results(evaluate):
    tensors = pairs(65, torch.float32)
    results = (run(compute, tensors, ALPHAS, False, "deasy") for compute in (evaluate, full_eager.evaluate))
    for got, want in zip(*results, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("n", [3, 12])
def test_the_incoming_gradient_multiplies_only_the_gradients(n, dual):
    """Both kernels and torch multiply row by row, all rows by one factor, or stored gradients by another factor.

    The factors are powers of two, so nothing is rounded; the range of float32 has room for them.
    """
    tensors = pairs(n, torch.float32)
    upstream = 2.0 ** torch.arange(-3, 4)
    for module in MODULES:
        options = dict(dual=dual, reverse=True)
        value, *plain = module.evaluate(*tensors, ALPHAS, by_alpha=True, **options)
        for given, factor in ((dict(upstream=upstream), upstream), (dict(scale=0.25), torch.full((7,), 0.25))):
            got_value, *got = module.evaluate(*tensors, ALPHAS, by_alpha=True, **given, **options)
            wanted = [x * factor.reshape(-1, *[1] * (x.ndim - 1)) for x in plain]
            assert torch.equal(got_value, value)
            assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
            present = [x / 2 for x in plain]
            rescaled = module.rescaled(present, *tensors, ALPHAS, scale=0.5, upstream=factor, **options)
            assert all(torch.equal(a, b) for a, b in zip(rescaled, wanted, strict=True))
