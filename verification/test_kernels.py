"""The series and the exact sums of `special.py` lose no digits."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from mpmath import mp

from jsgmath import special

WORK = special.WORK
EPS = float(np.finfo(WORK).eps)


@pytest.mark.parametrize("terms", [1, 2, 9])
def test_the_tail_is_the_truncated_series(terms):
    """``P(w) = 1/3 + w/5 + w^2/7 + ...``, in rational numbers."""
    w = Fraction(2, 19)
    assert special.tail(w, Fraction(1), terms) == sum(w**k / (2 * k + 3) for k in range(terms))


@pytest.mark.parametrize("bits", [24, 53, 64])
@pytest.mark.parametrize("x", [mp.mpf(-2) / 3, 2], ids=["-2/3", "2"])
def test_the_series_is_as_long_as_it_must_be(bits, x):
    """For the largest w, the truncation error is below a tenth of the last bit; with two terms fewer it is not."""
    with mp.workdps(60):
        q = x / (2 + x)
        smaller = min(x - mp.log(1 + x), mp.log(1 + x) - x / (1 + x))
        terms = special.series_terms(bits)
        left_out = [
            abs(2 * q) * mp.nsum(lambda k: q ** (2 * k + 2) / (2 * k + 3), [n, mp.inf]) for n in (terms, terms - 2)
        ]
        assert left_out[0] <= smaller * mp.mpf(2) ** -bits / 10 < left_out[1]


def test_a_sum_and_its_rounding_error_are_the_exact_sum():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, 500)) * 10.0 ** rng.integers(-12, 12, size=(2, 500))).astype(WORK) / 3
    high, low = special.two_sum(a, b)
    assert (high == a + b).all()
    for numbers in zip(a, b, high, low, strict=True):
        x, y, whole, rest = (Fraction(*number.as_integer_ratio()) for number in numbers)
        assert whole + rest == x + y


@pytest.mark.parametrize("name", ["g", "gs"])
def test_the_kernels_keep_every_digit_of_the_working_precision(name):
    """The arguments lie on both sides of both limits of the series, near zero, and far away."""
    powers = WORK(2) ** np.arange(-60, 60)
    near = np.random.default_rng(0).integers(2**16, 2**20, 400) * WORK(2) ** -18  # between 1/4 and 4
    k = np.concatenate([powers, near, 1 + powers[:59], 1 - powers[:59]])
    x, zero = k - 1, 0 * k
    values = special.numpy_kernel(getattr(special, name))(x, k, k, zero)
    for argument, value in zip(x, values, strict=True):
        with ctx.workprec(400):
            e, got = (arb(fmpq(*number.as_integer_ratio())) for number in (argument, value))
            truth = e - (1 + e).log() if name == "g" else (1 + e).log() - e / (1 + e)
            # 2.6 was measured; outside the series, the difference loses less than two bits.
            assert abs(got - truth) <= 4 * EPS * truth


def exact_tail(w):
    """``2 P(w)``, computed from artanh; P is the tail of its series."""
    q = mp.sqrt(w)
    return 2 * (mp.atanh(q) / q - 1) / w


@pytest.mark.parametrize("k", [mp.mpf(j) / 8 for j in (1, 2, 3, 5, 7, 9, 15, 16, 40, 800)])
def test_splitting_changes_nothing(k):
    """``g`` and ``gs`` do not depend on where k is split into a factor for the series and the rest."""
    with mp.workdps(60):
        x, beyond = k - 1, mp.mpf(5) / 7
        for m in (mp.mpf(3) / 8, mp.mpf(7) / 8, mp.mpf(2), k):
            tail = exact_tail if m != k or 3 <= 8 * k <= 16 else lambda w: mp.mpf(0) if w == 0 else exact_tail(w)
            arguments = x, k, None, beyond, lambda x, k, m=m: (m - 1, m, mp.log(k / m)), tail
            assert mp.almosteq(special.split_g(*arguments), x - mp.log(k) - beyond, mp.mpf(10) ** -50)
            assert mp.almosteq(special.split_gs(*arguments), mp.log(k) + beyond - x / k, mp.mpf(10) ** -50)


@pytest.mark.parametrize("eighths", [1, 2, 3, 4, 8, 15, 16, 17, 800])
def test_the_split_leaves_k_unchanged_where_the_series_suffices(eighths):
    k = mp.mpf(eighths) / 8
    f, m, log_rest = special.split(k - 1, k, clamp, mp.log)
    assert m == min(max(k, 0.375), 2)
    assert f == m - 1
    assert mp.almosteq(m * mp.exp(log_rest), k)


@pytest.mark.parametrize("k", [0.01, 0.7, 1.001, 1.9, 30.0])
def test_kernels_by_the_split_are_g_and_gs(k):
    g, gs = special.split_kernels(clamp, mp.log, exact_tail)
    k = mp.mpf(k)
    assert mp.almosteq(g(k - 1, k, k, 0), k - 1 - mp.log(k))
    assert mp.almosteq(gs(k - 1, k, k, 0), mp.log(k) - (k - 1) / k)


def clamp(x, low, high):
    return min(max(x, low), high)


WIDEST, FURTHEST = 700.0, 2.0**1000


def reduced(mean1, logvar1, mean2, logvar2):
    """`special.log_variance_pair` in float64."""

    def within(x, limit):
        return np.clip(x, -limit, limit)

    operations = lambda x, y: x * np.exp(y), np.exp, lambda x: (np.exp(x), np.expm1(x)), within, np.where
    return special.log_variance_pair(mean1, logvar1, mean2, logvar2, WIDEST, FURTHEST, *operations)


@pytest.mark.parametrize("standard", [False, True], ids=["two Gaussians", "N(0, 1)"])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 300.0])
def test_log_variances_are_reduced_to_the_scalars_of_the_formula(standard, size):
    """They are right to a few units of the last place of float64, for log-variances of any size and distance."""
    mean1, mean2, middle, step = np.random.default_rng(0).normal(size=(4, 200))
    logvar1 = size * step if standard else 50 * middle + size * step
    mean2, logvar2 = (None, None) if standard else (mean2, 50 * middle)
    beyond, *got = reduced(mean1, logvar1, mean2, logvar2)
    assert ((beyond != 0) == (np.abs(logvar1 - (0 if standard else logvar2)) > WIDEST)).all()
    columns = zip(*(np.broadcast_to(x, 200).tolist() for x in got), strict=True)
    zero = np.zeros(200)
    pairs = zip(mean1, logvar1, zero if standard else mean2, zero if standard else logvar2, strict=True)
    with mp.workdps(40):
        for numbers, pair in zip(columns, pairs, strict=True):
            m1, l1, m2, l2 = (float(x) for x in pair)
            d, l1, l2 = m1 - m2, mp.mpf(l1), mp.mpf(l2)
            difference = l1 - l2
            if abs(difference) > WIDEST or max(abs(l1), abs(l2)) > WIDEST:
                continue
            i1, i2 = mp.exp(-l1 / 2), mp.exp(-l2 / 2)
            want = (
                mp.exp(difference), mp.exp(-difference), mp.expm1(difference), mp.expm1(-difference),
                d * i1, d * i2, i1, i2,
            )  # fmt: skip
            for name, x, y in zip(("r1", "r2", "e1", "e2", "d1", "d2", "i1", "i2"), numbers, want, strict=True):
                # An exponential is within an ulp; squares, reciprocals and products make at most ten of them.
                assert abs(x - y) <= 10 * 2.0**-52 * abs(y), name


@pytest.mark.parametrize("standard", [False, True], ids=["two Gaussians", "N(0, 1)"])
def test_log_ratios_are_clamped_and_displacements_are_not(standard):
    """Ratios at their limits stay consistent, and the part that was cut off their logarithm is returned."""
    for sign in (1.0, -1.0):
        mean, logvar = np.array([1e-200, 3.0]), np.array([sign * 900.0, sign * 900.0])
        second = (None, None) if standard else (np.zeros(2), np.zeros(2))
        beyond, r1, r2, e1, _, d1, d2, i1, i2 = reduced(mean, logvar, *second)
        assert beyond.tolist() == [sign * 200, sign * 200]
        assert r1 == pytest.approx(np.exp(sign * WIDEST), rel=1e-12, abs=0)
        assert r2 == pytest.approx(np.exp(-sign * WIDEST), rel=1e-12, abs=0)
        assert e1 == pytest.approx(np.expm1(sign * WIDEST), rel=1e-12, abs=0)
        assert i1 == pytest.approx(np.exp(-sign * 450.0), rel=1e-12, abs=0)
        assert i2 == pytest.approx(1.0, rel=1e-12, abs=0)
        assert d1 == pytest.approx(mean * np.exp(-sign * 450.0), rel=1e-12, abs=0)
        assert d2 == pytest.approx(mean, rel=1e-12, abs=0)
    assert reduced(*np.array([[0.0], [-1e40], [0.0], [0.0]]))[0] == -1e30


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_displacements_and_their_units_stay_finite():
    *_, d1, d2, i1, i2 = reduced(*np.array([[0.0], [-900.0], [-2e300], [-1500.0]]))
    assert i1 == pytest.approx(np.exp(450.0), rel=1e-12, abs=0)
    assert (d1, d2, i2) == (FURTHEST, FURTHEST, FURTHEST)
    *_, d1, d2, _, i2 = reduced(np.array([-np.inf]), np.zeros(1), None, None)
    assert (d1, d2, i2) == (-FURTHEST, -FURTHEST, 1)


@functools.cache
def tails():
    """Points where the split uses the series, with 2 P there, and how much it counts for the smaller of g and gs."""
    found = []
    for j in range(1, 400):
        k = special.SPLIT_FROM + (special.SPLIT_TO - special.SPLIT_FROM) * mp.mpf(j) / 400
        x = k - 1
        if x != 0:
            q = x / (x + 2)
            found.append((q * q, exact_tail(q * q), abs(q**3) / min(x - mp.log(k), mp.log(k) - x / k)))
    return found


@pytest.mark.parametrize(("terms", "bits"), [(6, 27), (13, 55)])
def test_the_economised_tail_leaves_g_and_gs_their_digits(terms, bits):
    """The series of torch and Triton is long enough for every k that uses it; two terms fewer are not enough."""
    with mp.workdps(40):
        lost = {terms: 0, terms - 2: 0}
        for count in lost:
            coefficients = [mp.mpf(c) for c in special.split_tail(count)]
            assert len(coefficients) == count
            lost[count] = max(share * abs(special.polynomial(w, coefficients) - tail) for w, tail, share in tails())
        assert lost[terms] <= mp.mpf(2) ** -bits < lost[terms - 2]


@functools.cache
def exponentials():
    """Points where the kernels use the series of the exponential, with expm1(f)/f there."""
    points = [mp.log(2) / 2 * j / 200 or mp.mpf(10) ** -30 for j in range(-200, 201)]
    return [(f, mp.expm1(f) / f) for f in points]


@pytest.mark.parametrize(("terms", "bits"), [(6, 26), (11, 55)])
def test_the_economised_exponential_keeps_its_digits(terms, bits):
    """``expm1(f)/f`` for ``|f| <= log(2)/2``, to which the kernels reduce the argument of the exponential."""
    with mp.workdps(40):
        lost = {terms: 0, terms - 1: 0}
        for count in lost:
            coefficients = [mp.mpf(c) for c in special.expm1_ratio(count)]
            assert len(coefficients) == count
            lost[count] = max(abs(special.polynomial(f, coefficients) / truth - 1) for f, truth in exponentials())
        assert lost[terms] <= mp.mpf(2) ** -bits < lost[terms - 1]


def test_economised_coefficients_are_nearly_the_best():
    """The best cubic for x^4 on [0, 1] has errors of 1/128 with alternating signs (a Chebyshev polynomial)."""
    with mp.workdps(30):
        coefficients = special.economised([0, 0, 0, 0, 1], 0, 1, 4)
        off = [special.polynomial(mp.mpf(j) / 1000, coefficients) - (mp.mpf(j) / 1000) ** 4 for j in range(1001)]
        assert mp.almosteq(max(off), mp.mpf(1) / 128, mp.mpf(10) ** -4)
        assert mp.almosteq(min(off), -mp.mpf(1) / 128, mp.mpf(10) ** -4)


def test_beyond_the_exponent_range_a_logarithm_is_that_of_the_other_ratio():
    """Between the limits log(k) counts, beyond them ``log(other_k) + log_r``; both differ here on purpose."""
    work, tiny = special.WORK, np.finfo(special.WORK).tiny
    other_k, log_r = work(3), work(7)
    for exponent, cut_off in ((0.999, True), (0.8, True), (0.7, False), (0.1, False)):
        for k in (tiny ** work(exponent), tiny ** work(-exponent)):
            x = k - 1
            got = special.numpy_kernel(special.g)(x, k, other_k, log_r)
            assert got == x - (np.log(other_k) + log_r if cut_off else np.log(k if x < 0 else 1 + x))
