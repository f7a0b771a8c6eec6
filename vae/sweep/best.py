"""What ``python -m vae.sweep best`` prints: the best alphas of the runs in a folder, and what stands beside them."""

import json
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from vae import command_line
from vae.command_line import place
from vae.errors import UserError
from vae.files import replacing
from vae.likelihood import UNITS, Likelihood
from vae.objective import Divergence
from vae.runs.groups import Group, Runs, dataset_order, read_runs
from vae.runs.run import Run
from vae.runs.statistics import CONFIDENCE, SPLITS, Grid, Mean, listed, share
from vae.training.settings import Settings

WIDTH = 100
HEAD = ("divergence", "chosen by", "alpha", "seeds", "  train", "  test", "as good")
INTERVALS = f"""\
± is Student's {CONFIDENCE * 100:.0f} % interval of a mean over seeds, that is over first weights, order of the images \
and noise. It is right for an alpha named beforehand; the lowest of several means tends to be too low, and what the \
choice by train loses to it too high. As good: alphas whose difference from the chosen one, seed by seed, has an \
interval with 0 in it, each taken by itself."""
ONE_SEED = "One seed has no interval: whether an alpha is better or had better luck cannot be told. Train more seeds."
LEARNT = "A learnt alpha lowers the whole loss, of which the divergence is a part, not the reconstruction alone."


@dataclass(frozen=True)
class Best:
    """Show the best alpha of each skewed divergence by training images, for which no others are needed, and by test
    images, with intervals over seeds; learnt alphas and baselines beside them."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("sweeps")
    """Where the folders of the runs are, at any depth."""

    json: Annotated[Path | None, place("none")] = None
    """A file for all numbers."""


@dataclass(frozen=True)
class Comparison:
    """Finished runs that differ in their objective and their seeds alone."""

    common: Settings
    grids: dict[Settings, Grid]
    """By divergence and weight."""

    learnt: dict[Settings, Group]
    baselines: dict[Settings, Group]

    @property
    def seeds(self) -> set[int]:
        """How many there are behind the numbers."""
        groups = [group for grid in self.grids.values() for group in grid.groups.values()]
        return {len(group.runs) for group in [*groups, *self.learnt.values(), *self.baselines.values()]}


def parse(arguments: list[str]) -> Best:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    return command_line.parse(Best, "python -m vae.sweep best", Best.__doc__ or "", arguments)


def show(options: Best) -> None:
    """Prints a table for each data set, and for each number of epochs and all else that must not be mixed.

    Raises:
        UserError: there is no such folder, or no run in it has finished.
    """
    runs = read_runs(options.folder)
    short = [run for same in runs.runs.values() for run in same if not run.finished]
    left_out = [f"{run.path} is left out: it has {run.epochs} of {run.settings.epochs} epochs." for run in short]
    left_out += [*runs.left_out, *(f"{line}." for line in runs.damaged)]
    found = compare(runs)
    if not found:
        others = f" ({len(left_out)} begun or damaged)" if left_out else ""
        raise UserError(f"{options.folder} holds no run that has finished{others}")
    seeds = set.union(*(one.seeds for one in found))
    remarks = [INTERVALS] * (seeds != {1}) + [ONE_SEED] * (1 in seeds) + [LEARNT] * any(one.learnt for one in found)
    blocks = [*map(table, found), "\n".join(map(fold, remarks)), "\n".join(left_out)]
    print("\n\n".join(blocks).rstrip())
    if options.json:
        facts = {"folder": str(options.folder), "confidence": CONFIDENCE}
        with replacing(options.json) as path:
            facts |= {"comparisons": [describe(one) for one in found], "left_out": left_out}
            path.write_text(json.dumps(facts, indent=1) + "\n")


def compare(runs: Runs) -> list[Comparison]:
    """The finished runs, apart where they must not be mixed."""
    apart: dict[Settings, dict[Settings, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for settings in sorted(runs.runs, key=rank):
        for run in sorted(runs.runs[settings], key=lambda run: run.settings.seed):
            if run.finished:
                apart[common(settings, run.epochs)][settings].append(run)
    return [
        comparison(one, {settings: Group(tuple(same)) for settings, same in apart[one].items()})
        for one in sorted(apart, key=order)
    ]


def order(common: Settings) -> tuple:
    """The order of the tables."""
    likelihood = get_args(Likelihood).index(common.likelihood)
    return dataset_order(common.dataset), common.epochs, likelihood, common.batch_size, common.lr


def comparison(common: Settings, groups: dict[Settings, Group]) -> Comparison:
    grids: dict[Settings, dict[float, Group]] = defaultdict(dict)
    for settings, group in groups.items():
        if settings.skewed and not settings.learn_alpha:
            grids[without_alpha(settings)][settings.alpha] = group
    learnt = {settings: group for settings, group in groups.items() if settings.learn_alpha}
    baselines = {settings: group for settings, group in groups.items() if not settings.skewed}
    return Comparison(common, {settings: share(grid) for settings, grid in grids.items()}, learnt, baselines)


def common(settings: Settings, epochs: int) -> Settings:
    """What all runs of a comparison share."""
    return replace(without_alpha(settings), divergence="kl-qp", mmd_of="z", weight=1.0, epochs=epochs)


def without_alpha(settings: Settings) -> Settings:
    return replace(settings, alpha=Settings.alpha, learn_alpha=False)


def rank(settings: Settings) -> tuple:
    """The order of a table's rows."""
    return get_args(Divergence).index(settings.divergence), settings.mmd_of != "z", settings.weight, settings.alpha


