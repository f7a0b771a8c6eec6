"""Imports of ``vae`` run one way, without circles, and reports and figures need no package of sweeps."""

from graphlib import TopologicalSorter

import pytest

import vae
from tests.imports import imports_of, room
from tests.vae import forked
from tests.vae.runs.add_run import add_run

IMPORTS = imports_of(vae)
# Each floor may import from those below it, and a room on the top floor only from itself and from below.
FLOORS = {"training": 1, "runs": 2} | dict.fromkeys(["train", "evaluate", "sweep", "figures", "report"], 3)


def test_no_module_imports_from_a_higher_floor_or_from_a_neighbour_on_the_top_floor():
    for module, imported in IMPORTS.items():
        for other in imported:
            here, there = FLOORS.get(room(module), 0), FLOORS.get(room(other), 0)
            assert there < here or room(other) == room(module) or here == there < 3, f"{module} imports {other}"


def test_no_imports_form_a_circle():
    assert set(TopologicalSorter(IMPORTS).static_order()) == set(IMPORTS)


@pytest.mark.parametrize("program", ["report", "figures"])
def test_reports_and_figures_run_without_the_packages_of_sweeps(program, tmp_path):
    for alpha in (0.1, 0.3):
        add_run(tmp_path / "runs", 10.0, alpha=alpha)
    arguments = {"report": ["runs", "-o", "report.html"], "figures": ["fig3", "--runs", "runs", "--out", "."]}[program]
    script = f"""
import os, runpy, sys
for name in [name for name in sys.modules if name.partition(".")[0] in ("vae", "dask", "distributed")]:
    del sys.modules[name]
sys.modules |= dict.fromkeys(["vae.sweep", "dask", "distributed"])
os.chdir({str(tmp_path)!r})
runpy.run_module("vae.{program}", run_name="__main__", alter_sys=True)
"""
    done = forked.run(script, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / {"report": "report.html", "figures": "fig3.csv"}[program]).exists()
