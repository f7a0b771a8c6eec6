"""The work of a sweep: trains cells to their ends, each in its folder."""

import contextlib
import functools
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from tqdm import tqdm

from vae.data import Dataset
from vae.errors import InUse, UserError
from vae.runs.run import read_run
from vae.sweep.engine import abandoned
from vae.sweep.folders import finished, folder
from vae.sweep.stacked import train_together
from vae.training.settings import Settings
from vae.training.training import Training, prepare

TOGETHER = 32  # models that a GPU trains as one program, because one small model alone leaves it idle
PAUSE = 1.0  # seconds until a run that another process works on is tried again


def grouped(cells: Iterable[Settings], together: int) -> list[list[Settings]]:
    """The cells in groups of up to ``together`` that can be one program, in the order of their first cells."""
    groups: list[list[Settings]] = []
    last: dict[Settings, list[Settings]] = {}
    for cell in cells:
        if len(last.get(shared(cell), ())) in (0, together):
            last[shared(cell)] = []
            groups.append(last[shared(cell)])
        last[shared(cell)].append(cell)
    return groups


def shared(cell: Settings) -> Settings:
    """The cell's settings that must be equal in one program: all but those that a sweep varies within a data set."""
    return replace(cell, divergence="kl-qp", alpha=0.0, learn_alpha=False, weight=1.0, seed=0, out=None)


images = functools.lru_cache(maxsize=4)(prepare)  # a worker reads each data set once


def train_cells(cells: list[Settings], command: list[str]) -> list[dict[str, float] | Exception]:
    """Trains the cells to their ends, resuming each from its folder; several cells train as one program.

    Args:
        command: the command that ``run.json`` names as the one that started the runs.

    Returns:
        For each cell its final values, or the error that stopped it.
    """
    sys.orig_argv = command
    torch.set_num_threads(1)  # a run that was resumed may have set more
    dataset, backend = images(shared(cells[0]))
    together = len(cells) > 1
    backend += f", {len(cells)} models as one program" if together else ""
    failed: dict[Settings, Exception] = {}
    with contextlib.ExitStack() as folders:
        going: list[Training] = []
        for cell in cells:
            try:
                if not finished(cell):
                    going.append(folders.enter_context(begin(cell, dataset, backend)))
            except (UserError, OSError) as error:
                failed[cell] = error
        if not going and any(isinstance(error, InUse) for error in failed.values()):
            time.sleep(PAUSE)
        ended_before = ((training, None) for training in list(going) if training.finished)
        epochs = train_together(going) if together else train_alone(going)
        for training, error in itertools.chain(ended_before, epochs):
            if error:
                failed[replace(training.settings, resume=False)] = error
            elif training.finished:
                training.finish()
            else:
                if abandoned():
                    raise UserError("it was left unfinished, because the sweep no longer waited for it")
                continue
            going.remove(training)
    return [failed[cell] if cell in failed else read_run(folder(cell)).values for cell in cells]


def begin(cell: Settings, dataset: Dataset, backend: str) -> Training:
    """Starts the cell's run, or resumes it from its last full epoch."""
    folder(cell).mkdir(parents=True, exist_ok=True)
    return Training(replace(cell, resume=(folder(cell) / "run.json").exists()), dataset, backend)


def train_alone(going: list[Training]) -> Iterator[tuple[Training, UserError | None]]:
    """Trains the runs one after the other; yields what `train_together` yields."""
    for training in list(going):
        try:
            for _ in training.epochs(tqdm(disable=True)):
                yield training, None
        except UserError as error:
            yield training, error
