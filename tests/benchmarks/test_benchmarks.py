"""The benchmarks run, report what they measured and refuse wrong results, on a CPU and at very small sizes."""

import json
import multiprocessing.dummy
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import jsgmath.torch
from benchmarks import __main__ as command
from benchmarks import check, cpu, gpu, output, report, textbook, train
from benchmarks.cases import ALPHA, KINDS, Case
from benchmarks.clock import CpuClock
from tests.torch.against_numpy import Reference
from vae.data import load

ROOT = Path(jsgmath.__file__).parents[1]
CPU = torch.device("cpu")
TINY = gpu.Sizes(
    elements=400, ns=(64,), large=500, small=((2, 10), (3, 20)), full_elements=100, full_ns=(4, 8), copied=1024,
    alphas=2, checked=300,
)  # fmt: skip


@pytest.fixture
def uncompiled(monkeypatch):
    """Skips the compilation, which takes half a minute per function; everything after it stays the same."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def test_every_case_is_checked_measured_and_reported(tmp_path, capsys, uncompiled):
    assert gpu.run(CpuClock(CPU), TINY, tmp_path, {"processor": "here"}) == 0
    results = json.loads((tmp_path / "benchmarks.json").read_text())
    assert {r["reason"] for r in results["left_out"]} == {"not planned, to save time"}
    for implementation in ("jsgmath", "textbook", "torch.compile, default"):
        kinds = {r["kind"] for r in results["records"] if r["implementation"] == implementation}
        assert kinds == set(KINDS)
    assert len(results["targets"]) == len(list(report.targets(results)))
    # A CPU cannot measure launches, compiled kernels and peak memory.  All other targets have a number.
    unknown = [t.what for t in report.targets(results) if t.met is None]
    assert len(unknown) == 4
    assert all("launches" in what or "compiled" in what or "peak" in what for what in unknown)
    printed = capsys.readouterr().out
    assert all(target.what in printed for target in report.targets(results))
    assert {p.name for p in tmp_path.iterdir()} == {"benchmarks.json", "bandwidth.png", "time.png", "full.png"}


def scaled(function, *arguments, **keywords):
    """Calls ``function`` and changes its last number by 1e-5, which is at least 84 units in the last place."""

    def off(x):
        return torch.cat([x.flatten()[:-1], x.flatten()[-1:] * (1 + 1e-5)]).view_as(x)

    results = function(*arguments, **keywords)
    return (*results[:-1], off(results[-1])) if isinstance(results, tuple) else off(results)


@pytest.mark.parametrize(
    ("module", "name", "case"),
    [
        (check, "divergence", "diagonal to N(0, I), fp32"),
        (jsgmath.torch, "sample_and_jsg", "sample and JSG to N(0, I), fp32"),
        (jsgmath.torch, "jsg_full", "full covariance, fp32"),
    ],
)
def test_nothing_is_reported_if_one_number_is_wrong(module, name, case, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, name, partial(scaled, getattr(module, name)))
    assert gpu.run(CpuClock(CPU), TINY, tmp_path / "out", {}) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert case in line
    assert "value is off by" in line
    assert list(tmp_path.iterdir()) == []


def test_measurements_that_fail_or_run_out_of_time_are_named():
    suite = gpu.Suite(CpuClock(CPU), replace(TINY, compile_seconds=0))

    def fail():
        raise torch.OutOfMemoryError("too much was asked for\nand more lines")

    suite.attempt(Case("standard", 6, 64), "textbook", fail)
    suite.compiled()
    assert suite.records == []
    first, *others = suite.left_out
    assert first == dict(
        case="diagonal to N(0, I), fp32, 6 x 64",
        implementation="textbook",
        reason="OutOfMemoryError: too much was asked for",
    )
    late = [r["case"] for r in others if r["reason"] == "no time left"]
    assert {str(case) for case in (*suite.sample_cases(), *suite.full_cases(), *suite.small_cases())} <= set(late)


def test_the_cpu_command_measures_and_says_what_it_left_out(tmp_path):
    """The command runs in its own process, since it starts pytest; it finds no compiler and measures one import."""
    program = """
