"""Diagonal Gaussians at the ends of the range: overflow, extreme ratios, infinities and NaN."""

import importlib.util
import itertools
import warnings

import numpy as np
import pytest
import torch
from mpmath import mp

import jsgmath
from jsgmath import Gaussian, formula
from jsgmath.torch import JSGLoss, jsg_diagonal, jsg_full, jsg_standard_normal, kl_standard_normal, sample_and_jsg
from jsgmath.torch.eager import far, full, full_far
from tests.torch.against_numpy import Reference, errors, unit
from tests.torch.inputs import BACKENDS, VARIANTS, backends, variants

pytestmark = pytest.mark.filterwarnings(
    "ignore:overflow encountered:RuntimeWarning", "ignore:invalid value encountered:RuntimeWarning"
)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
# The backends that are right over the whole range, and the largest errors of their values and gradients in ulp.
EVERYWHERE = {"eager": (16, 16), "native": (2, 4)}
everywhere = pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend in EVERYWHERE])
wide = pytest.mark.skipif(not far.WIDE, reason="a long double is a double on this machine")
ALPHAS = 0.0, 1e-4, 0.5, 0.75, 1.0
# Means and log-variances as parts of the largest exponents.  A value may overflow, or lie in the last binade.
MEANS = 0.0, 0.2, 0.49, 0.5, 0.51, 0.6, 0.99
LOGVARS = -1.9, -1.1, -0.9, -0.4, 0.0, 0.6, 0.9, 0.99, 1.003, 1.1


def pairs(dtype, logvars=LOGVARS):
    """All means with all log-variances, and a second Gaussian nearby, all exact in ``dtype``."""
    top = 128 if dtype == torch.float32 else 1024
    grid = [(2.0 ** (top * m), top * np.log(2) * s) for m in MEANS for s in logvars]
    mean, logvar = torch.tensor(grid, dtype=dtype).T[..., None]
    return mean, logvar, mean / 4, logvar * 0.9375


def reference(tensors, alpha, dual, convention):
    """The NumPy values, which are correctly rounded in float64; those beyond its range are infinite."""
    numbers = [x.detach().double().numpy() for x in tensors]
    mean2, logvar2 = numbers[2:] if len(numbers) == 4 else np.zeros((2, *numbers[0].shape))
    pair = Gaussian(numbers[0], logvar=numbers[1]), Gaussian(mean2, logvar=logvar2)
    return (jsgmath.jsg_dual if dual else jsgmath.jsg)(*pair, alpha, convention=convention)


def assert_right(value, wanted, dtype, ulps=16):
    """Asserts an error of at most ``ulps`` units of the last place; a value that rounds to infinity is infinite."""
    value, largest = value.detach().double().numpy(), torch.finfo(dtype).max
    finite = wanted <= largest
    assert (value[~finite] == np.inf).all()
    distance = np.abs(value[finite] - wanted[finite]) / unit(dtype, wanted[finite])
    assert (distance <= ulps).all(), (value[finite], wanted[finite])


@DTYPES
@variants
@everywhere
def test_values_are_right_wherever_they_are_finite_and_infinite_elsewhere(backend, dual, convention, dtype):
    """Up to 6 units were measured."""
    mean, logvar, mean2, logvar2 = pairs(dtype)
    for tensors in ([mean, logvar], [mean, logvar, mean2, logvar2]):
        for alpha in ALPHAS:
            function = jsg_standard_normal if len(tensors) == 2 else jsg_diagonal
            value = function(*tensors, alpha, dual=dual, convention=convention, backend=backend)
            assert_right(value, reference(tensors, alpha, dual, convention), dtype, EVERYWHERE[backend][0])


@variants
@everywhere
@pytest.mark.parametrize("gaussians", [1, 2])
def test_gradients_are_right_wherever_they_are_finite_and_never_nan(gaussians, backend, dual, convention):
    """In float32, against the reference in float64; 0.99 is left out, because there 1/std times the mean overflows."""
    tensors = [x[: -len(LOGVARS)].requires_grad_() for x in pairs(torch.float32)[: 2 * gaussians]]
    function = jsg_standard_normal if gaussians == 1 else jsg_diagonal
    for number in ALPHAS:
        alpha = torch.full(tensors[0].shape[:1], number, dtype=torch.float64, requires_grad=True)
        value = function(*tensors, alpha, dual=dual, convention=convention, backend=backend)
        *gradients, by_alpha = torch.autograd.grad(value.sum(), [*tensors, alpha])
        wanted = Reference(tensors, number, dual, convention)
        for got, want, size in zip(gradients, wanted.gradients, wanted.sizes, strict=True):
            assert (errors(got, want, size, torch.float32) <= EVERYWHERE[backend][1]).all()
        assert not by_alpha.isnan().any()


