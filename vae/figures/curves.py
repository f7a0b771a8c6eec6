"""Figure 3 and Appendices B, E and F: reconstruction and divergence against alpha or the weight."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from vae.figures.output import WIDTH, Result
from vae.runs import paper
from vae.runs.groups import Selection, dataset_title, read_runs, several_weights, trained
from vae.style import COLOURS, INK, LABELS
from vae.training.settings import Settings

Row = Mapping[str, Any]

PAPER_SYMBOLS: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.7, "alpha": 0.7}


@dataclass(frozen=True)
class Series:
    """A curve, or a level if it has no marker, and the columns by which its rows are chosen."""

    of: Mapping[str, Any]
    colour: Any
    label: str
    marker: str = ""

    def rows(self, rows: Sequence[Row], dataset: str) -> list[Row]:
        wanted = {"dataset": dataset, **self.of}
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


SKEWED, KLS = ("jsg", "jsg-dual"), ("kl-qp", "kl-pq")
BY_ALPHA = [
    Series({"divergence": "jsg"}, COLOURS["jsg"], LABELS["jsg"], "o"),
    Series({"divergence": "jsg-dual"}, COLOURS["jsg-dual"], LABELS["jsg-dual"], "s"),
    *(Series({"divergence": kl}, COLOURS[kl], LABELS[kl]) for kl in KLS),
]
BY_LAMBDA = [
    Series({"weight": weight}, colormaps["viridis"](0.25 * index), rf"$\lambda={weight:g}$", marker)
    for index, (weight, marker) in enumerate(zip(paper.LAMBDAS, "os^D", strict=True))
]
BY_BETA = [Series({"divergence": "kl-qp"}, COLOURS["kl-qp"], r"$\beta$-VAE", "o")]

GRID = [trained(divergence, alpha=alpha) for divergence in SKEWED for alpha in paper.ALPHAS] + [*map(trained, KLS)]
LAMBDA_GRID = [trained("jsg", weight=weight, alpha=alpha) for weight in paper.LAMBDAS for alpha in paper.LAMBDA_ALPHAS]
BETA_GRID = [trained("kl-qp", weight=beta) for beta in paper.BETAS]

UNITS = {"reconstruction": "squared error", "divergence": "nats"}
WHAT = (
    "Reconstruction is the sum over the pixels of an image of squared differences, z = mean, averaged over the images; "
    "divergence is the one that was minimised, without its weight. Bars are the sd over seeds; one seed has none. Open "
    "symbols and dotted levels, if any, are the paper's numbers: one seed, epochs not stated (its code's default is "
    "30)."
)
SKEW = (
    "JSG goes from KL(q||p) at alpha 0 to KL(p||q) at 1, its dual JSG* the other way; their divergences at different "
    "alpha are different measures."
)
ERRATA = (
    "Single runs vary: at alpha 0.5, where the two conventions of the mean coincide, the paper's code has two runs on "
    "MNIST for each divergence, 9.87 and 9.71 for JSG, 7.56 and 8.26 for JSG*. The paper tested dSprites and Chairs on "
    "training images; we use separate test images."
)


def fig3(folder: Path) -> Result:
    """Fig. 3: reconstruction and divergence against alpha, for every data set that has runs."""
    panels = [("test_reconstruction", "train_reconstruction"), ("test_divergence", "train_divergence")]
    heading = (
        "Figure 3. Reconstruction and divergence of test images (solid) and training images (dashed) against alpha"
    )
    selection = read_runs(folder).select(GRID, other_alphas=True)
    return draw_rows(selection, GRID, "alpha", panels, BY_ALPHA, f"{heading}. {SKEW} {WHAT} {ERRATA}")


def app_b(folder: Path) -> Result:
    """Appendix B: as Fig. 3, for all data sets of the paper, with separate panels for training and test images."""
    panels = [("train_reconstruction",), ("test_reconstruction",), ("test_divergence",)]
    heading = "Appendix B. Reconstruction of training and of test images, and divergence of test images, against alpha"
    selection = read_runs(folder).select(GRID, paper.DATASETS, other_alphas=True)
    return draw_rows(selection, GRID, "alpha", panels, BY_ALPHA, f"{heading}. {SKEW} {WHAT} {ERRATA}")


def app_e(folder: Path) -> Result:
    """Appendix E: the weight of the divergence, lambda."""
    panels = [("test_reconstruction",), ("test_divergence",)]
    heading = "Appendix E. Reconstruction and divergence of test images against alpha, JSG, with a weight lambda"
    selection = read_runs(folder).select(LAMBDA_GRID, enough=several_weights, other_alphas=True)
    return draw_rows(selection, LAMBDA_GRID, "alpha", panels, BY_LAMBDA, f"{heading}. {WHAT}")


def app_f(folder: Path) -> Result:
    """Appendix F: the beta of a beta-VAE, which is the weight of KL(q||p)."""
    panels = [("test_reconstruction", "train_reconstruction"), ("test_divergence", "train_divergence")]
    heading = "Appendix F. Reconstruction and divergence of a beta-VAE, KL(q||p) with weight beta, against beta"
    selection = read_runs(folder).select(BETA_GRID, enough=several_weights)
    return draw_rows(selection, BETA_GRID, "weight", panels, BY_BETA, f"{heading}; train dashed. {WHAT}")


def draw_rows(
    selection: Selection,
    wanted: Sequence[Settings],
    x: str,
    panels: Sequence[tuple[str, ...]],
    series: Sequence[Series],
    caption: str,
) -> Result:
    """A row of panels for each data set.

    Args:
        wanted: the settings in the figure, for the paper's numbers of them.
        x: the column on the horizontal axis.
        panels: the columns in each panel: the first solid and with the paper's numbers, the second dashed.
    """
    rows = [row for choice in selection.choices for row in choice.rows(wanted)]
    if not rows:
        return Result(None, rows, caption, selection.missing)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.55 * len(selection.choices)), layout="constrained")
    grid = figure.subplots(len(selection.choices), len(panels), squeeze=False)
    for choice, line in zip(selection.choices, grid, strict=True):
        for axes, columns in zip(line, panels, strict=True):
            for one in series:
                (draw_curve if one.marker else draw_level)(axes, one.rows(rows, choice.dataset), x, columns, one)
            set_ticks(axes, x, len(panels))
            axes.set_ylabel(UNITS[columns[0].split("_")[1]])
        name_row(line[0], dataset_title(choice.dataset))
    for axes, columns in zip(grid[0], panels, strict=True):
        split, term = columns[0].split("_")
        axes.set_title(term if len(columns) > 1 else f"{term}, {split}")
    handles = key(series, rows, panels)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.4)
    return Result(figure, rows, f"{caption} {selection.notes}", selection.missing)


def draw_curve(axes: Axes, rows: Sequence[Row], x: str, columns: Sequence[str], series: Series) -> None:
    ours = sorted((row for row in rows if row["seeds"]), key=lambda row: row[x])
    at = [row[x] for row in ours]
    for column in columns[1:]:
        axes.plot(at, [row[column] for row in ours], "--", color=series.colour, linewidth=0.9)
    theirs = [row for row in rows if row[f"{columns[0]}_paper"] is not None]
    axes.plot(
        [row[x] for row in theirs],
        [row[f"{columns[0]}_paper"] for row in theirs],
        series.marker,
        color=series.colour,
        **PAPER_SYMBOLS,
    )
    sd = [math.nan if row[f"{columns[0]}_sd"] is None else row[f"{columns[0]}_sd"] for row in ours]
    mean = [row[columns[0]] for row in ours]
    axes.errorbar(at, mean, sd, fmt=f"{series.marker}-", color=series.colour, elinewidth=0.8, capsize=1.5)


def draw_level(axes: Axes, rows: Sequence[Row], x: str, columns: Sequence[str], series: Series) -> None:
    for column, style, width in (
        *((column, "--", 0.9) for column in columns[1:]),
        (f"{columns[0]}_paper", ":", 0.9),
        (columns[0], "-", 1.4),
    ):
        for row in rows:
            if row[column] is not None:
                axes.axhline(row[column], linestyle=style, color=series.colour, linewidth=width, zorder=1)


def name_row(axes: Axes, name: str) -> None:
    """Writes the name of a row to the left of the axis label."""
    axes.annotate(
        name,
        (0, 0.5),
        (-4, 0),
        xycoords=(axes.yaxis.label, "axes fraction"),
        textcoords="offset points",
        rotation=90,
        horizontalalignment="right",
        verticalalignment="center",
        fontweight="bold",
    )


def set_ticks(axes: Axes, x: str, panels: int) -> None:
    if x == "alpha":
        axes.set_xlabel(r"$\alpha$", labelpad=1)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0.1, 0.3, 0.5, 0.7, 0.9] if panels < 3 else [0.1, 0.5, 0.9])
    else:
        axes.set_xlabel(r"$\beta$", labelpad=1)
        axes.set_xscale("log")
        axes.set_xticks(paper.BETAS, [f"{beta:g}" for beta in paper.BETAS])
        axes.xaxis.set_minor_locator(NullLocator())


def key(series: Sequence[Series], rows: Sequence[Row], panels: Sequence[tuple[str, ...]]) -> list[Line2D]:
    """The entries of the legend."""
    handles = [Line2D([], [], color=one.colour, marker=one.marker, label=one.label) for one in series]
    if any(len(columns) > 1 for columns in panels):
        handles += [Line2D([], [], color=INK, linestyle="-", label="test")]
        handles += [Line2D([], [], color=INK, linestyle="--", linewidth=0.9, label="train")]
    if any(row[f"{columns[0]}_paper"] is not None for row in rows for columns in panels):
        paper_style: dict[str, Any] = PAPER_SYMBOLS | {"markerfacecolor": "white"}  # no line through it
        handles += [Line2D([], [], color=INK, marker="o", linestyle=":", linewidth=0.9, label="paper", **paper_style)]
    return handles
