"""Runs whose files are damaged, missing, changed or of another run."""

import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open

from tests.vae.test_train import few_images, metrics, results  # noqa: F401  (few_images is a fixture)
from vae.files import replacing
from vae.train import main
from vae.training.folder import RunFolder

DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: torch.save([1, 2], path),
    "without a model": lambda path: torch.save({"epoch": 1}, path),
    "other weights": lambda path: torch.save(torch.load(path) | {"model": {}}, path),
    "without an optimiser": lambda path: torch.save(torch.load(path) | {"optimizer": {}}, path),
    "of another epoch": lambda path: torch.save(torch.load(path) | {"epoch": 7}, path),
    "without metrics": lambda path: torch.save(torch.load(path) | {"metrics": []}, path),
}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """The folder of the run of one epoch that `trained` copies."""
    return tmp_path_factory.mktemp("once") / "run"


@pytest.fixture
def trained(tmp_path, once, few_images):  # noqa: F811
    """The folder of a finished run of one epoch."""
    if not once.exists():
        assert main(["--epochs", "1", "--out", str(once)]) == 0
    return shutil.copytree(once, tmp_path / "run")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_nothing_of_the_run_changes(capsys, damage, trained):
    DAMAGES[damage](trained / "checkpoint.pt")
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    capsys.readouterr()
    assert main(["--epochs", "2", "--out", str(trained), "--resume"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"vae.train: {trained / 'checkpoint.pt'} is damaged")
    assert error.count("\n") == 1
    RunFolder(trained).close()  # no process holds it any more
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_a_missing_checkpoint_is_an_error_and_nothing_is_trained_again(capsys, trained):
    (trained / "checkpoint.pt").unlink()
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    assert main(["--epochs", "2", "--out", str(trained), "--resume"]) == 2
    assert "checkpoint.pt is missing, though metrics.jsonl is there" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoint.pt", "model.safetensors"])
def test_a_folder_with_any_file_of_a_run_is_not_written_into(tmp_path, capsys, name):
    (tmp_path / name).write_text("precious")
    assert main(["--epochs", "1", "--out", str(tmp_path)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.glob("[!.]*")] == [(name, "precious")]


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_resuming_repairs_the_metrics_from_the_checkpoint(damage, trained):
    path = trained / "metrics.jsonl"
    whole = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(whole[:-50])
    assert main(["--epochs", "1", "--out", str(trained), "--resume"]) == 0
    assert path.read_bytes() == whole


def test_the_weights_name_their_epoch(tmp_path):
    assert main(["--epochs", "2", "--out", str(tmp_path)]) == 0
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()["epoch"] == "2"


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "metrics.jsonl") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("metrics.jsonl", "old")]


def retrain(tmp_path, *options):
    """A finished run of one epoch."""
    folder = tmp_path / "-".join(["run", *options])
    assert main(["--epochs", "1", "--out", str(folder), *options]) == 0
    return folder


def resumption_is_refused(folder, capsys, *options) -> str:
    """The line about a run that must not be resumed; no file of it changes."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["--out", str(folder), "--resume", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    return error


def test_a_checkpoint_of_another_run_is_refused_and_nothing_is_written_over(tmp_path, capsys, trained):
    ours, theirs = trained, retrain(tmp_path, "--seed", "7")
    shutil.copy(theirs / "checkpoint.pt", ours)
    assert "checkpoint.pt belongs to a run of other settings or other images" in resumption_is_refused(
        ours, capsys, "--epochs", "2"
    )


def test_a_checkpoint_with_more_epochs_than_its_run_is_refused(tmp_path, capsys, trained):
    longer, shorter = tmp_path / "longer", trained
    assert main(["--epochs", "2", "--out", str(longer)]) == 0
    shutil.copy(shorter / "run.json", longer)
    error = resumption_is_refused(longer, capsys, "--epochs", "1")
    assert "checkpoint.pt is from epoch 2, but run.json is for 1; put back the run.json that belongs to it" in error


def test_any_changed_value_in_a_checkpoint_is_noticed(capsys, trained):
    path = trained / "checkpoint.pt"
    whole = torch.load(path)

    def flip(checkpoint):
        next(iter(checkpoint["model"].values())).view(torch.uint8).view(-1)[0] ^= 1

    def heat(checkpoint):
        checkpoint["optimizer"]["state"][0]["exp_avg"].mul_(1 + 1e-6)

    def boast(checkpoint):
        checkpoint["metrics"][0]["reconstruction"] -= 1e-9

    for change in (flip, heat, boast, lambda checkpoint: checkpoint.pop("sha256")):
        checkpoint = torch.load(path)
        change(checkpoint)
        torch.save(checkpoint, path)
        assert f"{path} is damaged" in resumption_is_refused(trained, capsys, "--epochs", "2")
        torch.save(whole, path)
    assert main(["--out", str(trained), "--resume", "--epochs", "2"]) == 0


def test_a_run_json_that_was_changed_is_refused(capsys, trained):
    text = (trained / "run.json").read_text()
    run = json.loads(text)
    for changed in (text.replace('"threads": 1', '"threads": 2'), json.dumps({**run, "sha256": "0" * 64})):
        assert changed != text
        (trained / "run.json").write_text(changed)
        assert "run.json was changed after it was written" in resumption_is_refused(trained, capsys, "--epochs", "2")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("resumed",), {}),
        (("settings", "epochs"), math.inf),
        (("settings",), []),
        (("environment", "threads"), None),
        (("data",), 3),
    ],
)
def test_a_run_json_of_another_form_is_a_line_on_resumption(place, value, tmp_path, capsys):
    facts = {"settings": {"epochs": 1}, "data": {"sha256": {}}, "environment": {"threads": 1}, "resumed": []}
    holder = facts
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    (tmp_path / "run.json").write_text(json.dumps(facts).replace("Infinity", "1e400"))
    assert main(["--out", str(tmp_path), "--resume"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"vae.train: {tmp_path / 'run.json'} is damaged (")
    assert error.count("\n") == 1