@variants
@DTYPES
def test_the_kernel_is_right_for_means_of_every_size(dtype, dual, convention):
    """Log-ratios are within its limits, weights are not tiny, and values are below the last binade."""
    tensors = [x.requires_grad_() for x in pairs(dtype, [x for x in LOGVARS if abs(x) < 0.95])]
    for count in (2, 4):
        function = jsg_standard_normal if count == 2 else jsg_diagonal
        for alpha in (0.0, 0.5, 1.0):
            value = function(*tensors[:count], alpha, dual=dual, convention=convention, backend="triton")
            wanted = reference(tensors[:count], alpha, dual, convention)
            last = (wanted > torch.finfo(dtype).max / 8) & (wanted <= torch.finfo(dtype).max)
            assert_right(value[~last], wanted[~last], dtype)
            gradients = torch.autograd.grad(value.sum(), tensors[:count])
            assert not any(x.isnan().any() for x in gradients)


@backends
def test_means_that_an_earlier_version_clamped_are_right(backend):
    mean, logvar = torch.tensor([3e19]), torch.tensor([60.0])
    value = jsg_standard_normal(mean, logvar, 1.0, backend=backend)
    assert_right(value, reference([mean, logvar], 1.0, False, "deasy"), torch.float32)  # 3.94e12
    mean = torch.tensor([1e30], requires_grad=True)  # its square leaves float32
    value = kl_standard_normal(mean, torch.zeros(1), backend=backend)
    assert value.item() == np.inf
    assert torch.autograd.grad(value, mean)[0].item() == pytest.approx(1e30, rel=1e-6)
    _, value = sample_and_jsg(mean, torch.zeros(1), 0.5, seed=1, backend=backend)
    assert value.item() == np.inf


@DTYPES
@backends
def test_an_infinite_mean_is_at_an_infinite_distance_and_nan_stays_nan(backend, dtype):
    logvar = torch.zeros(3, dtype=dtype)
    for wrong, wanted in ((np.inf, np.inf), (-np.inf, np.inf), (np.nan, np.nan)):
        mean = torch.tensor([0.0, 1.0, wrong], dtype=dtype)
        for dual, convention in VARIANTS:
            for alpha in (0.5, 0.75):
                options = dict(dual=dual, convention=convention, backend=backend)
                values = jsg_standard_normal(mean, logvar, alpha, **options), JSGLoss(alpha, **options)(mean, logvar)
                np.testing.assert_equal([x.item() for x in values], [wanted] * 2)


@DTYPES
@backends
def test_full_covariances_give_infinity_where_the_truth_does(backend, dtype):
    """KL is half the square of the mean, and JSG at 1/2 a quarter of that."""
    zero, eye = torch.zeros(2, dtype=dtype), torch.eye(2, dtype=dtype)
    root = 2.0 ** (64 if dtype == torch.float32 else 512)
    for size, wanted in ((0.25, (2.0**-5, 2.0**-7)), (1e9, (np.inf, np.inf))):
        mean = torch.tensor([size * root, 0.0], dtype=dtype, requires_grad=True)
        for alpha, part in zip((0.0, 0.5, 1.0), (*wanted, wanted[0]), strict=True):
            value = jsg_full(mean, eye, zero, eye, alpha, backend=backend)
            assert value.item() / root == part * root
            assert torch.autograd.grad(value, mean)[0].isfinite().all()


@variants
def test_full_covariances_at_both_ends_of_the_range_are_right_and_have_gradients(dual, convention):
    """For N(0, L L') and N(0, I) the ratio leaves the range at 2^-520; the last binade of values is left out."""
    mean, eye = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    for exponent, below in itertools.product((511.6, 511.3, -511.5, -520.0), (0.0, 0.5)):
        scale = torch.tensor([[1.0, 0.0], [below, 1.0]], dtype=torch.float64) * 2.0**exponent
        tensors = [x.clone().requires_grad_() for x in (mean, scale, mean, eye)]
        pair = [Gaussian(m.numpy(), scale_tril=x.numpy()) for m, x in ((mean, scale), (mean, eye))]
        for alpha in (0.0, 0.3, 1.0):
            wanted = (jsgmath.jsg_dual if dual else jsgmath.jsg)(*pair, alpha, convention=convention)
            value = jsg_full(*tensors, alpha, dual=dual, convention=convention, backend="eager")
            assert_right(value.reshape(1), np.reshape(wanted, 1), torch.float64)
            if wanted < 1e300:  # elsewhere true gradients overflow
                gradients = torch.autograd.grad(value, tensors)
                assert not any(x.isnan().any() for x in gradients), (exponent, below, alpha)


