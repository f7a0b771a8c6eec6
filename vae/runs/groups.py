"""Runs on disk, grouped by their settings and chosen for a figure, with the commands for missing ones."""

import os
import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vae.errors import UserError
from vae.runs import paper
from vae.runs.run import COLUMNS, Run, read_run
from vae.training.settings import Settings

NAMES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "dsprites": "dSprites", "chairs": "Chairs"}

# Settings that do not change what is trained, only how, where and for how long.
INCIDENTAL = ("epochs", "backend", "seed", "data", "out", "resume", "deterministic")


@dataclass(frozen=True)
class SeedGroup:
    """Finished runs that differ in their seeds only."""

    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.settings.seed for run in self.runs]

    def column(self, name: str) -> list[float]:
        return [run.values[name] for run in self.runs]

    def mean(self, column: str) -> float:
        return statistics.fmean(self.column(column))

    def sd(self, column: str) -> float | None:
        """The sample standard deviation over the seeds; None for one seed."""
        return statistics.stdev(self.column(column)) if len(self.runs) > 1 else None


@dataclass(frozen=True)
class DatasetChoice:
    """The runs of one data set that a figure shows, all with the same number of epochs."""

    dataset: str
    epochs: int
    groups: dict[Settings, SeedGroup]
    """The groups by their settings."""

    missing: list[str]
    """A line for each run that is missing or unfinished, with the command that makes it."""

    others: Counter[int]
    """How many finished runs are left out, by number of epochs."""

    def rows(self, wanted: Sequence[Settings]) -> list[dict[str, Any]]:
        """Mean, sd and the paper's number of each column, for all settings that were trained or are in the paper."""
        rows = []
        for settings in dict.fromkeys([*(on(self.dataset, one) for one in wanted), *self.groups]):
            group = self.groups.get(settings)
            numbers: dict[str, float | None] = {}
            for column in COLUMNS:
                numbers[column] = group.mean(column) if group else None
                numbers[f"{column}_sd"] = group.sd(column) if group else None
                numbers[f"{column}_paper"] = paper.published(column, settings)
            if any(value is not None for value in numbers.values()):
                columns = settings_columns(settings) | {
                    "epochs": group and self.epochs,
                    "seeds": group and len(group.runs),
                }
                rows.append(columns | numbers)
        return rows

    def extent(self) -> str:
        """The numbers of epochs and of seeds, in words."""
        seeds = {len(group.runs) for group in self.groups.values()}
        spread = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
        return f"{self.epochs} epoch{'s' * (self.epochs != 1)}, {spread} {'seed' if seeds == {1} else 'seeds'}"

    def sentence(self) -> str:
        """A sentence about the runs, for the caption."""
        others = "".join(f"; left out: {count} of {epochs} epochs" for epochs, count in sorted(self.others.items()))
        original = paper.COUNTERPARTS.get(self.dataset)
        of_paper = f"; the paper's numbers are those of {dataset_title(original)}" if original else ""
        return f"{dataset_title(self.dataset)}: {self.extent()}{others}{of_paper}."


@dataclass(frozen=True)
class Selection:
    """The runs that a figure shows, and those that it lacks."""

    choices: list[DatasetChoice]
    """One entry for each data set that is shown."""

    missing: list[str]
    left_out: list[str]

    @property
    def notes(self) -> str:
        """Sentences about the runs, for the caption."""
        return " ".join([*(choice.sentence() for choice in self.choices), *self.left_out])


def several(settings: Collection[Settings]) -> bool:
    """Whether there is more than one point, as a single one compares nothing."""
    return len(settings) > 1


def several_weights(settings: Collection[Settings]) -> bool:
    return len({one.weight for one in settings}) > 1


