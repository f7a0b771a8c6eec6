"""``python -m vae.evaluate`` on real runs: its numbers, its table and its errors."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributions import Normal, kl_divergence

import vae.evaluate
import vae.runs.run
import vae.train
import vae.training.training
from vae.data import load
from vae.errors import UserError
from vae.evaluate import main
from vae.model import VAE
from vae.training.folder import RunFolder

OPTIONS = ["--samples", "8", "--batch-size", "10"]
RUNS = {
    "jsg": [],
    "mmd": ["--divergence", "mmd", "--weight", "500"],
    "learnt": ["--divergence", "jsg-dual", "--learn-alpha", "--lr", "0.01"],
    "bernoulli": ["--divergence", "kl-qp", "--likelihood", "bernoulli"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of tiny runs, trained and evaluated on 300 + 100 real images."""
    whole = load("fashion-mini")
    few = dataclasses.replace(
        whole,
        train_images=whole.train_images[:300],
        test_images=whole.test_images[:100],
    )
    folder = tmp_path_factory.mktemp("runs")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two mostly wait for each other
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae.training.training, "load", lambda name, path: few)
        patch.setattr(vae.training.training, "draw_all", lambda *arguments: None)
        patch.setattr(vae.runs.run, "load", lambda name, path: few)
        for name, options in RUNS.items():
            assert vae.train.main(["--epochs", "1", "--out", str(folder / name), *options]) == 0
        yield folder
    torch.set_num_threads(threads)


def copy(source, target):
    """Copies the folder of a run, which the test then damages."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def complaint(capsys) -> str:
    """The only line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("vae.evaluate: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def results(runs):
    """evaluation.json of every run, all made by one command."""
    assert main([*(str(runs / name) for name in RUNS), *OPTIONS]) == 0
    return {name: json.loads((runs / name / "evaluation.json").read_text()) for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_the_saved_model_has_the_errors_of_the_last_epoch(name, runs, results):
    rows = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        found = results[name][row["split"]]
        for term in ("reconstruction", "divergence", "loss"):
            # The same function of the same weights.
            assert found[term] == pytest.approx(row[term], rel=1e-9)
    assert results[name]["epoch"] == 1
    assert [results[name][split]["images"] for split in ("train", "test")] == [300, 100]


def test_alpha_is_the_learnt_or_the_set_one_and_null_where_there_is_none(runs, results):
    learnt = json.loads((runs / "learnt" / "metrics.jsonl").read_text().splitlines()[-1])["alpha"]
    assert learnt != 0.3
    alphas = {name: result["alpha"] for name, result in results.items()}
    assert alphas == {"jsg": 0.3, "learnt": learnt, "mmd": None, "bernoulli": None}


@pytest.mark.parametrize("name", RUNS)
def test_every_evaluation_has_the_squared_error(name, runs, results):
    model = VAE()
    model.load_state_dict(load_file(runs / name / "model.safetensors"))
    images = load("fashion-mini").test_images[:100].float() / 255
    with torch.no_grad():
        mean, _ = model.encode(images)
        squares = (model.decode(mean).double() - images.double()).square().flatten(1).sum(1)
    # Float32 convolutions in another memory layout: 1e-7 each, and about a thousand of them add up.
    assert results[name]["test"]["squared_error"] == pytest.approx(squares.mean().item(), rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_rate_distortion_and_evidence_fit_together(name, results):
    result = results[name]
    found = result["evidence"]
    assert found["likelihood"] == ("bernoulli" if name == "bernoulli" else "gaussian")
    assert found["binarised"] == (name == "bernoulli")
    assert found["batches"] == 10
    # Ten batches of ten are all 100 test images, so the rate is what the dimensions add up to; float64.
    assert found["rate"] == pytest.approx(sum(result["latent"]["kl_qp"]), rel=1e-12)
    assert result["active_units"] == sum(result["latent"]["active"])
    assert len(result["latent"]["kl_pq"]) == 10
    assert found["elbo"] == pytest.approx(-found["rate"] - found["distortion"], rel=1e-15)
    assert found["interval"][0] < found["log_evidence"] < found["interval"][1]
    assert 1 <= found["fewest_effective_samples"] <= found["effective_samples"] <= 8


def test_the_likelihood_of_the_evidence_may_be_another_than_the_runs_own(runs, results, tmp_path, capsys):
    folder = copy(runs / "jsg", tmp_path / "run")
    assert main([str(folder), "--likelihood", "bernoulli", *OPTIONS]) == 0
    result = json.loads((folder / "evaluation.json").read_text())
    assert result["evidence"]["likelihood"] == "bernoulli"
    assert result["evidence"]["binarised"]
    assert "bernoulli likelihood of binarised images" in capsys.readouterr().out
    before = results["jsg"]
    assert result["test"] == before["test"]
    assert result["evidence"]["log_evidence"] != pytest.approx(before["evidence"]["log_evidence"], rel=0.01)


def test_the_posterior_of_a_binarised_image_is_that_of_the_grey_one(runs, results):
    # The rate depends on the posteriors of the grey test images only, like the divergences of the latent dimensions.
    found = results["bernoulli"]
    model = VAE()
    model.load_state_dict(load_file(runs / "bernoulli" / "model.safetensors"))
    with torch.no_grad():
        mean, logvar = model.encode(load("fashion-mini").test_images[:100].float() / 255)
    rate = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0, 1)).sum(1).mean().item()
    assert found["evidence"]["rate"] == pytest.approx(rate, rel=1e-4)  # float32, and torch's form cancels digits


def keys(value) -> set[str]:
    """All names in nested objects."""
    return set(value).union(*map(keys, value.values())) if isinstance(value, dict) else set()


def test_every_key_of_evaluation_json_is_documented_and_the_table_has_its_numbers(runs, results, capsys):
    assert main([str(runs / "jsg"), *OPTIONS]) == 0
    result = json.loads((runs / "jsg" / "evaluation.json").read_text())
    result.pop("environment"), results["jsg"].pop("environment")
    assert result == results["jsg"]  # a repetition gives the same numbers
    assert vae.evaluate.__doc__ is not None
    assert [key for key in keys(result) if f"``{key}``" not in vae.evaluate.__doc__] == []

    output = capsys.readouterr().out
    assert f"{runs / 'jsg'}: fashion-mini, JSG, alpha 0.3; epoch 1" in output
    numbers = [result[split][name] for split in ("train", "test") for name in ("squared_error", "divergence", "loss")]
    numbers += [result["evidence"][name] for name in ("log_evidence", "elbo", "rate", "distortion", "standard_error")]
    for number in numbers:
        assert f"{number:.3f}" in output
    for number in [*result["latent"]["kl_qp"], *result["latent"]["kl_pq"]]:
        assert f"{number:.3g}" in output
    assert "100 of 100 test images, 10 batches of 10" in output


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--samples", "0"], "--samples must be at least 1, got 0"),
        (["--batches", "1"], "--batches must be at least 2, for the bootstrap, got 1"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
        (["--likelihood", "poisson"], "Expected one of ('own', 'gaussian', 'bernoulli', 'laplace')"),
        (["--sample", "3"], "Unrecognized options: --sample"),
        (["--batch-size", "51"], "100 test images give 1 batches of 51, and the bootstrap needs two"),
    ],
)
def test_a_mistake_ends_with_one_line_and_status_2_before_anything_is_written(options, wanted, runs, tmp_path, capsys):
    folder = copy(runs / "jsg", tmp_path / "run")
    (folder / "evaluation.json").write_text("old")
    assert main([str(folder), *options]) == 2
    assert wanted in complaint(capsys)
    assert (folder / "evaluation.json").read_text() == "old"
    assert {path.name for path in folder.iterdir()} == {path.name for path in (runs / "jsg").iterdir()} | {
        "evaluation.json"
    }


