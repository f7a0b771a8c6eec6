"""Does the verification verify?  Break the mathematics on purpose, one place at a time, and see it turn red.

python -m verification.mutants        every mutant, in a copy of the package; exit status 1 if one survives
"""

import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """In ``file`` the one occurrence of ``text`` becomes ``wrong``."""

    file: str
    text: str
    wrong: str


MUTANTS = [
    # The convention, and the weights of the two KLs.
    Mutant("formula.py", "g1, g2, slope = w2, w1, -1", "g1, g2, slope = w1, w2, -1"),
    Mutant("formula.py", "g1, g2, slope = w1, w2, 1", "g1, g2, slope = w2, w1, 1"),
    Mutant("formula.py", "w1 * kl1 + w2 * kl2", "w2 * kl1 + w1 * kl2"),
    Mutant("formula.py", "w1 * kl1 + w2 * kl2", "w1 * kl1 - w2 * kl2"),
    # JSG: a sign, a swapped weight, a dropped factor, a swapped ratio.
    Mutant("formula.py", "kl1 = g(g2 * e1, k1, k2, log_r1) +", "kl1 = g(g1 * e1, k1, k2, log_r1) +"),
    Mutant("formula.py", "kl2 = g(g1 * e2, k2, k1, -log_r1) +", "kl2 = g(g1 * e1, k2, k1, -log_r1) +"),
    Mutant("formula.py", "(g2 * d2) * (g2 / k2 * d2)\n", "(g2 * d2) * (g1 / k1 * d2)\n"),
    Mutant("formula.py", "(g1 * d1) * (g1 / k1 * d1)\n", "(g1 * d1) * (g1 * d1)\n"),
    Mutant("formula.py", "log_r1) + (g2 * d2) * (g2", "log_r1) - (g2 * d2) * (g2"),
    Mutant("formula.py", "-log_r1) + (g1 * d1) * (g1", "-log_r1) + (g1 * d2) * (g1"),
    # The dual.
    Mutant("formula.py", "gs(g2 * e1, k1, k2, log_r1) +", "gs(g2 * e2, k1, k2, log_r1) +"),
    Mutant("formula.py", "gs(g1 * e2, k2, k1, -log_r1) +", "gs(g2 * e2, k2, k1, -log_r1) +"),
    Mutant("formula.py", "(g2 / k2 * d1) * (g2 / k2 * d1)", "(g2 / k2 * d2) * (g2 / k2 * d2)"),
    Mutant("formula.py", "(g1 / k1 * d2) * (g1 / k1 * d2)", "(g1 / k1 * d2) * (g1 * d2)"),
    # The kernels.
    Mutant("special.py", "q * (x - 2 * w * tail", "q * (x + 2 * w * tail"),
    Mutant("special.py", "q * (x / k + 2 * w * tail", "q * (x / k - 2 * w * tail"),
    Mutant("special.py", "(2 * (terms - j) + 1)", "(2 * (terms - j) - 1)"),
    Mutant("special.py", "near, log_k(k, other_k, log_r, log, where, floor) - x / k)", "near, log(k) - x)"),
    Mutant("special.py", "return math.ceil(bits / math.log2(9))", "return math.ceil(bits / math.log2(9)) - 8"),
    Mutant("special.py", "where(sound, 0 * log_r, log_r)", "where(sound, 0 * log_r, -log_r)"),
    # Diagonal pairs.
    Mutant("canonical.py", "(s1 - s2) * (s1 + s2)", "(s1 - s2) * (s1 - s2)"),
    Mutant("canonical.py", "e1, e2 = difference / v2, -difference / v1", "e1, e2 = r1 - 1, r2 - 1"),
    Mutant("canonical.py", "e1, e2 = difference / v2, -difference / v1", "e1, e2 = difference / v2, difference / v1"),
    Mutant("canonical.py", "np.expm1(log_r1) + low * r1, np", "np.exp(log_r1) - 1, np"),
    Mutant("canonical.py", "positive(np.exp(-scale / 2))", "positive(np.exp(-scale))"),
    Mutant("canonical.py", "finite(delta * i1), finite(delta * i2)", "finite(delta * i2), finite(delta * i1)"),
    # Dense pairs.
    Mutant("canonical.py", "return x + x.T + x @ x.T", "return x + x.T"),
    Mutant("canonical.py", "if e[0] > -0.5 else None", "if e[0] > -1.5 else None"),
    Mutant("canonical.py", "return pair.exchanged(), basis", "return pair, basis"),
    Mutant("canonical.py", "(1 / s - 1) * (1 / s + 1)", "(1 / s - 1) * (s + 1)"),
    Mutant("canonical.py", "(s - 1) * (s + 1), (1", "(s - 1) * (s - 1), (1"),
    Mutant("canonical.py", "1 / r, r, inverse_e, e, d2", "1 / r, r, e, inverse_e, d2"),
    Mutant("canonical.py", "vectors.T @ (factor.T @ delta)", "vectors.T @ (factor @ delta)"),
    Mutant("canonical.py", "vectors.T @ solve_triangular", "vectors @ solve_triangular"),
    Mutant("canonical.py", "d2 / np.sqrt(r), d2), factor @ vectors", "d2 * np.sqrt(r), d2), factor @ vectors"),
    Mutant("canonical.py", "basis * np.sqrt(pair.r1)", "basis * np.sqrt(pair.r2)"),
    # The geometric mean and the derivatives.
    Mutant("divergences.py", "(g1 / k1 * pair.d2)", "(g2 / k1 * pair.d2)"),
    Mutant("divergences.py", "mean = (g1 / k1 * N1.mean + g2", "mean = (g1 / k2 * N1.mean + g2"),
    Mutant("formula.py", "w2, w1, -1", "w2, w1, 1"),
    Mutant("formula.py", "(w1 * d2) * (p2 * d2) * (1 + 1 / k1)", "(w1 * d2) * (p2 * d2)"),
    Mutant("formula.py", "mean1 = u1 * i2 + u2 * i1", "mean1 = u1 * i1 + u2 * i2"),
    Mutant("formula.py", "s2 - u2 * (d1 + p2 * d1)) / 2", "s2 - u2 * (d1 - p2 * d1)) / 2"),
    Mutant("formula.py", "h1 * h1 * (p1 - p2)", "h1 * h1 * (p2 - p1)"),
]


