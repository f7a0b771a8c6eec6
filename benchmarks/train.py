"""python -m benchmarks.train [--json FILE]        images per second of the trainer and of other ways to write it

Every way trains the paper's network on the same images in batches of 64, a step of each in turn, so that all share the
same state of the machine. A step's time includes picking the batch.
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from benchmarks.clock import quantiles
from benchmarks.output import machine, ratio, table, write_json
from benchmarks.textbook import standard
from vae.data import load
from vae.model import VAE
from vae.objective import Backend, prepare_backend
from vae.settings import Settings
from vae.steps import Batches, train_step
from vae.train import build

ALPHA = 0.3
BATCH = 64
OURS = "vae.train, eager"


def ours(images: Tensor, backend: Backend = "eager") -> Iterator[Tensor]:
    """The trainer's own step and batches; yields the loss of each step."""
    settings = Settings(alpha=ALPHA, backend=backend, batch_size=BATCH)
    model, optimizer, objective = build(settings, images.device)
    batches = Batches(images, BATCH, model.latent, settings.seed)
    for epoch in itertools.count(1):
        batches.shuffle(epoch)
        for step in range(len(images) // BATCH):
            yield train_step(model, optimizer, objective, batches[step])[-1]


def straightforward(images: Tensor, batches: str = "in memory", **adam) -> Iterator[Tensor]:
    """The loop that a tutorial has: float images in memory or a DataLoader, the textbook's divergence, plain Adam."""
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
            loss = ((x - decoded) ** 2).sum() / len(x) + standard(mean, logvar, ALPHA).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.detach()


def ways(images: Tensor) -> dict[str, Iterator[Tensor]]:
    found = {
        OURS: ours(images),
        "a plain loop, images in memory": straightforward(images),
        "a plain loop, DataLoader": straightforward(images, "DataLoader"),
        "a plain loop, fused Adam": straightforward(images, fused=True),
    }
    name = prepare_backend("triton", images.device)
    return found | {f"vae.train, {name}": ours(images, "triton")}


def step_times(steppers: dict[str, Iterator[Tensor]], steps: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each step of each way, after five that warm up."""
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for step in tqdm(range(steps + 5), disable=None, leave=False):
        for name, stepper in steppers.items():
            start = time.perf_counter()
            next(stepper)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if step >= 5:
                times[name].append(time.perf_counter() - start)
    return times


def measure(steps: int, device: torch.device) -> list[dict]:
    """A record for each way and number of threads."""
    records = []
    default = torch.get_num_threads()
    for threads in dict.fromkeys((default, 1)) if device.type == "cpu" else (default,):
        torch.set_num_threads(threads)
        times = step_times(ways(load("fashion-mini").train_images.to(device)), steps, device)
        for name, seconds in times.items():
            records.append(dict(implementation=name, threads=threads, runs=len(seconds)) | quantiles(seconds))
    torch.set_num_threads(default)
    return records


def lines(records: list[dict]) -> Iterator[tuple]:
    mine = {r["threads"]: r for r in records if r["implementation"] == OURS}
    for r in records:
        speed = "{:,.0f} ({:,.0f} to {:,.0f})".format(*(BATCH / r[q] for q in ("median", "q80", "q20")))
        other = r["implementation"] != OURS
        yield r["threads"], r["implementation"], speed, ratio(r, mine[r["threads"]]) if other else ""


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--steps", type=int, default=300, help="of each way (default: 300, two minutes on two cores)")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = machine(device) | dict(load_average=os.getloadavg()[0])
    records = measure(options.steps, device)
    print("".join(f"{name}: {value}\n" for name, value in facts.items()))
    print(
        f"JSG, alpha {ALPHA}, 32 x 32 images, batches of {BATCH}; medians, in brackets the 20 % and 80 % quantiles.\n"
    )
    print(table(("threads", "implementation", "images/s", "times ours"), list(lines(records))))
    if options.json:
        write_json(options.json, dict(facts=facts, records=records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
