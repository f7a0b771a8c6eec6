"""Figure 1: the mean distributions and the integrands of JS, JSG and JSG*, for two pairs of Gaussians."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

import jsgmath
from jsgmath import Gaussian
from vae.figures.output import WIDTH, Result
from vae.style import COLOURS, INK, LABELS

ALPHA = 0.5  # at 1/2 both conventions agree, as G weighs p and q equally
X = np.linspace(-5, 5, 500)
Pair = tuple[tuple[float, float], tuple[float, float]]
# Mean and variance of p and of q. Section 1 of the paper writes N(mu, sigma^2) and defines no other notation.
PAIRS: list[Pair] = [((-2.0, 1.0), (2.0, 2.0)), ((0.0, 0.5), (0.0, 3.0))]

CAPTION = """\
Figure 1. Mean distributions (left) and integrands (right) of the Jensen-Shannon divergence JS, of JSG and of JSG* at
alpha = 1/2, for p = N(-2, 1) and q = N(2, 2) (top), p = N(0, 0.5) and q = N(0, 3) (bottom). The arithmetic mean is the
mixture m = (p + q)/2, the geometric mean the normalised g = sqrt(p q)/Z, a Gaussian by eqs. 12-13. The integrands are
(p log(p/m) + q log(q/m))/2 of JS, (p log(p/g) + q log(q/g))/2 of JSG and g (log(g/p) + log(g/q))/2 of JSG*; above them
are the divergences, their integrals over the whole line, in nats. The released code differs: it uses the second
parameter as a standard deviation, while the paper's N(mu, sigma^2) makes it a variance, and it takes the harmonic mean
of standard deviations, while eq. 12 takes that of covariances, so its mean is not the geometric mean."""


def gaussian_log_density(gaussian: Gaussian, x: ArrayLike) -> NDArray:
    return np.asarray(norm.logpdf(np.asarray(x), gaussian.mean, np.sqrt(gaussian.var)))


def densities(p: Gaussian, q: Gaussian, x: ArrayLike) -> dict[str, NDArray]:
    """Densities of p, q and their means at ``x``, and the divergences' integrands, by the CSV's columns."""
    logs = {
        "p": gaussian_log_density(p, x),
        "q": gaussian_log_density(q, x),
        "geometric_mean": gaussian_log_density(jsgmath.geometric_mean(p, q, 1 - ALPHA), x),
    }
    logs["arithmetic_mean"] = np.logaddexp(logs["p"] + np.log1p(-ALPHA), logs["q"] + np.log(ALPHA))
    densities = {name: np.exp(log) for name, log in logs.items()}

    def term(first: str, second: str) -> NDArray:
        """The integrand of KL(first || second)."""
        return densities[first] * (logs[first] - logs[second])

    def skew(to_p: NDArray, to_q: NDArray) -> NDArray:
        return (1 - ALPHA) * to_p + ALPHA * to_q

    return densities | {
        "js": skew(term("p", "arithmetic_mean"), term("q", "arithmetic_mean")),
        "jsg": skew(term("p", "geometric_mean"), term("q", "geometric_mean")),
        "jsg-dual": skew(term("geometric_mean", "p"), term("geometric_mean", "q")),
    }


def totals(p: Gaussian, q: Gaussian) -> dict[str, float]:
    values = {
        "js": jsgmath.js(p, q, ALPHA)[0],
        "jsg": jsgmath.jsg(p, q, ALPHA),
        "jsg-dual": jsgmath.jsg_dual(p, q, ALPHA),
    }
    return {name: float(value) for name, value in values.items()}


def fig1(runs: Path) -> Result:
    """Fig. 1; the CSV has a row for each pair and each ``x``."""
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    panels = figure.subplots(len(PAIRS), 2, sharex=True)
    rows = []
    for (left, right), parameters in zip(panels, PAIRS, strict=True):
        p, q = (Gaussian(mean=[mean], var=[var]) for mean, var in parameters)
        values = densities(p, q, X)
        draw_means(left, values, parameters)
        draw_integrands(right, values, totals(p, q))
        (p_mean, p_var), (q_mean, q_var) = parameters
        pair = {"p_mean": p_mean, "p_var": p_var, "q_mean": q_mean, "q_var": q_var}
        for index, x in enumerate(X.tolist()):
            rows.append({**pair, "x": x, **{name: float(value[index]) for name, value in values.items()}})
    for axes in panels.flat:
        axes.set_xlim(X[0], X[-1])
    for axes, columns in zip(panels[0], (2, 3), strict=True):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.14), ncols=columns)
    for axes in panels[-1]:
        axes.set_xlabel("$x$")
    return Result(figure, rows, CAPTION)


def draw_means(axes: Axes, values: dict[str, NDArray], parameters: Pair) -> None:
    p, q = (rf"\mathcal{{N}}({mean:g}, {var:g})" for mean, var in parameters)
    axes.set_title(rf"$p = {p}, \quad q = {q}$")
    axes.set_ylabel("density")
    axes.plot(X, values["p"], color=INK, linewidth=0.9, label="$p$")
    axes.plot(X, values["q"], "--", color=INK, linewidth=0.9, label="$q$")
    axes.plot(X, values["arithmetic_mean"], color=COLOURS["js"], label="arithmetic mean")
    axes.plot(X, values["geometric_mean"], color=COLOURS["jsg"], label="geometric mean")


def draw_integrands(axes: Axes, values: dict[str, NDArray], integrals: dict[str, float]) -> None:
    axes.set_title(",   ".join(f"{LABELS[name]}  {total:.3f}" for name, total in integrals.items()))
    axes.set_ylabel("integrand (nats)")
    axes.axhline(0, color=INK, linewidth=0.4)
    for name in integrals:
        axes.plot(X, values[name], color=COLOURS[name], label=LABELS[name])
