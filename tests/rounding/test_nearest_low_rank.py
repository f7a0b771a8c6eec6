"""Gaussians of low rank in many dimensions, against the definition in 200 digits by Woodbury's identity."""

import decimal
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp

from jsgmath.rounding import low_rank_sums
from jsgmath.rounding import nearest_low_rank as slim
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.nearest_full import Undecided, nearest_full, weights_of
from tests.low_rank import DIGITS, truth

# Size of the factors, powers of ten over which D spreads, relative difference of the two (None: independent).
KINDS = {
    "ordinary": (1.0, 0, None),
    "W^2/D of 1e12": (1e6, 0, None),
    "a wide diagonal": (1.0, 30, None),
    "near": (1.0, 1, 1e-6),
    "nearer": (1.0, 1, 1e-14),
    "near and W^2/D of 1e12": (1e6, 0, 1e-9),
}


def arrays(rng, n, ranks, size=1.0, spread=0, gap=None):
    first, second = (
        (rng.normal(size=n), size * rng.normal(size=(n, k)), 10 ** rng.uniform(-spread, 1, n)) for k in ranks
    )
    return first, second if gap is None else tuple(x * (1 + gap * rng.normal(size=x.shape)) for x in first)


def assert_nearest(first, second, alpha, dual, reverse=True):
    divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
    value = slim.nearest_low_rank(divergence, reverse, first, second, alpha, False)
    with mp.workdps(DIGITS):
        unit = mp.mpf(float(np.spacing(value)))
        assert abs(mp.mpf(value) - truth(first, second, alpha, dual, reverse)) <= unit * (0.5 + 1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_values_in_many_dimensions_are_the_nearest_floats(name):
    rng = np.random.default_rng(1)
    size, spread, gap = KINDS[name]
    for ranks, dual, alpha, reverse in (
        ((2, 2), False, 0.3, True),
        ((3, 1), True, 0.3, False),
        ((0, 2), True, 1.0, True),
    ):
        pair = arrays(rng, 150, ranks if gap is None else (2, 2), size, spread, gap)
        assert_nearest(*pair, alpha, dual, reverse)
    assert_nearest(*pair, 0.0, False)


@pytest.mark.parametrize("limbs", [5, 9])
def test_the_bound_holds(limbs):
    """Errors reach a thousandth of it, because it adds the sizes of rounding errors of either sign."""
    rng = np.random.default_rng(2)
    found = []
    for size, spread, gap in KINDS.values():
        pair = arrays(rng, 60, (2, 2), size, spread, gap)
        for dual in (False, True):
            divergence = Divergence.JSG_DUAL if dual else Divergence.JSG
            try:
                with decimal.localcontext(slim.BOUNDS):
                    value, error = slim._bounded(divergence, weights_of(True, 0.3), slim._problem(*pair), False, limbs)
            except Undecided:
                continue
            with mp.workdps(DIGITS):
                exact = mp.mpf(value.numerator) / value.denominator
                share = abs(exact - truth(*pair, 0.3, dual, True)) / mp.mpf(str(error))
            found.append(float(share))
    assert len(found) >= 8
    assert max(found) <= 1


def test_sums_keep_their_bound(monkeypatch):
    """Cases: columns of any size, weights over 60 powers of ten, cancellation, and more rows than one block has."""
    monkeypatch.setattr(low_rank_sums, "ROWS", 64)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 3)) * [1.0, 1e200, 1e-9]
    X[::7, 2], X[:1, 0] = 0.0, 1e3
    D = 10 ** rng.uniform(-30, 30, 150)
    columns = [[Fraction(x) for x in column] for column in X.T.tolist()]
    weights = [1 / Fraction(d) for d in D.tolist()]
    exact = [[sum(w * x * y for w, x, y in zip(weights, a, b, strict=True)) for a in columns] for b in columns]
    for limbs in (5, 8):
        found = low_rank_sums.gram(X, low_rank_sums.ratios(D).inverse, limbs)
        unit = Fraction(2) ** found.matrix.exponent
        for i in range(3):
            for j in range(3):
                error = found.matrix.numbers[i, j] * unit - exact[i][j]
                assert error**2 <= found.error**2 * exact[i][i] * exact[j][j]
        assert found.error < Fraction(1, 2 ** (21 * limbs - 25))


def test_equal_gaussians_of_different_factors_have_divergence_zero():
    """Columns are reordered, have other signs, are split in two, and one entry is moved to D."""
    rng = np.random.default_rng(4)
    (mean, W, D), _ = arrays(rng, 120, (3, 3))
    W = np.round(W * 16) * 5  # so that 0.6 and 0.8 times it are exact
    others = W[:, ::-1], -W, np.column_stack([W[:, :1] * 3 / 5, W[:, :1] * 4 / 5, W[:, 1:]])
    for other in others:
        assert slim.nearest_low_rank(Divergence.JSG, True, (mean, W, D), (mean, other, D), 0.3, False) == 0
    single = np.zeros((120, 1))
    single[5] = 2.0
    moved = np.ones(120)
    moved[5] = 5.0
    for dual in Divergence.JSG, Divergence.JSG_DUAL:
        assert (
            slim.nearest_low_rank(dual, True, (mean, single, np.ones(120)), (mean, 0 * single, moved), 0.3, False) == 0
        )
    one_ulp = W.copy()
    one_ulp[100, 1] = np.nextafter(one_ulp[100, 1], 9)
    assert slim.nearest_low_rank(Divergence.JSG, True, (mean, W, D), (mean, one_ulp, D), 0.3, False) > 0


def test_a_truth_in_the_middle_of_two_floats_goes_to_the_even_one():
    """KL of equal covariances is ``|d|^2/2``, here ``(1 + 2^-53)/2`` and ``(1 + 3 * 2^-53)/2``."""
    for count, even in ((2, 1.0), (6, 1 + 2.0**-51)):
        d = np.zeros(150)
        d[0], d[1 : 1 + count] = 1.0, 2.0**-27
        sides = (d, np.zeros((150, 1)), np.ones(150)), (0 * d, np.zeros((150, 1)), np.ones(150))
        assert slim.nearest_low_rank(Divergence.JSG, True, *sides, 0.0, False) == even / 2


def test_it_agrees_with_whole_numbers_in_few_dimensions():
    rng = np.random.default_rng(5)
    for _ in range(30):
        size, spread, gap = KINDS[rng.choice(list(KINDS))]
        pair = arrays(rng, 6, rng.integers(0, 4, 2), size, spread, gap)
        alpha, reverse, single = float(rng.choice([0.0, 0.3, 1.0, 1e-20])), bool(rng.integers(2)), bool(rng.integers(2))
        dense = [(m, "low_rank", np.column_stack([W, D])) for m, W, D in pair]
        for divergence in (Divergence.JSG, Divergence.JSG_DUAL):
            found = slim.nearest_low_rank(divergence, reverse, *pair, alpha, single)
            assert found == nearest_full(divergence, reverse, *dense, alpha, single)
