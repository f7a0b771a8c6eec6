"""Collects the contents of the page: finished runs, read from their folders and sorted into sections."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vae.errors import UserError
from vae.runs.comparisons import compare
from vae.runs.evaluation import Unusable, read_evidence
from vae.runs.groups import read_runs
from vae.runs.run import DAMAGE, WEIGHTS, Run, load_images, load_model
from vae.runs.statistics import SeedMean
from vae.training.pictures import draw_all
from vae.training.settings import Settings

TERMS = ("reconstruction", "divergence")
PICTURES = ("curves", "reconstructions", "traversal")


@dataclass(frozen=True)
class ShownRun:
    """One finished run."""

    run: Run
    history: list[dict[str, Any]]
    """A row for each epoch and split: epoch, split, reconstruction and divergence."""

    evidence: dict[str, Any] | None
    pictures: dict[str, bytes]
    """The PNG files by their names in ``PICTURES``, as far as there are any."""

    def row(self) -> dict[str, Any]:
        """The run's row in runs.csv."""
        settings, evidence = self.run.settings, self.evidence or {}
        return {
            "run": str(self.run.path),
            "dataset": settings.dataset,
            "divergence": settings.divergence,
            "alpha": self.run.alpha if settings.skewed else None,
            "alpha_learnt": settings.learn_alpha,
            "weight": settings.weight,
            "mmd_of": settings.mmd_of if settings.divergence == "mmd" else None,
            "likelihood": settings.likelihood,
            "epochs": self.run.epochs,
            "seed": settings.seed,
            **self.run.values,
            "log_evidence": evidence.get("log_evidence"),
            "log_evidence_low": evidence.get("low"),
            "log_evidence_high": evidence.get("high"),
            "log_evidence_likelihood": evidence.get("likelihood"),
            "log_evidence_samples": evidence.get("samples"),
        }


@dataclass(frozen=True)
class ShownGroup:
    """Runs that differ in their seeds only, sorted by seed."""

    settings: Settings
    shown: tuple[ShownRun, ...]

    @property
    def learnt(self) -> SeedMean | None:
        """The alpha that the runs learnt."""
        return SeedMean.of([one.run.alpha for one in self.shown]) if self.settings.learn_alpha else None

    @property
    def alpha(self) -> float | None:
        """The alpha that was set or learnt; None for a divergence that has none."""
        return self.learnt.value if self.learnt else self.settings.alpha if self.settings.skewed else None

    def over_seeds(self, column: str) -> SeedMean:
        return SeedMean.of([one.run.values[column] for one in self.shown])

    @property
    def estimates(self) -> list[dict[str, Any]]:
        """The estimates of the log evidence that were made in the same way as the first."""
        found = [one.evidence for one in self.shown if one.evidence]
        return [one for one in found if way(one) == way(found[0])]

    @property
    def log_evidence(self) -> SeedMean | None:
        found = [one["log_evidence"] for one in self.estimates]
        return SeedMean.of(found) if found else None


@dataclass(frozen=True)
class Section:
    """Runs that may be compared: of one data set, number of epochs, likelihood, batch size and learning rate."""

    common: Settings
    groups: tuple[ShownGroup, ...]

    @property
    def shown(self) -> list[ShownRun]:
        return [one for group in self.groups for one in group.shown]


@dataclass(frozen=True)
class Contents:
    """Everything that the page shows of runs."""

    sections: tuple[Section, ...]
    left_out: list[str]
    """A sentence for each run that is undamaged, but not shown."""

    damaged: list[str]
    """A line for each run, or part of a run, that cannot be read."""

    @property
    def shown(self) -> list[ShownRun]:
        return [one for section in self.sections for one in section.shown]


def way(evidence: Mapping[str, Any]) -> str:
    """How a log evidence was estimated; only estimates with equal answers can be compared."""
    return f"{evidence['likelihood']} likelihood, {evidence['samples']} draws"


def collect(folders: Sequence[Path], data: Path | None = None) -> Contents:
    """Reads all finished runs in the folders.

    Args:
        data: where the images are, for runs whose folders lack pictures.

    Raises:
        UserError: one of them is not a folder.
    """
    found = read_runs(*folders)
    finished = [run for same in found.runs.values() for run in same if run.finished]
    damaged = list(found.damaged)
    shown: dict[Path, ShownRun] = {}
    for run in tqdm(finished, unit=" runs", leave=False, disable=None):
        try:
            shown[run.path] = read_shown(run, data, damaged)
        except UserError as error:
            damaged.append(str(error))
    kept = {settings: [run for run in same if run.path in shown] for settings, same in found.runs.items()}
    sections = [
        Section(
            comparison.common,
            tuple(
                ShownGroup(settings, tuple(shown[run.path] for run in group.runs))
                for settings, group in comparison.groups.items()
            ),
        )
        for comparison in compare(replace(found, runs=kept))
    ]
    return Contents(tuple(sections), [*found.unfinished, *found.left_out], damaged)


def read_shown(run: Run, data: Path | None, damaged: list[str]) -> ShownRun:
    """Reads the files of a run; adds a line to the list if its evaluation or model is damaged, and shows the rest.

    Raises:
        UserError: its metrics cannot be read.
    """
    evidence = None
    try:
        evidence = read_evidence(run) if (run.path / "evaluation.json").exists() else None
    except Unusable as error:
        damaged.append(str(error) if str(run.path) in str(error) else f"{run.path}: {error}")
    history, pictures = read_history(run), read_pictures(run.path)
    if len(pictures) < len(PICTURES) and (run.path / WEIGHTS).exists():
        try:
            pictures = draw_pictures(run, history, data)
        except UserError as error:
            damaged.append(str(error) if str(run.path) in str(error) else f"{run.path}: {error}")
    return ShownRun(run, history, evidence, pictures)


def read_pictures(folder: Path) -> dict[str, bytes]:
    paths = {name: folder / f"{name}.png" for name in PICTURES}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def draw_pictures(run: Run, history: list[dict[str, Any]], data: Path | None) -> dict[str, bytes]:
    """Draws the pictures of a run whose folder has the model, but lacks pictures.

    Raises:
        UserError: the model is damaged, or its images are not there.
    """
    dataset = load_images(run, data)
    model = load_model(run, dataset.test_images.shape[-1], torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        draw_all(Path(folder), model, dataset, history, run.settings.title())
        return read_pictures(Path(folder))


def read_history(run: Run) -> list[dict[str, Any]]:
    """The metrics of all epochs; a number that is not finite is NaN, which leaves a gap in a curve.

    Raises:
        UserError: metrics.jsonl is damaged.
    """
    path = run.path / "metrics.jsonl"
    history = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            values = {term: float(row[term]) for term in TERMS}
            finite = {term: value if math.isfinite(value) else math.nan for term, value in values.items()}
            history.append({"epoch": int(row["epoch"]), "split": str(row["split"])} | finite)
    except DAMAGE as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error})") from None
    return history
