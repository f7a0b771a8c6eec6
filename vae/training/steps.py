"""The steps of an epoch: their batches, one step, and all steps of an epoch.

The code is the same for one model and for a stack of models (``vae/sweep/stacked.py``): with a stack, order, noise and
terms have one more axis, that of the models.
"""

import copy
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from vae.data import Images
from vae.objective import TERMS
from vae.training.processes import ALONE, Processes, Share

CHECK_EVERY = 50  # steps between two checks of the loss; each check makes the host wait for the device


class Batch(NamedTuple):
    indices: Tensor
    images: Tensor
    noise: Tensor


class Batches:
    """The batches of an epoch, for one epoch after another. Each batch can be made again, for the report of a failure.

    Args:
        images: all training images, on the device that trains.
        batch_size: images per step; the last step of an epoch takes the rest.
        latent: the dimension of the noise.
        seeds: the seed of the model, or a list for a stack, whose order and noise are then ``models x count ...``.
    """

    def __init__(self, images: Images, batch_size: int, latent: int, seeds: int | list[int]):
        self.images, self.batch_size, self.seeds = images, batch_size, seeds
        models = (len(seeds),) if isinstance(seeds, list) else ()
        # The same memory for all epochs, as a CUDA graph reads the addresses that it was recorded with.
        self.order = torch.zeros(*models, len(images), dtype=torch.long, device=images.device)
        self.noise = torch.zeros(*models, len(images), latent, device=images.device)

    def shuffle(self, epoch: int) -> None:
        """Draws the order of the images and the noise for an epoch."""
        # On the CPU for every device, so that a seed means the same run everywhere; once for each seed.
        drawn = {seed: self.draw(seed, epoch) for seed in np.unique(self.seeds).tolist()}
        for index, seed in np.ndenumerate(self.seeds):
            order, noise = drawn[int(seed)]
            self.order[index].copy_(order)
            self.noise[index].copy_(noise)

    def draw(self, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        generator = random_numbers(seed, epoch)
        order = torch.randperm(self.order.shape[-1], generator=generator)
        return order, torch.randn(self.noise.shape[-2:], generator=generator)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        return self.take(slice(step * self.batch_size, (step + 1) * self.batch_size))

    def rows(self, step: int) -> range:
        """The positions in the order that belong to a step."""
        return range(len(self.images))[step * self.batch_size : (step + 1) * self.batch_size]

    def take(self, part: slice | Tensor) -> Batch:
        """The images at these positions in the order."""
        indices = self.order[..., part]
        return Batch(indices, self.images[indices].float() / 255, self.noise[..., part, :])


def random_numbers(seed: int, epoch: int) -> torch.Generator:
    """The random numbers of one epoch of one seed; epoch 0 draws the initial weights."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


class NotFinite(Exception):
    """An error: a loss is not finite after ``step``, which is counted from 0."""

    def __init__(self, terms: list[float], step: int):
        super().__init__(terms, step)  # both, since pickle makes it again from them, for another process of a sweep
        self.terms, self.step = terms, step

    def __str__(self) -> str:
        bad = [name for name, value in zip(TERMS, self.terms, strict=True) if not math.isfinite(value)]
        # If a term is not finite, neither is the loss. The loss is named only where weight * divergence overflows.
        return " and ".join(bad[:-1] or bad)

    @staticmethod
    def check(terms: list[list[float]], first: int = 0) -> None:
        """Raises NotFinite if a loss is not finite; ``first`` is the step of the first row."""
        for step, values in enumerate(terms, first):
            if not math.isfinite(values[-1]):
                raise NotFinite(values, step)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, objective: nn.Module, batch: Batch) -> Tensor:
    """Takes one step and returns the mean terms of its batch before the step, ``3`` or ``3 x models``."""
    return descend(optimizer, objective(batch.images, *model(batch.images, batch.noise)).mean(-1))


def descend(optimizer: torch.optim.Optimizer, means: Tensor) -> Tensor:
    """Takes a step down the gradient of the loss, which is the last term, and returns the terms."""
    optimizer.zero_grad()
    # Models of a stack share nothing, so each gets the gradient of its own loss from the sum.
    means[-1].sum().backward()
    optimizer.step()
    return means.detach()


class Shared:
    """The steps of an epoch, each taken by several processes together: the work of DistributedDataParallel."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        objective: nn.Module,
        batches: Batches,
        processes: Processes,
    ):
        device = batches.images.device
        self.share = DistributedDataParallel(
            Share(model, objective, processes),
            device_ids=[device] if device.type == "cuda" else None,
        )
        self.optimizer, self.batches, self.processes = optimizer, batches, processes

    def take_step(self, step: int) -> Tensor:
        """Takes a step and returns terms whose mean over the processes is the mean over the batch."""
        rows = self.batches.rows(step)
        own = self.processes.share(rows)
        batch = self.batches.take(slice(own.start, own.stop, own.step))
        return descend(self.optimizer, self.share(batch.images, batch.noise, len(rows)))


