"""The settings of a training run, read from the command line of ``python -m vae.train`` and checked."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, get_args

from vae import command_line
from vae.command_line import place
from vae.data import DatasetName
from vae.errors import UserError
from vae.likelihood import Likelihood
from vae.objective import Backend, Divergence, MMDOf

DESCRIPTION = """\
Train the paper's variational auto-encoder on images and watch it learn.

loss = reconstruction error, summed over pixels + weight * divergence from q(z|x) to the prior N(0, I)

  python -m vae.train                                      the paper's divergence, embedded images, a minute or two
  python -m vae.train --divergence jsg-dual --alpha 0.4    the paper's best on Fashion-MNIST
  python -m vae.train --divergence kl-qp --weight 4        a beta-VAE
  python -m vae.train --divergence mmd --weight 500        InfoVAE's MMD
  python -m vae.train --data PICTURES                      your own images
  python -m vae.train --out runs/x --epochs 60 --resume    continue a run, for longer
  torchrun --nproc-per-node 2 -m vae.train --out runs/x    one model over two processes
"""


@dataclass(frozen=True)
class Settings:
    """One training run."""

    dataset: DatasetName = "fashion-mini"
    """fashion-mini: 5,000 + 1,000 images of Fashion-MNIST, embedded. own: your own images, the default with --data.
    For the others see python -m vae.data status."""

    divergence: Divergence = "jsg"
    """jsg, jsg-dual: skew-geometric Jensen-Shannon and its dual. kl-qp: KL(q(z|x)||p(z)). kl-pq: KL(p(z)||q(z|x)).
    mmd: maximum mean discrepancy."""

    alpha: float = 0.3
    """Skew of jsg and jsg-dual in [0, 1]: jsg is kl-qp at 0 and kl-pq at 1, jsg-dual the other way round."""

    learn_alpha: bool = False
    """Learn alpha together with the model, starting from --alpha."""

    weight: float = 1.0
    """Factor of the divergence in the loss: the paper's lambda, a beta-VAE's beta."""

    mmd_of: MMDOf = "z"
    """What mmd compares with normal draws: z of q(z|x), or its mean and log-variance, as the paper's code does."""

    likelihood: Likelihood = "gaussian"
    """Reconstruction error. gaussian: sum of squares. bernoulli: cross-entropy. laplace: sum of absolute values."""

    epochs: int = 30
    """Passes over the training images."""

    backend: Backend = "auto"
    """How the divergence is computed. native: compiled core, on a CPU. triton: fused kernel, interpreted without a GPU.
    reference: NumPy, slow, for checks."""

    batch_size: int = 64
    """Images per step."""

    lr: float = 1e-4
    """Adam's learning rate."""

    seed: int = 1234
    """Fixes the initial weights, the order of the images and the noise."""

    data: Annotated[Path | None, place("the usual places are searched")] = None
    """Where the images of --dataset are, or your own, in idx, npz or hdf5 files or a folder of pictures."""

    out: Annotated[Path | None, place("a new one under runs/")] = None
    """The folder for the results."""

    resume: bool = False
    """Continue the run in --out after its last full epoch."""

    deterministic: bool = False
    """Use only operations that give the same bits each time, also on a GPU, where they are slower."""

    def title(self) -> str:
        """The objective, in the notation of the field."""
        name = {"jsg": "JSG", "jsg-dual": "JSG*", "kl-qp": "KL(q||p)", "kl-pq": "KL(p||q)", "mmd": "MMD"}
        parts = [name[self.divergence]]
        if self.skewed:
            parts.append(f"alpha learnt from {self.alpha:g}" if self.learn_alpha else f"alpha {self.alpha:g}")
        if self.divergence == "mmd" and self.mmd_of != "z":
            parts.append("of posterior parameters")
        if self.weight != 1:
            parts.append(f"weight {self.weight:g}")
        if self.likelihood != "gaussian":
            parts.append(f"{self.likelihood} likelihood")
        return ", ".join(parts)

    def name(self) -> str:
        """A short name for the run, made of the options that differ from the defaults."""
        skew = ("-learnt" if self.learn_alpha else f"-{self.alpha:g}") if self.skewed else ""
        of = f"-{self.mmd_of}" if self.divergence == "mmd" and self.mmd_of != "z" else ""
        weight = f"-weight-{self.weight:g}" if self.weight != 1 else ""
        likelihood = f"-{self.likelihood}" if self.likelihood != "gaussian" else ""
        seed = f"-seed-{self.seed}" if self.seed != Settings.seed else ""
        return f"{self.dataset}-{self.divergence}{skew}{of}{weight}{likelihood}{seed}"

    @property
    def skewed(self) -> bool:
        """Whether the divergence depends on alpha."""
        return self.divergence in ("jsg", "jsg-dual")


def parse_settings(arguments: list[str]) -> Settings:
    """Reads and checks the command line.

    Raises:
        UserError: one line about the first mistake in it.
    """
    settings = command_line.parse_options(Settings, "python -m vae.train", DESCRIPTION, arguments)
    if settings.data and not any(argument.partition("=")[0] == "--dataset" for argument in arguments):
        settings = replace(settings, dataset="own")
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Refuses senseless values, and values of a wrong type, which run.json may have (tyro checks the command line)."""
    for field in fields(settings):
        value, kind = getattr(settings, field.name), type(field.default)
        right = field.default is None or type(value) in ({float, int} if kind is float else {kind})
        name = f"--{field.name.replace('_', '-')}"
        command_line.require((right, f"{name} must be a value like {field.default!r}", repr(value)))
    command_line.require(
        # tyro checks these four, too.
        (settings.dataset in get_args(DatasetName), "--dataset must be a known one", settings.dataset),
        (settings.divergence in get_args(Divergence), "--divergence must be a known one", settings.divergence),
        (settings.likelihood in get_args(Likelihood), "--likelihood must be a known one", settings.likelihood),
        (settings.mmd_of in get_args(MMDOf), "--mmd-of must be a known one", settings.mmd_of),
        (0 <= settings.alpha <= 1, "--alpha must lie in [0, 1]", settings.alpha),
        (0 <= settings.weight < math.inf, "--weight must be finite and not negative", settings.weight),
        (0 < settings.lr < math.inf, "--lr must be finite and positive", settings.lr),
        (settings.epochs >= 1, "--epochs must be at least 1", settings.epochs),
        (settings.batch_size >= 1, "--batch-size must be at least 1", settings.batch_size),
        (settings.seed >= 0, "--seed must not be negative", settings.seed),
    )
    if settings.learn_alpha and not (settings.skewed and 0 < settings.alpha < 1):
        raise UserError(
            "--learn-alpha needs --divergence jsg or jsg-dual and an --alpha inside (0, 1), "
            f"got {settings.divergence} and {settings.alpha}"
        )
    if settings.mmd_of != "z" and settings.divergence != "mmd":
        raise UserError(f"--mmd-of needs --divergence mmd, got {settings.divergence}")
    if settings.resume and settings.out is None:
        raise UserError("--resume needs --out, the folder of the run to continue")
