"""Figure 3 and appendices B, E and F show the numbers of the runs."""

import re
import statistics

import pytest
from matplotlib.container import ErrorbarContainer

from tests.vae.figures.grid import add_grid, lines, row_of
from tests.vae.runs.add_run import add_run
from vae.figures import curves
from vae.style import COLOURS


def test_figure_3_draws_test_solid_train_dashed_the_kls_as_levels_and_the_paper_open(tmp_path):
    add_grid(tmp_path)
    reconstruction, divergence = curves.fig3(tmp_path).figure.axes
    for number, one in enumerate(("jsg", "jsg-dual")):
        marker, values = "os"[number], [10.0 + 2 * number, 11.0 + 2 * number]
        assert lines(reconstruction, COLOURS[one], "-", marker) == [([0.1, 0.3], values)]
        assert lines(reconstruction, COLOURS[one], "--") == [([0.1, 0.3], [value - 1 for value in values])]
        assert lines(divergence, COLOURS[one], "-", marker) == [([0.1, 0.3], [5.0, 5.0])]
        assert lines(divergence, COLOURS[one], "--") == [([0.1, 0.3], [6.0, 6.0])]
        ((alphas, theirs),) = lines(reconstruction, COLOURS[one], "None", marker)
        assert (alphas[2], theirs[2]) == (0.3, (8.843, 7.339)[number])
        assert alphas == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    for one, mine, theirs in (("kl-qp", 14.0, 8.46), ("kl-pq", 15.0, 11.609)):
        for style, value in (("-", mine), ("--", mine - 1), (":", theirs)):
            assert lines(reconstruction, COLOURS[one], style) == [([0, 1], [value, value])]


def test_bars_are_the_sd_and_one_seed_has_none(tmp_path):
    add_grid(tmp_path)
    add_run(tmp_path, 14.0, divergence="jsg", alpha=0.3, seed=1)
    axes = curves.fig3(tmp_path).figure.axes[0]
    bars = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    (jsg,) = [bar for bar in bars if bar.lines[0].get_color() == COLOURS["jsg"]]
    single, several = jsg.lines[2][0].get_segments()
    sd = statistics.stdev([11.0, 14.0])
    assert several[:, 1] == pytest.approx([12.5 - sd, 12.5 + sd])
    assert len(single) == 0


def test_appendix_b_has_training_images_test_images_and_divergence_in_panels_of_their_own(tmp_path):
    add_grid(tmp_path)
    panels = curves.app_b(tmp_path).figure.axes
    assert [axes.get_title() for axes in panels] == [
        "reconstruction, train",
        "reconstruction, test",
        "divergence, test",
    ]
    for axes, values in zip(panels, ([9.0, 10.0], [10.0, 11.0], [5.0, 5.0]), strict=True):
        assert lines(axes, COLOURS["jsg"], "-", "o") == [([0.1, 0.3], values)]
    assert lines(panels[0], COLOURS["jsg"], "None", "o")[0][1][0] == 6.978  # the paper's training reconstruction


def test_appendix_e_draws_a_curve_for_each_lambda_and_names_the_rest_of_the_grid(tmp_path):
    for weight in (1.0, 2.0):
        for alpha in (0.1, 0.5):
            add_run(tmp_path, 10 * weight + alpha, divergence="jsg", alpha=alpha, weight=weight)
    result = curves.app_e(tmp_path)
    assert len(result.missing) == 20 - 4
    axes = result.figure.axes[0]
    for series, weight in zip(curves.BY_LAMBDA, (1.0, 2.0), strict=False):
        assert lines(axes, series.colour, "-", series.marker) == [([0.1, 0.5], [10 * weight + 0.1, 10 * weight + 0.5])]
    assert row_of(result, alpha=0.7, weight=4.0)["test_reconstruction_paper"] == 12.945


def test_appendix_f_draws_the_beta_vae_against_beta(tmp_path):
    for beta in (0.25, 1.0, 4.0):
        add_run(tmp_path, 10 + beta, divergence="kl-qp", weight=beta)
    result = curves.app_f(tmp_path)
    axes = result.figure.axes[0]
    assert lines(axes, COLOURS["kl-qp"], "-", "o") == [([0.25, 1.0, 4.0], [10.25, 11.0, 14.0])]
    betas, theirs = lines(axes, COLOURS["kl-qp"], "None", "o")[0]
    assert dict(zip(betas, theirs, strict=True)) == {
        0.25: 8.094, 0.5: 8.293, 0.75: 8.311, 1: 8.46, 2: 9.189, 3: 10.199, 4: 11.75
    }  # fmt: skip
    assert axes.get_xscale() == "log"
    assert len(result.missing) == 4


@pytest.mark.parametrize("figure", [curves.app_e, curves.app_f])
def test_a_single_weight_is_not_drawn_and_the_missing_ones_are_named(figure, tmp_path):
    add_grid(tmp_path)
    result = figure(tmp_path)
    assert (result.figure, len(result.rows)) == (None, 0)
    assert all(re.search(r"--weight (2|3|4|0.25|0.5|0.75) ", line) for line in result.missing if "weight" in line)
    assert any("--weight 4" in line for line in result.missing)
