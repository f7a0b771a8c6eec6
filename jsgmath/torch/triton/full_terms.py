"""The parts that both kernels of full covariance share: `torch/full_terms.py` as Triton functions, and the weights."""

from typing import Any

import triton.language as tl

from jsgmath.torch import full_terms
from jsgmath.torch.triton.diagonal import must_compute
from jsgmath.torch.triton.scalar import device, g, gs, mean_weights, shared, where

right_side: Any = shared(full_terms.right_side, where=where)
quotient_errs_less: Any = shared(full_terms.quotient_errs_less)
mean_product: Any = shared(full_terms.mean_product, where=where)
part: Any = shared(full_terms.part, where=where)
kl_terms: Any = shared(full_terms.kl_terms, part=part)
skew: Any = shared(full_terms.skew, part=part)
by_displacement: Any = shared(full_terms.by_displacement)
matrix_to_mean: Any = shared(full_terms.matrix_to_mean)
matrix_from_mean: Any = shared(full_terms.matrix_from_mean)
outer_to_mean: Any = shared(full_terms.outer_to_mean)
outer_from_mean: Any = shared(full_terms.outer_from_mean)
weights_to_mean: Any = shared(full_terms.weights_to_mean)
weights_from_mean: Any = shared(full_terms.weights_from_mean)
by_alpha: Any = shared(full_terms.by_alpha)


@device
def pair_weights(alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT: tl.constexpr, REVERSE):
    """``w1, w2, g1, g2, slope`` of the pairs ``at``, and the factor of their gradients."""
    if alphas is None:
        a = tl.full(at.shape, alpha, tl.float64)
    else:
        a = tl.load(alphas + at * S_ALPHA, mask=mask, other=0.0).to(tl.float64)
    w1 = (1.0 - a).to(FLOAT)
    w2 = a.to(FLOAT)
    g1, g2, slope = mean_weights(w1, w2, REVERSE)
    if upstream is None:
        factor = tl.full(at.shape, scale, tl.float64).to(FLOAT)
    else:
        factor = tl.load(upstream + at * S_UPSTREAM, mask=mask, other=0.0)
    return w1, w2, g1, g2, slope, factor


@device
def is_hard(squares, kl1, kl2):
    """Whether float32 would lose digits: scales are too far apart, or a divergence is infinite or nearly so.

    ``squares`` is the sum of those of W and V.  The square of W's condition is at most ``squares**2 / 4``.
    """
    return ~((squares < 1000.0) & (kl1 < 1e30) & (kl2 < 1e30))


@device
def must_compute_pairs(upstream, at, mask, scale, hard, S_UPSTREAM, FLOAT, STORED, AGAIN):
    """Which pairs have results, and whether any has; `full.launch` explains ``hard`` and AGAIN."""
    if AGAIN:
        mask &= tl.load(hard + at, mask=mask, other=0) != 0
        result = tl.max(mask.to(tl.int32), 0) > 0
    else:
        result = must_compute(upstream, at, mask, scale, S_UPSTREAM, FLOAT, STORED)
        if hard is not None:
            tl.store(hard + at, tl.zeros(at.shape, tl.int8), mask=mask)
    return mask, result


@device
def pivot_terms(t, k, DUAL):
    """g or gs of the pivots ``k = 1 + t``."""
    if DUAL:
        terms = gs(t, k, k, 0 * k)
    else:
        terms = g(t, k, k, 0 * k)
    return terms
