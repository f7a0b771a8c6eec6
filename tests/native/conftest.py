import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from jsgmath import native
from jsgmath.native import build


def compiler():
    """The command of the compiler; the test is skipped if there is none."""
    found = build.compiler()
    if found is None:
        pytest.skip("no C++ compiler: install one, or name it in the environment variable CXX")
    return found


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The installed library if it was made from these sources, otherwise one that is compiled here."""
    if native.open_core()[0]:
        return build.HERE / build.LIBRARY
    return build.build(tmp_path_factory.mktemp("core") / build.LIBRARY, compiler())


@pytest.fixture(params=["native", "NumPy"])
def path(request, monkeypatch):
    """Runs a test with the compiled core and without it."""
    if request.param == "NumPy":
        monkeypatch.setattr(native, "CORE", None)
    else:
        core = request.getfixturevalue("core")
        monkeypatch.setattr(native, "CORE", native.open_core(core)[0])
        assert native.CORE


def copied_sources(folder):
    """A folder with everything that the core is made from."""
    package = folder / "jsgmath"
    shutil.copytree(build.HERE, package / "native")
    for name in build._sources.OUTSIDE:
        (package / name).parent.mkdir(exist_ok=True)
        shutil.copy(build.HERE.parent / name, package / name)
    return package


def build_only(kinds, target, command, machine):
    """Compiles the library with these kinds of loops and keeps their objects; the other loops do nothing."""
    run = build._run

    def run_or_do_nothing(line):
        made = Path(line[-1])
        if made.suffix == ".o" and made.stem.partition("_")[0] not in ("interface", "factor", *kinds):
            source = made.with_suffix(".cpp")
            names = [option.partition("=")[2] for option in line if option.startswith("-D") and "=" in option]
            source.write_text("".join(f'extern "C" void {name}() {{}}\n' for name in names))
            line = [*command, "-fPIC", "-c", str(source), "-o", str(made)]
        run(line)
        shutil.copy(made, target.parent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_run", run_or_do_nothing)
        return build.build(target, command, machine)


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Compiled files of the library for any processor: those that no mutant changes, and functions that do nothing."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "OPTIONS", [option.replace("-O3", "-O1") for option in build.OPTIONS])
        build_only(["single"], folder / build.LIBRARY, compiler(), "any other")
    return folder


def rebuilt(package, kinds, parts):
    """The library of changed sources; only these kinds are compiled. -O1 is quicker than -O3 and gives the same bits.

    The library states the checksum of the right sources, so that `native` accepts it.
    """
    spec = importlib.util.spec_from_file_location("mutated_build", package / "native" / "build.py")
    mutated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutated)
    run = mutated._run

    def run_or_copy(command):
        made = Path(command[-1])
        if made.suffix == ".o" and made.stem not in [f"{kind}_plain" for kind in kinds]:
            shutil.copy(parts / made.name, made)
        else:
            run(command)

    mutated._run = run_or_copy
    mutated.OPTIONS[mutated.OPTIONS.index("-O3")] = "-O1"
    return mutated.build(package / build.LIBRARY, machine="any other")


def replaced(path, before, after):
    """Replaces a text that occurs exactly once in a file."""
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def switched(tmp_path_factory, parts):
    """Compiles parts of the library with all replacements; returns a function that chooses one, or none by 0.

    The function returns the core, which then computes with this replacement. A replacement is a file, an expression or
    a statement in it, and the new text; for a condition of all lanes of a vector this is "true" (GCC fails at a choice
    between two such conditions). Replacements are numbered from 1.
    """

    def switched(kinds, replacements):
        package = copied_sources(tmp_path_factory.mktemp("switched"))
        for number, (file, before, after) in enumerate(replacements, 1):
            if before.endswith(";"):
                choice = f"if (mutant != {number}) {{ {before} }} else {{ {after} }}"
            elif after == "true":
                choice = f"(({before}) | (Truth{{}} - int64_t(mutant == {number})))"
            else:
                choice = f"(mutant == {number} ? ({after}) : ({before}))"
            replaced(package / "native" / file, before, choice)
        declared = 'extern "C" __attribute__((visibility("default"))) int mutant;\n'
        replaced(package / "native" / "lanes.hpp", "#pragma once\n", f"#pragma once\n{declared}")
        with open(package / "native" / f"{kinds[0]}.cpp", "a") as file:
            file.write("int mutant = 0;\n")
        library = rebuilt(package, kinds, parts)
        core, reason = native.open_core(library)
        assert core, reason
        variable = ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "mutant")

        def chosen(number):
            variable.value = number
            return core

        return chosen

    return switched


@pytest.fixture(scope="session")
def for_aarch64(tmp_path_factory):
    """A program that evaluates a batch, compiled for AArch64, as a command that runs it in an emulator."""
    compiler, emulator = "aarch64-linux-gnu-g++", shutil.which("qemu-aarch64")
    if not (shutil.which(compiler) and emulator):
        pytest.skip("no cross compiler or emulator for AArch64: apt-get install g++-aarch64-linux-gnu qemu-user")
    folder = tmp_path_factory.mktemp("aarch64")
    kinds = ["diagonal", "full", "single", "families", "gamma", "many"]
    library = build_only(kinds, folder / "core.so", [compiler], "aarch64")
    program = folder / "evaluate"
    source = build.HERE.parents[1] / "tests" / "native" / "evaluate.cpp"
    subprocess.run([compiler, "-std=c++17", f"-I{build.HERE}", str(source), "-o", str(program)], check=True)
    return [emulator, "-L", "/usr/aarch64-linux-gnu", str(program), str(library)]
