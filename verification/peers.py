"""JSG and KL as others compute them: the closed forms as printed, the paper's released loss, and torch.

Each function computes its equations in the type of its input, without any step for accuracy; `ulps.py` measures the
errors.  Means have shape ``(..., n)``, covariances ``(..., n, n)``, and results have one value per pair.  The equations
are those of Deasy et al. 2020, https://arxiv.org/abs/2006.10599.
"""

import numpy as np


def geometric_mean(m1, S1, m2, S2, weight):
    """Mean, covariance and precision of the geometric mean by eqs. 12 and 13; ``weight`` is that of N2."""
    P1, P2 = (1 - weight) * np.linalg.inv(S1), weight * np.linalg.inv(S2)
    P = P1 + P2
    S = np.linalg.inv(P)
    return product(S, product(P1, m1) + product(P2, m2)), S, P


def eq_9(m1, S1, m2, S2, alpha, convention):
    """JSG by eq. 9, with the mean as printed ("nielsen") or the reversed mean of eq. 16 ("deasy")."""
    m, S, P = geometric_mean(m1, S1, m2, S2, alpha if convention == "nielsen" else 1 - alpha)
    trace = np.trace(P @ ((1 - alpha) * S1 + alpha * S2), axis1=-2, axis2=-1)
    distance = (1 - alpha) * quadratic(m - m1, P) + alpha * quadratic(m - m2, P)
    return (trace + log_det(S) - (1 - alpha) * log_det(S1) - alpha * log_det(S2) + distance - m.shape[-1]) / 2


def several(means, variances, weights):
    """JSG of diagonal Gaussians, along the first axis, from their weighted product (eqs. 2, 12, 13)."""
    w = weights.reshape(-1, *[1] * (means.ndim - 1))
    P = (w / variances).sum(0)
    mean = (w * means / variances).sum(0) / P
    return (w * (P * variances - 1 - np.log(P * variances) + P * (means - mean) ** 2)).sum((0, -1)) / 2


def several_full(means, S, weights):
    """JSG of Gaussians of full covariance, along the first axis, from their weighted product (eqs. 2, 12, 13)."""
    w = weights.reshape(-1, *[1] * (means.ndim - 1))
    precisions = np.linalg.inv(S)
    P = (w[..., None] * precisions).sum(0)
    force = (w * np.einsum("...ij,...j->...i", precisions, means)).sum(0)
    distance = means - np.linalg.solve(P, force[..., None])[..., 0]
    trace = np.einsum("...ij,...ji->...", P, S)
    twice = trace - means.shape[-1] + quadratic(distance, P) - log_det(S) - log_det(P)
    return (w[..., 0] * twice).sum(0) / 2


def low_rank(m1, W1, D1, m2, W2, D2, alpha):
    """JSG of covariances ``D + W W'`` in the convention "deasy", by the identity of Woodbury."""
    g1, g2, n, d = alpha, 1 - alpha, len(m1), m1 - m2

    def parts(D, W):
        """``log det S``, ``d' S^-1 d``, and a function for ``tr S^-1 (D' + W' W'')``."""
        scaled = W / D[:, None]
        M = np.eye(W.shape[1]) + W.T @ scaled

        def square(X):
            taken = X.T @ scaled
            return X.T @ (X / D[:, None]) - taken @ np.linalg.solve(M, taken.T)

        def trace(other, factor):
            own = (other / D).sum() - np.trace(np.linalg.solve(M, scaled.T @ (other[:, None] * scaled)))
            return own + np.trace(square(factor))

        return np.log(D).sum() + log_det(M), square(d[:, None])[0, 0], trace

    (log1, square1, trace1), (log2, square2, trace2) = parts(D1, W1), parts(D2, W2)
    log_h, square_h, _ = parts(g1 * D2 + g2 * D1, np.hstack([g2**0.5 * W1, g1**0.5 * W2]))
    first, second = trace2(D1, W1) - n + square2, trace1(D2, W2) - n + square1
    logs = log_h - alpha * log1 - (1 - alpha) * log2
    return ((1 - alpha) * g2 * first + alpha * g1 * second - g1 * g2 * square_h - logs) / 2


def eq_11(m1, S1, m2, S2, alpha):
    """The dual JSG* by eq. 11, with the mean as printed; eq. 11 does not hold for the reversed mean."""
    m, S, P = geometric_mean(m1, S1, m2, S2, alpha)
    moments = (1 - alpha) * quadratic(m1, np.linalg.inv(S1)) + alpha * quadratic(m2, np.linalg.inv(S2))
    return (moments - quadratic(m, P) + (1 - alpha) * log_det(S1) + alpha * log_det(S2) - log_det(S)) / 2


