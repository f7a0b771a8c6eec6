"""The torch functions, eager and through the Triton kernel (in its interpreter), against the NumPy reference."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import jsgmath
from jsgmath import native
from jsgmath.torch import jsg_diagonal, jsg_standard_normal
from tests.torch.against_numpy import Reference, divergence, errors
from tests.torch.inputs import BACKENDS, VARIANTS, backends, variants

# Every run has the same examples.
FIXED = settings(max_examples=30, deadline=None, derandomize=True, database=None)

# In units of the last place.  A term has a dozen roundings, and sums only add terms >= 0.  6 was measured for values, 8
# for derivatives by mean and log-variance, 3 by alpha.  float16 and bfloat16 are computed in float32 and rounded once,
# which costs half a unit; 16 units of float32 are less than a hundredth of one of these.
ULPS = {torch.float32: 16, torch.float64: 16, torch.float16: 0.51, torch.bfloat16: 0.51}
# The compiled core computes with more digits and rounds once.  In float64 the reference itself errs by half a unit.
NATIVE_ULPS = ULPS | {torch.float32: 0.51, torch.float64: 1.5}
# The largest log-ratio of variances that is tested for each type; float16 and bfloat16 are computed in float32.
LARGEST = {torch.float32: 80.0, torch.float64: 600.0, torch.float16: 80.0, torch.bfloat16: 80.0}


@st.composite
def inputs(draw, kind, gaussians):
    """Rows of two or four tensors of one type, and one alpha per row."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(sorted(ULPS, key=str)))
    n, rows = draw(st.sampled_from([1, 3, 7, 10, 20, 50, 1000, 1025])), draw(st.sampled_from([1, 2, 5]))
    mean, logvar, other_mean, other_logvar = rng.normal(size=(4, rows, n))
    if kind == "ordinary":
        mean, logvar = mean * 10.0 ** rng.integers(-3, 2), logvar * 10.0 ** rng.integers(-2, 1)
    elif kind == "near-equal":
        gap = draw(st.sampled_from([1e-4, 1e-7]))
        if gaussians == 1:
            other_mean, other_logvar = 0, 0
        mean, logvar = other_mean + gap * mean, other_logvar + gap * logvar
    else:
        bound = LARGEST[dtype] / gaussians  # each of two log-variances has half of the log-ratio
        logvar, other_logvar = rng.uniform(-bound, bound, size=(2, rows, n))
    numbers = [mean, logvar, other_mean, other_logvar][: 2 * gaussians]
    alpha = rng.choice([0.0, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1.0], size=rows)
    return [torch.tensor(x).to(dtype).requires_grad_() for x in numbers], torch.tensor(alpha, requires_grad=True)


# Extreme inputs overflow, and the interpreter computes with NumPy, which warns then.
may_overflow = pytest.mark.filterwarnings(
    "ignore:overflow encountered:RuntimeWarning", "ignore:invalid value encountered:RuntimeWarning"
)


@may_overflow
@pytest.mark.parametrize("gaussians", [1, 2])
@pytest.mark.parametrize("kind", ["ordinary", "near-equal", "extreme"])
def test_values_and_gradients_are_those_of_the_numpy_reference(kind, gaussians):
    """One test for all backends, because the reference takes longer than any of them."""

    @FIXED
    @given(inputs(kind, gaussians), st.sampled_from(VARIANTS))
    def holds(case, variant):
        (tensors, alpha), (dual, convention) = case, variant
        reference = Reference(tensors, alpha, dual, convention)
        for backend in BACKENDS:
            options = dict(dual=dual, convention=convention, backend=backend)
            value = divergence(tensors, alpha, **options)
            assert_agrees(tensors, alpha, value, reference, NATIVE_ULPS if backend == "native" else ULPS)
            with torch.no_grad():  # here the kernel computes no gradients
                assert torch.equal(divergence(tensors, alpha, **options), value)

    holds()


