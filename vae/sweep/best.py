"""The table of ``python -m vae.sweep best``: the best alphas of the runs, with learnt alphas and baselines."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vae import command_line
from vae.command_line import place
from vae.errors import UserError
from vae.files import write
from vae.likelihood import UNITS
from vae.runs.comparisons import Comparison, compare, heading, name, rank, without_alpha
from vae.runs.groups import SeedGroup, read_runs
from vae.runs.statistics import CONFIDENCE, SPLITS, AlphaGrid, SeedMean, listed
from vae.training.settings import Settings

WIDTH = 100
HEAD = ("divergence", "chosen by", "alpha", "seeds", "  train", "  test", "as good")
INTERVALS = f"""\
± is Student's {CONFIDENCE * 100:.0f} % interval of a mean over seeds, that is over initial weights, order of the \
images and noise. It is valid for an alpha chosen in advance. The smallest of several means tends to be too small, and \
the loss from choosing by train too large. As good: alphas whose difference from the chosen one, seed by seed, has an \
interval that contains 0, each tested alone."""
ONE_SEED = "One seed has no interval, so a better alpha cannot be told from a lucky one. Train more seeds."
LEARNT = "A learnt alpha lowers the whole loss, reconstruction and divergence, not the reconstruction alone."


@dataclass(frozen=True)
class Best:
    """Show the best alpha of each skewed divergence, chosen by training images and by test images, with intervals over
    seeds, then learnt alphas and baselines. A choice by training images leaves the test images to judge it."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("sweeps")
    """The folder that contains the runs, at any depth."""

    json: Annotated[Path | None, place("none")] = None
    """A file for all numbers."""


def parse_best(arguments: list[str]) -> Best:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    return command_line.parse_options(Best, "python -m vae.sweep best", Best.__doc__ or "", arguments)


def show_best(options: Best) -> None:
    """Prints a table for each data set, number of epochs, and other settings that must not be mixed.

    Raises:
        UserError: there is no such folder, or no run in it has finished.
    """
    runs = read_runs(options.folder)
    left_out = [*runs.unfinished, *runs.left_out, *(f"{line}." for line in runs.damaged)]
    found = compare(runs)
    if not found:
        others = f" ({len(left_out)} begun or damaged)" if left_out else ""
        raise UserError(f"{options.folder} holds no run that has finished{others}")
    groups = [group for one in found for grid in one.grids.values() for group in grid.groups.values()]
    groups += [group for one in found for group in [*one.learnt.values(), *one.baselines.values()]]
    seeds = {len(group.runs) for group in groups}
    remarks = [INTERVALS] * (seeds != {1}) + [ONE_SEED] * (1 in seeds) + [LEARNT] * any(one.learnt for one in found)
    blocks = [*map(comparison_table, found), "\n".join(map(fold, remarks)), "\n".join(left_out)]
    print("\n\n".join(blocks).rstrip())
    if options.json:
        facts = {"folder": str(options.folder), "confidence": CONFIDENCE}
        facts |= {"comparisons": [comparison_facts(one) for one in found], "left_out": left_out}
        write(options.json, json.dumps(facts, indent=1) + "\n")


def comparison_table(found: Comparison) -> str:
    """The comparison as a table to read."""
    rows = [(settings, [split, *grid_cells(grid, split)]) for settings, grid in found.grids.items() for split in SPLITS]
    for settings, group in found.learnt.items():
        alpha = SeedMean.of([run.alpha for run in group.runs]).text(3)
        rows.append((without_alpha(settings), [f"learnt from {settings.alpha:g}", alpha, *columns(group), ""]))
    rows.sort(key=lambda row: rank(row[0]))  # puts a learnt alpha next to its grid
    rows += [(settings, ["", "", *columns(group), ""]) for settings, group in found.baselines.items()]
    remarks = [f"{name(settings)}: {said}." for settings, grid in found.grids.items() for said in grid.remarks()]
    lines = lay_out([HEAD, *([name(settings), *cells] for settings, cells in rows)])
    return "\n".join([heading(found.common), *lines, *map(fold, remarks)])


def grid_cells(grid: AlphaGrid, split: str) -> list[str]:
    alpha, as_good = grid.best(split), grid.as_good(split)
    return [f"{alpha:g}", *columns(grid.groups[alpha]), "-" if as_good is None else listed(as_good, grid.alphas)]


def columns(group: SeedGroup) -> list[str]:
    return [f"{len(group.runs):5}", *(SeedMean.of(group.column(column)).text(width=7) for column in SPLITS.values())]


def lay_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligns the columns and folds the last one; a name extends over the empty columns to its right."""
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


def comparison_facts(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON holds it, with the numbers of every seed."""
    common = {name: getattr(found.common, name) for name in ("dataset", "epochs", "likelihood", "batch_size", "lr")}
    return common | {
        "unit": UNITS[found.common.likelihood],
        "grids": [objective_columns(settings) | grid_facts(grid) for settings, grid in found.grids.items()],
        "learnt": [
            objective_columns(settings)
            | {"start": settings.alpha, "end": seed_values([run.alpha for run in group.runs])}
            | group_facts(group)
            for settings, group in found.learnt.items()
        ],
        "baselines": [
            objective_columns(settings) | {"mmd_of": settings.mmd_of} | group_facts(group)
            for settings, group in found.baselines.items()
        ],
    }


def objective_columns(settings: Settings) -> dict[str, Any]:
    return {"divergence": settings.divergence, "weight": settings.weight}


def grid_facts(grid: AlphaGrid) -> dict[str, Any]:
    regret = grid.regret()
    return {
        "best": {split: {"alpha": grid.best(split), "as_good": grid.as_good(split)} for split in SPLITS},
        "regret": {"mean": regret.value, "interval": regret.interval},
        "alphas": [{"alpha": alpha} | group_facts(group) for alpha, group in grid.groups.items()],
        "left_out": grid.left_out,
    }


def group_facts(group: SeedGroup) -> dict[str, Any]:
    return {"seeds": group.seeds} | {split: seed_values(group.column(column)) for split, column in SPLITS.items()}


def seed_values(values: list[float]) -> dict[str, Any]:
    mean = SeedMean.of(values)
    return {"values": values, "mean": mean.value, "interval": mean.interval}
