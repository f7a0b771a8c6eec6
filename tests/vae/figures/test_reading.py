"""Runs read for figures: seeds are averaged, and missing, unfinished and damaged runs are named."""

import shlex

import pytest

from tests.vae.figures.grid import GRID, add_grid, change, lines, row_of
from tests.vae.runs.add_run import add_run
from vae.figures import curves, tables
from vae.runs.groups import read_runs
from vae.style import COLOURS
from vae.training.settings import Settings, parse_settings


def test_seeds_are_summarised_by_mean_and_sample_sd_and_one_seed_has_no_sd(tmp_path):
    for seed, value in ((1234, 10.0), (1, 11.0), (2, 15.0)):
        add_run(tmp_path / "deep" / str(seed), value, divergence="jsg", alpha=0.3, seed=seed)
    add_run(tmp_path, 9.0, divergence="kl-qp")
    result = curves.fig3(tmp_path)
    row = row_of(result, divergence="jsg", alpha=0.3)
    # 12 and sqrt((4 + 1 + 9) / 2), up to a rounding
    assert (row["test_reconstruction"], row["test_reconstruction_sd"]) == pytest.approx((12.0, 7**0.5), rel=1e-15)
    assert (row["train_reconstruction"], row["seeds"], row["epochs"]) == (11.0, 3, 3)
    single = row_of(result, divergence="kl-qp")
    assert (single["test_reconstruction"], single["test_reconstruction_sd"], single["seeds"]) == (9.0, None, 1)
    assert "MNIST: 3 epochs, 1 to 3 seeds." in result.caption


def test_a_missing_run_is_named_with_the_command_that_makes_it_and_is_not_drawn(tmp_path):
    add_grid(tmp_path)
    result = curves.fig3(tmp_path)
    line = "mnist JSG, alpha 0.2: python -m vae.train --dataset mnist --divergence jsg --alpha 0.2 --epochs 3"
    assert line in result.missing
    assert len(result.missing) == 20 - len(GRID)
    for line in result.missing:
        settings = parse_settings(shlex.split(line.partition(": ")[2])[3:])
        assert (settings.epochs, settings.seed, settings.weight) == (3, 1234, 1.0)
        assert row_of(result, divergence=settings.divergence, alpha=settings.alpha)["test_reconstruction"] is None
    ((alphas, values),) = lines(result.figure.axes[0], COLOURS["jsg"], "-", "o")
    assert (alphas, values) == ([0.1, 0.3], [10.0, 11.0])


def test_an_unfinished_run_is_left_out_and_named_with_the_command_that_continues_it(tmp_path):
    add_grid(tmp_path)
    path = add_run(tmp_path, 1.0, done=2, divergence="jsg", alpha=0.5, lr=1e-4, seed=7, backend="eager")
    result = curves.fig3(tmp_path)
    (line,) = [line for line in result.missing if "alpha 0.5" in line and "JSG," in line]
    assert line.startswith(f"mnist JSG, alpha 0.5 ({path} has 2 of 3 epochs): python -m vae.train ")
    settings = parse_settings(shlex.split(line.partition("): ")[2])[3:])
    assert settings == Settings("mnist", "jsg", 0.5, seed=7, backend="eager", epochs=3, out=path, resume=True)
    assert row_of(result, divergence="jsg", alpha=0.5)["test_reconstruction"] is None


def test_an_unfinished_seed_is_named_even_if_others_finished(tmp_path):
    add_grid(tmp_path)
    path = add_run(tmp_path, 1.0, done=2, divergence="jsg", alpha=0.3, seed=7)
    result = curves.fig3(tmp_path)
    assert len([line for line in result.missing if f"({path} has 2 of 3 epochs)" in line]) == 1
    assert row_of(result, divergence="jsg", alpha=0.3)["seeds"] == 1


def test_a_shorter_run_is_continued_instead_of_repeated(tmp_path):
    add_grid(tmp_path)
    path = add_run(tmp_path, 20.0, divergence="jsg", alpha=0.5, epochs=2)
    (line,) = [line for line in curves.fig3(tmp_path).missing if "JSG, alpha 0.5" in line]
    assert f"has 2 of 3 epochs): python -m vae.train --dataset mnist --divergence jsg --alpha 0.5 --epochs 3 --out {path} --resume" in line  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(("more", "fewer"), [(3, 5), (5, 3)])
def test_runs_of_other_epochs_are_never_mixed_in_and_the_caption_counts_them(more, fewer, tmp_path):
    add_grid(tmp_path, epochs=more)
    add_run(tmp_path, 99.0, divergence="jsg", alpha=0.1, epochs=fewer)
    add_run(tmp_path, 99.0, divergence="jsg", alpha=0.7, epochs=fewer)
    result = curves.fig3(tmp_path)
    assert {row["epochs"] for row in result.rows} == {more, None}
    assert 99.0 not in [row["test_reconstruction"] for row in result.rows]
    assert f"MNIST: {more} epochs, 1 seed; left out: 2 of {fewer} epochs." in result.caption


def test_if_two_sets_are_complete_the_longer_trained_is_shown(tmp_path):
    add_grid(tmp_path, epochs=3)
    add_grid(tmp_path, epochs=5)
    assert {row["epochs"] for row in curves.fig3(tmp_path).rows} == {5, None}


