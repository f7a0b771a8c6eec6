"""A run's folder and the files in it, none of which is ever half there."""

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vae.errors import UserError
from vae.files import LEFTOVERS, replacing
from vae.settings import Settings

ELSEWHERE = ("data", "out", "resume")  # say where and how, not what; the data's content is recorded as hashes


class RunFolder:
    """Where one run keeps ``run.json``, ``metrics.jsonl``, ``checkpoint.pt``, the model and the pictures.

    It belongs to one process until it is closed, or until that process ends, however it ends.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            raise UserError(f"{path} is in use: another process works on this run") from None
        for leftover in path.glob(LEFTOVERS):  # of a process that was killed
            leftover.unlink()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_) -> None:
        os.close(self.lock)

    @classmethod
    def open(cls, settings: Settings, facts: dict[str, Any]) -> "RunFolder":
        """Starts a run in a folder that has none, or with ``resume`` finds the one to go on with."""
        path = settings.out or unused_folder(settings)
        try:
            if not settings.resume:
                path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
        except FileNotFoundError:
            raise UserError(f"{path} holds no run to resume (no such folder)") from None
        except OSError as error:
            raise UserError(f"cannot write in {path}: {error.strerror}") from None
        try:
            folder.resume(settings, facts) if settings.resume else folder.start(settings, facts)
        except BaseException:
            folder.__exit__()
            raise
        return folder

    def start(self, settings: Settings, facts: dict[str, Any]) -> None:
        """Writes run.json, unless there is one."""
        if (self.path / "run.json").exists():
            raise UserError(f"{self.path} already holds a run; go on with --resume, or name another --out")
        self.write_facts("run.json", {"settings": plain(settings), **facts, "resumed": []})

    def resume(self, settings: Settings, facts: dict[str, Any]) -> None:
        """Refuses to go on under other settings than the run was started with; else notes that it goes on."""
        try:
            run = read_facts(self.path)
            before, epochs, sha256 = run["settings"], run["settings"]["epochs"], run["data"]["sha256"]
            threads = int(run["environment"]["threads"])
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
        if sha256 != facts["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data: the sha256 in its run.json differ")
        run["settings"]["epochs"] = now["epochs"]
        run["resumed"].append(facts["environment"])
        self.write_facts("run.json", run)
        # Sums over a batch are split among the threads: another number of them means other last bits.
        torch.set_num_threads(min(threads, os.cpu_count() or 1))

    def write_facts(self, name: str, facts: dict[str, Any]) -> None:
        """As JSON, a line for each group of facts."""
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
        with replacing(self.path / name) as path:
            path.write_text(f"{{\n{lines}\n}}\n")

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


def read_facts(path: Path) -> dict[str, Any]:
    """What run.json in a run's folder says.

    Raises:
        OSError, ValueError: there is none, or it is damaged.
    """
    return json.loads((path / "run.json").read_text())


def unused_folder(settings: Settings) -> Path:
    """runs/NAME, NAME saying what is trained; a number follows where that run exists."""
    number = 1
    while (path := Path("runs") / (settings.name() if number == 1 else f"{settings.name()}-{number}")).exists():
        number += 1
    return path


def plain(settings: Settings) -> dict[str, Any]:
    """The settings that make the result, as JSON holds them."""
    return {name: value for name, value in asdict(settings).items() if name not in ELSEWHERE}
