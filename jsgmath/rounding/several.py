r"""The divergence of several one-dimensional Gaussians from their product of experts, and weights, for any number type.

Let N_0 be the one with the largest share ``g_j/v_j`` in the precision of the product G.  With ``r_j = v_j/v_0``,
``e_j = r_j - 1`` and ``y_j = 1/r_j - 1`` for each N_j,

    Y = sum_j g_j y_j,    k = v_0/v_G = sum_j g_j/r_j,    m_G - m_0 = sum_j g_j/r_j (m_j - m_0) / k

and for ``KL(N_j||G)`` and ``KL(G||N_j)`` the scalars of `formula.py` are ``v_j/v_G = k r_j`` and

    v_j/v_G - 1 = e_j + Y r_j

so that Gaussians that are close lose nothing.  The sums over j have terms of either sign; a bound on the error,
relative to the sizes of these terms, is computed with the value.  `several_terms.py` has the formulas for one N_j; the
compiled core uses the same text.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jsgmath.reduction.wide import Wide, where
from jsgmath.rounding.several_terms import summands, twice_divergence

ROUNDED = 1e-6  # allowed difference of a sum of weights from 1, for weights in float32
EXACT = 2.0**-44  # difference from 1 that the rounding of weights in float64 may cause


def wide_weights(weights: np.ndarray) -> Wide:
    """Weights of shape ``(K, ...)`` whose sum is 1.

    If the sum is 1 except for rounding, the largest weight is computed from the others, as 1 - alpha is.  The largest
    one stays positive, and rounding changes it least.  Otherwise all are divided by their sum.
    """
    w = Wide.of(weights)
    total, largest = w.sum(0), weights == weights.max(0)
    rest = (1.0 - Wide.of(np.where(largest, 0.0, weights)).sum(0)) / largest.sum(0).astype(float)
    return where(np.abs(total.high - 1) <= EXACT, where(largest, rest, w), w / total)


def exact_weights(weights: Sequence[float]) -> list[Fraction]:
    """K weights whose sum is 1, computed as in `wide_weights` but without rounding."""
    exact = [Fraction(x) for x in weights]
    total, largest = sum(exact, Fraction(0)), max(exact)
    if abs(float(total) - 1) > EXACT:
        return [x / total for x in exact]
    others = sum((x for x in exact if x != largest), Fraction(0))
    return [(1 - others) / exact.count(largest) if x == largest else x for x in exact]


def pairs_of_weights(weights: Sequence[float]) -> list[tuple[float, float]]:
    """The same for K numbers, as pairs of doubles."""
    largest = max(weights)
    if abs(math.fsum(weights) - 1) <= EXACT and weights.count(largest) == 1:
        terms = [1.0, *(-x for x in weights if x != largest)]
        high = math.fsum(terms)
        rest = high, math.fsum([*terms, -high])
        return [rest if x == largest else (x, 0.0) for x in weights]
    return [(float(x), float(x - Fraction(float(x)))) for x in exact_weights(weights)]


class Scalars(NamedTuple):
    """The scalars of each of K Gaussians relative to N_0; the first axis has length K."""

    log_r: Any
    r: Any
    inverse_r: Any
    e: Any
    y: Any
    size_e: Any  # the errors of e and y are relative to these
    size_y: Any
    delta: Any  # the differences of the means, exactly
    variance: Any
    reference_variance: Any  # without an axis of length K


class Unit(NamedTuple):
    """Bounds on relative errors: of the scalars and of one operation; of g and gs."""

    scalars: Any
    kernels: Any


def product(s: Scalars, g: Any) -> tuple[Any, Any]:
    """``v_0/v_G`` and ``m_G - m_0``."""
    shares = g * s.inverse_r
    k = shares.sum(0)
    return k, (shares * s.delta).sum(0) / k


def twice_divergences(
    s: Scalars, g: Any, dual: bool, kernel: Callable[..., Any], size: Callable[[Any], Any], unit: Unit
) -> tuple[Any, Any]:
    """``2 KL(N_j||G)``, or ``2 KL(G||N_j)`` if dual, and bounds on their errors.

    Args:
        kernel: g or gs, with the arguments that they have in `special.py`.
        size: returns the magnitude of a number, in the type in which the bounds are computed.
    """
    count = g.shape[0]
    sums = (x.sum(0) for x in summands(g, s.inverse_r, s.y, s.size_y, s.delta, size))
    k, force, excess, size_force, size_excess = sums
    precision = 1 / s.variance if dual else k / s.reference_variance
    relative, rounding = (2 * count + 16) * unit.scalars, (2 * count + 64) * unit.scalars + 2 * unit.kernels
    sizes = size_force / size(k), size_excess
    of_sums = k, force / k, excess, *sizes
    numbers = s.r, s.e, s.size_e, s.delta, s.log_r, precision, *of_sums
    return twice_divergence(*numbers, dual, kernel, size, select, relative, rounding)


def select(condition: Any, a: Any, b: Any) -> Any:
    """Returns a where the condition is true, otherwise b; for arrays of decimal numbers or float64, and for `Wide`."""
    if isinstance(a, Wide):
        return where(condition, a, b)
    return np.where(condition, a, b)  # pyright: ignore[reportUnknownVariableType]
