"""Sums over the coordinates of Gaussians of low rank in the core keep their bounds, and broken C++ is noticed."""

import decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from mpmath import mp

from jsgmath import native
from jsgmath.rounding import nearest_low_rank as slim
from jsgmath.rounding.low_rank_sums import BITS_BY_CORE, BaseByCore
from jsgmath.rounding.nearest import Divergence
from jsgmath.rounding.nearest_full import Undecided, weights_of
from tests.rounding.test_nearest_low_rank import KINDS, arrays

MUTANTS = {
    "sums without low parts": (
        "sums.cpp", "fast_two_sum(sum.high, sum.low + (c.low + multiply_add(a, b.low, product.low)))",
        "fast_two_sum(sum.high, c.low + multiply_add(a, b.low, product.low))"),
    "lanes that are not valid": ("sums.cpp", "valid >= LANES", "valid >= 0"),
    "shares without a low part": ("sums.cpp", "return {every(x[0]), every(x[1])};", "return {every(x[0]), Lanes{}};"),
    "the other share": ("sums.cpp", "exact(two) * share(b.share[1])", "exact(two) * share(b.share[0])"),
    "ratios of lanes that are not valid": ("sums.cpp", "set_lane(ratio.high, i, 0)", "(void)0"),
    "1/B^2 for D/B^2": ("sums.cpp", "exact(own) * weight", "weight"),
    "D/B for D/B^2": ("sums.cpp", "weight = ratio * weight;", "weight = ratio;"),
    "the last sum of D/B": ("sums.cpp", "total = total + ratio;", "total = ratio;"),
    "no weights": ("sums.cpp", "exact(entry) * weight", "exact(entry)"),
    "the last block alone": ("sums.cpp", "found.start[j * c + i + k] + sums[k]", "sums[k]"),
    "no limits of columns": (
        "sums.cpp", "sound &= (size == 0) | between(size, 1 / LARGEST_ENTRY, LARGEST_ENTRY);", ";"),
    "no limits of diagonals": (
        "sums.cpp", "sound &= between(one, 1 / LARGEST, LARGEST) & between(own, 1 / LARGEST, LARGEST);", ";"),
    "no limits of the second diagonal": ("sums.cpp", "sound &= between(two, 1 / LARGEST, LARGEST);", ";"),
    "an exponent that is not counted": ("sums.cpp", "exponent += number_of(size);", ";"),
    "exponents of the lanes": ("sums.cpp", "all.exponent + across(product.exponent)", "all.exponent"),
    "sums of the first lane": ("sums.cpp", "across(found.start[j * c + i])", "found.start[j * c + i]"),
    "a total of the first lane": ("sums.cpp", "total = across(total);", ";"),
}  # fmt: skip


def cases():
    """Columns of any size and zeros, diagonals over 40 powers of ten, numbers of coordinates near those of a block."""
    rng = np.random.default_rng(41)
    for n, g, with_own in product((1, 7, 131), (Fraction(1), Fraction(0.3), Fraction(1e-30)), (False, True)):
        X = rng.normal(size=(n, 5)) * [1.0, 1e40, 1e-9, 1e-40, 1.0]
        X[rng.random(X.shape) < 0.1] = 0.0
        one, two, own = 10 ** rng.uniform(-20, 20, (3, n))
        yield X, (one, two), (g, 1 - g), own if with_own else None


CASES = list(cases())


def computed(core, X, diagonals, shares, own):
    base = BaseByCore(diagonals, shares)
    return native.sums(np.ascontiguousarray(X.T), base._one, base._two, base._shares, own, core)


def instruction_sets(core):
    return [native.open_core(core, name)[0] for name in native.open_core(core)[1].partition("of ")[2].split(", ")]


def test_sums_keep_their_bounds(core, monkeypatch):
    with mp.workdps(80):
        for X, diagonals, shares, own in CASES:
            g, h = (mp.mpf(x.numerator) / x.denominator for x in shares)
            base = [g * x + h * y for x, y in zip(*(D.tolist() for D in diagonals), strict=True)]
            weights = [1 / b if own is None else own[i] / b**2 for i, b in enumerate(base)]
            columns = [[mp.mpf(x) for x in column] for column in X.T.tolist()]
            weighted = [[w * x for w, x in zip(weights, column, strict=True)] for column in columns]
            exact = [[mp.fdot(a, b) for a in columns] for b in weighted]
            for opened in instruction_sets(core):
                monkeypatch.setattr(native, "CORE", opened)
                made = BaseByCore((*diagonals, own), (*shares, Fraction(0)))
                found = made.gram(X) if own is None else made.gram_with(2, X)
                share = mp.mpf(found.error.numerator) / found.error.denominator
                for i, j in product(range(5), range(5)):
                    error = mp.ldexp(int(found.matrix.numbers[i, j]), found.matrix.exponent) - exact[i][j]
                    assert error**2 <= share**2 * exact[i][i] * exact[j][j]
                if own is None:
                    log, wanted = made.log_of_product(), mp.fsum(map(mp.log, base))
                    error = mp.mpf(log.numerator) / log.denominator - wanted
                    assert abs(error) <= (8 * len(X) + abs(wanted)) * mp.mpf(2) ** -BITS_BY_CORE
                else:
                    total, wanted = made.total(2), mp.fsum(x / b for x, b in zip(own, base, strict=True))
                    error = mp.mpf(total.numerator) / total.denominator - wanted
                    assert abs(error) <= wanted * 2 * len(X) * mp.mpf(2) ** -BITS_BY_CORE


def test_the_bound_of_divergences_by_these_sums_holds(core, monkeypatch):
    """Against whole numbers of 420 bits."""
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    rng, decided = np.random.default_rng(42), 0
    for name, divergence in product(KINDS, (Divergence.JSG, Divergence.JSG_DUAL)):
        size, spread, gap = KINDS[name]
        problem = slim._problem(*arrays(rng, 150, (2, 2), size, spread, gap))
        with decimal.localcontext(slim.BOUNDS):
            value, error = slim._bounded(divergence, weights_of(True, 0.3), problem, False, slim.BY_CORE)
            exact, _ = slim._bounded(divergence, weights_of(True, 0.3), problem, False, 20)
        assert abs(value - exact) <= Fraction(error), name
        decided += error < 2.0**-60 * float(value)
    assert decided >= 4


def test_numbers_beyond_the_limits_are_refused(core, monkeypatch):
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    assert outcomes(native.CORE)[-8:] == 8 * ["refused"]
    D = np.ones(3)
    with pytest.raises(Undecided):
        BaseByCore((D,), (Fraction(1),)).gram(np.full((3, 1), 1e-70))


def beyond():
    """One number beyond the limits, in the last lane or before."""
    for place, far in ((0, 1e40), (4, 1e-40)):
        X, one, two, own = np.ones((5, 2)), *np.ones((3, 5))
        for array, value in ((X[:, 1], far**2), (one, far), (two, far), (own, far)):
            kept, array[place] = array[place], value
            yield X.copy(), (one.copy(), two.copy()), (Fraction(0.5), Fraction(0.5)), own.copy()
            array[place] = kept


def outcomes(core):
    """The bits of all results, as texts."""
    found = (computed(core, *case) for case in (*CASES, *beyond()))
    return ["refused" if x is None else x.tobytes().hex() for x in found]


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("sums",), MUTANTS.values())


@pytest.fixture(scope="module")
def right(core):
    return outcomes(native.open_core(core, "plain")[0])


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert outcomes(chosen(0)) == right


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert outcomes(chosen(number)) != right
