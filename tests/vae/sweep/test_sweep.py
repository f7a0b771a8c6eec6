"""A sweep from its command line to its runs, even if its processes are killed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

import vae.sweep.__main__
import vae.sweep.train
import vae.train
import vae.training.training
from tests.vae.sweep.work import wait_until
from vae.data import load
from vae.objective import prepare_backend
from vae.runs.run import read_run
from vae.sweep.__main__ import main, unused_sweep_folder
from vae.sweep.status import lines
from vae.sweep.train import grouped
from vae.training.folder import RunFolder
from vae.training.settings import Settings

ROOT = Path(__file__).parents[3]
SWEEP = ["--divergences", "jsg", "--alphas", ".2,.4", "--baselines", "kl-qp", "--batch-size", "16"]
NAMES = ["own-jsg-0.2", "own-jsg-0.4", "own-kl-qp"]
OVERFLOW = "own-kl-pq-weight-3e+38"  # this large weight makes the loss overflow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A file with a few real images that any process can read."""
    path = tmp_path_factory.mktemp("images") / "few.npz"
    few = load("fashion-mini").train_images[:100, 0].numpy()
    np.savez(path, train_images=few[:64], test_images=few[64:])
    return str(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Skips the pictures, which take longer than all the rest, and restores what a worker changes in this process."""
    monkeypatch.setattr(vae.training.training, "draw_all", lambda *_: None)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vae.sweep", "tls://me:secret@host:8786"])
    vae.sweep.train.images.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sweep(images, scheduler, tmp_path, capfd):
    """Runs the command with some options, and returns its status and what it printed on stdout and stderr."""

    def sweep(*options, epochs="1"):
        usual = [*SWEEP, "--epochs", epochs, "--data", images, "--out", str(tmp_path / "few"), "--scheduler", scheduler]
        capfd.readouterr()
        kept = [word for pair in zip(usual[::2], usual[1::2], strict=True) if pair[0] not in options for word in pair]
        return main([*kept, *options]), *capfd.readouterr()

    return sweep


def results(folder):
    """Everything a run computes: metrics without their speeds, and the weights' bits."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["images_per_second"]
    return rows, (folder / "model.safetensors").read_bytes()


def train_alone(name, images, epochs, out):
    objective = ["--divergence", "kl-qp"] if name == "own-kl-qp" else ["--alpha", name[-3:]]
    command = [*objective, "--epochs", epochs, "--batch-size", "16", "--data", images, "--out", str(out)]
    assert vae.train.main(command) == 0


def times(folder):
    """The time at which each run in a sweep's folder last saved an epoch."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/checkpoint.pt")}


def status(folder, capfd):
    capfd.readouterr()
    assert main(["status", str(folder)]) == 0
    return capfd.readouterr().out.splitlines()


# Whole sweeps


def test_a_sweep_leaves_the_runs_that_the_trainer_leaves_to_the_last_bit(sweep, tmp_path, images):
    code, output, complaint = sweep(epochs="2")
    out = tmp_path / "few"
    assert (code, complaint) == (0, "")
    first, *told, last = output.splitlines()
    assert first == f"{out}: 3 runs, 3 of them to train"
    assert last == f"done; next: python -m vae.sweep best {out}, python -m vae.figures all --runs {out}"
    for number, (name, line) in enumerate(zip(NAMES, told, strict=True), 1):
        train_alone(name, images, "2", tmp_path / name)
        assert results(out / name) == results(tmp_path / name)
        assert {path.name for path in (out / name).iterdir()} == {path.name for path in (tmp_path / name).iterdir()}
        train, test = (row["reconstruction"] for row in results(out / name)[0][-2:])
        assert line == f"[{number}/3] {name}: train {train:.3f}, test {test:.3f}"
        environment = json.loads((out / name / "run.json").read_text())["environment"]
        assert environment["command"][1:] == ["-m", "vae.sweep", "tls://***@host:8786"]
        assert environment["threads"] == 1


def test_a_sweep_that_is_killed_goes_on_with_the_same_command_and_ends_with_the_same_bits(sweep, tmp_path, images):
    out = tmp_path / "few"
    command = [sys.executable, "-W", "error", "-m", "vae.sweep", *SWEEP, "--epochs", "15", "--data", images]
    printed = tmp_path / "printed"
    with printed.open("w") as log:
        started = subprocess.Popen([*command, "--workers", "2", "--out", str(out)], cwd=ROOT, stdout=log, stderr=log)
    children = []
    try:
        wait_until(lambda: times(out) or started.poll() is not None)
        children = psutil.Process(started.pid).children()
        worker = next(child for child in children if "spawn_main" in "".join(child.cmdline()))
        worker.kill()  # its run is taken up by another
        before = times(out)
        wait_until(lambda: times(out) != before)
    finally:
        started.kill()
        started.wait()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert alive == []
    assert printed.read_text().startswith(f"{out}: 3 runs, 3 of them to train\n")
    assert "distributed" not in printed.read_text()
    assert ", 3 done" not in lines(out)[0], "it was killed too late to show anything"
    code, _, complaint = sweep(epochs="15")
    assert (code, complaint) == (0, "")
    resumed = [run for name in NAMES if (run := json.loads((out / name / "run.json").read_text()))["resumed"]]
    assert resumed
    for run in resumed:  # the others may have been begun by the second command
        first = run["environment"]["command"]
        assert first[1:] == [*command[1:], "--workers", "2", "--out", str(out)]  # not a worker's own
    for name in NAMES:
        train_alone(name, images, "15", tmp_path / name)
        assert results(out / name) == results(tmp_path / name)


def test_the_same_command_trains_what_is_missing_and_nothing_twice(sweep, tmp_path):
    out = tmp_path / "few"
    assert sweep()[0] == 0
    before = times(out)
    assert "6 runs, 3 of them to train" in sweep("--seeds", "2")[1]
    assert sorted(times(out)) == sorted(NAMES + [f"{name}-seed-1235" for name in NAMES])
    assert before.items() <= times(out).items()
    shutil.rmtree(out / NAMES[1])
    (out / NAMES[2] / "model.safetensors").unlink()  # as if it had been killed before it wrote that
    assert "6 runs, 2 of them to train" in sweep("--seeds", "2")[1]
    assert {name for name in times(out) if before.get(name) == times(out)[name]} == {NAMES[0], NAMES[2]}
    assert "6 runs, 0 of them to train" in sweep("--seeds", "2")[1]


def test_runs_go_on_for_more_epochs_but_not_with_other_settings(sweep, tmp_path):
    assert sweep()[0] == 0
    assert "3 runs, 3 of them to train" in sweep(epochs="2")[1]
    assert [read_run(tmp_path / "few" / name).epochs for name in NAMES] == [2, 2, 2]
    before = times(tmp_path / "few")
    for options, said in ([["--lr", "1e-3"], "lr 0.0001 (now 0.001)"], [["--epochs", "1"], "epochs 2 (now 1)"]):
        code, _, complaint = sweep(*options, epochs="2")
        assert (code, complaint) == (
            2, f"vae.sweep: {tmp_path / 'few'} has {NAMES[0]} with {said}; name another --out\n"
        )  # fmt: skip
    (tmp_path / "few" / "sweep.json").unlink()  # the runs themselves refuse, too
    code, _, complaint = sweep("--lr", "1e-3", epochs="2")
    assert code == 1
    assert "3 of 3 runs failed" in complaint
    assert "was started with --lr 0.0001 (now 0.001)" in complaint
    assert times(tmp_path / "few") == before


def test_a_run_that_fails_does_so_alone_and_is_tried_again_by_the_same_command(sweep, tmp_path, capfd, monkeypatch):
    out = tmp_path / "few"
    for _ in range(2):
        code, output, complaint = sweep("--baselines", "kl-pq:3e38,kl-qp")
        assert code == 1
        assert complaint.startswith(
            "vae.sweep: 1 of 4 runs failed, the first because the loss is not finite at epoch 1"
        )
        assert complaint.endswith("; the same command tries them again\n")
        assert f"{OVERFLOW} failed: the loss is not finite at epoch 1, step 1 of 4" in output
        assert all(read_run(out / name).finished for name in NAMES)
        first, second = status(out, capfd)
        assert first == f"{out}: 4 runs, 3 done, 0 begun, 0 waiting, 1 failed"
        assert second.startswith(f"  failed   {OVERFLOW}: the loss is not finite")
    assert sweep()[0] == 0  # the failure of a run that this command does not name is not its own


def test_any_exception_marks_its_run_as_failed(sweep, tmp_path, monkeypatch):
    def begin(cell, *_):
        if cell.alpha == 0.4:
            raise RuntimeError("broken\nbeyond repair")
        return real(cell, *_)

    real = vae.sweep.train.begin
    with monkeypatch.context() as broken:
        broken.setattr(vae.sweep.train, "begin", begin)
        assert sweep()[0] == 1
    failed = tmp_path / "few" / NAMES[1] / "failed.txt"
    assert failed.read_text() == "RuntimeError: broken beyond repair\n"
    assert sorted(times(tmp_path / "few")) == [NAMES[0], NAMES[2]]
    assert sweep()[0] == 0
    assert not failed.exists()


def test_a_folder_that_cannot_be_resumed_fails_only_its_run(sweep, tmp_path):
    (tmp_path / "few" / NAMES[0]).mkdir(parents=True)
    (tmp_path / "few" / NAMES[0] / "run.json").write_text("{}")
    code, _, complaint = sweep()
    assert code == 1
    assert f"1 of 3 runs failed, the first because {tmp_path / 'few' / NAMES[0] / 'run.json'} is damaged" in complaint
    assert sorted(times(tmp_path / "few")) == NAMES[1:]


def test_a_run_that_another_process_works_on_is_trained_once_it_is_free(sweep, tmp_path, monkeypatch):
    real, held, pauses = vae.sweep.train.begin, [], []

    def begin(cell, *rest):
        if not held:  # here, because a lock belongs to the thread that took it
            cell.out.mkdir(parents=True)
            held.append(RunFolder(cell.out))
        return real(cell, *rest)

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            held[0].close()

    monkeypatch.setattr(vae.sweep.train, "begin", begin)
    monkeypatch.setattr(vae.sweep.train, "time", SimpleNamespace(sleep=pause))
    code, output, _ = sweep()
    assert code == 0
    assert [line.split()[1] for line in output.splitlines()[1:-1]] == [f"{name}:" for name in [*NAMES[1:], NAMES[0]]]
    assert pauses == [vae.sweep.train.PAUSE] * 2


def test_models_trained_as_one_program_are_runs_like_others(sweep, tmp_path):
    assert sweep("--together", "2", epochs="2")[0] == 0
    folders = [tmp_path / "few" / name for name in NAMES]
    said = [json.loads((folder / "run.json").read_text())["environment"]["backend"] for folder in folders]
    name = prepare_backend("auto", torch.device("cpu"))
    assert said == [f"{name}, 2 models as one program"] * 2 + [name]
    for folder in folders:
        assert read_run(folder).finished
        assert len(load_file(folder / "model.safetensors")) == 24


def test_the_reference_backend_trains_each_model_on_its_own(sweep, tmp_path):
    options = ["--baselines", "", "--backend", "reference", "--batch-size", "64", "--together", "2"]
    assert sweep(*options)[0] == 0
    runs = [json.loads(path.read_text()) for path in (tmp_path / "few").glob("*/run.json")]
    assert [run["environment"]["backend"] for run in runs] == ["reference", "reference"]


# What is said, and when nothing is done


def test_a_sweep_whose_images_are_missing_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--data", "nowhere.npz"]) == 2
    said = capsys.readouterr()
    assert (said.err.count("\n"), said.out) == (1, "")
    assert "nowhere.npz" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_sweep_shows_the_command_to_go_on_with(tmp_path, images, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(vae.sweep.__main__.engine, "run_groups", stopped)
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--data", images, "--scheduler", "tls://host:8786"]) == 130
    said = capsys.readouterr()
    assert said.out == "sweeps/own: 3 runs, 3 of them to train\n"
    assert said.err.startswith("vae.sweep: stopped; to go on: python -m vae.sweep --divergences jsg")
    assert said.err.endswith("--scheduler tls://host:8786 --out sweeps/own\n")


def test_a_sweep_reports_its_progress_and_runs_missing_from_its_folder(tmp_path, images, capsys, monkeypatch):
    def elsewhere(work, groups, *_):
        yield None
        for (cell,) in groups:
            yield cell, {"train_reconstruction": 1.0, "test_reconstruction": 2.0}

    monkeypatch.setattr(vae.sweep.__main__.engine, "run_groups", elsewhere)
    monkeypatch.setattr(vae.sweep.__main__, "QUIET", 0.0)
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, "--epochs", "5", "--data", images, "--out", "few"]) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[1:3] == ["[0/3] 0 of 15 epochs", "[1/3] own-jsg-0.2: train 1.000, test 2.000"]
    assert said.err == (
        "vae.sweep: own-jsg-0.2 was trained, but is not in few here; all machines must share that folder\n"
    )


def test_status_shows_what_has_begun_and_finds_all_sweeps(sweep, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert capfd.readouterr().err == (
        "vae.sweep status: sweeps holds no sweep (no sweep.json); python -m vae.sweep starts one\n"
    )
    assert sweep("--out", "sweeps/a")[0] == sweep("--out", "sweeps/b")[0] == 0
    (tmp_path / "sweeps" / "b" / NAMES[0] / "model.safetensors").unlink()
    shutil.rmtree(tmp_path / "sweeps" / "b" / NAMES[1])
    first, second, begun = status("sweeps", capfd)
    assert first == "sweeps/a: 3 runs, 3 done, 0 begun, 0 waiting, 0 failed"
    assert second == "sweeps/b: 3 runs, 1 done, 1 begun, 1 waiting, 0 failed"
    assert re.fullmatch(r"  begun    own-jsg-0\.2, 1 of 1 epochs; last written \d+ s ago", begun)
    for cell, said in (('{"colour": 1}', "TypeError: "), ('{"lr": []}', "UserError: --lr must be a value like 0.0001")):
        (tmp_path / "sweeps" / "a" / "sweep.json").write_text(f"[{cell}]")
        assert main(["status", "sweeps/a"]) == 2
        assert capfd.readouterr().err.startswith(f"vae.sweep status: sweeps/a/sweep.json is damaged ({said}")


def test_a_new_sweep_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("mnist-fashion", "mnist-fashion-2", "mnist-fashion-3"):
        assert unused_sweep_folder("mnist, fashion") == Path("sweeps") / expected
        (tmp_path / "sweeps" / expected).mkdir(parents=True)


# What is trained together


def test_cells_are_one_program_unless_more_than_a_sweep_varies_tells_them_apart():
    varied = [
        {},
        {"alpha": 0.7, "seed": 3},
        {"divergence": "kl-pq", "weight": 4.0},
        {"alpha": 0.6, "learn_alpha": True, "out": Path("x")},
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
    cells = [Settings(**options) for options in [*varied, *others]]
    assert grouped(cells, 32) == [cells[: len(varied)], *([cell] for cell in cells[len(varied) :])]
    assert grouped(cells[:5], 2) == [cells[:2], cells[2:4], cells[4:5]]
    interleaved = [cells[0], cells[5], cells[1], cells[2]]
    assert grouped(interleaved, 2) == [[cells[0], cells[1]], [cells[5]], [cells[2]]]
    assert grouped(interleaved, 1) == [[cell] for cell in interleaved]


def test_each_data_set_is_read_once(sweep, monkeypatch):
    read = []
    monkeypatch.setattr(vae.training.training, "load", lambda *which: read.append(which) or load(*which))
    assert sweep()[0] == 0
    assert len(read) == 1
