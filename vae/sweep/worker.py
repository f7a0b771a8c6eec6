"""Workers: they take cells from a queue and train them, until none is left."""

import functools
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from vae import command_line
from vae.command_line import place
from vae.data import Dataset
from vae.errors import InUse, UserError
from vae.sweep.queue import Cell, Queue
from vae.sweep.stacked import train_together
from vae.sweep.status import lines
from vae.training.environment import without_password
from vae.training.settings import Settings
from vae.training.training import Training, prepare

DESCRIPTION = """\
Take runs from the queue of a sweep and train them, until none is left. Any number of workers may do so on any number of
machines. A run whose worker is killed is taken up again by another, from its last full epoch.

  python -m vae.sweep worker --storage postgresql://me@host/sweeps
  python -m vae.sweep worker --storage sweeps/mnist/queue.journal
"""

TOGETHER = 32  # models that a GPU trains as one program; small ones, of which one alone leaves it idle
PARENT = "JSGMATH_SWEEP_PARENT"  # the variable that names a worker the process that started it
QUIET = 60.0  # seconds after which the next epoch is told
POLL = 2.0  # seconds between two looks for a run that another's death has set free


@dataclass(frozen=True)
class Worker:
    """A process that trains what waits, or several of them."""

    storage: Annotated[str, tyro.conf.arg(metavar="URL")]
    """The queue: postgresql://USER@HOST/NAME, mysql://..., or the journal of a sweep on this machine."""

    sweep: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: all in the queue)")] = None
    """The sweep to work on."""

    out: Annotated[Path | None, place("where the sweep was started with it")] = None
    """The sweep's folder, if it has another name on this machine."""

    data: Annotated[Path | None, place("the usual places are searched")] = None
    """Where the images are."""

    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: as many as help)")] = None
    """Processes: by default one per processor, each with one thread; or one in all where there is a GPU."""

    together: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: GPU 32, CPU 1)")] = None
    """Models that a process trains at once, as one program."""


def parse(arguments: list[str]) -> Worker:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    options = command_line.parse(Worker, "python -m vae.sweep worker", DESCRIPTION, arguments)
    command_line.require(
        (options.workers is None or options.workers >= 1, "--workers must be at least 1", options.workers),
        (options.together is None or options.together >= 1, "--together must be at least 1", options.together),
    )
    return options


def run(options: Worker, images: "Images | None" = None) -> None:
    """Works the queue off, by processes of its own where several help; ``images`` are those read already.

    Raises:
        UserError: there is no such queue, images are missing, or processes ended and left runs that nobody trains.
    """
    parent = os.environ.get(PARENT)
    signal.signal(signal.SIGTERM, functools.partial(stop, SystemExit(130) if parent else KeyboardInterrupt()))
    if parent:
        threading.Thread(target=end_with, args=[int(parent)], daemon=True).start()
    names = [options.sweep] if options.sweep else Queue.names(options.storage)
    if options.out and len(names) > 1:
        raise UserError(f"--out is the folder of one sweep, and there are {len(names)} here; name it with --sweep")
    queues = [Queue(options.storage, name) for name in names]
    if not queues:
        raise UserError(f"there is no sweep in {without_password(options.storage)}; python -m vae.sweep starts one")
    for queue in queues if not parent else []:
        print("\n".join(lines(queue.name, queue.status())), flush=True)
    images = images or Images(options.data)
    for queue in queues:  # what is missing here is missed before anything is taken
        for status in queue.status():
            if status.state in ("waiting", "running"):
                images.prepare(status.settings)
    count = options.workers or (1 if torch.cuda.is_available() else processors())
    if count > 1 and not all(queue.finished() for queue in queues):
        images.prepared.clear()  # each process reads its own
        ended = supervise(options, count)
        if ended and not all(queue.finished() for queue in queues):
            raise UserError(f"{ended} of {count} workers ended before the queue was empty; the same command goes on")
    else:
        together = options.together or (TOGETHER if torch.cuda.is_available() else 1)
        while going := [queue for queue in queues if not queue.finished()]:
            if not any([work(queue, together, images, options.out or queue.out) for queue in going]):
                time.sleep(min(POLL, *(queue.interval for queue in going)))


def stop(how: BaseException, *_) -> None:
    """On SIGTERM as on Ctrl-C: what a cluster's scheduler ends is put back at once, not when others miss its beat.

    Once only, for a scheduler may end every process of a job, and so does a parent with its own.
    """
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise how


