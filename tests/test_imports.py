"""Imports of ``jsgmath`` run one way: from a higher floor to a lower one, and without circles."""

from graphlib import TopologicalSorter

import jsgmath
from tests.imports import imports_of, room

IMPORTS = imports_of(jsgmath)
# The layout of CONTRIBUTING.md, from the lowest floor up; a folder counts as one room.
FLOORS = [
    {"formula", "hints", "native"},
    {"special"},
    {"series"},
    {"checks"},
    {"gaussian"},
    {"reduction"},
    {"working"},
    {"rounding"},
    {"families"},
    {"torch"},
    {"interop"},
    {"divergences", "gradients", "certified", "mixture"},
    {"bounds", "many", "pairwise"},
    {"jsgmath"},
    {"command_line"},
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def test_every_room_imports_only_from_lower_floors_and_from_itself():
    for module, imported in IMPORTS.items():
        for other in imported:
            lower = FLOOR[room(other)] < FLOOR[room(module)]
            assert lower or room(other) == room(module), f"{module} imports {other}"


def test_no_imports_form_a_circle():
    assert set(TopologicalSorter(IMPORTS).static_order()) == set(IMPORTS)
