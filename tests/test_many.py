"""More than two Gaussians, against the definition in 60 digits and the pair."""

import itertools

import numpy as np
import pytest
from mpmath import mp

from jsgmath import Gaussian, families, geometric_mean_many, jsg, jsg_dual, jsg_many
from verification.oracles import DIGITS, exact, textbook_kl

RNG = np.random.default_rng(5)
K, N = 4, 3
MEANS, LOGVARS = RNG.normal(size=(2, K, N))
A = RNG.normal(size=(K, N, N))
COVS = A @ A.swapaxes(1, 2) + 0.3 * np.eye(N)
DIAGONAL = [Gaussian(m, logvar=s) for m, s in zip(MEANS, LOGVARS, strict=True)]
DENSE = [Gaussian(m, cov=c) for m, c in zip(MEANS, COVS, strict=True)]
WEIGHTS, OTHERS = [0.125, 0.25, 0.5, 0.125], [0.25, 0.125, 0.375, 0.25]


def near(gaussians, gap, axis):
    """Copies of the first with relative differences of about ``gap``."""
    first = gaussians[0]
    noise = RNG.normal(size=(K, N))
    scales = [first.scale * (1 + gap * noise[k] * (1 if axis else np.eye(N))) for k in range(K)]
    return [Gaussian(first.mean + gap * noise[k], **{first.form: scale}) for k, scale in enumerate(scales)]


def definition(gaussians, weights, mean_weights, dual):
    """``sum_k w_k KL(N_k||G)`` or ``KL(G||N_k)`` with ``P_G = sum_k g_k P_k`` [eqs. 2, 12, 13], in 60 digits."""
    with mp.workdps(DIGITS):
        pairs = [exact(N.form, N.mean, N.scale) for N in gaussians]
        precisions = [mp.mpf(g) * S**-1 for g, (_, S) in zip(mean_weights, pairs, strict=True)]
        S = sum(precisions[1:], precisions[0]) ** -1
        force = [P * m for P, (m, _) in zip(precisions, pairs, strict=True)]
        G = S * sum(force[1:], force[0]), S
        terms = [textbook_kl(G, N) if dual else textbook_kl(N, G) for N in pairs]
        return sum(mp.mpf(w) * term for w, term in zip(weights, terms, strict=True))


def is_nearest(value, truth):
    """Whether no float64 is nearer to the truth, which has at least 30 digits even for the closest Gaussians."""
    with mp.workdps(DIGITS):
        return abs(mp.mpf(float(value)) - truth) <= mp.mpf(float(np.spacing(value))) * (0.5 + 1e-9)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("mean_weights", [None, OTHERS])
@pytest.mark.parametrize("gap", [None, 1e-3, 1e-8, 1e-13])
def test_diagonal_gaussians_are_correctly_rounded_however_close(gap, mean_weights, dual):
    gaussians = DIAGONAL if gap is None else near(DIAGONAL, gap, axis=1)
    value = jsg_many(gaussians, WEIGHTS, mean_weights=mean_weights, dual=dual)
    assert is_nearest(value, definition(gaussians, WEIGHTS, mean_weights or WEIGHTS, dual))


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("mean_weights", [None, OTHERS])
@pytest.mark.parametrize("form", ["cov", "scale_tril", "precision"])
@pytest.mark.parametrize("gap", [None, 1e-3, 1e-6, 1e-13])
def test_full_covariances_are_correctly_rounded_however_close(gap, form, mean_weights, dual):
    gaussians = [Gaussian(x.mean, **{form: x.scale_tril if form == "scale_tril" else x.scale}) for x in DENSE]
    gaussians = gaussians if gap is None else near(gaussians, gap, axis=0)
    value = jsg_many(gaussians, WEIGHTS, mean_weights=mean_weights, dual=dual)
    assert is_nearest(value, definition(gaussians, WEIGHTS, mean_weights or WEIGHTS, dual))


