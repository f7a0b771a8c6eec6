"""How the core is built and found, and what happens without it."""

import os
import subprocess
import sys

import pytest

from jsgmath import native
from jsgmath.native import build
from jsgmath.native.translate import cpp, definition
from tests.native.conftest import copied_sources

ROOT = build.HERE.parents[1]


def run(*command, **environment):
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_without_a_compiler_building_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(FileNotFoundError, match=r"no C\+\+ compiler: install one, or name it in .* CXX"):
        build.build(tmp_path / build.LIBRARY)
    result = run(sys.executable, "-m", "jsgmath.native", CXX="no-such-compiler")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_a_library_for_windows_gets_the_time_0_and_no_other_change(tmp_path):
    content = bytes(range(60)) + (100).to_bytes(4, "little") + bytes(range(64, 200))
    (tmp_path / "core.dll").write_bytes(content)
    build._remove_time(tmp_path / "core.dll")
    assert (tmp_path / "core.dll").read_bytes() == content[:108] + bytes(4) + content[112:]


def test_a_core_made_from_other_sources_is_not_used(core, monkeypatch):
    assert native.open_core(core)[0]
    monkeypatch.setattr(native, "sources", lambda: "other")
    assert native.open_core(core) == (
        None,
        "the compiled one was made from other sources; run python -m jsgmath.native",
    )


def test_a_change_of_any_source_changes_the_hash(tmp_path):
    package = copied_sources(tmp_path)
    command = [sys.executable, "-c", "import sources; print(sources.sources())"]
    hashes = set()
    inside = ["pair.hpp", "diagonal.cpp", "build.py", "translate.py"]
    for changed in [None, *inside, "../formula.py", "../special.py", "../families/terms.py"]:
        if changed:
            with open(package / "native" / changed, "a") as file:
                file.write("\n")
        hashes.add(subprocess.run(command, cwd=package / "native", capture_output=True, text=True, check=True).stdout)
    assert len(hashes) == 8


def test_an_instruction_set_that_is_missing_is_an_error():
    result = run(sys.executable, "-c", "import jsgmath", JSGMATH_NATIVE="avx1024")
    assert result.stderr.splitlines()[-1].startswith("ImportError: JSGMATH_NATIVE=avx1024: the compiled one")


def test_the_program_tells_which_core_computes_and_why():
    result = run(sys.executable, "-m", "jsgmath", JSGMATH_NATIVE="0")
    assert "core: NumPy; JSGMATH_NATIVE=0 turns the compiled one off" in result.stdout
    kind = "compiled C++" if native.CORE else "NumPy"
    assert f"core: {kind}; {native.REASON}" in run(sys.executable, "-m", "jsgmath").stdout


def test_the_installed_core_is_the_compiled_one_where_a_compiler_is():
    """Otherwise all other tests of this folder would test NumPy alone."""
    if build.compiler() is None:
        assert native.CORE is None
    elif os.environ.get("JSGMATH_NATIVE") != "0":
        assert native.CORE, native.REASON


def test_the_translation_keeps_the_order_of_operations():
    """An ``if`` with the same names in both branches becomes a choice, and a tuple becomes a struct."""

    def both(a, b, reverse):
        if reverse:
            x, y = a - b, -b
        else:
            x, y = a + b, b
        x = x * (y / 2)
        return x, y

    assert cpp(definition(both)) == (
        "template <class T0, class T1, class T2>\n"
        "INLINE auto both(T0 a, T1 b, T2 reverse) {\n"
        "  auto [x, y] = reverse ? many((a - b), (-b)) : many((a + b), b);\n"
        "  x = (x * (y / whole<2>));\n"
        "  return many(x, y);\n"
        "}"
    )
