"""Measures the images per second of the trainer, of other training programs, and of a sweep.

All train the paper's network on the same images in batches of 64. They take steps in turn, so that all share the same
state of the machine. The time of a step includes choosing the batch. A sweep is measured as one program of 22 models
and, without a GPU, as processes of one thread: one process, and as many as there are processors, in turn.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from benchmarks.clock import quantiles
from benchmarks.output import machine, ratio, table, write_json
from benchmarks.textbook import standard
from vae.data import Dataset, load
from vae.model import VAE
from vae.objective import Backend, prepare_backend
from vae.sweep.grid import Sweep, cells
from vae.sweep.stacked import Stack
from vae.threads import processors
from vae.training.settings import Settings
from vae.training.steps import Batches, Recorded, train_step
from vae.training.training import Training, build

ALPHA = 0.3
BATCH = 64
OURS = "vae.train"
SWEEP = cells(Sweep(alphas="0:1:.1", baselines=""))  # 22 cells: JSG and its dual, whose ends are the KLs
WARM_UP = 5  # steps; the first compiled step takes half a minute


def ours(images: Tensor, backend: Backend = "auto", how: str = "eager") -> Iterator[Tensor]:
    """Trains with the trainer's step and batches, eager, compiled or as a CUDA graph; yields the loss of each step."""
    settings = Settings(alpha=ALPHA, backend=backend, batch_size=BATCH)
    model, optimizer, objective = build(settings, images.device)
    batches = Batches(images[: len(images) // BATCH * BATCH], BATCH, model.latent, settings.seed)
    if how == "compiled":
        terms = torch.compile(lambda images, noise: objective(images, *model(images, noise)), fullgraph=True)
        return steps_of(lambda *batch: (terms(*batch),), optimizer, lambda images, terms: terms, batches, False)
    return steps_of(model, optimizer, objective, batches, recorded=how == "CUDA graph")


def steps_of(model, optimizer, objective, batches: Batches, recorded: bool) -> Iterator[Tensor]:
    recording = None
    for epoch in itertools.count(1):
        batches.shuffle(epoch)
        if recorded:
            recording = recording or Recorded(model, optimizer, objective, batches)
            recording.step.zero_()
        for step in range(len(batches)):
            if recording:
                recording.replay[BATCH]()
                yield recording.terms[step, -1]
            else:
                yield train_step(model, optimizer, objective, batches[step])[-1]


def stacked(dataset: Dataset) -> Iterator[Tensor]:
    """Trains all models of a sweep as one program, on a GPU as a CUDA graph; yields the losses of each step."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as folders:
        trainings = [
            folders.enter_context(
                Training(replace(cell, batch_size=BATCH, out=Path(folder) / cell.name()), dataset, "")
            )
            for cell in SWEEP
        ]
        stack = Stack(trainings)
        images = dataset.train_images[: len(dataset.train_images) // BATCH * BATCH]
        batches = Batches(images, BATCH, stack.model.latent, [training.settings.seed for training in stack.trainings])
        yield from steps_of(stack.model, stack.optimizer, stack.objective, batches, images.is_cuda)


def closed_form_kl(mean: Tensor, logvar: Tensor, _: float) -> Tensor:
    """KL to N(0, I), as tutorials compute it."""
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(-1)


def straightforward(images: Tensor, batches: str = "in memory", divergence=standard, **adam) -> Iterator[Tensor]:
    """Trains like a tutorial: float images in memory or a DataLoader, the textbook's divergence, plain Adam."""
    floats = images.float() / 255
    loader = DataLoader(TensorDataset(floats), BATCH, shuffle=True, drop_last=True)
    model = VAE().to(images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **adam)
    while True:
        if batches == "in memory":
            order = torch.randperm(len(floats), device=images.device)
            epoch = (floats[order[i : i + BATCH]] for i in range(0, len(floats) - BATCH + 1, BATCH))
        else:
            epoch = (batch for (batch,) in loader)
        for x in epoch:
            mean, logvar = model.encode(x)
            decoded = model.decode(mean + torch.randn_like(mean) * torch.exp(logvar / 2))
            loss = ((x - decoded) ** 2).sum() / len(x) + divergence(mean, logvar, ALPHA).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.detach()


def ways(dataset: Dataset, triton: str) -> dict[str, tuple[int, Iterator[Tensor]]]:
    """Name -> (number of models, losses of the steps) of each way; ``triton`` names that backend here."""
    images = dataset.train_images
    found = {
        OURS: ours(images),
        "vae.train, compiled": ours(images, how="compiled"),
        f"vae.train, {triton}": ours(images, "triton"),
        "a plain loop, images in memory": straightforward(images),
        "a plain loop with KL, images in memory": straightforward(images, divergence=closed_form_kl),
        "a plain loop, DataLoader": straightforward(images, "DataLoader"),
        "a plain loop, fused Adam": straightforward(images, fused=True),
    }
    if images.is_cuda:
        found["vae.train, triton in a CUDA graph"] = ours(images, "triton", "CUDA graph")
    together = f"vae.sweep, {len(SWEEP)} models as one program"
    return {name: (1, way) for name, way in found.items()} | {together: (len(SWEEP), stacked(dataset))}


def step_times(steppers: dict[str, tuple[int, Iterator[Tensor]]], steps: int) -> dict[str, list[float]]:
    """Seconds of each step of each way, after the warm-up; on a CPU a sweep takes only every tenth step."""
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for step in tqdm(range(-WARM_UP, steps), disable=None, leave=False):
        for name, (models, stepper) in steppers.items():
            if models > 1 and step % 10 and not torch.cuda.is_available():
                continue
            start = time.perf_counter()
            next(stepper)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if step >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def refuse_other_losses(dataset: Dataset) -> None:
    """Exits if a way does not train the trainer's model: its first ten losses must equal the trainer's."""
    images = dataset.train_images
    index = [(cell.divergence, cell.alpha) for cell in SWEEP].index(("jsg", ALPHA))
    alike = {"one model": ours(images), "stacked": (losses[index] for losses in stacked(dataset))}
    if images.is_cuda:
        alike["CUDA graph"] = ours(images, "triton", "CUDA graph")
    curves = {name: torch.stack(list(itertools.islice(way, 10))) for name, way in alike.items()}
    for name, curve in curves.items():
        # On a GPU, convolutions round to the eleven bits of TF32, and each kind of convolution rounds differently.
        if not torch.allclose(curve, curves["one model"], rtol=1e-2 if images.is_cuda else 1e-4):
            expected = curves["one model"].tolist()
            sys.exit(f"benchmarks.train: the first losses of {name} are {curve.tolist()}, but of one model {expected}")


def measure(steps: int, device: torch.device) -> list[dict]:
    """Returns a record for each way and each number of threads."""
    records = []
    default = torch.get_num_threads()
    triton = prepare_backend("triton", device)  # before anything imports triton
    dataset = load("fashion-mini").to(device)
    refuse_other_losses(dataset)
    for threads in dict.fromkeys((default, 1)) if device.type == "cpu" else (default,):
        torch.set_num_threads(threads)
        found = ways(dataset, triton)
        for name, seconds in step_times(found, steps).items():
            facts = dict(implementation=name, models=found[name][0], threads=threads, runs=len(seconds))
            records.append(facts | quantiles(seconds))
    torch.set_num_threads(default)
    return records


def side_by_side(count: int, seconds: float) -> float:
    """The sum of the steps per second of ``count`` processes of one thread that train at the same time."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count)
    reported = context.Queue()
    processes = [context.Process(target=count_steps, args=(ready, seconds, reported)) for _ in range(count)]
    for process in processes:
        process.start()
    rates = [reported.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(rates)


def count_steps(ready, seconds: float, reported) -> None:
    """Trains in one thread and puts the steps per second into the queue ``reported``."""
    torch.set_num_threads(1)
    stepper = ours(load("fashion-mini").train_images)
    for _ in range(WARM_UP):
        next(stepper)
    ready.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(stepper)
        steps += 1
    reported.put(steps / (time.perf_counter() - start))


def measure_processes(rounds: int, seconds: float) -> list[dict]:
    """Returns a record for one process and one for as many as there are processors; the two take turns."""
    counts = (1, processors())
    rates = [[side_by_side(count, seconds) for count in counts] for _ in range(rounds)]
    return [
        dict(implementation=f"vae.sweep, {count} x 1 thread", models=count, threads=1, runs=rounds)
        | quantiles([count / rate for rate in column])
        for count, column in zip(counts, zip(*rates, strict=True), strict=True)
    ]


def lines(records: list[dict]) -> Iterator[tuple]:
    mine: dict[tuple, dict] = {}
    for r in records:
        # Processes are compared with one process, all others with the trainer in their own round.
        first = mine.setdefault((r["threads"], " x " in r["implementation"]), r)
        each = {q: r[q] / r["models"] for q in ("q20", "median", "q80")}
        speeds = ["{:,.0f} ({:,.0f} to {:,.0f})".format(*(BATCH / each[q] for q in ("median", "q80", "q20")))]
        speeds.append(f"{1 / each['median']:,.1f}")
        yield r["threads"], r["implementation"], *speeds, "" if r is first else ratio(each, first)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--steps", type=int, default=300, help="steps of each way (default: 300, five minutes)")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = machine(device) | dict(load_average=os.getloadavg()[0])
    records = measure(options.steps, device)
    if device.type == "cpu":
        records += measure_processes(rounds=max(1, options.steps // 50), seconds=options.steps / 30)
    print("".join(f"{name}: {value}\n" for name, value in facts.items()))
    print(
        f"The divergence is JSG at alpha {ALPHA}, the images are 32 x 32, and a batch has {BATCH}.\n"
        "Numbers are medians, with the 20 % and 80 % quantiles in brackets.\n"
        'The rates of a sweep count all its models together, and "times ours" compares the time of one model\'s step.\n'
    )
    head = "threads", "implementation", "images/s", "model-steps/s", "times ours"
    print(table(head, list(lines(records))))
    if options.json:
        write_json(options.json, dict(facts=facts, records=records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
