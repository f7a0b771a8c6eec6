"""Work on Dask's workers: each item has one result even if processes die, and no process outlives the program."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.vae.sweep import work
from tests.vae.sweep.work import wait_until
from vae.errors import UserError
from vae.sweep import engine

ROOT = Path(__file__).parents[3]


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def items(log, count):
    return [(log, number) for number in range(count)]


def results(function, groups, **options):
    """The result of each number, in the order in which they came."""
    found = [event for event in engine.run_groups(function, groups, **options) if event]
    assert len({number for (_, number), _ in found}) == len(found), "an item has two results"
    return {number: result for (_, number), result in found}


def test_each_of_200_items_has_one_result_though_workers_are_killed_at_random(log, capfd):
    chance = random.Random(7)
    kill_at = {*chance.sample(range(10, 190, 15), 5)}
    found = []
    for event in engine.run_groups(work.short, [[item] for item in items(log, 200)], processes=3):
        if event:
            found.append(event)
            alive = multiprocessing.active_children()
            if len(found) == 100:
                for process in alive:
                    process.kill()
            elif len(found) in kill_at:
                chance.choice(alive).kill()
    assert sorted((number, result) for (_, number), result in found) == [(number, number) for number in range(200)]
    assert len(work.processes(log)) >= 6  # the first workers, and as many again after all were killed
    assert capfd.readouterr() == ("", "")


def test_an_item_that_kills_three_workers_fails_and_the_others_are_tried_once(log):
    found = results(work.deadly, [[item] for item in items(log, 6)])
    error = found.pop(0)
    assert isinstance(error, UserError)
    assert str(error) == "it killed 3 workers"
    assert found == {number: number for number in range(1, 6)}
    assert work.tries(log) == {0: 3} | dict.fromkeys(range(1, 6), 1)


def test_a_group_that_raises_is_tried_one_by_one_and_one_item_fails(log, scheduler):
    found = results(work.failing, [items(log, 3)], scheduler=scheduler)
    assert repr(found.pop(1)) == "ValueError('one is not a number')"
    assert found == {0: 0, 2: 2}
    assert work.tries(log) == {0: 2, 1: 2, 2: 2}


def test_items_in_use_by_another_process_are_tried_again_last(log, scheduler):
    found = results(work.in_use, [items(log, 4)[1:3], *([item] for item in items(log, 5)[3:])], scheduler=scheduler)
    assert list(found) == [1, 2, 3, 4]
    assert [int(line.split()[0]) for line in work.lines(log)] == [1, 2, 3, 4, 2, 3, 4]


@pytest.mark.parametrize(
    ("number", "to_all", "ignored", "early"),
    [
        (signal.SIGTERM, False, False, False),
        (signal.SIGINT, True, False, False),  # as a terminal sends it
        (signal.SIGINT, True, False, True),
        (signal.SIGINT, False, True, False),  # as a script's `program &` inherits it
        (signal.SIGKILL, False, False, False),
    ],
)
def test_no_process_outlives_the_program(number, to_all, ignored, early, log):
    program = [sys.executable, "-W", "error", "-c", f"from tests.vae.sweep import work; work.main({log!r})"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started = subprocess.Popen(program, cwd=ROOT, start_new_session=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)
    with started:
        assert started.stdout.readline() == "begun\n"
        parent = psutil.Process(started.pid)
        wait_until(lambda: len(parent.children()) == 3 if early else len(work.processes(log)) == 2)
        children = parent.children(recursive=True)
        (os.killpg if to_all else os.kill)(started.pid, number)
        _, complaint = started.communicate(timeout=3000)
    psutil.wait_procs(children, timeout=300)
    assert [child for child in children if child.is_running()] == []
    if number == signal.SIGKILL:
        assert started.returncode == -signal.SIGKILL
    else:
        assert (started.returncode, complaint) == (130, "")


def test_two_programs_on_one_machine_do_not_interfere():
    with engine.start_cluster(0) as one, engine.start_cluster(0) as other:
        assert one.scheduler_address != other.scheduler_address


def test_workers_on_other_machines_notice_that_nothing_waits_for_their_work(log, scheduler):
    events = engine.run_groups(work.until_abandoned, [items(log, 1)], scheduler=scheduler)
    wait_until(lambda: next(events) is None and work.tries(log)[0])
    assert work.tries(log)[-1] == 0
    events.close()
    wait_until(lambda: work.tries(log)[-1])


def test_a_scheduler_that_goes_away_or_is_not_there_is_one_line(log, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE", 3.0)  # it waits so long for a scheduler to come back
    with engine.start_cluster(1) as cluster:
        events = engine.run_groups(work.endless, [items(log, 1)], scheduler=cluster.scheduler_address)
        assert next(events) is None
        cluster.sync(engine.end, cluster)
    with pytest.raises(UserError, match="the scheduler is gone; give the same command again to continue"):
        wait_until(lambda: next(events))
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    for address in (cluster.scheduler_address, "nonsense://host", "tcp://host:port"):
        with pytest.raises(UserError, match="cannot reach the scheduler; start `dask scheduler`"):
            next(engine.run_groups(work.note, [items(log, 1)], scheduler=address))
