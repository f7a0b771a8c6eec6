"""Divergences of several diagonal Gaussians are the nearest floats, and the same by every implementation."""

from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from jsgmath import Gaussian, jsg_many, native
from jsgmath.rounding import of_many
from jsgmath.rounding.nearest_many import nearest_diagonal
from jsgmath.rounding.several import exact_weights, pairs_of_weights, wide_weights
from verification import balls

ROWS = 130
FORMS = ("var", "logvar", "std", "mixed")


class Batch(NamedTuple):
    """Several Gaussians in each row: means and scales ``(K, rows, n)``, weights ``(K, rows)``, or ``(K, 1)``."""

    forms: list[str]
    means: np.ndarray
    scales: np.ndarray
    w: np.ndarray
    g: np.ndarray
    dual: bool
    single: bool = False

    def by(self, core):
        sums, means = wide_weights(self.w), wide_weights(self.g)
        weights = np.stack([sums.high, sums.low, means.high, means.low])
        _, rows, n = self.means.shape
        return native.many(self.forms, self.means, self.scales, weights, self.dual, (rows,), n, self.single, core)

    def flat(self):
        rows = self.means.shape[:2]
        return of_many.Flat(
            self.forms, self.means, self.scales, *(np.broadcast_to(x, rows).copy() for x in (self.w, self.g))
        )


def scale_of(form, logvar):
    return logvar if form == "logvar" else np.exp(logvar / (2 if form == "std" else 1))


def weights(rng, count, rows):
    """Equal weights, ordinary weights, and weights some of which are tiny or 0."""
    w = rng.dirichlet(np.ones(count), rows).T
    small = rng.choice([0.0, 1e-18, 1e-35, 1e-300], w.shape, p=[0.3, 0.3, 0.3, 0.1])
    w *= np.where(rng.random(w.shape) < 0.2, small, 1)
    w[0, w.max(0) == 0] = 1.0
    w /= w.sum(0)
    w[:, : rows // 6] = 1 / count
    return w


def batches(rows=ROWS):
    """Two to six Gaussians of all distances and sizes; some differ in their last bits, others by 1e300."""
    rng = np.random.default_rng(12)
    for count, kind, dual in product(range(2, 7), FORMS, (False, True)):
        n = {"logvar": 2, "std": 9}.get(kind, 1) if count == 3 else 1
        size = (count, rows, n)
        forms = [str(x) for x in rng.choice(FORMS[:3], count)] if kind == "mixed" else count * [kind]
        gap = 10.0 ** rng.choice([-16.0, -12.0, -6.0, -2.0, 0.0, 1.0, 1.5] if n == 1 else [-6.0, 0.0], (1, rows, 1))
        gap[:, rng.random(rows) < 0.05] = 0.0
        middle = rng.normal(size=(1, rows, n)) * rng.choice([1.0, 12.0, 300.0], (1, rows, 1), p=[0.6, 0.3, 0.1])
        logvars = np.clip(middle + gap * rng.normal(size=size), -690, 690)
        means = np.exp(np.clip(middle, -600, 600) / 2) * (rng.normal(size=(1, rows, n)) + gap * rng.normal(size=size))
        scales = np.stack([scale_of(form, x) for form, x in zip(forms, logvars, strict=True)])
        w, g = weights(rng, count, rows), weights(rng, count, rows)
        yield Batch(forms, means, scales, w, w if rng.integers(2) else g, dual)


BATCHES = list(batches())


@pytest.fixture(scope="module")
def by_numpy():
    with np.errstate(all="ignore"):
        return [of_many._rounded(batch.flat(), batch.dual, False) for batch in BATCHES]


@pytest.fixture(scope="module")
def by_core(core):
    return [batch.by(native.open_core(core)[0])[0] for batch in BATCHES]


def test_every_instruction_set_and_numpy_give_the_same_bits(core, by_numpy):
    decided, compared = 0, 0
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        opened = native.open_core(core, name)[0]
        for batch, of_numpy in zip(BATCHES, by_numpy, strict=True):
            values, left = batch.by(opened)
            assert left == np.isnan(values).sum()
            assert not np.signbit(values[values == 0]).any()
            both = ~np.isnan(values) & ~np.isnan(of_numpy)
            assert np.array_equal(values[both], of_numpy[both]), (name, batch.forms, batch.dual)
            decided, compared = decided + (~np.isnan(values)).sum(), compared + len(values)
    assert decided > 0.65 * compared


def test_values_are_the_nearest_floats(by_core):
    """The values are compared with balls and with decimal numbers."""
    rng = np.random.default_rng(13)
    for batch, values in zip(BATCHES, by_core, strict=True):
        flat = batch.flat()
        for row in rng.choice(np.flatnonzero(values > 0), 13, replace=False).tolist():
            w, g = (exact_weights(x[:, row].tolist()) for x in (flat.w, flat.g))
            means, scales = (x[:, row].T.tolist() for x in (batch.means, batch.scales))
            columns = (list(zip(m, batch.forms, s, strict=True)) for m, s in zip(means, scales, strict=True))
            truth = balls.total(balls.several(column, w, g, dual=batch.dual) for column in columns)
            assert balls.is_nearest(values[row], truth), (batch, row)
        row = int(rng.choice(np.flatnonzero(~np.isnan(values))))
        assert nearest_diagonal(flat.members(row), batch.dual, False) == values[row]


def test_ordinary_values_are_decided_by_fast_arithmetic(core):
    """NumPy and decimal numbers take 20 and 1,000 times as long."""
    rng = np.random.default_rng(14)
    opened = native.open_core(core)[0]
    for kind, dual, gap in product(FORMS[:3], (False, True), (1.0, 1e-7, 1e-15)):
        middle, w = rng.normal(size=(2, 1, 3000, 1)), rng.dirichlet(np.ones(3), 3000).T
        means, logvars = (x + gap * rng.normal(size=(3, 3000, 1)) for x in middle)
        batch = Batch(3 * [kind], means, scale_of(kind, logvars), w, np.roll(w, 1, 0), dual)
        assert batch.by(opened)[1] <= 1


def test_broadcasting_strides_and_threads_change_no_bit(path, monkeypatch):
    rng = np.random.default_rng(15)
    means, logvars = rng.normal(size=(2, 3, 20, 21))  # 21 columns are not a multiple of any vector's length
    w = rng.dirichlet(np.ones(3), 20).T
    one = Gaussian(means[0, 0], logvar=logvars[0, 0])
    others = [Gaussian(m, logvar=s) for m, s in zip(means[1:], logvars[1:], strict=True)]
    expected = [
        jsg_many([one, *(Gaussian(m[i], logvar=s[i]) for m, s in zip(means[1:], logvars[1:], strict=True))], w[:, i])
        for i in range(20)
    ]
    assert np.array_equal(jsg_many([one, *others], w), expected)
    columns = [Gaussian(np.asfortranarray(N.mean), logvar=N.scale[:, ::-1][:, ::-1]) for N in others]
    assert np.array_equal(jsg_many([one, *columns], w), expected)
    tall = [Gaussian(N.mean[:, None], logvar=N.scale[:, None]) for N in others]
    grid = jsg_many([*tall, one], np.roll(w, -1, 0))
    assert grid.shape == (20, 20)
    assert np.array_equal(np.diagonal(grid), expected)
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 100)
    monkeypatch.setattr(native, "cores", lambda: 5)
    assert np.array_equal(jsg_many([one, *others], w), expected)
    assert jsg_many([Gaussian(np.zeros((0, 3)), var=1.0)] * 3, [0.5, 0.25, 0.25]).shape == (0,)


