"""Enclosures contain the values of independent oracles and of exact fractions, and are as narrow as floats allow."""

import math
import os
import subprocess
import sys
import time
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from flint import arb, fmpq, fmpq_mat
from mpmath import mp

import jsgmath
from jsgmath import Gaussian, certified
from tests.pairs import BEYOND_DOUBLE, PAIRS, VARIANTS, gaussian
from tests.reduction.test_full import covariance
from verification import balls, oracles

FORMS = ["var", "logvar", "std", "cov", "scale_tril", "precision"]
ALPHAS = [0.0, 1e-300, 0.3, 1 - 2.0**-53, 1.0]
LARGEST, SMALLEST = float(np.finfo(float).max), 5e-324
variants = pytest.mark.parametrize(("dual", "convention"), VARIANTS)


def divergence(dual):
    return certified.jsg_dual if dual else certified.jsg


def assert_tight(lower, upper):
    assert 0 <= lower <= upper <= math.nextafter(lower, math.inf)


def assert_encloses(lower, upper, truth):
    """``truth`` is a ball of relative width 2^-80, so it lies on one side of a float64 unless it contains it."""
    assert_tight(lower, upper)
    assert not arb(float(lower)) > truth
    assert not arb(float(upper)) < truth


def random_scale(rng, form, n):
    if form in ("var", "std"):
        return rng.uniform(0.2, 3.0, n)
    if form == "logvar":
        return rng.normal(size=n)
    matrix = covariance(rng, n, 100.0)
    return np.linalg.cholesky(matrix) if form == "scale_tril" else matrix


# --- enclosures ---------------------------------------------------------------------------------------------------


@variants
@pytest.mark.parametrize("family", PAIRS | BEYOND_DOUBLE)
def test_in_one_dimension_neighbours_enclose_the_truth_and_the_library_is_near_them(family, dual, convention):
    """Includes distances of 1e-15, log-variances of 700 and 1e5, variances of 1e-320, means of 1e100; eqs. 8, 10."""
    for N1, N2 in (PAIRS | BEYOND_DOUBLE)[family][:8]:
        # If exp(-1e5) separates the truth from a float64, 150,000 bits are needed; one alpha of each kind is enough.
        for alpha in ALPHAS if family != "log-variances of 1e5" else [0.0, 0.3]:
            lower, upper = divergence(dual)(gaussian(N1), gaussian(N2), alpha, convention=convention)
            assert_encloses(lower, upper, balls.divergence(N1, N2, alpha, dual=dual, convention=convention))
            library = getattr(jsgmath, divergence(dual).__name__)
            value = library(gaussian(N1), gaussian(N2), alpha, convention=convention)
            assert value in (lower, upper)  # the nearest of two neighbours


@variants
@pytest.mark.parametrize(("form1", "form2"), list(product(FORMS, FORMS)))
def test_for_all_forms_in_three_dimensions_neighbours_enclose_the_truth(form1, form2, dual, convention):
    rng = np.random.default_rng(1)
    N1, N2 = ((rng.normal(size=3), form, random_scale(rng, form, 3)) for form in (form1, form2))
    for alpha in [0.3] if convention == "nielsen" else [0.0, 0.3, 1.0]:
        lower, upper = divergence(dual)(gaussian(N1), gaussian(N2), alpha, convention=convention)
        assert_encloses(lower, upper, balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention))
        with mp.workdps(oracles.DIGITS):
            exact = (oracles.exact(form, mean, scale) for mean, form, scale in (N1, N2))
            truth = oracles.textbook_jsg(*exact, alpha, convention, dual)
            assert mp.mpf(float(lower)) <= truth <= mp.mpf(float(upper))  # 60 digits; no truth here is near a float64


@variants
@pytest.mark.parametrize("distance", [1.0, 1e-6, 1e-15])
def test_for_near_equal_full_covariances_neighbours_enclose_the_truth(distance, dual, convention):
    rng = np.random.default_rng(2)
    for n, condition in ((2, 1e3), (8, 1e9)):
        first = covariance(rng, n, condition)
        second = first + distance * covariance(rng, n, condition)
        mean = rng.normal(size=n)
        N1, N2 = (mean, "cov", first), (mean + distance * rng.normal(size=n), "cov", (second + second.T) / 2)
        lower, upper = divergence(dual)(gaussian(N1), gaussian(N2), 0.3, convention=convention)
        assert_encloses(lower, upper, balls.dense_divergence(N1, N2, 0.3, dual=dual, convention=convention))


def test_kl_is_enclosed():
    N1, N2 = ((0.3, "var", 0.7), (-1.1, "logvar", 2.9))
    lower, upper = certified.kl(gaussian(N1), gaussian(N2))
    assert_encloses(lower, upper, balls.divergence(N1, N2, 0.0, dual=False, convention="deasy"))  # eq. 17


