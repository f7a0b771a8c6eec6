"""Any number of processes that torchrun starts train one model as a single process does, even if some die.

A start takes seconds, so one start of two processes computes most of what these tests examine.
"""

import json
import re
from collections import Counter

import pytest
import torch
from torch.distributed import HashStore

from tests.vae import forked
from tests.vae.training.test_interrupted import FEW_IMAGES, results
from vae.errors import UserError
from vae.objective import prepare_backend
from vae.train import settle
from vae.training.folder import RunFolder
from vae.training.processes import Processes, joined
from vae.training.settings import Settings

OPTIONS = ["--batch-size", "43", "--lr", "1e-3"]  # 130 images: steps of 22 + 21, the last one of 1 + 0

RUNS = {
    "jsg": ["--epochs", "3"],
    "jsg-dual": ["--divergence", "jsg-dual", "--epochs", "1"],
    "learnt": ["--learn-alpha", "--lr", "1e-2", "--epochs", "2"],
    "kl-qp": ["--divergence", "kl-qp", "--likelihood", "bernoulli", "--epochs", "1"],
    "kl-pq": ["--divergence", "kl-pq", "--epochs", "1", "--backend", "reference"],
    "triton": ["--epochs", "1", "--backend", "triton"],
    "mmd": ["--divergence", "mmd", "--weight", "500", "--epochs", "2"],
    "mmd-parameters": ["--divergence", "mmd", "--mmd-of", "posterior-parameters", "--weight", "500", "--epochs", "1"],
}

TWO_PROCESSES = (
    FEW_IMAGES
    + """
import contextlib, io, json
import vae.train, vae.training.folder, vae.training.measure, vae.training.processes, vae.training.steps
import vae.training.training
from vae.training.processes import ALONE, joined
from vae.training.settings import Settings

root, options, runs = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
# Four chunks of training images; one of test images, so that the second process has none.
vae.training.measure.CHUNK = 40
vae.training.processes.follow.__globals__["time"].sleep = lambda seconds: None  # here torchrun should end no process

said, taken = {}, []
take = vae.training.steps.Batches.take
vae.training.steps.Batches.take = lambda self, part: taken.append(self.order[part].tolist()) or take(self, part)

def train(name, processes, *arguments):
    vae.train.joined = lambda: contextlib.nullcontext(processes)
    taken.clear()
    with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            kept = [word for pair in zip(options[::2], options[1::2]) if pair[0] not in arguments for word in pair]
            status = vae.train.main([*kept, *arguments])
        except SystemExit as stop:
            status = stop.code
    said[name] = status, output.getvalue(), error.getvalue(), list(taken)

def gradients(processes, divergence, learn_alpha, size):
    # And the mean terms, of a batch of that size, by these processes.
    settings = Settings(divergence=divergence, weight=3.0, learn_alpha=learn_alpha)
    model, optimizer, objective = vae.training.training.build(settings, torch.device("cpu"))
    batches = vae.training.steps.Batches(few.train_images[:size], size, model.latent, settings.seed)
    batches.shuffle(1)
    optimizer.step = lambda: None
    if processes.count == 1:
        terms = vae.training.steps.train_step(model, optimizer, objective, batches[0])
    else:
        shared = vae.training.steps.Shared(model, optimizer, objective, batches, processes)
        terms = processes.sum(shared.take_step(0)) / processes.count
    return [terms, *(parameter.grad.clone() for parameter in (*model.parameters(), *objective.parameters()))]

with joined() as processes:
    together = dataclasses.replace(processes, memory=None)
    if processes.first:
        for name, arguments in runs.items():
            train(name, ALONE, "--out", str(root / "alone" / name), *arguments)
        train("begun by one", ALONE, "--out", str(root / "changing"), "--epochs", "1")
    else:
        def fail(*_):
            raise AssertionError("only the first process may write")
        vae.training.folder.write = vae.training.folder.RunFolder.__init__ = vae.training.training.draw_all = fail
    vae.training.training.load = lambda name, folder: vae.data.load(name, folder) if folder else few

    for name, arguments in runs.items():
        train(f"{name} by two", together, "--out", str(root / "together" / name), *arguments)
    train("resumed by two", together, "--out", str(root / "changing"), "--epochs", "2", "--resume")

    jsg = root / "together" / "jsg"
    if processes.first:
        train("resumed by one", ALONE, "--out", str(root / "changing"), "--epochs", "3", "--resume")
        (root / "damaged").mkdir()
        (root / "damaged" / "run.json").write_bytes((jsg / "run.json").read_bytes())
        (root / "damaged" / "checkpoint.pt").write_bytes((jsg / "checkpoint.pt").read_bytes()[:-100])
    train("a run", together, "--out", str(jsg))
    train("other settings", together, "--out", str(jsg), "--resume", "--seed", "5")
    train("damaged", together, "--out", str(root / "damaged"), "--epochs", "3", "--resume")
    train("no folder", together)
    train("no data", together, "--out", str(root / "nothing"), "--data", str(root / "nowhere"))
    train("breaks", together, "--out", str(root / "breaks"), "--lr", "1e38", "--batch-size", "130")
    if not processes.first:
        def take_nan(self, part):
            batch = take(self, part)
            return batch._replace(noise=batch.noise * (torch.nan if part.start == 87 else 1))  # in the third step
        vae.training.steps.Batches.take = take_nan
    train("one breaks", together, "--out", str(root / "one breaks"))
    vae.training.steps.Batches.take = take

    compared = {}
    for divergence, learn_alpha, size in (("jsg", True, 7), ("jsg", True, 1), ("mmd", False, 7), ("mmd", False, 1)):
        compared[f"{divergence} of {size}"] = [
            gradients(them, divergence, learn_alpha, size) for them in (together, ALONE)
        ]
    for divergence in ("jsg", "mmd"):
        model, _, objective = vae.training.training.build(Settings(divergence=divergence), torch.device("cpu"))
        for split, images in few.splits.items():
            compared[f"{split} {divergence}"] = [
                vae.training.measure.mean_terms(model, objective, images, them) for them in (together, ALONE)
            ]
    torch.save((said, compared), root / f"{processes.rank}.pt")
"""
)

