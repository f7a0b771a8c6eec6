"""The cells of a sweep as a durable queue on Optuna, for any number of workers on any number of machines.

A cell is one training. Each try of it is a trial of Optuna's study of the sweep's name: waiting, running, complete or
told to have failed, and never unfinished again once it has finished. What Optuna guarantees, and all that is used, is
that each of these changes and the creation of a trial with its attributes happen at once or not at all.

*None is lost.* Telling a dead worker's trial to have failed and enqueueing its cell again are two steps, and a kill may
come between. So nobody relies on the second: whoever takes first enqueues each cell that has neither result, failure
nor unfinished trial. Two may do so at once, and a cell then has more unfinished trials than one.
*None is run twice.* A trial that was taken is dropped unless it is its cell's first unfinished one and the cell has no
result. Later trials have higher numbers and finished ones stay finished, so a trial that was kept remains the first
until it finishes, whatever the order in which workers take, look and die.
"""

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from vae.errors import UserError
from vae.objective import Divergence
from vae.sweep.storage import open_storage, patiently
from vae.training.folder import plain
from vae.training.settings import Settings

State = Literal["waiting", "running", "done", "failed"]


@dataclass
class Cell:
    """A training that this worker has taken."""

    name: str
    settings: Settings
    trial: Trial = field(repr=False)
    epoch: int = 0
    """For the worker to set; what ``status`` shows of it."""
    lost: bool = False
    """The worker was taken for dead, and others may have the cell now: there is no point in going on."""
    beats: int = field(default=0, repr=False)
    ended: bool = field(default=False, repr=False)

    @property
    def number(self) -> int:
        """That of the trial."""
        return self.trial.number


@dataclass(frozen=True)
class Status:
    """What has become of a cell."""

    name: str
    settings: Settings
    state: State
    worker: str | None = None
    """Who has it or had it: host:process."""
    epoch: int | None = None
    age: float | None = None
    """Seconds since its worker's last beat, by the clocks of the two machines."""
    train_reconstruction: float | None = None
    test_reconstruction: float | None = None
    message: str | None = None
    """Why it failed."""


