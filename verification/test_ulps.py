"""The claims of `ulps.md` are true when measured again, and the file is what the command prints."""

import re

import numpy as np
import pytest

from verification import balls, ulps
from verification.inputs import Pairs, factors, inputs

OWN = ("`jsg`", "`jsg_dual`", "`kl`")
PEERS = [name for name in ("eq. 9", "eq. 11", "torch KL", "released loss") if name in ulps.IMPLEMENTATIONS]
DTYPES = (np.float64, np.float32)
SCALAR, DENSE = (
    [(dtype, name) for dtype in DTYPES for name in inputs(dtype) if name.startswith("covariances") == dense]
    for dense in (False, True)
)
BEYOND = {np.float64: "ratios of e^±1000", np.float32: "ratios of e^±100"}  # beyond the range of the type

# As in tests/test_accuracy.py: one rounding from 80 bits; where a long double is a double, twice what was measured, and
# only if it can represent the ratio.
EXTENDED = np.finfo(np.longdouble).nmant > 52
ULPS = {np.float64: 1 if EXTENDED else 8, np.float32: 0.501}
ACCURATE = [case for case in SCALAR + DENSE if EXTENDED or case != (np.float64, BEYOND[np.float64])]


def cell(dtype, kind, implementation):
    return ulps.measure_all(dtype)[kind][implementation]


def nothing_wrong(cell):
    return cell.negative == cell.nan == cell.infinite == 0


@pytest.mark.parametrize(("dtype", "kind"), ACCURATE)
def test_this_library_is_right_to_the_last_place(dtype, kind):
    cells = [cell(dtype, kind, implementation) for implementation in OWN]
    cells = [c for c in cells if c]  # kl has no alpha
    assert len(cells) >= 2
    assert all(c.largest <= ULPS[dtype] and nothing_wrong(c) for c in cells)


@pytest.mark.parametrize("kind", ["ordinary variances", "covariances of condition 1e2, far"])
@pytest.mark.parametrize("implementation", PEERS)
def test_a_peer_computes_the_divergence_where_nothing_is_hard(implementation, kind):
    """It is right to 1e-11, so its errors elsewhere come from rounding alone: a wrong sign would show here."""
    got = cell(np.float64, kind, implementation)
    if implementation == "released loss" and "covariances" in kind:
        assert got is None  # the released code has diagonal covariances only
    else:
        assert got.largest <= 1e-11 / np.finfo(float).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("implementation", PEERS)
def test_a_peer_loses_every_digit_between_near_equal_gaussians(implementation, dtype):
    got = cell(dtype, {np.float64: "variances 1e-15 apart", np.float32: "variances 1e-7 apart"}[dtype], implementation)
    ulps_of_the_value = 1 / np.finfo(dtype).eps  # or up to twice as many
    assert got.largest >= ulps_of_the_value / 4
    if implementation in ("eq. 9", "eq. 11"):
        assert got.largest >= 1e6 * ulps_of_the_value
        assert got.negative


@pytest.mark.parametrize("subject", [name for name in ("torch KL", "released loss") if name in PEERS])
def test_a_peer_gives_nan_where_the_type_does_not_hold_the_ratio_of_variances(subject):
    assert cell(np.float64, BEYOND[np.float64], subject).nan


def test_eq_11_loses_every_digit_at_a_common_mean():
    common = cell(np.float64, "common mean of 1e8", "eq. 11")
    assert common.largest >= 1 / np.finfo(float).eps  # m^2/v is 1e16 and cancels
    assert common.negative


def test_each_kind_of_error_is_counted(monkeypatch):
    """One of five answers is right; the others are one unit off, negative, NaN and wrongly infinite."""
    answers = np.array([0.125, np.nextafter(0.125, 1), -0.125, np.nan, np.inf])
    stub = ulps.Implementation(("var",), [(False, "deasy")], lambda *_: answers)
    monkeypatch.setitem(ulps.IMPLEMENTATIONS, "stub", stub)
    # For Gaussians of equal variance, one standard deviation apart, JSG at alpha 1/2 is 1/8, whose ulp is 2^-55.
    pairs = Pairs("var", np.zeros((5, 1)), np.ones((5, 1)), np.ones((5, 1)), np.ones((5, 1)))
    kind = [pairs], (0.5,), np.float64
    assert [balls.ulps(*pair) for pair in ulps.values("stub", *kind)] == [0, 1, 2**53, np.inf, np.inf]
    assert ulps.measure("stub", *kind) == (np.inf, np.inf, 1, 1, 1, 5)


def rows(text):
    """Reads a report: (type, table 1 or 2, row, column) -> the numbers in the cell."""
    cells, dtype, table, columns = {}, "", 0, []
    for line in text.splitlines():
        if line.startswith("## "):
            dtype, table = line, 0
        name, *entries = (entry.strip() for entry in line.strip("|").split("|"))
        if name == "inputs":
            columns, table = entries, table + 1
        elif line.startswith("| ") and name != "---":
            for column, entry in zip(columns, entries, strict=True):
                numbers = re.findall(r"∞|\d[\d.e]*", entry)
                cells[dtype, table, name, column] = [float(x.replace("∞", "inf")) for x in numbers]
    return cells


def test_the_committed_table_is_what_the_command_says(tmp_path):
    ulps.main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ulps.md", "ulps.png"]
    measured, committed = (rows((folder / "ulps.md").read_text(encoding="utf-8")) for folder in (tmp_path, ulps.HERE))
    first = [key for key in measured if key[1] == 1]
    assert len(ulps.IMPLEMENTATIONS) == 8 if ulps.TORCH else 6
    columns = ulps.IMPLEMENTATIONS | ulps.OF_FACTORS
    of_factors = len(ulps.OF_FACTORS) * len(DTYPES) * len(factors(np.float64))
    assert len(first) == len(ulps.IMPLEMENTATIONS) * (len(SCALAR) + len(DENSE)) + of_factors
    assert first == [key for key in committed if key[1] == 1 and key[3] in columns]
    for key in measured.keys() & committed.keys():
        _, table, _, column = key
        got, want = np.array(measured[key]), np.array(committed[key])
        if column in OWN:
            # 0.01 is one unit of the last digit, and another libm may add one more.  Another LAPACK makes other
            # covariances, and the largest of their few errors may lie anywhere below a half.
            allowed = 0.02 if key[2] in {kind for _, kind in SCALAR} else 0.25
            near = not EXTENDED or np.abs(got - want).max(initial=0) <= allowed
        elif table == 1:
            # Rounding errors differ with another libm or BLAS, so only their size is compared.  Those of covariances
            # are the largest of a few; between two versions of NumPy they were seen to differ by a factor of 4.
            factor = 3 if key[2] in {kind for _, kind in SCALAR} else 10
            near = len(got) == len(want) and ((got <= factor * want + 5) & (want <= factor * got + 5)).all()
        else:
            near = got[:-1].sum() <= 3 * want[:-1].sum() + 5 and want[:-1].sum() <= 3 * got[:-1].sum() + 5
        assert near, f"{key}: the file says {want}, but the command {got}; run python -m verification.ulps"