def end_with(parent: int) -> None:
    """Ends this process when its parent has gone, which, if killed, could not end it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def supervise(options: Worker, count: int) -> int:
    """Runs so many workers, each with its share of the processors; returns how many of them ended too early."""
    command = [sys.executable, "-m", "vae.sweep", "worker", "--workers", "1"]
    for name in ("storage", "sweep", "out", "data", "together"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name}", str(value)]
    # PASSIVE: threads that wait sleep, for the processors are all in use.
    share = {"OMP_NUM_THREADS": str(max(1, processors() // count)), "OMP_WAIT_POLICY": "PASSIVE"}
    environment = os.environ | share | {PARENT: str(os.getpid())}
    workers = []
    # Ctrl-C at a terminal is for this process, which ends the others; until they can end well, without a word.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        workers += [subprocess.Popen(command, env=environment) for _ in range(count)]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        codes = [worker.wait() for worker in workers]
    except BaseException:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        raise
    return sum(code != 0 for code in codes)


class Images:
    """Data sets, each read once."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.prepared: dict[tuple, tuple[Dataset, str]] = {}

    def prepare(self, settings: Settings) -> tuple[Dataset, str]:
        """The images that a cell is trained on, and the backend."""
        key = settings.dataset, settings.backend, settings.deterministic
        if key not in self.prepared:
            self.prepared[key] = prepare(replace(settings, data=self.folder))
        return self.prepared[key]


def work(queue: Queue, together: int, images: Images, out: Path) -> bool:
    """Takes cells and trains them; returns whether there were any."""
    cells = queue.take(together)
    with queue.beating(cells):
        try:
            for alike in by_shared_settings(cells):
                train(queue, alike, images, out)
        except BaseException:  # others shall not have to wait for the beat to stand still
            for cell in cells:
                if not cell.ended:
                    queue.release(cell)
            raise
    return bool(cells)


def by_shared_settings(cells: list[Cell]) -> Iterable[list[Cell]]:
    """Those that can be one program, together: all that a sweep varies within a data set may differ."""
    groups: dict[Settings, list[Cell]] = {}
    for cell in cells:
        shared = replace(cell.settings, divergence="kl-qp", alpha=0.0, learn_alpha=False, weight=1.0, seed=0)
        groups.setdefault(shared, []).append(cell)
    return groups.values()


def train(queue: Queue, cells: list[Cell], images: Images, out: Path) -> None:
    """Trains the cells to their ends, from where their folders say they are."""
    dataset, backend = images.prepare(cells[0].settings)
    as_one = len(cells) > 1 and cells[0].settings.backend != "reference"
    said = f"{backend}, {len(cells)} models as one program" if as_one else backend
    under_way = {
        training: cell for cell in cells if (training := begin(queue, cell, dataset, said, images.folder, out))
    }
    going = list(under_way)
    said_at = time.monotonic()
    try:
        ended_before = ((training, None) for training in list(going) if training.finished)
        for training, error in itertools.chain(ended_before, (train_together if as_one else train_alone)(going)):
            cell = under_way[training]
            cell.epoch = training.epoch
            if error:
                queue.fail(cell, str(error))
                say(queue, f"{cell.name} failed: {error}")
            elif training.finished:
                training.finish()
                values = [row["reconstruction"] for row in training.metrics[-2:]]
                if queue.complete(cell, *values):
                    say(queue, "{}: train {:.3f}, test {:.3f}".format(cell.name, *values))
            elif not cell.lost:
                if time.monotonic() - said_at > QUIET:
                    say(queue, how_far(cell))
                    said_at = time.monotonic()
                continue
            going.remove(training)
            training.folder.close()
    finally:
        for training in going:
            training.folder.close()
    if not under_way:  # all are in use by workers that were taken for dead
        time.sleep(queue.interval)


def begin(queue: Queue, cell: Cell, dataset: Dataset, backend: str, data: Path | None, out: Path) -> Training | None:
    """The cell's run, new or from its last full epoch, if it can be had."""
    path = out / cell.name
    # A disk of this machine that cannot be written ends the worker, not the cell.
    path.mkdir(parents=True, exist_ok=True)
    resume = (path / "run.json").exists()
    try:
        training = Training(replace(cell.settings, data=data, out=path, resume=resume), dataset, backend)
    except InUse:
        queue.release(cell)
    except UserError as error:
        queue.fail(cell, str(error))
        say(queue, f"{cell.name} failed: {error}")
    else:
        cell.epoch = training.epoch
        say(queue, how_far(cell))
        return training
    return None


def train_alone(going: list[Training]) -> Iterator[tuple[Training, UserError | None]]:
    """Trains them one after the other; else as `train_together`."""
    for training in list(going):
        try:
            for _ in training.epochs(tqdm(disable=True)):
                yield training, None
                if training not in going:
                    break
        except UserError as error:
            yield training, error


def how_far(cell: Cell) -> str:
    return f"{cell.name}: {cell.epoch} of {cell.settings.epochs} epochs"


def say(queue: Queue, line: str) -> None:
    states = [status.state for status in queue.status()]
    print(f"[{sum(state in ('done', 'failed') for state in states)}/{len(states)}] {line}", flush=True)
