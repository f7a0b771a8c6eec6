"""Measures the errors of this library and of others, against ball arithmetic on the definition.

    python -m verification.ulps        prints ulps.md, writes it and ulps.png next to this file, in less than a minute

Each implementation gets the pairs in its own parameters, rounded to its type, and is compared with the true value for
exactly these numbers, so that errors of conversion do not count.
"""

import argparse
import functools
import importlib.util
import io
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

import jsgmath
from verification import balls, peers
from verification.inputs import ALPHAS, COUNT, Pairs, converted, factors, inputs

HERE = Path(__file__).parent
TORCH = importlib.util.find_spec("torch") is not None
OF_TORCH = ("`jsgmath.torch`", "torch KL")  # the columns that need it
NOTES = f"""
An ulp is the distance between neighbouring floats at the true value.  If an error is at least 9e15 ulp in float64, or
2e7 ulp in float32, no digit is right.  The true value comes from ball arithmetic (`balls.py`), for exactly the numbers
that the implementation received.

- `jsg`, `jsg_dual`, `kl`: this library, in both conventions.
- `jsgmath.torch`: its torch functions on a CPU, JSG and the dual, in both conventions.  They compute in the type of
  their input.  As documented, they limit log-ratios of variances to 708 (87 in float32); the last row of ratios is
  beyond this limit.
- eq. 9, eq. 11: the closed forms as printed; eq. 9 also with the reversed mean, for which eq. 11 does not hold.
- torch KL: `torch.distributions.kl_divergence`; the last tables have its KL of full covariances from their factors,
  and `kl_full` of `jsgmath.torch` in plain torch operations.
- released loss: JSG and the dual as the paper's code computes them for N2 = N(0, I); each pair is first transformed so
  that its N2 is N(0, I).

A row has {COUNT} pairs in one dimension.  A row of covariances has three pairs in 5 and three in 20 dimensions.  A row
that does not name alpha has the alphas {", ".join(map(str, ALPHAS))}.  A cell is empty if the implementation
does not accept such input.  Pairs that rounding makes equal are left out.

![Largest relative error of 40 pairs, whose relative difference decreases from 1 to 1e-15](ulps.png)
"""


class Implementation(NamedTuple):
    """An implementation: the forms it accepts, the ``(dual, convention)`` it has, and its function."""

    forms: tuple
    variants: list
    compute: Callable  # (pairs, alpha, dual, convention) -> one value per pair
    alphas: tuple = ()  # for one without alpha: the alpha at which JSG equals it


def eager(pairs, alpha, dual, convention):
    import torch

    from jsgmath.torch import jsg_diagonal

    return jsg_diagonal(
        *map(torch.from_numpy, pairs[1:]), alpha, dual=dual, convention=convention, backend="eager"
    ).numpy()


def kl_full(*pair):
    import torch

    from jsgmath import torch as ours

    return ours.kl_full(*map(torch.from_numpy, pair), backend="eager").numpy()


JSG, DUAL = ([(dual, convention) for convention in ("deasy", "nielsen")] for dual in (False, True))
IMPLEMENTATIONS = {
    "`jsg`": Implementation(
        ("var", "logvar", "cov"), JSG, lambda p, a, _, c: jsgmath.jsg(*p.gaussians(), a, convention=c)
    ),
    "`jsg_dual`": Implementation(
        ("var", "logvar", "cov"), DUAL, lambda p, a, _, c: jsgmath.jsg_dual(*p.gaussians(), a, convention=c)
    ),
    "`kl`": Implementation(("var", "logvar", "cov"), JSG[:1], lambda p, *_: jsgmath.kl(*p.gaussians()), (0.0,)),
    "`jsgmath.torch`": Implementation(("logvar",), JSG + DUAL, eager),
    "eq. 9": Implementation(("cov",), JSG, lambda p, a, _, c: peers.eq_9(*p[1:], a, c)),
    "eq. 11": Implementation(("cov",), DUAL[1:], lambda p, a, *_: peers.eq_11(*p[1:], a)),
    "torch KL": Implementation(("std", "cov"), JSG[:1], lambda p, *_: peers.torch_kl(*p[1:]), (0.0,)),
    "released loss": Implementation(
        ("to standard",), [JSG[0], DUAL[0]], lambda p, a, dual, _: peers.released_loss(*p[1:3], a, dual)
    ),
}
# KL of full covariances in torch, from lower triangular factors.
OF_FACTORS = {
    "`jsgmath.torch.kl_full`": Implementation(("scale_tril",), JSG[:1], lambda p, *_: kl_full(*p[1:]), (0.0,)),
    "torch KL of factors": Implementation(("scale_tril",), JSG[:1], lambda p, *_: peers.torch_kl_full(*p[1:]), (0.0,)),
}
if not TORCH:
    OF_FACTORS = {}
    IMPLEMENTATIONS = {name: one for name, one in IMPLEMENTATIONS.items() if name not in OF_TORCH}


