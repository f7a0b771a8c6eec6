"""Runs JAX in its own process, because JAX starts threads, after which other tests cannot fork."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
collect_ignore = ["jax_values.py"]  # a program; it would start JAX in each process that looks for examples in it


@pytest.fixture(scope="session")
def printed():
    """Runs a module as a program and returns what it prints as JSON."""

    def printed(module):
        done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, cwd=ROOT, timeout=900)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return printed
