"""What the kernel compiles to, without a GPU: no spilled register, loads as wide as the hardware has them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine_code import CASES

pytestmark = pytest.mark.slow

# Of a multiprocessor's 65536 registers, 128 a thread leave room for 512 threads, enough to hide the latency of memory
# in a kernel that is bound by it.  104 was measured, in float32 and in float64.
REGISTERS = 128


def name(case):
    return "-".join(
        f"{key}={value}" if key in ("n", "dual", "contiguous") else str(value) for key, value in case.items()
    )


cases = pytest.mark.parametrize("case", CASES, ids=name)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """All cases compiled in one new process that knows nothing of the interpreter and of earlier compilations."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.machine_code"]
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {name({key: report[key] for key in CASES[0]}): report for report in json.loads(run.stdout)}


@cases
def test_no_register_is_spilled(case, reports):
    assert reports[name(case)]["spilled"] == 0


@cases
def test_registers_leave_room_for_enough_threads(case, reports):
    assert reports[name(case)]["registers"] <= REGISTERS


@pytest.mark.parametrize("case", [c for c in CASES if c["dtype"] != "bf16" and c["target"] != "gfx942"], ids=name)
def test_full_tiles_are_loaded_and_stored_128_bits_at_a_time(case, reports):
    """At least one such load for each input and one store for each gradient: those of the path without a row mask.

    The tail, one program of many, may be narrower: with n = 10 a thread's four numbers can lie in two rows, of which
    the second need not exist.
    """
    report = reports[name(case)]
    assert report["loads"].get("128", 0) >= 2 * case["gaussians"]
    assert report["stores"].get("128", 0) >= 1 + case["gaussians"]


@pytest.mark.parametrize("case", [c for c in CASES if c["dtype"] == "bf16" or c["target"] == "gfx942"], ids=name)
def test_a_thread_s_numbers_are_one_access_elsewhere_too(case, reports):
    """64 bits: four numbers of 16, or, of AMD's 64 lanes to a wavefront, two of 32."""
    report = reports[name(case)]
    assert report["loads"].get("64", 0) >= 2 * case["gaussians"]
    assert report["stores"].get("64", 0) >= 1 + case["gaussians"]


@cases
def test_no_load_is_of_a_single_float32(case, reports):
    """Nor in the tail: a thread's numbers at least come in pairs, as alpha, a float64, does."""
    assert set(reports[name(case)]["loads"]) <= {"64", "128"}
