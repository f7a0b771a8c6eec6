"""A training run: the model, its progress and its folder.

A run depends on its settings only: the order of the images and the noise of an epoch follow from the seed and the
number of the epoch. A run that was stopped and continues ends, on the same CPU, with the same bits.
"""

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from vae.data import Dataset, load
from vae.errors import UserError
from vae.model import VAE
from vae.objective import Objective, prepare_backend
from vae.training.environment import describe_environment
from vae.training.folder import RunFolder
from vae.training.measure import evaluate
from vae.training.pictures import draw_all
from vae.training.processes import ALONE, Processes
from vae.training.settings import Settings
from vae.training.steps import Batches, NotFinite, Recorded, Shared, random_numbers, train_epoch, train_step


def prepare(settings: Settings, processes: Processes = ALONE) -> tuple[Dataset, str]:
    """Loads the images onto the device that trains, and prepares the backend; returns both."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
        torch.use_deterministic_algorithms(True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return processes.after_first(
        lambda: (load(settings.dataset, settings.data).to(device), prepare_backend(settings.backend, device))
    )


def build(settings: Settings, device: torch.device, size: int = 32) -> tuple[VAE, torch.optim.Adam, Objective]:
    """The model for images of ``size x size`` pixels, its optimiser before the first step, and the objective."""
    model = VAE(size)
    model.initialise(random_numbers(settings.seed, epoch=0))
    # On a CPU channels_last evaluates 1.4 times as fast and trains as fast, and the fused Adam saves 5 % of a step.
    model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    objective = Objective(
        settings.divergence,
        settings.alpha,
        settings.weight,
        settings.backend,
        learn_alpha=settings.learn_alpha,
        mmd_of=settings.mmd_of,
        likelihood=settings.likelihood,
    ).to(device)
    return model, adam([*model.parameters(), *objective.parameters()], settings.lr), objective


def adam(parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Adam:
    """Adam with its moments already allocated, as a CUDA graph would otherwise record their initialisation."""
    optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


class Training:
    """A training run: the model, its progress and its folder.

    It starts before the first step or, with ``settings.resume``, after the last epoch in the folder. If several
    processes train it together, only the first opens the folder.
    """

    def __init__(self, settings: Settings, dataset: Dataset, backend: str, processes: Processes = ALONE):
        self.settings, self.dataset, self.processes = settings, dataset, processes
        device, size = dataset.train_images.device, dataset.train_images.shape[-1]
        self.model, self.optimizer, self.objective = build(settings, device, size)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "objective": self.objective}
        self.environment = describe_environment(device, backend, processes.count)
        self.path, state, threads = processes.from_first(self.open)
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.metrics: list[dict[str, Any]] = state["metrics"]
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
        trained = [*self.model.parameters(), *self.objective.parameters()]
        moments = [moment for parameter in trained for moment in self.optimizer.state[parameter].values()]
        processes.copy_from_first([parameter.data for parameter in trained] + moments)

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_) -> None:
        if self.processes.first:
            self.folder.close()

    def open(self) -> tuple[Path, dict[str, Any], int]:
        """Opens the folder; returns its path, its state and the number of threads to use."""
        self.folder = RunFolder.open(self.settings)
        self.processes.begin()
        try:
            return self.folder.path, self.begin(), torch.get_num_threads()
        except BaseException:
            self.folder.close()
            raise

    def begin(self) -> dict[str, Any]:
        facts = {
            "data": {name: len(images) for name, images in self.dataset.splits.items()}
            | {"split": self.dataset.split, "sha256": self.dataset.sha256}
            | ({"path": str(self.settings.data.resolve())} if self.settings.data else {}),
            "environment": self.environment,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }
        if not self.settings.resume:
            self.folder.start(self.settings, facts)
            return {"epoch": 0, "seconds": 0.0, "metrics": []}
        run = self.folder.check_resumption(self.settings, facts)
        state = self.folder.restore(self.parts, self.dataset.train_images.device, run)
        self.folder.resume(run, self.settings, facts)
        if state["epoch"]:
            self.folder.write_metrics(state["metrics"])  # a killed run may have written only its checkpoint
        return state

    @property
    def finished(self) -> bool:
        return self.epoch >= self.settings.epochs

    def record(self, rows: list[dict[str, Any]], seconds: float) -> None:
        """Saves a trained epoch: its rows of metrics and the model after it."""
        self.epoch += 1
        self.seconds += seconds
        self.metrics = self.metrics + [{"epoch": self.epoch, **row} for row in rows]
        self.processes.from_first(self.save)

    def save(self) -> None:
        state = {"epoch": self.epoch, "seconds": self.seconds, "metrics": self.metrics}
        self.folder.write_checkpoint(state | {name: part.state_dict() for name, part in self.parts.items()})
        self.folder.write_metrics(self.metrics)

    def draw(self) -> None:
        draw_all(self.path, self.model, self.dataset, self.metrics, self.settings.title())

    def finish(self) -> None:
        """Saves the pictures and last the model, by which a sweep knows that the run has finished."""
        self.draw()
        self.folder.write_model(self.model.state_dict(), self.epoch, self.metrics)

    def refuse(self, error: NotFinite) -> NoReturn:
        raise self.stop(error) from None

    def stop(self, error: NotFinite) -> UserError:
        """Saves the batch of a step whose loss was not finite; returns the error that names it."""
        epoch = self.epoch + 1
        self.batches.shuffle(epoch)
        batch = self.batches[error.step]._asdict()
        path = self.folder.write_tensors("not_finite.safetensors", batch, {"epoch": str(epoch)})
        return UserError(
            f"the {error} is not finite at epoch {epoch}, step {error.step + 1} of {len(self.batches)}; "
            f"its batch is in {path}"
        )

    @functools.cached_property
    def batches(self) -> Batches:
        settings = self.settings
        return Batches(self.dataset.train_images, settings.batch_size, self.model.latent, settings.seed)

    @functools.cached_property
    def recorded(self) -> Recorded:
        return Recorded(self.model, self.optimizer, self.objective, self.batches)

    @functools.cached_property
    def shared(self) -> Shared:
        return Shared(self.model, self.optimizer, self.objective, self.batches, self.processes)

    def take_step(self, step: int) -> Tensor:
        return train_step(self.model, self.optimizer, self.objective, self.batches[step])

    def epochs(self, bar: tqdm) -> Iterator[list[dict[str, Any]]]:
        """Trains the remaining epochs, and yields the rows of each epoch after they are saved.

        Raises:
            UserError: the loss was not finite.
        """
        while not self.finished:
            start = time.perf_counter()
            bar.set_description(f"epoch {self.epoch + 1}/{self.settings.epochs}")
            try:
                rows = self.run_epoch(bar)
            except NotFinite as error:
                self.processes.from_first(functools.partial(self.refuse, error))
            else:
                self.record(rows, time.perf_counter() - start)
                yield rows

    def run_epoch(self, bar: tqdm) -> list[dict[str, Any]]:
        """Trains one epoch, evaluates the model on all images of each split and returns a row of metrics for each.

        The speed in the row of train is that of training, in the row of test that of evaluation.

        Raises:
            NotFinite: naming the step after which the loss was not finite.
        """
        self.batches.shuffle(self.epoch + 1)
        start = time.perf_counter()
        if self.processes.count > 1:
            train_epoch(self.shared.take_step, self.batches, bar, self.processes)
        elif self.dataset.train_images.device.type == "cuda" and not self.objective.reference:
            NotFinite.check(self.recorded.epoch().tolist())
            bar.update(len(self.dataset.train_images))
        else:
            train_epoch(self.take_step, self.batches, bar)
        speeds = {"train": len(self.dataset.train_images) / (time.perf_counter() - start)}
        rows = []
        for split, images in self.dataset.splits.items():
            start = time.perf_counter()
            values = evaluate(self.model, self.objective, images, self.processes)
            NotFinite.check([list(values.values())], len(self.batches) - 1)
            speed = speeds.get(split, len(images) / (time.perf_counter() - start))
            rows.append(row(split, values, self.objective, speed))
        return rows


def row(split: str, values: dict[str, float], objective: Objective, images_per_second: float) -> dict[str, Any]:
    """A row of metrics.jsonl, without the number of the epoch."""
    learnt = {"alpha": torch.as_tensor(objective.jsg.alpha).item()} if objective.jsg.logit is not None else {}
    return {"split": split, **values, **learnt, "images_per_second": round(images_per_second, 1)}
