"""Programs wait without spinning and use as many threads as there are idle processors."""

import os
import subprocess
import sys

import pytest
import torch

from tests.vae import forked
from vae import threads

BARE = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_the_programs_set_the_wait_policy_before_torch_is_imported(given, wanted):
    script = "import sys, vae; assert 'torch' not in sys.modules; import os; print(os.environ['OMP_WAIT_POLICY'])"
    environment = BARE | ({"OMP_WAIT_POLICY": given} if given else {})
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted


@pytest.mark.parametrize(
    ("idle", "allowed", "asked", "wanted"),
    [(3, 8, None, 3), (0, 8, None, 1), (8, 2, None, 2), (1, 8, 4, 4), (1, 2, 4, 2)],
)
def test_threads_are_the_idle_processors_or_those_asked_for_but_never_more_than_allowed(
    idle, allowed, asked, wanted, monkeypatch
):
    monkeypatch.setattr(threads, "idle", lambda allowed: idle)
    monkeypatch.setattr(threads, "processors", lambda: allowed)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(1)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", str(asked))
        torch.set_num_threads(asked)
    threads.choose_threads()
    assert torch.get_num_threads() == wanted


def test_busy_processors_are_not_idle(monkeypatch):
    own = sorted(os.sched_getaffinity(0))
    stat = [dict.fromkeys(own, (0, 0)), {name: (25 * (name != own[0]), 25) for name in own}]
    monkeypatch.setattr(threads, "ticks", lambda: stat.pop(0))
    monkeypatch.setattr(threads, "INTERVAL", 0)
    assert threads.idle(99) == len(own) - 1


def test_ticks_grow_for_every_processor_of_this_process():
    before = threads.ticks()
    assert os.sched_getaffinity(0) <= before.keys()
    assert all(0 <= waited <= total for waited, total in before.values())


def test_quotas_of_all_groups_above_count(tmp_path):
    membership, root = tmp_path / "cgroup", tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    membership.write_text("0::/a/b\n")
    assert threads.quotas(membership, root) == []
    (root / "a" / "b" / "cpu.max").write_text("max 100000\n")
    (root / "a" / "cpu.max").write_text("250000 100000\n")
    (root / "cpu.max").write_text("50000 100000\n")
    assert threads.quotas(membership, root) == [2, 1]
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    membership.write_text("4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n")
    assert threads.quotas(membership, root) == [3]
    assert threads.quotas(tmp_path / "absent", root) == []


def test_the_affinity_limits_the_processors():
    assert 1 <= threads.processors() <= len(os.sched_getaffinity(0))


def test_every_program_that_computes_chooses_its_threads(tmp_path):
    script = """
import os, runpy, sys
for name in [name for name in sys.modules if name.partition(".")[0] == "vae"]:
    del sys.modules[name]
import vae.threads
os.chdir(sys.argv.pop(1))
vae.threads.choose_threads = lambda: sys.exit("chosen")
programs, sys.argv = sys.argv[1:], ["program"]
for program in programs:
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        print(program, stop.code)
"""
    programs = ["vae.train", "vae.evaluate", "vae.report", "vae.figures"]
    done = forked.run(script, tmp_path, *programs)
    assert done.stdout.splitlines() == [f"{program} chosen" for program in programs], done.stderr
