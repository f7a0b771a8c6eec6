"""Models of one architecture trained as one program: each parameter of all of them is one tensor, the models its rows.

A grouped convolution replaces one convolution per model, a batched product replaces one product per model, and the
optimiser takes one step instead of many. On a GPU everything is one CUDA graph. Each model computes the same as alone,
up to rounding.
"""

import copy
import itertools
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from jsgmath.torch import jsg_standard_normal
from vae.errors import UserError
from vae.likelihood import Likelihood, error
from vae.model import VAE
from vae.objective import TERMS, Objective, mmd_to_standard_normal
from vae.training.measure import mean_terms
from vae.training.steps import Batches, NotFinite, Recorded, train_step
from vae.training.training import Training, adam, row


class Stacked(nn.Module):
    """Modules that differ in their parameters only, each applied to its own row of the input.

    >>> two = Stacked([nn.Linear(3, 4), nn.Linear(3, 4)])
    >>> two(torch.zeros(2, 5, 3)).shape, two(torch.zeros(5, 3), shared=True).shape
    (torch.Size([2, 5, 4]), torch.Size([2, 5, 4]))
    """

    def __init__(self, modules: list[nn.Module]):
        super().__init__()
        parameters, _ = stack_module_state(modules)
        self.each = copy.deepcopy(modules[0])
        for name, parameter in parameters.items():
            owner, _, last = name.rpartition(".")
            setattr(self.each.get_submodule(owner), last, nn.Parameter(parameter.detach().contiguous()))

    def forward(self, inputs: Tensor, shared: bool = False) -> Tensor:
        """The outputs, ``modules x ...``, of ``modules x ...`` inputs, or of inputs that all of them share."""

        def apply(parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
            return functional_call(self.each, parameters, (inputs,))

        return vmap(apply, in_dims=(0, None if shared else 0))(dict(self.each.named_parameters()), inputs)


class StackedVAE(VAE):
    """Auto-encoders side by side, with the inputs and outputs of VAE and the models as the first axis."""

    def __init__(self, models: list[VAE]):
        nn.Module.__init__(self)
        self.latent = models[0].latent
        self.encoder = Stacked([model.encoder for model in models])
        self.decoder = Stacked([model.decoder for model in models])

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, ``models x batch x latent``, of each model's own images or of the same for all."""
        mean, logvar = self.encoder(images, shared=images.ndim == 4).chunk(2, -1)
        return mean, logvar


class StackedJSG(nn.Module):
    """JSG, or its dual, between posteriors and N(0, I), for each model at its own alpha."""

    fixed_alpha: Tensor

    def __init__(self, objectives: list[Objective]):
        super().__init__()
        self.options = objectives[0].jsg.options
        logits: list[Tensor] = [objective.jsg.logit for objective in objectives if objective.jsg.logit is not None]
        self.logit = nn.Parameter(torch.stack(logits).detach()) if logits else None
        fixed = torch.tensor([objective.jsg.fixed_alpha for objective in objectives], dtype=torch.float64)
        self.register_buffer("fixed_alpha", fixed)

    def forward(self, z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
        alpha = self.fixed_alpha if self.logit is None else self.logit.sigmoid()
        return jsg_standard_normal(mean.double(), logvar.double(), alpha[:, None], **self.options).to(mean.dtype)


class StackedMMD(nn.Module):
    """MMD to draws of N(0, I), for each model."""

    def __init__(self, objectives: list[Objective]):
        super().__init__()
        self.mmd_of = objectives[0].mmd_of

    def forward(self, z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
        points = z if self.mmd_of == "z" else torch.cat([mean, logvar], -1)
        return vmap(mmd_to_standard_normal)(points.double()).to(mean.dtype)[:, None].expand(mean.shape[:-1])


def kind(objective: Objective) -> tuple[bool, ...]:
    """Objectives of one kind are computed in one call."""
    return objective.divergence == "mmd", objective.jsg.options["dual"], objective.jsg.logit is not None


class StackedObjective(nn.Module):
    """Objectives side by side, those of one kind next to each other."""

    weight: Tensor

    def __init__(self, objectives: list[Objective]):
        super().__init__()
        self.likelihood: Likelihood = objectives[0].likelihood
        self.register_buffer("weight", torch.tensor([[objective.weight] for objective in objectives]))
        groups = [list(group) for _, group in itertools.groupby(objectives, kind)]
        self.counts = [len(group) for group in groups]
        self.groups = nn.ModuleList(
            (StackedMMD if group[0].divergence == "mmd" else StackedJSG)(group) for group in groups
        )

    def forward(self, images: Tensor, logits: Tensor, z: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
        """Reconstruction error, divergence and loss of each image, ``3 x models x batch``."""
        reconstruction = error(self.likelihood, images, logits)
        parts = zip(self.groups, *(tensor.split(self.counts) for tensor in (z, mean, logvar)), strict=True)
        divergence = torch.cat([group(*tensors) for group, *tensors in parts])
        return torch.stack([reconstruction, divergence, reconstruction + self.weight * divergence])


class Stack:
    """Runs that are trained together.

    Args:
        trainings: runs of one data set, after the same number of epochs, that differ at most in divergence, alpha,
            whether alpha is learnt, weight and seed.
    """

    def __init__(self, trainings: list[Training]):
        self.trainings = sorted(trainings, key=lambda training: kind(training.objective))
        first = self.trainings[0]
        self.dataset = first.dataset
        device = self.dataset.train_images.device
        self.model = StackedVAE([training.model for training in self.trainings])
        self.objective = StackedObjective([training.objective for training in self.trainings]).to(device)
        self.optimizer = adam([*self.model.parameters(), *self.objective.parameters()], first.settings.lr)
        for parameter, members in self.members():
            for name, moment in self.optimizer.state[parameter].items():
                moments = [training.optimizer.state[own][name] for training, own in members]
                moment.copy_(torch.stack(moments) if moment.ndim else moments[0])
        seeds = [training.settings.seed for training in self.trainings]
        self.batches = Batches(self.dataset.train_images, first.settings.batch_size, self.model.latent, seeds)
        self.recorded: Recorded | None = None

    def members(self) -> Iterator[tuple[nn.Parameter, list[tuple[Training, nn.Parameter]]]]:
        """Each parameter of the stack, and the parameters that are its rows."""
        whose = [list(training.model.parameters()) for training in self.trainings]
        for parameter, *own in zip(self.model.parameters(), *whose, strict=True):
            yield parameter, list(zip(self.trainings, own, strict=True))
        learnt = (
            (training, logit) for training in self.trainings if (logit := training.objective.jsg.logit) is not None
        )
        for parameter in self.objective.parameters():
            yield parameter, list(itertools.islice(learnt, len(parameter)))

    @torch.no_grad()
    def hand_back(self) -> None:
        """Copies the trained weights and the optimiser's state back to every training."""
        for parameter, members in self.members():
            for index, (training, own) in enumerate(members):
                own.copy_(parameter[index])
                for name, moment in self.optimizer.state[parameter].items():
                    training.optimizer.state[own][name].copy_(moment[index] if moment.ndim else moment)

    def take_steps(self) -> Tensor:
        """Takes the steps of one epoch; returns the mean terms of every step, ``steps x 3 x models``."""
        if self.dataset.train_images.device.type == "cuda":
            self.recorded = self.recorded or Recorded(self.model, self.optimizer, self.objective, self.batches)
            return self.recorded.epoch()
        parts = self.model, self.optimizer, self.objective
        return torch.stack([train_step(*parts, self.batches[step]) for step in range(len(self.batches))])

    def run_epoch(self) -> Iterator[tuple[Training, list[dict[str, Any]] | NotFinite]]:
        """Trains for one epoch and evaluates; yields each run with its rows of metrics, or with its error."""
        self.batches.shuffle(self.trainings[0].epoch + 1)
        start = time.perf_counter()
        terms = self.take_steps().permute(2, 0, 1).tolist()
        speeds = {"train": len(self.dataset.train_images) / (time.perf_counter() - start)}
        values = {}
        for split, images in self.dataset.splits.items():
            start = time.perf_counter()
            values[split] = mean_terms(self.model, self.objective, images).T.tolist()
            speeds.setdefault(split, len(images) / (time.perf_counter() - start))
        self.hand_back()
        for index, training in enumerate(self.trainings):
            last: dict[str, dict[str, float]] = {
                split: dict(zip(TERMS, values[split][index], strict=True)) for split in values
            }
            try:
                NotFinite.check(terms[index])
                NotFinite.check([list(of_split.values()) for of_split in last.values()], len(self.batches) - 1)
            except NotFinite as error:
                yield training, error
            else:
                yield training, [row(split, last[split], training.objective, speeds[split]) for split in last]


def train_together(going: list[Training]) -> Iterator[tuple[Training, UserError | None]]:
    """Trains the runs that have the fewest epochs, one epoch after another, until all have finished.

    Yields each run after each of its epochs, with the error that stopped it, or None. The caller removes from the list
    each run that has finished or must not continue.
    """
    stack = None
    while going:
        epoch = min(training.epoch for training in going)
        behind = [training for training in going if training.epoch == epoch]
        if stack is None or set(stack.trainings) != set(behind):
            stack = Stack(behind)
        start = time.perf_counter()
        for training, result in stack.run_epoch():
            if isinstance(result, NotFinite):
                yield training, training.stop(result)
            else:
                training.record(result, time.perf_counter() - start)
                yield training, None
