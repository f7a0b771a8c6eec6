"""The column of `jsgmath.torch` in verification/ulps.md, and its table of full covariances."""

import numpy as np
import pytest

from verification import ulps
from verification.inputs import factors, inputs
from verification.test_ulps import BEYOND, DTYPES, SCALAR, nothing_wrong

# Every step is rounded to the type: 7.5 was measured over 2.4 million random pairs; another libm may give a third more.
ULPS_TORCH = 10
# float32 is computed in float64 and rounded once.  In float64 9.3 was measured; another LAPACK may give half more.
ULPS_FULL = {np.float64: 15, np.float32: 0.501}


@pytest.mark.parametrize(("dtype", "kind"), SCALAR)
def test_the_torch_functions_are_right_to_a_few_places(dtype, kind):
    got = ulps.measure("`jsgmath.torch`", *inputs(dtype)[kind], dtype)
    assert nothing_wrong(got)
    assert got.largest <= ULPS_TORCH or kind == BEYOND[dtype]  # there the ratio is limited, as documented


@pytest.mark.parametrize(("dtype", "kind"), [(dtype, kind) for dtype in DTYPES for kind in factors(dtype)])
def test_kl_of_full_covariances_is_right_to_a_few_places(dtype, kind):
    """The condition of the factors is up to 1e15 in float64, and up to 1e7 in float32."""
    got = ulps.measure_factors(dtype)[kind]["`jsgmath.torch.kl_full`"]
    assert nothing_wrong(got)
    assert got.largest <= ULPS_FULL[dtype]