# Quickest first, since a run stops at the first red test.
ORDER = ["equations", "definition", "symbolic", "identities", "limits", "sign", "integrals"]


def survives(mutant):
    """Whether the suite stays green on the mutated package; to be called in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("jsgmath", "verification"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "jsgmath" / mutant.file
        source = path.read_text()
        if source.count(mutant.text) != 1:
            raise ValueError(f"{mutant.file} holds {mutant.text!r} {source.count(mutant.text)} times, wanted once")
        path.write_text(source.replace(mutant.text, mutant.wrong))
        os.chdir(copy)
        with open("log", "w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        code = pytest.main(
            ["-q", "-x", "-p", "no:cacheprovider", "--assert=plain", "--hypothesis-profile=mutants"]
            + [f"verification/test_{name}.py" for name in ORDER]
        )
        # Anything but green or a red test means that the suite did not run, which proves nothing.
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            raise RuntimeError(f"the suite did not run on {mutant}:\n{Path('log').read_text()[-2000:]}")
        return code == pytest.ExitCode.OK


def survivors(mutants=MUTANTS):
    """Run all mutants, two at a time, printing a line for each; return those that survive.

    Each runs in a fork of this process, which has imported what is slow to import and nothing of the package.
    """
    assert "jsgmath" not in sys.modules
    for slow in ("hypothesis", "mpmath", "scipy.integrate", "scipy.stats", "sympy"):
        importlib.import_module(slow)
    alive = []
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        for mutant, green in zip(mutants, pool.imap(survives, mutants), strict=True):
            fate = "SURVIVED" if green else "killed  "
            print(f"{fate} {mutant.file}: {mutant.text!r} -> {mutant.wrong!r}", flush=True)
            alive += [mutant] if green else []
    print(f"{len(mutants) - len(alive)} of {len(mutants)} mutants killed")
    return alive


if __name__ == "__main__":
    sys.exit(1 if survivors() else 0)