@pytest.mark.parametrize("gap", [1.0, 1e-5, 1e-10])
def test_ill_conditioned_covariances_that_are_close_keep_their_digits(gap):
    """Differences of precisions of condition 1e10 in float64 would leave no digit."""
    rng = np.random.default_rng(6)
    q = np.linalg.qr(rng.normal(size=(N, N)))[0]
    root = q * [1.0, 1e-3, 1e-5]
    noise = [x + x.T for x in rng.normal(size=(K, N, N)) / 10]
    covs = [root @ (np.eye(N) + gap * x) @ root.T for x in noise]
    gaussians = [Gaussian(gap * root @ m, cov=(S + S.T) / 2) for m, S in zip(MEANS, covs, strict=True)]
    for dual in (False, True):
        value = jsg_many(gaussians, WEIGHTS, mean_weights=OTHERS, dual=dual)
        assert is_nearest(value, definition(gaussians, WEIGHTS, OTHERS, dual))


def test_close_full_covariances_are_right_where_the_mean_has_other_weights():
    """Terms of first order in the difference cancel here, unless G is computed from the differences."""
    E = np.array([[0.3, 1.0], [1.0, -0.7]])
    gaussians = [Gaussian(0.0, cov=np.eye(2) + x * E) for x in (0.0, 1e-6, -2e-6)]
    weights, others = [0.5, 0.25, 0.25], [0.2, 0.2, 0.6]
    for dual in (False, True):
        value = jsg_many(gaussians, weights, mean_weights=others, dual=dual)
        assert is_nearest(value, definition(gaussians, weights, others, dual))


@pytest.mark.parametrize("pair", [DIAGONAL[:2], DENSE[:2], [DIAGONAL[0], DENSE[1]]], ids=["diagonal", "dense", "mixed"])
def test_two_gaussians_give_the_bits_of_the_pair(pair):
    for alpha in (0.0, 1e-300, 0.1, 0.3, 1 / 3, 0.7, 1.0):
        for dual, function in ((False, jsg), (True, jsg_dual)):
            weights = [1 - alpha, alpha]
            assert jsg_many(pair, weights, dual=dual) == function(*pair, alpha, convention="nielsen")
            deasy = jsg_many(pair, weights, mean_weights=weights[::-1], dual=dual)
            assert deasy == pytest.approx(function(*pair, alpha), rel=1e-15)  # 1 - (1 - alpha) is not alpha


def test_weights_that_sum_to_1_only_in_float32_are_divided_by_their_sum():
    weights = np.float32([0.1, 0.2, 0.3, 0.4])
    assert abs(weights.astype(float).sum() - 1) > 1e-9
    value = jsg_many(DIAGONAL, weights)
    assert value == pytest.approx(jsg_many(DIAGONAL, weights.astype(float) / weights.astype(float).sum()), rel=1e-15)


def test_equal_gaussians_have_divergence_zero():
    for gaussian in (DIAGONAL[0], DENSE[0], Gaussian(MEANS[0], scale_tril=np.linalg.cholesky(COVS[0]))):
        for dual in (False, True):
            for mean_weights in (None, [0.1, 0.2, 0.7]):
                assert jsg_many(3 * [gaussian], [0.5, 0.25, 0.25], mean_weights=mean_weights, dual=dual) == 0
            assert jsg_many([gaussian], [1.0], dual=dual) == 0


def full(mean, var):
    return Gaussian([mean, 0.0], cov=var * np.eye(2))


MAKE = {"diagonal": lambda mean, var: Gaussian([mean, 0.0], var=var), "full": full}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize(("weights", "value", "mean"), [([0.1, 0.8, 0.1], 0.1, 1.0), ([0.1, 0.2, 0.7], 0.22, 1.6)])
@pytest.mark.parametrize("far", [(1e9, 1.0), (1e150, 1e-300), (0.0, 1e300)])
@pytest.mark.parametrize("place", range(4))
def test_a_gaussian_of_weight_zero_changes_no_result(make, weights, value, mean, far, place):
    """The sums of these weights are 1 only after rounding; the exact value is the variance of the means / 2."""
    others = [make(float(m), 1.0) for m in range(3)]
    gaussians, all_weights = list(others), list(weights)
    gaussians.insert(place, make(*far))
    all_weights.insert(place, 0.0)
    for dual in (False, True):
        assert jsg_many(gaussians, all_weights, dual=dual) == jsg_many(others, weights, dual=dual)
        assert jsg_many(gaussians, all_weights, dual=dual) == pytest.approx(value, rel=1e-15)
    batch = np.transpose([all_weights, np.roll(all_weights, 1 if place < 3 else 2)])
    assert jsg_many(gaussians, batch)[0] == pytest.approx(value, rel=1e-15)
    for x in (all_weights, batch):
        G = geometric_mean_many(gaussians, x)
        np.testing.assert_allclose(G.mean.reshape(-1, 2)[0], [mean, 0.0], rtol=1e-15)
        np.testing.assert_allclose(G.var.reshape(-1, 2)[0], [1.0, 1.0], rtol=1e-15)


