"""The limits of eqs. 14-19, checked numerically as alpha approaches its ends, in several dimensions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jsgmath
from verification.pairs import DIVERGENCES, dense_pair, diagonal_pair, divergence, gaussian, seeds

kinds = st.sampled_from([dense_pair, diagonal_pair])


@pytest.mark.parametrize("end", [0.0, 1.0])
@pytest.mark.parametrize(("dual", "convention"), DIVERGENCES)
@given(kind=kinds, n=st.integers(1, 5), seed=seeds)
def test_the_divergence_approaches_its_limit_linearly(dual, convention, end, kind, n, seed):
    """The limits are the two KLs for deasy (eqs. 17-19) and zero for nielsen (eqs. 14-15)."""
    N1, N2 = (gaussian(N) for N in kind(n, seed))
    forward, backward = jsgmath.kl(N1, N2), jsgmath.kl(N2, N1)
    limit = 0.0
    if convention == "deasy":
        limit = forward if (end == 0.0) != dual else backward
    # All derivatives by alpha at an end are at most a multiple of the fourth power of the ratio of variances.
    slope = 10 * (1 + forward + backward) ** 4
    for step in (1e-6, 1e-9, 1e-12):
        value = divergence(dual)(N1, N2, abs(end - step), convention=convention)
        assert abs(value - limit) <= slope * step + 4 * np.finfo(float).eps * limit
    value = divergence(dual)(N1, N2, end, convention=convention)
    assert value == pytest.approx(limit, rel=1e-15 if kind is diagonal_pair else 1e-12, abs=0)
