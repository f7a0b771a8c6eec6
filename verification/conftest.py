import os

from hypothesis import Phase, settings

# The matrices are small: one thread is faster than two that wait for each other, and several mutants run at a time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine and in every run: a red test is a defect, never bad luck.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None, max_examples=60)
# For broken code (`mutants.py`): only the first of those examples, and no search for a simpler one.
settings.register_profile("mutants", settings.get_profile("fixed"), max_examples=8, phases=[Phase.generate])
settings.load_profile("fixed")


def pytest_terminal_summary(terminalreporter):
    from verification import ulps

    if not ulps.TORCH:
        columns = " and ".join(ulps.OF_TORCH)
        terminalreporter.write_line(f"torch is not installed: the columns {columns} of ulps.md are not measured")
