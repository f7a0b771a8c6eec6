"""Figure 5 draws the evidence with its intervals."""

import json

import pytest

from tests.vae.figures.grid import add_grid, change, lines, row_of
from tests.vae.runs.add_run import add_run
from vae.figures import evidence
from vae.style import COLOURS


def add_evaluation(path, value, **changes):
    found = {
        "likelihood": "bernoulli", "samples": 128, "batches": 100, "batch_size": 64, "effective_samples": 9.0,
        "log_evidence": value, "interval": [value - 2.0, value + 1.0],
    }  # fmt: skip
    (path / "evaluation.json").write_text(json.dumps({"epoch": 3, "evidence": found | changes}))


def test_figure_5_draws_the_evidence_with_its_intervals(tmp_path):
    paths = add_grid(tmp_path)
    paths.append(add_run(tmp_path, 16.0, divergence="mmd", weight=500.0))
    for number, path in enumerate(paths):
        add_evaluation(path, -100.0 - number)
    result = evidence.fig5(tmp_path)
    (axes,) = result.figure.axes
    assert axes.get_ylabel() == "log evidence (nats per image)"
    assert lines(axes, COLOURS["jsg-dual"], "-", "s") == [([0.1, 0.3], [-102.0, -103.0])]
    (bar,) = [bar for bar in axes.containers if bar.lines[0].get_color() == COLOURS["jsg-dual"]]
    assert [segment[:, 1].tolist() for segment in bar.lines[2][0].get_segments()] == [
        [-104.0, -101.0],
        [-105.0, -102.0],
    ]
    for one, value in (("kl-qp", -104.0), ("kl-pq", -105.0), ("mmd", -106.0)):
        assert lines(axes, COLOURS[one], "-") == [([0, 1], [value, value])]
    row = row_of(result, divergence="jsg", alpha=0.1)
    assert (row["log_evidence"], row["low"], row["high"], row["seed"]) == (-100.0, -102.0, -99.0, 1234)
    assert sorted((patch.get_y(), patch.get_height()) for patch in axes.patches) == [(-108, 3), (-107, 3), (-106, 3)]


def test_the_evidence_of_several_seeds_is_their_mean_with_a_dot_for_each(tmp_path):
    for path in add_grid(tmp_path):
        add_evaluation(path, -100.0)
    add_evaluation(add_run(tmp_path, 1.0, divergence="jsg", alpha=0.1, seed=2), -104.0)
    (axes,) = evidence.fig5(tmp_path).figure.axes
    assert lines(axes, COLOURS["jsg"], "-", "o") == [([0.1, 0.3], [-102.0, -100.0])]
    assert lines(axes, COLOURS["jsg"], "None", ".") == [([0.1, 0.1], [-100.0, -104.0])]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "not evaluated"),
        ({"likelihood": "gaussian"}, "evaluated with gaussian likelihood and 128 samples"),
        ({"samples": 5}, "evaluated with bernoulli likelihood and 5 samples"),
        ({"interval": [1.0]}, "evaluation.json cannot be read: ValueError"),
        ({"log_evidence": 10**400}, "evaluation.json cannot be read: OverflowError"),
        ({"log_evidence": float("nan")}, "holds a number that is not finite"),
        ("epoch", "evaluated after epoch 2 of 3"),
    ],
)
def test_a_run_without_comparable_evidence_is_named_and_not_drawn(changes, reason, tmp_path):
    first, *paths = add_grid(tmp_path)
    for path in paths:
        add_evaluation(path, -100.0)
    if changes == "epoch":
        add_evaluation(first, -100.0)
        change("evaluation.json", first, lambda text: text.replace('"epoch": 3', '"epoch": 2'))
    elif changes is not None:
        add_evaluation(first, -100.0, **changes)
    result = evidence.fig5(tmp_path)
    assert not [row for row in result.rows if (row["divergence"], row["alpha"]) == ("jsg", 0.1)]
    (line,) = [line for line in result.missing if "vae.evaluate" in line]
    assert line.startswith("mnist JSG, alpha 0.1 (")
    assert reason in line
    assert line.endswith(f"): python -m vae.evaluate {first} --likelihood bernoulli")
