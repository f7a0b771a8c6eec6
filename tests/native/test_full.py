"""Every implementation of divergences of full covariances gives the same bits: the floats nearest to the truth."""

import subprocess

import numpy as np
import pytest
from flint import arb, ctx

import jsgmath
from jsgmath import Gaussian, native
from jsgmath.rounding import nearest_full
from tests.native import full_points, points
from tests.reduction.test_full import covariance, nearby
from verification import balls

COMMITTED = list(full_points.committed())
TAKEN = list(full_points.taken())


def unrounded(core, point):
    """The core's result before rounding: a pair of doubles and a bound on its error."""
    found = np.zeros(3)
    (m1, form1, s1), (m2, form2, s2) = point.first, point.second
    arrays, reverse = (m1, s1, m2, s2), point.convention == "deasy"
    alpha, kind = np.array(point.alpha), points.KINDS[point.divergence]
    native.full(kind, reverse, (form1, form2), arrays, alpha, (), len(m1), point.single, core, found)
    return found


def instruction_sets(core):
    _, reason = native.open_core(core)
    return reason.partition("of ")[2].split(", ")


def test_the_committed_bits_are_those_of_the_nearest_floats():
    for point, value in COMMITTED:
        assert balls.is_nearest((np.float32 if point.single else np.float64)(value), full_points.truth(point)), point


def test_the_committed_bits_come_out(path):
    assert [point for point, value in COMMITTED if full_points.value(point) != value] == []


@pytest.mark.parametrize("single", [False, True])
def test_random_and_hard_points_are_correctly_rounded(path, single):
    for point in full_points.random_points(31, 250, single=single):
        assert balls.is_nearest(full_points.value(point), full_points.truth(point)), point


def test_every_instruction_set_gives_the_committed_bits(core, monkeypatch):
    for name in instruction_sets(core):
        monkeypatch.setattr(native, "CORE", native.open_core(core, name)[0])
        assert [point for point, value in COMMITTED if full_points.value(point) != value] == []


@pytest.mark.parametrize("distance", [None, 0.1, 1e-6])
def test_the_bound_of_the_core_is_true_and_decides_well_conditioned_pairs(core, distance):
    """This is true for every instruction set."""
    rng = np.random.default_rng(8)
    decided, cores = [], [native.open_core(core, name)[0] for name in instruction_sets(core)]
    for number in range(150):
        n = int(rng.choice([1, 2, 3, 6, 12]))
        S1 = covariance(rng, n, 10.0 ** rng.integers(0, 5))
        S2 = covariance(rng, n, 10.0 ** rng.integers(0, 5)) if distance is None else nearby(rng, S1, distance)
        sides = [(rng.normal(size=n) * (distance or 1.0), "cov", S) for S in (S1, S2)]
        name, convention = full_points.DIVERGENCES[number % 5]
        point = full_points.Point(name, convention, float(rng.choice([0.1, 0.3, 0.9])), *sides)
        high, low, bound = unrounded(cores[number % len(cores)], point)
        with ctx.workprec(300):
            assert abs(arb(high) + arb(low) - full_points.truth(point)) <= float(bound)
        decided.append(bound < 2.0**-60 * high)
    assert np.mean(decided) > 0.95


def test_batches_strides_threads_and_lanes_change_no_bit(path, monkeypatch):
    rng = np.random.default_rng(7)
    factors = rng.normal(size=(21, 4, 8))
    S1, m1, m2 = factors @ factors.mT, rng.normal(size=(21, 4)), rng.normal(size=4)
    N2, alpha = Gaussian(m2, cov=np.eye(4) + 0.5), rng.uniform(size=21)
    expected = [jsgmath.jsg(Gaussian(m1[i], cov=S1[i]), N2, alpha[i]) for i in range(21)]
    assert np.array_equal(jsgmath.jsg(Gaussian(m1, cov=S1), N2, alpha), expected)
    grid = jsgmath.jsg(Gaussian(m1[:, None], cov=S1[:, None]), N2, alpha)
    assert np.array_equal(np.diagonal(grid), expected)
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 10)
    monkeypatch.setattr(native, "cores", lambda: 3)
    assert np.array_equal(jsgmath.jsg(Gaussian(m1, cov=S1), N2, alpha), expected)
    assert jsgmath.jsg(Gaussian(np.zeros((0, 4)), cov=np.eye(4)), N2, 0.5).shape == (0,)


def test_numpy_decides_before_the_slowest_path_in_many_dimensions(core, monkeypatch):
    """The last path would take seconds."""
    rng = np.random.default_rng(3)
    sides = [(np.zeros((3, 24)), "cov", np.array([covariance(rng, 24, 1e7) for _ in range(3)])) for _ in range(2)]
    expected = full_points.value(full_points.Point("jsg", "deasy", 0.3, *sides))
    monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
    monkeypatch.setattr(native, "full", lambda *arguments: (np.array([np.nan, expected[1], np.nan]), 2))
    monkeypatch.setattr(nearest_full, "nearest_full", None)
    assert np.array_equal(full_points.value(full_points.Point("jsg", "deasy", 0.3, *sides)), expected)


def test_equal_gaussians_are_0(path):
    rng = np.random.default_rng(1)
    for form in ("cov", "scale_tril"):
        scale = covariance(rng, 5, 1e4) if form == "cov" else np.linalg.cholesky(covariance(rng, 5, 1e4))
        N1, N2 = (Gaussian(np.ones(5), **{form: scale}) for _ in range(2))
        assert jsgmath.jsg(N1, N2, 0.3) == jsgmath.jsg_dual(N1, N2, 0.3) == jsgmath.jeffreys(N1, N2) == 0


def test_aarch64_gives_the_committed_bits(for_aarch64):
    """The core runs in an emulator; values that it does not decide do not depend on the processor."""
    data = full_points.packed(point for point, _ in TAKEN)
    output = subprocess.run(for_aarch64, input=data, capture_output=True, check=True).stdout
    values = np.frombuffer(output)
    assert len(values) == len(TAKEN)
    decided = [(got, value) for got, (_, value) in zip(values, TAKEN, strict=True) if not np.isnan(got)]
    assert len(decided) > len(TAKEN) / 3
    assert all(got == value for got, value in decided)