def test_a_command_without_a_run_is_refused(capsys):
    assert main([]) == 2
    assert "RUN" in complaint(capsys).upper()


def damage(folder, how):
    """Damages a run in one way."""
    run = json.loads((folder / "run.json").read_text())
    if how == "no model":
        (folder / "model.safetensors").unlink()
    elif how == "no epoch":
        (folder / "model.safetensors").unlink()
        (folder / "metrics.jsonl").unlink()
    elif how == "goes on":
        run["settings"]["epochs"] = 2
    elif how == "other data":
        run["data"]["sha256"]["train-images-idx3-ubyte"] = "0" * 64
    elif how == "unknown setting":
        run["settings"]["dropout"] = 0.5
    elif how == "a folder for a model":
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").mkdir()
    elif how == "truncated model":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1000])
    elif how == "weights of another epoch":
        weights = load_file(folder / "model.safetensors")
        save_file(weights, folder / "model.safetensors", {"epoch": "7"})
    elif how == "weights that are no numbers":
        weights = {name: tensor * torch.nan for name, tensor in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", {"epoch": "1"})
    elif how in ("alpha", "divergence", "epochs", "learn_alpha"):
        run["settings"][how] = {"alpha": 9, "divergence": "foo", "epochs": "2", "learn_alpha": {}}[how]
    elif how == "truncated metrics":
        (folder / "metrics.jsonl").write_text((folder / "metrics.jsonl").read_text()[:-20])
    (folder / "run.json").write_text(json.dumps(run) if how != "truncated run.json" else "{")


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("no model", "has no model.safetensors, which training writes at its end; train it again in another --out"),
        ("no epoch", "has not finished"),
        ("goes on", "has not finished"),
        ("other data", "was trained on other data: the sha256 in its run.json differ"),
        ("unknown setting", "run.json or metrics.jsonl cannot be read"),
        ("truncated model", "model.safetensors is damaged"),
        ("a folder for a model", "model.safetensors is damaged"),
        ("weights of another epoch", "model.safetensors is from epoch 7, wanted 1; continue the run with"),
        ("weights that are no numbers", "model.safetensors is damaged"),
        ("alpha", "--alpha must lie in [0, 1], got 9"),
        ("divergence", "--divergence must be a known one, got foo"),
        ("epochs", "--epochs must be a value like 30, got '2'"),
        ("learn_alpha", "--learn-alpha must be a value like False, got {}"),
        ("truncated metrics", "run.json or metrics.jsonl cannot be read"),
        ("truncated run.json", "run.json or metrics.jsonl cannot be read"),
    ],
)
def test_a_run_that_cannot_be_evaluated_is_named_and_left_as_it_was(how, wanted, runs, tmp_path, capsys):
    folder = copy(runs / "jsg", tmp_path / "run")
    damage(folder, how)
    (folder / "evaluation.json").write_text("old")
    assert main([str(folder), *OPTIONS]) == 2
    message = complaint(capsys)
    assert wanted in message
    assert str(folder) in message
    assert (folder / "evaluation.json").read_text() == "old"


