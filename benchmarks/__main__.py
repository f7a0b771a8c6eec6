"""Measures the speed of jsgmath on a CPU, in a few minutes. Other options go to pytest and pytest-benchmark."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from benchmarks import cpu
from benchmarks.clock import quantiles
from benchmarks.families import FAMILIES
from benchmarks.output import machine, milliseconds, ratio, table, write_json
from jsgmath import native

ROOT = Path(__file__).parents[1]
# The targets: what -> the least ratio of the textbook's time to ours. (Our limits are ratios the other way round.)
LARGE = 0.5 if native.CORE and native.CORE.instruction_set == "avx512" else 0.8
DIAGONAL = {
    **{(form, size): 2 for form in ("var", "std") for size in ("1 x 1", "1 x 10")},
    **{(form, size): LARGE for form in ("var", "std") for size in ("1000 x 20", "10000 x 50")},
    **{("logvar", size): 1.5 for size in ("1000 x 20", "10000 x 50")},
}
OF_FAMILIES = {name: 8 if name in ("Gamma", "Beta", "Dirichlet") else 3 for name in FAMILIES}
DENSE = {"1 x 2": 2, "1 x 10": 2, "100 x 3": 0.5, "100 x 10": 0.6, "80 x 20": 0.9, "10 x 64": 3, "1 x 200": 6}
TARGETS = {
    "JSG to N(0, I) with gradients, torch float32, 4096 x 256": 5,
    "JSG to N(0, I) with gradients, torch float32, 128 x 10": 2,
    **{f"JSG of two diagonal, NumPy, {form}, {size}": 1 / limit for (form, size), limit in DIAGONAL.items()},
    **{f"JSG of dense pairs, NumPy, {size}": 1 / limit for size, limit in DENSE.items()},
    "JSG of three diagonal Gaussians and their product, NumPy, 1000 x 20": 1 / 5,
    **{f"{of} of {name}, NumPy float64": 1 / limit for name, limit in OF_FAMILIES.items() for of in ("KL", "JSG")},
}
IMPORTS = {("numpy", "jsgmath"): 0.025, ("torch", "jsgmath.torch"): 0.05}  # seconds
IMPORT_PROGRAM = """
import time, {first}
start = time.perf_counter()
import {second}
print(time.perf_counter() - start)
"""


class Skipped:
    """A pytest plugin that collects the skipped benchmarks and their reasons."""

    def __init__(self):
        self.reasons = []

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            self.reasons.append(dict(case=report.nodeid.split("::")[-1], reason=report.longrepr[-1]))


def benchmark(options):
    """Returns the exit status of pytest, a record of each benchmark, and the skipped ones with their reasons."""
    skipped = Skipped()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "benchmarks.json")
        ours = [cpu.__file__, f"--rootdir={ROOT}", f"--benchmark-json={file}", "--benchmark-quiet", "-q"]
        ours += ["-W", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning"]  # that nothing is saved after an error
        status = pytest.main([*ours, "-p", "no:cacheprovider", *options], plugins=[skipped])
        measured = json.loads(file.read_text(encoding="utf-8"))["benchmarks"] if file.exists() else []
    records = [
        dict(what=b["group"], implementation=b["extra_info"]["implementation"])
        | quantiles(b["stats"]["data"])
        | dict(runs=b["stats"]["rounds"])
        for b in measured
    ]
    groups = list(dict.fromkeys(r["what"] for r in records))
    return status, sorted(records, key=lambda r: groups.index(r["what"])), skipped.reasons


def import_name(first, second):
    return f"import {second}, after import {first}"


def import_time(first, second, processes=9):
    """Returns a record of the seconds that the second import takes, each time in a new process."""
    command = [sys.executable, "-c", IMPORT_PROGRAM.format(first=first, second=second)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    times = [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(processes)
    ]
    return dict(what=import_name(first, second), implementation="jsgmath") | quantiles(times) | dict(runs=processes)


def lines(records):
    """Yields a row of the table for each record: what, implementation, time, multiple of ours, target."""
    ours = {r["what"]: r for r in records if r["implementation"] == "jsgmath"}
    imports = {import_name(*names): limit for names, limit in IMPORTS.items()}
    for r in records:
        other = r["implementation"] != "jsgmath" and r["what"] in ours  # the options may exclude ours
        target = ""
        wanted = TARGETS.get(r["what"]) or TARGETS.get(r["what"].rpartition(", ")[0])  # those of families have any size
        if other and wanted and r["implementation"].startswith("textbook"):
            target = f">= {wanted:.3g}: {'yes' if r['median'] >= wanted * ours[r['what']]['median'] else 'NO'}"
        elif r["what"] in imports:
            limit = imports[r["what"]]
            target = f"<= {1e3 * limit:g} ms: {'yes' if r['median'] <= limit else 'NO'}"
        slower = ratio(r, ours[r["what"]]) if other else ""
        yield r["what"], r["implementation"], milliseconds(r), slower, target


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    arguments, options = parser.parse_known_args(arguments)
    status, records, left_out = benchmark(options)
    if status != pytest.ExitCode.OK:
        return int(status)
    records += [import_time(*names) for names in IMPORTS]
    facts = machine(torch.device("cpu")) | dict(threads=1)
    print("".join(f"{name}: {value}\n" for name, value in facts.items()))
    print("Numbers are medians, with the 20 % and 80 % quantiles in brackets.\n")
    print(table(("what", "implementation", "ms", "times ours", "target"), list(lines(records))))
    for r in left_out:
        print(f"Left out: {r['case']}: {r['reason']}")
    if arguments.json:
        try:
            write_json(arguments.json, dict(facts=facts, records=records, left_out=left_out))
        except OSError as error:
            print(f"python -m benchmarks: {error.filename}: {error.strerror}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
