"""Values do not depend on the state of the process: decimal contexts, threads, copies, the debug allocator."""

import copy
import decimal
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from flint import ctx

from jsgmath import Gaussian, certified, geometric_mean_many, js, kl, mixture
from jsgmath.reduction import wide, wide_complex

N1, N2 = Gaussian([0.3, 1.0], var=[0.7, 2.0]), Gaussian([0.0, 0.5], std=[1.1, 0.4])
TABLES = [wide.fraction, wide._table, wide._step, wide_complex._sines, wide_complex._step, mixture.rule]


def by_wide_numbers():
    for table in TABLES:  # which are made by decimal numbers, once
        table.cache_clear()
    mean = geometric_mean_many([N1, N2, N1], [0.2, 0.3, 0.5])
    return [*js(N1, N2, 0.3), *mean.mean, *mean.scale, js(N1, N2.indexed(...), 0.5)[0]]


def test_the_users_decimal_context_does_not_matter():
    expected = by_wide_numbers()
    strict = decimal.Context(prec=2, rounding=decimal.ROUND_UP, Emax=5, Emin=-5, traps=list(decimal.getcontext().traps))
    for context in (decimal.Context(prec=2), strict):
        with decimal.localcontext(context):
            assert by_wide_numbers() == expected


def test_the_default_decimal_context_does_not_matter(monkeypatch):
    """Contexts that are made later take from it what is not given."""
    near = [Gaussian([0.0], std=[1e200]), Gaussian([0.0], var=[1e300])]
    expected = [*by_wide_numbers(), kl(*near), *js(*near)]
    with monkeypatch.context() as changed:
        changed.setattr(decimal.DefaultContext, "rounding", decimal.ROUND_DOWN)
        for signal in decimal.DefaultContext.traps:
            changed.setitem(decimal.DefaultContext.traps, signal, True)
        found = [*by_wide_numbers(), kl(*near), *js(*near)]
    assert found == expected


def test_proofs_in_several_threads_give_the_same_bits_and_leave_the_precision_of_flint():
    """FLINT has one precision for all threads."""
    pairs = [(Gaussian([0.0], var=[1.0]), Gaussian([m], var=[2.0])) for m in (0.0, 0.3, 1.0, 2.0)]
    expected, before = [certified.js(*pair) for pair in pairs], ctx.prec
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda pair: certified.js(*pair), pairs))
    finally:
        sys.setswitchinterval(switched)
    assert found == expected
    assert ctx.prec == before


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda N: pickle.loads(pickle.dumps(N))])
def test_a_copy_is_the_same_gaussian_with_arrays_that_cannot_be_changed(copied):
    for N in (N1, Gaussian([0.0, 1.0], precision=[[2.0, 0.5], [0.5, 1.0]])):
        other = copied(N)
        assert (other.form, kl(N, other), other.factor.tolist()) == (N.form, 0, N.factor.tolist())
        assert not any(x.flags.writeable for x in (other.mean, other.scale))


def test_the_core_reads_no_freed_memory():
    """The debug allocator overwrites it."""
    script = (
        "import numpy as np; from jsgmath import native; "
        "assert all(native.address(x) == x.ctypes.data for x in (np.eye(3), np.ones(5)[2:]))"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONMALLOC": "debug"}, check=True, timeout=60)
