"""A sweep from its command line to its runs, whatever becomes of its workers."""

import contextlib
import errno
import functools
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vae.sweep.worker
import vae.train
import vae.training.training
from vae.data import load
from vae.files import replacing
from vae.runs.run import read_run
from vae.sweep.__main__ import main, unused_folder
from vae.sweep.queue import Cell, Queue, Status
from vae.sweep.status import lines
from vae.training.environment import describe_environment
from vae.training.folder import RunFolder
from vae.training.settings import Settings

SIGNAL = signal.signal
SWEEP = ["--divergences", "jsg", "--alphas", ".2,.4", "--baselines", "kl-qp", "--batch-size", "16"]
NAMES = ["own-jsg-0.2", "own-jsg-0.4", "own-kl-qp"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file with few real images, for any process to read."""
    path = tmp_path_factory.mktemp("images") / "few.npz"
    few = load("fashion-mini").train_images[:100, 0].numpy()
    np.savez(path, train_images=few[:64], test_images=few[64:])
    return str(path)


class QuickQueue(Queue):
    def __init__(self, storage, name):
        super().__init__(storage, name, interval=0.1, grace=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pictures, which take longer than all the rest; beats and their absence in fractions of a second."""
    monkeypatch.setattr(vae.training.training, "draw_all", lambda *_: None)
    monkeypatch.setattr(vae.sweep.worker, "Queue", QuickQueue)
    monkeypatch.setattr(vae.sweep.worker, "POLL", 0.05)
    handler = signal.getsignal(signal.SIGTERM)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    signal.signal(signal.SIGTERM, handler)
    torch.set_num_threads(threads)


def results(folder):
    """Everything a run computes: metrics without their speeds, and the weights' bits."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["images_per_second"]
    return rows, (folder / "model.safetensors").read_bytes()


def test_a_sweep_leaves_the_runs_that_the_trainer_leaves_to_the_last_bit(tmp_path, images, capsys):
    out = tmp_path / "few"
    options = [*SWEEP, "--epochs", "2", "--data", images]
    assert main([*options, "--workers", "1", "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert f"{out}: 3 runs, 3 of them queued now, in {out / 'queue.journal'}" in output
    assert re.findall(r"^\[(\d/3)\] (\S+): train ", output, re.MULTILINE) == [
        (f"{number}/3", name) for number, name in enumerate(NAMES, 1)
    ]
    for name, objective in zip(NAMES, (["--alpha", ".2"], ["--alpha", ".4"], ["--divergence", "kl-qp"]), strict=True):
        alone = tmp_path / name
        command = [*objective, "--epochs", "2", "--batch-size", "16", "--data", images, "--out", str(alone)]
        assert vae.train.main(command) == 0
        assert results(out / name) == results(alone)
        assert {path.name for path in (out / name).iterdir()} == {path.name for path in alone.iterdir()}
        row = [row for row in results(alone)[0] if row["split"] == "test"][-1]
        assert (
            f"{name}: train {results(alone)[0][-2]['reconstruction']:.3f}, test {row['reconstruction']:.3f}" in output
        )


def test_the_same_command_trains_what_is_missing_and_nothing_twice(tmp_path, images, capsys):
    out = tmp_path / "few"
    options = ["--epochs", "1", "--data", images, "--workers", "1", "--out", str(out)]
    assert main([*SWEEP, *options]) == 0
    before = {name: (out / name / "checkpoint.pt").stat().st_mtime_ns for name in NAMES}
    capsys.readouterr()
    assert main([*SWEEP, "--seeds", "2", *options]) == 0
    output = capsys.readouterr().out
    assert "6 runs, 3 of them queued now" in output
    assert [path.name for path in sorted(out.glob("own-*"))] == sorted(NAMES + [f"{name}-seed-1235" for name in NAMES])
    assert {name: (out / name / "checkpoint.pt").stat().st_mtime_ns for name in NAMES} == before
    assert main([*SWEEP, "--seeds", "2", *options]) == 0
    assert "0 of them queued now" in capsys.readouterr().out


ONE = ["--divergences", "", "--baselines", "kl-qp", "--batch-size", "64", "--workers", "1"]


def test_whoever_watches_a_sweep_sees_how_far_it_is(tmp_path, images, capsys, monkeypatch):
    monkeypatch.setattr(vae.sweep.worker, "QUIET", 0.0)
    assert main([*ONE, "--epochs", "3", "--data", images, "--out", str(tmp_path / "few")]) == 0
    begin, *epochs, end, _ = capsys.readouterr().out.splitlines()[1:]
    assert begin == "few: 1 runs, 0 done, 0 running, 1 waiting, 0 failed"
    assert epochs == [f"[0/1] own-kl-qp: {epoch} of 3 epochs" for epoch in range(3)]
    assert end.startswith("[1/1] own-kl-qp: train ")


def test_the_command_to_go_on_with_does_not_show_a_password(tmp_path, images, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Queue, "add", lambda *_: 1)
    monkeypatch.setattr(vae.sweep.worker, "run", interrupted)
    storage = "postgresql://me:sec/r@t@localhost/sweeps"
    out = tmp_path / "few"
    assert main([*ONE, "--data", images, "--out", str(out), "--storage", storage]) == 130
    said = capsys.readouterr()
    assert said.err.startswith("vae.sweep: stopped; to go on: python -m vae.sweep --divergences '' --baselines kl-qp")
    assert said.err.endswith("--storage 'postgresql://me:***@localhost/sweeps'\n")
    assert said.out.endswith("in postgresql://me:***@localhost/sweeps\n")


@pytest.mark.parametrize("place", ["", "nowhere/best.json", "few"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few").mkdir()
    with pytest.raises(OSError, match=f"'{re.escape(place or '.')}'$"), replacing(Path(place)) as path:
        path.write_text("{}")
    with pytest.raises(OSError, match=r"No space left on device: 'few/run.json'"), replacing(Path("few/run.json")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [path.name for path in tmp_path.rglob("*")] == ["few"]


@pytest.mark.parametrize("command", ["worker", "status"])
def test_a_queue_without_sweeps_is_told(tmp_path, capsys, command):
    journal = tmp_path / "journal"
    journal.touch()
    assert main([command, "--storage", str(journal)]) == 2
    said = f"vae.sweep {command}: there is no sweep in {journal}; python -m vae.sweep starts one\n"
    assert capsys.readouterr().err == said


def test_a_sweep_in_any_folder_has_its_name_and_misses_what_was_deleted(tmp_path, images, capsys, monkeypatch):
    folder = tmp_path / "größere Räume"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main([*ONE, "--epochs", "1", "--data", images, "--out", "."]) == 0
    assert "next: python -m vae.sweep best ., python" in capsys.readouterr().out
    assert [cell.state for cell in Queue("queue.journal", folder.name).status()] == ["done"]
    assert main([*ONE, "--epochs", "1", "--data", images, "--out", str(folder)]) == 0
    assert f"next: python -m vae.sweep best '{folder}', python" in capsys.readouterr().out
    shutil.rmtree("own-kl-qp")
    assert main([*ONE, "--epochs", "1", "--data", images, "--out", "."]) == 2
    assert capsys.readouterr().err == (
        "vae.sweep: own-kl-qp was trained, but its folder in . is gone; another --out trains it again\n"
    )


def test_several_processes_of_one_thread_share_the_work(tmp_path, images, capfd):
    out = tmp_path / "few"
    options = ["--epochs", "1", "--data", images, "--workers", "2", "--out", str(out)]
    assert main([*SWEEP, *options]) == 0
    assert len(re.findall(r"^\[\d/3\] own-\S+: train ", capfd.readouterr().out, re.MULTILINE)) == 3
    for name in NAMES:
        environment = json.loads((out / name / "run.json").read_text())["environment"]
        assert environment["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)
        assert "worker" in environment["command"]
        assert read_run(out / name).finished


def test_models_trained_as_one_program_are_runs_like_others(tmp_path, images, capsys):
    out, queue = tmp_path / "few", str(tmp_path / "journal")
    assert (
        main([*SWEEP, "--epochs", "2", "--data", images, "--workers", "0", "--storage", queue, "--out", str(out)]) == 0
    )
    assert "python -m vae.sweep worker --storage" in capsys.readouterr().out
    assert main(["worker", "--storage", queue, "--data", images, "--workers", "1", "--together", "2"]) == 0
    said = re.findall(r"^\[(\d)/3\] (\S+): train", capsys.readouterr().out, re.MULTILINE)
    assert said == [(str(number), name) for number, name in enumerate(NAMES, 1)]
    said = [json.loads((out / name / "run.json").read_text())["environment"]["backend"] for name in NAMES]
    assert said == ["eager, 2 models as one program"] * 2 + ["eager"]
    for name in NAMES:
        run = read_run(out / name)
        assert run.finished
        assert len(load_file(out / name / "model.safetensors")) == 24
    status = Queue(queue, "few").status()
    assert [(cell.name, cell.state) for cell in status] == [(name, "done") for name in NAMES]
    for cell in status:
        run = read_run(out / cell.name)
        assert cell.train_reconstruction == run.values["train_reconstruction"]
        assert cell.test_reconstruction == run.values["test_reconstruction"]


def test_a_run_that_cannot_end_well_fails_alone_and_is_tried_again_by_the_same_command(tmp_path, images, capsys):
    out = tmp_path / "few"
    # So large a weight makes the loss overflow.
    options = [
        *SWEEP,
        "--baselines",
        "kl-qp,kl-pq:3e38",
        "--epochs",
        "1",
        "--data",
        images,
        "--workers",
        "1",
        "--out",
        str(out),
    ]
    for _ in range(2):
        assert main(options) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert "1 of 4 runs failed, the first because the loss is not finite at epoch 1, step 1 of 4" in said.err
        assert "own-kl-pq-weight-3e+38 failed: the loss is not finite" in said.out
        for name in NAMES:
            assert read_run(out / name).finished
    assert main(["status", "--storage", str(out / "queue.journal")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "few: 4 runs, 3 done, 0 running, 0 waiting, 1 failed"
    assert said[1].startswith("  failed   own-kl-pq-weight-3e+38: the loss is not finite")


def test_status_shows_what_runs_and_who_trains_it(tmp_path, images, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "there is no sweeps/*/queue.journal; name the queue with --storage" in capsys.readouterr().err
    journal = "sweeps/own/queue.journal"
    assert (
        main([*SWEEP, "--epochs", "3", "--data", images, "--workers", "0", "--storage", journal, "--out", "sweeps/own"])
        == 0
    )
    queue = Queue(journal, "own")
    (cell,) = queue.take(1)
    cell.epoch = 2
    with queue.beating([cell]):
        time.sleep(0.2)
        capsys.readouterr()
        assert main(["status"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "own: 3 runs, 0 done, 1 running, 2 waiting, 0 failed"
    assert re.fullmatch(rf"  running  own-jsg-0.2, 2 of 3 epochs; \S+:{os.getpid()}, seen \d s ago", said[1])


def test_data_that_are_not_here_are_missed_before_anything_is_taken(tmp_path, images, capsys):
    queue = str(tmp_path / "journal")
    assert main([*SWEEP, "--data", images, "--workers", "0", "--storage", queue, "--out", str(tmp_path / "few")]) == 0
    assert main(["worker", "--storage", queue, "--workers", "1", "--data", str(tmp_path / "nowhere.npz")]) == 2
    assert "nowhere.npz" in capsys.readouterr().err
    assert {cell.state for cell in Queue(queue, "few").status()} == {"waiting"}


def test_a_sweep_whose_data_are_not_here_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--data", "nowhere.npz"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "nowhere.npz" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def workers(count, *options):
    """Processes of their own, none of which outlives the test."""
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=lambda: sys.exit(main(["worker", "--workers", "1", *options]))) for _ in range(count)
    ]
    for worker in started:
        worker.start()
    try:
        yield started
        for worker in started:
            worker.join(60)
    finally:
        for worker in started:
            worker.kill()
            worker.join()


@contextlib.contextmanager
def holding(folder):
    """Another process that works on the run in that folder."""
    context = multiprocessing.get_context("fork")
    held = context.Event()

    def hold():
        with RunFolder(folder):
            held.set()
            time.sleep(60)

    holder = context.Process(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        yield holder
    finally:
        holder.kill()
        holder.join()


def within(seconds):
    """Goes round a loop in which something is waited for, and does not wait for ever."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
    pytest.fail(f"waited {seconds} seconds in vain")


def test_a_run_that_another_process_has_is_put_back_until_that_has_ended(tmp_path, images):
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    queued = ["--epochs", "1", "--data", images, "--workers", "0", "--storage", storage, "--out", str(out)]
    assert main([*SWEEP, *queued]) == 0
    queue = Queue(storage, "few")
    (out / NAMES[0]).mkdir(parents=True)
    start = time.monotonic()
    with holding(out / NAMES[0]) as holder, workers(1, "--storage", storage, "--data", images) as (worker,):
        for _ in within(30):
            if [cell.state for cell in queue.status()].count("done") == 2:
                break
        assert not (out / NAMES[0] / "run.json").exists()
        time.sleep(0.5)
        tries = len(queue.study.trials) - 3
        assert 1 <= tries <= 2 + (time.monotonic() - start) / 0.1  # one a beat, not as many as the processor can
        holder.kill()
    assert worker.exitcode == 0
    assert {cell.state for cell in queue.status()} == {"done"}


LONG = [*SWEEP, "--epochs", "1000"]  # nobody waits for its end


def running(queue):
    """A run under way, once there is one."""
    for _ in within(30):
        for cell in queue.status():
            if cell.worker and cell.state == "running" and cell.epoch:
                return cell
    raise AssertionError


def test_a_worker_that_is_told_to_end_puts_its_run_back_at_once_even_where_ctrl_c_is_ignored(tmp_path, images, capfd):
    storage = str(tmp_path / "journal")
    queued = ["--data", images, "--workers", "0", "--storage", storage, "--out", str(tmp_path / "few")]
    assert main([*LONG, *queued]) == 0
    queue = Queue(storage, "few")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for what a script starts with &
    try:
        with workers(1, "--storage", storage, "--data", images) as (worker,):
            running(queue)
            worker.terminate()
    finally:
        signal.signal(signal.SIGINT, before)
    assert worker.exitcode == 130
    assert capfd.readouterr().err == "vae.sweep worker: stopped\n"
    assert [cell.state for cell in queue.status()] == ["waiting"] * 3


def test_what_a_worker_does_at_its_end_is_not_cut_off_by_being_told_so_twice():
    times = 0
    signal.signal(signal.SIGTERM, functools.partial(vae.sweep.worker.stop, KeyboardInterrupt()))
    for _ in range(2):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            times += 1
    assert times == 1


def test_a_worker_ends_when_the_process_that_started_it_is_killed_and_puts_its_run_back(tmp_path, images):
    storage = str(tmp_path / "journal")
    queued = ["--data", images, "--workers", "0", "--storage", storage, "--out", str(tmp_path / "few")]
    assert main([*LONG, *queued]) == 0
    queue = Queue(storage, "few")

    def start():
        os.environ[vae.sweep.worker.PARENT] = str(os.getpid())
        with workers(1, "--storage", storage, "--data", images):
            pass

    parent = multiprocessing.get_context("fork").Process(target=start)
    parent.start()
    try:
        pid = int(running(queue).worker.rpartition(":")[2])
    finally:
        parent.kill()
        parent.join()
    try:
        for _ in within(10):
            if {cell.state for cell in queue.status()} == {"waiting"}:
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_of_processes_that_end_too_early_only_what_they_left_undone_is_told(tmp_path, images, monkeypatch, capfd):
    storage, log, python = str(tmp_path / "journal"), tmp_path / "log", tmp_path / "python"
    queued = [*SWEEP, "--data", images, "--storage", storage, "--out", str(tmp_path / "few")]
    assert main([*queued, "--workers", "0"]) == 0
    queue = Queue(storage, "few")
    python.write_text(f"#!/bin/sh\necho started >> {log}\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert main([*queued, "--workers", "2"]) == 2
    assert "2 of 2 workers ended before the queue was empty" in capfd.readouterr().err
    assert log.read_text() == "started\n" * 2

    def supervise(options, count):
        for cell in queue.take(3):
            (tmp_path / "few" / cell.name).mkdir(parents=True)
            queue.complete(cell, 1.0, 1.0)
        return 1

    with monkeypatch.context() as others_do_it:
        others_do_it.setattr(vae.sweep.worker, "supervise", supervise)
        assert main([*queued, "--workers", "2"]) == 0
    assert main([*queued, "--workers", "2"]) == 0
    assert log.read_text() == "started\n" * 2  # where nothing is left, none is started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_with_workers_ends_them_before_it_ends(tmp_path, images, monkeypatch, capfd, number):
    storage, log, python = str(tmp_path / "journal"), tmp_path / "log", tmp_path / "python"
    queued = ["--data", images, "--workers", "0", "--storage", storage, "--out", str(tmp_path / "few")]
    assert main([*SWEEP, *queued]) == 0
    python.write_text(
        f'#!/bin/sh\necho "$$ ${vae.sweep.worker.PARENT} $(grep SigBlk /proc/$$/status)" >> {log}\nexec sleep 60\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with workers(1, "--storage", storage, "--data", images, "--workers", "2") as (parent,):
        for _ in within(10):
            if log.exists() and log.read_text().count("\n") == 2:
                break
        time.sleep(0.2)  # for the shell to become sleep
        os.kill(parent.pid, number)
    assert parent.exitcode == 130
    assert capfd.readouterr().err == "vae.sweep worker: stopped\n"
    for line in log.read_text().splitlines():
        assert line.split()[1] == str(parent.pid)
        assert int(line[-16:], 16) >> signal.SIGINT - 1 & 1  # a terminal's Ctrl-C is for the parent
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[0]), 0)


@pytest.fixture(params=["journal", "postgresql"])
def storage(request, tmp_path):
    if request.param == "journal":
        return str(tmp_path / "journal")
    return request.getfixturevalue("postgresql").database(uuid.uuid4().hex)


def test_of_four_workers_two_are_killed_and_every_run_ends_with_the_bits_of_one_that_was_not(tmp_path, images, storage):
    out = tmp_path / "few"
    options = ["--batch-size", "16", "--epochs", "12", "--data", images]
    grid = ["--divergences", "jsg", "--alphas", ".1:.6:.1", "--baselines", ""]
    assert main([*grid, *options, "--workers", "0", "--storage", storage, "--out", str(out)]) == 0
    queue = Queue(storage, "few")
    killed = {}  # by the process, what it was training
    with workers(4, "--storage", storage, "--data", images) as started:
        for _ in within(60):
            for cell in queue.status():
                pid = int(cell.worker.rpartition(":")[2]) if cell.state == "running" and cell.worker else None
                if pid is not None and 1 <= cell.epoch < 11 and pid not in killed and len(killed) < 2:
                    os.kill(pid, signal.SIGKILL)
                    killed[pid] = cell.name
            if len(killed) == 2:
                break
    assert sorted(worker.exitcode for worker in started) == [-9, -9, 0, 0]
    status = queue.status()
    assert [cell.state for cell in status] == ["done"] * 6
    for cell in status:
        run = json.loads((out / cell.name / "run.json").read_text())
        assert len(run["resumed"]) == (cell.name in killed.values()), cell.name  # taken up again, and no run but those
        assert read_run(out / cell.name).values["test_reconstruction"] == cell.test_reconstruction
    for name in killed.values():
        alone = tmp_path / name
        assert vae.train.main([*options, "--alpha", name[-3:], "--out", str(alone)]) == 0
        assert results(out / name) == results(alone)


PAIR = ["--divergences", "jsg", "--alphas", ".2,.4", "--baselines", "", "--batch-size", "16"]


@pytest.mark.parametrize("together", ["1", "2"])
def test_a_worker_that_is_told_to_end_puts_its_runs_back_at_once(tmp_path, images, monkeypatch, together):
    monkeypatch.setattr(signal, "signal", SIGNAL)  # of the process that is told
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    queued = ["--epochs", "1000", "--data", images, "--workers", "0", "--storage", storage, "--out", str(out)]
    assert main([*PAIR, *queued]) == 0
    queue = Queue(storage, "few")
    with workers(1, "--storage", storage, "--data", images, "--together", together) as (worker,):
        for _ in within(30):
            if sum((cell.epoch or 0) > 0 for cell in queue.status()) == int(together):
                break
        worker.terminate()
    assert worker.exitcode == 130
    assert [cell.state for cell in queue.status()] == ["waiting", "waiting"]


def test_a_worker_that_is_stopped_leaves_no_folder_locked(tmp_path, images, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vae.training.Training, "record", stop)
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    assert main([*PAIR, "--data", images, "--workers", "0", "--storage", storage, "--out", str(out)]) == 0
    assert main(["worker", "--storage", storage, "--data", images, "--workers", "1", "--together", "2"]) == 130
    assert [cell.state for cell in Queue(storage, "few").status()] == ["waiting", "waiting"]
    for name in NAMES[:2]:
        RunFolder(out / name).close()


@pytest.mark.parametrize("together", ["1", "2"])
def test_a_worker_that_was_taken_for_dead_leaves_the_run_to_others(tmp_path, images, monkeypatch, together):
    begin, begun = vae.sweep.worker.begin, []

    def lose_the_first(queue, cell, *rest):
        begun.append(cell.name)
        cell.lost = len(begun) == 1
        return begin(queue, cell, *rest)

    take, looks = QuickQueue.take, []
    monkeypatch.setattr(QuickQueue, "take", lambda queue, count: looks.append(time.monotonic()) or take(queue, count))
    monkeypatch.setattr(vae.sweep.worker, "begin", lose_the_first)
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    queued = ["--epochs", "3", "--data", images, "--workers", "0", "--storage", storage, "--out", str(out)]
    assert main([*PAIR, *queued]) == 0
    assert main(["worker", "--storage", storage, "--data", images, "--workers", "1", "--together", together]) == 0
    assert begun == [*NAMES[:2], NAMES[0]]
    assert len(looks) <= 5 + (looks[-1] - looks[0]) / vae.sweep.worker.POLL  # for a second another seems to have it
    assert [len(json.loads((out / name / "run.json").read_text())["resumed"]) for name in NAMES[:2]] == [1, 0]
    assert [cell.state for cell in Queue(storage, "few").status()] == ["done", "done"]


def test_a_run_that_has_ended_already_is_a_result_and_is_not_trained_again(tmp_path, images, capsys):
    out = tmp_path / "few"
    options = ["--epochs", "1", "--data", images, "--workers", "1", "--out", str(out)]
    assert main([*PAIR, *options]) == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")}
    assert main([*PAIR, *options, "--storage", str(tmp_path / "another")]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.pt")} == before
    first, second = (Queue(str(path), "few").status() for path in (out / "queue.journal", tmp_path / "another"))
    assert [cell.test_reconstruction for cell in first] == [cell.test_reconstruction for cell in second]


def test_a_worker_trains_the_sweep_that_it_is_told_and_else_all_of_them(tmp_path, images, capsys):
    storage, elsewhere = str(tmp_path / "journal"), tmp_path / "elsewhere"
    one = ["--divergences", "jsg", "--alphas", ".2", "--baselines", "", "--epochs", "1", "--data", images]
    for name in "abc":
        assert main([*one, "--workers", "0", "--storage", storage, "--out", str(tmp_path / name)]) == 0
    assert main([*one, "--workers", "1", "--storage", storage, "--out", str(tmp_path / "d")]) == 0
    assert [Queue(storage, name).finished() for name in "abcd"] == [False, False, False, True]
    command = ["worker", "--storage", storage, "--data", images, "--workers", "1"]
    assert main([*command, "--out", str(elsewhere)]) == 2
    assert "--out is the folder of one sweep, and there are 4 here; name it with --sweep" in capsys.readouterr().err
    assert main([*command, "--out", str(elsewhere), "--sweep", "b"]) == 0
    assert [Queue(storage, name).finished() for name in "abcd"] == [False, True, False, True]
    assert main(command) == 0
    found = [path for path in (tmp_path / "a", tmp_path / "b", tmp_path / "c", elsewhere) if (path / NAMES[0]).exists()]
    assert found == [tmp_path / "a", tmp_path / "c", elsewhere]


def test_the_reference_backend_trains_each_model_on_its_own(tmp_path, images):
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    queued = ["--epochs", "1", "--backend", "reference", "--workers", "0", "--storage", storage, "--out", str(out)]
    assert main([*PAIR, *queued, "--data", images]) == 0
    assert main(["worker", "--storage", storage, "--data", images, "--workers", "1", "--together", "2"]) == 0
    said = [json.loads((out / name / "run.json").read_text())["environment"]["backend"] for name in NAMES[:2]]
    assert said == ["reference", "reference"]


@pytest.mark.parametrize("option", ["--workers", "--together"])
def test_no_worker_and_no_model_are_too_few(tmp_path, capsys, option):
    assert main(["worker", "--storage", str(tmp_path / "journal"), option, "0"]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err


class Process:
    """What subprocess.Popen makes, without one."""

    def __init__(self, command, env, code):
        self.command, self.env, self.code = command, env, code
        self.told = self.waited = False

    def wait(self):
        if isinstance(self.code, BaseException) and not self.told:
            raise self.code
        self.waited = True
        return self.code

    def terminate(self):
        self.told, self.waited = True, False


@pytest.mark.parametrize(
    ("codes", "end"),
    [
        ([0, 0], contextlib.nullcontext()),
        ([0, 2], contextlib.nullcontext()),
        ([0, KeyboardInterrupt()], pytest.raises(KeyboardInterrupt)),
    ],
    ids=["all done", "one failed", "stopped"],
)
def test_workers_get_the_options_and_their_share_of_threads_and_end_together(monkeypatch, codes, end):
    started, ends = [], iter(codes)

    def start(command, env):
        started.append(Process(command, env, next(ends)))
        return started[-1]

    monkeypatch.setattr(vae.sweep.worker.subprocess, "Popen", start)
    monkeypatch.setattr(vae.sweep.worker, "processors", lambda: 6)
    given = {"storage": "s", "sweep": "n", "out": Path("o"), "data": Path("d"), "together": 3}
    with end:
        assert vae.sweep.worker.supervise(vae.sweep.worker.Worker(workers=2, **given), 2) == sum(
            code != 0 for code in codes
        )
    assert [(process.told, process.waited) for process in started] == [
        (isinstance(codes[1], KeyboardInterrupt), True)
    ] * 2
    for process in started:
        assert process.command[1:4] == ["-m", "vae.sweep", "worker"]
        expected = vae.sweep.worker.Worker(workers=1, **given)
        assert vae.sweep.worker.parse(process.command[4:]) == expected
        assert (process.env["OMP_NUM_THREADS"], process.env["OMP_WAIT_POLICY"]) == ("3", "PASSIVE")


def test_cells_are_one_program_unless_more_than_a_sweep_varies_tells_them_apart():
    varied = [
        {},
        {"alpha": 0.7, "seed": 3},
        {"divergence": "kl-pq", "weight": 4.0},
        {"alpha": 0.6, "learn_alpha": True},
        {"divergence": "mmd"},
    ]
    others = [
        {"dataset": "mnist"},
        {"epochs": 7},
        {"batch_size": 7},
        {"lr": 1.0},
        {"likelihood": "bernoulli"},
        {"divergence": "mmd", "mmd_of": "posterior-parameters"},
        {"backend": "eager"},
        {"deterministic": True},
    ]
    cells = [Cell("", Settings(**options), SimpleNamespace()) for options in [*varied, *others]]  # pyright: ignore
    groups = [list(group) for group in vae.sweep.worker.by_shared_settings(cells)]
    assert groups == [cells[: len(varied)], *([cell] for cell in cells[len(varied) :])]


def test_each_data_set_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(vae.sweep.worker, "prepare", lambda settings: read.append(settings) or (settings, "eager"))
    images = vae.sweep.worker.Images(Path("here"))
    varied = [{}, {"alpha": 0.7}, {"dataset": "mnist"}, {"backend": "reference"}, {"deterministic": True}, {"seed": 3}]
    for options in varied:
        prepared, _ = images.prepare(Settings(**options))
        assert (prepared.dataset, prepared.backend) == (Settings(**options).dataset, Settings(**options).backend)
        assert prepared.data == Path("here")
    assert len(read) == 4


def test_status_says_what_it_knows_of_a_run():
    cell = Settings(alpha=0.2, epochs=9)
    known = [
        Status("a", cell, "running"),
        Status("b", cell, "running", worker="host:1", epoch=3, age=4.4),
        Status("c", cell, "failed", message="why"),
    ]
    assert lines("few", known) == [
        "few: 3 runs, 0 done, 2 running, 0 waiting, 1 failed",
        "  running  a, 0 of 9 epochs; not seen yet",
        "  running  b, 3 of 9 epochs; host:1, seen 4 s ago",
        "  failed   c: why",
    ]


def test_a_command_tells_of_the_failures_among_its_own_runs_only(tmp_path, images, capsys):
    options = ["--epochs", "1", "--data", images, "--workers", "1", "--out", str(tmp_path / "few")]
    assert main([*PAIR, *options, "--baselines", "kl-pq:3e38"]) == 2
    assert main([*PAIR, *options]) == 0
    assert capsys.readouterr().err.count("failed") == 1


def test_a_new_sweep_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("mnist-fashion", "mnist-fashion-2", "mnist-fashion-3"):
        assert unused_folder("mnist, fashion") == Path("sweeps") / expected
        (tmp_path / "sweeps" / expected).mkdir(parents=True)


def test_no_password_is_printed_or_kept(tmp_path, images, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    url = "postgresql://me:secret@host/sweeps"
    monkeypatch.setattr("vae.sweep.__main__.Queue", lambda storage, name: SimpleNamespace(add=lambda *_: 3))
    monkeypatch.setattr(vae.sweep.worker, "run", stop)
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--data", images, "--storage", url]) == 130
    said = capsys.readouterr()
    assert "3 of them queued now, in postgresql://me:***@host/sweeps" in said.out
    # The command that goes on has the folder that was chosen.
    assert re.search(r"to go on: python -m vae\.sweep .*--storage 'postgresql://me:\*\*\*@.*--out sweeps/own", said.err)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vae.sweep", "worker", "--storage", url])
    environment = describe_environment(torch.device("cpu"), "eager")
    assert "secret" not in said.out + said.err + json.dumps(environment)
    assert environment["command"][1:] == [*sys.orig_argv[1:-1], "postgresql://me:***@host/sweeps"]


def test_a_worker_that_cannot_write_its_folder_ends_and_no_run_has_failed(tmp_path, images, capsys):
    out, storage = tmp_path / "few", str(tmp_path / "journal")
    assert main([*PAIR, "--data", images, "--workers", "0", "--storage", storage, "--out", str(out)]) == 0
    out.write_text("a file")
    assert main(["worker", "--storage", storage, "--data", images, "--workers", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [cell.state for cell in Queue(storage, "few").status()] == ["waiting", "waiting"]


def test_of_two_workers_with_the_same_run_one_tells_its_result(tmp_path, images, monkeypatch, capsys):
    complete = QuickQueue.complete
    monkeypatch.setattr(QuickQueue, "complete", lambda *result: not complete(*result))  # as if another had been first
    out = ["--out", str(tmp_path / "few")]
    assert main([*PAIR, "--epochs", "1", "--data", images, "--workers", "1", *out]) == 0
    assert ": train" not in capsys.readouterr().out


def test_a_folder_that_cannot_be_gone_on_with_fails_its_run_alone(tmp_path, images, capsys):
    out = tmp_path / "few"
    (out / NAMES[0]).mkdir(parents=True)
    (out / NAMES[0] / "run.json").write_text("{}")
    assert main([*PAIR, "--epochs", "1", "--data", images, "--workers", "1", "--out", str(out)]) == 2
    assert f"1 of 2 runs failed, the first because {out / NAMES[0] / 'run.json'} is damaged" in capsys.readouterr().err
    assert read_run(out / NAMES[1]).finished
