r"""The objective of a VAE: reconstruction + weight * divergence from :math:`q(z|x)` to the prior (eq. 22)."""

import importlib.util
import os
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from jsgmath import native
from jsgmath.torch import JSGLoss
from vae.errors import UserError
from vae.likelihood import Likelihood, error

Divergence = Literal["jsg", "jsg-dual", "kl-qp", "kl-pq", "mmd"]
MMDOf = Literal["z", "posterior-parameters"]
Backend = Literal["auto", "eager", "native", "triton", "reference"]
Gather = Callable[[Tensor], Tensor]
TERMS = ("reconstruction", "divergence", "loss")


class Objective(nn.Module):
    """The loss and its two terms. If alpha is learnt, the module has it as a parameter.

    Args:
        divergence: the divergence between the posterior and the prior N(0, I).
        alpha: skew of JSG and JSG*, in [0, 1]; where learning starts if it is learnt.
        weight: factor of the divergence, called lambda in the paper and beta in a beta-VAE.
        backend: how the divergence is computed.
        learn_alpha: whether alpha is learnt.
        mmd_of: what MMD compares with normal draws: z, as InfoVAE does, or mean and log-variance, as the paper's code
            does.
        likelihood: how the reconstruction error is measured.
    """

    def __init__(
        self,
        divergence: Divergence,
        alpha: float,
        weight: float,
        backend: Backend,
        *,
        learn_alpha: bool = False,
        mmd_of: MMDOf = "z",
        likelihood: Likelihood = "gaussian",
    ):
        super().__init__()
        self.divergence = divergence
        self.weight = weight
        self.mmd_of = mmd_of
        self.likelihood: Likelihood = likelihood
        self.reference = backend == "reference"
        # The KLs are the ends of the family (Proposition 1), so all divergences except MMD are the same call.
        self.jsg = JSGLoss(
            {"kl-qp": 0.0, "kl-pq": 1.0}.get(divergence, alpha),
            dual=divergence == "jsg-dual",
            learnable=learn_alpha,
            backend="eager" if backend == "reference" else backend,
            reduction="none",
        )

    def forward(
        self,
        images: Tensor,
        logits: Tensor,
        z: Tensor,
        mean: Tensor,
        logvar: Tensor,
        gather: Gather = lambda points: points,
    ) -> Tensor:
        """Reconstruction error, divergence and loss of each image, ``3 x batch``, summed over pixels and latents.

        Args:
            images, logits: grey levels and the logits of their reconstruction, ``batch x 1 x size x size``.
            z: a draw of q(z|x), ``batch x latent``; only MMD uses it.
            mean, logvar: parameters of q(z|x), ``batch x latent``.
            gather: turns the points of a share of the batch into those of the whole batch, for MMD.
        """
        reconstruction = error(self.likelihood, images, logits)
        divergence = self.regularise(z, mean, logvar, gather)
        return torch.stack([reconstruction, divergence, reconstruction + self.weight * divergence])

    def regularise(self, z: Tensor, mean: Tensor, logvar: Tensor, gather: Gather = lambda points: points) -> Tensor:
        """The divergence between q(z|x) and N(0, I) for each row; MMD compares batches, so its rows are equal."""
        # In double precision, which costs little for a latent space, the backends agree to the last bit of the float32
        # result. In float32 a rounding error soon flips a ReLU, and after a few steps of Adam the runs differ.
        if self.divergence == "mmd":
            points = z if self.mmd_of == "z" else torch.cat([mean, logvar], -1)
            return mmd_to_standard_normal(gather(points.double())).to(mean.dtype).expand(len(mean))
        if self.reference:
            return ReferenceDivergence.apply(mean, logvar, self.jsg.alpha, self.jsg.options["dual"])
        return self.jsg(mean.double(), logvar.double()).to(mean.dtype)


