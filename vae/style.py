"""The style of all figures, with one colour and one name for each divergence."""

from contextlib import AbstractContextManager

import matplotlib.style

INK = "#333333"

# Okabe and Ito's palette, whose colours people with any kind of colour vision can tell apart.
COLOURS = {
    "kl-qp": "#0072B2",
    "kl-pq": "#56B4E9",
    "js": "#CC79A7",
    "jsg": "#D55E00",
    "jsg-dual": "#009E73",
    "mmd": "#E69F00",
}
LABELS = {
    "kl-qp": r"$\mathrm{KL}(q\,\Vert\,p)$",
    "kl-pq": r"$\mathrm{KL}(p\,\Vert\,q)$",
    "js": r"$\mathrm{JS}$",
    "jsg": r"$\mathrm{JS}^{\mathrm{G}_\alpha}$",
    "jsg-dual": r"$\mathrm{JS}^{\mathrm{G}_\alpha}_{*}$",
    "mmd": r"$\mathrm{MMD}$",
}

STYLE = {
    "font.family": "STIXGeneral",  # like Times, as in the paper; part of matplotlib
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.handlelength": 1.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
}


def style() -> AbstractContextManager[None]:
    """A context in which figures are built and written, so that a user's matplotlibrc does not change them."""
    return matplotlib.style.context(["default", STYLE])
