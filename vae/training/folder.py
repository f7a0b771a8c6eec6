"""A run's folder and its files, each written whole."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor

from vae.errors import InUse, UserError
from vae.files import remove_temporary, write
from vae.threads import processors
from vae.training.digest import digest, identity, measured
from vae.training.settings import Settings

FILES = ("run.json", "metrics.jsonl", "checkpoint.pt", "model.safetensors")
ELSEWHERE = ("data", "out", "resume")  # settings that do not change the result; the data is recorded by its hashes


class RunFolder:
    """The folder of one run, with ``run.json``, ``metrics.jsonl``, ``checkpoint.pt``, the model and the pictures.

    One process at a time may use the folder. It locks the file ``.lock`` until it closes the folder or ends.

    Each file but the pictures carries a digest of itself, and the checkpoint and the model carry the ``identity`` of
    their run. The digest of metrics.jsonl is in the model.
    """

    def __init__(self, path: Path):
        self.path = path
        self.run = ""
        """The identity of the run, once it is started or resumed."""
        self.lock = FileLock(path / ".lock")
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise InUse(f"{path} is in use: another process works on this run") from None
        remove_temporary(path)

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
        path = settings.out or unused_run_folder(settings)
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
        self.write_run({"settings": plain(settings), **facts, "resumed": []})

    def write_run(self, run: dict[str, Any]) -> None:
        """Writes run.json with its digest at the end."""
        self.run = identity(run["settings"], run["data"]["sha256"])
        run.pop("sha256", None)
        self.write_facts("run.json", run | {"sha256": digest(run)})

    def check_resumption(self, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The contents of run.json, for a run that continues.

        Raises:
            UserError: there is no run, or it was started with other settings or other data.
        """
        try:
            run = read_facts(self.path)
            before, epochs, sha256 = dict(run["settings"]), int(run["settings"]["epochs"]), run["data"]["sha256"]
            int(run["environment"]["threads"])
            if not isinstance(run["resumed"], list):
                raise TypeError("resumed is not a list")
        except FileNotFoundError:
            raise UserError(f"{self.path} holds no run to resume (no run.json)") from None
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
            raise UserError(f"{self.path / 'run.json'} is damaged ({type(error).__name__}: {error})") from None
        now = plain(settings)
        names = dict.fromkeys([*now, *before])  # another version may have other settings
        changed = [name for name in names if name != "epochs" and now.get(name) != before.get(name)]
        if changed:
            said = ", ".join(f"--{name.replace('_', '-')} {before.get(name)} (now {now.get(name)})" for name in changed)
            raise UserError(f"{self.path} was started with {said}; --resume needs the same settings")
        if now["epochs"] < epochs:
            raise UserError(f"{self.path} was started with --epochs {epochs}; --resume accepts as many or more")
        if sha256 != facts["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data: the sha256 in its run.json differ")
        check_digest(self.path, run)
        return run

    def resume(self, run: dict[str, Any], settings: Settings, facts: dict[str, Any]) -> None:
        """Records in run.json that the run continues, and restores its number of threads."""
        run["settings"]["epochs"] = settings.epochs
        run["data"] = facts["data"]  # the same images, perhaps in another place
        run["resumed"].append(facts["environment"])
        self.write_run(run)
        # Sums over a batch are split among the threads, so another number of threads changes the last bits. Another
        # number of processes changes them anyway, and then the number of threads stays what it is now.
        if run["environment"].get("processes", 1) == facts["environment"]["processes"]:
            torch.set_num_threads(max(1, min(run["environment"]["threads"], processors())))

    def write_facts(self, name: str, facts: dict[str, Any]) -> None:
        """Writes facts as JSON, one line for each key."""
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
        write(self.path / name, f"{{\n{lines}\n}}\n")

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Writes all rows each time, so that a run that was stopped and continues never has an epoch twice."""
        write(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def write_model(self, tensors: dict[str, Tensor], epoch: int, metrics: list[dict[str, Any]]) -> None:
        """Writes model.safetensors, with the digest of the metrics that were measured until then."""
        about = {"epoch": str(epoch), "run": self.run, "metrics": measured(metrics)}
        self.write_tensors("model.safetensors", tensors, about)

    def write_tensors(self, name: str, tensors: dict[str, Tensor], about: dict[str, str]) -> Path:
        """Writes tensors in the format of safetensors, with facts about them and a digest of both."""
        contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
        write(self.path / name, in_order(save(contiguous, about | {"sha256": digest([about, contiguous])})))
        return self.path / name

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        state = state | {"run": self.run}
        state["sha256"] = digest(state)
        content = io.BytesIO()  # torch.save to a file would report a full disk as a RuntimeError
        torch.save(state, content)
        write(self.path / "checkpoint.pt", content.getvalue())

    def restore(self, stateful: dict[str, Any], device: torch.device, run: dict[str, Any]) -> dict[str, Any]:
        """Restores model, optimiser and objective after the last full epoch; returns its number, time and metrics.

        Args:
            run: the contents of run.json.

        Raises:
            UserError: the checkpoint is missing or damaged, belongs to another run, or has more epochs than run.json.
        """
        path = self.path / "checkpoint.pt"
        if not path.exists():
            if (self.path / "metrics.jsonl").exists():
                raise UserError(f"{path} is missing, though metrics.jsonl is there; start again in another --out")
            return {"epoch": 0, "seconds": 0.0, "metrics": []}  # the run stopped before its first epoch ended
        try:
            checkpoint = torch.load(path, map_location=device, weights_only=True)
            if checkpoint.pop("sha256") != digest(checkpoint):
                raise ValueError("its digest differs")
            belongs = checkpoint.pop("run") == identity(run["settings"], run["data"]["sha256"])
            if not belongs:
                raise UserError(f"{path} belongs to a run of other settings or other images; put back its own")
            if checkpoint["epoch"] > run["settings"]["epochs"]:
                said = f"{path} is from epoch {checkpoint['epoch']}, but run.json is for {run['settings']['epochs']}"
                raise UserError(f"{said}; put back the run.json that belongs to it")
            for name, part in stateful.items():
                part.load_state_dict(checkpoint.pop(name))
            state = {name: checkpoint[name] for name in ("epoch", "seconds", "metrics")}
            if state["epoch"] != state["metrics"][-1]["epoch"]:
                raise ValueError("its metrics are of another epoch")
        except UserError:
            raise
        except Exception as error:  # which exception torch raises depends on the damage
            raise UserError(f"{path} is damaged ({type(error).__name__}); start again in another --out") from None
        return state


def read_facts(path: Path) -> dict[str, Any]:
    """The contents of run.json in a run's folder.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    return json.loads((path / "run.json").read_text(encoding="utf-8"))


def in_order(content: bytes) -> bytes:
    """A safetensors file with its header in order: safetensors writes metadata in a random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # as the format aligns the tensors
    return len(header).to_bytes(8, "little") + header + content[end:]


def check_digest(path: Path, run: dict[str, Any]) -> None:
    """Compares the contents of run.json, in the folder ``path``, with the digest in it.

    Raises:
        UserError: it has no digest, or was changed.
    """
    rest = {name: value for name, value in run.items() if name != "sha256"}
    if run.get("sha256") != digest(rest):
        raise UserError(
            f"{path / 'run.json'} was changed after it was written: its sha256 differs; put the old one back"
        )


def unused_run_folder(settings: Settings) -> Path:
    """runs/NAME, where NAME is that of the settings; with a number at its end if that folder exists."""
    number = 1
    while (path := Path("runs") / (settings.name() if number == 1 else f"{settings.name()}-{number}")).exists():
        number += 1
    return path


def plain(settings: Settings) -> dict[str, Any]:
    """The settings that determine the result, as they stand in JSON."""
    return {name: value for name, value in asdict(settings).items() if name not in ELSEWHERE}
