"""Divergences of exponential families have the same bits by every implementation, and are the nearest floats."""

import math
from itertools import product

import numpy as np
import pytest

import jsgmath
from jsgmath import native
from jsgmath.families import Bernoulli, Categorical, Exponential, Geometric, Poisson, rounding
from jsgmath.families.rounding import Divergence, by_numpy
from verification import family_oracles, members

ROWS = 600
FORMS = {
    Exponential: ("rate", "scale"),
    Poisson: ("rate",),
    Geometric: ("probs", "logits"),
    Bernoulli: ("probs", "logits"),
    Categorical: ("probs", "logits"),
}


def numbers(rng, form, size):
    """Parameters of all sizes that the fast arithmetic accepts."""
    if form == "logits":
        return rng.normal(size=size) * rng.choice([1e-3, 1, 10], size)
    if form == "probs" and len(size) == 1:
        return np.where(rng.random(size) < 0.5, rng.uniform(0.01, 0.99, size), 10 ** rng.uniform(-20, -1, size))
    return np.exp(rng.normal(size=size) * rng.choice([1, 20], size))


def batches(rows=ROWS):
    """Members far and near, of every two forms, each with weights of all sizes."""
    rng = np.random.default_rng(5)
    for kind, forms in FORMS.items():
        for form1, form2 in product(forms, repeat=2):
            size = (rows // 3, 4) if kind is Categorical else (rows,)
            x, other = (numbers(rng, form, size) for form in (form1, form2))
            gaps = 10 ** rng.uniform(-12, 0, (size[0],) + (1,) * (len(size) - 1)) * rng.uniform(0, 1, size)
            # A number that is added to all logits changes nothing, but has to cancel in the computation.
            near = x - gaps + (3.7 if kind is Categorical else 0.0) if form1 == "logits" else x * (1 - 0.5 * gaps)
            y = np.where(rng.random(size[:1]) < 0.5, near.T, other.T).T if form1 == form2 else other
            alpha = np.where(rng.random(size[0]) < 0.5, rng.uniform(size=size[0]), 10 ** rng.uniform(-15, 0, size[0]))
            yield kind(**{form1: x}), kind(**{form2: y}), alpha


DIVERGENCES = [*product((Divergence.TO_MEAN, Divergence.FROM_MEAN), (False, True))]
DIVERGENCES += [(Divergence.DIRECT, True), (Divergence.BOTH_DIRECT, True)]
BATCHES = [
    rounding.batch_of(N1, N2, divergence, reverse, alpha)[0]
    for (N1, N2, alpha), (divergence, reverse) in product(batches(), DIVERGENCES)
]


@pytest.fixture(scope="module")
def by_pairs():
    return [by_numpy.families(*batch)[0] for batch in BATCHES]


def both(first, second):
    return ~np.isnan(first) & ~np.isnan(second)


def test_every_instruction_set_and_numpy_give_the_same_bits(core, by_pairs):
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        opened = native.open_core(core, name)[0]
        for batch, of_numpy in zip(BATCHES, by_pairs, strict=True):
            values, left = native.families(*batch, core=opened)
            assert left == np.isnan(values).sum()
            decided = both(values, of_numpy)
            assert np.array_equal(values[decided], of_numpy[decided]), (name, batch[:4])
            # A probability is compared with log-odds by decimal numbers if the two are close.
            mixed = batch.forms[0] != batch.forms[1] and batch.name != "exponential"
            assert decided.mean() > (0.7 if mixed else 0.8)


def test_the_decimal_numbers_give_the_same_bits(by_pairs):
    check_by_decimals(zip(BATCHES, by_pairs, strict=True), 2)


def check_by_decimals(found, count):
    """Compares some of the decided values of batches with those by decimal numbers."""
    rng = np.random.default_rng(6)
    for batch, values in found:
        where = rng.choice(np.flatnonzero(~np.isnan(values)), count, replace=False)
        arrays = [x if x is rounding.NO else x[where] for x in batch.arrays]
        decimals = np.full(count, np.nan)
        rounding.decide(batch._replace(arrays=arrays, alpha=batch.alpha[where], shape=(count,)), decimals)
        assert np.array_equal(decimals, values[where]), batch[:4]


def test_fast_arithmetic_decides_nearly_all_ordinary_values(path):
    """Decimal numbers take about a thousand times as long."""
    rng = np.random.default_rng(7)
    x, y = rng.uniform(0.1, 0.9, (2, 5000))
    compute = native.families if native.CORE else by_numpy.families
    for kind, (form, *_) in FORMS.items():
        N1, N2 = (kind(**{form: z if kind is not Categorical else np.stack([z, 1 - z], -1)}) for z in (x, y))
        batch, _ = rounding.batch_of(N1, N2, Divergence.TO_MEAN, True, np.array(0.3))
        assert compute(*batch)[1] <= 2


def test_float32_is_rounded_once(path):
    rng = np.random.default_rng(8)
    for form in ("Poisson", "Geometric", "Exponential, scale", "Bernoulli, logits", "Categorical"):
        for seed in range(8):
            pair = [tuple(map(float, np.float32(p))) for p in members.ordinary(form, seed, 10.0 ** -rng.integers(4))]
            _, (family, *exact) = members.made(form, pair)
            make = members.FORMS[form][0]
            single = [N.like(N, **N.parameters) for N in (make(*map(np.float32, p)) for p in pair)]
            assert all(x.dtype == np.float32 for N in single for x in N.parameters.values())
            truth = family_oracles.skew(family, *exact, 0.3, "nielsen", True)
            assert single[0].skew(single[1], 0.3, "nielsen", True) == np.float32(float(truth))


SAME = [
    (Exponential(rate=8.0), Exponential(scale=0.125)),
    (Bernoulli(0.5), Bernoulli(logits=0.0)),
    (Geometric(logits=0.0), Geometric(0.5)),
    (Categorical([1.0, 2.0, 0.0]), Categorical([3.0, 6.0, 0.0])),
    (Categorical(logits=[1.0, 2.0, -np.inf]), Categorical(logits=[3.0, 4.0, -np.inf])),
    (Categorical([7.0, 7.0]), Categorical(logits=[0.1, 0.1])),
    (Poisson(1e-310), Poisson(1e-310)),
    (Geometric(logits=-1e300), Geometric(logits=-1e300)),
]


@pytest.mark.parametrize(("N1", "N2"), SAME)
def test_equal_members_have_the_divergence_0(path, N1, N2):
    for dual, convention, alpha in product((False, True), ("deasy", "nielsen"), (0.0, 1e-20, 0.3, 1.0)):
        assert N1.skew(N2, alpha, convention, dual) == 0
    assert jsgmath.jeffreys(N1, N2) == 0


def test_a_row_is_summed_before_it_is_rounded(path, monkeypatch):
    """This covers independent components, copies of them, broadcasting, strides and threads."""
    rng = np.random.default_rng(9)
    x, y = rng.uniform(0.2, 3, (40, 11)), rng.uniform(0.2, 3, 11)
    N1, N2 = (Poisson(z).repeated(3).independent(1) for z in (x, y))
    alpha = rng.uniform(size=40)
    values = N1.skew(N2, alpha, "deasy", False)
    batch, _ = rounding.batch_of(N1, N2, Divergence.TO_MEAN, True, alpha)
    found = np.full(40, np.nan)
    rounding.decide(batch, found)
    assert np.array_equal(values, found)
    columns = Poisson(np.asfortranarray(x)).repeated(3.0).independent(1)
    assert np.array_equal(columns.skew(N2, alpha, "deasy", False), values)
    assert N1.skew(N2, alpha[:, None, None], "deasy", False)[3, 0, 5] == jsgmath.jsg(
        Poisson(x[5]).repeated(3).independent(1), N2, alpha[3]
    )
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 20)
    monkeypatch.setattr(native, "cores", lambda: 3)
    assert np.array_equal(N1.skew(N2, alpha, "deasy", False), values)
    assert Poisson(np.ones((0, 3))).independent(1).skew(
        Poisson(np.ones(3)).independent(1), 0.5, "deasy", True
    ).shape == (0,)


