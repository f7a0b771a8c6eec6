"""Figure 5: the log evidence from ``python -m vae.evaluate``, against alpha."""

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vae.figures.curves import BY_ALPHA, GRID, Series, set_ticks
from vae.figures.output import WIDTH, Result
from vae.runs.evaluation import Unusable, read_evidence
from vae.runs.groups import dataset_title, first_missing, read_runs, settings_columns, settings_label, trained
from vae.runs.run import Run
from vae.style import COLOURS, LABELS

WANTED = [*GRID, trained("mmd", weight=500.0)]
SERIES = [*BY_ALPHA, Series({"divergence": "mmd"}, COLOURS["mmd"], LABELS["mmd"])]
DATASETS = ("mnist", "fashion")
LIKELIHOOD, SAMPLES = "bernoulli", 128
VALUES = ("log_evidence", "low", "high")

CAPTION = (
    f"Figure 5. Log evidence of test images against alpha: importance sampling with q(z|x), {SAMPLES} draws for each "
    "image, Bernoulli likelihood of binarised images, for models trained with squared errors. Bars and bands: "
    "95 % of 1000 bootstrap resamples of the batches' evidence. They say nothing about other seeds. With several seeds "
    "each is a dot, and mean and interval are means over them. MMD, with weight 500, compares draws of z with the "
    "prior, as InfoVAE does. The paper prints no numbers to compare with. Its code uses the log-variance as log "
    "standard deviation and adds 1e-9 inside logs; ours does not."
)


def fig5(folder: Path) -> Result:
    """Fig. 5: log evidence against alpha."""
    selection = read_runs(folder).select(WANTED, DATASETS, other_alphas=True)
    panels: dict[str, list[dict[str, Any]]] = {}
    missing = list(selection.missing)
    for choice in selection.choices:
        rows, unusable = [], []
        for settings, group in choice.groups.items():
            for run in group.runs:
                try:
                    seed = {"epochs": run.epochs, "seed": run.settings.seed}
                    rows.append(settings_columns(settings) | seed | read_comparable(run))
                except Unusable as reason:
                    command = shlex.join(["python", "-m", "vae.evaluate", str(run.path), "--likelihood", LIKELIHOOD])
                    unusable.append(f"{settings_label(run.settings)} ({reason}): {command}")
        if len({(row["divergence"], row["alpha"]) for row in rows}) > 1:  # a single point compares nothing
            panels[choice.dataset] = rows
        missing += unusable if choice.dataset in (*panels, *DATASETS) else first_missing(choice.dataset, unusable)
    figure = draw_evidence(panels) if panels else None
    rows = [row for rows in panels.values() for row in rows]
    shown = replace(selection, choices=[choice for choice in selection.choices if choice.dataset in panels])
    return Result(figure, rows, f"{CAPTION} {shown.notes}", missing)


def read_comparable(run: Run) -> dict[str, Any]:
    """The log evidence of a run and its interval, estimated as in the figure.

    Raises:
        Unusable: there is no evaluation, it is damaged, or it was estimated in another way.
    """
    found = read_evidence(run)
    if (found["likelihood"], found["samples"]) != (LIKELIHOOD, SAMPLES):
        raise Unusable(f"evaluated with {found['likelihood']} likelihood and {found['samples']} samples")
    return found


def draw_evidence(panels: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.1 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).flat
    for axes, (dataset, rows) in zip(grid, panels.items(), strict=False):
        for series in SERIES:
            mine = series.rows(rows, dataset)
            (draw_interval_curve if series.marker else draw_interval_level)(axes, mine, series)
        set_ticks(axes, "alpha", columns)
        axes.set_title(dataset_title(dataset))
        axes.set_ylabel("log evidence (nats per image)")
    handles = [Line2D([], [], color=one.colour, marker=one.marker, label=one.label) for one in SERIES]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.4)
    return figure


def draw_interval_curve(axes: Axes, rows: Sequence[Mapping[str, Any]], series: Series) -> None:
    """Draws mean and interval over the seeds, and each seed if there are several."""
    alphas = sorted({row["alpha"] for row in rows})
    at_alpha = [[row for row in rows if row["alpha"] == alpha] for alpha in alphas]
    value, low, high = ([statistics.fmean(row[name] for row in same) for same in at_alpha] for name in VALUES)
    for same in at_alpha:
        if len(same) > 1:
            axes.plot(
                [row["alpha"] for row in same],
                [row["log_evidence"] for row in same],
                ".",
                color=series.colour,
                alpha=0.5,
            )
    below = [middle - end for middle, end in zip(value, low, strict=True)]
    above = [end - middle for middle, end in zip(value, high, strict=True)]
    axes.errorbar(
        alphas, value, (below, above), fmt=f"{series.marker}-", color=series.colour, elinewidth=0.8, capsize=1.5
    )


def draw_interval_level(axes: Axes, rows: Sequence[Mapping[str, Any]], series: Series) -> None:
    if rows:
        value, low, high = (statistics.fmean(row[name] for row in rows) for name in VALUES)
        axes.axhspan(low, high, color=series.colour, alpha=0.15, linewidth=0)
        axes.axhline(value, color=series.colour)
