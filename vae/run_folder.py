"""A run's folder: every file is written beside its final name and then renamed, so that none is ever half there."""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vae.errors import UserError
from vae.settings import Settings

PACKAGES = ("jsgmath", "numpy", "scipy", "torch", "triton", "safetensors", "matplotlib")
ELSEWHERE = ("data", "out", "resume")  # say where and how, not what; the data's content is recorded as hashes


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends well, and vanishes when it does not."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class RunFolder:
    """Where one run keeps ``run.json``, ``metrics.jsonl``, ``checkpoint.pt``, the model and the pictures."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def open(cls, settings: Settings, facts: dict[str, Any]) -> "RunFolder":
        """Starts a run in a folder that has none, or with ``resume`` finds the one to go on with."""
        if settings.resume:
            assert settings.out is not None
            folder = cls(settings.out)
            folder.record_resumption(settings, facts)
            return folder
        path = settings.out or unused_folder(settings)
        try:
            path.mkdir(parents=True, exist_ok=True)
            # Exclusive creation: of two processes that start at the same moment one wins and the other is refused.
            with (path / "run.json").open("x") as file:
                file.write(to_json({"settings": plain(settings), **facts, "resumed": []}))
        except FileExistsError:
            raise UserError(f"{path} already holds a run; go on with --resume, or name another --out") from None
        except OSError as error:
            raise UserError(f"cannot write in {path}: {error.strerror}") from None
        return cls(path)

    def record_resumption(self, settings: Settings, facts: dict[str, Any]) -> None:
        """Refuses to go on under other settings than the run was started with; else notes that it goes on."""
        try:
            run = json.loads((self.path / "run.json").read_text())
            before, epochs, data = run["settings"], run["settings"]["epochs"], run["data"]
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run to resume (no run.json)") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path / 'run.json'} cannot be read ({error})") from None
        now = plain(settings)
        changed = [name for name in now if name != "epochs" and now[name] != before.get(name)]
        if changed:
            said = ", ".join(f"--{name.replace('_', '-')} {before.get(name)} (now {now[name]})" for name in changed)
            raise UserError(f"{self.path} was started with {said}; --resume goes on with the same settings only")
        if now["epochs"] < epochs:
            raise UserError(f"{self.path} was started with --epochs {epochs}, which may grow but not shrink")
        if data != facts["data"]:
            raise UserError(f"{self.path} was trained on other data: the sha256 in its run.json differ")
        run["settings"]["epochs"] = now["epochs"]
        run["resumed"].append(facts)
        with replacing(self.path / "run.json") as path:
            path.write_text(to_json(run))

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """All rows each time, so that a run that was cut off and goes on never holds an epoch twice."""
        with replacing(self.path / "metrics.jsonl") as path:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write_tensors(self, name: str, tensors: dict[str, Tensor]) -> Path:
        with replacing(self.path / name) as path:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
        return self.path / name

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        with replacing(self.path / "checkpoint.pt") as path:
            torch.save(state, path)

    def read_checkpoint(self, device: torch.device) -> dict[str, Any] | None:
        """The last full epoch's state, or nothing when the run was cut off before its first."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # torch raises whatever the damage makes it stumble over
            raise UserError(f"{path} is damaged ({type(error).__name__}); start again in another --out") from None


def unused_folder(settings: Settings) -> Path:
    """runs/NAME, NAME saying what is trained; a number follows where that run exists."""
    skew = f"-{settings.alpha:g}" if settings.divergence.startswith("jsg") else ""
    name = f"{settings.dataset}-{settings.divergence}{skew}"
    number = 1
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def to_json(run: dict[str, Any]) -> str:
    return json.dumps(run, indent=2) + "\n"


def plain(settings: Settings) -> dict[str, Any]:
    """The settings that make the result, as JSON holds them."""
    return {name: value for name, value in asdict(settings).items() if name not in ELSEWHERE}


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What one needs to know to repeat the run, apart from its settings and its data."""
    return {
        "command": [Path(sys.executable).name, *sys.orig_argv[1:]],
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return None


def git_commit() -> str | None:
    """The checkout's commit, ending in -dirty when files differ from it; nothing when this is no checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