@pytest.mark.parametrize("gaussians", [DIAGONAL, DENSE], ids=["diagonal", "full"])
def test_the_order_of_the_gaussians_changes_nothing(gaussians):
    for small in (0.1, 1e-5, 1e-10, 1e-17):
        weights = np.array([small, 0.2, 0.3 - small, 0.5])
        value = jsg_many(gaussians, weights)
        assert jsg_many(gaussians[:2], [small, 1 - small]) == jsg_many(gaussians[1::-1], [1 - small, small])
        for order in ([3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]):
            assert jsg_many([gaussians[i] for i in order], weights[order]) == pytest.approx(value, rel=3e-16)


def test_weights_of_rounded_sum_never_make_the_divergence_negative():
    gaussians = [Gaussian([m], var=[1.0]) for m in (1e9, 0.0, 1.0, 2.0)]
    for a, b in itertools.product(range(1, 9), repeat=2):
        if a + b < 10:
            weights = np.array([0, a, b, 10 - a - b]) / 10
            mean = weights[1:] @ [0.0, 1.0, 2.0]
            variance = weights[1:] @ ([0.0, 1.0, 2.0] - mean) ** 2
            assert jsg_many(gaussians, weights) == pytest.approx(variance / 2, rel=1e-15)
            assert geometric_mean_many(gaussians, weights).var == 1


def test_the_mean_of_several_gaussians_is_a_mean_of_means():
    """``G`` with weights 1/2, 1/4, 1/4 is the mean of the first Gaussian and the mean of the others."""
    from jsgmath import geometric_mean

    var = [Gaussian(x.mean, var=x.var) for x in DIAGONAL]
    for gaussians in (DIAGONAL, var, DENSE):
        G = geometric_mean_many(gaussians[:3], [0.5, 0.25, 0.25])
        pair = geometric_mean(gaussians[0], geometric_mean(*gaussians[1:3], 0.5), 0.5)
        np.testing.assert_allclose(G.mean, pair.mean, rtol=1e-12)
        np.testing.assert_allclose(G.cov, pair.cov, rtol=1e-12)
    assert geometric_mean_many(DIAGONAL, WEIGHTS).form == "logvar"


def test_a_common_mean_of_1e8_costs_no_digits():
    for gaussians in (DIAGONAL, DENSE):
        far = [Gaussian(np.round(8 * x.mean) / 8 + 1e8, **{x.form: x.scale}) for x in gaussians]
        here = [Gaussian(np.round(8 * x.mean) / 8, **{x.form: x.scale}) for x in gaussians]
        assert jsg_many(far, WEIGHTS) == pytest.approx(jsg_many(here, WEIGHTS), rel=1e-15)


def test_a_gaussian_far_away_costs_the_others_no_digits():
    """If a mean of 1e12 were subtracted from the others, they would be rounded to multiples of 1e-4."""
    means = [[1e12 + 0.3, 0.0], [0.1, 0.0], [0.2, 0.0]]
    for dtype in (np.float64, np.float32):
        gaussians = [Gaussian(np.array(m, dtype), cov=np.eye(2, dtype=dtype)) for m in means]
        assert jsg_many(gaussians, [0.0, 0.5, 0.5]) == pytest.approx(
            0.00125, rel=1e-6 if dtype == np.float32 else 1e-14
        )


