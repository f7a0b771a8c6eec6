"""Set-up that must come before the test modules are imported."""

import gc
import importlib.util
import os
import signal

from hypothesis.internal.entropy import deterministic_PRNG

import verification.profiles  # noqa: F401
from tests.chromium import chromium  # noqa: F401  (fixtures for every test that asks for them)

# The kernels decide at import whether Triton's interpreter runs them, and these tests run without a GPU.  Tests of the
# compiled code start a process of their own, without this variable.
os.environ["TRITON_INTERPRET"] = "1"

# The matrices here are small.  If other programs use the processors, threads that spin until the last one has run take
# twenty times as long as a single thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without this, the last bits of a product depend on its place in memory on processors with AMX.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# A shell in which tests run in the background ignores Ctrl-C, and the programs that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

NEED_TORCH = ["benchmarks", "docs", "interop", "torch", "vae", "test_package.py"]
TORCH = importlib.util.find_spec("torch") is not None
collect_ignore = [] if TORCH else NEED_TORCH


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that at the end no process works on a long file while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Excludes all existing objects from garbage collection, which took a tenth of the time to examine them again."""
    # Hypothesis makes its generator now; later it would look for references to it and not find those that are frozen.
    with deterministic_PRNG():
        pass
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # objects of compilers and interpreters are seldom in cycles


def pytest_terminal_summary(terminalreporter):
    if not TORCH:
        left_out = ", ".join(NEED_TORCH)
        terminalreporter.write_line(f"torch is not installed; left out in tests/, because they need it: {left_out}")
