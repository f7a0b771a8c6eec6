"""The queue of a sweep: no cell is lost and none is run twice, whoever is killed and whatever is away meanwhile."""

import fcntl
import gc
import itertools
import multiprocessing
import os
import random
import re
import signal
import socket
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import optuna
import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, PendingRollbackError, ProgrammingError, SQLAlchemyError

from vae.errors import UserError
from vae.sweep.queue import Cell, Queue
from vae.sweep.storage import JournalLock, patiently
from vae.training.settings import Settings

CELLS = [Settings(alpha=0.2), Settings(alpha=0.4, seed=7), Settings(divergence="kl-qp", weight=4.0)]
NAMES = [cell.name() for cell in CELLS]


@pytest.fixture(params=["journal", "postgresql"])
def storage(request, tmp_path) -> str:
    if request.param == "journal":
        return str(tmp_path / "journal")
    return request.getfixturevalue("postgresql").database(uuid.uuid4().hex)


def eager(storage: str) -> Queue:
    """Takes a worker that does not beat for dead in a fraction of a second."""
    return Queue(storage, "sweep", interval=0.02, grace=0.2)


def take_all(queue: Queue, count: int) -> list[Cell]:
    """As many cells as that, from the living and the dead."""
    cells, end = [], time.monotonic() + 20
    while len(cells) < count and time.monotonic() < end:
        cells += queue.take(count - len(cells))
        time.sleep(0.01)
    return cells


def states(queue: Queue) -> list[str]:
    return [cell.state for cell in queue.status()]


def test_a_cell_waits_then_runs_then_is_done_with_its_results(storage):
    queue = Queue(storage, "sweep")
    assert queue.add(CELLS, Path("runs")) == 3
    assert queue.out == Path("runs").absolute()
    assert Queue.names(storage) == ["sweep"]
    assert [(cell.name, cell.settings, cell.state) for cell in queue.status()] == [
        (name, cell, "waiting") for name, cell in zip(NAMES, CELLS, strict=True)
    ]
    cells = queue.take(2)
    assert [cell.settings for cell in cells] == CELLS[:2]
    assert states(queue) == ["running", "running", "waiting"]
    assert [cell.settings for cell in Queue(storage, "sweep").take(5)] == CELLS[2:]
    assert queue.take(1) == []
    assert not queue.finished()
    for number, cell in enumerate(cells):
        assert queue.complete(cell, 20.5 + number, 21.5)
    done = queue.status()[1]
    assert (done.state, done.train_reconstruction, done.test_reconstruction) == ("done", 21.5, 21.5)


def test_what_is_there_is_not_added_again_and_what_is_new_or_has_failed_is(storage):
    queue = Queue(storage, "sweep")
    assert queue.add(CELLS[:1], Path("runs")) == 1
    assert queue.add([*CELLS, *CELLS], Path("runs")) == 2
    good, bad, running = queue.take(3)
    queue.complete(good, 1.0, 1.0)
    queue.fail(bad, "the loss is not finite")
    assert states(queue) == ["done", "failed", "running"]
    assert queue.status()[1].message == "the loss is not finite"
    assert queue.take(3) == []
    assert queue.add(CELLS, Path("runs")) == 1
    assert states(queue) == ["done", "waiting", "running"]
    (again,) = queue.take(3)
    assert again.settings == bad.settings
    assert queue.complete(again, 1.0, 1.0)
    assert queue.complete(running, 1.0, 1.0)
    assert queue.finished()


def test_the_cells_of_a_worker_that_does_not_beat_go_to_others_and_its_results_are_refused(storage):
    dead, alive = eager(storage), eager(storage)
    dead.add(CELLS, Path("runs"))
    lost = dead.take(2)
    taken = take_all(alive, 3)
    assert sorted(cell.name for cell in taken) == sorted(NAMES)
    with dead.beating(lost):
        time.sleep(0.1)
    assert all(cell.lost for cell in lost)
    assert not dead.complete(lost[0], 1.0, 1.0)
    dead.fail(lost[1], "it was stopped")
    assert states(alive) == ["running"] * 3
    assert all(alive.complete(cell, 2.0, 2.0) for cell in taken)
    assert [cell.train_reconstruction for cell in alive.status()] == [2.0] * 3


