"""Gradients of the families in torch, against differences in 200 digits over the range of the parameters."""

import math
import warnings

import numpy as np
import pytest
import torch
from mpmath import mp
from torch import distributions as td

import jsgmath
from jsgmath import families, jsg, jsg_dual, kl
from verification import family_oracles
from verification.oracles import mean_weights

INF = math.inf
PARAMETERS = {
    "Poisson": [(1e-8, 1.0), (1e-12, 1.0), (1e-30, 2.0), (3.0, 1e-20), (2.0, 2.0 * (1 + 1e-9)), (1e-30, 1e25)],
    "Exponential": [(1e-8, 1.0), (1.0, 1e-20), (2.0, 2.0 * (1 + 1e-9)), (1e-15, 1e15)],
    "Bernoulli": [(1e-8, 0.5), (1e-12, 0.5), (1e-30, 1e-20), (0.3, 0.3 * (1 + 1e-9)), (0.999, 1e-20)],
    "Geometric": [(1e-8, 0.5), (1e-14, 0.3), (0.3, 0.3 * (1 + 1e-9)), (0.999, 1e-10)],
}


def member(name, parameter):
    return (parameter, 1 - parameter) if name == "Bernoulli" else parameter


def reference(name, pair, place, alpha, convention, dual):
    """The derivative by one of the two parameters, and the sum of the sizes of its terms, by differences in 200 digits.

    The terms are the derivatives of each KL by the distribution itself, and by the geometric mean.
    """
    kl_of, mean = family_oracles.KL_AND_MEAN["Categorical" if name == "Bernoulli" else name]
    with mp.workdps(200):
        exact, weights = [mp.mpf(x) for x in pair], (1 - mp.mpf(alpha), mp.mpf(alpha))
        step = exact[place] * mp.mpf(10) ** -60
        sides = []
        for sign in (-1, 1):
            moved = [member(name, x + sign * step * (i == place)) for i, x in enumerate(exact)]
            sides.append((moved, mean(*moved, *mean_weights(mp.mpf(alpha), convention))))
        N = [member(name, x) for x in exact]
        G = mean(*N, *mean_weights(mp.mpf(alpha), convention))

        def divergence(first, second):
            return kl_of(second, first) if dual else kl_of(first, second)

        def slope(f):
            return (f(*sides[1]) - f(*sides[0])) / (2 * step)

        terms = [w * slope(lambda _, G, i=i: divergence(N[i], G)) for i, w in enumerate(weights) if w]
        if weights[place]:
            terms.append(weights[place] * slope(lambda N, _: divergence(N[place], G)))
        return mp.fsum(terms), mp.fsum(map(abs, terms))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("name", "pair"), [(name, pair) for name, pairs in PARAMETERS.items() for pair in pairs])
def test_gradients_are_within_16_ulp_of_the_sizes_of_their_terms(name, pair, dtype):
    pair = [torch.tensor(x, dtype=dtype).item() for x in pair]
    for alpha, convention, dual in ((0.0, "deasy", False), (0.3, "deasy", False), (0.3, "nielsen", True)):
        given = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair]
        divergence = jsg_dual if dual else jsg
        value = divergence(*map(getattr(td, name), given), alpha, convention=convention)
        for place, gradient in enumerate(torch.autograd.grad(value, given)):
            truth, size = reference(name, pair, place, alpha, convention, dual)
            if size < torch.finfo(dtype).max:
                limit = 16 * max(float(np.spacing(np.array(float(size), str(dtype)[6:]))), torch.finfo(dtype).tiny)
                assert abs(gradient.item() - float(truth)) <= limit, (alpha, convention, dual, place)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (td.Poisson, td.Poisson, -18.420680743952367),
        (td.Bernoulli, td.Bernoulli, -18.420680733952367),
        (lambda p: td.Categorical(torch.stack([p, 1 - p])), lambda p: td.Categorical(torch.stack([p, 1 - p])), None),
        (td.Gamma, td.Gamma, None),
    ],
)
def test_a_small_parameter_has_the_gradient_of_the_closed_form(first, second, expected):
    """For 1e-8 against 1 or 0.5 it is, for instance, ``log p - log q``, or ``psi'(a) (a - a2)`` for a Gamma's shape."""
    x = torch.tensor(1e-8, dtype=torch.float64, requires_grad=True)
    other = torch.tensor(1.0 if first in (td.Poisson, td.Gamma) else 0.5, dtype=torch.float64)
    if first is td.Gamma:
        value, expected = kl(td.Gamma(x, other), td.Gamma(other, other)), float(mp.psi(1, 1e-8) * (1e-8 - 1))
    else:
        value = kl(first(x), second(other))
        expected = math.log(1e-8) if first is td.Poisson else math.log(1e-8) - math.log1p(-1e-8)
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.item() == pytest.approx(expected, rel=1e-15)