def values(implementation, groups, alphas, dtype):
    """Yields the implementation's value for each pair, alpha and variant, and the ball around the true value."""
    forms, variants, compute, own_alphas = (IMPLEMENTATIONS | OF_FACTORS)[implementation]
    if own_alphas and alphas != ALPHAS:
        return
    for pairs in filter(None, (converted(pairs, forms, dtype) for pairs in groups)):
        N1s, N2s = (list(zip(*N, strict=True)) for N in (pairs[1:3], pairs[3:]))
        for alpha in own_alphas or (float(dtype(alpha)) for alpha in alphas):
            for variant in variants:
                with np.errstate(all="ignore"):
                    got = compute(pairs, alpha, *variant)
                for value, N1, N2 in zip(got, N1s, N2s, strict=True):
                    if not all(map(np.array_equal, N1, N2)):  # rounding makes some equal
                        yield value, truth(pairs.form, N1, N2, alpha, *variant)


def truth(form, N1, N2, alpha, dual, convention):
    if len(N1[0]) > 1:
        N1, N2 = ((mean, form, scale) for mean, scale in (N1, N2))
        return balls.dense_divergence(N1, N2, alpha, dual=dual, convention=convention)
    form = "var" if form == "cov" else form
    N1, N2 = ((mean.item(), form, scale.item()) for mean, scale in (N1, N2))
    return balls.divergence(N1, N2, alpha, dual=dual, convention=convention)


def number(x):
    if np.isinf(x):
        return "∞"
    digits, exponent = f"{x:.0e}".split("e")
    return f"{x:.2f}" if x < 100 else f"{digits}e{int(exponent)}"


class Cell(NamedTuple):
    """Errors in ulp (infinite for a NaN or a wrong infinity), and how many of ``count`` values are impossible."""

    largest: float
    mean: float
    negative: int
    nan: int
    infinite: int
    count: int

    def errors(self):
        return " / ".join(map(number, self[:2]))

    def wrong(self):
        counts = zip(self[2:5], ("negative", "NaN", "infinite"), strict=True)
        return f"{', '.join(f'{count} {what}' for count, what in counts if count) or 0} of {self.count}"


def measure(implementation, groups, alphas, dtype):
    """The `Cell` of an implementation and a kind of input, or None if it does not accept such input."""
    if not (pairs := list(values(implementation, groups, alphas, dtype))):
        return None
    got, errors = np.array([value for value, _ in pairs]), np.array([balls.ulps(*pair) for pair in pairs])
    wrong = got < 0, np.isnan(got), np.isinf(got) & np.isinf(errors)
    return Cell(errors.max(), errors.mean(), *(int(x.sum()) for x in wrong), len(got))


@functools.cache
def measure_all(dtype):
    """Kind of input -> implementation -> `Cell` or None."""
    return {
        name: {implementation: measure(implementation, *kind, dtype) for implementation in IMPLEMENTATIONS}
        for name, kind in inputs(dtype).items()
    }


@functools.cache
def measure_factors(dtype):
    """`measure_all` for KL of full covariances in torch."""
    return {
        name: {implementation: measure(implementation, *kind, dtype) for implementation in OF_FACTORS}
        for name, kind in factors(dtype).items()
    }