FIRST_IS_KILLED = (
    FEW_IMAGES
    + """
import signal, time
from vae.training.steps import Batches, Shared
attempt, rank = (int(os.environ[name]) for name in ("TORCHELASTIC_RESTART_COUNT", "RANK"))
shuffle, take_step, epochs = Batches.shuffle, Shared.take_step, []
time.sleep(attempt * rank)  # the first, now alone, finds where the other was before

def take_step_or_die(self, step):
    if (attempt, rank, epochs[-1], step) == (0, 0, 2, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(self, step)

Batches.shuffle = lambda self, epoch: epochs.append(epoch) or shuffle(self, epoch)
Shared.take_step = take_step_or_die
vae.training.processes.leave(vae.train.main(sys.argv[1:]))
"""
)

SLOW_TO_SPEAK = """
import os, runpy, time
import vae.errors
vae.errors.UserError.__str__ = lambda error: time.sleep(1) or error.args[0]
try:
    runpy.run_module("vae.train", run_name="__main__")
except SystemExit as stop:
    os._exit(stop.code)
"""


TORCHRUN = """
import os, signal, sys
from torch.distributed import run
signal.alarm(300)  # torchrun then ends its processes, too
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
run.main(["--nproc-per-node", "2", *sys.argv[1:]])
"""


