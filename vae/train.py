"""Trains the paper's variational auto-encoder: ``python -m vae.train --help``.

A run is a function of its settings alone: the order of the images and the noise of an epoch follow from the seed and
the epoch's number, so that a run which was cut off and goes on ends, on the same CPU, with the same bits.
"""

import math
import os
import shlex
import sys
import time
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vae import command_line
from vae.data import Images, load
from vae.environment import describe_environment
from vae.errors import UserError
from vae.measure import evaluate
from vae.model import VAE
from vae.objective import TERMS, Objective, prepare_backend
from vae.pictures import draw_all
from vae.run_folder import RunFolder
from vae.settings import Settings, parse

CHECK_EVERY = 50  # steps between two looks at the loss, for each makes the host wait for the device
REDRAW_AFTER = 60.0  # seconds; drawing takes one or two, so a long run can be watched at little cost


class Batch(NamedTuple):
    indices: Tensor
    images: Tensor
    noise: Tensor


class Batches:
    """The batches of one epoch. Any of them can be made again at any time, as the report of a failure needs."""

    def __init__(self, images: Images, batch_size: int, latent: int, seed: int, epoch: int):
        generator = random_numbers(seed, epoch)
        # Drawn on the CPU whatever the device is, so that a seed means the same run everywhere.
        self.order = torch.randperm(len(images), generator=generator).to(images.device)
        self.noise = torch.randn(len(images), latent, generator=generator).to(images.device)
        self.images = images
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        part = slice(step * self.batch_size, (step + 1) * self.batch_size)
        indices = self.order[part]
        return Batch(indices, self.images[indices].float() / 255, self.noise[part])


