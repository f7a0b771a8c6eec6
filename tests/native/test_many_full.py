"""Divergences of several Gaussians of full covariance in the core: the same bits everywhere, and its bound holds."""

from fractions import Fraction
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from jsgmath import Gaussian, jsg_many, native
from jsgmath.rounding import nearest_many_full as exact
from jsgmath.rounding.nearest_full import whole
from jsgmath.rounding.several import exact_weights, wide_weights
from tests.reduction.test_full import covariance, nearby

ROWS = 12  # which no number of lanes divides by 8

MUTANTS = {
    "S_k for S_k - S_0": ("full_many.hpp", "S[j * n + i] - first[j * n + i]", "S[j * n + i]"),
    "a displacement without its low part": (
        "full_many.hpp", "two_sum(in.entry(from.mean, from.mean_stride, i), -in.entry(one.mean, one.mean_stride, i))",
        "Pair{in.entry(from.mean, from.mean_stride, i) - in.entry(one.mean, one.mean_stride, i), Lanes{}}"),
    "weights without their low parts": ("full_many.hpp", "in.entry(low, stride, 0)", "Lanes{}"),
    "weights of the first row": ("full_many.hpp", "batch.weight_rows > 1 ? 1 : 0", "0"),
    "the weight in the sum for that in the mean": (
        "full_many.hpp", "congruence(own.H, own.g, w.W, w.K, n);", "congruence(own.H, own.w, w.W, w.K, n);"),
    "the last precision alone": (
        "full_many.hpp", "Y[j * n + i] + w.K[j * n + i]", "w.K[j * n + i]"),
    "B without Y": ("full_many.hpp", "i < j ? Y[j * n + i] : Y[j * n + i] + C[j * n + i]",
                    "i < j ? wide(0) : C[j * n + i]"),
    "B without Y C": (
        "full_many.hpp", "column[i] = plus_product(column[i], Y[k * n + i], f);", ";"),
    "M without C": ("full_many.hpp", "B[j * n + i] + C[j * n + i]", "B[j * n + i]"),
    "M without C'B": ("full_many.hpp", "sum = plus_product(sum, C[i * n + k], B[j * n + k]);", ";"),
    "distances from N_0": ("full_many.hpp", "own.z[i] - other.z[i]", "own.z[i]"),
    "forces without V": ("full_many.hpp", "multiply(other.H, w.p, n);", ";"),
    "forces without V'": ("full_many.hpp", "multiply_transposed(other.H, w.p, n);", ";"),
    "forces without weights": ("full_many.hpp", "plus_product(u[i], w.p[i], other.g)", "u[i] + w.p[i]"),
    "a mean without P^-1/2": ("full_many.hpp", "solve<true>(w.X, u, n);", ";"),
    "a mean of the dual without P^-1/2": ("full_many.hpp", "solve_transposed(w.X, u, n);", ";"),
    "a mean of the dual without V": ("full_many.hpp", "multiply(own.H, u, n);", ";"),
    "no weight in the sum": ("full_many.hpp", "own.w * found.value", "found.value"),
    "no term of the mean": ("full_many.hpp", "found + mean<dual>(k, kappa, width, of_factor, solution, norm_r)",
                            "found"),
    "no limits": ("full_many.hpp", "zeta < 0x1p-20 ? zeta + unsound : every(NAN_)", "zeta"),
    "no bound": ("full_many.hpp", "0.625 * sum.error", "0.0 * sum.error"),
    "doubles for floats": (
        "full.cpp", "to = batch.single ? nearest_single(high, low, 1.01 * error) : nearest(high, low, 1.01 * error);",
        "to = nearest(high, low, 1.01 * error);"),
    "the other divergence": (
        "full.cpp", "batch.dual ? several.divergence<true>() : several.divergence<false>()",
        "batch.dual ? several.divergence<false>() : several.divergence<true>()"),
}  # fmt: skip


class Batch(NamedTuple):
    """Several Gaussians in each row, weights ``(K, rows)`` in the sum and in the mean."""

    found: list[Gaussian]
    w: np.ndarray
    g: np.ndarray
    dual: bool
    condition: float
    single: bool = False

    def by(self, core, errors=False):
        pairs = wide_weights(self.w), wide_weights(self.g)
        weights = np.stack([x for pair in pairs for x in (pair.high, pair.low)])
        arrays = zip(*((N.form, N.mean, N.scale) for N in self.found), strict=True)
        dim = self.found[0].dim
        return native.many(*arrays, weights, self.dual, (ROWS,), dim, self.single, core, errors)

    def members(self, row):
        weights = (exact_weights(x[:, row].tolist()) for x in (self.w, self.g))
        numbers = zip(self.found, *weights, strict=True)
        return [exact.Member(N.mean[row], N.form, N.scale[row], w, g) for N, w, g in numbers]

    def truth(self, row):
        members = self.members(row)
        unit = int(np.lcm.reduce([x.g.denominator for x in members], dtype=object))
        return exact._bounded(members, [whole(x.mean) for x in members], unit, self.dual, 512)[0]


def as_form(form, mean, S):
    if form in ("var", "std"):
        v = np.diagonal(S, axis1=-2, axis2=-1).copy()
        return Gaussian(mean, **{form: v if form == "var" else np.sqrt(v)})
    return Gaussian(mean, **{form: np.linalg.cholesky(S) if form == "scale_tril" else S})


