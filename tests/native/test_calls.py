"""Families, low rank, several Gaussians and derivatives have the committed bits by every implementation."""

import numpy as np

from jsgmath import native
from jsgmath.families.rounding import by_numpy
from tests.native import calls, recompute

COMMITTED = list(calls.committed())
FAMILIES = [(call, values) for call, values in COMMITTED if call.distributions[0][0] in calls.NAMES]
MANY = [(call, values) for call, values in COMMITTED if calls.of_many_diagonal(call)]


def wrong(committed=COMMITTED):
    """The calls with another value than the committed one; 0.0 and -0.0 count as different."""
    found = [(call, recompute.computed(*call), values) for call, values in committed]
    return [call for call, got, values in found if [*map(float.hex, got)] != [*map(float.hex, values)]]


def test_the_committed_bits_come_out(path):
    assert wrong() == []


def test_every_instruction_set_gives_the_committed_bits(core, monkeypatch):
    for name in native.open_core(core)[1].partition("of ")[2].split(", "):
        monkeypatch.setattr(native, "CORE", native.open_core(core, name)[0])
        assert native.CORE.instruction_set == name
        assert wrong([*FAMILIES, *MANY]) == []


def test_the_slowest_path_alone_gives_the_committed_bits(monkeypatch):
    """Decimal numbers compute every value of a family, not only those that faster arithmetic does not decide."""
    monkeypatch.setattr(native, "CORE", None)
    asked = []

    def open_ones(*batch):
        asked.append(batch)
        return np.full(batch[7], np.nan), 1

    monkeypatch.setattr(by_numpy, "families", open_ones)
    assert wrong(FAMILIES) == []
    assert len(asked) == len(FAMILIES)
