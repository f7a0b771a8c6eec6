"""Many orders in which workers take, look, finish, pause and die: each a schedule of its own, drawn from a seed."""

import random
import threading
from collections import Counter
from types import SimpleNamespace

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from vae.sweep.queue import Cell, Queue
from vae.training.folder import plain
from vae.training.settings import Settings

CELLS = [Settings(alpha=0.1), Settings(alpha=0.2), Settings(alpha=0.3), Settings(alpha=0.4)]
GRACE = 60  # turns


class Killed(BaseException):
    """As kill -9: nothing of ours catches it."""


class Worker(threading.Thread):
    """A thread that runs from one call of the storage to the next, when it is let."""

    def __init__(self, schedule: "Schedule"):
        super().__init__(daemon=True)
        self.schedule = schedule
        self.go = threading.Semaphore(0)
        self.stopped_until = 0
        self.killed = False
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.turn()
            self.schedule.work(self)
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.schedule.workers.remove(self)
        self.schedule.back.release()

    def turn(self) -> None:
        self.schedule.back.release()
        self.go.acquire()
        if self.killed:
            raise Killed


class Stepped:
    """A storage for one worker: before each call the others may have had their turns."""

    def __init__(self, storage: InMemoryStorage, worker: Worker):
        self.storage = storage
        self.worker = worker

    def __getattr__(self, name):
        def call(*arguments, **options):
            self.worker.turn()
            return getattr(self.storage, name)(*arguments, **options)

        return call


class Schedule:
    """Three workers at four cells in one order of events. Time is the number of turns that were had."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.kills = 6
        self.now = 0
        self.back = threading.Semaphore(0)
        self.workers: list[Worker] = []
        self.taken: list[tuple[str, int]] = []
        self.recorded: Counter[str] = Counter()
        self.storage = InMemoryStorage()
        optuna.create_study(study_name="sweep", storage=self.storage)
        self.queue = self.open(self.storage)
        for settings in CELLS:
            self.queue._enqueue(settings.name(), plain(settings), 1)

    def open(self, storage) -> Queue:
        queue = Queue("", "sweep", interval=GRACE / 4, grace=GRACE)
        queue.study = optuna.load_study(study_name="sweep", storage=storage)
        return queue

    def trials(self, name: str) -> dict[int, FrozenTrial]:
        return {trial.number: trial for trial in self.queue._cells()[name]}

    def run(self) -> None:
        for _ in range(3):
            self.start()
        while self.workers:
            self.now += 1
            assert self.now < 20_000, "it does not end"
            ready = [worker for worker in self.workers if worker.stopped_until <= self.now]
            if not ready:
                continue
            worker = self.random.choice(ready)
            chance = self.random.random()
            if chance < 0.01:
                worker.stopped_until = self.now + 3 * GRACE
                continue
            if chance < 0.03 and self.kills:
                self.kills -= 1
                worker.killed = True
            worker.go.release()
            self.back.acquire()
            if worker.error:
                raise worker.error
            if worker.killed:
                self.start()

    def start(self) -> None:
        worker = Worker(self)
        self.workers.append(worker)
        worker.start()
        self.back.acquire()

    def work(self, worker: Worker) -> None:
        queue = self.open(Stepped(self.storage, worker))
        while not queue.finished():
            cells = queue.take(self.random.randint(1, 3))
            for cell in cells:
                self.check(cell)
            for cell in cells:
                for _ in range(self.random.randint(0, 5)):
                    for other in cells:
                        if not (other.lost or other.ended):
                            queue._beat(other)
                if not cell.lost:
                    self.end(queue, cell)

    def check(self, cell: Cell) -> None:
        """What was taken nobody else has, and it is not done."""
        trials = self.trials(cell.name)
        if trials[cell.number].state == TrialState.RUNNING:  # else it was stopped and taken for dead meanwhile
            mates = [number for name, number in self.taken if name == cell.name]
            assert [number for number in mates if trials[number].state == TrialState.RUNNING] == []
            assert [trial for trial in trials.values() if trial.state == TrialState.COMPLETE] == []
        self.taken.append((cell.name, cell.number))

    def end(self, queue: Queue, cell: Cell) -> None:
        outcome = self.random.random()
        if outcome < 0.1:
            queue.fail(cell, "the loss is not finite")
        elif outcome < 0.2:
            queue.release(cell)
        else:
            self.recorded[cell.name] += queue.complete(cell, 1.0, 1.0)


def test_no_cell_is_lost_or_run_twice_in_any_order_of_events(monkeypatch):
    kills, takes = 0, 0
    for seed in range(200):
        schedule = Schedule(seed)
        clock = SimpleNamespace(monotonic=lambda schedule=schedule: schedule.now, time=lambda: 0.0)
        monkeypatch.setattr("vae.sweep.queue.time", clock)
        schedule.run()
        for cell in schedule.queue.status():
            ends = [trial.state for trial in schedule.trials(cell.name).values()]
            assert cell.state == ("done" if TrialState.COMPLETE in ends else "failed")
            assert ends.count(TrialState.COMPLETE) <= 1
            # A worker may be killed after its result was recorded and before it hears of it.
            assert schedule.recorded[cell.name] <= ends.count(TrialState.COMPLETE)
        kills += 6 - schedule.kills
        takes += len(schedule.taken)
    assert kills > 600
    assert takes > 1000  # of 800 cells: many a cell changed hands