@pytest.mark.parametrize("backend", ["eager", "triton"])
@DTYPES
def test_a_power_of_two_in_all_scales_changes_no_bit(backend, dtype):
    """Factors and means are multiplied, and so gradients are divided; all are far from the identity."""
    mean1, tril1 = torch.tensor([1.0, -2.0], dtype=dtype), torch.tensor([[1.0, 0.0], [3.0, 0.001]], dtype=dtype)
    mean2, tril2 = torch.tensor([0.5, 1.0], dtype=dtype), torch.tensor([[0.003, 0.0], [1.0, 40.0]], dtype=dtype)
    for dual in (False, True):
        results = []
        for exponent in (0, 60, -60, *((500, -500) if dtype == torch.float64 else ())):
            tensors = [(x * 2.0**exponent).requires_grad_() for x in (mean1, tril1, mean2, tril2)]
            value = jsg_full(*tensors, 0.3, dual=dual, backend=backend)
            results.append([value.detach(), *(x * 2.0**exponent for x in torch.autograd.grad(value, tensors))])
        for others in results[1:]:
            for got, want in zip(others, results[0], strict=True):
                torch.testing.assert_close(got, want, rtol=64 * torch.finfo(dtype).eps, atol=0)


@variants
@everywhere
def test_at_an_infinite_mean_gradients_by_log_variances_are_their_limits(backend, dual, convention):
    """They are infinite, except that the derivative of KL(q||p) by q's log-variance is ``(exp(logvar) - 1)/2``."""
    mean, logvar = torch.tensor([np.inf]), torch.tensor([0.5], requires_grad=True)
    value = jsg_standard_normal(mean, logvar, 0.5, dual=dual, convention=convention, backend=backend)
    assert torch.autograd.grad(value, logvar)[0].item() == -np.inf
    value = kl_standard_normal(mean, logvar, backend=backend)
    assert torch.autograd.grad(value, logvar)[0].item() == pytest.approx(np.expm1(0.5) / 2, rel=1e-6)
    narrow = torch.tensor([-150.0], requires_grad=True)  # a log-variance beyond the limit of the backends
    _, value = sample_and_jsg(mean, narrow, 0.5, seed=1, dual=dual, convention=convention, backend=backend)
    assert torch.autograd.grad(value, narrow)[0].item() == -np.inf


LARGE = mp.mpf(10) ** 100_000  # stands for an infinite mean


def exact_derivatives(mean1, logvar1, logvar2, alpha, dual, reverse):
    """Those by mean1, logvar1 and logvar2 in 60 digits, for a second mean of 0, and the sizes of their terms."""
    with mp.workdps(60):
        w1, w2, log_r1 = 1 - mp.mpf(alpha), mp.mpf(alpha), mp.mpf(logvar1) - mp.mpf(logvar2)
        weights = w1, w2, *formula.mean_weights(w1, w2, reverse)[:2]
        ratios = mp.exp(log_r1), mp.exp(-log_r1), mp.expm1(log_r1), mp.expm1(-log_r1)
        i1, i2 = mp.exp(-mp.mpf(logvar1) / 2), mp.exp(-mp.mpf(logvar2) / 2)
        delta = LARGE if mean1 == np.inf else mp.mpf(mean1)
        gradient = formula.from_mean_grad if dual else formula.to_mean_grad

        def derivatives(delta):
            numbers = *weights, *ratios, delta * i1, delta * i2, i1, i2
            return *gradient(*numbers), gradient(*formula.exchanged(*numbers))[1]

        found, without = derivatives(delta), derivatives(mp.mpf(0))
        divergences = formula.from_mean if dual else formula.to_mean
        means = divergences(*weights[2:], 0, *ratios, delta * i1, delta * i2, lambda *_: mp.mpf(0))
        extra = 0, *[2 * formula.skew(w1, w2, *means)] * 2  # what the means contribute, as in `Reference`
        return found, [abs(a) + abs(b) + c for a, b, c in zip(found, without, extra, strict=True)]


