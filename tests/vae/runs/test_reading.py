"""Runs are found through links, and know where their images were."""

import json
from pathlib import Path

import numpy as np
import pytest

import vae.evaluate
import vae.train
from tests.vae.runs.add_run import add_run
from vae.data import load
from vae.errors import UserError
from vae.runs.groups import read_runs
from vae.runs.run import load_images, read_run


def test_a_run_behind_a_link_is_read_once_by_its_own_name_first(tmp_path):
    path = add_run(tmp_path / "runs" / "z", 10.0)
    (tmp_path / "runs" / "a").symlink_to(tmp_path / "runs" / "z")
    (tmp_path / "runs" / "z" / "loop").symlink_to(tmp_path / "runs")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to(path)
    for folders, wanted in (
        ([tmp_path / "runs"], path),
        ([tmp_path / "links"], tmp_path / "links" / "one"),
        ([tmp_path / "runs", tmp_path / "links"], path),
    ):
        found = read_runs(*folders)
        assert [run.path for same in found.runs.values() for run in same] == [wanted]
        assert found.left_out == []


def test_a_run_of_own_images_is_evaluated_from_where_they_were(tmp_path, monkeypatch, capsys):
    images = load("fashion-mini").train_images[:60, 0].numpy()
    np.savez(tmp_path / "own.npz", train_images=images[:40], test_images=images[40:])
    monkeypatch.chdir(tmp_path)
    assert vae.train.main(["--data", "own.npz", "--epochs", "1", "--out", "run"]) == 0
    assert json.loads(Path("run/run.json").read_text())["data"]["path"] == str(tmp_path.resolve() / "own.npz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    options = ["../run", "--samples", "2", "--batches", "2", "--batch-size", "4"]
    assert vae.evaluate.main(options) == 0
    (tmp_path / "own.npz").rename(tmp_path / "moved.npz")
    capsys.readouterr()
    assert vae.evaluate.main(options) == 2
    place = tmp_path.resolve() / "own.npz"
    assert capsys.readouterr().err == (
        f"vae.evaluate: the images of ../run are no longer at {place}; pass them with --data\n"
    )
    assert vae.evaluate.main([*options, "--data", "../moved.npz"]) == 0
    assert vae.train.main(["--data", "../moved.npz", "--epochs", "2", "--out", "../run", "--resume"]) == 0
    assert vae.evaluate.main(options) == 0  # it knows the new place


def test_a_run_of_own_images_that_does_not_know_their_place_asks_for_it(tmp_path):
    run = read_run(add_run(tmp_path, 10.0, dataset="own"))
    with pytest.raises(UserError, match=r"have no place in its run.json; pass them with --data$"):
        load_images(run, None)
