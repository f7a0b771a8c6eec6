"""A sweep from its command line to its runs, whatever becomes of its workers."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
import time
import uuid

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vae.sweep.worker
import vae.train
from vae.data import load
from vae.run import read_run
from vae.run_folder import RunFolder
from vae.sweep.__main__ import main
from vae.sweep.queue import Queue

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
    monkeypatch.setattr(vae.train, "draw_all", lambda *_: None)
    monkeypatch.setattr(vae.sweep.worker, "Queue", QuickQueue)
    monkeypatch.setattr(vae.sweep.worker, "POLL", 0.05)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the handler of SIGTERM stays pytest's own
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
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
    assert sorted(re.findall(r"\] (\S+): train", capsys.readouterr().out)) == NAMES
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
    with holding(out / NAMES[0]) as holder, workers(1, "--storage", storage, "--data", images) as (worker,):
        for _ in within(30):
            if [cell.state for cell in queue.status()].count("done") == 2:
                break
        assert not (out / NAMES[0] / "run.json").exists()
        holder.kill()
    assert worker.exitcode == 0
    assert {cell.state for cell in queue.status()} == {"done"}


@pytest.fixture(params=["journal", "postgresql"])
def storage(request, tmp_path):
    if request.param == "journal":
        return str(tmp_path / "journal")
    return request.getfixturevalue("postgresql").database(uuid.uuid4().hex)


def test_of_four_workers_two_are_killed_and_every_run_ends_with_the_bits_of_one_that_was_not(tmp_path, images, storage):
    out = tmp_path / "few"
    options = ["--batch-size", "16", "--epochs", "12", "--data", images]
    grid = ["--divergences", "jsg", "--alphas", ".1:.8:.1", "--baselines", ""]
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
    assert [cell.state for cell in status] == ["done"] * 8
    for cell in status:
        run = json.loads((out / cell.name / "run.json").read_text())
        assert len(run["resumed"]) == (cell.name in killed.values()), cell.name  # taken up again, and no run but those
        assert read_run(out / cell.name).values["test_reconstruction"] == cell.test_reconstruction
    for name in killed.values():
        alone = tmp_path / name
        assert vae.train.main([*options, "--alpha", name[-3:], "--out", str(alone)]) == 0
        assert results(out / name) == results(alone)
