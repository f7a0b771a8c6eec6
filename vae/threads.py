"""Chooses the number of threads of a program: that of the idle processors, so that it does not slow others down."""

import os
import time
from pathlib import Path

import torch

INTERVAL = 0.25  # seconds during which the processors are watched


def choose_threads() -> None:
    """Sets the number of torch's threads.

    It is the number of idle processors, at least one, or OMP_NUM_THREADS if that is set; never more than this process
    may use.
    """
    allowed = processors()
    wanted = torch.get_num_threads() if os.environ.get("OMP_NUM_THREADS") else idle(allowed)
    torch.set_num_threads(max(1, min(wanted, allowed)))


def processors() -> int:
    """The number of processors that this process may use, by its affinity and by the quota of its cgroup."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return max(1, min([len(os.sched_getaffinity(0)), *quotas(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]))


def quotas(membership: Path, root: Path) -> list[int]:
    """The quotas, in processors, of a process's cgroup and of those above it.

    Args:
        membership: the file ``/proc/self/cgroup``.
        root: where the file systems of cgroups are.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            folder, quota, period = root, "cpu.max", None
        elif "cpu" in controllers.split(","):  # version 1
            folder, quota, period = root / "cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us"
        else:
            continue
        group = folder / path.lstrip("/")
        for place in (group, *group.parents):
            try:
                words = (place / quota).read_text(encoding="utf-8").split()
                words += (place / period).read_text(encoding="utf-8").split() if period else []
                if words[0] not in ("max", "-1"):
                    found.append(max(1, int(words[0]) // int(words[1])))
            except (OSError, ValueError, IndexError):
                pass  # a group without a quota, or one that a container does not show
            if place == folder:
                break
    return found


def idle(allowed: int) -> int:
    """The number of this process's processors that are idle, rounded; all, if the system does not tell."""
    try:
        before = ticks()
        time.sleep(INTERVAL)
        after = ticks()
        own = os.sched_getaffinity(0)
    except (OSError, ValueError, AttributeError):
        return allowed
    free = 0.0
    for name in own & before.keys() & after.keys():
        waited, total = (after[name][index] - before[name][index] for index in (0, 1))
        free += waited / total if total else 1.0
    return round(free)


def ticks() -> dict[int, tuple[int, int]]:
    """The ticks for which each processor has been idle, and all its ticks."""
    found = {}
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            counts = [int(number) for number in numbers[:8]]
            found[int(name[3:])] = counts[3] + counts[4], sum(counts)  # idle, and waiting for a disk
    return found
