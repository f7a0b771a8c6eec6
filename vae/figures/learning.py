"""Learning curves with the paper's final numbers: the reconstruction of test images after each epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vae.figures.curves import Series
from vae.figures.output import WIDTH, Result
from vae.runs import paper
from vae.runs.groups import command, dataset_title, on, read_runs, settings_columns, settings_label, trained
from vae.runs.run import Run, read_rows
from vae.style import COLOURS, INK, LABELS

COLUMN = "test_reconstruction"
SERIES = [
    Series({"divergence": "kl-qp"}, COLOURS["kl-qp"], LABELS["kl-qp"], "^"),
    Series({"divergence": "mmd"}, COLOURS["mmd"], LABELS["mmd"], "v"),
    Series({"divergence": "jsg", "alpha": 0.1}, COLOURS["jsg"], LABELS["jsg"] + " .1", "o"),
    Series({"divergence": "jsg-dual", "alpha": 0.3}, COLOURS["jsg-dual"], LABELS["jsg-dual"] + " .3", "s"),
    Series({"divergence": "jsg-dual", "alpha": 0.4}, COLOURS["jsg-dual"], LABELS["jsg-dual"] + " .4", "D"),
]
WANTED = [
    trained("kl-qp"),
    trained("mmd", weight=500.0),
    trained("jsg", alpha=0.1),
    trained("jsg-dual", alpha=0.3),
    trained("jsg-dual", alpha=0.4),
]
LONGEST = {"mnist": 300, "fashion": 100}  # epochs that the commands for missing runs ask for

CAPTION = (
    "Learning curves. Reconstruction of test images after each epoch (the sum over the pixels of an image of squared "
    "differences, z = mean, averaged over the images), of the longest run of each divergence, one seed. Dotted levels "
    "are the paper's final numbers; it does not state its epochs. In the table, passed is the first epoch that is at "
    "or below the paper's number, and last_doubling is what the second half of the epochs gained."
)


def learning_curves(folder: Path) -> Result:
    """The reconstruction of test images after each epoch, for every data set that has runs."""
    runs = read_runs(folder).runs
    chosen: dict[str, list[Run]] = {}
    missing = []
    for dataset, epochs in LONGEST.items():
        for settings in (on(dataset, one) for one in WANTED):
            run = max(runs.get(settings, ()), key=lambda run: run.epochs, default=None)
            if run and run.epochs > 1:
                chosen.setdefault(dataset, []).append(run)
            else:
                missing.append(f"{settings_label(settings)}: {command(on(dataset, settings, epochs=epochs))}")
    rows = [learning(run) for same in chosen.values() for run in same]
    return Result(draw(chosen, rows) if rows else None, rows, CAPTION, missing)


def test_errors(run: Run) -> list[float]:
    """The reconstruction of test images after each epoch of a run."""
    return [float(row["reconstruction"]) for row in read_rows(run.path) if row["split"] == "test"]


def learning(run: Run) -> dict[str, Any]:
    """A sentence: the number of epochs of a run, and the epoch at which it passed the paper's number."""
    values, theirs = test_errors(run), paper.published(COLUMN, run.settings)
    passed = [] if theirs is None else [epoch for epoch, value in enumerate(values, 1) if value <= theirs]
    return settings_columns(run.settings) | {
        "seed": run.settings.seed,
        "epochs": run.epochs,
        COLUMN: values[-1],
        f"{COLUMN}_paper": theirs,
        "passed": min(passed, default=None),
        "last_doubling": values[(run.epochs + 1) // 2 - 1] - values[-1],
    }


def draw(chosen: Mapping[str, Sequence[Run]], rows: Sequence[Mapping[str, Any]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    grid = figure.subplots(1, len(chosen), squeeze=False)[0]
    used = []
    for axes, (dataset, runs) in zip(grid, chosen.items(), strict=True):
        for series in SERIES:
            for row in series.rows(rows, dataset):
                (run,) = [run for run in runs if settings_columns(run.settings).items() <= row.items()]
                values = test_errors(run)
                axes.plot(range(1, len(values) + 1), values, color=series.colour, linewidth=1)
                axes.plot(len(values), values[-1], series.marker, color=series.colour)
                if row[f"{COLUMN}_paper"] is not None:
                    axes.axhline(row[f"{COLUMN}_paper"], color=series.colour, linestyle=":", linewidth=0.9, zorder=1)
                used.append(series)
        axes.set_xscale("log")
        axes.set_xlabel("epoch")
        axes.set_ylabel("squared error")
        axes.set_title(dataset_title(dataset))
        lowest = [value for row in rows if row["dataset"] == dataset for value in (row[COLUMN], row[f"{COLUMN}_paper"])]
        axes.set_ylim(0.9 * min(value for value in lowest if value is not None), 30)
    handles = [
        Line2D([], [], color=one.colour, marker=one.marker, label=one.label) for one in SERIES if one in used
    ] + [Line2D([], [], color=INK, linestyle=":", linewidth=0.9, label="paper")]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.4)
    return figure