def test_the_rounding_is_outward_and_correct_over_all_floats():
    """For equal variances KL is the fraction d^2/2v [eq. 2]: subnormal, ordinary and beyond the largest float64."""
    rng = np.random.default_rng(3)
    exact = 0
    for exponent in rng.uniform(-165, 165, 300):
        d, v = float(10.0**exponent), float(rng.choice([1.0, 4.0, 0.3, 3e-5, 2.0**40]))
        d = float(np.float16(rng.uniform(1, 2))) * 2.0 ** math.frexp(d)[1] if rng.random() < 0.5 else d
        lower, upper = certified.kl(Gaussian(d, var=[v]), Gaussian(0.0, var=[v]))
        truth = Fraction(d) ** 2 / (2 * Fraction(v))
        assert_tight(lower, upper)
        assert Fraction(float(lower)) <= truth
        assert upper == math.inf or truth <= Fraction(float(upper))
        assert (lower == upper) == (truth in (Fraction(float(lower)), upper))
        exact += lower == upper
    assert 20 < exact < 280  # both exact and inexact values occur


# --- truths that are float64 --------------------------------------------------------------------------------------


def test_equal_covariances_have_the_exact_value():
    """a(1-a)/2 and ((1-a)^3 + a^3)/2 times the squared distance, here 1, at a = 1/4; also in different forms."""
    for N1, N2 in (
        (Gaussian([0.0, 1.0], var=[4.0, 1.0]), Gaussian([2.0, 1.0], std=[2.0, 1.0])),
        (Gaussian([0.0, 1.0], logvar=[0.0, 0.7]), Gaussian([1.0, 1.0], logvar=[0.0, 0.7])),
        (Gaussian(0.0, cov=[[4.0, 2.0], [2.0, 2.0]]), Gaussian([2.0, 1.0], scale_tril=[[2.0, 0.0], [1.0, 1.0]])),
    ):
        for function in (certified.jsg, certified.jsg_dual):
            assert function(N1, N2, 0.25, convention="nielsen") == (0.09375, 0.09375)
            assert function(N1, N2, 0.25) == (0.21875, 0.21875)


def test_equal_determinants_make_kl_rational():
    N1, N2 = Gaussian([0.0, 0.0], var=[2.0, 0.5]), Gaussian([0.0, 0.0], precision=np.eye(2))
    assert certified.kl(N1, N2) == certified.jsg_dual(N1, N2, 1.0) == (0.25, 0.25)


def test_a_logarithm_that_vanishes_at_an_interior_alpha_is_recognised():
    """The product of (1/4 + 3/4 r) over r = 5, 1/15, 1/27 is 1/3, and so is the fourth root of the product of these r.

    A fourth dimension with equal variances, which contributes 7/32 d^2/v, makes the divergence exactly 4.
    """
    v1, v2 = [5, 1, 1], [1, 15, 27]
    a, ratios = Fraction(1, 4), [Fraction(x, y) for x, y in zip(v1, v2, strict=True)]
    assert math.prod(a + (1 - a) * r for r in ratios) ** 4 == Fraction(1, 3) ** 4 == math.prod(ratios)
    to_mean = sum((1 - a) * (a + (1 - a) * r - 1) + a * (1 - a + a / r - 1) for r in ratios) / 2
    rest = 4 - to_mean
    d = rest.numerator
    v = Fraction(7, 32) * d * rest.denominator
    assert Fraction(7, 32) * Fraction(d) ** 2 / v + to_mean == 4
    N1, N2 = (Gaussian([mean, 0, 0, 0], var=[float(v), *variances]) for mean, variances in ((float(d), v1), (0, v2)))
    assert certified.jsg(N1, N2, 0.25) == (4.0, 4.0)
    below = math.nextafter(0.25, 0)
    lower, upper = certified.jsg(N1, N2, below)
    assert lower < upper
    assert_tight(lower, upper)


@variants
def test_rational_arithmetic_gives_a_value_only_if_it_is_the_truth(dual, convention, monkeypatch):
    """Normally it is used after balls have failed; here it is used first, for divergences that are not rational."""
    monkeypatch.setattr(certified, "EXACT_FROM", 0)
    rng = np.random.default_rng(7)
    for form1, form2 in product(FORMS, FORMS):
        N1, N2 = ((rng.integers(3, size=2), form, random_scale(rng, form, 2)) for form in (form1, form2))
        for alpha in [0.25] if convention == "nielsen" else [0.0, 0.25, 5e-324]:
            lower, upper = divergence(dual)(gaussian(N1), gaussian(N2), alpha, convention=convention)
            assert_encloses(lower, upper, balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention))


