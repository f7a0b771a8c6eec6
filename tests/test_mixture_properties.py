"""The Jensen-Shannon divergence `js`: consequences of its definition, batches, and input."""

import numpy as np
import pytest
import scipy.stats

import jsgmath
from jsgmath import Gaussian, js, mixture, special
from tests.jensen_shannon import EPS, FORMS, bound, by_matrices, distance, one
from verification.pairs import dense_pair, diagonal_pair, gaussian

LAMS = (0.0, 1e-9, 1e-3, 0.3, 0.5, 0.9, 1 - 2.0**-53, 1.0)


def test_the_values_at_the_ends_are_the_two_kls():
    """Eq. 6: KL(N2||N1) at lam = 0, KL(N1||N2) at lam = 1; and the values tend to them."""
    for form in FORMS:
        N1, N2 = (gaussian(N, form) for N in (diagonal_pair if form in FORMS[:3] else dense_pair)(3, 1, 0.1))
        for lam, inside, kl in ((0.0, 1e-9, jsgmath.kl(N2, N1)), (1.0, 1 - 1e-9, jsgmath.kl(N1, N2))):
            estimate, error = js(N1, N2, lam)
            assert abs(estimate - kl) <= 2 * error
            assert 0 < error < 1e-8 * kl
            # 1e-9 times the derivative at the end, a chi-square distance of up to 130 times these KLs.
            assert js(N1, N2, inside)[0] == pytest.approx(kl, rel=1e-6)


def test_exchanging_the_gaussians_exchanges_the_weights():
    """``JS_lam(N1, N2) = JS_(1-lam)(N2, N1)``."""
    for n in (1, 2, 5):
        N1, N2 = (gaussian(N, "logvar") for N in diagonal_pair(n, n))
        for lam in (0.0, 0.25, 0.5, 2.0**-40, 1.0):  # 1 - lam is exact for these
            first, second = js(N1, N2, lam), js(N2, N1, 1 - lam)
            assert abs(first[0] - second[0]) <= first[1] + second[1]


def test_an_affine_map_changes_nothing():
    """JS does not change when both Gaussians are mapped by the same ``x -> A x + b``."""
    rng = np.random.default_rng(4)
    for n in (2, 4):
        pair = dense_pair(n, n, 0.3, ridge=0.5)
        A, b = rng.normal(size=(n, n)) + 2 * np.eye(n), rng.normal(size=n)
        mapped = [(A @ mean + b, A @ cov @ A.T) for mean, cov in pair]
        # The limit is that of products in float64 of matrices whose condition is below 1e3.
        assert js(*map(gaussian, mapped))[0] == pytest.approx(js(*map(gaussian, pair))[0], rel=1e-10)


def test_directions_in_which_the_two_are_equal_change_nothing():
    """Each contributes an exact zero; the sums are grouped differently, so the last place may differ."""
    rng = np.random.default_rng(5)
    (m1, S1), (m2, S2) = diagonal_pair(3, 8)
    mean, var = rng.normal(size=20), np.exp(rng.normal(size=20))
    small = Gaussian(m1, var=np.diag(S1)), Gaussian(m2, var=np.diag(S2))
    large = [Gaussian(np.append(N.mean, mean), var=np.append(N.var, var)) for N in small]
    for lam in LAMS:
        assert js(*small, lam)[0] == pytest.approx(js(*large, lam)[0], rel=2 * EPS)


@pytest.mark.parametrize("form", FORMS)
def test_equal_gaussians_have_divergence_exactly_zero(form):
    N = gaussian((diagonal_pair if form in FORMS[:3] else dense_pair)(4, 2)[0], form)
    for lam in LAMS:
        assert js(N, N, lam) == (0, 0)


@pytest.mark.parametrize("work", [np.longdouble, np.float64])
def test_js_lies_between_zero_and_its_bound(work, monkeypatch):
    """``0 <= JS <= -lam log(1-lam) - (1-lam) log(lam)`` for all scales; far apart it equals the bound."""
    monkeypatch.setattr(special, "WORK", work)
    scales = 10.0 ** np.array([-300, -100, -12, -1, 0, 1, 12, 100, 300])
    N1 = Gaussian(np.array([0.0, 1.0, 1e3, 1e300])[:, None, None], var=scales[:, None])
    lam = np.array(LAMS[1:-1])[:, None, None]
    estimate, error = js(N1, one(0.0, 1.0), lam)
    assert (estimate >= 0).all()
    assert (error >= 0).all()
    # The bound is here computed in float64, so the last place may differ.
    assert (estimate <= bound(lam) * (1 + EPS)).all()
    np.testing.assert_allclose(estimate[:, -1], np.broadcast_to(bound(lam)[:, 0], (6, 9)), rtol=2 * EPS)