def flip_a_weight(folder, runs):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


def change_the_metrics(folder, runs):
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["reconstruction"] += 1e-9
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def take_other_weights(folder, runs):
    shutil.copy(runs / "mmd" / "model.safetensors", folder)


def take_another_run_with_its_metrics(folder, runs):
    for name in ("model.safetensors", "metrics.jsonl"):
        shutil.copy(runs / "mmd" / name, folder)


def change_the_environment(folder, runs):
    run = json.loads((folder / "run.json").read_text())
    run["environment"]["threads"] = 99
    (folder / "run.json").write_text(json.dumps(run))


def remove_the_digest(folder, runs):
    path = folder / "model.safetensors"
    save_file(load_file(path), path, {"epoch": "1"})


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (flip_a_weight, "model.safetensors is damaged"),
        (change_the_metrics, "metrics.jsonl is not the one that"),
        (take_other_weights, "model.safetensors belongs to a run of other settings or other images"),
        (take_another_run_with_its_metrics, "model.safetensors belongs to a run of other settings or other images"),
        (change_the_environment, "run.json was changed after it was written"),
        (remove_the_digest, "model.safetensors has no sha256, so it may be another run's"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(change, wanted, runs, tmp_path, capsys):
    folder = copy(runs / "jsg", tmp_path / "run")
    change(folder, runs)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([str(folder), *OPTIONS]) == 2
    assert wanted in complaint(capsys)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_that_measures_otherwise_than_its_metrics_is_refused(runs, capsys, monkeypatch):
    errors = vae.evaluate.measure_errors
    monkeypatch.setattr(
        vae.evaluate,
        "measure_errors",
        lambda *what: {**errors(*what), "reconstruction": 1.01 * errors(*what)["reconstruction"]},
    )
    assert main([str(runs / "jsg"), *OPTIONS]) == 2
    assert "but its model has" in complaint(capsys)


def test_a_run_that_is_being_trained_is_not_evaluated(runs, capsys):
    with RunFolder(runs / "jsg"):
        assert main([str(runs / "jsg"), *OPTIONS]) == 2
    assert f"{runs / 'jsg'} is in use" in complaint(capsys)


def test_runs_that_cannot_be_evaluated_are_named_and_the_others_are_evaluated(runs, results, tmp_path, capsys):
    names = ("truncated model", "sound", "goes on", "sound too", "truncated run.json")
    folders = {name: copy(runs / "jsg", tmp_path / name) for name in names}
    for name, folder in folders.items():
        (folder / "evaluation.json").unlink()
        damage(folder, name)
    absent = tmp_path / "absent"
    assert main([*map(str, folders.values()), str(absent), *OPTIONS]) == 2
    lines = capsys.readouterr().err.splitlines()
    # All runs are read before the first is evaluated, and weights just before their evaluation.
    wanted = [
        f"{folders['goes on']} has not finished; ",
        f"{folders['truncated run.json']}'s run.json or metrics.jsonl cannot be read ",
        f"{absent} holds no run ",
        f"{folders['truncated model'] / 'model.safetensors'} is damaged ",
    ]
    for line, start in zip(lines, wanted, strict=True):
        assert line.startswith(f"vae.evaluate: {start}")
    for name, folder in folders.items():
        assert (folder / "evaluation.json").exists() == name.startswith("sound")
    sound = json.loads((folders["sound too"] / "evaluation.json").read_text())
    assert {**sound, "environment": None} == {**results["jsg"], "environment": None}


def test_an_error_that_names_no_run_gets_its_name(runs, capsys, monkeypatch):
    def missing(name, path):
        raise UserError("no Fashion-MNIST here")

    monkeypatch.setattr(vae.runs.run, "load", missing)
    assert main([str(runs / "jsg"), *OPTIONS]) == 2
    assert complaint(capsys) == f"vae.evaluate: {runs / 'jsg'}: no Fashion-MNIST here\n"


def test_help_shows_every_option_and_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("likelihood", "samples", "batches", "batch-size", "data", "seed"):
        assert f"--{option} " in text
    assert "(default: own)" in text
    assert "RUN [RUN ...]" in text
    assert "python -m vae.evaluate runs/fashion-jsg-0.3" in text
