"""Draws three pictures of what `benchmarks.gpu` measured, with matplotlib's Figure: no global state, no display."""

import io

from matplotlib.figure import Figure

from benchmarks.cases import DTYPES
from benchmarks.report import STEP, Records
from vae.files import write

GREY = "#666666"
# Colours of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = {"jsgmath": "#0072B2", "Liger-style": "#D55E00", "textbook": "#222222", "torch.compile": "#009E73"}
# Kind of diagonal case -> (name in a legend, colour).
DIAGONAL = {"standard": ("to N(0, I)", "#0072B2"), "diagonal": ("two diagonal Gaussians", "#56B4E9")}


def draw_all(folder, results):
    records = Records(results["records"])
    machine = results["facts"].get("gpu", results["facts"]["processor"])
    for name, draw in (("bandwidth", draw_bandwidth), ("time", draw_time), ("full", draw_full)):
        picture = io.BytesIO()
        figure = draw(records)
        figure.suptitle(f"{figure.get_suptitle()}, {machine}", x=0.01, ha="left", fontsize=11)
        figure.savefig(picture, format="png")
        write(folder / f"{name}.png", picture.getvalue())


def new_figure(title, panels=1, **options):
    figure = Figure(figsize=(4.6 * panels + 1, 3.8), dpi=160, layout="constrained", facecolor="white")
    figure.suptitle(title)
    axes = figure.subplots(1, panels, squeeze=False, **options)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#e5e5e5", lw=0.8)
        ax.set_axisbelow(True)
    return figure, axes


def error_bars(values):
    """Converts ``(low, median, high)`` to what matplotlib expects: the medians, and the distances down and up."""
    low, median, high = zip(*values, strict=True)
    down = [m - x for m, x in zip(median, low, strict=True)]
    return median, [down, [x - m for m, x in zip(median, high, strict=True)]]


def implementations(records):
    """The names of the implementations; all modes of torch.compile count as one."""
    names = dict.fromkeys(r["implementation"] for r in records)
    return [name for name in COLOURS if any(full_name.startswith(name) for full_name in names)]


def fastest(records):
    return min(records, key=lambda r: r["median"])


def evenly_spaced(axes, ns):
    """Labels the axis with these n, evenly spaced so that 50 and 64 can be told apart; returns their places."""
    axes.set_xticks(range(len(ns)), [str(n) for n in ns])
    axes.set_xlabel("n")
    return {n: place for place, n in enumerate(ns)}


def draw_bandwidth(records):
    """Draws the fraction of the copy bandwidth by n, and by type at n = 64, for the largest case of each."""
    figure, (by_n, by_dtype) = new_figure("JSG and gradients: fraction of copy bandwidth", 2, sharey=True)
    for shift, (kind, (name, colour)) in zip((-0.15, 0.15), DIAGONAL.items(), strict=True):
        found = records.all(implementation="jsgmath", kind=kind, what=STEP, timing="cold")
        sizes = {r["n"]: r for r in found if r["dtype"] == "fp32"}
        types = {r["dtype"]: r for r in found if r["n"] == 64}
        for axes, cases, order in ((by_n, sizes, sorted(sizes)), (by_dtype, types, list(DTYPES))):
            heights, bars = error_bars([records.bandwidth(cases[key]) for key in order])
            places = [place + shift for place in range(len(order))]
            axes.bar(places, heights, 0.28, yerr=bars, color=colour, ecolor=GREY, capsize=3, label=name)
            axes.set_xticks(range(len(order)), order)
    by_n.set(xlabel="n, fp32", ylim=(0, 1.1))
    by_dtype.set_xlabel("type, n = 64")
    by_n.axhline(0.92, color=GREY, lw=0.8, ls=":")
    by_n.text(0.01, 0.93, "target 0.92", color=GREY, fontsize=8, transform=by_n.get_yaxis_transform())
    legend_below(figure, by_n)
    return figure


def draw_time(records):
    """Draws the time per element by n, for all implementations."""
    figure, panels = new_figure("JSG and gradients in fp32: time", 2, sharey=True)
    for axes, (kind, (name, _)) in zip(panels, DIAGONAL.items(), strict=True):
        found = records.all(kind=kind, what=STEP, timing="cold", dtype="fp32")
        draw_lines(axes, found, lambda r, q: 1e12 * r[q] / (r["rows"] * r["n"]))
        axes.set_title(name, loc="left", fontsize=10)
    panels[0].set_ylabel("picoseconds per element")
    legend_below(figure, panels[0])
    return figure


def draw_full(records):
    """Draws the number of pairs of full covariances per second by n."""
    figure, (axes,) = new_figure("Full covariance, JSG and gradients in fp32")
    draw_lines(axes, records.all(kind="full", what=STEP), lambda r, q: r["rows"] / r[q])
    axes.set_ylabel("pairs per second")
    legend_below(figure, axes)
    return figure


def legend_below(figure, axes):
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, frameon=False, loc="outside lower center", ncols=4, fontsize=9)


def draw_lines(axes, records, height):
    """Draws a line for each implementation: ``height(record, quantile)`` by n."""
    place = evenly_spaced(axes, sorted({r["n"] for r in records}))
    for name in implementations(records):
        mine = [r for r in records if r["implementation"].startswith(name)]
        ns = sorted({r["n"] for r in mine})
        best = [fastest([r for r in mine if r["n"] == n]) for n in ns]
        heights, bars = error_bars([sorted(height(r, q) for q in ("q20", "median", "q80")) for r in best])
        label = f"best {name}" if name == "torch.compile" else name
        axes.errorbar([place[n] for n in ns], heights, bars, fmt="o-", color=COLOURS[name], capsize=3, label=label)
    axes.set_yscale("log")