def name(settings: Settings) -> str:
    """The objective, without alpha and likelihood.

    >>> name(Settings(divergence="jsg-dual", alpha=0.7, weight=4, likelihood="laplace"))
    'JSG*, weight 4'
    """
    return replace(without_alpha(settings), likelihood="gaussian").title().replace(f", alpha {Settings.alpha:g}", "")


def table(found: Comparison) -> str:
    """The comparison for the eye."""
    rows = [(settings, [split, *row(grid, split)]) for settings, grid in found.grids.items() for split in SPLITS]
    for settings, group in found.learnt.items():
        alpha = Mean.of([run.alpha for run in group.runs]).text(3)
        rows.append((without_alpha(settings), [f"learnt from {settings.alpha:g}", alpha, *columns(group), ""]))
    rows.sort(key=lambda row: rank(row[0]))  # puts what was learnt beside its grid
    rows += [(settings, ["", "", *columns(group), ""]) for settings, group in found.baselines.items()]
    remarks = [f"{name(settings)}: {said}." for settings, grid in found.grids.items() for said in grid.remarks()]
    lines = lay_out([HEAD, *([name(settings), *cells] for settings, cells in rows)])
    return "\n".join([heading(found.common), *lines, *map(fold, remarks)])


def heading(common: Settings) -> str:
    said = [f"{common.dataset}", f"{common.epochs} epochs"]
    said += [f"batch size {common.batch_size}"] * (common.batch_size != Settings.batch_size)
    said += [f"lr {common.lr:g}"] * (common.lr != Settings.lr)
    return f"{', '.join(said)}; {UNITS[common.likelihood]} per image, z = mean"


def row(grid: Grid, split: str) -> list[str]:
    alpha, as_good = grid.best(split), grid.as_good(split)
    return [f"{alpha:g}", *columns(grid.groups[alpha]), "-" if as_good is None else listed(as_good, grid.alphas)]


def columns(group: Group) -> list[str]:
    return [f"{len(group.runs):5}", *(Mean.of(group.column(column)).text(width=7) for column in SPLITS.values())]


def lay_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligns the columns, the last of which is folded; a name with nothing beside it reaches as far as nothing is."""
    widths = [max(len(row[column]) for row in rows if row[1] or column) for column in range(len(HEAD) - 1)]
    start = sum(widths) + 2 * len(widths)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if not row[1]:
            cells[:3] = [row[0].ljust(sum(widths[:3]) + 4)]
        first, *more = textwrap.wrap(row[-1], WIDTH - start) or [""]
        lines += ["  ".join([*cells, first]).rstrip(), *(" " * start + line for line in more)]
    return lines


def fold(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def describe(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON holds it, with the numbers of every seed."""
    common = {name: getattr(found.common, name) for name in ("dataset", "epochs", "likelihood", "batch_size", "lr")}
    return common | {
        "unit": UNITS[found.common.likelihood],
        "grids": [objective(settings) | choice(grid) for settings, grid in found.grids.items()],
        "learnt": [
            objective(settings)
            | {"start": settings.alpha, "end": numbers([run.alpha for run in group.runs])}
            | facts(group)
            for settings, group in found.learnt.items()
        ],
        "baselines": [
            objective(settings) | {"mmd_of": settings.mmd_of} | facts(group)
            for settings, group in found.baselines.items()
        ],
    }


def objective(settings: Settings) -> dict[str, Any]:
    return {"divergence": settings.divergence, "weight": settings.weight}


def choice(grid: Grid) -> dict[str, Any]:
    regret = grid.regret()
    return {
        "best": {split: {"alpha": grid.best(split), "as_good": grid.as_good(split)} for split in SPLITS},
        "regret": {"mean": regret.value, "interval": regret.interval},
        "alphas": [{"alpha": alpha} | facts(group) for alpha, group in grid.groups.items()],
        "left_out": grid.left_out,
    }


def facts(group: Group) -> dict[str, Any]:
    return {"seeds": group.seeds} | {split: numbers(group.column(column)) for split, column in SPLITS.items()}


def numbers(values: list[float]) -> dict[str, Any]:
    mean = Mean.of(values)
    return {"values": values, "mean": mean.value, "interval": mean.interval}