def assert_agrees(tensors, alpha, value, reference, ulps):
    dtype = tensors[0].dtype
    working = torch.promote_types(dtype, torch.float32)
    assert value.dtype == dtype
    assert (value >= 0).all()
    allowed = ulps[dtype]
    assert (errors(value, reference.value, reference.value, dtype) <= allowed).all()
    *gradients, by_alpha = torch.autograd.grad(value.sum(), [*tensors, alpha])
    for got, want, size in zip(gradients, reference.gradients, reference.sizes, strict=True):
        assert got.dtype == dtype
        assert (errors(got, want, size, dtype) <= allowed).all()
    assert by_alpha.dtype == alpha.dtype
    allowed = ulps[working]  # derivatives by alpha are not rounded to 16 bits
    assert (errors(by_alpha, reference.by_alpha, reference.alpha_size, working) <= allowed).all()


@backends
@variants
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_each_log_variance_alone_is_right_across_the_range(dtype, dual, convention, backend):
    """Each row has one number, so that no sum hides an error in the series, in the logarithm, or where they meet.

    Just outside the series the difference x - log(1 + x) loses two bits; 10 units were measured there.
    """
    fine, coarse = torch.linspace(-1.5, 1.5, 1000), torch.linspace(-80, 80, 321)
    logvar = torch.cat([fine, coarse]).to(dtype)[:, None]
    for alpha in (0.0, 0.25, 0.5, 1.0):  # no rounding in float32
        reference = Reference([0 * logvar, logvar], alpha, dual, convention)
        options = dict(dual=dual, convention=convention, backend=backend)
        value = jsg_standard_normal(0 * logvar, logvar, alpha, **options)
        assert errors(value, reference.value, reference.value, dtype).max() <= ULPS[dtype]


@may_overflow
@backends
@variants
@pytest.mark.parametrize("dtype", list(ULPS), ids=str)
def test_extreme_inputs_give_no_negative_value_and_no_nan(dtype, dual, convention, backend):
    """Log-variances are 100, so that variances exceed float32, and alpha is 0, 1 or near them."""
    logvars = torch.tensor([-1e4, -100, -87, 0, 3, 87, 100, 1e4])
    grid = torch.meshgrid(torch.tensor([0.0, 1e-30, 1.0, 3e4]), logvars, logvars, indexing="ij")
    mean, logvar, other = (x.flatten() for x in grid)
    alpha = torch.tensor([[0.0], [1e-45], [0.3], [1 - 2**-24], [1.0]], dtype=torch.float64)
    for tensors in ([mean, logvar], [mean, logvar, 0 * logvar, other]):
        columns = [t.to(dtype)[None, :, None].expand(5, -1, 1) for t in tensors]
        value = divergence(columns, alpha.expand(5, logvar.numel()), dual=dual, convention=convention, backend=backend)
        assert (value >= 0).all()


@backends
@variants
def test_equal_gaussians_are_at_distance_exactly_zero_and_have_no_slope(dual, convention, backend):
    torch.manual_seed(1)
    mean, logvar = 100 * torch.randn(7, 10), 10 * torch.randn(7, 10)
    tensors = [t.clone().requires_grad_() for t in (mean, logvar, mean, logvar)]
    alpha = torch.linspace(0, 1, 7, requires_grad=True)
    value = jsg_diagonal(*tensors, alpha, dual=dual, convention=convention, backend=backend)
    assert (value == 0).all()
    assert all((slope == 0).all() for slope in torch.autograd.grad(value.sum(), [*tensors, alpha]))


@may_overflow
@backends
@variants
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_rows_with_nan_or_infinity_do_not_affect_the_others(poison, dual, convention, backend):
    torch.manual_seed(2)
    tensors = [torch.randn(12, 10) for _ in range(4)]
    sound = jsg_diagonal(*tensors, 0.3, dual=dual, convention=convention, backend=backend)
    for position, tensor in enumerate(tensors):  # in rows 0, 3, 6 and 9
        tensor[3 * position, 7] = poison
    tensors = [t.requires_grad_() for t in tensors]
    value = jsg_diagonal(*tensors, 0.3, dual=dual, convention=convention, backend=backend)
    others = torch.arange(12) % 3 != 0
    if np.isnan(poison):
        assert value[~others].isnan().all()
    assert torch.equal(value[others], sound[others])
    assert all(slope[others].isfinite().all() for slope in torch.autograd.grad(value[others].sum(), tensors))


