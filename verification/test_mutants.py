"""The tests that prove the mathematics fail when the mathematics is broken."""

import ast
import subprocess
import sys

import pytest

from verification import mutants

CORE = ["formula", "special", "exact", "pairs", "diagonal", "reduction"]  # the other modules take minutes more
FILES = [f"test_{name}" for name in ("definition", "equations", "gradient", "kernels", "rounding")]  # those of FIRST
HARMLESS = "special.numpy_kernel: terms = series_terms(info.nmant + 2)"


@pytest.fixture(scope="module")
def trial():
    """Runs the command that prints the fate of every mutant, once and in its own process."""
    command = [sys.executable, "-m", "verification.mutants", *CORE, HARMLESS, "first", *FILES]
    return subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_every_mutant_is_killed_and_the_readme_has_their_number(trial):
    assert trial.returncode == 0, trial.stdout + trial.stderr
    killed = trial.stdout.count("    killed by ")
    assert f"{killed + 1} mutants, 1 equivalent" in trial.stdout
    assert f"{killed} of them in `pytest verification/`" in (mutants.ROOT / "verification" / "README.md").read_text()


@pytest.mark.slow
def test_a_change_without_effect_survives(trial):
    """All tests pass for a mutant that changes no digit, and the command reports it."""
    assert trial.stdout.count("    survived ") == 1


def test_the_tests_that_run_first_are_in_the_files_that_the_command_is_given():
    text = "".join((mutants.ROOT / "verification" / f"{name}.py").read_text() for name in FILES)
    assert all(text.count(f"def {name}(") == 1 for name in mutants.FIRST)


def test_every_operation_sign_comparison_number_and_name_makes_a_mutant():
    """These are operations, signs, comparisons, conditions, numbers and names, but nothing that only raises."""
    source = """
def f(r1, r2, A):
    if r1 < 0:
        raise ValueError(r1 + 1)
    return A @ -r1 ** 3 if r1 > 0.5 and A else r2.T / 2
"""
    found = mutants.mutants_of("module", source)
    assert sorted((m.before, m.after) for m in found) == sorted(
        [
            ("A @ -r1 ** 3", "A.T @ -r1 ** 3"),
            ("-r1 ** 3", "r1 ** 3"),
            ("r1 ** 3", "r1 * 3"),
            ("r1", "r2"),
            ("3", "4"),
            ("r1 > 0.5 and A", "r1 > 0.5 or A"),
            ("r1 > 0.5", "r1 <= 0.5"),
            ("r1", "r2"),
            ("0.5", "1.5"),
            ("r2.T / 2", "r2.T * 2"),
            ("r2", "r1"),
            ("2", "3"),
        ]
    )
    assert "module.f: return A.T @ -r1 ** 3 if r1 > 0.5 and A else r2.T / 2" in {m.name for m in found}


@pytest.mark.parametrize("module", ["formula", "special", "diagonal", "divergences", "gradients"])
def test_every_arithmetic_operation_has_its_mutant(module):
    """The exceptions are operations in code that only raises an error."""
    source = mutants.text_of(module)
    tree = ast.parse(source)
    errors = {id(node) for part in ast.walk(tree) if mutants.only_raises(part) for node in ast.walk(part)}
    operations = sum(isinstance(node, ast.BinOp) and id(node) not in errors for node in ast.walk(tree))
    found = mutants.mutants_of(module, source)
    assert operations == sum(isinstance(ast.parse(m.before).body[0].value, ast.BinOp) for m in found) > 0