@pytest.mark.parametrize(
    ("N1", "N2", "alpha", "convention", "dual", "expected"),
    [
        # Probabilities of success that underflow, one e times the other: KL = p2/p1 - 1 - log(p2/p1).
        (Geometric(logits=-(2.0**52)), Geometric(logits=1 - 2.0**52), 0.0, "deasy", False, 0.71828182845904523536),
        (Geometric(logits=-1e300), Geometric(logits=-1e300 + 1e285), 0.0, "deasy", False, math.inf),
        (Bernoulli(logits=1e308), Bernoulli(logits=-1e308), 0.0, "deasy", False, 1e308),
        (Bernoulli(logits=1e307), Bernoulli(logits=-1e307), 0.25, "nielsen", True, 2.5e306),
        (Exponential(1e308), Exponential(1e-308), 0.5, "deasy", False, math.inf),
        (Poisson(0.0), Poisson(3.0), 0.25, "deasy", True, 0.75),
        (Poisson(0.0), Poisson(3.0), 0.25, "deasy", False, math.inf),
        # (sqrt(l1) - sqrt(l2))^2/2 is in the middle between two floats, and the even one is the result.
        (Poisson((2.0**26 + 1) ** 2), Poisson(0.25), 0.5, "nielsen", True, (2.0**26 + 0.5) ** 2 / 2),
    ],
)
def test_extreme_members_have_the_value_of_the_definition(path, N1, N2, alpha, convention, dual, expected):
    assert N1.skew(N2, alpha, convention, dual) == expected