@backends
def test_alpha_may_be_a_number_a_tensor_of_one_or_one_per_row(backend):
    torch.manual_seed(3)
    mean, logvar = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    for alpha in (0, 1, 0.25):
        expected = jsg_standard_normal(mean, logvar, float(alpha), backend=backend)
        for same in (
            alpha,
            np.float64(alpha),
            *(torch.full(s, float(alpha)) for s in ((), (1,), (1, 1), (5,), (4, 5))),
        ):
            assert torch.equal(jsg_standard_normal(mean, logvar, same, backend=backend), expected)
        assert torch.equal(jsg_standard_normal(mean, logvar, torch.tensor(alpha).half(), backend=backend), expected)


@backends
def test_each_row_may_have_its_own_alpha(backend):
    torch.manual_seed(4)
    mean, logvar = torch.randn(2, 4, 5, 3)
    alpha = torch.rand(4, 5)
    value = jsg_standard_normal(mean, logvar, alpha, backend=backend)
    for i, j in np.ndindex(4, 5):
        single = jsg_standard_normal(mean[i, j], logvar[i, j], alpha[i, j].double(), backend=backend)
        # Another tiling adds the terms in a different order.
        torch.testing.assert_close(value[i, j], single, rtol=4 * 2.0**-24, atol=0)


@backends
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (5,), (4, 1), (4, 5)])
def test_the_gradient_by_alpha_has_its_shape_and_type(shape, backend):
    torch.manual_seed(5)
    mean, logvar = torch.randn(2, 4, 5, 3)
    for dtype in (torch.float32, torch.float64):
        alpha = torch.full(shape, 0.3, dtype=dtype, requires_grad=True)
        rows = torch.full((4, 5), 0.3, dtype=dtype, requires_grad=True)
        for a in (alpha, rows):
            jsg_standard_normal(mean, logvar, a, backend=backend).sum().backward()
        assert (alpha.grad.shape, alpha.grad.dtype) == (torch.Size(shape), dtype)
        # Up to 20 numbers of about 1, added in another order.
        torch.testing.assert_close(alpha.grad, rows.grad.sum_to_size(shape), rtol=1e-5, atol=1e-5)


@backends
def test_a_batch_of_any_shape_gives_the_values_of_its_rows(backend):
    torch.manual_seed(6)
    mean, logvar = torch.randn(2, 3, 4, 5, 7)
    flat = jsg_standard_normal(mean.reshape(-1, 7), logvar.reshape(-1, 7), 0.3, backend=backend)
    assert torch.equal(jsg_standard_normal(mean, logvar, 0.3, backend=backend).flatten(), flat)
    one = jsg_standard_normal(mean[0, 0, 0], logvar[0, 0, 0], 0.3, backend=backend)
    assert one.shape == ()
    torch.testing.assert_close(one, flat[0], rtol=4 * 2.0**-24, atol=0)


