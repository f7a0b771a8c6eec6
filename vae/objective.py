r"""What a VAE minimises: reconstruction + weight * divergence from :math:`q(z|x)` to the prior (the paper's eq. 22)."""

import importlib.util
import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from jsgmath.torch import jsg_standard_normal
from vae.errors import UserError
from vae.model import VAE

Divergence = Literal["jsg", "jsg-dual", "kl-qp", "kl-pq"]
Backend = Literal["auto", "eager", "triton", "reference"]
TERMS = ("reconstruction", "divergence", "loss")


@dataclass(frozen=True)
class Objective:
    """The loss and its two terms: squared grey levels, summed over pixels, and nats, summed over latent dimensions."""

    divergence: Divergence
    alpha: float
    weight: float
    backend: Backend

    def terms(self, model: VAE, images: Tensor, noise: Tensor) -> Tensor:
        """Reconstruction, divergence and loss of each image, ``3 x batch``."""
        decoded, mean, logvar = model(images, noise)
        reconstruction = (images - decoded).square().sum((1, 2, 3))
        divergence = self.regularise(mean, logvar)
        return torch.stack([reconstruction, divergence, reconstruction + self.weight * divergence])

    def regularise(self, mean: Tensor, logvar: Tensor) -> Tensor:
        """The divergence between N(mean, exp(logvar)) and N(0, I), one value per row."""
        # The KLs are the ends of the family (Proposition 1), so every divergence here is one and the same call.
        alpha = {"kl-qp": 0.0, "kl-pq": 1.0}.get(self.divergence, self.alpha)
        dual = self.divergence == "jsg-dual"
        if self.backend == "reference":
            return ReferenceDivergence.apply(mean, logvar, alpha, dual)
        # In double precision, which for a latent space costs nothing, the backends agree to the last bit of the float32
        # result. Else a rounding error soon flips a ReLU, and Adam makes another run of it within a few steps.
        double = jsg_standard_normal(mean.double(), logvar.double(), alpha, dual=dual, backend=self.backend)
        return double.to(mean.dtype)


class ReferenceDivergence(torch.autograd.Function):
    """The NumPy float64 reference and its analytic gradient: slow, for checks from end to end."""

    @staticmethod
    def forward(ctx, mean: Tensor, logvar: Tensor, alpha: float, dual: bool) -> Tensor:
        import jsgmath

        if not (mean.isfinite().all() and logvar.isfinite().all()):
            # The reference refuses such a Gaussian; the trainer is to find and name the non-finite term itself.
            nan = torch.full_like(mean, torch.nan)
            ctx.save_for_backward(nan, nan)
            return nan.sum(-1)
        zero = [0.0] * mean.shape[-1]
        prior = jsgmath.Gaussian(mean=zero, logvar=zero)
        posterior = jsgmath.Gaussian(mean=mean.double().numpy(force=True), logvar=logvar.double().numpy(force=True))
        gradient = (jsgmath.jsg_dual_grad if dual else jsgmath.jsg_grad)(posterior, prior, alpha)
        ctx.save_for_backward(mean.new_tensor(gradient.mean1), mean.new_tensor(gradient.logvar1))
        return mean.new_tensor((jsgmath.jsg_dual if dual else jsgmath.jsg)(posterior, prior, alpha))

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        grad_output = grad_outputs[0][..., None]
        grad_mean, grad_logvar = ctx.saved_tensors
        return grad_output * grad_mean, grad_output * grad_logvar, None, None


def prepare_backend(backend: Backend, device: torch.device) -> str:
    """Makes the backend ready for the device and says in a few words what will run.

    Triton's interpreter must be switched on before the first kernel is imported; ``jsgmath.torch`` imports its kernels
    when the first one runs.
    """
    if backend == "auto":
        return "triton" if device.type == "cuda" else "eager"
    if backend != "triton" or device.type == "cuda":
        return backend
    if importlib.util.find_spec("triton") is None:
        raise UserError("--backend triton needs the package triton: install it, or use --backend eager")
    os.environ["TRITON_INTERPRET"] = "1"
    print("no GPU here: the Triton kernel runs in Triton's interpreter (TRITON_INTERPRET=1)", flush=True)
    return "triton, interpreted"
