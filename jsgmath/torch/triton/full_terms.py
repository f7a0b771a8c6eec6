"""The parts that both kernels of full covariance share: `torch/full_terms.py` as Triton functions, and the weights."""

from typing import Any

import triton.language as tl

from jsgmath.torch import full_terms
from jsgmath.torch.triton.scalar import below, device, g, gs, mean_weights, shared, where

right_side: Any = shared(full_terms.right_side, where=where)
kl_terms: Any = shared(full_terms.kl_terms, below=below)
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
def pivot_terms(t, k, DUAL):
    """g or gs of the pivots ``k = 1 + t``."""
    if DUAL:
        terms = gs(t, k, k, 0 * k)
    else:
        terms = g(t, k, k, 0 * k)
    return terms
