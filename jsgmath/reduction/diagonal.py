"""Turns two diagonal Gaussians into independent one-dimensional pairs, the input of `formula.py`.

The excesses ``e = r - 1`` are computed from the difference of the two scales in the form in which they were given, so
that near-equal Gaussians lose nothing.
"""

from typing import Any

import numpy as np

from jsgmath import special
from jsgmath.gaussian import Gaussian
from jsgmath.reduction import exact
from jsgmath.reduction.pairs import ScalarPairs, finite, positive


def diagonal_pairs(N1: Gaussian, N2: Gaussian, work: Any = None) -> ScalarPairs:
    """The pairs, one per coordinate, computed in the type ``work``, by default the working precision."""
    work = special.WORK if work is None else work
    (v1, i1), (v2, i2) = spread(N1, work), spread(N2, work)
    s1, s2 = N1.scale.astype(work), N2.scale.astype(work)
    if N1.form == N2.form == "logvar":
        log_r1, low = special.two_sum(s1, -s2)
        low = np.where(np.abs(log_r1) < np.log(np.finfo(work).max), low, 0)
        r1, r2 = positive(np.exp(log_r1)), positive(np.exp(-log_r1))
        e1, e2 = np.expm1(log_r1) + low * r1, np.expm1(-log_r1) - low * r2
        r1, r2 = positive(r1 + low * r1), positive(r2 - low * r2)
        # Where a ratio was clamped, the displacements are clamped too, so that the pair stays consistent.
        i1, i2 = np.minimum(i1, i2 * np.sqrt(r2)), np.minimum(i2, i1 * np.sqrt(r1))
    else:
        r1, r2 = positive(v1 / v2), positive(v2 / v1)
        log_r1 = np.log(r1)
        if N1.form == N2.form == "std":
            e1, e2 = (s1 - s2) / s2 * ((s1 + s2) / s2), (s2 - s1) / s1 * ((s1 + s2) / s1)
        else:
            e1, e2 = (v1 - v2) / v2, (v2 - v1) / v1
        if N1.form != N2.form:
            near = np.abs(e1) < 0.5
            e1[near], e2[near] = mixed_excesses(N1, N2, near)
    delta = N1.mean.astype(work) - N2.mean.astype(work)
    return ScalarPairs(log_r1, r1, r2, finite(e1), finite(e2), finite(delta * i1), finite(delta * i2))


def mixed_excesses(N1: Gaussian, N2: Gaussian, where: np.ndarray) -> np.ndarray:
    """Excesses of near-equal variances that were given in different forms, computed with 40 digits."""
    v1, v2 = (
        [exact.variance(N.form, x) for x in np.broadcast_to(N.scale, where.shape)[where].tolist()] for N in (N1, N2)
    )
    excesses = [(exact.excess(a, b), exact.excess(b, a)) for a, b in zip(v1, v2, strict=True)]
    halves = np.array([[exact.two_floats(e) for e in pair] for pair in excesses], special.WORK)
    return halves.reshape(-1, 2, 2).sum(-1).T


def spread(N: Gaussian, work: Any) -> tuple[np.ndarray, np.ndarray]:
    """Variances and reciprocal standard deviations of a diagonal Gaussian, in the type ``work``."""
    scale = N.scale.astype(work)
    if N.form == "logvar":
        return positive(np.exp(scale)), positive(np.exp(-scale / 2))
    if N.form == "std":
        return scale * scale, 1 / scale
    return scale, 1 / np.sqrt(scale)
