"""The package: its wheel has all files, and works in an environment without the repository."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import jsgmath
from jsgmath import native
from jsgmath.native.build import HERE, LIBRARY, compiler

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_same_everywhere():
    changelog = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert changelog
    assert changelog[1] == jsgmath.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == jsgmath.__version__
    assert version("jsgmath") == jsgmath.__version__


NOT_AGAIN = """#!/bin/sh
for made; do :; done
case "$*" in *-shared*) cp {core} "$made";; *) : > "$made";; esac
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel; its core is the installed one if that was made from these sources, else compiled unoptimised."""
    folder, quick = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("compiler") / "quick"
    environment = {}
    if compiler():
        core = shlex.quote(str(HERE / LIBRARY))
        plain = f'#!/bin/sh\nexec {shlex.join(compiler())} "$@" -O0\n'
        quick.write_text(NOT_AGAIN.format(core=core) if native.open_core()[0] else plain)
        quick.chmod(0o700)
        environment["CXX"] = str(quick)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, **environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A new environment with the wheel and the packages of this environment, but without the repository."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A .pth file in a folder that a .pth file names is not read, so an editable installation is not seen.
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(*command, cwd=None, **environment):
    environment |= {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *environment)}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in ("jsgmath", "vae")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } - {"jsgmath/native/hatch_build.py", "jsgmath/native/linked.py", "jsgmath/native/wheels.py"}
    assert held == wanted
    assert sum(name.endswith("-ubyte.gz") for name in held) == 4
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheel_computes_and_trains_where_nothing_else_is(python, tmp_path):
    script = """
import importlib.metadata, jsgmath, jsgmath.torch, numpy, torch, vae.data
N1, N2 = jsgmath.Gaussian(mean=[0.0], var=[1.0]), jsgmath.Gaussian(mean=[1.0], var=[1.0])
loss = jsgmath.torch.JSGLoss(alpha=0.5)(torch.ones(1, 1), torch.zeros(1, 1))
print(jsgmath.jsg(N1, N2, 0.5), loss.item(), jsgmath.__version__, importlib.metadata.version("jsgmath"))
print(jsgmath.__file__, vae.__file__, sep="\\n")
numpy.savez("images.npz", images=vae.data.load("fashion-mini").train_images[:200, 0].numpy())
"""
    values, *files = run(python, "-c", script, cwd=tmp_path).splitlines()
    assert values == f"0.125 0.125 {jsgmath.__version__} {jsgmath.__version__}"
    assert all(Path(file).is_relative_to(python.parent.parent) for file in files)

    assert "fashion-mini" in run(python, "-m", "vae.data", "status", cwd=tmp_path)
    run(python, "-m", "vae.train", "--data", "images.npz", "--epochs", "1", "--out", "run", cwd=tmp_path)
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_the_wheel_holds_the_core_where_it_was_built_with_a_compiler(wheel, python, tmp_path):
    """Without a compiler it is a wheel for any platform, in which NumPy computes the same value."""
    script = "import jsgmath; print(jsgmath.kl(jsgmath.Gaussian(1.0, var=2.0), jsgmath.Gaussian(0.0, std=3.0)).hex())"
    if compiler() is not None:
        assert not wheel.name.endswith("-none-any.whl")
        assert "core: compiled C++" in run(python, "-m", "jsgmath", cwd=tmp_path)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    result = subprocess.run(build, env=os.environ | {"CXX": "no-such-compiler"}, capture_output=True, text=True)
    assert "jsgmath without its compiled core: no C++ compiler" in result.stdout + result.stderr
    (plain,) = tmp_path.glob("*-none-any.whl")
    with zipfile.ZipFile(plain) as archive:
        archive.extractall(tmp_path / "plain")
    for program in (["-m", "jsgmath"], ["-c", script]):
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "plain"), "JSGMATH_NATIVE": ""}
        result = subprocess.run(
            [sys.executable, *program], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        wanted = "core: NumPy" if "-m" in program else run(python, "-c", script, cwd=tmp_path)
        assert wanted in result.stdout


@pytest.mark.parametrize(
    ("module", "missing", "message"),
    [
        ("jsgmath.torch", ["torch"], "jsgmath.torch needs torch; pip install torch"),
        ("jsgmath.certified", ["flint"], "jsgmath.certified needs python-flint; pip install python-flint"),
        ("vae", ["torch", "tyro"], "vae needs torch, tyro; pip install torch tyro"),
        ("vae.sweep", ["distributed"], "vae.sweep needs distributed; pip install distributed"),
    ],
)
def test_a_module_whose_extra_is_not_installed_names_it(module, missing, message):
    script = f"import sys; sys.modules |= dict.fromkeys({missing}); import {module}"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == f"ImportError: {message}"