def test_float32_is_rounded_once(core):
    rng = np.random.default_rng(16)
    means, logvars = rng.normal(size=(2, 3, 600, 2)).astype(np.float32).astype(float)
    w = rng.dirichlet(np.ones(3), 600).T
    batch = Batch(3 * ["logvar"], means, logvars, w, w, False)
    values = batch._replace(single=True).by(native.open_core(core)[0])[0]
    assert np.array_equal(values, np.float32(batch.by(native.open_core(core)[0])[0]))


@pytest.mark.parametrize("form", FORMS[:3])
def test_equal_gaussians_have_divergence_0_by_the_core(core, form):
    rng = np.random.default_rng(17)
    mean, logvar = 1e9 * rng.normal(size=(40, 3)), 12 * rng.normal(size=(40, 3))
    w, g = rng.dirichlet(np.ones(5), (2, 40)).transpose(0, 2, 1)
    means, scales = (np.broadcast_to(x, (5, 40, 3)) for x in (mean, scale_of(form, logvar)))
    for dual in (False, True):
        values, left = Batch(5 * [form], means, scales, w, g, dual).by(native.open_core(core)[0])
        assert left == 0
        assert [x.hex() for x in values.tolist()] == 40 * ["0x0.0p+0"]


def test_weights_of_all_rows_are_the_exact_ones():
    """With one largest weight, several, and a sum that is not 1."""
    rng = np.random.default_rng(19)
    given = [
        *rng.dirichlet(np.ones(4), 50),
        *rng.dirichlet([1e-3, 1, 1], 50),
        [1 / 3] * 3,
        [0.4, 0.4, 0.2],
        [0.3, 0.7000001],
    ]
    for weights in given:
        for (high, low), exact in zip(pairs_of_weights(list(weights)), exact_weights(list(weights)), strict=True):
            assert abs(Fraction(high) + Fraction(low) - exact) <= exact / 2**104


def test_what_the_core_leaves_open_is_decided(core, monkeypatch):
    """Rows beyond the limits of the core among ordinary ones: each Gaussian, and its weight."""
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    rng = np.random.default_rng(18)
    means, variances = rng.normal(size=(3, 12, 1)), np.exp(rng.normal(size=(3, 12, 1)))
    w = rng.dirichlet(np.ones(3), 12).T
    for k in range(3):
        variances[k, k] *= 1e40
        variances[k, 3 + k] *= 1e-200
        means[k, 6 + k] = 1e-170
        w[k, 9 + k] = 1e-70
    w[:, 9:] /= w[:, 9:].sum(0)
    means[:, 6:9] *= 1e-100
    found = [Gaussian(m, var=v) for m, v in zip(means, variances, strict=True)]
    values, opened = jsg_many(found, w), Batch(3 * ["var"], means, variances, w, w, False).by(native.CORE)[0]
    assert np.isnan(opened).tolist() == [True] * 12
    flat = Batch(3 * ["var"], means, variances, w, w, False).flat()
    assert values.tolist() == [nearest_diagonal(flat.members(row), False, False) for row in range(12)]
    # One column of a single row, whose columns fill the vectors.
    for form, far in (("var", 1e40), ("logvar", 90.0), ("std", 1e20)):
        for column in (0, 5, 20):
            scales = np.ones((3, 1, 21))
            scales[1, 0, column] = far
            batch = Batch(3 * [form], rng.normal(size=(3, 1, 21)), scales, w[:, :1], w[:, :1], False)
            assert batch.by(native.CORE)[1] == 1
