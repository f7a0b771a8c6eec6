"""Every way of computing gives the same bits, which are those of the float nearest to the truth."""

import itertools
import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import jsgmath
from jsgmath import Gaussian, native, special
from jsgmath.native import build
from jsgmath.rounding import of_pairs
from jsgmath.rounding.nearest import nearest
from tests.native import calls, points
from verification import balls

COMMITTED = list(points.committed())


def truth(point):
    """A ball around the true value."""
    if point.divergence == "jeffreys":
        ends = [(False, "deasy", 0.0), (False, "deasy", 1.0)]
    else:
        ends = [(point.divergence == "jsg_dual", point.convention, point.alpha)]
    return balls.total(
        balls.divergence(*pair, alpha, dual=dual, convention=convention)
        for pair in point.pairs
        for dual, convention, alpha in ends
        if not equal(*pair)
    )


def equal(N1, N2):
    """Whether two Gaussians of different forms are equal; then no ball around their divergence becomes exact."""
    variance = {"var": Fraction, "std": lambda x: Fraction(x) ** 2, "logvar": lambda x: 1 if x == 0 else math.nan}
    return N1[0] == N2[0] and variance[N1[1]](N1[2]) == variance[N2[1]](N2[2])


def misrounded(wanted):
    """The points whose value is not the nearest float."""
    return [point for point in wanted if not balls.is_nearest(points.value(point), truth(point))]


def test_the_committed_bits_are_those_of_the_nearest_floats():
    for point, value in COMMITTED:
        assert balls.is_nearest((np.float32 if point.single else np.float64)(value), truth(point)), point


def test_the_committed_bits_come_out(path):
    assert [point for point, value in COMMITTED if points.value(point) != value] == []


@pytest.mark.parametrize("single", [False, True])
def test_random_and_hard_points_are_correctly_rounded(path, single):
    assert misrounded(points.random_points(31, 150, single=single)) == []


def test_every_instruction_set_gives_the_committed_bits(core, monkeypatch):
    """All instruction sets of this processor are tested, including plain x86-64 without fused multiply-add."""
    _, reason = native.open_core(core)
    found = reason.partition("of ")[2].split(", ")
    assert "plain" in found
    for name in found:
        monkeypatch.setattr(native, "CORE", native.open_core(core, name)[0])
        assert native.CORE.instruction_set == name
        assert [point for point, value in COMMITTED if points.value(point) != value] == []


def test_aarch64_gives_the_committed_bits(for_aarch64):
    """The core runs in an emulator, for pairs of Gaussians, several Gaussians, and families.

    Values that the core does not decide do not depend on the processor.
    """
    data, wanted = calls.packed()
    wanted = [value for _, value in COMMITTED] + wanted
    data = points.packed(point for point, _ in COMMITTED) + data
    values = np.frombuffer(subprocess.run(for_aarch64, input=data, capture_output=True, check=True).stdout)
    for part in (slice(len(COMMITTED)), slice(len(COMMITTED), None)):
        decided = [(got, value) for got, value in zip(values[part], wanted[part], strict=True) if not np.isnan(got)]
        assert len(decided) > len(values[part]) / 3
        assert [(got, value) for got, value in decided if got != value] == []


@pytest.mark.parametrize("single", [False, True])
def test_the_slowest_path_alone_gives_the_committed_bits(single):
    """Decimal numbers compute every point, not only those that faster arithmetic does not decide."""
    divergences = dict(jsg=of_pairs.Divergence.JSG, jsg_dual=of_pairs.Divergence.JSG_DUAL)
    for point, value in COMMITTED:
        if point.single == single and point.divergence != "jeffreys":
            forms, reverse = (point.form1, point.form2), point.convention == "deasy"
            got = nearest(divergences[point.divergence], reverse, forms, point.numbers, point.alpha, single)
            assert got == value, point


