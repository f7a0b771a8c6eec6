"""A run, read from its folder."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from vae.data import Dataset, load
from vae.errors import UserError
from vae.model import VAE
from vae.training.digest import digest, identity, measured
from vae.training.folder import check_digest, plain, read_facts
from vae.training.settings import Settings, check

WEIGHTS = "model.safetensors"
COLUMNS = ("train_reconstruction", "test_reconstruction", "train_divergence", "test_divergence")

# The errors of reading damaged files: a huge number is an ArithmeticError, deep nesting a RecursionError.
DAMAGE = (UserError, OSError, ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Run:
    """The settings and the last metrics of one run."""

    path: Path
    settings: Settings
    sha256: dict[str, str]
    """Hashes of the images."""

    data: Path | None
    """Where the images were, if the command line said so."""

    epochs: int
    """The number of epochs that are done; a finished run has done all of its settings."""

    alpha: float
    """The alpha that was set, or that has been learnt."""

    values: dict[str, float]
    """The values of ``COLUMNS`` after the last epoch."""

    @property
    def finished(self) -> bool:
        return self.epochs == self.settings.epochs


def read_run(path: Path) -> Run:
    """Reads run.json and metrics.jsonl.

    Raises:
        UserError: the folder holds no run, or the run is damaged or has not finished its first epoch.
    """
    if not (path / "run.json").is_file():
        raise UserError(f"{path} holds no run (no run.json)")
    if not (path / "metrics.jsonl").exists():
        raise UserError(f"{path} has not finished its first epoch (no metrics.jsonl)")
    try:
        return read_files(path)
    except DAMAGE as error:
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}'s run.json or metrics.jsonl cannot be read ({said})") from None


def read_files(path: Path) -> Run:
    facts = read_facts(path)
    settings = Settings(**facts["settings"])
    check(settings)
    rows = read_rows(path)
    last = {row["split"]: row for row in rows}
    if not {"train", "test"} <= set(last):
        raise ValueError(f"metrics.jsonl has rows of {', '.join(last) or 'nothing'}, wanted train and test")
    epochs = {last[split]["epoch"] for split in ("train", "test")}
    if not all(type(epoch) is int and epoch >= 1 for epoch in epochs):
        raise ValueError(f"metrics.jsonl has epoch {epochs.pop()!r}, wanted a whole number from 1")
    if len(epochs) > 1 or max(epochs) > settings.epochs:
        raise ValueError(f"metrics.jsonl ends with epoch {max(epochs)}, run.json wants {settings.epochs}")
    values = {f"{split}_{term}": float(last[split][term]) for split, term in (c.split("_") for c in COLUMNS)}
    alpha = float(last["test"].get("alpha", settings.alpha))
    if not all(math.isfinite(value) for value in (*values.values(), alpha)):
        raise ValueError("metrics.jsonl ends with a number that is not finite")
    data = Path(facts["data"]["path"]) if "path" in facts["data"] else None
    return Run(path, settings, facts["data"]["sha256"], data, max(epochs), alpha, values)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl in a run's folder."""
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def load_images(run: Run, data: Path | None) -> Dataset:
    """The images that a run was trained on, from ``data``, or else from where the run found them.

    Raises:
        UserError: they are not there, or they are others.
    """
    place = data or (run.data if run.data and run.data.exists() else None)
    if place is None and run.settings.dataset == "own":
        where = f"are no longer at {run.data}" if run.data else "have no place in its run.json"
        raise UserError(f"the images of {run.path} {where}; pass them with --data")
    dataset = load(run.settings.dataset, place)
    if dataset.sha256 != run.sha256:
        raise UserError(f"{run.path} was trained on other data: the sha256 in its run.json differ; pass it with --data")
    return dataset


def load_model(run: Run, size: int, device: torch.device) -> VAE:
    """Loads the model that a run wrote after its last epoch, for images of ``size x size`` pixels.

    Raises:
        UserError: the file is damaged, belongs to another run or to other metrics, or it is from an earlier epoch than
            the metrics: a run that was continued keeps its old model until it ends.
    """
    path, model = run.path / WEIGHTS, VAE(size).requires_grad_(False)
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise UserError(f"the name of {path} is not UTF-8, and safetensors reads no other names; rename the folder")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
        tensors, epoch = load_file(path), about.get("epoch")
        sha256 = about.pop("sha256", None)
        if sha256 and sha256 != digest([about, tensors]):
            raise ValueError("its digest differs")
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("it has weights that are not finite")
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:  # RuntimeError: other names or shapes
        raise UserError(f"{path} is damaged or not a model for these images ({type(error).__name__})") from None
    if epoch != str(run.epochs):
        raise UserError(
            f"{path} is from epoch {epoch}, wanted {run.epochs}; continue the run with python -m vae.train --resume"
        )
    if sha256 and about["run"] != identity(plain(run.settings), run.sha256):
        raise UserError(f"{path} belongs to a run of other settings or other images; put back its own")
    if sha256 and about["metrics"] != measured(read_rows(run.path)):
        raise UserError(f"{run.path / 'metrics.jsonl'} is not the one that {path} was written with; put that back")
    return model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def check_digests(run: Run) -> None:
    """Checks what ``load_model`` leaves out: that run.json was not changed, and that the model has a digest.

    Raises:
        UserError: one of them was changed or has no digest.
    """
    check_digest(run.path, read_facts(run.path))
    with safe_open(run.path / WEIGHTS, "pt") as file:
        if "sha256" not in (file.metadata() or {}):
            raise UserError(f"{run.path / WEIGHTS} has no sha256, so it may be another run's; train the run again")