def test_a_worker_that_beats_keeps_its_cells(storage):
    worker, other = eager(storage), eager(storage)
    worker.add(CELLS, Path("runs"))
    cells = worker.take(3)
    with worker.beating(cells):
        end = time.monotonic() + 1  # five times what a silent worker is given
        while time.monotonic() < end:
            assert other.take(3) == []
            time.sleep(0.01)
        cells[0].epoch = 5
        time.sleep(0.1)
        status = other.status()[0]
    assert (status.state, status.epoch) == ("running", 5)
    assert status.age is not None
    assert status.age < 0.5


def test_a_cell_that_is_released_goes_to_the_end_of_the_queue(storage):
    queue = Queue(storage, "sweep")
    queue.add(CELLS, Path("runs"))
    (cell,) = queue.take(1)
    queue.release(cell)
    assert [cell.name for cell in queue.take(3)] == [*NAMES[1:], NAMES[0]]


def test_a_sweep_keeps_its_folder_and_the_settings_of_its_cells(storage):
    queue = Queue(storage, "sweep")
    queue.add(CELLS, Path("runs"))
    with pytest.raises(UserError, match=r"has its runs in .*/runs, not in elsewhere"):
        queue.add(CELLS, Path("elsewhere"))
    with pytest.raises(UserError, match=rf"has the cell {NAMES[0]} with epochs 30 \(now 60\)"):
        queue.add([Settings(alpha=0.2, epochs=60)], Path("runs"))
    with pytest.raises(UserError, match="there is no sweep other in this storage, but sweep"):
        Queue(storage, "other").status()
    assert states(queue) == ["waiting"] * 3


def test_a_cell_taken_in_the_moment_its_worker_is_taken_for_dead_is_not_kept(tmp_path, monkeypatch):
    queue, other = eager(str(tmp_path / "journal")), eager(str(tmp_path / "journal"))
    queue.add(CELLS[:1], Path("runs"))
    ask = queue.study.ask

    def ask_and_stop():
        trial = ask()
        other.study.tell(trial.number, state=TrialState.FAIL)
        return trial

    monkeypatch.setattr(queue.study, "ask", ask_and_stop)
    assert queue.take(1) == []
    assert len(other.take(1)) == 1


def test_of_two_trials_of_a_cell_only_the_first_is_kept_whichever_is_taken_first(storage, monkeypatch):
    queue, other = Queue(storage, "sweep"), Queue(storage, "sweep")
    queue.add(CELLS[:1], Path("runs"))
    settings = queue.study.trials[0].user_attrs["settings"]
    for _ in range(2):  # as two that find the same cell lost
        queue._enqueue(NAMES[0], settings, 1)
    monkeypatch.setattr(other.study, "ask", lambda: optuna.trial.Trial(other.study, pop(other, number=1)))
    assert other.take(1) == []  # the second, while the first still waits
    (cell,) = queue.take(3)
    assert cell.number == 0
    queue.complete(cell, 1.0, 1.0)
    assert queue.take(1) == []
    assert queue.finished()


def pop(queue: Queue, number: int) -> int:
    """Takes the trial of that number, and returns its id."""
    trial = queue.study.get_trials()[number]
    assert queue.study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    return trial._trial_id


def test_a_trial_that_optuna_makes_where_none_waits_any_more_is_no_cell(storage, monkeypatch):
    queue, other = Queue(storage, "sweep"), Queue(storage, "sweep")
    queue.add(CELLS[:1], Path("runs"))
    ask, theirs = queue.study.ask, []

    def ask_too_late():
        theirs.extend(other.take(1))
        return ask()

    monkeypatch.setattr(queue.study, "ask", ask_too_late)
    assert queue.take(1) == []
    assert len(queue.study.trials) == 2
    assert other.complete(theirs[0], 1.0, 1.0)
    assert queue.finished()
    assert states(queue) == ["done"]