@variants
def test_equal_gaussians_in_different_forms_have_divergence_exactly_zero(dual, convention):
    for forms in (
        (Gaussian(1.0, var=[4.0]), Gaussian(1.0, std=[2.0]), Gaussian(1.0, precision=[[0.25]])),
        (Gaussian(0.1, cov=[[4.0, 2.0], [2.0, 2.0]]), Gaussian(0.1, scale_tril=[[2.0, 0.0], [1.0, 1.0]])),
        (Gaussian(0.1, logvar=[0.0, 0.0]), Gaussian(0.1, cov=np.eye(2))),
        (Gaussian(0.1, logvar=[0.3, -1e5]), Gaussian(0.1, logvar=[0.3, -1e5])),
        (Gaussian(0.1, cov=covariance(np.random.default_rng(4), 60, 1e10)),) * 2,
    ):
        for N1, N2 in product(forms, forms):
            for alpha in ALPHAS:
                assert divergence(dual)(N1, N2, alpha, convention=convention) == (0.0, 0.0)


def test_with_nielsens_convention_the_values_at_the_ends_are_exactly_zero():
    N1, N2 = Gaussian(1.0, logvar=[0.3]), Gaussian(0.0, cov=[[0.7]])
    for function, alpha in product((certified.jsg, certified.jsg_dual), (0.0, 1.0)):
        assert function(N1, N2, alpha, convention="nielsen") == (0.0, 0.0)  # eqs. 14, 15


# --- overflow and underflow ---------------------------------------------------------------------------------------


def test_a_value_beyond_float64_lies_between_the_last_float_and_zero_or_infinity():
    standard = Gaussian(0.0, var=[1.0])
    assert certified.kl(Gaussian(1e-200, var=[1.0]), standard) == (0.0, SMALLEST)
    assert certified.kl(Gaussian(1e200, var=[1.0]), standard) == (LARGEST, math.inf)
    assert certified.kl(Gaussian(1e308, var=[1e-320]), Gaussian(-1e308, std=[1e-300])) == (LARGEST, math.inf)
    assert certified.kl(Gaussian(0.0, logvar=[1e5]), standard) == (LARGEST, math.inf)
    assert certified.kl(standard, Gaussian(0.0, logvar=[1e300])) == (math.nextafter(5e299, 0), 5e299)


def test_a_value_below_all_floats_is_not_proved_to_be_nonzero(monkeypatch):
    """e^x - 1 - x is about x^2/2 = 1e-647; 2048 bits resolve 1e-617, which is below the smallest float64."""
    monkeypatch.setattr(certified, "PRECISIONS", [2048])
    assert certified.kl(Gaussian(0.0, logvar=[SMALLEST]), Gaussian(0.0, logvar=[0.0])) == (0.0, SMALLEST)


def test_a_mean_of_1e308_costs_no_digits():
    N1, N2 = (1e308, "var", 3.0), (math.nextafter(1e308, 0), "std", 1e295)
    assert_encloses(
        *certified.jsg(gaussian(N1), gaussian(N2), 0.3), balls.divergence(N1, N2, 0.3, dual=False, convention="deasy")
    )


def test_reaching_the_largest_precision_is_an_error(monkeypatch):
    monkeypatch.setattr(certified, "PRECISIONS", [128, 256])
    with pytest.raises(ArithmeticError, match=r"256 bits .* less extreme"):
        certified.kl(Gaussian(0.0, logvar=[-1e5]), Gaussian(0.0, var=[1.0]))


# --- input and output ---------------------------------------------------------------------------------------------


def test_batches_and_alphas_broadcast_and_give_the_values_of_their_elements():
    rng = np.random.default_rng(5)
    N1 = Gaussian(rng.normal(size=(4, 1, 2)), logvar=rng.normal(size=2))
    N2 = Gaussian(rng.normal(size=2), cov=[covariance(rng, 2, 9.0) for _ in range(3)])
    alpha = np.array([[0.2], [0.3], [0.4], [1.0]])
    lower, upper = certified.jsg(N1, N2, alpha)
    assert lower.shape == upper.shape == (4, 3)
    assert lower.dtype == upper.dtype == np.float64
    for i, j in np.ndindex(4, 3):
        single = certified.jsg(
            Gaussian(N1.mean[i, 0], logvar=N1.scale), Gaussian(N2.mean, cov=N2.scale[j]), alpha[i, 0]
        )
        assert single == (lower[i, j], upper[i, j])
        assert np.ndim(single[0]) == 0


