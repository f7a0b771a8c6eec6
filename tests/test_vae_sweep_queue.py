"""The queue of a sweep: no cell is lost and none is run twice, whoever is killed and whatever is away meanwhile."""

import time
import uuid
from pathlib import Path

import pytest

from vae.errors import UserError
from vae.settings import Settings
from vae.sweep.queue import Cell, Queue

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
    with pytest.raises(UserError, match="there is no sweep other in this storage; its sweeps: sweep"):
        Queue(storage, "other").status()
    assert states(queue) == ["waiting"] * 3