@wide
@variants
@DTYPES
def test_gradients_between_variances_far_apart_are_right_at_means_of_every_size(dtype, dual, convention):
    """Finite ones within 16 ulp of their terms, and others infinite with their sign, in both backends."""
    largest, eps = torch.finfo(dtype).max, mp.mpf(torch.finfo(dtype).eps)
    grid = itertools.product((1.0, 2.0**100, np.inf), (-400.0, -150.0, -3.0, 0.0, 130.0), (-300.0, 0.0, 120.0))
    mean1, logvar1, logvar2 = torch.tensor(list(grid), dtype=dtype).T[..., None]
    for alpha in (0.0, 0.25, 1.0):
        wanted = [
            exact_derivatives(*(x.item() for x in row), alpha, dual, convention == "deasy")
            for row in zip(mean1, logvar1, logvar2, strict=True)
        ]
        for backend in EVERYWHERE:
            if backend not in BACKENDS:
                continue
            tensors = [x.clone().requires_grad_() for x in (mean1, logvar1, logvar2)]
            options = dict(dual=dual, convention=convention, backend=backend)
            value = jsg_diagonal(*tensors[:2], torch.zeros_like(mean1), tensors[2], alpha, **options)
            for k, gradient in enumerate(torch.autograd.grad(value.sum(), tensors)):
                for got, (derivatives, sizes) in zip(gradient[:, 0].tolist(), wanted, strict=True):
                    if abs(derivatives[k]) > 2 * largest:
                        assert got == np.inf * int(mp.sign(derivatives[k]))
                    elif sizes[k] < largest / 8:
                        tiny = torch.finfo(dtype).smallest_normal
                        assert abs(got - derivatives[k]) <= 16 * eps * max(sizes[k], tiny)


def factors_out_of_proportion(spread, dtype):
    """Forty pairs of means and factors, whose rows or whose units are up to 10^spread times others."""
    rng = np.random.default_rng(5)
    tensors = []
    for _ in range(2):
        tril = np.tril(rng.normal(size=(40, 3, 3)), -1) + np.eye(3) * rng.uniform(0.5, 2, size=(40, 3, 1))
        rows, units = (10 ** rng.uniform(-spread, spread, size=(20, size, 1)) for size in (3, 1))
        scales = np.concatenate([rows, units.repeat(3, axis=1)])
        mean = rng.normal(size=(40, 3)) * 10 ** rng.uniform(-spread, spread, size=(40, 1))
        tensors += [torch.tensor(mean, dtype=dtype), torch.tensor(tril * scales, dtype=dtype)]
    return tensors


@wide
@variants
@everywhere
@pytest.mark.parametrize(
    ("dtype", "spread"), [(torch.float32, 16), (torch.float64, 100), (torch.float64, 140)], ids=str
)
def test_full_covariances_out_of_proportion_give_no_nan(dtype, spread, backend, dual, convention):
    """Values are those of NumPy, which rounds them correctly."""
    tensors = [x.requires_grad_() for x in factors_out_of_proportion(spread, dtype)]
    pair = [
        Gaussian(tensors[i].detach().double().numpy(), scale_tril=tensors[i + 1].detach().double().numpy())
        for i in (0, 2)
    ]
    for number in (0.0, 1.0, 0.3) if dual else (0.0, 1.0):
        alpha = torch.full((40,), number, dtype=torch.float64, requires_grad=True)
        value = jsg_full(*tensors, alpha, dual=dual, convention=convention, backend=backend)
        wanted = (jsgmath.jsg_dual if dual else jsgmath.jsg)(*pair, number, convention=convention)
        last = (wanted > torch.finfo(dtype).max / 8) & (wanted <= torch.finfo(dtype).max)
        assert_right(value[~last], wanted[~last], dtype)
        assert not any(x.isnan().any() for x in torch.autograd.grad(value.sum(), [*tensors, alpha]))


@wide
@variants
def test_long_doubles_give_what_torch_gives_between_ordinary_full_covariances(dual, convention):
    """Gradients too; the other tests of long doubles have no other values for these."""
    tensors = factors_out_of_proportion(0.1, torch.float64)
    options = dict(dual=dual, reverse=convention == "deasy", scale=0.75, upstream=None)
    for alpha in (0.0, 0.3, 0.8, 1.0):
        wanted = full.evaluate_block(*tensors, alpha, by_alpha=True, **options)
        results = [torch.zeros_like(x) for x in wanted]
        full_far.replace(tensors, alpha, results, wrong=torch.ones(40, dtype=torch.bool), **options)
        for got, want in zip(results, wanted, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


def test_where_a_long_double_is_a_double_its_limits_are_no_error(monkeypatch):
    monkeypatch.setattr(np, "longdouble", np.float64)
    spec = importlib.util.find_spec("jsgmath.torch.eager.far")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    assert not module.WIDE
