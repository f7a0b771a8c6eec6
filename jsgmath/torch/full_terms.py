"""The terms of JSG and JSG* between Gaussians with full covariances: one text for torch tensors and Triton kernels.

With ``W = L2^-1 L1``, ``A = W W'``, ``V = W^-1`` and ``delta = L2^-1 (m1 - m2)``, the matrices of `formula.py` are

    X = A - I  for e1,      X' = V V' - I  for e2,      K = I + g2 X  for k1,      K' = I + g1 X'  for k2

A Cholesky factor ``I + C`` of ``I + M``, its inverse ``I + H`` and its pivots ``1 + t_j`` give

    tr M - log det(I + M)               = sum_j g(t_j)  + sum_{j<i} C_ij^2
    tr((I + M)^-1 - I) + log det(I + M) = sum_j gs(t_j) + sum_{j<i} H_ij^2

where nothing cancels.  ``t``, ``C`` and ``H`` are computed from ``M`` itself, without adding the 1, and keep its
digits.  All derivatives are made of ``Y = X K^-1``, ``X`` and ``V' V - I``, which vanish where the covariances are
equal, and of the vectors

    kappa = K^-1 delta,  p = W' kappa,  zeta = W p,  s = V kappa,  eta = V' s,  theta = K^-1 zeta,  phi = K^-1 kappa

Derivatives by the factors are computed as ``L2'^-1`` times a matrix: by the second as ``-(M + sum of x y')``, by the
first as ``M V' + sum of x y'``, where ``X V' = W - V'``.  The functions named ``matrix_`` give the coefficients of M,
those named ``outer_`` the right factors y.
"""

from torch import where


def part(weight, x):
    """``weight x``, which is 0 for a weight of 0 even if x is infinite."""
    return where(weight == 0.0, 0.0, weight * x)


def right_side(tril, by, ratio, excess):
    """``tril - ratio by``, without cancellation where the ratio, ``1 + excess``, is close to one."""
    return where(excess * excess < 0.25, (tril - by) - excess * by, tril - ratio * by)


def quotient_errs_less(g1, g2, delta2, kappa2, matrix2, vector2):
    """Whether rounding changes the second form of `mean_product` less, from squares of norms.

    Its error is in proportion to ``(|delta| + g1 |kappa|)/g2``, and that of the first to ``|W| |p|``, which is much
    larger than zeta if W shrinks p.
    """
    return g2 * g2 * (matrix2 * vector2) > delta2 + g1 * g1 * kappa2


def mean_product(quotient, g1, g2, delta, kappa, product):
    """zeta, which is ``product = W p`` and also ``(delta - g1 kappa)/g2``, the second form if ``quotient``."""
    return where(quotient, (delta - g1 * kappa) / where(quotient, g2, 1.0), product)


def kl_terms(g1, g2, kappa2, p2, zeta2, s2, trace1, trace2, dual):
    """The two KL divergences, and what their quadratic forms contribute to the derivatives by the weights of the mean.

    ``trace1`` and ``trace2`` are half of the sums over pivots; ``kappa2, p2, zeta2, s2`` are squares of vectors.
    """
    if dual:
        quadratic1, quadratic2 = p2, kappa2
    else:
        quadratic1, quadratic2 = part(g1, p2) + part(g2, zeta2), part(g2, kappa2) + part(g1, s2)
    kl1 = trace1 + 0.5 * part(g2, g2 * quadratic1)
    kl2 = trace2 + 0.5 * part(g1, g1 * quadratic2)
    return kl1, kl2, quadratic1 + p2, quadratic2 + kappa2


def skew(w1, w2, kl1, kl2):
    """`formula.skew`, where an infinite divergence of weight 0 does not count."""
    return part(w1, kl1) + part(w2, kl2)


def by_displacement(w1, w2, g1, g2, x, y):
    """``L2'`` times the derivative by ``m1``; x and y are zeta and eta for JSG, or theta and phi for the dual."""
    return w1 * g2 * g2 * x + w2 * g1 * g1 * y


def matrix_to_mean(w1, w2, g1, g2):
    """Coefficients of ``X``, ``V' V - I`` and ``Y``."""
    return w1 * g2, -w2 * g1, -(w1 + w2) * (g1 * g2)


def outer_to_mean(w1, w2, g1, g2, kappa, p, zeta, s):
    """Right factors of the products with kappa and zeta for the second covariance, with kappa and eta for the first."""
    c1 = w1 * g2 * g2
    c2 = w2 * g1 * g1
    return (
        c1 * g1 * zeta - c2 * g2 * kappa,
        c1 * (g1 * kappa + g2 * zeta),
        c1 * g1 * p - c2 * g2 * s,
        -c2 * (g1 * s + g2 * p),
    )


def weights_to_mean(w1, w2, g1, g2, XY, back_Y, quadratic1, quadratic2):
    """Twice the derivative by ``g2``, from ``tr X Y``, ``tr (V' V - I) Y`` and the last two of `kl_terms`."""
    return w1 * g2 * (XY + quadratic1) - w2 * g1 * (quadratic2 - back_Y)


def matrix_from_mean(w1, w2, g1, g2):
    """Coefficients of ``Y`` and ``Y K^-1``."""
    return w1 * g2, w2 * g1 * g1 - w1 * g2 * g1


def outer_from_mean(w1, w2, g1, g2, kappa, theta, phi, p, p_theta, p_phi):
    """Right factors of the products with kappa, theta and phi for the second covariance, then for the first.

    ``p_theta = W' theta`` and ``p_phi = W' phi``.
    """
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


def weights_from_mean(w1, w2, g1, g2, YY, kappa_theta):
    """Twice the derivative by ``g2``, from ``tr Y Y`` and ``kappa' theta``."""
    return (w1 * g2 - w2 * g1) * (YY + 2.0 * kappa_theta)


def by_alpha(factor, slope, kl1, kl2, by_weight):
    """The derivative by alpha, from ``slope`` of `formula.mean_weights` and twice the derivative by ``g2``."""
    return factor * (kl2 - kl1) + slope * 0.5 * by_weight
