"""How Hypothesis chooses its examples, in verification/ and in tests/."""

from hypothesis import Phase, settings

# The same examples on every machine and in every run: a red test is a defect, never bad luck.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None, max_examples=60)
# For broken code (`mutants.py`): the first of those examples, and no search for a simpler one or for a second defect.
settings.register_profile(
    "mutants", settings.get_profile("fixed"), max_examples=8, phases=[Phase.generate], report_multiple_bugs=False
)
settings.load_profile("fixed")