def train_epoch(
    take_step: Callable[[int], Tensor], batches: Batches, bar: tqdm, processes: Processes = ALONE
) -> Tensor:
    """Takes one step per batch and returns the mean terms of every step, ``steps x 3``.

    Args:
        take_step: takes the step with the given number and returns its terms; they are averaged over the processes.

    Raises:
        NotFinite: naming the first step whose loss was not finite, up to ``CHECK_EVERY`` steps late.
    """
    terms = torch.zeros(len(batches), len(TERMS), device=batches.images.device)
    for step in range(len(batches)):
        terms[step] = take_step(step)
        bar.update(len(batches.rows(step)))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == len(batches):
            first = step // CHECK_EVERY * CHECK_EVERY
            recent = processes.sum(terms[first : step + 1]).div_(processes.count).tolist()
            NotFinite.check(recent, first)
            reconstruction, divergence, _ = recent[-1]
            bar.set_postfix_str(f"reconstruction {reconstruction:.2f}, divergence {divergence:.2f}")
    return terms


class Recorded:
    """The steps of an epoch as CUDA graphs, so that no step waits for the host: one for full batches, one for the last.

    The graphs keep the addresses of the arguments' tensors, so these tensors must not be replaced afterwards.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, objective: nn.Module, batches: Batches):
        self.parts, self.batches = (model, optimizer, objective), batches
        self.step = torch.zeros(1, dtype=torch.long, device=batches.images.device)
        self.terms = torch.zeros(len(batches), len(TERMS), *batches.order.shape[:-1], device=batches.images.device)
        whole, rest = divmod(len(batches.images), batches.batch_size)
        self.sizes = [batches.batch_size] * whole + [rest] * (rest > 0)
        kinds = dict.fromkeys(self.sizes)
        before = copy.deepcopy([part.state_dict() for part in self.parts])
        warm_up([function for size in kinds for function in (self.step.zero_, functools.partial(self.take_step, size))])
        for part, state in zip(self.parts, before, strict=True):
            part.load_state_dict(state)
        for group in optimizer.param_groups:
            group["capturable"] = True
        self.replay = {size: record_graph(functools.partial(self.take_step, size)) for size in kinds}

    def take_step(self, size: int) -> None:
        """Takes the next step; its number is read on the device."""
        rows = self.step * self.batches.batch_size + torch.arange(size, device=self.step.device)
        self.terms.index_copy_(0, self.step, train_step(*self.parts, self.batches.take(rows)).unsqueeze(0))
        self.step += 1

    def epoch(self) -> Tensor:
        """Takes one step per batch and returns the mean terms of every step, ``steps x 3`` (``x models``)."""
        self.step.zero_()
        for size in self.sizes:
            self.replay[size]()
        return self.terms


def warm_up(steps: list[Callable[[], object]]) -> None:
    """Runs the steps three times on another stream, as libraries initialise themselves, which no graph can record."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for step in steps * 3:
            step()
    torch.cuda.current_stream().wait_stream(stream)


def record_graph(step: Callable[[], None]) -> Callable[[], None]:
    """A function that repeats the step on the device without running its Python code."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