def random_numbers(seed: int, epoch: int) -> torch.Generator:
    """Those that belong to one epoch of one seed; epoch 0 is the drawing of the first weights."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))


def build(settings: Settings, device: torch.device, size: int = 32) -> tuple[VAE, torch.optim.Adam, Objective]:
    """The model for images of that size and its optimiser before the first step, and what they are to minimise."""
    model = VAE(size)
    model.initialise(random_numbers(settings.seed, epoch=0))
    # On a CPU channels_last evaluates 1.4 times as fast and trains as fast, and the fused Adam takes 5 % off a step.
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
    optimizer = torch.optim.Adam([*model.parameters(), *objective.parameters()], lr=settings.lr, fused=True)
    return model, optimizer, objective


class NotFinite(Exception):
    """A loss that is not finite, after the step of that number."""

    def __init__(self, terms: list[float], step: int):
        bad = [name for name, value in zip(TERMS, terms, strict=True) if not math.isfinite(value)]
        # The loss never is when a term is not; it is named alone where weight * divergence overflows.
        super().__init__(" and ".join(bad[:-1] or bad))
        self.step = step


def train_step(model: VAE, optimizer: torch.optim.Adam, objective: Objective, batch: Batch) -> Tensor:
    """Takes one step and returns the mean terms of its batch, before it."""
    means = objective(batch.images, *model(batch.images, batch.noise)).mean(1)
    optimizer.zero_grad()
    means[-1].backward()
    optimizer.step()
    return means.detach()


def train_epoch(model: VAE, optimizer: torch.optim.Adam, objective: Objective, batches: Batches, bar: tqdm) -> Tensor:
    """Takes one step per batch and returns the mean terms of every step, ``steps x 3``.

    Raises:
        NotFinite: naming the first step whose loss was not finite, up to ``CHECK_EVERY`` steps late.
    """
    terms = torch.zeros(len(batches), len(TERMS), device=batches.images.device)
    for step in range(len(batches)):
        batch = batches[step]
        terms[step] = train_step(model, optimizer, objective, batch)
        bar.update(len(batch.images))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == len(batches):
            recent = terms[step // CHECK_EVERY * CHECK_EVERY : step + 1].tolist()
            for late, values in enumerate(recent):
                if not math.isfinite(values[-1]):
                    raise NotFinite(values, step + 1 - len(recent) + late)
            reconstruction, divergence, _ = recent[-1]
            bar.set_postfix_str(f"reconstruction {reconstruction:.2f}, divergence {divergence:.2f}")
    return terms


def run_epoch(
    model: VAE,
    optimizer: torch.optim.Adam,
    objective: Objective,
    batches: Batches,
    splits: dict[str, Images],
    bar: tqdm,
) -> list[dict[str, Any]]:
    """Trains for one epoch and evaluates the model on all images of each split: one row of metrics for each.

    The speed in train's row is that of training, in test's row that of evaluation.
    """
    start = time.perf_counter()
    train_epoch(model, optimizer, objective, batches, bar)
    speeds = {"train": len(batches.images) / (time.perf_counter() - start)}
    rows = []
    for split, images in splits.items():
        start = time.perf_counter()
        values = evaluate(model, objective, images)
        if not math.isfinite(values["loss"]):
            raise NotFinite(list(values.values()), len(batches) - 1)
        speed = speeds.get(split, len(images) / (time.perf_counter() - start))
        learnt = {"alpha": torch.as_tensor(objective.jsg.alpha).item()} if objective.jsg.logit is not None else {}
        rows.append({"split": split, **values, **learnt, "images_per_second": round(speed, 1)})
    return rows


def train(settings: Settings, arguments: list[str]) -> None:
    """Trains one model and leaves everything about it in the run's folder."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses
        torch.use_deterministic_algorithms(True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = load(settings.dataset, settings.data)
    splits = {"train": dataset.train_images.to(device), "test": dataset.test_images.to(device)}
    backend = prepare_backend(settings.backend, device)
    model, optimizer, objective = build(settings, device, splits["train"].shape[-1])
    facts = {
        "data": {name: len(images) for name, images in splits.items()}
        | {"split": dataset.split, "sha256": dataset.sha256},
        "environment": describe_environment(device, backend),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    with RunFolder.open(settings) as folder:
        stateful = {"model": model, "optimizer": optimizer, "objective": objective}
        state: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "metrics": []}
        if settings.resume:
            run = folder.check_resumption(settings, facts)
            state = folder.restore(stateful, device)
            if state["epoch"]:
                folder.write_metrics(state["metrics"])  # a run that was killed may have come to its checkpoint only
            folder.resume(run, settings, facts)
        else:
            folder.start(settings, facts)
        print(
            f"{settings.dataset}, {len(splits['train']):,} + {len(splits['test']):,} images ({dataset.split}); "
            f"{settings.title()}; {backend} on {facts['environment']['device']}, {torch.get_num_threads()} threads; "
            f"{folder.path}",
            flush=True,
        )

        drawn = time.monotonic()
        total, done = (epochs * len(splits["train"]) for epochs in (settings.epochs, state["epoch"]))
        try:
            # The bar shows on a terminal only, the line per epoch anywhere.
            with tqdm(total=total, initial=done, unit=" images", leave=False, disable=None) as bar:
                for epoch in range(state["epoch"] + 1, settings.epochs + 1):
                    start = time.perf_counter()
                    bar.set_description(f"epoch {epoch}/{settings.epochs}")
                    batches = Batches(splits["train"], settings.batch_size, model.latent, settings.seed, epoch)
                    try:
                        rows = run_epoch(model, optimizer, objective, batches, splits, bar)
                    except NotFinite as error:
                        stop(folder, batches, epoch, error)
                    metrics = state["metrics"] + [{"epoch": epoch, **row} for row in rows]
                    seconds = state["seconds"] + time.perf_counter() - start
                    state = {"epoch": epoch, "seconds": seconds, "metrics": metrics}
                    folder.write_checkpoint(state | {name: part.state_dict() for name, part in stateful.items()})
                    folder.write_metrics(metrics)
                    bar.write(progress(rows, epoch, settings.epochs), file=sys.stdout)
                    sys.stdout.flush()  # a log file shows each epoch as it ends, too
                    if time.monotonic() - drawn > REDRAW_AFTER and epoch < settings.epochs:
                        draw_all(folder.path, model, dataset, metrics, settings.title())
                        drawn = time.monotonic()
            folder.write_tensors("model.safetensors", model.state_dict(), state["epoch"])
            draw_all(folder.path, model, dataset, state["metrics"], settings.title())
        except KeyboardInterrupt:
            command = ["python", "-m", "vae.train", *arguments]
            command += [] if settings.out else ["--out", str(folder.path)]
            command += [] if settings.resume else ["--resume"]
            stopped = f"stopped after epoch {state['epoch']}; to go on: {shlex.join(command)}"
            raise KeyboardInterrupt(stopped) from None
        print(summary(state["metrics"][-len(splits) :], state["seconds"], folder))


def stop(folder: RunFolder, batches: Batches, epoch: int, error: NotFinite) -> NoReturn:
    """Saves the batch of a step whose loss was not finite, and ends the run."""
    path = folder.write_tensors("not_finite.safetensors", batches[error.step]._asdict(), epoch)
    raise UserError(
        f"the {error} is not finite at epoch {epoch}, step {error.step + 1} of {len(batches)}; its batch is in {path}"
    )


def progress(rows: list[dict[str, Any]], epoch: int, epochs: int) -> str:
    train, test = rows
    return (
        f"epoch {epoch:3}/{epochs}   reconstruction: train {train['reconstruction']:7.3f}, test "
        f"{test['reconstruction']:7.3f}   divergence {test['divergence']:7.3f}   "
        f"{train['images_per_second']:7,.0f} images/s"
    )


def summary(rows: list[dict[str, Any]], seconds: float, folder: RunFolder) -> str:
    lines = ["", " " * 8 + "".join(f"{name:>16}" for name in TERMS)]
    lines += [f"{row['split']:8}" + "".join(f"{row[name]:16.3f}" for name in TERMS) for row in rows]
    files = " ".join(sorted(path.name for path in folder.path.iterdir()))
    return "\n".join([*lines, "", f"{rows[0]['epoch']} epochs in {seconds:.0f} s; {folder.path} holds {files}"])


def main(arguments: list[str]) -> int:
    return command_line.run("vae.train", lambda arguments: train(parse(arguments), arguments), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