def test_the_mean_of_ill_conditioned_covariances_keeps_its_digits():
    """Without a second step the error at this condition of 1e8 would be 1e-8."""
    q = np.linalg.qr(RNG.normal(size=(2, 3, 3)))[0]
    gaussians = [Gaussian(m, cov=(a * [1.0, 1e-4, 1e-8]) @ a.T) for m, a in zip(MEANS[:2], q, strict=True)]
    with mp.workdps(DIGITS):
        precisions = [mp.matrix(x.cov.tolist()) ** -1 / 2 for x in gaussians]
        force = [P * mp.matrix(x.mean.tolist()) for P, x in zip(precisions, gaussians, strict=True)]
        product = np.array((((precisions[0] + precisions[1]) ** -1) * (force[0] + force[1])).tolist(), float)[:, 0]
    np.testing.assert_allclose(geometric_mean_many(gaussians, [0.5, 0.5]).mean, product, rtol=1e-10)


def test_batches_and_weights_broadcast():
    batch = Gaussian(RNG.normal(size=(3, 5, 2)), var=np.exp(RNG.normal(size=(3, 5, 2))))
    weights = RNG.dirichlet(np.ones(3), size=5).T
    values = jsg_many(batch, weights)
    assert values.shape == (5,)
    for i in range(5):
        alone = [Gaussian(batch.mean[k, i], var=batch.var[k, i]) for k in range(3)]
        assert values[i] == jsg_many(alone, weights[:, i])


REFUSED = {
    "too few weights": (lambda: jsg_many(DIAGONAL, [0.5, 0.5]), ValueError, "weights | 2 for 4"),
    "a sum of 1.1": (lambda: jsg_many(DIAGONAL[:2], [0.5, 0.6]), ValueError, "weights must sum to 1 | 1.1"),
    "a weight below 0": (
        lambda: jsg_many(DIAGONAL[:2], [-0.5, 1.5]),
        ValueError,
        "weights must not be negative | -0.5",
    ),
    "a weight that is not a number": (lambda: jsg_many(DIAGONAL[:2], [0.5, "x"]), TypeError, "weights | real numbers"),
    "weights of NaN": (lambda: jsg_many(DIAGONAL[:2], [np.nan, 1.0]), ValueError, "weights | nan"),
    "mean weights": (
        lambda: jsg_many(DIAGONAL[:2], [0.5, 0.5], mean_weights=[1.0, 1.0]),
        ValueError,
        "mean_weights must sum to 1 | 2",
    ),
    "two dimensions": (
        lambda: jsg_many([*DIAGONAL[:2], Gaussian([0.0], var=1.0)], [0.5, 0.25, 0.25]),
        ValueError,
        "3 | 1",
    ),
    "none": (lambda: jsg_many([], []), ValueError, "at least one"),
    "a single one": (lambda: jsg_many(DIAGONAL[0], [1.0]), TypeError, "sequence | batch | Gaussian"),
    "batches of 2 and 3": (
        lambda: jsg_many([DIAGONAL[0], *(Gaussian(np.zeros((b, 3)), var=1.0) for b in (2, 3))], [0.5, 0.25, 0.25]),
        ValueError,
        "batch shapes | (2,) | (3,) | broadcast",
    ),
    "no Gaussian": (lambda: jsg_many([DIAGONAL[0], 3.0], [0.5, 0.5]), TypeError, "gaussians[1] | float"),
    "another family": (
        lambda: jsg_many(2 * [families.Poisson(1.0)], [0.5, 0.5]),
        TypeError,
        "gaussians must be Gaussian | Poisson",
    ),
}


@pytest.mark.parametrize(("call", "exception", "fragments"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_with_a_reason(call, exception, fragments):
    with pytest.raises(exception) as caught:
        call()
    assert all(fragment in str(caught.value) for fragment in fragments.split(" | ")), caught.value


@pytest.mark.parametrize("count", [2, 3])
def test_a_value_beyond_float64_is_infinite(count):
    means = [0.0, 1e10, 2e10][:count]
    assert jsg_many([Gaussian([mean], var=[1e-300]) for mean in means], [1 / count] * count) == np.inf