def test_float32_input_is_used_exactly():
    mean, var = np.float32(0.1), np.float32([0.7])
    lower, upper = certified.kl(Gaussian(mean, var=var), Gaussian(0.0, var=[1.0]))
    assert lower.dtype == np.float64
    N1 = float(mean), "var", float(var[0])
    assert_encloses(lower, upper, balls.divergence(N1, (0.0, "var", 1.0), 0.0, dual=False, convention="deasy"))


def test_scipy_normals_are_accepted_and_bad_input_is_refused():
    from scipy.stats import norm

    N = Gaussian(0.0, var=[1.0])
    assert certified.kl(norm(1.0, 1.0), norm(0.0, 1.0)) == (0.5, 0.5)
    for call in (certified.jsg, certified.jsg_dual):
        with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got 1.2"):
            call(N, N, 1.2)
        with pytest.raises(ValueError, match="convention must be 'deasy' or 'nielsen', got 'paper'"):
            call(N, N, 0.5, convention="paper")
    with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\], got -1"):
        certified.js(N, N, -1)
    with pytest.raises(ValueError, match=r"dimension 1, got 2; jsgmath.js"):
        certified.js(Gaussian(0.0, var=[1.0, 1.0]), Gaussian(0.0, var=[1.0, 1.0]))


def nearly_singular(seed, n=16):
    """A covariance with pivots of 1/100, whose smallest eigenvalue may round to either side of 0."""
    rng = np.random.default_rng(seed)
    d = rng.uniform(0.05, 0.6)
    root = np.eye(n)
    for i in range(1, n):
        root[i, : i + 1] = [-np.sqrt((1 - d * d) / i)] * i + [d]
    scales = 10 ** rng.uniform(-0.5, 0.5, n)
    matrix = root @ root.T * np.outer(scales, scales)
    return (matrix + matrix.T) / 2


def test_a_matrix_is_refused_if_and_only_if_it_is_not_positive_definite_in_exact_arithmetic():
    """Floating point accepts some of them.  By Sylvester all leading minors, as fractions, must be positive."""
    refused = accepted = 0
    for seed in range(300):
        matrix = nearly_singular(seed)
        try:
            N = Gaussian(0.0, cov=matrix)
        except ValueError:
            continue
        entries = [[fmpq(*x.as_integer_ratio()) for x in row] for row in N.scale.tolist()]
        if all(fmpq_mat([row[:k] for row in entries[:k]]).det() > 0 for k in range(1, len(matrix) + 1)):
            accepted += 1
            if accepted <= 5:
                assert_tight(*certified.kl(N, Gaussian(0.0, var=np.ones(16))))
        else:
            refused += 1
            with pytest.raises(ValueError, match="cov is not positive definite in exact arithmetic"):
                certified.kl(N, Gaussian(0.0, var=np.ones(16)))
    assert refused
    assert accepted


def test_a_pivot_that_may_be_zero_needs_more_bits_and_a_zero_is_refused():
    with pytest.raises(ZeroDivisionError):
        certified._check_definite("cov", [[arb(0, 1e-30)]])
    with pytest.raises(ValueError, match=r"precision is not positive definite .* jitter"):
        certified._check_definite("precision", [[fmpq(1), fmpq(2)], [fmpq(2), fmpq(4)]])


def test_a_hundred_dimensions_of_condition_1e10_take_under_two_seconds():
    """0.2 and 0.7 s of processor time were measured."""
    rng = np.random.default_rng(6)
    N1, N2 = ((rng.normal(size=100), "cov", covariance(rng, 100, 1e10)) for _ in range(2))
    for dual in (False, True):
        start = time.process_time()
        lower, upper = divergence(dual)(gaussian(N1), gaussian(N2), 0.3)
        assert time.process_time() - start < 2
        assert_encloses(lower, upper, balls.dense_divergence(N1, N2, 0.3, dual=dual, convention="deasy"))


def run_python(program):
    environment = {**os.environ, "PYTHONPATH": str(Path(jsgmath.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_importing_jsgmath_does_not_load_flint_but_jsgmath_certified_does():
    program = "import sys, jsgmath; print('flint' in sys.modules, jsgmath.certified.__name__, 'flint' in sys.modules)"
    assert run_python(program) == "False jsgmath.certified True"
    with pytest.raises(AttributeError, match="module 'jsgmath' has no attribute 'certain'"):
        _ = jsgmath.certain


@pytest.mark.parametrize("use", ["import jsgmath.certified", "import jsgmath; jsgmath.certified.jsg"])
def test_without_python_flint_the_error_names_the_extra(use):
    program = (
        f"import sys; sys.modules['flint'] = None\ntry:\n    {use}\nexcept ImportError as error:\n    print(error)"
    )
    assert run_python(program) == "jsgmath.certified needs python-flint; pip install python-flint"
