"""What the page shows of runs, read from their folders."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vae.errors import UserError
from vae.report.paint import Painter, Pictures
from vae.runs.comparisons import common, order, rank
from vae.runs.evaluation import Unusable, read_evidence
from vae.runs.groups import command, read_runs
from vae.runs.run import DAMAGE, WEIGHTS, Run
from vae.runs.statistics import SeedMean
from vae.training.settings import Settings

TERMS = ("reconstruction", "divergence")


@dataclass(frozen=True)
class Shown:
    """One finished run."""

    run: Run
    history: dict[str, list[tuple[int, float | None, float | None]]]
    """By split: epoch, reconstruction and divergence, None where it was not finite."""

    evidence: dict[str, Any] | None
    pictures: Pictures | None
    lacking: str
    """Why there are no pictures, and what would make them."""

    def row(self) -> dict[str, Any]:
        """Of the CSV."""
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
    """Runs that differ in their seeds alone, in the order of these."""

    settings: Settings
    shown: tuple[Shown, ...]

    @property
    def alpha(self) -> float | None:
        """By which the slider finds it; one that was learnt is not set apart by it."""
        return self.settings.alpha if self.settings.skewed and not self.settings.learn_alpha else None

    @property
    def learnt(self) -> SeedMean | None:
        """Where learning has brought alpha."""
        return SeedMean.of([one.run.alpha for one in self.shown]) if self.settings.learn_alpha else None

    def over_seeds(self, column: str) -> SeedMean:
        return SeedMean.of([one.run.values[column] for one in self.shown])

    @property
    def estimates(self) -> list[dict[str, Any]]:
        """Of the log evidence, as far as they were made in one way, that of the first."""
        found = [one.evidence for one in self.shown if one.evidence]
        return [one for one in found if way(one) == way(found[0])]

    @property
    def log_evidence(self) -> SeedMean | None:
        found = [one["log_evidence"] for one in self.estimates]
        return SeedMean.of(found) if found else None


@dataclass(frozen=True)
class Section:
    """Runs that may be compared: of one data set, as many epochs, one likelihood, batch size and learning rate."""

    common: Settings
    groups: tuple[ShownGroup, ...]

    @property
    def shown(self) -> list[Shown]:
        return [one for group in self.groups for one in group.shown]


@dataclass(frozen=True)
class Collection:
    comparisons: tuple[Section, ...]
    left_out: list[str]
    """A sentence for each run that is whole, but not shown."""

    damaged: list[str]
    """A line for each run, or part of one, that cannot be read."""

    @property
    def shown(self) -> list[Shown]:
        return [one for comparison in self.comparisons for one in comparison.shown]


def way(evidence: Mapping[str, Any]) -> str:
    """In which a log evidence was estimated; those of different ways cannot be compared."""
    return f"{evidence['likelihood']} likelihood, {evidence['samples']} draws"


def collect(folders: Sequence[Path], data: Path | None) -> Collection:
    """All finished runs in the folders.

    Args:
        data: where the images are, as for ``vae.evaluate``.

    Raises:
        UserError: a folder is none.
    """
    found = read_runs(*folders)
    damaged = list(found.damaged)
    painter = Painter(data)
    apart: dict[Settings, dict[Settings, list[Shown]]] = defaultdict(lambda: defaultdict(list))
    for settings, same in tqdm(found.runs.items(), unit=" runs", leave=False, disable=None):
        for run in sorted(same, key=lambda run: run.settings.seed):
            if run.finished:
                try:
                    apart[common(settings, run.epochs)][settings].append(read_shown(run, painter, damaged))
                except UserError as error:
                    damaged.append(str(error))
    comparisons = [
        Section(one, tuple(ShownGroup(what, tuple(apart[one][what])) for what in sorted(apart[one], key=rank)))
        for one in sorted(apart, key=order)
    ]
    return Collection(tuple(comparisons), [*found.unfinished, *found.left_out], damaged)


def read_shown(run: Run, painter: Painter, damaged: list[str]) -> Shown:
    """Reads the rest of a run; what is damaged in it, but for its metrics, is added to the list and left out.

    Raises:
        UserError: its metrics cannot be read.
    """
    evidence, pictures, lacking = None, None, ""
    try:
        evidence = read_evidence(run) if (run.path / "evaluation.json").exists() else None
    except Unusable as error:
        damaged.append(str(error) if str(run.path) in str(error) else f"{run.path}: {error}")
    if not (run.path / WEIGHTS).exists():
        lacking = f"{run.path} has no {WEIGHTS}, which makes them. To train it again: {command(run.settings)}"
    else:
        try:
            pictures = painter.paint(run)
        except UserError as error:
            lacking = str(error) if str(run.path) in str(error) else f"{run.path}: {error}"
            damaged.append(lacking)
    return Shown(run, read_history(run), evidence, pictures, lacking)


def read_history(run: Run) -> dict[str, list[tuple[int, float | None, float | None]]]:
    """All epochs of a run.

    Raises:
        UserError: metrics.jsonl is damaged.
    """
    path = run.path / "metrics.jsonl"
    history: dict[str, list] = {"train": [], "test": []}
    try:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            values = [float(row[term]) for term in TERMS]
            numbers = [value if math.isfinite(value) else None for value in values]
            history[row["split"]].append((int(row["epoch"]), *numbers))
    except DAMAGE as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error})") from None
    return history