class Queue:
    """The cells of the sweep ``name`` in ``storage``: ``postgresql://...``, ``mysql://...`` or a journal's path.

    A worker that has a cell beats every ``interval`` seconds. Whoever takes cells and sees a beat stand still for
    ``grace`` seconds, by his own clock, takes that worker for dead and puts its cells back.

    Every method raises UserError where the storage cannot be reached; a database that was reached once may then be away
    for ten minutes.
    """

    def __init__(self, storage: str, name: str, interval: float = 15.0, grace: float = 60.0):
        self.storage = storage
        self.name = name
        self.interval = interval
        self.grace = grace
        self.looked = 0.0
        self.silent: dict[int, tuple[int, float]] = {}  # trial: the beat last seen, seconds without another

    @staticmethod
    def names(storage: str) -> list[str]:
        """The sweeps in a storage."""
        return patiently(optuna.get_all_study_names, open_storage(storage))

    @cached_property
    def study(self) -> optuna.Study:
        return self._study(open_storage(self.storage))

    def _study(self, storage: BaseStorage) -> optuna.Study:
        there = patiently(optuna.get_all_study_names, storage)
        if self.name not in there:
            raise UserError(f"there is no sweep {self.name} in this storage, but {', '.join(there) or 'none at all'}")
        return patiently(optuna.load_study, study_name=self.name, storage=storage, sampler=RandomSampler())

    @property
    def out(self) -> Path:
        """The folder of the cells' runs: run NAME is out / NAME."""
        out = patiently(lambda: self.study.user_attrs.get("out"))
        if out is None:
            raise UserError(f"the start of sweep {self.name} was cut off; give the command that starts it once more")
        return Path(out)

    def add(self, cells: list[Settings], out: Path) -> int:
        """Enqueues those of the cells that are new and those that have failed; returns how many that are.

        Raises:
            UserError: the sweep has another folder than ``out``, or a cell of the same name and other settings.
        """
        storage = open_storage(self.storage, create=True)
        patiently(optuna.create_study, study_name=self.name, storage=storage, load_if_exists=True)  # minimises
        self.study = self._study(storage)
        there = patiently(lambda: self.study.user_attrs.get("out"))
        if there is None:
            patiently(self.study.set_user_attr, "out", str(out.absolute()))
        elif there != str(out.absolute()):
            raise UserError(
                f"sweep {self.name} has its runs in {there}, not in {out}; name another sweep or that folder"
            )
        known = self._cells()
        settings = {name: trials[0].user_attrs["settings"] for name, trials in known.items()}
        new: dict[str, int] = {}
        for cell in cells:
            now, before = plain(cell), settings.setdefault(cell.name(), plain(cell))
            if changed := [f"{key} {before.get(key)} (now {now[key]})" for key in now if now[key] != before.get(key)]:
                raise UserError(f"sweep {self.name} has the cell {cell.name()} with {', '.join(changed)}")
            if cell.name() not in known:
                new[cell.name()] = 1
            elif state_of(known[cell.name()]) == "failed":
                new[cell.name()] = attempt_of(known[cell.name()]) + 1
        for name, attempt in new.items():
            self._enqueue(name, settings[name], attempt)
        return len(new)

    def take(self, count: int) -> list[Cell]:
        """Up to ``count`` cells for this worker, none when none waits; cells of dead workers are put back before.

        A worker that waits for others calls this at least every ``interval`` seconds.
        """
        known = self._cells()
        if self._bury(known):
            known = self._cells()
        waiting = self._restore(known)
        taken = [patiently(self.study.ask) for _ in range(min(count, waiting))]
        known = self._cells()
        cells = []
        for trial in taken:
            if is_first(trial, known):
                cells.append(Cell(trial.user_attrs["cell"], settings_of(trial), trial))
            else:  # the cell is another's; or none, for Optuna makes a trial where none waits any more
                self._tell(trial, TrialState.FAIL)
        return cells

    @contextlib.contextmanager
    def beating(self, cells: list[Cell]) -> Iterator[None]:
        """Keeps the cells alive while they are trained, from a thread of its own."""
        stop = threading.Event()

        def beat():
            while True:
                for cell in cells:
                    if not (cell.lost or cell.ended):
                        self._beat(cell)
                if stop.wait(self.interval):
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def complete(self, cell: Cell, train_reconstruction: float, test_reconstruction: float) -> bool:
        """Records the result of a cell, and returns whether it is this worker's.

        It is not, and nothing is recorded, when this worker was taken for dead: the cell is then in the queue again or
        with another worker, who finds the finished run in its folder.
        """
        return self._end(cell, TrialState.COMPLETE, train_reconstruction, "test_reconstruction", test_reconstruction)

    def fail(self, cell: Cell, message: str) -> None:
        """Records that a cell failed and would fail again; ``add`` enqueues it once more."""
        self._end(cell, TrialState.FAIL, None, "failed", message[:1000])

    def release(self, cell: Cell) -> None:
        """Puts a cell back for others, at the end of the queue."""
        self._tell(cell.trial, TrialState.FAIL)
        cell.ended = True
        self._restore(self._cells())

    def finished(self) -> bool:
        """Whether nothing waits or runs."""
        return all(state_of(trials) in ("done", "failed") for trials in self._cells().values())

    def status(self) -> list[Status]:
        """What has become of each cell, in the order in which they were added."""
        return [status_of(name, trials) for name, trials in self._cells().items()]

    def _cells(self) -> dict[str, list[FrozenTrial]]:
        """The trials of each cell, by their numbers."""
        cells: dict[str, list[FrozenTrial]] = {}
        for trial in patiently(self.study.get_trials, deepcopy=False):
            if "cell" in trial.user_attrs:
                cells.setdefault(trial.user_attrs["cell"], []).append(trial)
        return cells

    def _enqueue(self, name: str, settings: dict[str, Any], attempt: int) -> None:
        parameters = {key: settings[key] for key in ("divergence", "alpha", "learn_alpha", "weight", "seed")}
        patiently(self.study.enqueue_trial, parameters, {"cell": name, "settings": settings, "attempt": attempt})

    def _bury(self, known: dict[str, list[FrozenTrial]]) -> int:
        """Tells the trials whose beats stand still to have failed, and returns how many.

        A look counts for at most ``interval`` seconds of silence: where the database was away, or this process was
        stopped, the workers are given the time to beat again.
        """
        now = time.monotonic()
        since = min(now - self.looked, self.interval)
        silent = {}
        for trial in itertools.chain(*known.values()):
            if trial.state == TrialState.RUNNING:
                beat = trial.user_attrs.get("beat", {}).get("count", 0)
                before, seconds = self.silent.get(trial.number, (None, 0.0))
                silent[trial.number] = beat, (seconds + since if beat == before else 0.0)
        self.looked, self.silent = now, silent
        dead = [number for number, (_, seconds) in silent.items() if seconds > self.grace]
        for number in dead:
            self._tell(number, TrialState.FAIL)
        return len(dead)

    def _restore(self, known: dict[str, list[FrozenTrial]]) -> int:
        """Enqueues the cells that somebody gave up without putting them back; returns how many trials wait then."""
        waiting = 0
        for name, trials in known.items():
            if state_of(trials) == "waiting" and all(trial.state.is_finished() for trial in trials):
                self._enqueue(name, trials[0].user_attrs["settings"], attempt_of(trials))
                waiting += 1
            waiting += sum(trial.state == TrialState.WAITING for trial in trials)
        return waiting

    def _beat(self, cell: Cell) -> None:
        cell.beats += 1
        worker = f"{socket.gethostname()}:{os.getpid()}"
        beat = {"count": cell.beats, "worker": worker, "epoch": cell.epoch, "time": time.time()}
        try:
            cell.trial.set_user_attr("beat", beat)
        except UpdateFinishedTrialError:
            cell.lost = True
        except Exception:  # whatever is wrong with the storage, the training goes on, and so do the beats
            pass

    def _end(self, cell: Cell, state: TrialState, value: float | None, attribute: str, content: float | str) -> bool:
        with contextlib.suppress(UpdateFinishedTrialError):
            patiently(register, cell.trial)
            patiently(cell.trial.set_user_attr, attribute, content)
        cell.lost = not self._tell(cell.trial, state, value)
        cell.ended = True
        return not cell.lost

    def _tell(self, trial: Trial | int, state: TrialState, value: float | None = None) -> bool:
        """Finishes a trial, and returns whether that is how it has finished: somebody else may have come first."""
        while True:
            with contextlib.suppress(UpdateFinishedTrialError):  # it finished between Optuna's look and its change
                return patiently(self.study.tell, trial, value, state=state, skip_if_finished=True).state == state