def released_loss(mean, logvar, alpha, dual, xp=np):
    """JSG, or its dual, from ``N(mean, diag(exp(logvar)))`` to N(0, I), as the paper's released code computes it.

    The code uses eqs. 8 and 10, not the simplified eqs. 23 and 24.  It computes variance and mean of the reversed
    geometric mean (eqs. 12, 13, 16), takes logarithms of all variances again, and computes KL twice.
    ``xp`` is the library of the arrays, NumPy or torch.
    """
    weight = 1 - alpha
    var = xp.exp(logvar)
    var_g = 1 / ((1 - weight) / var + weight)
    mean_g = var_g * ((1 - weight) * mean / var)
    N1, N2, G = (mean, xp.log(var)), (xp.zeros_like(mean), xp.zeros_like(var)), (mean_g, xp.log(var_g))
    return weighted_kl(N1, N2, G, alpha, dual, xp)


def diagonal_loss(m1, logvar1, m2, logvar2, alpha, dual, xp=np):
    """The same divergence to ``N(m2, diag(exp(logvar2)))``."""
    weight = 1 - alpha
    var1, var2 = xp.exp(logvar1), xp.exp(logvar2)
    var_g = 1 / ((1 - weight) / var1 + weight / var2)
    mean_g = var_g * ((1 - weight) * m1 / var1 + weight * m2 / var2)
    N1, N2, G = (m1, xp.log(var1)), (m2, xp.log(var2)), (mean_g, xp.log(var_g))
    return weighted_kl(N1, N2, G, alpha, dual, xp)


def diagonal_variances(m1, v1, m2, v2, alpha, xp=np):
    """JSG of diagonal Gaussians by eqs. 2, 8, 12, 13 and 16, from variances."""
    v = 1 / (alpha / v1 + (1 - alpha) / v2)
    m = v * (alpha * m1 / v1 + (1 - alpha) * m2 / v2)
    kls = [((xp.log(v / w) - 1 + w / v + (m - k) ** 2 / v) / 2).sum(-1) for k, w in ((m1, v1), (m2, v2))]
    return (1 - alpha) * kls[0] + alpha * kls[1]


def weighted_kl(N1, N2, G, alpha, dual, xp):
    """Eq. 8, or eq. 10, for diagonal Gaussians ``(mean, logvar)``."""
    pairs = [(G, N1), (G, N2)] if dual else [(N1, G), (N2, G)]
    kl1, kl2 = (diagonal_kl(*p, *q, xp) for p, q in pairs)
    return (1 - alpha) * kl1 + alpha * kl2


def diagonal_kl(m1, logvar1, m2, logvar2, xp=np):
    """Eq. 2 for diagonal covariances given by log-variances."""
    var1, var2 = xp.exp(logvar1), xp.exp(logvar2)
    return ((logvar2 - logvar1 - 1 + var1 / var2 + (m2 - m1) ** 2 / var2) / 2).sum(-1)


def torch_kl(m1, scale1, m2, scale2):
    """``torch.distributions.kl_divergence``; scales are standard deviations, or covariances if square matrices."""
    import torch
    from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

    N1, N2 = (
        Independent(Normal(mean, scale), 1) if mean.shape == scale.shape else MultivariateNormal(mean, scale)
        for mean, scale in (map(torch.from_numpy, N) for N in ((m1, scale1), (m2, scale2)))
    )
    return kl_divergence(N1, N2).numpy()


def torch_kl_full(mean1, tril1, mean2, tril2):
    """``torch.distributions.kl_divergence`` of full covariances from their lower triangular factors."""
    import torch
    from torch.distributions import MultivariateNormal, kl_divergence

    mean1, tril1, mean2, tril2 = map(torch.from_numpy, (mean1, tril1, mean2, tril2))
    N1, N2 = (MultivariateNormal(mean, scale_tril=tril) for mean, tril in ((mean1, tril1), (mean2, tril2)))
    return kl_divergence(N1, N2).numpy()


def product(P, x):
    return (P @ x[..., None])[..., 0]


def log_det(S):
    return np.linalg.slogdet(S)[1]


def quadratic(x, P):
    """``x^T P x``."""
    return np.vecdot(x, product(P, x))
