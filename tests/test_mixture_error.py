"""The error that `js` returns is a true bound and little more than the last rounding."""

import numpy as np
import pytest

from jsgmath import Gaussian, js
from tests.jensen_shannon import FORMS, LARGEST, by_matrices, distance, one
from tests.reduction.test_full import as_form, covariance, nearby
from verification.pairs import dense_pair, diagonal_pair, gaussian

MIXED = [("var", "logvar"), ("std", "var"), ("cov", "scale_tril"), ("precision", "cov"), ("scale_tril", "precision")]
MIXED += [("cov", "logvar"), ("var", "scale_tril"), ("precision", "std")]


def errors(forms, count):
    """Stated errors divided by actual ones, for random pairs in one to three dimensions, near and far.

    Condition numbers are up to about 1e5.
    """
    rng, ratios, dense = np.random.default_rng(3), [], not set(forms) <= {"var", "logvar", "std"}
    for seed in range(count):
        n, gap = 1 + seed % 3, rng.choice([1.0, 0.3, 1e-2, 1e-5, 1e-9])
        pair = dense_pair(n, seed, gap, rng.choice([0.5, 1e-4])) if dense else diagonal_pair(n, seed, gap)
        N1, N2 = (gaussian(N, form) for N, form in zip(pair, forms, strict=True))
        lam = float(rng.choice([0.5, 0.1, 0.8]))
        estimate, error = js(N1, N2, lam)
        actual = distance(estimate, by_matrices(N1, N2, lam))
        ratios.append(error / actual if actual else np.inf)
    return np.array(ratios)


@pytest.mark.parametrize("form", FORMS)
def test_the_error_bound_is_true_for_random_pairs_and_not_too_large(form):
    """It is a bound, so none of 120 pairs may exceed it."""
    ratios = errors((form, form), 20)
    assert ratios.min() >= 1
    # The last rounding is most of the error: a ratio of 1.06 was measured.
    assert np.median(ratios) < 1.5


@pytest.mark.parametrize("forms", MIXED)
def test_the_error_bound_is_true_for_different_forms(forms):
    """The error of a conversion does not shrink when the Gaussians approach each other."""
    assert errors(forms, 5).min() >= 1


def test_the_error_bound_is_true_for_covariances_of_any_condition():
    """Other tests cover the errors of the reduction; here the errors of JS must not be larger."""
    rng = np.random.default_rng(8)
    for n, wanted in ((2, 1e4), (2, 1e10), (3, 1e8)):
        for form in ("cov", "precision", "scale_tril"):
            for gap in (0.1, 1e-4, 1e-8):
                matrix = covariance(rng, n, wanted)
                N1, N2 = (Gaussian(0.0, **{form: as_form(form, m)}) for m in (matrix, nearby(rng, matrix, gap)))
                estimate, error = js(N1, N2)
                assert distance(estimate, by_matrices(N1, N2, 0.5)) <= error


def test_the_units_of_the_axes_do_not_enlarge_the_error():
    """Units of 2^-200 and 2^200 give a covariance of condition 1e240, which is harmless."""
    N = [covariance(np.random.default_rng(seed), 2, 10.0) for seed in (1, 2)]
    estimate, error = js(*(Gaussian(0.0, cov=cov) for cov in N))
    units = 2.0 ** np.array([200, -200])  # exact
    scaled, scaled_error = js(*(Gaussian(0.0, cov=cov * np.outer(units, units)) for cov in N))
    assert abs(estimate - scaled) <= error + scaled_error
    assert scaled_error <= LARGEST * np.spacing(scaled)


def test_near_equal_gaussians_in_two_forms_lose_no_digits():
    """They are compared in 40 digits."""
    for gap in (1e-8, 1e-10, 1e-12):
        N1, N2 = one(0.0, 1.3), Gaussian([0.0], logvar=[np.log(1.3) + gap])
        estimate, error = js(N1, N2)
        assert distance(estimate, by_matrices(N1, N2, 0.5)) <= error <= LARGEST * np.spacing(estimate)
