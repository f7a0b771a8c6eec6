"""A run's folder and its files, each written whole."""

import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor

from vae.errors import InUse, UserError
from vae.files import LEFTOVERS, replacing
from vae.training.settings import Settings

FILES = ("run.json", "metrics.jsonl", "checkpoint.pt", "model.safetensors")
ELSEWHERE = ("data", "out", "resume")  # settings that do not change the result; the data is recorded by its hashes


class RunFolder:
    """The folder of one run, with ``run.json``, ``metrics.jsonl``, ``checkpoint.pt``, the model and the pictures.

    One process holds it, by a lock on the file ``.lock``, until it closes it or ends, also if it is killed.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = FileLock(path / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise InUse(f"{path} is in use: another process works on this run") from None
        for leftover in path.glob(LEFTOVERS):
            leftover.unlink()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.lock.release()

    @classmethod
    def open(cls, settings: Settings) -> "RunFolder":
        """Opens the folder of a new run, which must not hold a run yet, or with ``resume`` of the run to continue.

        Raises:
            UserError: the folder holds a run, or with ``resume`` none, is in use, or cannot be written.
        """
        path = settings.out or unused_folder(settings)
        if settings.resume and not path.is_dir():
            raise UserError(f"{path} holds no run to resume (no such folder)")
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path)
        except OSError as error:
            raise UserError(f"cannot write in {path}: {error.strerror}") from None
        if not settings.resume and any((path / name).exists() for name in FILES):
            folder.close()
            raise UserError(f"{path} already holds a run; continue it with --resume, or choose another --out")
        return folder

    def start(self, settings: Settings, facts: dict[str, Any]) -> None:
        """Writes run.json for a new run."""
        self.write_facts("run.json", {"settings": plain(settings), **facts, "resumed": []})

    def check_resumption(self, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The contents of run.json, for a run that continues.

        Raises:
            UserError: there is no run, or it was started with other settings or other data.
        """
        try:
            run = read_facts(self.path)
            before, epochs, sha256 = run["settings"], int(run["settings"]["epochs"]), run["data"]["sha256"]
            int(run["environment"]["threads"])
            list(run["resumed"])
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run to resume (no run.json)") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path / 'run.json'} is damaged ({type(error).__name__}: {error})") from None
        now = plain(settings)
        changed = [name for name in now if name != "epochs" and now[name] != before.get(name)]
        if changed:
            said = ", ".join(f"--{name.replace('_', '-')} {before.get(name)} (now {now[name]})" for name in changed)
            raise UserError(f"{self.path} was started with {said}; --resume needs the same settings")
        if now["epochs"] < epochs:
            raise UserError(f"{self.path} was started with --epochs {epochs}; --resume accepts as many or more")
        if sha256 != facts["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data: the sha256 in its run.json differ")
        return run

    def resume(self, run: dict[str, Any], settings: Settings, facts: dict[str, Any]) -> None:
        """Records in run.json that the run continues, and restores its number of threads."""
        run["settings"]["epochs"] = settings.epochs
        run["resumed"].append(facts["environment"])
        self.write_facts("run.json", run)
        # Sums over a batch are split among the threads, so another number of threads changes the last bits. Another
        # number of processes changes them anyway, and then the number of threads stays what it is now.
        if run["environment"].get("processes", 1) == facts["environment"]["processes"]:
            torch.set_num_threads(max(1, min(run["environment"]["threads"], os.cpu_count() or 1)))

    def write_facts(self, name: str, facts: dict[str, Any]) -> None:
        """Writes facts as JSON, one line for each key."""
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
        with replacing(self.path / name) as path:
            path.write_text(f"{{\n{lines}\n}}\n")

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Writes all rows each time, so that a run that was stopped and continues never has an epoch twice."""
        with replacing(self.path / "metrics.jsonl") as path:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write_tensors(self, name: str, tensors: dict[str, Tensor], epoch: int) -> Path:
        """Writes tensors in the format of safetensors, with the number of their epoch."""
        contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
        with replacing(self.path / name) as path:
            path.write_bytes(save(contiguous, {"epoch": str(epoch)}))
        return self.path / name

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        content = io.BytesIO()  # torch.save to a file would report a full disk as a RuntimeError
        torch.save(state, content)
        with replacing(self.path / "checkpoint.pt") as path:
            path.write_bytes(content.getbuffer())

    def restore(self, stateful: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """Restores model, optimiser and objective after the last full epoch; returns its number, time and metrics.

        Raises:
            UserError: the checkpoint is missing or damaged.
        """
        path = self.path / "checkpoint.pt"
        if not path.exists():
            if (self.path / "metrics.jsonl").exists():
                raise UserError(f"{path} is missing, though metrics.jsonl is there; start again in another --out")
            return {"epoch": 0, "seconds": 0.0, "metrics": []}  # the run stopped before its first epoch ended
        try:
            checkpoint = torch.load(path, map_location=device, weights_only=True)
            for name, part in stateful.items():
                part.load_state_dict(checkpoint.pop(name))
            state = {name: checkpoint[name] for name in ("epoch", "seconds", "metrics")}
            if state["epoch"] != state["metrics"][-1]["epoch"]:
                raise ValueError("its metrics are of another epoch")
        except Exception as error:  # which exception torch raises depends on the damage
            raise UserError(f"{path} is damaged ({type(error).__name__}); start again in another --out") from None
        return state


def read_facts(path: Path) -> dict[str, Any]:
    """The contents of run.json in a run's folder.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    return json.loads((path / "run.json").read_text())


def unused_folder(settings: Settings) -> Path:
    """runs/NAME, where NAME is that of the settings; with a number at its end if that folder exists."""
    number = 1
    while (path := Path("runs") / (settings.name() if number == 1 else f"{settings.name()}-{number}")).exists():
        number += 1
    return path


def plain(settings: Settings) -> dict[str, Any]:
    """The settings that determine the result, as they stand in JSON."""
    return {name: value for name, value in asdict(settings).items() if name not in ELSEWHERE}
