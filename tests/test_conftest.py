"""The set-up of the tests: they run in the background, and those that do not need torch run without it."""

import subprocess
import sys
import tomllib

from hypothesis import settings

RUN_IN_THE_BACKGROUND = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with what ends with &
import tests.conftest
subprocess.run([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT).__name__)"], check=True)
"""


def test_programs_can_be_interrupted_when_the_tests_run_in_the_background(pytestconfig):
    command = [sys.executable, "-c", RUN_IN_THE_BACKGROUND]
    run = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("default_int_handler\n", "")


WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
import pytest
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in ("torch", "triton") else find(name, *rest)
sys.exit(pytest.main(["--collect-only", "-q", "--assert=plain", "-p", "no:cacheprovider", "verification", "tests"]))
"""


def test_the_proofs_and_the_tests_of_numpy_need_no_torch_and_say_what_is_left_out(pytestconfig):
    command = [sys.executable, "-c", WITHOUT_TORCH]
    run = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    *_, of_tests, of_proofs, count = run.stdout.splitlines()
    assert of_proofs == "torch is not installed: the columns `jsgmath.torch` and torch KL of ulps.md are not measured"
    assert of_tests.startswith("torch is not installed; left out in tests/, because they need it: benchmarks, docs, ")
    assert int(count.split()[0]) > 2000


def test_the_extra_that_installs_the_proofs_brings_no_torch(pytestconfig):
    extras = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not [package for name in ("verify", "certified") for package in extras[name] if "torch" in package]


def test_hypothesis_takes_the_same_examples_in_every_run_without_a_deadline():
    assert settings().derandomize
    assert settings().deadline is None
