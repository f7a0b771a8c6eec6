"""The paper's formulas in torch, differentiated by autograd: what users would write without this library.

For diagonal Gaussians the formulas are in `verification/peers.py`; `verification/ulps.md` shows their errors.
"""

import torch
from torch.distributions import Independent, Normal, kl_divergence

from verification import peers


def standard(mean, logvar, alpha):
    """JSG to N(0, I), one value per row, as the released code computes it."""
    return peers.released_loss(mean, logvar, alpha, False, torch)


def diagonal(mean1, logvar1, mean2, logvar2, alpha):
    return peers.diagonal_loss(mean1, logvar1, mean2, logvar2, alpha, False, torch)


def sample(mean, logvar, alpha):
    """A VAE's latent step: a sample by the usual reparametrisation, and JSG to N(0, I)."""
    return mean + torch.exp(logvar / 2) * torch.randn_like(mean), standard(mean, logvar, alpha)


def full(mean1, tril1, mean2, tril2, alpha):
    """Eq. 8 with the reversed mean of eqs. 12, 13 and 16, for covariances given by their Cholesky factors.

    It uses only operations that torch runs on a whole batch and that do not wait for the device.
    """
    eye = torch.eye(mean1.shape[-1], dtype=mean1.dtype, device=mean1.device).expand_as(tril1)
    inverses = (torch.linalg.solve_triangular(tril, eye, upper=False) for tril in (tril1, tril2))
    P1, P2 = (weight * inverse.mT @ inverse for weight, inverse in zip((alpha, 1 - alpha), inverses, strict=True))
    root, _ = torch.linalg.cholesky_ex(P1 + P2)
    moment = P1 @ mean1[..., None] + P2 @ mean2[..., None]
    half = torch.linalg.solve_triangular(root, moment, upper=False)
    mean = torch.linalg.solve_triangular(root.mT, half, upper=True)[..., 0]
    kl1, kl2 = (_kl(*N, mean, root) for N in ((mean1, tril1), (mean2, tril2)))
    return (1 - alpha) * kl1 + alpha * kl2


def _kl(mean, tril, mean_g, root):
    """KL to the Gaussian whose precision is ``root root^T`` (eq. 2)."""
    log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1) + root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    trace = (root.mT @ tril).square().sum((-2, -1))
    distance = ((mean - mean_g)[..., None, :] @ root).square().sum((-2, -1))
    return (trace + distance - mean.shape[-1]) / 2 - log_det


def kl(mean, logvar):
    """KL to N(0, I) by ``torch.distributions``: a different quantity, for comparison."""
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return kl_divergence(*(Independent(N, 1) for N in (Normal(mean, torch.exp(logvar / 2)), prior)))
