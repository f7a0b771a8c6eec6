"""Set-up that must come before the test modules are imported."""

import os

# The kernels decide at import whether Triton's interpreter runs them, and these tests run without a GPU.  Tests of the
# compiled code start a process of their own, without this variable.
os.environ["TRITON_INTERPRET"] = "1"

# The matrices here are small, and where other programs use the processors, threads that spin until the last of them has
# had its turn take twenty times as long as a single one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# On processors with AMX the same product has other last bits at another place in memory, unless this is said.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from tests.chromium import chromium  # noqa: F401  (fixtures for every test that asks for them)
