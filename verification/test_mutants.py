"""The suite that proves the mathematics turns red when the mathematics is broken."""

import subprocess
import sys

import pytest

from verification import mutants


@pytest.mark.slow
def test_every_mutant_is_killed():
    """By the one command that prints them, in a process of its own: it must not have imported the package before."""
    command = [sys.executable, "-m", "verification.mutants"]
    run = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("killed  ") == len(mutants.MUTANTS) >= 20


def test_a_change_without_effect_survives():
    """The runner can tell: a mutant that is none must come back green."""
    program = (
        "from verification.mutants import Mutant, survivors\n"
        "harmless = Mutant('formula.py', 'return w1 * kl1 + w2 * kl2', 'return w2 * kl2 + w1 * kl1')\n"
        "assert survivors([harmless]) == [harmless]\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=mutants.ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