def is_first(trial: Trial, known: dict[str, list[FrozenTrial]]) -> bool:
    """Whether a trial that was just taken is to be trained, by what is known since of all cells."""
    trials = known.get(trial.user_attrs.get("cell", ""), [])
    if not trials or state_of(trials) in ("done", "failed"):
        return False
    unfinished = [other.number for other in trials if not other.state.is_finished()]
    return trial.number == min(unfinished, default=None)  # none: this worker was stopped, and taken for dead


def state_of(trials: list[FrozenTrial]) -> State:
    """Where a cell stands, by all of its trials."""
    if any(trial.state == TrialState.COMPLETE for trial in trials):
        return "done"
    if failure_of(trials) is not None:
        return "failed"
    return "running" if any(trial.state == TrialState.RUNNING for trial in trials) else "waiting"


def attempt_of(trials: list[FrozenTrial]) -> int:
    """How often the cell was added: trials count as one attempt until one fails with a reason and it is added again."""
    return max(trial.user_attrs["attempt"] for trial in trials)


def failure_of(trials: list[FrozenTrial]) -> str | None:
    """Why the newest attempt at the cell failed, if it did."""
    newest = [trial for trial in trials if trial.user_attrs["attempt"] == attempt_of(trials)]
    failures = [trial.user_attrs.get("failed") for trial in newest if trial.state == TrialState.FAIL]
    return next((message for message in failures if message is not None), None)


def settings_of(trial: Trial | FrozenTrial) -> Settings:
    try:
        return Settings(**trial.user_attrs["settings"])
    except TypeError as error:
        name = trial.user_attrs["cell"]
        raise UserError(f"cell {name} was added by another version of this program ({error})") from None


def status_of(name: str, trials: list[FrozenTrial]) -> Status:
    state = state_of(trials)
    settings = settings_of(trials[0])
    if state == "waiting":
        return Status(name, settings, state)
    if state == "failed":
        return Status(name, settings, state, message=failure_of(trials))
    wanted = TrialState.COMPLETE if state == "done" else TrialState.RUNNING
    trial = next(trial for trial in trials if trial.state == wanted)
    beat = trial.user_attrs.get("beat", {"worker": None, "epoch": None})
    return Status(
        name,
        settings,
        state,
        worker=beat["worker"],
        epoch=beat["epoch"],
        age=max(0.0, time.time() - beat["time"]) if "time" in beat else None,
        train_reconstruction=trial.value,
        test_reconstruction=trial.user_attrs.get("test_reconstruction") if state == "done" else None,
    )


def register(trial: Trial) -> None:
    """Makes parameters of what was enqueued, for Optuna's plots and dashboards."""
    settings = settings_of(trial)
    with contextlib.suppress(ValueError):  # the study began with a version that knew other divergences
        trial.suggest_categorical("divergence", get_args(Divergence))
    trial.suggest_float("weight", 0, max(100.0, settings.weight))
    trial.suggest_int("seed", 0, max(2**32, settings.seed))
    if settings.skewed:
        trial.suggest_float("alpha", 0, 1)
        trial.suggest_categorical("learn_alpha", (False, True))
