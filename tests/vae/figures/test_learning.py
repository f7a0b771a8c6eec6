"""The learning curves are drawn with the paper's numbers, and the table says when each passes its number."""

from tests.vae.figures.grid import lines, row_of
from tests.vae.runs.add_run import add_run
from vae.figures.learning import learning_curves
from vae.style import COLOURS


def test_each_curve_is_drawn_with_the_papers_level_and_the_table_says_when_it_passes_it(tmp_path):
    add_run(tmp_path, 6.5, epochs=5, divergence="jsg", alpha=0.1)  # 10.5, 9.5, 8.5, 7.5, 6.5
    add_run(tmp_path, 9.0, epochs=4, divergence="kl-qp")
    result = learning_curves(tmp_path)
    (axes,) = result.figure.axes
    assert lines(axes, COLOURS["jsg"], "-")[0] == ([1, 2, 3, 4, 5], [10.5, 9.5, 8.5, 7.5, 6.5])
    assert lines(axes, COLOURS["jsg"], "None", "o") == [([5], [6.5])]
    assert lines(axes, COLOURS["jsg"], ":") == [([0, 1], [7.523, 7.523])]
    jsg, kl = row_of(result, divergence="jsg"), row_of(result, divergence="kl-qp")
    assert (jsg["epochs"], jsg["passed"], jsg["last_doubling"]) == (5, 4, 2.0)
    assert (kl["test_reconstruction"], kl["test_reconstruction_paper"], kl["passed"]) == (9.0, 8.46, None)
    assert [line for line in result.missing if line.startswith("mnist JSG*, alpha 0.3")] == [
        "mnist JSG*, alpha 0.3: python -m vae.train --dataset mnist --divergence jsg-dual --alpha 0.3 --epochs 300"
    ]


def test_the_longest_run_is_shown_also_where_it_has_epochs_left(tmp_path):
    add_run(tmp_path, 9.0, epochs=3, divergence="jsg", alpha=0.1)
    add_run(tmp_path, 8.0, epochs=20, done=6, divergence="jsg", alpha=0.1)
    add_run(tmp_path, 7.0, epochs=1, divergence="kl-qp")  # one point is no curve
    result = learning_curves(tmp_path)
    assert [(row["divergence"], row["epochs"]) for row in result.rows] == [("jsg", 6)]