def test_the_fast_arithmetic_decides_nearly_all_ordinary_values(path):
    """Otherwise the decimal numbers, which take 10,000 times as long, would hide a bound that is too wide."""
    rng = np.random.default_rng(5)
    m1, s1, m2, s2 = rng.normal(size=(4, 2000, 1))
    extended = np.finfo(np.longdouble).nmant > 52
    for form1, form2 in itertools.product(native.FORMS, repeat=2):
        scales = [s if form == "logvar" else np.exp(s) for form, s in ((form1, s1), (form2, s2))]
        N1, N2 = Gaussian(m1, **{form1: scales[0]}), Gaussian(m2, **{form2: scales[1]})
        shape, alpha = (2000,), np.array(0.3)
        if native.CORE:
            arrays = N1.mean, N1.scale, N2.mean, N2.scale
            _, left = native.diagonal(of_pairs.Divergence.JSG, True, (form1, form2), arrays, alpha, shape, 1, False)
            assert left <= (2 if form1 == form2 or "logvar" not in (form1, form2) else 200)
        elif extended:
            dtype = np.dtype(float)
            values = of_pairs._by_numpy(of_pairs.Divergence.JSG, True, N1, N2, alpha, shape, dtype)
            assert np.isnan(values).sum() <= 400


def test_broadcasting_strides_and_threads_change_no_bit(path, monkeypatch):
    rng = np.random.default_rng(7)
    m1, logvar1 = rng.normal(size=(2, 300, 21))  # 21 columns are not a multiple of any vector's length
    m2, logvar2 = rng.normal(size=(2, 21))
    alpha = rng.uniform(size=300)
    N1, N2 = Gaussian(m1, logvar=logvar1), Gaussian(m2, logvar=logvar2)
    expected = [jsgmath.jsg(Gaussian(m1[i], logvar=logvar1[i]), N2, alpha[i]) for i in range(300)]
    assert np.array_equal(jsgmath.jsg(N1, N2, alpha), expected)
    columns = Gaussian(np.asfortranarray(m1), logvar=logvar1[:, ::-1][:, ::-1])
    assert np.array_equal(jsgmath.jsg(columns, N2, alpha), expected)
    for rows in np.split(np.arange(300), 15):
        grid = jsgmath.jsg(Gaussian(m1[rows, None], logvar=logvar1[rows, None]), N2, alpha[rows])
        assert grid.shape == (20, 20)
        assert np.array_equal(np.diagonal(grid), np.array(expected)[rows])
    monkeypatch.setattr(native, "ELEMENTS_PER_THREAD", 100)
    monkeypatch.setattr(native, "cores", lambda: 5)
    assert np.array_equal(jsgmath.jsg(N1, N2, alpha), expected)


def test_long_rows_are_correctly_rounded(path):
    """For a single row, the vectors of the core have several columns."""
    rng = np.random.default_rng(9)
    numbers = tuple(map(tuple, np.abs(rng.normal(size=(1000, 4))).tolist()))
    point = points.Point("jsg", "deasy", False, "var", "std", 0.3, numbers)
    assert misrounded([point, point._replace(form2="var", divergence="jsg_dual")]) == []
    assert jsgmath.jsg(Gaussian(np.zeros((0, 3)), var=1.0), Gaussian(0.0, var=[1.0] * 3), 0.5).shape == (0,)


@pytest.mark.parametrize("chosen", ["0", ""])
def test_the_environment_chooses_the_core(chosen):
    script = "import jsgmath; print(jsgmath.kl(jsgmath.Gaussian(1.0, var=2.0), jsgmath.Gaussian(0.0, std=3.0)).hex())"
    environment = os.environ | {"JSGMATH_NATIVE": chosen}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, cwd=build.HERE.parents[1], capture_output=True, text=True)
    value = jsgmath.kl(Gaussian(1.0, var=2.0), Gaussian(0.0, std=3.0))
    assert result.stdout.strip() == value.hex()


@pytest.mark.parametrize(("form", "eps"), [("var", 12), ("std", 30)])
def test_an_error_within_the_bound_of_numpy_changes_no_bit(form, eps, monkeypatch):
    """More than half of the bound is added; it is 23 epsilons, or 46 for two forms, and also covers other rounding."""
    rng = np.random.default_rng(7)
    mean, v1, v2 = rng.normal(size=2000), *np.exp(rng.normal(size=(2, 2000)))
    N1, N2 = Gaussian(mean[:, None], var=v1[:, None]), Gaussian(mean[:, None], **{form: v2[:, None]})
    monkeypatch.setattr(native, "CORE", None)
    exact, kernel = jsgmath.jsg(N1, N2, 0.3), of_pairs.numpy_kernel
    for sign in (-1, 1):
        factor = 1 + sign * eps * np.finfo(special.WORK).eps
        monkeypatch.setattr(of_pairs, "numpy_kernel", lambda g, f=factor: lambda *x: f * kernel(g)(*x))
        np.testing.assert_array_equal(jsgmath.jsg(N1, N2, 0.3), exact)
