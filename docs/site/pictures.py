"""Draws docs/idea.png with the library itself: ``python docs/site/pictures.py``."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import jsgmath

N1, N2 = jsgmath.Gaussian(mean=[-2.0], var=[1.0]), jsgmath.Gaussian(mean=[2.0], var=[2.0])
ORANGE, GREEN, INK = "#d55e00", "#009e73", "#333333"


def density(N, x):
    return np.exp(-((x - N.mean[0]) ** 2) / (2 * N.var[0])) / np.sqrt(2 * np.pi * N.var[0])


def idea(path):
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    x, alphas = np.linspace(-5.5, 6.5, 500), np.linspace(0, 1, 201)

    for alpha in (0.2, 0.4, 0.6, 0.8):
        mean = jsgmath.geometric_mean(N1, N2, 1 - alpha)
        left.plot(x, density(mean, x), color=ORANGE, linewidth=1.3)
        at = mean.mean[0], density(mean, mean.mean)[0]
        left.annotate(f"{alpha:g}", at, (2, 3), textcoords="offset points", color=ORANGE, ha="center")
    left.plot(x, density(N1, x), color=INK, linewidth=2)
    left.plot(x, density(N2, x), "--", color=INK, linewidth=2)
    left.text(-2.9, 0.33, "$N_1$", ha="right", fontsize=12)
    left.text(3.2, 0.22, "$N_2$", fontsize=12)
    left.set(xlabel="$x$", ylabel="density", ylim=(0, 0.45))
    left.set_title(r"the geometric mean $G$, for $\alpha$ = 0.2, 0.4, 0.6, 0.8", fontsize=11)

    right.plot(alphas, jsgmath.jsg(N1, N2, alphas), color=ORANGE, linewidth=2)
    right.plot(alphas, jsgmath.jsg_dual(N1, N2, alphas), color=GREEN, linewidth=2)
    for value, name, x in (
        (jsgmath.kl(N1, N2), r"KL($N_1 \,\|\, N_2$)", 0.25),
        (jsgmath.kl(N2, N1), r"KL($N_2 \,\|\, N_1$)", 0.5),
    ):
        right.axhline(value, color=INK, linewidth=0.8, linestyle=":")
        right.annotate(name, (x, value), (0, 4), textcoords="offset points", ha="center", color=INK)
    right.text(0.86, 6, "JSG", color=ORANGE, ha="right", fontsize=12)
    right.text(0.12, 5.2, "JSG*", color=GREEN, fontsize=12)
    right.set(xlabel=r"$\alpha$", ylabel="nats", xlim=(0, 1), ylim=(0, 9.6))
    right.set_title("two paths from one KL to the other", fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    idea(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "idea.png")