def test_silence_counts_only_while_somebody_looks(tmp_path, monkeypatch):
    """After a database was away, or a laptop's lid was closed, the workers have the time to beat again."""
    now = 0.0
    monkeypatch.setattr("vae.sweep.queue.time", SimpleNamespace(monotonic=lambda: now, time=lambda: 0.0))
    queue = Queue(str(tmp_path / "journal"), "sweep", interval=15, grace=60)
    queue.add(CELLS[:1], Path("runs"))
    (cell,) = queue.take(1)
    assert queue.take(1) == []
    now = 10_000.0
    assert queue.take(1) == []
    for _ in range(3):
        now += 15
        assert queue.take(1) == []
    queue._beat(cell)
    now += 1
    for _ in range(5):
        assert queue.take(1) == []
        now += 15
    assert len(queue.take(1)) == 1


def test_what_is_enqueued_are_parameters_for_optunas_plots_and_dashboards(storage):
    queue = Queue(storage, "sweep")
    queue.add(CELLS, Path("runs"))
    for cell in queue.take(3):
        queue.complete(cell, cell.settings.alpha, 1.0)
    study = optuna.load_study(study_name="sweep", storage=queue.study._storage)
    assert study.best_trial.params == {
        "divergence": "jsg",
        "weight": 1.0,
        "seed": 1234,
        "alpha": 0.2,
        "learn_alpha": False,
    }
    assert study.trials[2].params == {"divergence": "kl-qp", "weight": 4.0, "seed": 1234}


def test_a_storage_that_cannot_be_used_is_one_line(tmp_path, postgresql):
    text = tmp_path / "notes.txt"
    text.write_text("a line and no newline")
    (tmp_path / "empty").touch()
    for storage, line in (
        (
            str(tmp_path / "none"),
            f"there is no journal {tmp_path}/none; python -m vae.sweep --out FOLDER starts a sweep",
        ),
        (str(text), f"{text} is not a sweep's journal; name another --storage"),
        (str(tmp_path), f"cannot use the journal {tmp_path}: Is a directory"),
        (
            "sqlite:///x",
            "--storage sqlite:// is not safe with several workers; name a journal's path, without sqlite://",
        ),
        ("redis://host", "--storage must be postgresql://..., mysql://... or a journal's path, got redis://"),
        ("://", "--storage must be a URL as in postgresql://user@host/name, or a journal's path"),
        (
            "postgresql://me:secret@127.0.0.1:1/x",
            "cannot use postgresql+psycopg://me:***@127.0.0.1:1/x: connection failed",
        ),
        ("postgresql://127.0.0.1:1/x?user=me&password=secret", "/x?password=***&user=me: connection failed"),
        (postgresql.url + "not", 'database "postgresnot" does not exist'),
        ("mysql://host/x", "mysql://host/x needs a driver that is not installed (No module named 'MySQLdb')"),
    ):
        for use in (Queue.names, lambda storage: Queue(storage, "sweep").status()):
            with pytest.raises(UserError, match=re.escape(line)) as caught:
                use(storage)
            assert "\n" not in str(caught.value)
            assert "secret" not in str(caught.value)
    with pytest.raises(UserError, match="is not a sweep's journal"):
        Queue(str(text), "sweep").add(CELLS, Path("runs"))
    assert text.read_text() == "a line and no newline"
    assert not (tmp_path / "none").exists()
    assert Queue.names(str(tmp_path / "empty")) == []


def test_a_journal_whose_last_line_was_torn_goes_on_without_that_line(tmp_path):
    journal = tmp_path / "journal"
    Queue(str(journal), "sweep").add(CELLS, Path("runs"))
    whole = journal.read_bytes()
    for torn in (b'{"op_code":6,"worker', b"\0" * 5000, b"{"):
        journal.write_bytes(whole + torn)
        assert states(Queue(str(journal), "sweep")) == ["waiting"] * 3
        assert len(Queue(str(journal), "sweep").take(1)) == 1
        assert journal.read_bytes().startswith(whole + b'{"op_code":6,')
        assert states(Queue(str(journal), "sweep")) == ["running", "waiting", "waiting"]


def test_a_journal_with_a_damaged_line_is_refused_in_one_line(tmp_path):
    journal = tmp_path / "journal"
    Queue(str(journal), "sweep").add(CELLS, Path("runs"))
    journal.write_bytes(journal.read_bytes().replace(b'"user_attrs"', b'"user', 1))
    with pytest.raises(UserError, match=r"the journal .* is damaged: one of its lines is not JSON"):
        Queue.names(str(journal))


