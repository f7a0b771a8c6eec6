"""What both kernels of full covariance compute alike: weights, sums over pivots, outer products.

`eager/full.py` has the notation and the formulas.
"""

import triton.language as tl

from jsgmath.torch.triton.scalar import below, device, g, gs, mean_weights


@device
def pair_weights(alpha, alphas, upstream, scale, at, mask, S_ALPHA, S_UPSTREAM, FLOAT: tl.constexpr, REVERSE):
    """``w1, w2, g1, g2, slope`` of the pairs ``at``, and what their gradients are multiplied by."""
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
    if DUAL:
        terms = gs(t, k, k, 0 * k)
    else:
        terms = g(t, k, k, 0 * k)
    return terms


@device
def right_side(tril, by, ratio, excess):
    """``tril - ratio by``, without cancellation where the ratio, ``1 + excess``, is close to one."""
    return tl.where(tl.abs(excess) < 0.5, (tril - by) - excess * by, tril - ratio * by)


@device
def kl_terms(g1, g2, kappa2, p2, zeta2, s2, trace1, trace2, DUAL, LARGEST):
    """The two KL divergences and what their quadratic forms contribute to the derivative by alpha.

    ``trace1`` and ``trace2`` are the sums over pivots, the other names with a 2 the squares of vectors.
    """
    if DUAL:
        quadratic1, quadratic2 = p2, kappa2
    else:
        quadratic1, quadratic2 = g1 * p2 + g2 * zeta2, g2 * kappa2 + g1 * s2
    kl1 = below(0.5 * (trace1 + g2 * (g2 * quadratic1)), LARGEST)
    kl2 = below(0.5 * (trace2 + g1 * (g1 * quadratic2)), LARGEST)
    return kl1, kl2, quadratic1 + p2, quadratic2 + kappa2


@device
def outer_to_mean(w1, w2, g1, g2, kappa, p, zeta, s):
    """Right factors of the outer products: kappa's and zeta's by the second factor, kappa's and eta's by the first."""
    c1 = w1 * g2 * g2
    c2 = w2 * g1 * g1
    return (
        c1 * g1 * zeta - c2 * g2 * kappa,
        c1 * (g1 * kappa + g2 * zeta),
        c1 * g1 * p - c2 * g2 * s,
        -c2 * (g1 * s + g2 * p),
    )


@device
def outer_from_mean(w1, w2, g1, g2, kappa, theta, phi, p, p_theta, p_phi):
    """The same for the dual: kappa's, theta's and phi's, twice; ``p_theta = W' theta`` and ``p_phi = W' phi``."""
    c1 = w1 * g2 * g2
    c2 = w2 * g1 * g1
    return (
        c1 * g1 * theta,
        c1 * g1 * kappa - c2 * g2 * g2 * theta,
        c2 * g1 * g1 * phi,
        -c2 * g2 * p_phi,
        -c1 * g2 * g2 * p_theta,
        c1 * g1 * g1 * p_phi - c2 * g2 * p,
    )