@dataclass(frozen=True)
class RunCollection:
    """All runs below a folder."""

    runs: dict[Settings, list[Run]]
    """The runs by their settings, without the ones in ``INCIDENTAL``."""

    damaged: list[str]
    """A line for each folder that cannot be read."""

    left_out: list[str]
    """A sentence for each run that repeats another, or has other images than the rest."""

    @property
    def unfinished(self) -> list[str]:
        """A sentence for each run that has epochs left to train."""
        short = [run for same in self.runs.values() for run in same if not run.finished]
        return [f"{run.path} is left out: it has {run.epochs} of {run.settings.epochs} epochs." for run in short]

    def select(
        self,
        wanted: Sequence[Settings],
        datasets: Sequence[str] = (),
        *,
        enough: Callable[[Collection[Settings]], bool] = several,
        other_alphas: bool = False,
    ) -> Selection:
        """Chooses the runs with the wanted settings on every data set.

        Args:
            wanted: the settings that the figure shows; their data set is ignored.
            datasets: data sets that are wanted even if nothing was trained on them.
            enough: whether a data set is worth showing, given the settings that were trained on it.
            other_alphas: whether to add runs of JSG and JSG* with other alphas.
        """
        there = {one.dataset for one in self.runs if on(wanted[0].dataset, one) in wanted}
        stood_for = {paper.COUNTERPARTS.get(dataset) for dataset in there}
        named = sorted(there | (set(datasets) - stood_for), key=dataset_order) or paper.DATASETS[:1]
        choices = [self.choose(dataset, wanted, other_alphas) for dataset in named]
        shown = [choice for choice in choices if enough(choice.groups)]
        missing = []
        for choice in choices:
            if choice in (shown or choices[:1]):
                missing += choice.missing
            else:
                missing += first_missing(choice.dataset, choice.missing)
        return Selection(shown, missing + self.damaged, self.left_out)

    def choose(self, dataset: str, wanted: Sequence[Settings], other_alphas: bool) -> DatasetChoice:
        """The runs of one data set with its commonest number of epochs, or the larger of two equally common ones."""
        wanted = [on(dataset, settings) for settings in wanted]
        lengths: dict[Settings, set[int]] = {
            settings: {run.epochs for run in self.runs.get(settings, ()) if run.finished}
            for settings in dict.fromkeys([*wanted, *(self.alphas(wanted) if other_alphas else ())])
        }
        there = Counter(length for found in lengths.values() for length in found)
        epochs = max(there, key=lambda length: (there[length], length), default=Settings.epochs)
        groups, others = {}, Counter()
        for settings in lengths:
            finished = [run for run in self.runs.get(settings, ()) if run.finished]
            if chosen := tuple(run for run in finished if run.epochs == epochs):
                groups[settings] = SeedGroup(chosen)
            others.update(run.epochs for run in finished if run.epochs != epochs)
        missing = [line for one in lengths for line in self.missing(one, epochs, one in groups or one not in wanted)]
        return DatasetChoice(dataset, epochs, groups, missing, others)

    def alphas(self, wanted: Sequence[Settings]) -> list[Settings]:
        """The settings of JSG and JSG* that differ from the wanted ones in alpha only."""
        return [one for one in self.runs if one.skewed and any(replace(one, alpha=two.alpha) == two for two in wanted)]

    def missing(self, settings: Settings, epochs: int, there: bool) -> list[str]:
        """Lines for the unfinished runs with these settings, or for one run if there is none."""
        lines = []
        for run in self.runs.get(settings, ()):
            if not run.finished or (run.epochs < epochs and not there):
                goal = max(run.settings.epochs, epochs)
                again = command(replace(run.settings, epochs=goal, out=run.path, resume=True))
                lines.append(f"{settings_label(run.settings)} ({run.path} has {run.epochs} of {goal} epochs): {again}")
        return lines or ([] if there else [f"{settings_label(settings)}: {command(replace(settings, epochs=epochs))}"])


