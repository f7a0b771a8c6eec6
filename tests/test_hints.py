"""A type checker reads a stub in place of its module, so the two must define the same names."""

import ast
from pathlib import Path

import pytest

import jsgmath

PACKAGE = Path(jsgmath.__file__).parent
STUBS = sorted(PACKAGE.rglob("*.pyi"))


def interface(tree, constants):
    """The functions with their parameters, and the names that statements of the type ``constants`` define."""
    functions = {
        node.name: [parameter.arg for parameter in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    names = {
        name.id
        for statement in tree.body
        if isinstance(statement, constants)
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    return functions, names


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_a_stub_and_its_module_define_the_same(stub):
    of_stub = interface(ast.parse(stub.read_text()), ast.AnnAssign)  # in a stub, a plain assignment defines a type
    assert of_stub == interface(ast.parse(stub.with_suffix(".py").read_text()), ast.Assign)


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()  # PEP 561
    terms = {"full_terms", "gamma_terms", "several_terms", "terms"}
    assert {stub.stem for stub in STUBS} == {"formula", "noise", "special"} | terms