def torchrun(*arguments):
    """Two processes, connected over the loopback interface."""
    return forked.run(TORCHRUN, *arguments)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder of runs, and what each of two processes printed and computed there."""
    root = tmp_path_factory.mktemp("two")
    (root / "script.py").write_text(TWO_PROCESSES)
    ended = torchrun(root / "script.py", root, json.dumps(OPTIONS), json.dumps(RUNS))
    assert ended.returncode == 0, ended.stderr
    return root, *(torch.load(root / f"{rank}.pt") for rank in (0, 1))


def check_curves(folder, expected):
    for row, of_one in zip(results(folder)[0], results(expected)[0], strict=True):
        assert row.pop("split") == of_one.pop("split")
        # Float32 sums in another order, and convolutions of other batches, differ by 1e-7. Adam divides small gradients
        # by their size, so that a few steps make it 8e-4 at most on a processor with AMX (4e-6 on one without), and
        # each epoch five times that. The gradients themselves are compared below.
        assert row == pytest.approx(of_one, rel=2e-3 * 5 ** (row["epoch"] - 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_the_curve_of_one(two, name):
    root, (said, _), (said_by_second, _) = two
    assert [said[name][:3:2], said[f"{name} by two"][:3:2]] == [(0, ""), (0, "")]
    assert said_by_second[f"{name} by two"][:3:2] == (0, "")
    check_curves(root / "together" / name, root / "alone" / name)


@pytest.mark.slow
def test_the_gradient_and_the_terms_are_those_of_the_mean_over_the_whole_batch(two):
    for _, compared in two[1:]:
        for name in ("jsg of 7", "jsg of 1", "mmd of 7", "mmd of 1"):
            for shared, whole in zip(*compared[name], strict=True):
                # Float32 sums of hundreds of terms in another order.
                assert (shared - whole).abs().max() <= 1e-5 * whole.abs().max(), name


@pytest.mark.slow
def test_evaluation_takes_each_image_once_and_draws_the_same_noise(two):
    for _, compared in two[1:]:
        for name in ("train jsg", "test jsg", "train mmd", "test mmd"):
            # The chunks' sums, 1e-16 each, are added in another order.
            torch.testing.assert_close(*compared[name], rtol=1e-14, atol=0)


@pytest.mark.slow
def test_a_run_that_continues_with_more_or_fewer_processes_has_the_same_curve(two):
    root, (said, _), _ = two
    assert [said[name][0] for name in ("begun by one", "resumed by two", "resumed by one")] == [0, 0, 0]
    check_curves(root / "changing", root / "alone" / "jsg")
    run = json.loads((root / "changing" / "run.json").read_text())
    assert [facts["processes"] for facts in (run["environment"], *run["resumed"])] == [1, 2, 1]


@pytest.mark.slow
def test_each_epoch_takes_every_image_once_in_a_new_order(two):
    steps = list(zip(*(said["jsg by two"][3] for said, _ in two[1:]), strict=True))
    epochs = [steps[:4], steps[4:8], steps[8:]]
    assert [[len(part) for part in step] for step in epochs[0]] == [[22, 21], [22, 21], [22, 21], [1, 0]]
    orders = [[index for step in epoch for part in step for index in part] for epoch in epochs]
    assert all(sorted(order) == list(range(130)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.slow
def test_the_first_process_prints_the_number_of_processes(two):
    root, (said, _), _ = two
    backend = prepare_backend("auto", torch.device("cpu"))
    assert f"{backend} on cpu, 2 processes, each of 1 threads" in said["jsg by two"][1]
    assert f"{backend} on cpu, 1 threads" in said["jsg"][1]
    assert json.loads((root / "together" / "jsg" / "run.json").read_text())["environment"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error"),
    {
        "a run": "already holds a run",
        "other settings": "was started with --seed 1234 (now 5)",
        "damaged": "checkpoint.pt is damaged",
        "no folder": "torchrun needs --out",
        "no data": "nowhere",
        "one breaks": "the reconstruction is not finite at epoch 1, step 3 of 4",
        "breaks": "the reconstruction and divergence is not finite at epoch 1, step 1 of 1",
    }.items(),
)
def test_a_failure_ends_all_processes_and_only_the_first_reports_it(two, name, error):
    _, (said, _), (said_by_second, _) = two
    status, _, line, _ = said[name]
    assert status == 2
    assert error in line
    assert line.count("\n") == 1
    assert said_by_second[name][:3:2] == (2, "")


@pytest.mark.slow
def test_torchrun_restarts_after_a_kill_and_ends_with_the_same_bits(two, tmp_path):
    (tmp_path / "script.py").write_text(FIRST_IS_KILLED)
    ended = torchrun("--max-restarts", "1", tmp_path / "script.py", *OPTIONS, *RUNS["jsg"], "--out", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    said = Counter(line.split()[1] for line in ended.stdout.splitlines() if line.startswith("epoch "))
    assert said == {"1/3": 1, "2/3": 1, "3/3": 1}
    assert "Traceback" not in ended.stderr  # of the process that lost the other
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["resumed"]) == 1
    assert results(tmp_path / "run") == results(two[0] / "together" / "jsg")


@pytest.mark.slow
def test_torchrun_ends_with_the_line_of_the_first_process(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("precious")
    (tmp_path / "script.py").write_text(SLOW_TO_SPEAK)
    ended = torchrun(tmp_path / "script.py", "--out", run)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if line.startswith("vae.train:")]
    assert lines == [f"vae.train: {run} already holds a run; continue it with --resume, or choose another --out"]
    assert re.search(r"Root Cause.*rank +: 0 .*exitcode +: 2 ", ended.stderr, re.DOTALL)
    assert [(path.name, path.read_text()) for path in run.glob("[!.]*")] == [("metrics.jsonl", "precious")]


@pytest.mark.parametrize("begun", [False, True])
def test_restarted_processes_continue_only_the_run_that_they_began(tmp_path, begun):
    settings = Settings(out=tmp_path)
    processes = Processes(memory=HashStore())
    assert settle(settings, processes) == settings
    (tmp_path / "run.json").touch()
    if begun:
        processes.begin()
    assert settle(settings, processes).resume == begun


@pytest.mark.parametrize(("processes", "threads"), [(None, 2), (1, 2), (3, 1)])
def test_the_number_of_threads_is_restored_if_that_of_processes_is_the_same(tmp_path, processes, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    environment = {"threads": 2} | ({} if processes is None else {"processes": processes})
    try:
        with RunFolder(tmp_path) as folder:
            run = {"settings": {}, "data": {"sha256": {}}, "environment": environment, "resumed": []}
            folder.resume(run, Settings(), {"data": run["data"], "environment": {"processes": 1, "threads": 1}})
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    for name in ("RANK", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(UserError, match="2 processes need a GPU each, got 1; use --nproc-per-node 1"),
        joined(),
    ):
        pass
