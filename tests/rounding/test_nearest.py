"""The last path of correct rounding: ties, the ends of the range, and what it cannot decide."""

import math
from fractions import Fraction

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian, native
from jsgmath.rounding import nearest
from jsgmath.rounding.nearest import Divergence

TIES = [float(d) for d in range(123456771, 123456791, 2)]  # their squares have 54 bits, and the last bit is 1


@pytest.fixture(params=["as installed", "NumPy"], autouse=True)
def path(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(native, "CORE", None)


def kl_of_means(distance, dtype=np.float64):
    """KL between N(0, 1) and N(distance, 1), which is distance^2 / 2."""
    return jsgmath.kl(Gaussian(dtype(0), var=dtype(1)), Gaussian(dtype(distance), var=dtype(1)))


def rounded(truth):
    """A rational number as the nearest float64, by Python's division of whole numbers."""
    try:
        return float(truth)
    except OverflowError:
        return math.inf


@pytest.mark.parametrize("d", TIES)
def test_a_truth_in_the_middle_goes_to_the_even_float(d):
    truth, value = Fraction(d) ** 2 / 2, kl_of_means(d)
    other = np.nextafter(value, np.inf if Fraction(float(value)) < truth else 0)
    assert truth - Fraction(float(value)) == Fraction(float(other)) - truth
    assert (value / 2).is_integer()  # above 2^52 a float is a whole number


def test_a_truth_in_the_middle_goes_to_the_even_float32():
    values = [kl_of_means(d, np.float32) for d in (5785, 5787, 5789, 5791)]  # their squares have 25 bits
    assert values == [np.float32(d**2 / 2) for d in (5785, 5787, 5789, 5791)]  # a float64 can have 25 bits
    assert all(float(value) != d**2 / 2 for value, d in zip(values, (5785, 5787, 5789, 5791), strict=True))


def test_logarithms_that_cancel_leave_a_tie():
    """The ratios of two coordinates are 2 and 1/2: 4 KL = 1 + d^2, which has 54 bits for an even d; the last is 1."""
    for d in (123456772.0, 123456774.0, 123456776.0):
        truth = (1 + Fraction(d) ** 2) / 4
        assert truth != rounded(truth)
        assert jsgmath.kl(Gaussian([0.0, d], var=[2.0, 1.0]), Gaussian([0.0, 0.0], var=[1.0, 2.0])) == rounded(truth)


def test_jeffreys_divergence_of_variances_is_rational():
    """``(v1 - v2)^2 / (v1 v2) / 2``, and the means."""
    rng = np.random.default_rng(3)
    for v1, v2 in np.exp(rng.normal(size=(20, 2))).tolist():
        truth = (Fraction(v1) - Fraction(v2)) ** 2 / (Fraction(v1) * Fraction(v2)) / 2
        forms, coordinates = ("var", "var"), [(0.0, v1, 0.0, v2)]
        assert nearest._exact(Divergence.JEFFREYS, True, forms, coordinates, Fraction(0)) == truth
        assert jsgmath.jeffreys(Gaussian(0.0, var=v1), Gaussian(0.0, var=v2)) == rounded(truth)


def test_ties_with_fractional_alpha_are_found_by_roots():
    """det = ratio^alpha is tested for ratios that have a rational root, that have none, and for 1."""
    assert nearest.is_power(Fraction(8), Fraction(16), Fraction(3, 4))
    assert not nearest.is_power(Fraction(9), Fraction(16), Fraction(3, 4))
    assert not nearest.is_power(Fraction(2), Fraction(2), Fraction(1, 2))
    assert nearest.is_power(Fraction(1), Fraction(1), Fraction(0.3))
    assert not nearest.is_power(Fraction(1), Fraction(5), Fraction(0.3))


@pytest.mark.parametrize("d", TIES)
def test_a_truth_just_below_the_middle_is_rounded_down(d):
    """Alpha 5e-324 multiplies the value by 1 - 1.5e-323."""
    value = jsgmath.jsg(Gaussian(0.0, var=1.0), Gaussian(d, var=1.0), 5e-324)
    assert value == math.floor(Fraction(d) ** 2 / 2)


def test_subnormal_results_are_rounded_once():
    """In units of the smallest number, 1/2 becomes 0, 3/2 becomes 2, and a value just above 1/2 becomes 1."""
    assert kl_of_means(2.0**-537) == 0
    assert kl_of_means(np.nextafter(2.0**-537, 1)) == 5e-324
    N1, N2 = Gaussian(0.0, var=3.0), Gaussian(3 * 2.0**-537, var=3.0)
    assert jsgmath.kl(N1, N2) == 1e-323
    for distance, value in ((2.0**-75, 0), (np.nextafter(np.float32(2.0**-75), np.float32(1)), 2.0**-149)):
        N1, N2 = (Gaussian(np.float32(m), var=np.float32(0.5)) for m in (0, distance))
        assert jsgmath.kl(N1, N2) == value


@pytest.mark.parametrize(("dtype", "largest"), [(np.float64, 2.0**512.5), (np.float32, 2.0**64.5)])
def test_results_beyond_the_largest_float_are_infinite(dtype, largest):
    """Values from half a unit above it are infinite; ``distance^2 / 2`` is tested for distances around that."""
    info = np.finfo(dtype)
    limit = Fraction(float(info.max)) + Fraction(float(info.max - np.nextafter(info.max, dtype(0)))) / 2
    distance = dtype(largest)
    for _ in range(5):
        distance = np.nextafter(distance, dtype(0))
    infinite = set()
    for _ in range(10):
        value, truth = kl_of_means(distance, dtype), Fraction(float(distance)) ** 2 / 2
        assert np.isinf(value) == (truth >= limit)
        infinite.add(bool(np.isinf(value)))
        distance = np.nextafter(distance, dtype(np.inf))
    assert infinite == {True, False}


def test_a_tie_broken_by_an_exponential_that_no_precision_shows():
    """2 KL = L - 1 + exp(-L) with L = 2^53 + 2: L - 1 is in the middle, and exp(-2^53) decides for the float above."""
    L = 2.0**53 + 2
    N1, N2 = Gaussian(0.0, logvar=-L), Gaussian(0.0, logvar=0.0)
    assert 2 * jsgmath.kl(N1, N2) == L
    assert 2 * jsgmath.jsg_dual(N2, N1, 0.0) == L
    assert 2 * jsgmath.kl(Gaussian(0.0, logvar=-L - 2), N2) == L + 2


def test_log_variances_of_any_size():
    N1, N2 = Gaussian(0.0, logvar=-1e300), Gaussian(1.0, logvar=0.0)
    assert jsgmath.kl(N1, N2) == 5e299
    assert jsgmath.kl(N2, N1) == np.inf
    # (p2 d1)^2 with p2 = r1, d1^2 = 1/v1: v1/v2^2, whose logarithm is -1e300 + 2.8e300.
    assert jsgmath.jsg_dual(N1, Gaussian(1.0, logvar=-1.4e300), 0.5) == np.inf
    assert jsgmath.jsg_dual(N1, Gaussian(1.0, logvar=1e300), 0.5) == 5e299


def test_an_undecided_value_is_an_error(monkeypatch):
    monkeypatch.setattr(nearest, "DIGITS", (40,))
    N1, N2 = Gaussian(0.0, logvar=0.0), Gaussian(123456771.0, logvar=1e-300)
    with pytest.raises(ArithmeticError, match="40 digits do not tell which float is nearest"):
        jsgmath.kl(N1, N2)


def test_the_bound_is_half_a_unit():
    value, bound = jsgmath.jsg(Gaussian([0.0], var=[1.0]), Gaussian([1.0], var=[3.0]), [0.1, 0.3], return_error=True)
    assert np.array_equal(bound, np.spacing(value) / 2)
    value, bound = jsgmath.kl(Gaussian(0.0, var=1.0), Gaussian(1e200, var=1.0), return_error=True)
    assert (value, bound) == (np.inf, np.inf)
    value, bound = jsgmath.kl(Gaussian(0.0, var=1.0), Gaussian(0.0, var=1.0), return_error=True)
    assert (value, bound) == (0.0, 5e-324)


def test_a_log_variance_beyond_the_range_leaves_the_others_as_they_are():
    """G is N2, whose variance is nearly 0: ``2 KL(G||N1) = s1 - s2 - 1 + (m1 - m2)^2 exp(-s1)``."""
    m, s1, s2 = 0.75, -61.5, -9.25e29
    N1, N2 = jsgmath.Gaussian([m], logvar=[s1]), jsgmath.Gaussian([0.0], logvar=[s2])
    right = (s1 - s2 - 1 + m * m * math.exp(-s1)) / 2
    for alpha in (5e-324, 0.0):
        value = jsgmath.jsg_dual(N1, N2, alpha, convention="nielsen" if alpha else "deasy")
        assert value == pytest.approx(right, rel=4e-16)


def test_log_variances_beyond_the_range_keep_their_gaps():
    def pair(shift):
        return jsgmath.Gaussian([0.0], logvar=[shift]), jsgmath.Gaussian([0.0], logvar=[shift + 1])

    for shift in (2e6, -3e6, 2.0**50):
        assert jsgmath.kl(*pair(shift)) == jsgmath.kl(*pair(0.0))
