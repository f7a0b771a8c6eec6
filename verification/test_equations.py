"""The library agrees with the paper's numbered equations in 60 digits, as printed or, where stated, as corrected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import jsgmath
from verification import oracles
from verification.pairs import dense_pair, exact, gaussian, interior, seeds

EPS = np.finfo(float).eps
DIAGONAL, DENSE = ("var", "logvar", "std"), ("cov", "scale_tril", "precision")
dimensions = st.integers(1, 5)


def dense_tolerance(N1, N2):
    """A few ``n EPS`` times the condition of the covariances, since the mean is computed in float64."""
    return 4 * N1.dim * EPS * (np.linalg.cond(N1.cov) + np.linalg.cond(N2.cov))


@given(n=dimensions, seed=seeds)
def test_eq_2_is_kl(n, seed):
    N1, N2 = (gaussian(N) for N in dense_pair(n, seed))
    with mp.workdps(oracles.DIGITS):
        truth = oracles.textbook_kl(exact(N1), exact(N2))
    assert abs(jsgmath.kl(N1, N2) - truth) <= 1.01 * EPS * truth
    assert jsgmath.jeffreys(N1, N2) == pytest.approx(jsgmath.kl(N1, N2) + jsgmath.kl(N2, N1), rel=EPS)


def latent(n, seed):
    """``(mean, var)`` of a diagonal Gaussian such as an encoder returns, the Gaussian itself, and N(0, I)."""
    rng = np.random.default_rng(seed)
    mean, var = rng.normal(size=n), np.exp(rng.normal(size=n))
    exactly = [(mp.mpf(m), mp.mpf(v)) for m, v in zip(mean.tolist(), var.tolist(), strict=True)]
    return exactly, jsgmath.Gaussian(mean, var=var), jsgmath.Gaussian(np.zeros(n), var=np.ones(n))


@given(n=dimensions, seed=seeds)
def test_eqs_3_and_4_are_the_two_kls_to_the_standard_normal(n, seed):
    exactly, N1, N2 = latent(n, seed)
    with mp.workdps(oracles.DIGITS):
        eq3 = -sum(mp.log(v) - v - m**2 + 1 for m, v in exactly) / 2
        eq4 = sum(1 / v + m**2 / v - 1 + mp.log(v) for m, v in exactly) / 2
    assert abs(jsgmath.kl(N1, N2) - eq3) <= EPS * 1.01 * eq3
    assert abs(jsgmath.kl(N2, N1) - eq4) <= EPS * 1.01 * eq4


@given(n=dimensions, seed=seeds, alpha=interior)
def test_eqs_9_and_11_are_the_original_divergences(n, seed, alpha):
    """The mean is that of eqs. 12 and 13; eq. 9 with the reversed mean of eq. 16 is the deasy JSG."""
    N1, N2 = (gaussian(N) for N in dense_pair(n, seed))
    (m1, S1), (m2, S2) = exact(N1), exact(N2)
    with mp.workdps(oracles.DIGITS):
        a = mp.mpf(alpha)
        log_dets = (1 - a) * mp.log(mp.det(S1)) + a * mp.log(mp.det(S2))
        for convention in ("nielsen", "deasy"):
            m, S = oracles.textbook_mean((m1, S1), (m2, S2), *oracles.mean_weights(a, convention))
            P = S**-1
            moment = P * ((1 - a) * S1 + a * S2)
            eq9 = sum(moment[i, i] for i in range(n)) + mp.log(mp.det(S)) - log_dets - n
            eq9 += ((1 - a) * (m - m1).T * P * (m - m1) + a * (m - m2).T * P * (m - m2))[0]
            assert abs(jsgmath.jsg(N1, N2, alpha, convention=convention) - eq9 / 2) <= 1.01 * EPS * eq9 / 2
            if convention == "nielsen":
                eq11 = ((1 - a) * m1.T * S1**-1 * m1 + a * m2.T * S2**-1 * m2 - m.T * P * m)[0]
                eq11 += log_dets - mp.log(mp.det(S))
                assert abs(jsgmath.jsg_dual(N1, N2, alpha, convention="nielsen") - eq11 / 2) <= 1.01 * EPS * eq11 / 2


@given(
    n=dimensions,
    seed=seeds,
    weight=st.floats(0, 1),
    forms=st.tuples(st.sampled_from((*DENSE, "var")), st.sampled_from(DENSE)),
    swap=st.booleans(),
)
def test_eqs_12_and_13_are_the_geometric_mean(n, seed, weight, forms, swap):
    """Both Gaussians are dense, or one is diagonal and the other dense, in either order."""
    N1, N2 = (gaussian(N, form) for N, form in zip(dense_pair(n, seed), forms, strict=True))
    N1, N2 = (N2, N1) if swap else (N1, N2)
    tolerance = dense_tolerance(N1, N2)
    with mp.workdps(oracles.DIGITS):
        m, S = oracles.textbook_mean(exact(N1), exact(N2), 1 - mp.mpf(weight), mp.mpf(weight))
    mean, cov = np.array(m.tolist(), float)[:, 0], np.array(S.tolist(), float)
    G = jsgmath.geometric_mean(N1, N2, weight)
    size = max(np.abs(N1.mean).max(), np.abs(N2.mean).max(), np.abs(N1.cov).max(), np.abs(N2.cov).max(), 1)
    assert np.abs(G.mean - mean).max() <= tolerance * size
    assert np.abs(G.cov - cov).max() <= tolerance * size


@given(n=dimensions, seed=seeds, weight=st.floats(0, 1), forms=st.tuples(*[st.sampled_from(DIAGONAL)] * 2))
def test_eqs_12_and_13_are_the_geometric_mean_of_diagonal_gaussians(n, seed, weight, forms):
    rng = np.random.default_rng(seed)
    means, variances = rng.normal(size=(2, n)), np.exp(rng.normal(size=(2, n)))
    N1, N2 = (gaussian((m, np.diag(v)), form) for m, v, form in zip(means, variances, forms, strict=True))
    with mp.workdps(oracles.DIGITS):
        m, S = oracles.textbook_mean(exact(N1), exact(N2), 1 - mp.mpf(weight), mp.mpf(weight))
    G = jsgmath.geometric_mean(N1, N2, weight)
    assert G.form == ("logvar" if forms == ("logvar", "logvar") else "var")
    # Results are rounded once from 80 bits; a log-variance is rounded before it is exponentiated.
    assert np.abs(G.mean - np.array(m.tolist(), float)[:, 0]).max() <= 2 * EPS * np.abs(means).max()
    assert np.abs(G.var / np.diag(np.array(S.tolist(), float)) - 1).max() <= 16 * EPS


def test_the_geometric_mean_at_an_end_is_that_gaussian():
    N1, N2 = jsgmath.Gaussian([1e12, -3.0], var=[0.1, 7.0]), jsgmath.Gaussian([2.0, 0.5], var=[3.0, 0.2])
    for weight, N in ((0.0, N1), (1.0, N2)):
        G = jsgmath.geometric_mean(N1, N2, weight)
        assert G.mean.tolist() == N.mean.tolist()
        assert G.var.tolist() == N.var.tolist()


def test_the_geometric_mean_keeps_log_variances_that_no_variance_could_hold():
    """For ``v1 = e^2000 v2``, ``v = v1 v2 / (w v1 + (1-w) v2)`` is ``v2/w`` up to far less than the last digit."""
    N1, N2 = jsgmath.Gaussian([1.0], logvar=[4000.0]), jsgmath.Gaussian([-3.0], logvar=[2000.0])
    G = jsgmath.geometric_mean(N1, N2, 0.25)
    assert (G.mean[0], G.logvar[0]) == (-3.0, pytest.approx(2000 + np.log(4), rel=EPS))


@given(n=dimensions, seed=seeds, alpha=interior)
def test_eqs_23_to_26_are_the_original_divergences_to_the_standard_normal(n, seed, alpha):
    """They are printed for the original mean, although the text announces the reversed one "henceforth"."""
    exactly, N1, N2 = latent(n, seed)
    with mp.workdps(oracles.DIGITS):
        a, eq23, eq24 = mp.mpf(alpha), mp.mpf(0), mp.mpf(0)
        for m, v in exactly:
            va = v / ((1 - a) + a * v)  # eq. 25
            ma = va * (1 - a) * m / v  # eq. 26
            log_ratio = mp.log(va / v ** (1 - a))
            eq23 += ((1 - a) * v + a) / va + log_ratio + (1 - a) * (ma - m) ** 2 / va + a * ma**2 / va - 1
            eq24 += (1 - a) * m**2 / v - ma**2 / va - log_ratio
    assert abs(jsgmath.jsg(N1, N2, alpha, convention="nielsen") - eq23 / 2) <= EPS * 1.01 * eq23 / 2
    assert abs(jsgmath.jsg_dual(N1, N2, alpha, convention="nielsen") - eq24 / 2) <= EPS * 1.01 * eq24 / 2


@given(n=dimensions, seed=seeds, alpha=interior)
def test_eqs_23_to_26_corrected_are_the_reversed_divergences(n, seed, alpha):
    """``v_a = v/(a + (1-a) v)`` and ``m_a = a v_a m/v`` in eq. 23; the dual is eq. 10, since eq. 24 fails."""
    exactly, N1, N2 = latent(n, seed)
    with mp.workdps(oracles.DIGITS):
        a, eq23, dual, eq24 = mp.mpf(alpha), mp.mpf(0), mp.mpf(0), mp.mpf(0)
        for m, v in exactly:
            va = v / (a + (1 - a) * v)
            ma = a * va * m / v
            log_ratio = mp.log(va / v ** (1 - a))
            eq23 += ((1 - a) * v + a) / va + log_ratio + (1 - a) * (ma - m) ** 2 / va + a * ma**2 / va - 1
            dual += (1 - a) * va / v + a * va - 1 - log_ratio + (1 - a) * (ma - m) ** 2 / v + a * ma**2
            eq24 += (1 - a) * m**2 / v - ma**2 / va - log_ratio
    assert abs(jsgmath.jsg(N1, N2, alpha) - eq23 / 2) <= EPS * 1.01 * eq23 / 2
    assert abs(jsgmath.jsg_dual(N1, N2, alpha) - dual / 2) <= EPS * 1.01 * dual / 2
    if abs(alpha - 0.5) > 0.1:
        assert abs(eq24 - dual) > 1e-6 * dual
