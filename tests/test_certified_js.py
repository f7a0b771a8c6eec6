"""Enclosures of the Jensen-Shannon divergence contain the value of eq. 6 by quadrature."""

import math

import numpy as np
import pytest
from flint import arb, ctx
from mpmath import mp

from jsgmath import Gaussian, certified
from tests.pairs import gaussian
from verification import oracles


def by_quadrature(N1, N2, lam):
    """Eq. 6, integrated over the densities by mpmath."""
    pair = [(np.array([mean]), np.array([[scale**2 if form == "std" else scale]])) for mean, form, scale in (N1, N2)]
    lam = mp.mpf(lam)  # so that 1 - lam is exact

    def integrand(x, p, q):
        m = (1 - lam) * p + lam * q
        return lam * p * mp.log(p / m) + (1 - lam) * q * mp.log(q / m)

    with mp.workdps(30):
        return oracles.jensen_shannon(*pair, 0.5)[1](integrand)


def kl_to_half_mixture(N1, N2):
    """KL(N1||(N1+N2)/2), integrated over the densities by mpmath."""
    pair = [(np.array([mean]), np.array([[var]])) for mean, _, var in (N1, N2)]
    return oracles.jensen_shannon(*pair, 0.5)[1](lambda x, p, q: p * mp.log(2 * p / (p + q)))


def assert_narrow(lower, upper):
    assert 0 <= lower <= upper <= max(math.nextafter(lower, math.inf), lower * (1 + 1e-12))


@pytest.mark.parametrize("lam", [1e-6, 0.3, 0.5, 0.99])
@pytest.mark.parametrize(
    "pair",
    [
        ((0.0, "var", 1.0), (1.0, "var", 1.0)),
        ((0.3, "var", 0.7), (-1.1, "std", 1.7)),
        ((0.3, "var", 1e-4), (0.0, "var", 2.0)),
        ((0.0, "var", 1.0), (1e-4, "var", 1.0001)),
        ((0.0, "var", 1.0), (9.0, "var", 1.0)),
    ],
)
def test_js_encloses_the_quadrature_of_eq_6(pair, lam):
    lower, upper = certified.js(*map(gaussian, pair), lam)
    assert_narrow(lower, upper)
    truth = by_quadrature(*pair, lam)
    # Quadrature between +-15 standard deviations leaves out e^-112; its error is far below the limit of 1e-11.
    assert lower * (1 - 1e-11) <= truth <= upper * (1 + 1e-11)


@pytest.mark.parametrize("N2", [(0.0, "var", 9.0), (20.0, "var", 1.0), (1.0, "var", 1.0), (0.0, "var", 0.01)])
def test_the_bound_on_the_tail_of_js_is_true_for_a_large_tail(N2, monkeypatch):
    """Normally the tail is below 2^-128.  Here it starts at 2 standard deviations and has a twentieth of the mass."""
    N1 = (0.0, "var", 1.0)
    with mp.workdps(30):
        truth = [kl_to_half_mixture(*pair) for pair in ((N1, N2), (N2, N1))]
    arrays = [(np.array([mean]), form, np.array([scale])) for mean, form, scale in (N1, N2)]
    monkeypatch.setattr(certified.math, "isqrt", lambda _: 1)
    for pair, value in zip((arrays, arrays[::-1]), truth, strict=True):
        with ctx.workprec(128):
            ball = certified._kl_to_mixture(*pair, arb(0.5), arb(0.5))
        assert float(ball.lower()) <= value <= float(ball.upper())
        # The width of the bound is e log 2 - e log e with e = erfc(sqrt(2)) = 0.0455.
        assert 2 * float(ball.rad()) == pytest.approx(0.0455 * (math.log(1 / 0.0455) + math.log(2)), rel=1e-3)


def test_js_of_near_equal_gaussians_is_its_series_and_of_equal_ones_zero():
    """Means d standard deviations apart: d^2/8 (1 + O(d^2)) at lam = 1/2; d is a generous bound on the O(d^2)."""
    N = Gaussian(0.0, var=[4.0])
    assert certified.js(N, N) == certified.js(N, Gaussian(0.0, std=[2.0])) == (0.0, 0.0)
    for d in (1e-8, 1e-14, 1e-15):
        lower, upper = certified.js(N, Gaussian(2 * d, var=[4.0]))
        assert_narrow(lower, upper)
        assert lower * (1 - d) <= d * d / 8 <= upper * (1 + d) + math.ulp(upper)


def test_js_of_separate_gaussians_is_the_entropy_of_the_weights(monkeypatch):
    """-lam log(1-lam) - (1-lam) log lam, log 2 at 1/2; the enclosure is 1e-12 wide and math.log right to 1e-16."""
    monkeypatch.setattr(certified, "INTEGRAL_PRECISIONS", [128])  # enough: narrow Gaussians need bisections, not bits
    far = [
        (Gaussian(0.0, var=[1.0]), Gaussian(1e300, var=[1.0])),
        (Gaussian(0.0, var=[1e-320]), Gaussian(1.0, var=[1.0])),
        (Gaussian(1e308, std=[1e-300]), Gaussian(-1e308, std=[1.0])),
        (Gaussian(0.0, logvar=[700.0]), Gaussian(0.0, logvar=[-700.0])),
    ]
    for N1, N2 in far:
        lower, upper = certified.js(N1, N2)
        assert_narrow(lower, upper)
        assert lower <= math.log(2) <= upper * (1 + 1e-12)
        lower, upper = certified.js(N1, N2, 0.2)
        entropy = -0.2 * math.log(0.8) - 0.8 * math.log(0.2)
        assert lower * (1 - 1e-12) <= entropy <= upper * (1 + 1e-12)
    lower, upper = certified.js(Gaussian(0.0, var=[1.0]), Gaussian(3.0, var=[2.0]))
    assert upper < math.log(2)


def test_js_tends_to_the_two_kls_and_exchanging_the_gaussians_exchanges_the_weights():
    N1, N2 = Gaussian(0.3, var=[0.7]), Gaussian(-1.1, cov=[[2.9]])
    assert certified.js(N1, N2, 1.0) == certified.kl(N1, N2)
    assert certified.js(N1, N2, 0.0) == certified.kl(N2, N1)
    for lam, end in ((1 - 2.0**-53, certified.kl(N1, N2)), (5e-324, certified.kl(N2, N1))):
        lower, upper = certified.js(N1, N2, lam)
        assert_narrow(lower, upper)
        assert lower == pytest.approx(end[0], rel=1e-12)
    forth, back = certified.js(N1, N2, [0.25, 0.5]), certified.js(N2, N1, [0.75, 0.5])
    assert forth[0].shape == (2,)
    assert (forth[0] <= back[1]).all()
    assert (back[0] <= forth[1]).all()


def test_js_too_small_for_the_largest_precision_is_an_error(monkeypatch):
    monkeypatch.setattr(certified, "INTEGRAL_PRECISIONS", [128])
    with pytest.raises(ArithmeticError, match=r"128 bits .* less equal"):
        certified.js(Gaussian(0.0, var=[1.0]), Gaussian(1e-30, var=[1.0]))
