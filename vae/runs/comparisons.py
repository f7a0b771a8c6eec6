"""Sorts finished runs into comparisons: runs that may be compared, because they differ only in objective and seed."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import get_args

from vae.likelihood import UNITS, Likelihood
from vae.objective import Divergence
from vae.runs.groups import RunCollection, SeedGroup, dataset_order
from vae.runs.run import Run
from vae.runs.statistics import AlphaGrid, share
from vae.training.settings import Settings


@dataclass(frozen=True)
class Comparison:
    """Finished runs of one data set, number of epochs, likelihood, batch size and learning rate."""

    common: Settings
    """The settings that the runs share."""

    groups: dict[Settings, SeedGroup]
    """The runs, grouped by the settings that were trained, in the order of a table's rows."""

    @property
    def grids(self) -> dict[Settings, AlphaGrid]:
        """The runs of JSG and JSG* whose alpha was set, by divergence and weight."""
        grids: dict[Settings, dict[float, SeedGroup]] = defaultdict(dict)
        for settings, group in self.groups.items():
            if settings.skewed and not settings.learn_alpha:
                grids[without_alpha(settings)][settings.alpha] = group
        return {settings: share(grid) for settings, grid in grids.items()}

    @property
    def learnt(self) -> dict[Settings, SeedGroup]:
        """The runs that learnt alpha."""
        return {settings: group for settings, group in self.groups.items() if settings.learn_alpha}

    @property
    def baselines(self) -> dict[Settings, SeedGroup]:
        """The runs whose divergence has no alpha."""
        return {settings: group for settings, group in self.groups.items() if not settings.skewed}


def compare(runs: RunCollection) -> list[Comparison]:
    """Sorts the finished runs into comparisons, and these by data set."""
    found: dict[Settings, dict[Settings, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for settings in sorted(runs.runs, key=rank):
        for run in sorted(runs.runs[settings], key=lambda run: run.settings.seed):
            if run.finished:
                found[common(settings, run.epochs)][settings].append(run)
    return [
        Comparison(one, {settings: SeedGroup(tuple(same)) for settings, same in found[one].items()})
        for one in sorted(found, key=order)
    ]


def common(settings: Settings, epochs: int) -> Settings:
    """The settings that all runs of a comparison share; objective and seed are at their defaults."""
    return replace(without_alpha(settings), divergence="kl-qp", mmd_of="z", weight=1.0, epochs=epochs)


def without_alpha(settings: Settings) -> Settings:
    return replace(settings, alpha=Settings.alpha, learn_alpha=False)


def order(common: Settings) -> tuple:
    """The sort key of a comparison."""
    likelihood = get_args(Likelihood).index(common.likelihood)
    return dataset_order(common.dataset), common.epochs, likelihood, common.batch_size, common.lr


def rank(settings: Settings) -> tuple:
    """The sort key of a table's row: learnt alphas come after those that were set."""
    divergence = get_args(Divergence).index(settings.divergence)
    return divergence, settings.mmd_of != "z", settings.weight, settings.learn_alpha, settings.alpha


def name(settings: Settings) -> str:
    """The objective, without alpha and likelihood.

    >>> name(Settings(divergence="jsg-dual", alpha=0.7, weight=4, likelihood="laplace"))
    'JSG*, weight 4'
    """
    return replace(without_alpha(settings), likelihood="gaussian").title().replace(f", alpha {Settings.alpha:g}", "")


def heading(common: Settings) -> str:
    """The settings that the runs of a comparison share, in one line."""
    parts = [f"{common.dataset}", f"{common.epochs} epoch{'s' * (common.epochs != 1)}"]
    parts += [f"batch size {common.batch_size}"] * (common.batch_size != Settings.batch_size)
    parts += [f"lr {common.lr:g}"] * (common.lr != Settings.lr)
    return f"{', '.join(parts)}; {UNITS[common.likelihood]} per image, z = mean"
