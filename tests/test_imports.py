"""Imports of ``jsgmath`` run one way: from a higher floor to a lower one, and without circles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import jsgmath

ROOT = Path(jsgmath.__file__).parent
# The layout of CONTRIBUTING.md, from the ground up; a folder counts as one room.
FLOORS = [
    {"formula", "hints"},
    {"special"},
    {"checks"},
    {"gaussian"},
    {"reduction", "families"},
    {"torch"},
    {"interop"},
    {"divergences", "gradients", "certified", "mixture"},
    {"bounds", "many", "pairwise"},
    {"jsgmath"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def imports(path):
    """The modules of jsgmath that a file imports, inside its functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES) or {node.module}
    return found & set(MODULES)


def room(module):
    return module.split(".")[1] if "." in module else module


def test_every_room_imports_only_from_lower_floors_and_from_itself():
    for module, path in MODULES.items():
        for imported in imports(path):
            lower = FLOOR[room(imported)] < FLOOR[room(module)]
            assert lower or room(imported) == room(module), f"{module} imports {imported}"


def test_no_imports_form_a_circle():
    order = TopologicalSorter({module: imports(path) for module, path in MODULES.items()}).static_order()
    assert set(order) == set(MODULES)
