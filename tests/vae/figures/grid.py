"""Runs on a grid of divergences and alphas, and functions that find them in a figure or its rows."""

from tests.vae.runs.add_run import add_run

GRID = [{"divergence": d, "alpha": a} for d in ("jsg", "jsg-dual") for a in (0.1, 0.3)] + [
    {"divergence": "kl-qp"},
    {"divergence": "kl-pq"},
]


def add_grid(folder, **options):
    """JSG and JSG* at two alphas and both KLs, each with a different number."""
    return [add_run(folder, 10.0 + number, **(one | options)) for number, one in enumerate(GRID)]


def lines(axes, colour, style, marker="None"):
    """The data of the lines with this colour, style and marker, as (x, y) lists."""
    found = [
        line for line in axes.get_lines()
        if (line.get_color(), line.get_linestyle(), line.get_marker()) == (colour, style, marker)
    ]  # fmt: skip
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in found]


def row_of(result, **wanted):
    (row,) = [row for row in result.rows if all(row[name] == value for name, value in wanted.items())]
    return row


def change(name, path, edit):
    (path / name).write_text(edit((path / name).read_text()))