def test_nobody_waits_for_the_lock_of_a_process_that_was_killed(tmp_path):
    journal = tmp_path / "journal"
    Queue(str(journal), "sweep").add(CELLS, Path("runs"))
    holder = PROCESSES.Process(target=hold, args=(journal,))
    holder.start()
    wait_until((tmp_path / "held").exists)
    taker = threading.Thread(target=lambda: Queue(str(journal), "sweep").take(1), daemon=True)
    taker.start()
    taker.join(0.3)
    assert taker.is_alive()  # the lock holds
    kill(holder)
    taker.join(5)
    assert not taker.is_alive()


def hold(journal: Path) -> None:
    lock = JournalLock(journal)
    lock.acquire()
    (journal.parent / "held").touch()
    time.sleep(60)


def test_a_database_that_is_away_is_tried_again_and_told_of_once(monkeypatch, capsys):
    away = OperationalError("SELECT", {}, psycopg.OperationalError("the server closed the connection\nunexpectedly"))
    outcomes: list[Exception | int] = [away, wrapped(away), wrapped(PendingRollbackError(), away), 7]

    def call() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert patiently(call) == 7
    assert capsys.readouterr().err == "the database is away, trying again: the server closed the connection\n"
    monkeypatch.setattr("vae.sweep.storage.PATIENCE", 0.2)
    outcomes = [away] * 100
    with pytest.raises(
        UserError, match=r"the database has been away for .* minutes: the server closed the connection$"
    ):
        patiently(call)
    outcomes = [wrapped(ProgrammingError("INSERT", {}, psycopg.ProgrammingError("permission denied")))]
    with pytest.raises(UserError, match=r"the database refuses: permission denied$"):
        patiently(call)


def wrapped(*errors: Exception) -> StorageInternalError:
    """As Optuna raises it: the first while the last was handled."""
    try:
        try:
            raise errors[-1]
        except SQLAlchemyError as last:
            if len(errors) == 1:
                raise StorageInternalError("This typically happens due to invalid data") from last
            try:
                raise errors[0]
            except SQLAlchemyError as first:
                raise StorageInternalError("This typically happens due to invalid data") from first
    except StorageInternalError as error:
        return error


def test_a_beat_that_fails_is_followed_by_others(tmp_path, monkeypatch):
    queue = Queue(str(tmp_path / "journal"), "sweep", interval=0.01)
    queue.add(CELLS[:1], Path("runs"))
    (cell,) = queue.take(1)
    write, failures = (
        cell.trial.set_user_attr,
        [wrapped(OperationalError("", {}, Exception())), OSError(), ValueError()],
    )

    def write_at_last(key, value):
        if failures:
            raise failures.pop()
        write(key, value)

    monkeypatch.setattr(cell.trial, "set_user_attr", write_at_last)
    with queue.beating([cell]):
        wait_until(lambda: queue.status()[0].worker)
    assert not cell.lost


def test_a_database_that_was_restarted_while_nobody_used_it_is_as_before(postgresql, capsys):
    queue = Queue(postgresql.database("idle"), "sweep")
    queue.add(CELLS, Path("runs"))
    postgresql.stop()
    postgresql.start()
    assert states(queue) == ["waiting"] * 3
    assert capsys.readouterr().err == ""


def test_a_queue_that_is_no_longer_used_leaves_no_connection_open(postgresql):
    queue = Queue(postgresql.database("left"), "sweep")
    queue.add(CELLS, Path("runs"))
    del queue
    gc.collect()  # psycopg warns of a connection that is collected while open, and warnings are errors


def test_a_sweep_that_was_deleted_is_one_line(postgresql):
    storage = postgresql.database("deleted")
    queue = Queue(storage, "sweep")
    queue.add(CELLS, Path("runs"))
    (cell,) = queue.take(1)
    optuna.delete_study(study_name="sweep", storage=Queue(storage, "sweep").study._storage)
    with pytest.raises(UserError, match="the sweep is not in its storage any more"):
        queue.take(1)
    with pytest.raises(UserError, match="the sweep is not in its storage any more"):
        queue.complete(cell, 1.0, 1.0)


def test_a_cell_of_another_version_is_named(storage):
    queue = Queue(storage, "sweep")
    queue.add(CELLS[:1], Path("runs"))
    settings = queue.study.trials[0].user_attrs["settings"]
    queue._enqueue("later", settings | {"novelty": 1}, 1)
    with pytest.raises(UserError, match=r"cell later was added by another version of this program .*novelty"):
        queue.status()