def table(rows, show):
    columns = list(next(iter(rows.values()), IMPLEMENTATIONS))
    lines = [["inputs", *columns], ["---"] * (1 + len(columns))]
    lines += [[name, *(show(cell) if cell else "" for cell in cells.values())] for name, cells in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def report():
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if TORCH:
        import torch

        versions += f", torch {torch.__version__}"
    bits = np.finfo(np.longdouble).nmant + 1
    text = "# Errors in ulp\n\n"
    text += f"Printed by `python -m verification.ulps` with {versions}, and a long double of {bits} bits.\n{NOTES}"
    for dtype in (np.float64, np.float32):
        rows = measure_all(dtype)
        bad = {name: cells for name, cells in rows.items() if any(cell and any(cell[2:5]) for cell in cells.values())}
        text += f"\n## {dtype.__name__}\n\nLargest / mean error, in ulp:\n\n{table(rows, Cell.errors)}"
        text += f"\nHow many values are negative, NaN, or wrongly infinite:\n\n{table(bad, Cell.wrong)}"
    for dtype in (np.float64, np.float32) if TORCH else ():
        text += f"\n## Full covariances in torch, {dtype.__name__}\n\n"
        text += "Largest / mean error of KL from lower triangular factors, in ulp, of 1000 pairs a row:\n\n"
        text += table(measure_factors(dtype), Cell.errors)
    return text


GREY = "#666666"
# Colours of Okabe and Ito, which colour-blind readers can tell apart; dashes where lines meet; the place of a name.
LINES = {
    "eq. 11": ("#CC79A7", "-", "eq. 11", 2e-9, 1e5, "right"),
    "eq. 9": ("#D55E00", "-", "eq. 9", 2e-11, 2e5, "left"),
    "released loss": ("#222222", "-", "the paper's released loss", 1e-15, 3, "right"),
    "torch KL": ("#009E73", "--", "torch.distributions, KL", 1e-15, 3e-3, "right"),
    "`jsg`": ("#0072B2", "-", "jsgmath", 1e-15, 8e-19, "right"),
}


def curve(implementation, dtype, gaps):
    """The largest relative error for each gap; variances differ by it relatively, means in standard deviations."""
    m, s, z = np.random.default_rng(2).normal(size=(3, 40, 1))
    v, result = np.exp(s), []
    for gap in gaps:
        pairs = Pairs("var", m, v, m + gap * z * np.sqrt(v), v * (1 + gap))
        errors = (
            balls.distance(x, ball, abs(float(ball.mid())))
            for x, ball in values(implementation, [pairs], ALPHAS, dtype)
        )
        result.append(max(errors))
    return result


def draw():
    """Draws the errors as two Gaussians approach each other."""
    figure = Figure(figsize=(8, 3.9), dpi=200, layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(15, 7))
    for axes, dtype, decades in zip(panels, (np.float64, np.float32), (15, 7), strict=True):
        gaps, eps = np.logspace(0, -decades, 2 * decades + 1), float(np.finfo(dtype).eps)
        axes.axhspan(1, 1e18, color="#f2f2f2", lw=0)
        axes.text(0.6, 1e16, "no digit is right", color=GREY, fontsize=9)
        axes.axhline(eps, color=GREY, lw=0.8)
        axes.text(gaps[-1], 2 * eps, "machine epsilon", color=GREY, fontsize=9, ha="right")
        for implementation, (colour, dashes, name, x, y, end) in LINES.items():
            if implementation not in IMPLEMENTATIONS:
                continue
            axes.loglog(gaps, curve(implementation, dtype, gaps), dashes, color=colour, lw=2)
            if axes is panels[0]:
                axes.text(x, y, name, color=colour, ha=end, fontsize=10.5)
        axes.set(xlim=(1, gaps[-1]), ylim=(1e-19, 1e18), yticks=10.0 ** np.arange(-16, 17, 4))
        axes.set_title(dtype.__name__, loc="left", fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("largest relative error")
    figure.supxlabel("relative difference of the two Gaussians, decreasing to the right", fontsize=10)
    return figure


def main(folder=HERE):
    text, picture = report(), io.BytesIO()
    draw().savefig(picture)
    print(text, end="")
    (folder / "ulps.md").write_text(text, encoding="utf-8")
    (folder / "ulps.png").write_bytes(picture.getvalue())


if __name__ == "__main__":
    argparse.ArgumentParser("python -m verification.ulps", description=__doc__.partition("\n")[0]).parse_args()
    if not TORCH:
        sys.exit("verification.ulps: two columns of ulps.md need torch; pip install torch")
    try:
        main()
    except OSError as error:
        print(f"verification.ulps: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
