"""The machine, versions and commit that a run was made with."""

import importlib.metadata
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("jsgmath", "numpy", "scipy", "torch", "triton", "safetensors", "matplotlib")


def describe_environment(device: torch.device, backend: str, processes: int = 1) -> dict[str, Any]:
    """The facts needed to repeat a run, apart from its settings and its data."""
    return {
        "command": [Path(sys.executable).name, *map(without_password, sys.orig_argv[1:])],
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": processes,
        "threads": torch.get_num_threads(),
        "backend": backend,
    }


def without_password(argument: str) -> str:
    """An address without the user and the password in it; any other argument unchanged.

    >>> without_password("tls://me:a/b@c@host:8786"), without_password("runs/x:y@z")
    ('tls://***@host:8786', 'runs/x:y@z')
    """
    return re.sub("(?<=://).*@", "***@", argument)


def processor() -> str:
    """The processor's name on Linux, elsewhere its architecture, as Python does not know the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # the program runs from a checkout that is not installed
        return None


def git_commit() -> str | None:
    """The checkout's commit, with -dirty if files differ from it; None if this is not a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
