"""Families, low rank, several Gaussians and derivatives have the committed bits by every implementation."""

from collections import Counter

import numpy as np

from jsgmath import native
from jsgmath.families.rounding import by_numpy
from tests.native import calls, recompute
from verification import family_oracles, members
from verification.test_families import DIGITS, ULPS, ulps

COMMITTED = list(calls.committed())
FAMILIES = [(call, values) for call, values in COMMITTED if call.distributions[0][0] in calls.NAMES]
MANY = [(call, values) for call, values in COMMITTED if calls.of_many_diagonal(call)]


FORMS = {(kind, *(x.removeprefix("*") for x in names)): form for form, (kind, *names) in calls.FAMILIES.items()}


def as_members(call):
    """The name of a family, the two members, alpha, the convention and whether it is the dual; None for other calls."""
    (first, dtype, one), (second, _, two) = call.distributions
    if dtype != "float64" or (first, *one) != (second, *two) or call.function not in ("jsg", "jsg_dual", "kl"):
        return None
    form = FORMS[first, *one]
    pair = [tuple(np.ravel([*x.values()]).tolist()) for x in (one, two)]
    keywords = {"alpha": 0.0, "convention": "deasy"} | call.keywords
    return form, pair, *keywords.values(), call.function == "jsg_dual"


def test_a_sample_of_the_families_bits_is_the_truth():
    """Against the textbook in 100 or 700 digits, which shares no code."""
    seen = Counter()
    for call, (value,) in FAMILIES:
        found = as_members(call)
        if found and 0 < value < np.inf and seen[found[0]] < 7:
            form, pair, *rest = found
            seen[form] += 1
            _, (family, *exact) = members.made(form, pair)
            truth = family_oracles.skew(family, *exact, *rest, DIGITS.get(family, 700))
            assert ulps(value, truth) <= ULPS, call
    assert seen.keys() == calls.FAMILIES.keys()
    assert min(seen.values()) >= 5


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
