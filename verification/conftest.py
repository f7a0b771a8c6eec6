import os

import verification.profiles  # noqa: F401

# The matrices are small, so one thread is faster than two that wait for each other; several mutants run in parallel.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_terminal_summary(terminalreporter):
    from verification import ulps

    if not ulps.TORCH:
        columns = " and ".join(ulps.OF_TORCH)
        terminalreporter.write_line(f"torch is not installed: the columns {columns} of ulps.md are not measured")
