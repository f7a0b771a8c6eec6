"""A run writes the promised files, continues with the same bits after a stop, and ends if its loss is not finite."""

import dataclasses
import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

import vae.training.measure
import vae.training.steps
import vae.training.training
from vae.data import load
from vae.model import VAE
from vae.objective import prepare_backend
from vae.train import main
from vae.training.digest import digest
from vae.training.settings import Settings
from vae.training.steps import Batches, train_step
from vae.training.training import build

CPU = torch.device("cpu")
FILES = {"run.json", "metrics.jsonl", "checkpoint.pt", "model.safetensors"} | {
    f"{picture}.png" for picture in ("reconstructions", "traversal", "curves")
}


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Uses 200 + 100 real images, and one thread, because on a busy machine two mostly wait for each other."""
    whole = load("fashion-mini")
    few = dataclasses.replace(
        whole,
        train_images=whole.train_images[:200],
        test_images=whole.test_images[:100],
        test_labels=whole.test_labels[:100],
    )
    monkeypatch.setattr(vae.training.training, "load", lambda name, folder: few)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield few
    torch.set_num_threads(threads)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def results(folder):
    """Everything that a run computes, without its speed."""
    rows = [{name: row[name] for name in row if name != "images_per_second"} for row in metrics(folder)]
    return rows, (folder / "model.safetensors").read_bytes()


def test_a_run_writes_the_files_the_metrics_and_the_facts_it_promises(tmp_path, capsys, few_images):
    folder = tmp_path / "run"
    assert main(["--epochs", "2", "--divergence", "jsg-dual", "--alpha", "0.4", "--out", str(folder)]) == 0
    assert {path.name for path in folder.glob("[!.]*")} == FILES

    rows = metrics(folder)
    assert [(row["epoch"], row["split"]) for row in rows] == [(1, "train"), (1, "test"), (2, "train"), (2, "test")]
    for row in rows:
        assert list(row) == ["epoch", "split", "reconstruction", "divergence", "loss", "images_per_second"]
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["divergence"], rel=1e-6)  # float32 sums
        assert row["images_per_second"] > 0
    assert rows[2]["loss"] < rows[0]["loss"]

    run = json.loads((folder / "run.json").read_text())
    assert run["settings"] == {
        "dataset": "fashion-mini",
        "divergence": "jsg-dual",
        "alpha": 0.4,
        "learn_alpha": False,
        "weight": 1.0,
        "mmd_of": "z",
        "likelihood": "gaussian",
        "epochs": 2,
        "backend": "auto",
        "batch_size": 64,
        "lr": 1e-4,
        "seed": 1234,
        "deterministic": False,
    }
    assert run["data"] == {"train": 200, "test": 100, "split": few_images.split, "sha256": few_images.sha256}
    assert run["parameters"] == 469_173
    environment = run["environment"]
    assert environment["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert environment["backend"] == prepare_backend("auto", torch.device("cpu"))
    assert environment["threads"] == 1
    assert environment["command"]
    assert {"git_commit", "python", "platform", "processor", "device"} < set(environment)
    # A line for each group of facts: what differs between two runs, diff shows.
    lines = (folder / "run.json").read_text().splitlines()
    assert len(lines) == len(run) + 2
    assert sum('"environment"' in line and "sha256" not in line for line in lines) == 1
    assert run["resumed"] == []

    for picture in folder.glob("*.png"):
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert picture.stat().st_size > 10_000  # an empty figure of these sizes takes about 5 kB
    output = capsys.readouterr().out
    for row in rows[2:]:
        assert f"{row['reconstruction']:.3f}" in output
    assert str(folder) in output


def test_the_model_that_is_saved_is_the_one_that_was_measured(tmp_path, few_images, monkeypatch):
    monkeypatch.setattr(vae.training.measure, "CHUNK", 30)  # of the 100 images, so that the last is a part of one
    assert main(["--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    model = VAE()
    model.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    images = few_images.test_images.float() / 255
    with torch.no_grad():
        mean, _ = model.encode(images)
        # The paper's number: squared errors summed over the pixels of an image, z = mean, averaged over the images.
        errors = (model.decode(mean).double() - images.double()).square().flatten(1).sum(1)
    # Float32 convolutions in another memory layout: 1e-7 each, and about a thousand of them add up.
    assert metrics(tmp_path / "run")[1]["reconstruction"] == pytest.approx(errors.mean().item(), rel=1e-5)


def test_a_seed_means_the_same_bits_and_another_seed_means_others(tmp_path):
    for name, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        assert main(["--epochs", "1", "--seed", seed, "--out", str(tmp_path / name)]) == 0
    assert results(tmp_path / "first") == results(tmp_path / "again")
    assert results(tmp_path / "first") != results(tmp_path / "other")


def test_order_and_noise_depend_only_on_seed_and_epoch():
    images = torch.zeros(100, 1, 32, 32, dtype=torch.uint8)
    first, again, *others = (Batches(images, 64, 10, seed) for seed in (5, 5, 5, 6, 3))
    again.shuffle(7)
    for batches, epoch in zip((first, again, *others), (3, 3, 4, 3, 5), strict=True):
        batches.shuffle(epoch)
    assert torch.equal(first.order, again.order)
    assert torch.equal(first.noise, again.noise)
    for other in others:
        assert not torch.equal(first.order, other.order)
        assert not torch.equal(first.noise, other.noise)
    assert len(first) == 2
    assert torch.equal(torch.cat([first[0].indices, first[1].indices]), first.order)
    assert torch.equal(torch.cat([first[0].noise, first[1].noise]), first.noise)
    assert first.order.sort().values.tolist() == list(range(100))


def test_the_steps_are_those_of_plain_adam_along_the_gradient_of_the_mean_loss(few_images):
    batches = Batches(few_images.train_images, 64, 10, 1)
    batches.shuffle(1)
    model, optimizer, objective = build(Settings(lr=1e-3), CPU)
    other, _, loss = build(Settings(), CPU)
    plain = torch.optim.Adam(other.parameters(), lr=1e-3, foreach=False, fused=False)
    for step in range(3):
        train_step(model, optimizer, objective, batches[step])
        _, images, noise = batches[step]
        mean = loss(images, *other(images, noise))[2].mean()
        for parameter, gradient in zip(
            other.parameters(), torch.autograd.grad(mean, list(other.parameters())), strict=True
        ):
            parameter.grad = gradient
        plain.step()
    for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
        # Three steps move a weight by up to 3e-3. Roundings, which Adam's division magnifies where gradients are tiny,
        # make 1.4e-5 of that at most, measured for three seeds; gradients kept from the step before make 2e-3.
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-4)


def test_a_run_that_began_on_a_gpu_continues_without_one_and_adds_its_time(tmp_path):
    straight, moved = tmp_path / "straight", tmp_path / "moved"
    assert main(["--epochs", "2", "--out", str(straight)]) == 0
    assert main(["--epochs", "1", "--out", str(moved)]) == 0
    checkpoint = torch.load(moved / "checkpoint.pt")
    checkpoint["optimizer"]["param_groups"][0]["capturable"] = True  # as a GPU leaves it
    checkpoint["seconds"] = 1000.0
    del checkpoint["sha256"]
    torch.save(checkpoint | {"sha256": digest(checkpoint)}, moved / "checkpoint.pt")
    assert main(["--epochs", "2", "--out", str(moved), "--resume"]) == 0
    assert results(moved) == results(straight)
    assert torch.load(moved / "checkpoint.pt")["seconds"] > 1000


def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_one(tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(["--epochs", "3", "--out", str(straight)]) == 0
    assert main(["--epochs", "1", "--out", str(stopped)]) == 0
    # As if it had been killed after writing an epoch's metrics and before writing its checkpoint.
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write((stopped / "metrics.jsonl").read_text().replace('"epoch": 1', '"epoch": 2'))
    assert main(["--epochs", "3", "--out", str(stopped), "--resume"]) == 0
    assert results(stopped) == results(straight)
    assert len(json.loads((stopped / "run.json").read_text())["resumed"]) == 1


def test_a_run_that_was_stopped_before_its_first_epoch_ended_starts_again(tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(["--epochs", "1", "--out", str(straight)]) == 0
    stopped.mkdir()
    shutil.copy(straight / "run.json", stopped)
    assert main(["--epochs", "1", "--out", str(stopped), "--resume"]) == 0
    assert results(stopped) == results(straight)


@pytest.mark.parametrize("backend", ["eager", "reference"])
def test_a_divergence_that_is_not_finite_stops_the_run_and_saves_the_batch(tmp_path, capsys, few_images, backend):
    # 1e39 is no float32, so the weighted divergence overflows at the first step.
    options = ["--weight", "1e39", "--backend", backend, "--out", str(tmp_path)]
    assert main(options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "the loss is not finite at epoch 1, step 1 of 4" in error
    assert str(tmp_path / "not_finite.safetensors") in error
    batch = load_file(tmp_path / "not_finite.safetensors")
    assert batch["images"].shape == (64, 1, 32, 32)
    assert batch["noise"].shape == (64, 10)
    torch.testing.assert_close(batch["images"], few_images.train_images[batch["indices"]].float() / 255)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("poisoned", "name"), [("decoder", "reconstruction"), ("encoder", "reconstruction and divergence")]
)
@pytest.mark.parametrize("backend", ["eager", "reference"])
def test_the_term_the_epoch_and_the_step_of_a_failure_are_named(
    tmp_path, capsys, monkeypatch, few_images, poisoned, name, backend
):
    monkeypatch.setattr(vae.training.steps, "CHECK_EVERY", 2)

    # A weight becomes NaN between the second and the third step of the second epoch, and only there.
    def build_poisoned(settings, device, size):
        model, optimizer, objective = build(settings, device, size)
        step = optimizer.step
        steps = 0

        def poison():
            nonlocal steps
            step()
            steps += 1
            if steps == 4 + 2:
                getattr(model, poisoned)[-1].bias.data[0] = math.nan

        monkeypatch.setattr(optimizer, "step", poison)
        return model, optimizer, objective

    monkeypatch.setattr(vae.training.training, "build", build_poisoned)
    assert main(["--epochs", "2", "--backend", backend, "--out", str(tmp_path)]) == 2
    assert f"the {name} is not finite at epoch 2, step 3 of 4" in capsys.readouterr().err
    batches = Batches(few_images.train_images, 64, 10, 1234)
    batches.shuffle(2)
    expected = batches[2]
    assert torch.equal(load_file(tmp_path / "not_finite.safetensors")["indices"], expected.indices)
    assert [row["epoch"] for row in metrics(tmp_path)] == [1, 1]  # the first epoch's results are kept


def test_weights_that_break_in_the_last_step_are_found_by_the_evaluation(tmp_path, capsys):
    # A learning rate that only one step survives: that step's loss is finite, the weights after it are not.
    assert main(["--epochs", "1", "--lr", "1e38", "--batch-size", "200", "--out", str(tmp_path)]) == 2
    assert "not finite at epoch 1, step 1 of 1" in capsys.readouterr().err
    assert not (tmp_path / "checkpoint.pt").exists()