RANGE = {
    "a narrow normal": (td.Normal, (0.0, 1e-20), (0.0, 1.0), 45.5517018598809),
    "a wide normal": (td.Normal, (0.0, 1.0), (0.0, 1e20), 45.5517018598809),
    "far rates": (td.Exponential, (1e20,), (1e-20,), 91.1034037197618),
    "far means": (td.Poisson, (1e-30,), (1e30,), 1e30),
    "an infinite one": (td.Exponential, (1e-20,), (1e20,), INF),
    "an infinite normal": (td.Normal, (0.5, 1e20), (0.0, 1.0), INF),
    "far rates of a gamma distribution": (td.Gamma, (1.0, 1e20), (1.0, 1e-20), 91.1034037197618),
}


@pytest.mark.parametrize(("kind", "first", "second", "expected"), RANGE.values(), ids=RANGE)
def test_a_square_or_a_ratio_may_leave_the_range_of_float32(kind, first, second, expected):
    value = kl(kind(*map(torch.tensor, first)), kind(*map(torch.tensor, second)))
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_an_independent_normal_with_one_tiny_scale_has_its_value_and_gradients():
    scale = torch.tensor([1.0, 0.5, 1e-22], requires_grad=True)
    mean = torch.zeros(3, requires_grad=True)
    prior = td.Independent(td.Normal(torch.zeros(3), torch.ones(3)), 1)
    value = kl(td.Independent(td.Normal(mean, scale), 1), prior)
    assert value.item() == pytest.approx(0.5 * (0.25 - 1 - math.log(0.25)) + 50.15687202, rel=1e-6)
    by_mean, by_scale = torch.autograd.grad(value, (mean, scale))
    torch.testing.assert_close(by_mean, torch.zeros(3), rtol=0, atol=0)
    torch.testing.assert_close(by_scale, torch.tensor([0.0, 0.5 - 2.0, -1e22]))