@backends
def test_the_four_tensors_broadcast_and_their_gradients_are_summed_back(backend):
    torch.manual_seed(7)
    shapes = [(4, 1, 3), (5, 3), (3,), (4, 5, 3)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    wide = [t.detach().expand(4, 5, 3).clone().requires_grad_() for t in tensors]
    alpha = torch.rand(4, 5, dtype=torch.float64)
    values = [jsg_diagonal(*t, alpha, backend=backend) for t in (tensors, wide)]
    torch.testing.assert_close(*values)  # the kernel adds in another order
    for value in values:
        value.sum().backward()
    for narrow, full in zip(tensors, wide, strict=True):
        torch.testing.assert_close(narrow.grad, full.grad.sum_to_size(narrow.shape))


@backends
def test_no_rows_give_no_values(backend):
    mean, logvar = (torch.zeros(0, 10, requires_grad=True) for _ in range(2))
    value = jsg_standard_normal(mean, logvar, 0.3, backend=backend)
    assert value.shape == (0,)
    value.sum().backward()
    assert mean.grad.shape == (0, 10)
    assert jsg_diagonal(*torch.zeros(4, 3, 0, 10), 0.3, backend=backend).shape == (3, 0)


@backends
def test_mean_and_sum_reduce_the_rows_and_have_their_gradients(backend):
    torch.manual_seed(8)
    mean, logvar = (torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    rows = jsg_standard_normal(mean, logvar, 0.3, backend=backend)
    for reduction, expected in (("none", rows), ("mean", rows.mean()), ("sum", rows.sum())):
        value = jsg_standard_normal(mean, logvar, 0.3, backend=backend, reduction=reduction)
        assert torch.equal(value, expected)
        slopes = [torch.autograd.grad(v.sum(), (mean, logvar), retain_graph=True) for v in (value, expected)]
        for a, b in zip(*slopes, strict=True):
            # One computation multiplies the weights of the terms by 1/20, the other multiplies their sum; each rounds
            # two or three times.  The terms are about as large as the largest gradient: 2.1 eps was measured.
            eps = 2.0**-52 if reduction == "mean" else 0.0
            assert (a - b).abs().max() <= 4 * eps * b.abs().max()


@backends
def test_only_inputs_that_require_gradients_get_them(backend):
    torch.manual_seed(9)
    for needed in itertools.product([False, True], repeat=5):
        tensors = [torch.randn(3, 4, requires_grad=need) for need in needed[:4]]
        alpha = torch.tensor(0.3, requires_grad=needed[4])
        value = jsg_diagonal(*tensors, alpha, backend=backend)
        assert value.requires_grad == any(needed)
        if any(needed):
            value.sum().backward()
        assert tuple(t.grad is not None for t in (*tensors, alpha)) == needed


@backends
@variants
def test_gradients_pass_gradcheck(dual, convention, backend):
    torch.manual_seed(10)
    tensors = [torch.randn(2, 2, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    alpha = torch.tensor([0.2, 0.9], dtype=torch.float64, requires_grad=True)
    options = dict(dual=dual, convention=convention, backend=backend)
    assert torch.autograd.gradcheck(lambda *x: jsg_diagonal(*x, **options), (*tensors, alpha))
    assert torch.autograd.gradcheck(lambda *x: jsg_standard_normal(*x, **options), (*tensors[:2], alpha))


def test_auto_on_a_cpu_is_the_compiled_core_and_eager_without_it(monkeypatch):
    torch.manual_seed(11)
    mean, logvar = torch.randn(2, 50, 50)
    best = jsg_standard_normal(mean, logvar, 0.3, backend=BACKENDS[-1] if native.CORE else "eager")
    assert torch.equal(jsg_standard_normal(mean, logvar, 0.3), best)
    monkeypatch.setattr(native, "CORE", None)
    eager = jsg_standard_normal(mean, logvar, 0.3, backend="eager")
    assert torch.equal(jsg_standard_normal(mean, logvar, 0.3), eager)
    assert native.CORE is None or not torch.equal(best, eager)
    with pytest.raises(ValueError, match=r"backend='native' needs the compiled core, but .*; use backend='eager'"):
        jsg_standard_normal(mean, logvar, 0.3, backend="native")


def test_triton_on_a_cpu_without_its_interpreter_says_what_to_do():
    program = """
import torch, jsgmath.torch
mean = torch.zeros(3, 4)
try:
    jsgmath.torch.jsg_standard_normal(mean, mean, 0.5, backend="triton")
except ValueError as error:
    print(error)
print(jsgmath.torch.jsg_standard_normal(mean + 1, mean, 0.5).tolist())
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(Path(jsgmath.__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    message, value = run.stdout.splitlines()
    assert message.startswith("backend='triton' needs CUDA")
    assert all(hint in message for hint in ("got cpu", "backend='eager'", "TRITON_INTERPRET=1"))
    assert value == "[0.5, 0.5, 0.5]"  # four dimensions of 1/8; auto needs no triton