def mmd_to_standard_normal(points: Tensor) -> Tensor:
    r"""Squared maximum mean discrepancy between ``batch x n`` points and N(0, I), never negative.

    .. math:: \frac1{b^2}\sum_{ij} k(x_i, x_j) - \frac2b\sum_i E_y\,k(x_i, y) + E_{y,y'}\,k(y, y')

    with InfoVAE's kernel :math:`k(x, y) = \exp(-\overline{(x - y)^2} / n)` (Zhao et al. 2017,
    https://arxiv.org/abs/1706.02262). The expectations over the prior have closed forms, so the prior is not sampled.

    >>> round(mmd_to_standard_normal(torch.zeros(1, 1, dtype=torch.float64)).item(), 6)  # 1 - 2 / sqrt(3) + 1 / sqrt(5)
    0.292513
    """
    n = points.shape[-1]
    width = n * n / 2  # the variance of k, seen as a normal density without its factor
    among = torch.exp((points[:, None] - points).square().sum(-1) / (-2 * width)).mean()
    to_prior = (width / (width + 1)) ** (n / 2) * torch.exp(points.square().sum(-1) / (-2 * (width + 1))).mean()
    return among - 2 * to_prior + (width / (width + 2)) ** (n / 2)


class ReferenceDivergence(torch.autograd.Function):
    """The NumPy float64 reference and its analytic gradient; slow, for end-to-end checks."""

    @staticmethod
    def forward(ctx, mean: Tensor, logvar: Tensor, alpha: float | Tensor, dual: bool) -> Tensor:
        import jsgmath

        ctx.alpha_like = alpha if isinstance(alpha, Tensor) else None
        if not (mean.isfinite().all() and logvar.isfinite().all()):
            # The reference refuses such a Gaussian; NaN lets the trainer find and name the term that is not finite.
            nan = torch.full_like(mean, torch.nan)
            ctx.save_for_backward(nan, nan, nan.sum(-1))
            return nan.sum(-1)
        zero = [0.0] * mean.shape[-1]
        prior = jsgmath.Gaussian(mean=zero, logvar=zero)
        posterior = jsgmath.Gaussian(mean=mean.double().numpy(force=True), logvar=logvar.double().numpy(force=True))
        gradient = (jsgmath.jsg_dual_grad if dual else jsgmath.jsg_grad)(posterior, prior, float(alpha))
        ctx.save_for_backward(*(mean.new_tensor(x) for x in (gradient.mean1, gradient.logvar1, gradient.alpha)))
        return mean.new_tensor((jsgmath.jsg_dual if dual else jsgmath.jsg)(posterior, prior, float(alpha)))

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        grad_output = grad_outputs[0]
        by_mean, by_logvar, by_alpha = ctx.saved_tensors
        grad_alpha = None if ctx.alpha_like is None else (grad_output * by_alpha).sum().to(ctx.alpha_like)
        return grad_output[..., None] * by_mean, grad_output[..., None] * by_logvar, grad_alpha, None


def prepare_backend(backend: Backend, device: torch.device) -> str:
    """Prepares the backend for the device and returns a short description of it.

    Triton's interpreter must be switched on before kernels are imported, and ``jsgmath.torch`` imports them when the
    first one runs.
    """
    if backend == "auto":
        return "triton" if device.type == "cuda" else "native" if native.CORE else "eager"
    if backend == "native" and device.type == "cuda":
        raise UserError("--backend native computes on a CPU, and this machine has a GPU; use --backend triton")
    if backend == "native" and native.CORE is None:
        raise UserError(f"--backend native needs the compiled core, but {native.REASON}; use --backend eager")
    if backend != "triton" or device.type == "cuda":
        return backend
    if importlib.util.find_spec("triton") is None:
        raise UserError("--backend triton needs the package triton: install it, or use --backend eager")
    os.environ["TRITON_INTERPRET"] = "1"
    print("no GPU: the Triton kernel runs in Triton's interpreter (TRITON_INTERPRET=1)", flush=True)
    return "triton, interpreted"
