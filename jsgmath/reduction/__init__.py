"""Turns two Gaussians of NumPy into independent scalar pairs, the input of `formula.py`."""

import numpy as np

from jsgmath import special
from jsgmath.gaussian import Gaussian
from jsgmath.reduction.diagonal import diagonal_pairs
from jsgmath.reduction.full import full_pairs
from jsgmath.reduction.pairs import Reduced, ScalarPairs


def reduced(N1: Gaussian, N2: Gaussian) -> Reduced:
    """The scalar pairs of two Gaussians, with bounds on their error; dimensions and batch shapes have been checked."""
    if N1.is_diagonal and N2.is_diagonal:
        pairs = diagonal_pairs(N1, N2)
        return Reduced(pairs, np.zeros((), special.WORK), ScalarPairs(*(x[..., :0] for x in pairs)))
    return full_pairs(N1, N2)[0]
