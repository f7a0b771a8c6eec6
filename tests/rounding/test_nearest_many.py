"""Divergences of several Gaussians are the nearest floats, by each path, over the whole range of float64."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp

from jsgmath import Gaussian, geometric_mean_many, jsg, jsg_dual, jsg_many, native, special
from jsgmath.rounding import nearest_many, of_many
from verification.oracles import exact

THIRD = [1 / 3, 1 / 3, 1 / 3]  # stand for the exact thirds


def weights_of(given):
    """Exact weights whose sum is 1: the largest one of float weights is computed from the others."""
    w = [Fraction(x) for x in given]
    largest = max(w)
    return [(1 - sum((x for x in w if x != largest), Fraction(0))) / w.count(largest) if x == largest else x for x in w]


def truth(gaussians, w, g, dual):
    """``sum_k w_k KL(N_k||G)`` or ``KL(G||N_k)`` [eqs. 2, 12, 13]."""
    w, g = ([mp.mpf(x.numerator) / x.denominator for x in weights_of(y)] for y in (w, g))
    means, covs = zip(*(exact(N.form, N.mean, N.scale) for N in gaussians), strict=True)
    precisions = [S**-1 for S in covs]
    P = sum((x * y for x, y in zip(g, precisions, strict=True)), 0 * covs[0])
    S, n = P**-1, len(means[0])
    mean = S * sum((x * (y * m) for x, y, m in zip(g, precisions, means, strict=True)), 0 * means[0])
    total = mp.mpf(0)
    for weight, m, own, own_precision in zip(w, means, covs, precisions, strict=True):
        if weight:
            A, B = (own_precision, S) if dual else (P, own)
            trace = sum((A * B)[i, i] for i in range(n))
            total += weight * (trace - n - mp.log(mp.det(A * B)) + ((m - mean).T * A * (m - mean))[0]) / 2
    return total


def assert_nearest(gaussians, w, g=None, digits=120):
    for dual in (False, True):
        value = jsg_many(gaussians, w, mean_weights=g, dual=dual)
        with mp.workdps(digits):
            right, unit = truth(gaussians, w, w if g is None else g, dual), mp.mpf(float(np.spacing(value)))
            if np.isinf(value):
                assert right > np.finfo(value.dtype).max
            else:
                assert abs(mp.mpf(float(value)) - right) <= unit * (0.5 + 1e-9)


@pytest.fixture(params=["the usual one", "in decimals", "in pairs", "a long double of 53 bits"])
def path(request, monkeypatch):
    """Runs a test with each path; all must give the same values."""
    if request.param != "the usual one":
        monkeypatch.setattr(native, "CORE", None)
    if request.param == "in decimals":
        monkeypatch.setattr(of_many, "FEW", 10**9)
    elif request.param == "in pairs":
        monkeypatch.setattr(of_many, "FEW", 0)
    elif request.param == "a long double of 53 bits":
        monkeypatch.setattr(special, "WORK", np.float64)


def random_diagonal(rng, forms, spread, gap):
    base = rng.normal(size=2) * spread
    found = []
    for form in forms:
        logvar = base + rng.normal(size=2) * (gap or spread)
        scale = logvar if form == "logvar" else np.exp(logvar / (2 if form == "std" else 1))
        found.append(Gaussian(np.exp(base / 2) * (1 + (gap or 1) * rng.normal(size=2)), **{form: scale}))
    return found


@pytest.mark.parametrize("forms", [3 * ["var"], 3 * ["logvar"], 3 * ["std"], ["logvar", "var", "std", "logvar"]])
@pytest.mark.parametrize("gap", [None, 1e-3, 1e-9, 1e-15])
def test_random_diagonal_gaussians(forms, gap, path):
    rng = np.random.default_rng(3)
    for concentration in (0.1, 1.0):
        w, g = rng.dirichlet(np.full(len(forms), concentration), size=2)
        assert_nearest(random_diagonal(rng, forms, 1.0, gap), w, None if concentration == 1 else g)


@pytest.mark.parametrize("form", ["var", "logvar", "std"])
def test_the_ends_of_the_range(form, monkeypatch):
    """Ratios of variances are up to 1e600, which no float can be; decimal numbers compute these values."""
    monkeypatch.setattr(native, "CORE", None)
    monkeypatch.setattr(of_many, "FEW", 0)
    rng = np.random.default_rng(4)
    for spread in (20.0, 150.0, 300.0):
        assert_nearest(random_diagonal(rng, 3 * [form], spread, None), rng.dirichlet(np.ones(3)), digits=1500)
    # The squares of these means are no floats.
    assert_nearest([Gaussian([m], var=[1e-250]) for m in (0.0, 1e-200, 3e-200)], [0.25, 0.25, 0.5], digits=1500)
    far = [Gaussian([m], logvar=[s]) for m, s in ((0.0, 1e5), (1.0, -1e5), (2.0, 0.0))]
    assert jsg_many(far, THIRD) == np.inf
    # G has the mean 1 and the variance 3 exp(-1e5).  Up to numbers below exp(-1e4), 2 KL(G||N_k) is 2e5 - log(3) - 1,
    # 2 - log(3) and 1e5 - log(3).
    assert jsg_many(far, THIRD, dual=True) == pytest.approx((3e5 - 3 * np.log(3) + 1) / 6, rel=2e-16)


def test_log_variances_of_any_size_are_those_of_the_pair():
    """One of the two is given twice, each time with half its weight."""
    sizes = (-1e300, -3e29, -3e29 + 1e14, -61.0, 0.5, 2e6, 2e6 + 1, 1e17)
    for s1, s2 in itertools.product(sizes, repeat=2):
        for mean in (0.0, 3.0, 1e299):
            N1, N2 = Gaussian([mean], logvar=[s1]), Gaussian([0.25], logvar=[s2])
            for weights, alpha in (([0.5, 0.25, 0.25], 0.5), ([0.0, 0.5, 0.5], 1.0), ([1.0, 0.0, 0.0], 0.0)):
                other = [weights[1] + weights[2], weights[0] / 2, weights[0] / 2]
                for dual, function in ((False, jsg), (True, jsg_dual)):
                    assert jsg_many([N1, N2, N2], weights, mean_weights=other, dual=dual) == function(N1, N2, alpha)


def test_a_tie_broken_by_an_exponential_that_no_precision_shows():
    """G is N_2, of log-variance 13122, and the divergence is a rational number plus a multiple of exp(-24669)."""
    N1, N2 = (
        Gaussian([-7.885465403091182e299], logvar=[-11546.549746933944]),
        Gaussian([0.0], logvar=[13122.463085565141]),
    )
    assert jsg_many([N1, N2, N2], [1.0, 0.0, 0.0], mean_weights=[0.0, 0.5, 0.5]) == jsg(N1, N2, 0.0)


def test_gaussians_in_float32_give_the_nearest_float32(path):
    rng = np.random.default_rng(5)
    for _ in range(4):
        gaussians = [x.astype(np.float32) for x in random_diagonal(rng, 3 * ["var"], 1.0, None)]
        assert_nearest(gaussians, rng.dirichlet(np.ones(3)))


@pytest.mark.parametrize("make", [lambda m: Gaussian([m], var=[1.0]), lambda m: Gaussian([m], cov=[[1.0]])])
def test_a_truth_in_the_middle_of_two_floats_goes_to_the_even_one(make):
    """The numerator of the divergence, an odd square, needs 54 bits."""
    x = 94906267.0
    assert jsg_many([make(-x), make(0.0), make(x)], [0.25, 0.5, 0.25]) == x * x / 4


@pytest.mark.parametrize("dual", [False, True])
def test_a_product_equal_to_the_only_gaussian_with_a_weight_gives_0(dual):
    """Sums cancel exactly, which no number of digits can show."""
    sides = [(-1.0, 1.0), (1.0, 1.0), (0.0, 1.0)], [(0.0, 1.0), (0.0, 0.5), (0.0, 2 / 3)]
    for members in sides[:1]:
        for make in (
            lambda m, v: Gaussian([m], var=[v]),
            lambda m, v: Gaussian([m], logvar=[v]),
            lambda m, v: Gaussian([m, 0.0], cov=v * np.eye(2)),
            lambda m, v: Gaussian([m, 0.0], precision=v * np.eye(2)),
        ):
            gaussians = [make(*x) for x in members]
            assert jsg_many(gaussians, [0.0, 0.0, 1.0], mean_weights=[0.5, 0.5, 0.0], dual=dual) == 0
    variances = [Gaussian([0.0], var=[v]) for v in (1.0, 3.0, 1.5)]  # 1/1.5 is the mean of 1 and 1/3
    assert jsg_many(variances, [0.0, 0.0, 1.0], mean_weights=[0.5, 0.5, 0.0], dual=dual) == 0


def test_a_gaussian_in_two_forms_has_divergence_0():
    L = np.array([[2.0, 0.0], [1.0, 2.0]])
    same = [Gaussian([1.0, 2.0], scale_tril=L), Gaussian([1.0, 2.0], cov=L @ L.T)]
    eye = [Gaussian([0.0], var=[4.0]), Gaussian([0.0], std=[2.0]), Gaussian([0.0], precision=[[0.25]])]
    for dual in (False, True):
        assert jsg_many([*same, same[0]], [0.25, 0.25, 0.5], dual=dual) == 0
        assert jsg_many(eye[:2] + eye[:1], [0.25, 0.25, 0.5], dual=dual) == 0
        assert jsg_many(eye, [0.25, 0.25, 0.5], dual=dual) == 0


@pytest.mark.parametrize("numpy_first", [False, True])
@pytest.mark.parametrize("forms", [3 * ["cov"], 3 * ["scale_tril"], 3 * ["precision"], ["cov", "logvar", "precision"]])
def test_full_covariances_near_and_far(forms, numpy_first, monkeypatch):
    """With ``numpy_first``, the fast path for large covariances computes the values."""
    if numpy_first:
        monkeypatch.setattr(of_many, "NUMPY_COST", 0)
    rng = np.random.default_rng(6)
    for condition, gap in ((1.0, None), (1e5, None), (1e3, 1e-7)):
        root = np.linalg.qr(rng.normal(size=(3, 3)))[0] * np.geomspace(1, 1 / condition, 3)
        gaussians = []
        for form in forms:
            x = rng.normal(size=(3, 3))
            S = root @ (x @ x.T + np.eye(3) if gap is None else np.eye(3) + gap * (x + x.T)) @ root.T
            S = (S + S.T) / 2
            inverse = np.linalg.inv(S)
            scales = {"cov": S, "scale_tril": np.linalg.cholesky(S), "precision": (inverse + inverse.T) / 2}
            scale = np.log(np.diagonal(S)) if form == "logvar" else scales[form]
            gaussians.append(Gaussian(root @ rng.normal(size=3) * (gap or 1), **{form: scale}))
        assert_nearest(gaussians, *rng.dirichlet(np.ones(3), size=2))


def test_the_fast_path_takes_large_covariances(monkeypatch):
    """In 30 dimensions whole numbers would take three times as long."""
    rng = np.random.default_rng(7)
    A = rng.normal(size=(3, 30, 40))
    gaussians = [Gaussian(rng.normal(size=30), cov=S) for S in A @ A.mT]
    value = jsg_many(gaussians, THIRD)
    calls = []
    monkeypatch.setattr(of_many, "NUMPY_COST", np.inf)
    monkeypatch.setattr(of_many, "pairs_with_product", lambda *x: calls.append(x))
    assert jsg_many(gaussians, THIRD) == value
    assert not calls


def test_the_product_of_experts_is_rounded_once():
    """The reference has 1500 digits; the error of the mean is relative to the sizes of its terms."""
    rng = np.random.default_rng(8)
    for forms, spread in (
        (3 * ["var"], 1.0),
        (3 * ["logvar"], 1.0),
        (["std", "logvar"], 20.0),
        (3 * ["logvar"], 300.0),
    ):
        gaussians = random_diagonal(rng, forms, spread, None)
        w = rng.dirichlet(np.ones(len(forms)))
        G = geometric_mean_many(gaussians, w)
        with mp.workdps(1500):
            exact_weights = [mp.mpf(x.numerator) / x.denominator for x in weights_of(w)]
            for i in range(2):
                parts = [(exact("logvar" if N.form == "logvar" else N.form, N.mean, N.scale)) for N in gaussians]
                shares = [x / S[i, i] for x, (_, S) in zip(exact_weights, parts, strict=True)]
                v = 1 / sum(shares)
                terms = [v * share * m[i] for share, (m, _) in zip(shares, parts, strict=True)]
                scale = mp.log(v) if G.form == "logvar" else v
                assert abs(mp.mpf(G.scale[i]) - scale) <= 0.501 * np.spacing(abs(G.scale[i]))
                size = float(sum(map(abs, terms)))
                assert abs(mp.mpf(G.mean[i]) - sum(terms)) <= 0.501 * np.spacing(size)


def test_digits_are_added_until_the_float_is_certain(monkeypatch):
    gaussians = [Gaussian([m], logvar=[s]) for m, s in ((0.0, 1e-30), (1e-25, 0.0), (0.0, -1e-30))]
    monkeypatch.setattr(native, "CORE", None)
    monkeypatch.setattr(of_many, "FEW", 100)
    monkeypatch.setattr(nearest_many, "DIGITS", (3, 10, 100))
    assert_nearest(gaussians, THIRD, digits=200)
    monkeypatch.setattr(nearest_many, "DIGITS", (3, 4))
    with pytest.raises(ArithmeticError, match="4 digits do not tell"):
        jsg_many(gaussians, THIRD)
