"""The plots of the page, as SVG by matplotlib."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae.report.collect import ShownGroup
from vae.runs.comparisons import name
from vae.runs.statistics import SeedMean
from vae.style import COLOURS, INK, style
from vae.training.pictures import draw_curves

Interval = tuple[float, float, float]
"""A value and the ends of its interval; all three are equal if there is none."""

MARKERS = "os^DvP*X"
STRENGTHS = (1.0, 0.65, 0.4, 0.25)  # opacities of several levels of one colour
# Text stays text, in the page's own font. Without a date and with fixed ids, a page has the same bytes each time.
SVG: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "jsgmath", "font.family": "sans-serif", "font.size": 9}


def svg(draw: Callable[[], Figure]) -> bytes:
    """The figure that ``draw`` returns, as an SVG file."""
    file = io.BytesIO()
    with style(), matplotlib.rc_context(SVG):
        draw().savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def curves_picture(history: list[dict[str, Any]], title: str) -> bytes:
    """The picture that a run leaves as curves.png, for a run whose folder lacks it."""
    return svg(lambda: draw_curves(history, title))


def reconstruction(group: ShownGroup) -> Interval:
    """The reconstruction of test images, with Student's interval over seeds."""
    return interval(group.over_seeds("test_reconstruction"))


def log_evidence(group: ShownGroup) -> Interval | None:
    """The log evidence, with the interval over seeds, or that of the bootstrap if there is one seed."""
    if len(group.estimates) == 1:
        estimate = group.estimates[0]
        return estimate["log_evidence"], estimate["low"], estimate["high"]
    return interval(group.log_evidence) if group.log_evidence else None


def interval(mean: SeedMean) -> Interval:
    return mean.value, *(mean.interval or (mean.value, mean.value))


def by_alpha(
    groups: Sequence[ShownGroup], value: Callable[[ShownGroup], Interval | None], label: str
) -> tuple[bytes, str] | None:
    """A plot of a value against alpha, and a sentence about the levels that would flatten its curves.

    A divergence without an alpha is a level. There is no plot of fewer than two groups that have the value.
    """
    having = [(group, found) for group in groups if (found := value(group))]
    if len(having) < 2:
        return None
    points = [(group, found) for group, found in having if group.alpha is not None]
    ends = [end for _, found in points or having for end in found]
    room = max(ends) - min(ends)
    near, far = [], []
    for group, found in having:
        if group.alpha is None:
            (near if min(ends) - room <= found[0] <= max(ends) + room else far).append((group, found))

    def draw() -> Figure:
        figure = Figure(figsize=(5.6, 3.1), layout="constrained")
        axes = figure.add_subplot()
        drawn = Counter()
        for group, (middle, low, high) in near:
            colour = COLOURS[group.settings.divergence]
            axes.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
            axes.axhline(middle, color=colour, alpha=STRENGTHS[drawn[colour] % 4], label=objective_label(group))
            drawn[colour] += 1
        for index, label_of in enumerate(dict.fromkeys(objective_label(group) for group, _ in points)):
            draw_points(axes, [point for point in points if objective_label(point[0]) == label_of], MARKERS[index % 8])
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("alpha")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        handles = len(axes.get_legend_handles_labels()[0])
        figure.legend(loc="outside upper left", ncols=min(handles, 3), labelcolor=INK)
        return figure

    beyond = "; ".join(f"{objective_label(group)}: {found[0]:.2f}" for group, found in far)
    return svg(draw), f"Outside the plot: {beyond}." if far else ""


def objective_label(group: ShownGroup) -> str:
    return name(group.settings).replace("||", "‖") + ", learnt" * group.settings.learn_alpha


def draw_points(axes: Axes, points: Sequence[tuple[ShownGroup, Interval]], marker: str) -> None:
    """One objective at several alphas; learnt alphas are open and not joined."""
    learnt = points[0][0].settings.learn_alpha
    at = [group.alpha or 0.0 for group, _ in points]
    middle = [found[0] for _, found in points]
    below = [found[0] - found[1] for _, found in points]
    above = [found[2] - found[0] for _, found in points]
    axes.errorbar(
        at,
        middle,
        (below, above),
        fmt=marker if learnt else f"{marker}-",
        color=COLOURS[points[0][0].settings.divergence],
        markerfacecolor="white" if learnt else None,
        elinewidth=0.8,
        capsize=1.5,
        label=objective_label(points[0][0]),
    )
