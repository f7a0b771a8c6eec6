"""Imports of ``vae`` run one way, without circles, and reports and figures need no package of sweeps."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import vae
from tests.vae.runs.add_run import add_run

ROOT = Path(vae.__file__).parent
# Each floor may import from those below it, and a room on the top floor only from itself and from below.
FLOORS = {"training": 1, "runs": 2} | dict.fromkeys(["train", "evaluate", "sweep", "figures", "report"], 3)


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def imports(path):
    """The modules of ``vae`` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES) or {node.module}
    return found & set(MODULES)


def room(module):
    return module.split(".")[1] if "." in module else module


def test_no_module_imports_from_a_higher_floor_or_from_a_neighbour_on_the_top_floor():
    for module, path in MODULES.items():
        for imported in imports(path):
            here, there = FLOORS.get(room(module), 0), FLOORS.get(room(imported), 0)
            assert there < here or room(imported) == room(module) or here == there < 3, f"{module} imports {imported}"


def test_no_imports_form_a_circle():
    tuple(TopologicalSorter({module: imports(path) for module, path in MODULES.items()}).static_order())


@pytest.mark.parametrize("program", ["report", "figures"])
def test_reports_and_figures_run_without_the_packages_of_sweeps(program, tmp_path):
    for alpha in (0.1, 0.3):
        add_run(tmp_path / "runs", 10.0, alpha=alpha)
    arguments = {"report": ["runs", "-o", "report.html"], "figures": ["fig3", "--runs", "runs", "--out", "."]}[program]
    script = f"""
import runpy, sys
sys.modules |= dict.fromkeys(["vae.sweep", "dask", "distributed"])
sys.argv[1:] = {arguments!r}
runpy.run_module("vae.{program}", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / {"report": "report.html", "figures": "fig3.csv"}[program]).exists()