def test_gaussians_of_log_variances_1e5_are_at_the_largest_distance():
    """Ratios and distances exceed float64 and almost the 80-bit range: the two Gaussians do not overlap."""
    for mean, logvar1, logvar2 in ((0.0, -1e5, 0.0), (1.0, 1e5, 0.0), (1.0, -3e4, -3e4), (1.0, -1e5, -1e5)):
        N1, N2 = Gaussian([mean], logvar=[logvar1]), Gaussian([0.0], logvar=[logvar2])
        for lam in (0.5, 1e-300, 1 - 2.0**-53):
            assert js(N1, N2, lam)[0] == pytest.approx(bound(lam), rel=2 * EPS)


def test_batches_broadcast_and_give_what_single_calls_give(monkeypatch):
    """Gaussians and lam broadcast; the sums are grouped differently, so the last place may differ."""
    rng = np.random.default_rng(6)
    for form in ("var", "cov"):
        scales = np.exp(rng.normal(size=(4, 1, 2)))
        scales = scales if form == "var" else scales[..., None] * np.eye(2)
        N1, N2 = (
            Gaussian(rng.normal(size=(4, 1, 2)), **{form: scales}),
            Gaussian(rng.normal(size=(3, 2)), var=[1.0, 2.0]),
        )
        lam = np.array(LAMS)[:, None, None]
        estimates, bounds = js(N1, N2, lam)
        monkeypatch.setattr(mixture, "BLOCK", 1000)
        in_blocks, _ = js(N1, N2, lam)
        monkeypatch.undo()
        assert estimates.shape == bounds.shape == (len(LAMS), 4, 3)
        for i, j, k in np.ndindex(estimates.shape):
            single = js(Gaussian(N1.mean[j, 0], **{form: scales[j, 0]}), Gaussian(N2.mean[k], var=N2.var), LAMS[i])
            assert estimates[i, j, k] == pytest.approx(single[0], rel=2 * EPS)
            assert in_blocks[i, j, k] == pytest.approx(single[0], rel=2 * EPS)
            assert bounds[i, j, k] == pytest.approx(single[1], rel=0.1)
    assert js(Gaussian(np.zeros((0, 1)), var=1.0), one(0.0, 1.0))[0].shape == (0,)


def test_float32_input_gives_float32_results():
    """The error is that of the last rounding, rounded upwards."""
    rng = np.random.default_rng(7)
    for _ in range(10):
        N1, N2 = (Gaussian(*np.float32(rng.normal(size=(1, 1))), var=np.float32(rng.uniform(0.5, 2, 1))) for _ in "12")
        estimate, error = js(N1, N2)
        assert estimate.dtype == error.dtype == np.float32
        actual, error = distance(estimate, by_matrices(N1, N2, 0.5)), float(error)  # compared in float64
        # All rounding but the last is in pairs of doubles, below 1e-17 of the value; the last is 1e-8.
        assert actual <= error <= actual * (1 + 3e-7) + 1e-15 * estimate
    assert js(N1, one(0.0, 1.0))[0].dtype == np.float64


def test_frozen_scipy_normals_are_accepted():
    assert js(scipy.stats.norm(0.0, 2.0), scipy.stats.norm(1.0, 3.0)) == js(one(0.0, 4.0), one(1.0, 9.0))


@pytest.mark.parametrize(
    ("call", "exception", "text"),
    [
        (lambda: js(one(0.0, 1.0), one(0.0, 1.0), 1.2), ValueError, r"lam must lie in \[0, 1\], got 1.2"),
        (lambda: js(one(0.0, 1.0), one(0.0, 1.0), np.nan), ValueError, r"lam must lie in \[0, 1\], got nan"),
        (lambda: js(one(0.0, 1.0), one(0.0, 1.0), "0.5"), TypeError, "lam must be real numbers"),
        (lambda: js(one(0.0, 1.0), Gaussian([0.0, 0.0], var=1.0)), ValueError, "N1 has dimension 1 but N2 has 2"),
        (lambda: js((0.0, 1.0), one(0.0, 1.0)), TypeError, "N1 must be a jsgmath.Gaussian"),
        (
            lambda: js(one(0.0, 1.0), Gaussian(np.zeros((2, 1)), var=1.0), [0.1] * 3),
            ValueError,
            r"\(3,\) of lam do not",
        ),
    ],
)
def test_bad_input_is_refused_with_a_reason(call, exception, text):
    with pytest.raises(exception, match=text):
        call()
