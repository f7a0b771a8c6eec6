"""Large arrays, which the core copies and checks, get the same results and errors as small ones."""

import re

import numpy as np
import pytest

from jsgmath import Gaussian
from jsgmath.gaussian import MANY

BAD = {"mean": (np.nan, np.inf, -np.inf), "var": (np.nan, np.inf, 0.0, -1.0), "std": (0.0,), "logvar": (np.nan, np.inf)}


def gaussian(name, array):
    return Gaussian(array, var=np.ones_like(array)) if name == "mean" else Gaussian(0.0, **{name: array})


@pytest.mark.parametrize("name", BAD)
def test_one_bad_number_in_many_is_refused_by_the_same_message(path, name):
    for size in (3, MANY + 13):
        for place in (0, size // 2, size - 1):
            for bad in BAD[name]:
                array = np.ones(size)
                array[place] = bad
                wanted = "positive and finite" if name in ("var", "std") else "finite"
                with pytest.raises(
                    ValueError, match=f"^{name} must be {wanted}, got {re.escape(str(np.float64(bad)))}$"
                ):
                    gaussian(name, array)


def test_large_arrays_are_copied_bit_by_bit(path):
    array = np.concatenate([[5e-324, 1.7976931348623157e308], np.random.default_rng(1).uniform(size=MANY + 11)])
    N = Gaussian(-array, var=array)
    expected = array.copy()
    array[:] = 7.0
    assert N.scale.tobytes() == expected.tobytes()
    assert N.mean.tobytes() == (-expected).tobytes()
    with pytest.raises(ValueError, match="read-only"):
        N.mean[0] = 1.0
