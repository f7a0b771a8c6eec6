"""The identities of these divergences compare the library with itself and with integrals, on random Gaussians."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import jsgmath
from jsgmath import bhattacharyya, geometric_mean, jeffreys, jsg, jsg_dual, kl
from verification import oracles
from verification.pairs import DIVERGENCES, dense_pair, diagonal_pair, divergence, gaussian, interior, seeds

dimensions = st.integers(1, 5)
# Each side is a sum in float64 with a condition of up to 1e4; its terms are at most as large as the larger KL.
REL = 1e-10


def pair(n, seed, ridge=0.05):
    return [gaussian(N) for N in dense_pair(n, seed, ridge=ridge)]


def close(left, right, size):
    return abs(left - right) <= REL * size


@given(n=dimensions, seed=seeds, a=interior)
def test_the_original_dual_is_the_bhattacharyya_distance_by_integration(n, seed, a):
    """B_a = -log of the integral of p^(1-a) q^a, which has a closed form with log-determinants, here in 60 digits."""
    N1, N2 = pair(n, seed)
    with mp.workdps(oracles.DIGITS):
        (m1, S1), (m2, S2) = (oracles.exact("cov", N.mean, N.cov) for N in (N1, N2))
        weight = mp.mpf(a)
        mixed = weight * S1 + (1 - weight) * S2
        truth = weight * (1 - weight) * ((m1 - m2).T * mixed**-1 * (m1 - m2))[0]
        truth += mp.log(mp.det(mixed) / (mp.det(S1) ** weight * mp.det(S2) ** (1 - weight)))
    assert close(bhattacharyya(N1, N2, a), float(truth / 2), float(truth))


@given(n=dimensions, seed=seeds, a=interior)
def test_the_two_original_divergences_sum_to_jeffreys(n, seed, a):
    N1, N2 = pair(n, seed)
    total = jsg(N1, N2, a, convention="nielsen") + jsg_dual(N1, N2, a, convention="nielsen")
    assert close(total, a * (1 - a) * jeffreys(N1, N2), jeffreys(N1, N2))


@given(n=dimensions, seed=seeds, a=interior)
def test_the_reversed_divergence_is_quadratic_in_the_kls_less_bhattacharyya(n, seed, a):
    N1, N2 = pair(n, seed)
    right = (1 - a) ** 2 * kl(N1, N2) + a**2 * kl(N2, N1) - bhattacharyya(N1, N2, 1 - a)
    assert close(jsg(N1, N2, a), right, jeffreys(N1, N2))


@given(n=dimensions, seed=seeds, a=interior)
def test_the_reversed_dual_is_bhattacharyya_and_a_kl_between_the_means(n, seed, a):
    N1, N2 = pair(n, seed)
    G, reversed_mean = geometric_mean(N1, N2, a), geometric_mean(N1, N2, 1 - a)
    value = jsg_dual(N1, N2, a)
    assert close(value, bhattacharyya(N1, N2, a) + kl(reversed_mean, G), jeffreys(N1, N2))
    tilt = (1 - 2 * a) * (kl(reversed_mean, N1) - kl(reversed_mean, N2))
    assert close(value, bhattacharyya(N1, N2, 1 - a) + tilt, jeffreys(N1, N2))


@given(n=dimensions, seed=seeds, a=interior)
def test_the_geometric_mean_minimises_the_dual(n, seed, a):
    """``(1-a) KL(r||p) + a KL(r||q) = KL(r||g_a) + B_a`` for every r."""
    N1, N2 = pair(n, seed)
    R = gaussian(dense_pair(n, seed + 1)[1])
    left = (1 - a) * kl(R, N1) + a * kl(R, N2)
    assert close(left, kl(R, geometric_mean(N1, N2, a)) + bhattacharyya(N1, N2, a), left + jeffreys(N1, N2))


@pytest.mark.parametrize("convention", ["deasy", "nielsen"])
@pytest.mark.parametrize("a", [0.2, 0.5, 0.9])
def test_jsg_is_jensen_shannon_and_a_kl_from_the_mixture(a, convention):
    """``JSG = JS_a + KL(m||G)`` for the mixture ``m``, by integrals in 1-D."""
    N1, N2 = diagonal_pair(1, 5)
    G = geometric_mean(gaussian(N1), gaussian(N2), a if convention == "nielsen" else 1 - a)
    js, integrate = oracles.jensen_shannon(N1, N2, a)

    def from_mixture(x, p, q):
        m = (1 - a) * p + a * q
        return m * mp.log(m / mp.npdf(x, G.mean[0], mp.sqrt(G.cov[0, 0])))

    value = jsg(gaussian(N1), gaussian(N2), a, convention=convention)
    # mp.quad at 15 digits on a smooth integrand.
    assert float(js + integrate(from_mixture)) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("a", [0.2, 0.5, 0.9])
def test_the_divergence_to_the_unnormalised_mean_is_a_closed_form(a):
    """``a(1-a) J + Z - 1`` with ``Z = exp(-B_a)``: the extended divergence, by integrals in 1-D."""
    N1, N2 = diagonal_pair(1, 6)
    _, integrate = oracles.jensen_shannon(N1, N2, a)

    def extended(x, p, q):
        u = p ** (1 - a) * q**a
        return (1 - a) * p * mp.log(p / u) + a * q * mp.log(q / u) + u - (1 - a) * p - a * q

    N1, N2 = gaussian(N1), gaussian(N2)
    value = a * (1 - a) * jeffreys(N1, N2) + np.expm1(-bhattacharyya(N1, N2, a))
    assert float(integrate(extended)) == pytest.approx(value, rel=1e-12)


@given(n=dimensions, seed=seeds, a=interior)
def test_jeffreys_splits_at_the_geometric_mean(n, seed, a):
    N1, N2 = pair(n, seed)
    G = geometric_mean(N1, N2, a)
    split = jeffreys(N1, G) / a + jeffreys(N2, G) / (1 - a)
    assert close(split, jeffreys(N1, N2), jeffreys(N1, N2) / min(a, 1 - a))


@given(n=dimensions, seed=seeds, a=interior)
def test_the_derivative_of_bhattacharyya_is_a_difference_of_kls(n, seed, a):
    """``dB_a/da = KL(g_a||q) - KL(g_a||p)``."""
    N1, N2 = (gaussian(N, "var") for N in diagonal_pair(n, seed))
    G = geometric_mean(N1, N2, a)
    slope = jsgmath.jsg_dual_grad(N1, N2, a, convention="nielsen").alpha
    assert close(slope, kl(G, N2) - kl(G, N1), kl(G, N2) + kl(G, N1) + jeffreys(N1, N2))


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=dimensions, seed=seeds, a=interior)
def test_exchanging_the_gaussians_exchanges_the_weights(dual, convention, n, seed, a):
    N1, N2 = pair(n, seed)
    value = divergence(dual)(N1, N2, a, convention=convention)
    assert close(value, divergence(dual)(N2, N1, 1 - a, convention=convention), value)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=dimensions, seed=seeds, a=interior)
def test_an_affine_map_changes_nothing(dual, convention, n, seed, a):
    pairs = dense_pair(n, seed)
    rng = np.random.default_rng(seed)
    A, b = np.linalg.qr(rng.normal(size=(n, n)))[0] * np.exp(rng.normal(size=n)), rng.normal(size=n)
    mapped = [gaussian((A @ m + b, A @ S @ A.T)) for m, S in pairs]
    value = divergence(dual)(*map(gaussian, pairs), a, convention=convention)
    assert close(value, divergence(dual)(*mapped, a, convention=convention), value)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(seed=seeds, a=interior)
def test_independent_blocks_add(dual, convention, seed, a):
    first, second = dense_pair(2, seed), dense_pair(3, seed + 1)

    def joined(i):
        cov = np.zeros((5, 5))
        cov[:2, :2], cov[2:, 2:] = first[i][1], second[i][1]
        return gaussian((np.concatenate([first[i][0], second[i][0]]), cov))

    parts = sum(divergence(dual)(*map(gaussian, block), a, convention=convention) for block in (first, second))
    assert close(divergence(dual)(joined(0), joined(1), a, convention=convention), parts, parts)


@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(n=dimensions, seed=seeds, a=interior)
def test_equal_covariances_leave_the_mahalanobis_distance(dual, convention, n, seed, a):
    """``a(1-a) M/2`` for the original mean, ``((1-a)^3 + a^3) M/2`` for the reversed one, for JSG and its dual."""
    (m1, S), (m2, _) = dense_pair(n, seed)
    M = (m1 - m2) @ np.linalg.solve(S, m1 - m2)
    expected = (a * (1 - a) if convention == "nielsen" else (1 - a) ** 3 + a**3) * M / 2
    assert close(divergence(dual)(gaussian((m1, S)), gaussian((m2, S)), a, convention=convention), expected, expected)


@given(n=dimensions, seed=seeds, a=interior)
def test_bhattacharyya_and_jsg_keep_their_bounds(n, seed, a):
    N1, N2 = pair(n, seed)
    forward, backward, slack = kl(N1, N2), kl(N2, N1), 1 + REL
    assert bhattacharyya(N1, N2, a) <= min(a * forward, (1 - a) * backward) * slack
    upper = (1 - a) ** 2 * forward + a**2 * backward
    lower = upper - min((1 - a) * forward, a * backward)
    assert lower - REL * upper <= jsg(N1, N2, a) <= upper * slack


def test_the_divergence_may_lie_below_both_kls():
    """JSG equals the KLs only at the ends: this pair has KLs of 1.52 and 18.0 and a JSG of 0.702."""
    N1, N2 = jsgmath.Gaussian(1.0, var=0.05), jsgmath.Gaussian(0.0, var=1.0)
    assert jsg(N1, N2, 0.123) == pytest.approx(0.702, abs=5e-4)
    assert (kl(N1, N2), kl(N2, N1)) == (pytest.approx(1.52, abs=5e-3), pytest.approx(18.0, abs=5e-2))
