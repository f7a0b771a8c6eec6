"""Derivatives of diagonal Gaussians have the same bits by the core of every instruction set and by NumPy."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian, native
from jsgmath.rounding.nearest import Divergence

ROWS = 70
ALPHAS = [0.0, 1e-300, 1e-10, 0.5, 1 - 2.0**-53, 1.0]


class Batch(NamedTuple):
    """Two Gaussians and alpha in each row."""

    dual: bool
    convention: str
    N1: Gaussian
    N2: Gaussian
    alpha: np.ndarray

    def by(self, core):
        """The derivatives that the core computes."""
        N1, N2 = self.N1, self.N2
        arrays = N1.mean, N1.scale, N2.mean, N2.scale
        divergence = Divergence.JSG_DUAL if self.dual else Divergence.JSG
        reverse, shape = self.convention == "deasy", self.alpha.shape
        return native.gradient(divergence, reverse, (N1.form, N2.form), arrays, self.alpha, shape, N1.dim, core)

    def part(self, rows):
        return self._replace(N1=self.N1.indexed(rows), N2=self.N2.indexed(rows), alpha=self.alpha[rows])

    @property
    def gradient(self):
        function = jsgmath.jsg_dual_grad if self.dual else jsgmath.jsg_grad
        return function(self.N1, self.N2, self.alpha, convention=self.convention)


def scale_of(form, logvar):
    return logvar if form == "logvar" else np.exp(logvar / (2 if form == "std" else 1))


def batches(rows=ROWS):
    """Batches of every two forms, of Gaussians that differ in their last bits up to Gaussians that are 1e80 apart."""
    rng = np.random.default_rng(3)
    for form1, form2, dual, convention in product(native.FORMS, native.FORMS, (False, True), ("deasy", "nielsen")):
        n = int(rng.choice([1, 3, 9]))
        gap = 10.0 ** rng.choice([-16.0, -12.0, -6.0, -2.0, 0.0, 0.0, 1.0], (rows, 1))
        gap[rng.random(rows) < 0.05] = 0.0
        logvar = rng.normal(size=(rows, n)) * rng.choice([1.0, 8.0, 200.0], (rows, 1), p=[0.7, 0.27, 0.03])
        mean, ends = rng.normal(size=(rows, n)), rng.choice(ALPHAS, rows)
        N1 = Gaussian(mean, **{form1: scale_of(form1, logvar)})
        other = scale_of(form2, logvar + gap * rng.normal(size=(rows, n)))
        N2 = Gaussian(mean + gap * rng.normal(size=(rows, n)), **{form2: other})
        yield Batch(dual, convention, N1, N2, np.where(rng.random(rows) < 0.7, rng.uniform(size=rows), ends))


BATCHES = list(batches())


@pytest.fixture(scope="module")
def decided(core):
    """Which rows the core decides, by every instruction set, and their derivatives by NumPy."""
    opened, found = native.open_core(core)[0], []
    for batch in BATCHES:
        rows = ~np.isnan(batch.by(opened)[0][-1])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "CORE", None)
            found.append((rows, batch.part(rows).gradient))
    return found


def test_every_instruction_set_and_numpy_give_the_same_bits(core, decided):
    """2,520 rows of up to nine columns."""
    assert sum(np.count_nonzero(rows) for rows, _ in decided) > 0.55 * ROWS * len(BATCHES)
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        opened = native.open_core(core, name)[0]
        for batch, (rows, right) in zip(BATCHES, decided, strict=True):
            found, left = batch.by(opened)
            assert left == np.isnan(found[-1]).sum()
            both = ~np.isnan(found[-1][rows])
            assert both.sum() >= len(both) - 1  # without fused multiply-add, low parts differ
            wanted = right.mean1, right.var1, right.logvar1, right.var2, right.logvar2, right.alpha
            for got, value in zip(found, wanted, strict=True):
                assert np.array_equal(got[rows][both], value[both]), (name, batch)


def test_undecided_rows_and_zeros_have_the_bits_of_numpy(core, decided, monkeypatch):
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    for batch, (rows, _) in list(zip(BATCHES, decided, strict=True))[::3]:
        part = batch.part(np.r_[np.flatnonzero(~rows)[:1], np.flatnonzero(rows)[:20]])
        gradient = part.gradient
        with monkeypatch.context() as patch:
            patch.setattr(native, "CORE", None)
            for got, value in zip(gradient, part.gradient, strict=True):
                assert np.array_equal(got.view(np.uint64), value.view(np.uint64))


def test_ordinary_rows_are_decided_by_the_core(core):
    """NumPy takes about a hundred times as long."""
    rng = np.random.default_rng(4)
    opened = native.open_core(core)[0]
    forms = ("var", "var"), ("logvar", "logvar"), ("std", "var")
    for (form1, form2), dual, gap in product(forms, (False, True), (1.0, 1e-7)):
        mean, logvar = rng.normal(size=(2, 2000, 2))
        near = mean + gap * rng.normal(size=mean.shape), scale_of(form2, logvar + gap * rng.normal(size=mean.shape))
        N1, N2 = Gaussian(mean, **{form1: scale_of(form1, logvar)}), Gaussian(near[0], **{form2: near[1]})
        assert Batch(dual, "deasy", N1, N2, rng.uniform(0.01, 0.99, 2000)).by(opened)[1] <= 2


def test_broadcasting_strides_and_threads_change_no_bit(path, monkeypatch):
    rng = np.random.default_rng(5)
    m1, logvar1 = rng.normal(size=(2, 40, 21))
    m2, logvar2 = rng.normal(size=(2, 21))
    alpha = rng.uniform(size=40)
    N1, N2 = Gaussian(m1, logvar=logvar1), Gaussian(m2, logvar=logvar2)
    expected = [jsgmath.jsg_grad(Gaussian(m1[i], logvar=logvar1[i]), N2, alpha[i]) for i in range(40)]

    def assert_expected(gradient):
        for x, y in zip(gradient, zip(*expected, strict=True), strict=True):
            assert np.array_equal(x, y)

    assert_expected(jsgmath.jsg_grad(N1, N2, alpha))
    assert_expected(jsgmath.jsg_grad(Gaussian(np.asfortranarray(m1), logvar=logvar1[:, ::-1][:, ::-1]), N2, alpha))
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 100)
    monkeypatch.setattr(native, "cores", lambda: 3)
    assert_expected(jsgmath.jsg_grad(N1, N2, alpha))
    grid = jsgmath.jsg_grad(Gaussian(m1[:, None], logvar=logvar1[:, None]), N2, alpha)
    assert grid.mean1.shape == (40, 40, 21)
    assert np.array_equal(np.diagonal(grid.mean1).T, jsgmath.jsg_grad(N1, N2, alpha).mean1)
    none = jsgmath.jsg_grad(Gaussian(np.zeros((0, 3)), var=1.0), Gaussian(0.0, var=[1.0] * 3), 0.5)
    assert [x.shape for x in none] == [(0, 3)] * 6 + [(0,)]