import sys
from dataclasses import replace
from functools import partial
from benchmarks import __main__ as command
command.import_time = partial(command.import_time, processes=1)
sys.exit(command.main(sys.argv[1:]))
"""
    # pytest-benchmark measures nothing in a worker of pytest-xdist, so this process must not look like one.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    file = tmp_path / "cpu.json"
    options = ["-k", "128-20 and (standard or compiled)", "--benchmark-max-time=0.001", "--benchmark-min-rounds=1"]
    run = subprocess.run(
        [sys.executable, "-c", program, "--json", file, *options],
        env=environment | {"CXX": "no-such-compiler", "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    results = json.loads(file.read_text())
    assert [r["implementation"] for r in results["records"]] == [*cpu.STANDARD, "jsgmath", "jsgmath"]
    assert all(r["q20"] <= r["median"] <= r["q80"] for r in results["records"])
    left_out = [line for line in run.stdout.splitlines() if line.startswith("Left out: test_compiled")]
    assert len(left_out) == len(results["left_out"]) == 2
    assert all("no C++ compiler 'no-such-compiler'" in line for line in left_out)
    for names in ("jsgmath, after import numpy", "jsgmath.torch, after import torch"):
        assert f"| import {names}" in run.stdout


def test_every_target_is_of_a_benchmark():
    """Otherwise a row that is renamed would lose its target. A slower run misses it."""
    sizes = {f"{rows} x {n}" for rows, n in cpu.ROWS_N}
    assert {size for _, size in command.DIAGONAL} <= sizes
    assert set(command.DENSE) == {f"{count} x {n}" for count, n in cpu.DENSE_SIZES}
    what = "JSG of dense pairs, NumPy, 1 x 200"
    times = {"jsgmath": 2.0, "textbook, eq. 9": 0.5, cpu.KL: 0.1}
    records = [dict(what=what, implementation=i, median=t, q20=t, q80=t) for i, t in times.items()]
    assert [line[-1] for line in command.lines(records)] == ["", ">= 0.167: yes", ""]
    records[1]["median"] = 0.3
    assert [line[-1] for line in command.lines(records)] == ["", ">= 0.167: NO", ""]


class Off(torch.autograd.Function):
    """The identity, except that the last number of its gradient is off by 1e-5."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, by_x):
        return scaled(torch.Tensor.clone, by_x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_gradient_is_found_where_the_value_is_right(kind, monkeypatch):
    module, name = {
        "sample": (jsgmath.torch, "sample_and_jsg"),
        "full": (jsgmath.torch, "jsg_full"),
    }.get(kind, (check, "divergence"))
    whole = getattr(module, name)

    def broken(*arguments, **keywords):
        if name == "divergence":
            tensors, *rest = arguments
            return whole([Off.apply(t) for t in tensors], *rest, **keywords)
        return whole(*(Off.apply(t) if isinstance(t, torch.Tensor) and t.ndim > 1 else t for t in arguments))

    monkeypatch.setattr(module, name, broken)
    with pytest.raises(check.WrongResult, match="gradient"):
        check.check(Case(kind, 6, 8), CPU, 300)


def test_a_missing_gpu_is_reported_in_one_line(tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "python -m benchmarks.gpu needs a CUDA or ROCm GPU and a torch built for it; "
        "python -m benchmarks measures on the CPU"
    ]
    assert list(tmp_path.iterdir()) == []


def tensors_of(kind, dtype="fp64"):
    """Pairs that differ by about 1, so that no formula loses more than a few digits."""
    return [t.detach()[::3].contiguous().requires_grad_() for t in Case(kind, 12, 5, dtype).inputs(CPU)]


@pytest.mark.parametrize("kind", ["standard", "diagonal"])
def test_the_others_compute_the_same_divergence_and_gradients(kind):
    """They agree to 1e-5 in float32 and 1e-12 in float64; a wrong weight or sign would change the first digit."""
    for function, dtype, tolerance in (
        (KINDS[kind].liger, "fp32", 1e-5),
        (KINDS[kind].textbook, "fp64", 1e-12),
    ):
        tensors = tensors_of(kind, dtype)
        value = function(*tensors)
        reference = Reference(tensors, ALPHA, False, "deasy")
        np.testing.assert_allclose(value.item(), reference.value.sum(), rtol=tolerance)
        for got, want in zip(torch.autograd.grad(value, tensors), reference.gradients, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_the_textbook_of_full_covariance_computes_eq_8_and_its_gradient():
    tensors = tensors_of("full")
    value = textbook.full(*tensors, ALPHA)
    point = [t.detach().numpy() for t in tensors]
    np.testing.assert_allclose(value.detach(), check.full_reference(*point), rtol=1e-12)
    gradients = torch.autograd.grad(value.sum(), tensors)
    rng = np.random.default_rng(2)
    for gradient, position in zip(gradients, range(4), strict=True):
        step = 1e-5 * rng.normal(size=gradient.shape)
        step = np.tril(step) if gradient.ndim == 3 else step
        ahead, behind = (
            check.full_reference(*point[:position], point[position] + sign * step, *point[position + 1 :])
            for sign in (1, -1)
        )
        terms = gradient.numpy() * step
        # The error of the quotient is a third derivative times the square of the step.
        axes = tuple(range(1, terms.ndim))
        np.testing.assert_allclose((ahead - behind) / 2, terms.sum(axes), atol=1e-8 * np.abs(terms).sum(axes).max())


def test_the_textbook_sample_is_the_usual_one():
    torch.manual_seed(1)
    mean, logvar = tensors_of("sample")
    z, value = textbook.sample(mean, logvar, ALPHA)
    torch.manual_seed(1)
    assert torch.equal(z, mean + (logvar / 2).exp() * torch.randn_like(mean))
    assert torch.equal(value, textbook.standard(mean, logvar, ALPHA))


def record(implementation, q20, median, q80, **more):
    same = dict(kind="standard", rows=10, n=64, dtype="fp32", what=report.STEP, timing="cold")
    return same | dict(implementation=implementation, q20=q20, median=median, q80=q80, floor_bytes=80) | more


def test_ratios_are_of_medians_and_span_the_quantiles_at_their_worst():
    records = report.Records(
        [
            record("torch", 1.0, 1.0, 1.0, kind="copy", floor_bytes=100),
            ours := record("jsgmath", 0.8, 1.0, 1.25),
            record("torch.compile, default", 2.0, 3.0, 4.0),
            record("torch.compile, reduce-overhead", 1.0, 2.0, 3.0),
        ]
    )
    assert records.bandwidth(ours) == pytest.approx((0.64, 0.8, 1.0))
    best = records.peer(ours, "torch.compile")
    assert best["implementation"] == "torch.compile, reduce-overhead"
    assert output.ratio(best, ours) == pytest.approx((0.8, 2.0, 3.75))
    assert report.against(records, ours, "torch.compile", 2).met is True
    assert report.against(records, ours, "torch.compile", 2.1).met is False
    assert report.against(records, ours, "textbook", 1).met is None


# torch's compiler uses functions that torch has deprecated.
COMPILES = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.slow
@COMPILES
def test_all_training_programs_have_the_same_loss_and_learn(monkeypatch):
    whole = load("fashion-mini")
    few = replace(whole, train_images=whole.train_images[:640], test_images=whole.test_images[:20])
    monkeypatch.setattr(train, "SWEEP", train.SWEEP[2:5])
    torch.manual_seed(3)
    losses = {name: torch.stack([next(way) for _ in range(40)]) for name, (_, way) in train.ways(few, "triton").items()}
    assert len(losses) == 8
    (together,) = (losses.pop(name) for name in list(losses) if "3 models" in name)
    # The second of them has alpha 0.3, so its first losses are those of the trainer, up to rounding.
    assert together[:5, 1].tolist() == pytest.approx(losses[train.OURS][:5].tolist(), rel=1e-4)
    for name, loss in losses.items():
        # The plain loops start from other weights, but all untrained models decode to images that are grey on average.
        assert loss[0].item() == pytest.approx(losses[train.OURS][0].item(), rel=0.3), name
        assert loss[-5:].mean() < loss[:5].mean(), name
    interpreted = next(loss for name, loss in losses.items() if "triton" in name)
    assert torch.equal(interpreted, losses[train.OURS])


def test_the_benchmark_of_training_writes_what_it_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "SWEEP", train.SWEEP[2:4])
    ways = train.ways  # compiling takes long, and the test above checks the compiled step
    monkeypatch.setattr(
        train, "ways", lambda *options: {k: v for k, v in ways(*options).items() if "compiled" not in k}
    )
    monkeypatch.setattr(train, "side_by_side", lambda count, seconds: 10.0 * count)
    monkeypatch.setattr(train, "processors", lambda: 3)
    assert train.main(["--steps", "3", "--json", str(tmp_path / "train.json")]) == 0
    records = json.loads((tmp_path / "train.json").read_text())["records"]
    printed = capsys.readouterr().out
    assert {r["threads"] for r in records} == {1, torch.get_num_threads()}
    assert [r["models"] for r in records[-2:]] == [1, 3]
    # Three processes take 10 steps per second each: together 30 steps of 64 images, each in a third of the time.
    (line,) = (line for line in printed.splitlines() if "3 x 1 thread" in line)
    assert [cell.strip() for cell in line.split("|")[3:6]] == [
        "1,920 (1,920 to 1,920)",
        "30.0",
        "0.333 (0.333 to 0.333)",
    ]
    for r in records:
        assert r["runs"] == (3 if r["models"] == 1 and "sweep" not in r["implementation"] else 1)
        assert 0 < r["q20"] <= r["median"] <= r["q80"]
        assert f"| {r['implementation']}" in printed
        assert f"{train.BATCH * r['models'] / r['median']:,.0f} (" in printed


def test_processes_that_train_side_by_side_are_counted_together(monkeypatch):
    def count(ready, seconds, taken):
        ready.wait(10)
        taken.put(5 * seconds)

    monkeypatch.setattr(train.multiprocessing, "get_context", lambda method: multiprocessing.dummy)  # threads
    monkeypatch.setattr(train, "count_steps", count)
    assert train.side_by_side(3, 0.5) == 7.5


@pytest.mark.slow
def test_a_process_of_its_own_takes_steps():
    assert train.side_by_side(1, 0.1) > 0


def test_the_steps_of_a_process_are_counted_without_those_that_warm_it_up(monkeypatch):
    few = replace(whole := load("fashion-mini"), train_images=whole.train_images[:64])
    monkeypatch.setattr(train, "load", lambda name: few)
    counted, taken = [], queue.Queue()
    ours = train.ours
    monkeypatch.setattr(train, "ours", lambda images: (counted.append(loss) or loss for loss in ours(images)))
    start = time.perf_counter()
    train.count_steps(threading.Barrier(1), 0.1, taken)
    rate = taken.get()
    assert len(counted) > train.WARM_UP
    # The last step starts within the tenth of a second, and all steps end before the call returns.
    steps = len(counted) - train.WARM_UP
    assert steps / (time.perf_counter() - start) < rate <= steps / 0.1


def test_nothing_is_measured_if_a_program_trains_another_model(monkeypatch):
    monkeypatch.setattr(train, "SWEEP", train.SWEEP[2:4])
    stack = train.stacked
    monkeypatch.setattr(train, "stacked", lambda dataset: (1.01 * losses for losses in stack(dataset)))
    with pytest.raises(SystemExit, match=r"benchmarks\.train: the first losses of stacked are .*, but of one model"):
        train.measure(1, torch.device("cpu"))