@pytest.mark.parametrize(
    ("name", "edit", "reason"),
    [
        ("run.json", lambda text: text[:-9], "JSONDecodeError"),
        ("run.json", lambda text: "[]", "TypeError"),
        ("run.json", lambda text: text.replace('"lr"', '"rate"'), "rate"),
        ("run.json", lambda text: text.replace('"alpha": 0.5', '"alpha": 1.5'), "--alpha must lie in"),
        ("run.json", lambda text: text.replace('"alpha": 0.5', '"alpha": "half"'), "--alpha must be a value like 0.3"),
        ("run.json", lambda text: text.replace("sha256", "md5"), "sha256"),
        ("metrics.jsonl", lambda text: text[:-9], "JSONDecodeError"),
        ("metrics.jsonl", lambda text: "", "has rows of nothing, wanted train and test"),
        ("metrics.jsonl", lambda text: text.splitlines()[0], "has rows of train, wanted train and test"),
        ("metrics.jsonl", lambda text: text.replace('"epoch": 3', '"epoch": 4'), "ends with epoch 4, run.json wants 3"),
        ("metrics.jsonl", lambda text: text.replace('"epoch": 3', '"epoch": -1'), "has epoch -1, wanted a whole"),
        ("metrics.jsonl", lambda text: text.replace('"epoch": 3', '"epoch": 2.5'), "has epoch 2.5"),
        ("metrics.jsonl", lambda text: text.replace('"reconstruction": 9.0', '"reconstruction": NaN'), "not finite"),
        ("metrics.jsonl", lambda text: text.replace('"divergence"', '"distance"'), "divergence"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_one_line_with_its_path_and_the_others_are_drawn(name, edit, reason, tmp_path):
    add_grid(tmp_path)
    path = add_run(tmp_path, 9.0, divergence="jsg", alpha=0.5)
    assert not read_runs(tmp_path).damaged
    change(name, path, edit)
    (line,) = read_runs(tmp_path).damaged
    assert line.startswith(f"{path}'s run.json or metrics.jsonl cannot be read (")
    assert reason in line
    assert "\n" not in line
    for result in (curves.fig3(tmp_path), tables.table1(tmp_path)):
        assert line in result.missing
        assert 9.0 not in [row["test_reconstruction"] for row in result.rows]
        assert len([row for row in result.rows if row["seeds"]]) >= 4


def test_the_same_seed_twice_counts_once_and_other_images_are_not_mixed_in(tmp_path):
    add_grid(tmp_path / "a")
    again = add_run(tmp_path / "b", 50.0, divergence="jsg", alpha=0.1, backend="eager")
    other = add_run(tmp_path / "c", 60.0, divergence="jsg", alpha=0.1, seed=5, images="b")
    result = curves.fig3(tmp_path)
    row = row_of(result, divergence="jsg", alpha=0.1)
    assert (row["seeds"], row["test_reconstruction"]) == (1, 10.0)
    assert f"{again} is left out: it repeats the settings and the seed of " in result.caption
    assert f"{other} is left out: its images differ from those of " in result.caption


@pytest.mark.parametrize(
    "options",
    [{"lr": 1e-3}, {"batch_size": 128}, {"likelihood": "laplace"}, {"learn_alpha": True}, {"weight": 2.0}],
)
def test_runs_with_other_settings_are_not_grouped_with_these(options, tmp_path):
    add_grid(tmp_path)
    add_run(tmp_path / "x", 50.0, divergence="jsg", alpha=0.3, seed=5, **options)
    row = row_of(curves.fig3(tmp_path), divergence="jsg", alpha=0.3)
    assert (row["seeds"], row["test_reconstruction"]) == (1, 11.0)


def test_an_alpha_with_a_rounding_error_is_the_intended_one(tmp_path):
    add_run(tmp_path, 10.0, divergence="jsg", alpha=0.3)
    add_run(tmp_path, 12.0, divergence="jsg", alpha=0.1 + 0.2, seed=5)
    add_run(tmp_path, 9.0, divergence="kl-qp")
    assert row_of(curves.fig3(tmp_path), divergence="jsg", alpha=0.3)["test_reconstruction"] == 11.0


def test_alphas_that_the_paper_does_not_have_are_drawn_too(tmp_path):
    add_grid(tmp_path)
    add_run(tmp_path, 9.0, divergence="jsg", alpha=0.25)
    result = curves.fig3(tmp_path)
    assert lines(result.figure.axes[0], COLOURS["jsg"], "-", "o") == [([0.1, 0.25, 0.3], [10.0, 9.0, 11.0])]
    assert not any("0.25" in line for line in result.missing)


def test_a_data_set_without_runs_gets_one_line_and_with_a_single_run_no_panels(tmp_path):
    add_grid(tmp_path)
    add_run(tmp_path, 9.0, dataset="fashion-mini", divergence="jsg", alpha=0.3)
    result = curves.app_b(tmp_path)
    assert {row["dataset"] for row in result.rows} == {"mnist"}
    assert len(result.figure.axes) == 3
    about = [line for line in result.missing if not line.startswith("mnist ")]
    assert [line.partition(",")[0] for line in about] == ["fashion", "dsprites", "chairs", "fashion-mini"]
    assert about[0] == (
        "fashion, 20 runs, the first: fashion JSG, alpha 0.1: "
        "python -m vae.train --dataset fashion --divergence jsg --alpha 0.1 --epochs 30"
    )
