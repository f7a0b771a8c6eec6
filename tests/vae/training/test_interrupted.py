"""A run that is killed at any moment continues to the same bits, and each of its files is whole at all times."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.vae import forked
from vae.errors import UserError
from vae.objective import prepare_backend
from vae.train import main
from vae.training.folder import RunFolder

FEW_IMAGES = """
import dataclasses, os, sys
from pathlib import Path
import torch
import vae.data, vae.model, vae.train, vae.training.training
torch.set_num_threads(1)
vae.model.CHANNELS, vae.model.HIDDEN = 4, 32  # an eighth of the paper's
whole = vae.data.load("fashion-mini")
few = dataclasses.replace(whole, train_images=whole.train_images[:130], test_images=whole.test_images[:20])
vae.training.training.load = lambda name, folder: few
vae.training.training.draw_all = lambda *_: None  # drawing takes longer than all the rest
"""

# Ends the process, as kill -9 would, right before or right after the rename of the given number.
KILLED_AT_EACH_RENAME = (
    FEW_IMAGES
    + """
def run(folder, *options, stop_at=None):
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")
        count, replace = 0, Path.replace

        def replace_or_end(path, target):
            nonlocal count
            for moment in ("before", "after"):
                if (count, moment) == stop_at:
                    os._exit(9)
                if moment == "before":
                    replace(path, target)
            count += 1

        Path.replace = replace_or_end
        os._exit(vae.train.main(["--epochs", "2", "--learn-alpha", "--out", str(folder), *options]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

root = Path(sys.argv[1])
vae.train.main(["--epochs", "2", "--learn-alpha", "--out", str(root / "straight")])  # here, so that all is imported
for number in range(100):
    for moment in ("before", "after"):
        folder = root / f"{number}-{moment}"
        ended = run(folder, stop_at=(number, moment))
        if ended == 0:
            sys.exit()
        assert ended == 9
        assert run(folder, *(["--resume"] if (folder / "run.json").exists() else [])) == 0
"""
)


def results(folder):
    """Everything a run computes: metrics without their speeds, and the weights' bits."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["images_per_second"]
    return rows, (folder / "model.safetensors").read_bytes()


def test_a_run_killed_before_or_after_any_rename_ends_with_the_same_bits(tmp_path):
    ended = forked.run(KILLED_AT_EACH_RENAME, tmp_path)
    assert ended.returncode == 0, ended.stderr
    straight = results(tmp_path / "straight")
    stopped = [folder for folder in tmp_path.iterdir() if folder.name != "straight"]
    # run.json, metrics and checkpoint of two epochs, the model: six renames, and the run that none of them stopped.
    assert len(stopped) == 2 * 6 + 1
    for folder in stopped:
        assert results(folder) == straight, folder.name
        assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "straight").iterdir()}


FULL_DISK = (
    FEW_IMAGES
    + """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as on a full disk
def train(limit, *options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return vae.train.main(["--epochs", "1", "--out", sys.argv[1], *options])

assert train(100_000) == 2
assert sorted(os.listdir(sys.argv[1])) == [".lock", "run.json"]
sys.exit(train(100_000_000, "--resume"))
"""
)


def test_a_disk_that_is_full_ends_the_run_in_one_line_and_with_room_it_goes_on(tmp_path):
    run = forked.run(FULL_DISK, tmp_path / "run")
    assert run.returncode == 0, run.stderr
    assert run.stderr == f"vae.train: [Errno 27] File too large: '{tmp_path / 'run' / 'checkpoint.pt'}'\n"
    assert (tmp_path / "run" / "model.safetensors").exists()


# Trains by the command line that it reads, in a fork, for which all is imported already.
TRAINER = (
    FEW_IMAGES
    + """
import json
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        os._exit(vae.train.main(json.loads(line)))
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
)


@pytest.fixture
def trainer():
    """The output of a process that trains, a function that starts a run in it, and one that waits for its status."""
    pipes = [os.pipe(), os.pipe()]
    (commands, given), (printed, output) = ((open(read), open(write, "w")) for read, write in pipes)  # noqa: SIM115
    child = forked.start(f"import os\nos.close({given.fileno()})\n{TRAINER}", stdin=commands, stdout=output)
    commands.close()
    output.close()

    def start(*options) -> int:
        given.write(json.dumps([str(option) for option in options]) + "\n")
        given.flush()
        return int(printed.readline())

    def end() -> int:
        lines = iter(printed.readline, "")
        return next(int(line.split()[1]) for line in lines if line.startswith("ended"))

    with given, printed:
        yield printed, start, end
    forked.status_of(child)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_leaves_whole_files_and_ends_with_the_same_bits(tmp_path, trainer):
    printed, start, end = trainer
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    start("--epochs", "30", "--out", straight)
    assert end() == 0
    generator = random.Random(11)
    epochs = 0
    for _ in range(4):
        resume = ["--resume"] if (killed / "run.json").exists() else []
        number = start("--epochs", "30", "--out", killed, *resume)
        for _ in range(1 + generator.randrange(4)):  # the first line comes before training, then one an epoch
            printed.readline()
        time.sleep(generator.uniform(0, 0.05))  # an epoch takes half of that
        os.kill(number, signal.SIGKILL)
        assert end() == -signal.SIGKILL
        json.loads((killed / "run.json").read_text())
        if (killed / "metrics.jsonl").exists():
            [json.loads(line) for line in (killed / "metrics.jsonl").read_text().splitlines()]
        if (killed / "checkpoint.pt").exists():
            checkpoint = torch.load(killed / "checkpoint.pt", weights_only=True)
            assert checkpoint["epoch"] >= epochs  # nothing that was there is lost
            epochs = checkpoint["epoch"]
    start("--epochs", "30", "--out", killed, "--resume")
    assert end() == 0
    assert 0 < epochs < 30
    assert results(killed) == results(straight)
    assert load_file(killed / "model.safetensors").keys() == load_file(straight / "model.safetensors").keys()


def test_a_folder_in_use_is_refused_until_its_process_ends(tmp_path, capsys):
    with RunFolder(tmp_path):
        for options in ([], ["--resume"]):
            assert main(["--out", str(tmp_path), "--epochs", "1", *options]) == 2
            assert f"{tmp_path} is in use: another process works on this run" in capsys.readouterr().err
        with pytest.raises(UserError, match="in use"):
            RunFolder(tmp_path)
    RunFolder(tmp_path).__exit__()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_only_the_temporary_files_of_a_killed_process_are_removed(tmp_path):
    for name in (".jsgmath-0123456789abcdef.tmp", ".my.writing-notes.txt", "checkpoint.pt", ".hidden"):
        (tmp_path / name).touch()
    with RunFolder(tmp_path):
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {".my.writing-notes.txt", "checkpoint.pt", ".hidden", ".lock"}


TWO_THREADS = (
    FEW_IMAGES
    + """
torch.set_num_threads(2)
vae.train.main(["--out", sys.argv[1], "--epochs", "1"])
torch.set_num_threads(1)
vae.train.main(["--out", sys.argv[1], "--epochs", "2", "--resume"])
print(torch.get_num_threads())
"""
)


def test_a_run_continues_with_the_number_of_threads_it_was_started_with(tmp_path):
    if (os.cpu_count() or 1) < 2:
        pytest.fail("this test needs two processors")
    command = [sys.executable, "-c", TWO_THREADS, tmp_path]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # where others run, two threads that spin take minutes
    run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    backend = prepare_backend("auto", torch.device("cpu"))
    assert run.stdout.count(f"{backend} on cpu, 2 threads") == 2
    assert run.stdout.splitlines()[-1] == "2"
