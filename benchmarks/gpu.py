"""python -m benchmarks.gpu --out DIR        on one GPU, in less than eight minutes

Checks every kernel on the GPU against the NumPy reference. If all are right, measures them and the other
implementations, prints the tables, and writes DIR/benchmarks.json and three pictures.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import torch
from triton import knobs
from triton.runtime.jit import JITFunction

import jsgmath.torch
from benchmarks import pictures, report
from benchmarks.cases import ALPHA, DTYPES, KINDS, Case, forward, training
from benchmarks.check import WrongResult, check, check_variants
from benchmarks.clock import CudaClock, quantiles
from benchmarks.output import git_commit, machine, write_json

DEFAULT, TUNED, GRAPHED = "default", "max-autotune-no-cudagraphs", "reduce-overhead"


@dataclass
class Sizes:
    """The sizes of all cases; the tests use smaller ones."""

    elements: int = 2**26
    ns: tuple = (10, 20, 50, 64, 256, 4096)
    large: int = 2**28
    small: tuple = ((64, 10), (128, 20))
    full_elements: int = 2**24
    full_ns: tuple = (4, 8, 16, 32, 64)
    copied: int = 2**32  # bytes
    alphas: int = 22
    checked: int = 2**13  # numbers that are compared in each case
    # No torch.compile starts after this time: one may take a minute, and the command must end within 480 s.
    compile_seconds: float = 380.0


@dataclass
class Suite:
    """Runs the measurements and collects their results."""

    clock: object
    sizes: Sizes
    started: float = field(default_factory=time.monotonic)
    records: list = field(default_factory=list)
    left_out: list = field(default_factory=list)

    @property
    def device(self):
        return self.clock.device

    # The cases of `check` and of the measurements

    def diagonal_cases(self):
        """Every n in float32; the other types, and the largest number of elements, at n = 64."""
        for kind in ("standard", "diagonal"):
            yield from (self.case(kind, n) for n in self.sizes.ns)
            yield from (self.case(kind, 64, dtype) for dtype in DTYPES if dtype != "fp32")
            yield self.case(kind, 64, elements=self.sizes.large)

    def small_cases(self):
        return [Case("standard", rows, n) for rows, n in self.sizes.small]

    def sample_cases(self):
        return [self.case("sample", n) for n in (20, 64)]

    def full_cases(self):
        return [Case("full", math.ceil(self.sizes.full_elements / n**2), n) for n in self.sizes.full_ns]

    def case(self, kind, n, dtype="fp32", elements=None):
        return Case(kind, math.ceil((elements or self.sizes.elements) / n), n, dtype)

    def check(self):
        """Raises `WrongResult` at the first case with a wrong number."""
        for case in (*self.diagonal_cases(), *self.small_cases(), *self.sample_cases(), *self.full_cases()):
            check(case, self.device, self.sizes.checked)
        check_variants(self.device, 700, self.sizes.checked)

    # A single measurement

    def add(self, case, implementation, what, timing, times, **more):
        """Adds a record; ``what`` says what was computed, ``timing`` how it was timed."""
        keys = dict(implementation=implementation, what=what, timing=timing)
        self.records.append(case._asdict() | keys | quantiles(times) | dict(runs=len(times)) | more)

    def add_count(self, case, implementation, what, count):
        self.records.append(case._asdict() | dict(implementation=implementation, what=what, count=count))

    def measure(self, case, implementation, function, gradient=True, what=None):
        """Measures the time of cold calls, and their peak memory."""
        tensors = case.inputs(self.device)
        call = (training if gradient else forward)(function, tensors)
        what = what or ("forward+backward" if gradient else "forward, no gradient")
        times = self.clock.cold(call)
        floor = dict(floor_bytes=case.floor(gradient), results_bytes=case.results() if gradient else None)
        self.add(case, implementation, what, "cold", times, **floor, peak_bytes=self.clock.peak(call))

    def attempt(self, case, implementation, measure):
        """Runs a measurement of code that is not ours and may fail; an error is recorded, and the rest goes on."""
        try:
            measure()
        except Exception as error:  # a compiler may raise errors of any type
            self.leave_out(case, implementation, f"{type(error).__name__}: {error}".splitlines()[0][:200])

    def leave_out(self, case, implementation, reason):
        self.left_out.append(dict(case=str(case), implementation=implementation, reason=reason))

    # All measurements.  The most important come first, because time may run out.

    def measure_all(self):
        self.copy()
        self.diagonal()
        self.small()
        self.alphas()
        self.other_kinds()
        self.compiled()
        self.launches()

    def copy(self):
        """Measures the yardstick: a copy on the device, counted as bytes read plus bytes written."""
        source = torch.randn(self.sizes.copied // 4, device=self.device)
        target = torch.empty_like(source)
        times = self.clock.cold(lambda: target.copy_(source))
        case = Case("copy", 1, source.numel())
        self.add(case, "torch", "copy", "cold", times, floor_bytes=2 * source.numel() * 4)

    def diagonal(self):
        for case in self.diagonal_cases():
            kind = KINDS[case.kind]
            self.measure(case, "jsgmath", kind.ours, gradient=False)
            self.measure(case, "jsgmath", kind.ours)
            if case.dtype == "fp32":
                self.attempt(case, "Liger-style", partial(self.measure, case, "Liger-style", kind.liger))
                self.attempt(case, "textbook", partial(self.measure, case, "textbook", kind.textbook))
        for kind, function in (
            ("standard", jsgmath.torch.jsg_standard_normal),
            ("diagonal", jsgmath.torch.jsg_diagonal),
        ):
            mean = partial(function, alpha=ALPHA, reduction="mean", backend="triton")
            self.measure(self.case(kind, 64), "jsgmath", mean, what="forward+backward of the mean")

    def small(self):
        """Measures small cases, where launches dominate: inside a CUDA graph, and on the host."""
        for case in self.small_cases():
            kind = KINDS[case.kind]
            for implementation, function in kind.uncompiled():
                self.measure_small(case, implementation, function)

    def measure_small(self, case, implementation, function, timings=("graph", "host")):
        calls = small_calls(function, case.inputs(self.device))
        timers = {"graph": self.clock.replayed, "host": self.clock.host}
        for timing, (what, call) in product(timings, calls.items()):
            self.add(case, implementation, what, timing, timers[timing](call))

    def alphas(self):
        """Counts the kernels that are compiled for other values of alpha after the first one."""
        case = Case("standard", *self.sizes.small[-1])
        tensors = case.inputs(self.device)
        for implementation, function in (
            ("jsgmath", partial(jsgmath.torch.jsg_standard_normal, reduction="sum", backend="triton")),
            ("Liger-style", KINDS["standard"].liger),
        ):
            training(partial(function, alpha=0.5), tensors)()
            before = compiled_kernels()
            for i in range(self.sizes.alphas):
                training(partial(function, alpha=(i + 0.25) / self.sizes.alphas), tensors)()
            more = None if before is None else compiled_kernels() - before
            self.add_count(case, implementation, "kernels compiled for other alphas", more)

    def launches(self):
        """Counts the kernels that a call launches; runs last, since the profiler may slow down later measurements."""
        for case in self.small_cases():
            for implementation, function in KINDS[case.kind].uncompiled():
                for what, call in small_calls(function, case.inputs(self.device)).items():
                    self.attempt(case, implementation, partial(self.count_launches, case, implementation, what, call))

    def count_launches(self, case, implementation, what, call):
        self.add_count(case, implementation, f"launches of {what}", self.clock.launches(call))

    def other_kinds(self):
        for case in (*self.sample_cases(), *self.full_cases()):
            kind = KINDS[case.kind]
            self.measure(case, "jsgmath", kind.ours)
            self.attempt(case, "textbook", partial(self.measure, case, "textbook", kind.textbook))

    def compiled(self):
        """Measures torch.compile of the textbook: the default mode everywhere, other modes where they may matter."""
        usual = [self.case(kind, 64) for kind in ("standard", "diagonal")]
        other_ns = [self.case(kind, n) for n in self.sizes.ns if n != 64 for kind in ("standard", "diagonal")]
        small, *sample = self.small_cases()[::-1], *self.sample_cases()[::-1]
        large = [self.case(kind, 64, elements=self.sizes.large) for kind in ("standard", "diagonal")]
        plan = [
            *product((DEFAULT, TUNED, GRAPHED), usual),
            *product((DEFAULT, GRAPHED), small),
            *product((DEFAULT,), (*sample, *self.full_cases())),
            (TUNED, sample[0]),
            *product((DEFAULT,), (*other_ns, *large)),
        ]
        for mode, case in plan:
            name = f"torch.compile, {mode}"
            if time.monotonic() - self.started > self.sizes.compile_seconds:
                self.leave_out(case, name, "no time left")
                continue
            torch.compiler.reset()
            function = torch.compile(KINDS[case.kind].textbook, mode=mode, dynamic=False)
            if case not in small:
                measure = partial(self.measure, case, name, function)
            else:  # a CUDA graph cannot be captured inside another one
                timings = ("host",) if mode == GRAPHED else ("graph", "host")
                measure = partial(self.measure_small, case, name, function, timings)
            self.attempt(case, name, measure)
        for mode in (TUNED, GRAPHED):
            tried = "; ".join(str(case) for planned, case in plan if planned == mode)
            self.leave_out(f"all but {tried}", f"torch.compile, {mode}", "not planned, to save time")


def small_calls(function, tensors):
    """The forward of a training step, in which ours also computes the gradients, and the whole step."""
    return {"forward": lambda: function(*tensors), "forward+backward": training(function, tensors)}


def compiled_kernels():
    """How many kernels are compiled for this library and the baseline; None in the interpreter, which compiles none."""
    modules = [m for name, m in sys.modules.items() if name.startswith(("jsgmath.torch", "benchmarks.liger_style"))]
    functions = {id(f): f for m in modules for f in vars(m).values() if isinstance(f, JITFunction)}.values()
    if not functions:
        return None
    return sum(len(kernels) for f in functions for kernels, *_ in f.device_caches.values())


def run(clock, sizes, folder, facts):
    """Checks, measures and reports; stops at a wrong result.  Returns the exit status."""
    suite = Suite(clock, sizes)
    try:
        suite.check()
        folder.mkdir(parents=True, exist_ok=True)
    except WrongResult as error:
        return refuse(f"reports nothing: {error}")
    except OSError as error:
        return refuse(f"cannot write to {folder}: {error.strerror}")
    checked = time.monotonic() - suite.started
    print(f"Every kernel is right on this machine (checked in {checked:.0f} s). Measuring.", flush=True)
    suite.measure_all()
    facts = facts | dict(check_seconds=checked, seconds=time.monotonic() - suite.started)
    results = dict(facts=facts, records=suite.records, left_out=suite.left_out)
    print(report.text(results))
    write_json(folder / "benchmarks.json", results | dict(targets=[t._asdict() for t in report.targets(results)]))
    pictures.draw_all(folder, results)
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n\n")[1])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--commit", default=git_commit(), help="the commit that is measured, if git cannot tell")
    arguments = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        return refuse("needs a CUDA or ROCm GPU and a torch built for it; python -m benchmarks measures on the CPU")
    if knobs.runtime.interpret:
        return refuse("found TRITON_INTERPRET set, and the interpreter's times say nothing about a GPU; unset it")
    device = torch.device("cuda", torch.cuda.current_device())
    facts = machine(device) | dict(git_commit=arguments.commit)
    return run(CudaClock(device), Sizes(), arguments.out, facts)


def refuse(reason):
    print(f"python -m benchmarks.gpu {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