def batches():
    """From near ones to such of condition 1e12, in units that differ by 1e8, and such beyond the limits."""
    rng = np.random.default_rng(31)
    forms = ["cov", "cov", "cov"], ["cov", "scale_tril", "std"], ["var", "cov", "scale_tril", "cov"]
    for kind, (condition, gap), dual in product(forms, ((1e1, 1), (1e3, 1e-3), (1e2, 1e-8), (1e12, 1)), (False, True)):
        n = int(rng.choice([1, 3, 6]))
        units = 10.0 ** rng.uniform(-4, 4, n)
        covariances = np.array([[covariance(rng, n, condition) for _ in range(ROWS)] for _ in kind])
        if gap < 1:
            covariances[1:] = [[nearby(rng, S, gap) for S in covariances[0]] for _ in kind[1:]]
        means = units * (rng.normal(size=(ROWS, n)) + gap * rng.normal(size=(len(kind), ROWS, n)))
        scaled = covariances * units * units[:, None]
        w, g = rng.dirichlet(np.ones(len(kind)), (2, ROWS)).transpose(0, 2, 1)
        found = [as_form(*x) for x in zip(kind, means, scaled, strict=True)]
        yield Batch(found, w, g if rng.integers(2) else w, dual, condition, bool(rng.integers(4) == 0))
    for k in range(3):  # one Gaussian is beyond the limits
        sizes = np.where(np.arange(3) == k, 1e-33, 1e-28)
        scales = (np.array(ROWS * [size * covariance(rng, n, 1e1)]) for size in sizes)
        found = [Gaussian(1e-15 * mean, cov=S) for mean, S in zip(means[:3], scales, strict=True)]
        yield Batch(found, w[:3] / w[:3].sum(0), w[:3] / w[:3].sum(0), False, 1e12)


BATCHES = list(batches())


@pytest.fixture(scope="module")
def right(core):
    return [batch.by(native.open_core(core, "plain")[0]) for batch in BATCHES]


def test_every_instruction_set_gives_the_nearest_floats(core, right):
    decided = 0
    for batch, (values, left) in zip(BATCHES, right, strict=True):
        assert left == np.isnan(values).sum()
        decided += ROWS - left
        for row in np.flatnonzero(~np.isnan(values))[::5].tolist():
            assert values[row] == exact.nearest_full(batch.members(row), batch.dual, batch.single)
    assert decided > 0.7 * ROWS * len(BATCHES)
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        opened = native.open_core(core, name)[0]
        for batch, (values, _) in zip(BATCHES, right, strict=True):
            found = batch.by(opened)[0]
            assert ((found == values) | np.isnan(found) | np.isnan(values)).all()


def test_the_bound_holds_and_decides_ordinary_values(core):
    opened, largest = native.open_core(core)[0], 0.0
    for batch in BATCHES:
        high, low, error = batch.by(opened, errors=True)[0].T
        for row in np.flatnonzero(np.isfinite(error))[::4].tolist():
            lost = abs(Fraction(high[row]) + Fraction(low[row]) - batch.truth(row))
            assert lost <= Fraction(error[row])
            largest = max(largest, float(lost / Fraction(error[row]))) if error[row] else largest
        if batch.condition <= 1e3:
            assert (error < 2.0**-60 * high).all()
    assert largest > 1e-6  # the bound adds sizes where errors have either sign


def test_equal_gaussians_have_divergence_0_by_the_core(core):
    rng = np.random.default_rng(32)
    S, mean = np.array([covariance(rng, 4, 1e5) for _ in range(ROWS)]), 1e9 * rng.normal(size=(ROWS, 4))
    w = rng.dirichlet(np.ones(3), ROWS).T
    for dual in (False, True):
        values, left = Batch(3 * [Gaussian(mean, cov=S)], w, w, dual, 1e5).by(native.open_core(core)[0])
        assert left == 0
        assert [x.hex() for x in values.tolist()] == ROWS * ["0x0.0p+0"]


def test_broadcasting_threads_and_weights_change_no_bit(path, monkeypatch):
    rng = np.random.default_rng(33)
    w, (N, *others) = rng.dirichlet(np.ones(3)), BATCHES[0].found
    one = Gaussian(N.mean[0], cov=N.scale[0])
    rows = [[Gaussian(N.mean[i], cov=N.scale[i]) for N in others] for i in range(ROWS)]
    expected = [jsg_many([one, *row], w) for row in rows]
    assert np.array_equal(jsg_many([one, *others], w), expected)
    assert np.array_equal(jsg_many([one, *others], np.repeat(w[:, None], ROWS, 1)), expected)
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 1)
    monkeypatch.setattr(native, "cores", lambda: 3)
    assert np.array_equal(jsg_many([one, *others], w), expected)


@pytest.fixture(scope="module")
def chosen(switched):
    return switched(("full",), MUTANTS.values())


def noticed(core, right):
    """Whether other values are open, or a value differs."""
    found = (batch.by(core)[0] for batch in BATCHES)
    return not all(np.array_equal(x, y, equal_nan=True) for x, (y, _) in zip(found, right, strict=True))


def test_without_a_mutant_the_core_is_right(right, chosen):
    assert not noticed(chosen(0), right)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, len(MUTANTS) + 1), ids=MUTANTS)
def test_a_broken_core_is_noticed(number, right, chosen):
    assert noticed(chosen(number), right)