@pytest.mark.parametrize(
    ("scale", "divergence", "by_mean", "by_scale"),
    [
        (1e20, kl, 0.5, 1e20),  # the derivative is s - 1/s, the value is infinite
        (1e-38, kl, 0.5, -1e38),
        (1e-20, lambda p, q: jsg_dual(p, q, 0.3), 0.15, -3e19),
        (1e38, lambda p, q: kl(q, p), 0.0, 1e-38),
    ],
)
def test_derivatives_of_a_normal_are_finite_where_they_are_although_a_square_is_not(
    scale, divergence, by_mean, by_scale
):
    given = [torch.tensor(x, requires_grad=True) for x in (0.5, scale)]
    value = divergence(td.Normal(*given), td.Normal(torch.tensor(0.0), torch.tensor(1.0)))
    expected = torch.tensor([by_mean, by_scale])
    torch.testing.assert_close(torch.stack(torch.autograd.grad(value, given)), expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("gap", [1e-6, 1.0])
def test_kl_of_normals_and_its_gradients_are_those_of_numpy(gap, dtype):
    """Near and far, up to 4 ulp of the value were measured, and 5 of the sum of the sizes of a gradient's terms."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 1000, generator=generator, dtype=torch.float64)
    given = [noise[0], noise[1].exp(), noise[0] + gap * noise[2], (noise[1] + gap * noise[3]).exp()]
    given = [x.to(dtype).requires_grad_() for x in given]
    m1, s1, m2, s2 = (x.detach().double().numpy() for x in given)
    N1, N2 = (jsgmath.Gaussian(m[:, None], std=s[:, None]) for m, s in ((m1, s1), (m2, s2)))
    normals = td.Normal(*given[:2]), td.Normal(*given[2:])
    wanted, by = jsgmath.kl(N1, N2), jsgmath.jsg_grad(N1, N2, 0.0)
    for value in (kl(*normals), jsg(*normals[::-1], 1.0)):
        assert (np.abs(value.detach().double().numpy() - wanted) <= 8 * torch.finfo(dtype).eps * wanted).all()
        e, d = (s1 - s2) * (s1 + s2) / s2**2, (m1 - m2) / s2
        slopes = by.mean1[:, 0], by.logvar1[:, 0] * 2 / s1, by.mean2[:, 0], by.logvar2[:, 0] * 2 / s2
        sizes = abs(d / s2), abs(e / s1), abs(d / s2), (abs(e) + d * d) / s2
        for got, want, size in zip(torch.autograd.grad(value.sum(), given), slopes, sizes, strict=True):
            assert (np.abs(got.double().numpy() - want) <= 8 * torch.finfo(dtype).eps * size).all()


def test_a_probability_of_zero_has_an_infinite_gradient_and_nan_stays_nan():
    zero = torch.tensor(0.0, requires_grad=True)
    for kind in (td.Poisson, td.Bernoulli):
        (gradient,) = torch.autograd.grad(kl(kind(zero), kind(torch.tensor(0.5))), zero)
        assert gradient.item() == -INF
    nan, one = torch.tensor(math.nan), torch.tensor(0.5)
    for kind in (td.Poisson, td.Bernoulli, td.Geometric, td.Exponential):
        assert kl(kind(nan, validate_args=False), kind(one)).isnan()
        assert kl(kind(one), kind(nan, validate_args=False)).isnan()


@pytest.mark.parametrize("kind", [td.Poisson, td.Exponential, td.Bernoulli, td.Geometric])
def test_derivatives_exist_twice_in_forward_mode_and_for_each_of_a_batch(kind):
    rates = torch.tensor([0.2, 0.5, 0.7], dtype=torch.float64)
    prior = torch.tensor(0.4, dtype=torch.float64)

    def divergence(rate):
        return jsg(kind(rate, validate_args=False), kind(prior, validate_args=False), 0.3)

    assert torch.autograd.gradgradcheck(divergence, rates.clone().requires_grad_())
    each = torch.func.vmap(torch.func.grad(divergence))(rates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns about its own scripts
        together = torch.func.jvp(lambda x: divergence(x).sum(), (rates,), (torch.ones_like(rates),))[1]
    assert together.item() == pytest.approx(each.sum().item(), rel=1e-14)
    many = rates.repeat(20_000).requires_grad_()  # many are computed in blocks
    (gradient,) = torch.autograd.grad(divergence(many).sum(), many)
    torch.testing.assert_close(gradient, each.repeat(20_000), rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", [td.Bernoulli, td.Geometric, td.Categorical])
def test_a_divergence_does_not_depend_on_what_was_called_before(kind):
    """torch adds the probabilities to a distribution made of logits when somebody reads them."""
    logits = torch.tensor([20.0, 40.0]), torch.tensor([0.0, 1.0])
    first, second = (kind(logits=x) for x in logits)
    before = kl(second, first)
    _ = first.probs, second.probs, first.mode
    torch.testing.assert_close(kl(second, first), before, rtol=0, atol=0)


def test_far_logits_of_bernoulli_and_geometric_distributions_are_accepted():
    values = kl(td.Bernoulli(logits=torch.zeros(2)), td.Bernoulli(logits=torch.tensor([20.0, 40.0])))
    torch.testing.assert_close(values, torch.tensor([9.306853, 19.306853]))
    value = kl(td.Geometric(torch.tensor(0.5)), td.Geometric(logits=torch.tensor(30.0)))
    # log 0.5 twice, and log(1 + e^30)
    assert value.item() == pytest.approx(2 * math.log(0.5) + math.log1p(math.exp(30)), rel=1e-6)


@pytest.mark.parametrize("gap", [0.3, 1e-3, 1e-9, 1e-14])
@pytest.mark.parametrize("probability", [1e-5, 0.3, 0.9475593999865273])
@pytest.mark.parametrize("kind", [families.Bernoulli, families.Geometric])
def test_a_probability_and_nearly_equal_log_odds_lose_no_digits(kind, probability, gap):
    """Values and derivatives of KL in both directions, against closed forms in 60 digits; JSG against NumPy.

    A rounded logarithm of the odds left 1e5 ulp of the derivatives.  A few ulp are expected; 16 are documented.
    """
    given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (probability, 0.0)]
    with torch.no_grad():
        given[1].copy_((given[0].log() - (-given[0]).log1p()) * (1 + gap))
    first, second = kind(given[0]), kind(logits=given[1])
    with mp.workdps(60):
        p, x = (mp.mpf(z.item()) for z in given)
        q, p2 = 1 - p, 1 / (1 + mp.exp(-x))
        q2, log_odds = 1 - p2, mp.log(p / q) - x
        if kind is families.Bernoulli:
            values = p * mp.log(p / p2) + q * mp.log(q / q2), p2 * mp.log(p2 / p) + q2 * mp.log(q2 / q)
            slopes = (log_odds, p2 - p), ((p - p2) / (p * q), -p2 * q2 * log_odds)
        else:
            of_q = mp.log(q / q2)
            values = mp.log(p / p2) + q / p * of_q, mp.log(p2 / p) - q2 / p2 * of_q
            slopes = (-of_q / p**2, (p2 - p) / p), ((p - p2) / (p * p * q2) * q2 * p / (p2 * q), of_q * q2 / p2)
        values, slopes = [float(z) for z in values], [[float(z) for z in pair] for pair in slopes]
    for pair, value, slope in zip(((first, second), (second, first)), values, slopes, strict=True):
        found = kl(*pair)
        assert found.item() == pytest.approx(value, rel=16 * 2.0**-52, abs=0)
        for derivative, wanted in zip(torch.autograd.grad(found, given), slope, strict=True):
            assert derivative.item() == pytest.approx(wanted, rel=16 * 2.0**-52, abs=0)
    plain = kind(given[0].item()), kind(logits=given[1].item())
    for divergence in (jsg, jsg_dual):
        wanted = float(divergence(*plain, 0.3))
        assert divergence(first, second, 0.3).item() == pytest.approx(wanted, rel=25 * 2.0**-52, abs=0)


@pytest.mark.parametrize("size", [6e5, 1e8, 1e15])
def test_logits_that_are_far_apart_have_the_value_of_numpy(size):
    """Beyond 2^19 an earlier version took them for 2^19, without notice."""
    first, second = [1.0, 2.0, 3.0], [0.0, size, size / 3]
    pairs = [(families.Categorical, first, second)]
    pairs += [(kind, 1.0, sign * size) for kind in (families.Bernoulli, families.Geometric) for sign in (1, -1)]
    for kind, *logits in pairs:
        plain = [kind(logits=x) for x in logits]
        tensors = [kind(logits=torch.tensor(x, dtype=torch.float64)) for x in logits]
        for alpha, convention, dual in ((0.0, "deasy", False), (0.3, "nielsen", False), (0.3, "deasy", True)):
            divergence = jsg_dual if dual else jsg
            found, wanted = (divergence(*N, alpha, convention=convention) for N in (tensors, plain))
            # Logarithms of the size of the result are rounded a few times.
            assert found.item() == pytest.approx(float(wanted), rel=25 * 2.0**-52, abs=0)


def test_a_tiny_probability_and_a_certain_outcome_have_derivatives_that_are_not_nan():
    """The quotient of a derivative and the probability overflows, next to a derivative that is infinite."""
    for kind in (families.Bernoulli, families.Geometric):
        given = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1e-310, 1.0)]
        for pair in (given, given[::-1]):
            value = jsg(*map(kind, pair), 0.5)
            assert value == INF
            assert not any(x.isnan() for x in torch.autograd.grad(value, pair))


@pytest.mark.parametrize("kind", [families.Bernoulli, families.Categorical, families.Geometric, families.Poisson])
def test_hessians_are_those_of_torchs_own_formula(kind):
    """Under torch.func the numbers are not known, so the arithmetic is the one for any number."""

    def member(x):
        return torch.stack([x, 1 - x]) if kind is families.Categorical else x

    prior = member(torch.tensor(0.7, dtype=torch.float64))

    def textbook(x):
        library = getattr(td, kind.__name__)
        return td.kl_divergence(library(member(x), validate_args=False), library(prior, validate_args=False))

    x = torch.tensor(0.4, dtype=torch.float64)
    found = torch.func.hessian(lambda x: kl(kind(member(x)), kind(prior)))(x)
    torch.testing.assert_close(found, torch.func.hessian(textbook)(x), rtol=1e-13, atol=0)


def test_a_whole_number_is_a_parameter_like_any_other_number():
    shape = torch.tensor(2.0, dtype=torch.float64)
    value = kl(families.Gamma(shape, 1), families.Gamma(shape, rate=2))
    assert value.item() == pytest.approx(2 * (1 - math.log(2)), rel=1e-15)
    with pytest.raises(TypeError, match="rate must be a floating-point tensor, got torch"):
        families.Gamma(shape, True)


@pytest.mark.parametrize("alpha", [0.0005, 0.3, 0.999])
@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
@pytest.mark.parametrize("divergence", [jsg, jsg_dual])
@pytest.mark.parametrize("form", ["Poisson", "probs", "logits"])
def test_moderate_parameters_have_a_faster_formula_of_the_same_accuracy(form, divergence, convention, alpha):
    """Values against NumPy; derivatives against the general formula, which an extreme member next to them selects."""
    rng = np.random.default_rng(6)
    first = {"Poisson": 2 ** rng.uniform(-12, 12, 500), "probs": rng.uniform(0.001, 0.999, 500)}
    x = first.get(form, rng.uniform(-8, 8, 500))
    near = x * (1 + rng.normal(size=500) * 10 ** rng.uniform(-15, -1, 500))
    y = np.where(rng.random(500) < 0.5, np.clip(near, x.min(), x.max()), rng.permutation(x))

    def member(x):
        return families.Poisson(x) if form == "Poisson" else families.Bernoulli(**{form: x})

    def derivatives(*arrays):
        given = [torch.tensor(z, requires_grad=True) for z in arrays]
        value = divergence(*map(member, given), alpha, convention=convention)
        return [value, *torch.autograd.grad(value.sum(), given)]

    value, *slopes = derivatives(x, y)
    exact = divergence(member(x), member(y), alpha, convention=convention)
    np.testing.assert_allclose(value.detach(), exact, rtol=(10 if form == "Poisson" else 25) * 2.0**-52, atol=0)
    extreme = 500.0 if form == "logits" else 1e-100
    for got, want in zip(slopes, derivatives(np.append(x, extreme), np.append(y, extreme))[1:], strict=True):
        # Each is within 16 ulp of the sum of its terms, which cancel to a ten thousandth at most among these members.
        torch.testing.assert_close(got, want[:-1], rtol=2e4 * 32 * 2.0**-52, atol=0)
