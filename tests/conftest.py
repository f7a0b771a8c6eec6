"""Set-up that must come before the test modules are imported."""

import os

# The kernels decide at import whether Triton's interpreter runs them, and these tests run without a GPU.  Tests of the
# compiled code start a process of their own, without this variable.
os.environ["TRITON_INTERPRET"] = "1"

# The matrices here are small: threads of the linear algebra would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
