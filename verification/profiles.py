"""How Hypothesis chooses its examples, in verification/ and in tests/."""

from hypothesis import Phase, settings

# The same examples on every machine and in every run, so that a red test is always a defect.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None, max_examples=60)
# For broken code (`mutants.py`): the first of these examples, without a search for a simpler one or a second defect.
settings.register_profile(
    "mutants", settings.get_profile("fixed"), max_examples=8, phases=[Phase.generate], report_multiple_bugs=False
)
settings.load_profile("fixed")