def read_runs(*folders: Path) -> RunCollection:
    """Reads all runs in the folders and below them, at any depth.

    Raises:
        UserError: one of them is not a folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; name the folder that holds the runs")
    runs: dict[Settings, list[Run]] = {}
    first: dict[str, Run] = {}
    damaged, left_out = [], []
    for path in sorted(run_folders(folders)):
        try:
            run = read_run(path)
        except UserError as error:
            damaged.append(str(error))
            continue
        same = runs.setdefault(what(run.settings), [])
        reference = first.setdefault(run.settings.dataset, run)
        twin = next((one for one in same if (one.settings.seed, one.epochs) == (run.settings.seed, run.epochs)), None)
        if run.sha256 != reference.sha256:
            left_out.append(f"{path} is left out: its images differ from those of {reference.path}.")
        elif twin and twin.finished and run.finished:
            left_out.append(f"{path} is left out: it repeats the settings and the seed of {twin.path}.")
        else:
            same.append(run)
    return RunCollection({settings: same for settings, same in runs.items() if same}, damaged, left_out)


def run_folders(folders: Iterable[Path]) -> Iterator[Path]:
    """The folders with a run, at any depth. Links to folders are followed, and no folder is visited twice."""
    visited = set()
    for folder in folders:
        for place, names, files in os.walk(folder, followlinks=True):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in visited:
                names.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            names.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))  # own names before links
            if "run.json" in files:
                yield Path(place)


def what(settings: Settings) -> Settings:
    """The settings that matter: those in ``INCIDENTAL``, and alpha if it has no effect, are set to their defaults."""
    defaults = {field.name: field.default for field in fields(Settings)}
    ignored = {key: defaults[key] for key in INCIDENTAL} | ({} if settings.skewed else {"alpha": defaults["alpha"]})
    # Rounded, as a loop may compute 0.1 + 0.2, which is not 0.3 to the last bit.
    return replace(settings, **({"alpha": round(settings.alpha, 9)} | ignored))


def trained(divergence: str, **options: Any) -> Settings:
    """Makes settings that a figure shows, on any data set."""
    options = {"dataset": "mnist", "divergence": divergence} | options
    return Settings(**options)


def on(dataset: str, settings: Settings, **changes: Any) -> Settings:
    """The same settings on another data set."""
    options: dict[str, Any] = vars(settings) | {"dataset": dataset} | changes
    return Settings(**options)


def settings_columns(settings: Settings) -> dict[str, Any]:
    """Data set, divergence, alpha and weight, as columns of a CSV file."""
    return {
        "dataset": settings.dataset,
        "divergence": settings.divergence,
        "alpha": settings.alpha if settings.skewed else None,
        "weight": settings.weight,
    }


def command(settings: Settings) -> str:
    """The command that trains these settings."""
    words = ["python", "-m", "vae.train"]
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name == "alpha" and not settings.skewed:
            continue
        if field.name in ("dataset", "divergence", "alpha", "epochs") or value != field.default:
            words.append(f"--{field.name.replace('_', '-')}")
            if value is not True:
                words.append(f"{value:.12g}" if isinstance(value, float) else str(value))
    if settings.dataset == "own":
        words += ["--data", "PATH"]
    return shlex.join(words)


def settings_label(settings: Settings) -> str:
    """Data set and objective, in a few words."""
    return f"{settings.dataset} {settings.title()}"


def first_missing(dataset: str, lines: Sequence[str]) -> list[str]:
    """One line instead of many, for a data set with too few runs."""
    return [f"{dataset}, {len(lines)} runs, the first: {lines[0]}"] if lines else []


def dataset_title(dataset: str) -> str:
    """The published name of a data set."""
    return NAMES.get(dataset, dataset)


def dataset_order(dataset: str) -> tuple[int, str]:
    """The sort key of a data set: the paper's and their replacements in its order, then others by name."""
    name = paper.COUNTERPARTS.get(dataset, dataset)
    return (paper.DATASETS.index(name) if name in paper.DATASETS else len(paper.DATASETS)), dataset
