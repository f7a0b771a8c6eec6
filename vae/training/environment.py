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
    """The argument, with the password replaced if it is a URL that has one.

    >>> without_password("postgresql://me@work:a/b:c@host/sweeps"), without_password("runs/x:y@z")
    ('postgresql://me@work:***@host/sweeps', 'runs/x:y@z')
    >>> without_password("postgresql://host/sweeps?user=me&password=secret")
    'postgresql://host/sweeps?user=me&password=***'
    """
    return re.sub(r"(://[^:/]*:).*(?=@)|(?<=[?&]password=)[^&]*", r"\1***", argument)


def processor() -> str:
    """The processor's name on Linux, elsewhere its architecture, as Python does not know the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
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
