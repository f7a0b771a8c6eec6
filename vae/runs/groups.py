"""Runs on disk: read, brought together by what was trained, chosen for a figure, and named where one is missing."""

import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vae.errors import UserError
from vae.runs import paper
from vae.runs.run import COLUMNS, Run, read_run
from vae.training.settings import Settings

NAMES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "dsprites": "dSprites", "chairs": "Chairs"}

# Settings that say how and where something was trained, not what.
INCIDENTAL = ("epochs", "backend", "seed", "data", "out", "resume", "deterministic")


@dataclass(frozen=True)
class SeedGroup:
    """Finished runs that differ in their seeds alone."""

    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.settings.seed for run in self.runs]

    def column(self, name: str) -> list[float]:
        return [run.values[name] for run in self.runs]

    def mean(self, column: str) -> float:
        return statistics.fmean(self.column(column))

    def sd(self, column: str) -> float | None:
        """The sample standard deviation over the seeds; one seed has none."""
        return statistics.stdev(self.column(column)) if len(self.runs) > 1 else None


@dataclass(frozen=True)
class DatasetChoice:
    """The runs of one data set that a figure shows, all of the same number of epochs."""

    dataset: str
    epochs: int
    groups: dict[Settings, SeedGroup]
    """By what was trained."""

    missing: list[str]
    """A line for each run that is wanted and not there, or not finished, with the command that makes it."""

    others: Counter[int]
    """How many finished runs were left out, by their numbers of epochs."""

    def rows(self, wanted: Sequence[Settings]) -> list[dict[str, Any]]:
        """For all that was trained or is in the paper: each column's mean and sd, and the paper's number."""
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
        """How long and how often the runs were trained."""
        seeds = {len(group.runs) for group in self.groups.values()}
        spread = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
        return f"{self.epochs} epochs, {spread} {'seed' if seeds == {1} else 'seeds'}"

    def sentence(self) -> str:
        """What a caption must say of the runs."""
        others = "".join(f"; left out: {count} of {epochs} epochs" for epochs, count in sorted(self.others.items()))
        stands = paper.COUNTERPARTS.get(self.dataset)
        beside = (
            f"; the paper's numbers beside it are those of {dataset_title(stands)}, for which it stands"
            if stands
            else ""
        )
        return f"{dataset_title(self.dataset)}: {self.extent()}{others}{beside}."


@dataclass(frozen=True)
class Selection:
    """What a figure shows, and what it cannot."""

    choices: list[DatasetChoice]
    """One for each data set that is shown."""

    missing: list[str]
    left_out: list[str]

    @property
    def notes(self) -> str:
        """What the caption must say of these runs."""
        return " ".join([*(choice.sentence() for choice in self.choices), *self.left_out])


def several(settings: Collection[Settings]) -> bool:
    """A single point compares nothing."""
    return len(settings) > 1


def several_weights(settings: Collection[Settings]) -> bool:
    return len({one.weight for one in settings}) > 1


@dataclass(frozen=True)
class RunCollection:
    """All runs below a folder."""

    runs: dict[Settings, list[Run]]
    """By what was trained."""

    damaged: list[str]
    """A line for each folder that cannot be read."""

    left_out: list[str]
    """A sentence for each run that would count something twice, or mix what differs."""

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
        """What there is of the wanted settings on every data set.

        Args:
            wanted: what is to be trained; of what data set these say does not matter.
            datasets: those that are wanted even if nothing was trained on them.
            enough: whether a data set of which these settings are there is worth showing.
            other_alphas: take JSG and JSG* of other alphas too, if they are there.
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
        """The runs of one data set, of the number of epochs of which there is most; of two equals the larger."""
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
        """What differs from the wanted settings of JSG and JSG* in its alpha alone."""
        return [one for one in self.runs if one.skewed and any(replace(one, alpha=two.alpha) == two for two in wanted)]

    def missing(self, settings: Settings, epochs: int, there: bool) -> list[str]:
        """What has to be run for these settings: what began and did not end, and one run if there is none."""
        lines = []
        for run in self.runs.get(settings, ()):
            if not run.finished or (run.epochs < epochs and not there):
                goal = max(run.settings.epochs, epochs)
                again = command(replace(run.settings, epochs=goal, out=run.path, resume=True))
                lines.append(f"{settings_label(run.settings)} ({run.path} has {run.epochs} of {goal} epochs): {again}")
        return lines or ([] if there else [f"{settings_label(settings)}: {command(replace(settings, epochs=epochs))}"])


def read_runs(*folders: Path) -> RunCollection:
    """Reads every folder below these, at any depth, and these themselves, that holds run.json.

    Raises:
        UserError: there is no such folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; name the one that holds the runs")
    runs: dict[Settings, list[Run]] = {}
    first: dict[str, Run] = {}
    damaged, left_out = [], []
    for path in sorted({found.parent for folder in folders for found in folder.rglob("run.json")}):
        try:
            run = read_run(path)
        except UserError as error:
            damaged.append(str(error))
            continue
        same = runs.setdefault(what(run.settings), [])
        reference = first.setdefault(run.settings.dataset, run)
        twin = next((one for one in same if (one.settings.seed, one.epochs) == (run.settings.seed, run.epochs)), None)
        if run.sha256 != reference.sha256:
            left_out.append(f"{path} is left out: its images are not those of {reference.path}, though named the same.")
        elif twin and twin.finished and run.finished:
            left_out.append(f"{path} is left out: it repeats the settings and the seed of {twin.path}.")
        else:
            same.append(run)
    return RunCollection({settings: same for settings, same in runs.items() if same}, damaged, left_out)


def what(settings: Settings) -> Settings:
    """The settings with everything at its default that does not say what is trained."""
    defaults = {field.name: field.default for field in fields(Settings)}
    ignored = {key: defaults[key] for key in INCIDENTAL} | ({} if settings.skewed else {"alpha": defaults["alpha"]})
    # 0.1 + 0.2 is not 0.3 to the last bit, but a loop that computed it meant that.
    return replace(settings, **({"alpha": round(settings.alpha, 9)} | ignored))


def trained(divergence: str, **options: Any) -> Settings:
    """What a figure wants trained, on whatever data set."""
    options = {"dataset": "mnist", "divergence": divergence} | options
    return Settings(**options)


def on(dataset: str, settings: Settings) -> Settings:
    """The same on another data set."""
    options: dict[str, Any] = vars(settings) | {"dataset": dataset}
    return Settings(**options)


def settings_columns(settings: Settings) -> dict[str, Any]:
    """What was trained, as columns."""
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
        words += ["--data", "PATH"]  # which no run records
    return shlex.join(words)


def settings_label(settings: Settings) -> str:
    """Data set and objective in a few words."""
    return f"{settings.dataset} {settings.title()}"


def first_missing(dataset: str, lines: Sequence[str]) -> list[str]:
    """One line for many: those about a data set that nobody tried would hide the others."""
    return [f"{dataset}, {len(lines)} runs, the first being {lines[0]}"] if lines else []


def dataset_title(dataset: str) -> str:
    """As a figure's reader knows the data set."""
    return NAMES.get(dataset, dataset)


def dataset_order(dataset: str) -> tuple[int, str]:
    """The paper's data sets in its order, one that stands for one of them beside it, then others by name."""
    name = paper.COUNTERPARTS.get(dataset, dataset)
    return (paper.DATASETS.index(name) if name in paper.DATASETS else len(paper.DATASETS)), dataset