# From here on, workers are processes, their training is a wait and a line in a file of the cell's for each epoch, and
# who is killed is killed with SIGKILL.

PROCESSES = multiprocessing.get_context("forkserver")  # none of them has to import everything again
PROCESSES.set_forkserver_preload([__name__, "alembic.command", "optuna.storages._rdb.models"])
EPOCHS = 5


def toil(storage: str, folder: Path, count: int, seconds: float, grace: float) -> None:
    """A worker. ``grace`` is long beside ``interval``, for a busy machine lets a process wait."""
    queue = Queue(storage, "sweep", interval=0.25, grace=grace)
    while not queue.finished():
        cells = queue.take(count)
        with queue.beating(cells):
            for cell in cells:
                train(folder, queue, cell, seconds)
        if not cells:
            time.sleep(0.25)


def train(folder: Path, queue: Queue, cell: Cell, seconds: float) -> None:
    with (folder / cell.name).open("a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as a run's folder does
        except BlockingIOError:
            with (folder / "met").open("ab", buffering=0) as met:
                met.write(f"{cell.name}\n".encode())
            return queue.release(cell)
        file.seek(0)
        for epoch in range(len(file.readlines()), EPOCHS):
            time.sleep(seconds)
            file.write(b"%d\n" % epoch)
            cell.epoch = epoch + 1
    recorded = queue.complete(cell, 1.0, 2.0)
    with (folder / "recorded").open("ab", buffering=0) as file:
        file.write(f"{cell.name} {recorded}\n".encode())


def start(storage: str, folder: Path, count: int = 1, seconds: float = 0.1, grace: float = 5.0):
    worker = PROCESSES.Process(target=toil, args=(storage, folder, count, seconds, grace), daemon=True)
    worker.start()
    return worker


def kill(worker) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()


def wait_until(true, seconds: float = 100.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def check_each_once(queue: Queue, folder: Path) -> None:
    """Every cell has one result, every epoch was trained once, and no two workers ever met at a cell."""
    assert set(states(queue)) == {"done"}
    complete = [trial.user_attrs["cell"] for trial in queue.study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(complete) == sorted(cell.name for cell in queue.status())
    for name in complete:
        assert (folder / name).read_text() == "".join(f"{epoch}\n" for epoch in range(EPOCHS))
    assert not (folder / "met").exists()


def grid(size: int) -> list[Settings]:
    return [Settings(alpha=number / size) for number in range(size)]


def test_the_cells_of_two_of_four_workers_that_are_killed_are_taken_up_again(storage, tmp_path):
    queue = Queue(storage, "sweep")
    queue.add(grid(10), tmp_path)
    workers = [start(storage, tmp_path, seconds=0.2) for _ in range(4)]
    victims = {f"{socket.gethostname()}:{worker.pid}": worker for worker in workers[:2]}
    orphans = []

    def strike() -> bool:
        """Kills each victim in the middle of a cell."""
        for cell in queue.status():
            if cell.state == "running" and cell.epoch and cell.worker in victims:
                kill(victims.pop(cell.worker))
                orphans.append(cell.name)
        return not victims

    wait_until(strike)
    for worker in workers[2:]:
        worker.join(300)
        assert worker.exitcode == 0
    check_each_once(queue, tmp_path)
    for name in orphans:
        assert sum(trial.user_attrs.get("cell") == name for trial in queue.study.trials) >= 2


@pytest.mark.slow
def test_of_200_cells_none_is_lost_or_run_twice_when_ten_workers_are_killed_at_random_moments(storage, tmp_path):
    queue = Queue(storage, "sweep")
    queue.add(grid(200), tmp_path)
    generator = random.Random(6)
    workers = [start(storage, tmp_path, 10, 0.001) for _ in range(4)]
    for _ in range(10):
        time.sleep(generator.uniform(0.05, 0.5))
        victim = generator.randrange(4)
        assert workers[victim].is_alive()
        kill(workers[victim])
        workers[victim] = start(storage, tmp_path, 10, 0.001)
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    assert len(queue.status()) == 200
    check_each_once(queue, tmp_path)


def test_a_worker_that_is_stopped_and_goes_on_does_no_harm(storage, tmp_path):
    queue = Queue(storage, "sweep")
    queue.add(grid(2), tmp_path)
    sleeper = start(storage, tmp_path, seconds=0.2, grace=1.0)
    wait_until(lambda: queue.status()[0].epoch)
    lock = None if "://" in storage else JournalLock(Path(storage))
    if lock:  # a process that is stopped while it holds the lock would stop all others
        lock.acquire()
    os.kill(sleeper.pid, signal.SIGSTOP)
    if lock:
        lock.release()
    try:
        other = start(storage, tmp_path, grace=1.0)
        wait_until((tmp_path / "met").exists)  # it was given the sleeper's cell, and gave it back
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    for worker in (sleeper, other):
        worker.join(300)
        assert worker.exitcode == 0
    (tmp_path / "met").unlink()
    check_each_once(queue, tmp_path)
    recorded = [line.split() for line in (tmp_path / "recorded").read_text().splitlines()]
    name = queue.status()[0].name
    # In either order: it may find out late, when the other has recorded its result.
    assert sorted(taken for cell, taken in recorded if cell == name) == ["False", "True"]


def test_workers_outlive_a_database_that_is_away_for_longer_than_their_grace(postgresql, tmp_path):
    storage = postgresql.database("restarted")
    queue = Queue(storage, "sweep")
    queue.add(grid(6), tmp_path)
    workers = [start(storage, tmp_path, 2, 0.15, grace=1.5) for _ in range(2)]
    wait_until(lambda: any(cell.epoch for cell in queue.status()))
    postgresql.stop()
    time.sleep(2.5)
    postgresql.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    check_each_once(queue, tmp_path)
    assert sum("cell" in trial.user_attrs for trial in queue.study.trials) == 6  # nobody was taken for dead


def test_many_may_start_one_sweep_in_a_new_storage_at_once(storage, tmp_path):
    starters = [PROCESSES.Process(target=start_sweep, args=(storage, tmp_path)) for _ in range(6)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
        assert starter.exitcode == 0
    queue = Queue(storage, "sweep")
    assert len(queue.status()) == 5
    assert len(queue.take(30)) == 5  # however many trials there are


def start_sweep(storage: str, folder: Path) -> None:
    Queue(storage, "sweep").add(grid(5), folder)


def test_a_worker_killed_before_any_of_its_writes_leaves_a_queue_that_others_finish(tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: 0.0, time=time.time)
    monkeypatch.setattr("vae.sweep.queue.time", clock)
    for number in range(100):
        journal = str(tmp_path / f"{number}")
        worker = PROCESSES.Process(target=end_at, args=(journal, number))
        worker.start()
        worker.join()
        queue = Queue(journal, "sweep", interval=15, grace=60)
        looks = itertools.count(step=15)
        clock.monotonic = looks.__next__
        for _ in range(2):  # the first time for what was not added, the second for what failed
            queue.add(CELLS, Path("runs"))
            while not queue.finished():
                for cell in queue.take(5):
                    assert queue.complete(cell, 1.0, 1.0)
        assert states(queue) == ["done"] * 3
        complete = [trial.user_attrs["cell"] for trial in queue.study.trials if trial.state == TrialState.COMPLETE]
        assert sorted(complete) == sorted(NAMES)
        if worker.exitcode == 0:
            break
        assert worker.exitcode == 9
    assert number > 30
    assert worker.exitcode == 0


def end_at(journal: str, number: int) -> None:
    """All that a worker does, up to the write of that number to the journal."""
    append = JournalFileBackend.append_logs
    writes = itertools.count()

    def append_or_end(backend, logs):
        if next(writes) == number:
            os._exit(9)
        append(backend, logs)

    JournalFileBackend.append_logs = append_or_end
    queue = Queue(journal, "sweep", interval=15, grace=60)
    queue.add(CELLS, Path("runs"))
    first, second, third = queue.take(3)
    queue._beat(first)
    queue.fail(first, "the loss is not finite")
    queue.release(second)
    queue.complete(third, 1.0, 1.0)
    queue.add(CELLS, Path("runs"))
    for cell in queue.take(2):
        queue.complete(cell, 1.0, 1.0)
