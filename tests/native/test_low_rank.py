"""Gaussians of covariance D + W W^T in NumPy, against the definition in 80 digits [eqs. 8, 10]."""

import numpy as np
import pytest
from mpmath import mp

from jsgmath import jsg, jsg_dual, kl, native
from jsgmath.families import low_rank
from jsgmath.families.low_rank import LowRankMultivariateNormal
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.nearest_full import nearest_full
from tests.low_rank import truth as slim_truth
from verification.oracles import textbook_jsg

DIGITS = 80
# Sizes of W, and the number of powers of ten over which the entries of D spread; W^2/D is up to 1e12.
FAR = {"ordinary": (1.0, 0), "large factors": (1e3, 0), "W^2/D of 1e12": (1e6, 0), "a wide diagonal": (1.0, 8)}


def moments(N):
    W = mp.matrix(N.factor.tolist()) if N.factor.size else mp.zeros(N.dim, 1)
    return mp.matrix(N.mean.tolist()), W * W.T + mp.diag(N.diagonal.tolist())


def pair(rng, n, k, gap=None, size=1.0, spread=0):
    """Two Gaussians that differ by about ``gap``, or are independent if it is None."""
    (mean, W, D), change = (
        (rng.normal(size=n), rng.normal(size=(n, k)), 10 ** rng.uniform(-spread, 1, n)) for _ in range(2)
    )
    first = mean, size * W, D
    other = change if gap is None else [x * (1 + gap * rng.normal(size=x.shape)) for x in first]
    return [LowRankMultivariateNormal(*x) for x in (first, other)]


def truth(first, second, alpha, dual):
    with mp.workdps(DIGITS):
        return textbook_jsg(moments(first), moments(second), mp.mpf(alpha), dual=dual)


def assert_nearest(first, second, alpha):
    for dual, function in ((False, jsg), (True, jsg_dual)):
        value = function(first, second, alpha)
        with mp.workdps(DIGITS):
            unit = mp.mpf(float(np.spacing(value)))
            assert abs(mp.mpf(float(value)) - truth(first, second, alpha, dual)) <= unit * (0.5 + 1e-9)


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 5), (6, 2)])
def test_low_rank_normals_far_apart_are_correctly_rounded(n, k, name, path):
    """Factors have more columns than rows, or fewer.  An earlier formula lost 1e10 ulp at W^2/D of 1e12."""
    rng = np.random.default_rng(1)
    first, second = pair(rng, n, k, None, *FAR[name])
    for one, other in ((first, second), (second, first)):
        for alpha in (0.0, 0.3, 1.0):
            assert_nearest(one, other, alpha)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-13])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_near_low_rank_normals_are_correctly_rounded(gap, size, path):
    rng = np.random.default_rng(2)
    for n, k in ((2, 3), (5, 2)):
        assert_nearest(*pair(rng, n, k, gap, size), 0.3)


def test_ranks_that_differ_batches_and_float32(path):
    rng = np.random.default_rng(3)
    (one, _), (other, _) = pair(rng, 4, 3), pair(rng, 4, 1)
    none = LowRankMultivariateNormal(other.mean, np.zeros((4, 0)), other.diagonal)
    assert_nearest(one, other, 0.3)
    assert_nearest(none, one, 0.3)
    both = zip(one.arrays(), pair(rng, 4, 3)[0].arrays(), strict=True)
    batch = LowRankMultivariateNormal(*map(np.stack, both))
    alphas = np.array([[0.1], [0.6], [1.0]])
    values = jsg(batch, other, alphas)
    assert values.shape == (3, 2)
    assert values[1, 0] == jsg(one, other, 0.6)
    assert jsg(one, one, 0.3) == jsg_dual(one, one, 0.3) == 0
    single = [LowRankMultivariateNormal(*(x.astype(np.float32) for x in N.arrays())) for N in (one, other)]
    assert kl(*single).dtype == np.float32
    assert kl(*single) == np.float32(float(truth(*single, 0.0, dual=False)))


def test_more_dimensions_are_rounded_by_the_core_or_by_whole_numbers(path):
    """Factors also have more columns than rows; the values come in a batch, and in float32."""
    rng = np.random.default_rng(6)
    wide = pair(rng, 42, 45)
    dense = ((N.mean, "low_rank", np.column_stack([N.factor, N.diagonal])) for N in wide)
    assert jsg(*wide, 0.3) == nearest_full(Divergence.JSG, True, *dense, 0.3, False)
    for n, k, gap in ((45, 2, None), (110, 1, 1e-8)):
        first, second = pair(rng, n, k, gap)
        value = kl(first, second)
        assert value == float(slim_truth(first.arrays(), second.arrays(), 0.0, dual=False, reverse=True))
    both = LowRankMultivariateNormal(*map(np.stack, zip(first.arrays(), second.arrays(), strict=True)))
    assert jsg_dual(both, second, 1.0).tolist() == [value, 0.0]
    single = [LowRankMultivariateNormal(*(x.astype(np.float32) for x in N.arrays())) for N in (first, second)]
    assert kl(*single).dtype == np.float32
    sides = ([x.astype(float) for x in N.arrays()] for N in single)
    assert kl(*single) == np.float32(float(slim_truth(*sides, 0.0, dual=False, reverse=True)))


def test_the_bound_of_the_core_is_true_for_low_rank(core):
    found, (library, _) = np.zeros(3), native.open_core(core)
    rng = np.random.default_rng(4)
    decided = []
    for n, k, gap in ((1, 1, None), (3, 5, None), (7, 2, None), (7, 2, 1e-5), (12, 3, 1e-3)):
        sides = pair(rng, n, k, gap)
        arrays = [x for N in sides for x in (N.mean, np.column_stack([N.factor, N.diagonal]))]
        native.full(Divergence.JSG, True, ("low_rank",) * 2, arrays, np.array(0.3), (), n, False, library, found)
        with mp.workdps(DIGITS):
            value = mp.mpf(found[0]) + mp.mpf(found[1])
            assert abs(value - truth(*sides, 0.3, dual=False)) <= found[2]
        decided.append(found[2] < 2.0**-60 * found[0])
    assert sum(decided) >= 4


def test_in_float64_alone_few_digits_are_lost(monkeypatch):
    """The values are compared with correctly rounded ones."""
    rng = np.random.default_rng(5)
    for n, gap in ((3, None), (20, None), (20, 1e-6)):
        first, second = pair(rng, n, 2, gap)
        for alpha in (0.0, 0.3):
            for function in (jsg, jsg_dual):
                monkeypatch.setattr(low_rank, "ROUNDED_UP_TO", 40)
                right = function(first, second, alpha)
                monkeypatch.setattr(low_rank, "ROUNDED_UP_TO", 0)
                # In a thousand pairs of few dimensions, some tens of units were lost.
                assert function(first, second, alpha) == pytest.approx(right, rel=1e-13, abs=0)
