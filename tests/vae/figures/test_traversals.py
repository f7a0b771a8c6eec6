"""Figure 4: traversals are images of the models."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from tests.vae.runs.add_run import add_run
from vae.data import load
from vae.figures import traversals
from vae.model import VAE


@pytest.fixture
def fashion(monkeypatch):
    """Images that are read quickly, instead of Fashion-MNIST."""
    mini = load("fashion-mini")
    images = dataclasses.replace(mini, test_images=mini.test_images[:50])
    monkeypatch.setattr(traversals, "load", lambda name: {"fashion": images}[name])
    return images.test_images


def add_model(folder, seed, **options):
    path = add_run(folder, 10.0, dataset="fashion", **options)
    model = VAE().requires_grad_(False)
    model.initialise(torch.Generator().manual_seed(seed))
    save_file(model.state_dict(), path / "model.safetensors", {"epoch": "3"})
    return path, model


def test_traversals_are_the_models_images_at_those_z(fashion, tmp_path):
    models = [
        add_model(tmp_path, 1, divergence="jsg-dual", alpha=0.4)[1],
        add_model(tmp_path, 2, divergence="kl-qp")[1],
        add_model(tmp_path, 3, divergence="mmd", weight=500.0)[1],
    ]
    result = traversals.fig4(tmp_path)
    assert list(result.missing) == []
    for axes, model, rows in zip(
        result.figure.axes, models, (result.rows[:5], result.rows[5:10], result.rows[10:]), strict=True
    ):
        mean, logvar = model.encode(fashion.float() / 255)
        # KL(q||p) of each dimension, eq. 3 of the paper; float64, so that rounding cannot change the order.
        activity = (0.5 * (mean.double() ** 2 + logvar.double().exp() - 1 - logvar.double())).mean(0)
        order = activity.argsort(descending=True)[:5]
        assert [row["dimension"] - 1 for row in rows] == order.tolist()
        # The encoder's float32 sums depend on how many images it is given at once.
        assert [row["kl_qp"] for row in rows] == pytest.approx(activity[order].tolist(), rel=1e-5)
        picture = torch.from_numpy(axes.images[0].get_array().data)
        for row, dimension in enumerate(order.tolist()):
            for column in range(10):
                z = mean[:1].clone()
                z[0, dimension] = -2 + 4 * column / 9
                cell = picture[row * 35 : row * 35 + 32, column * 35 : column * 35 + 32]
                torch.testing.assert_close(cell, model.decode(z)[0, 0], rtol=0, atol=1e-5)  # as above; values below 1


def test_a_missing_model_is_named_and_not_replaced(fashion, tmp_path):
    add_model(tmp_path, 1, divergence="jsg-dual", alpha=0.3)
    path, _ = add_model(tmp_path, 2, divergence="kl-qp")
    bare = add_run(tmp_path, 10.0, dataset="fashion", divergence="mmd", weight=500.0)
    result = traversals.fig4(tmp_path)
    assert {row["divergence"] for row in result.rows} == {"kl-qp"}
    assert len(result.figure.axes) == 1
    train = "python -m vae.train --dataset fashion --divergence"
    assert list(result.missing) == [
        f"fashion JSG*, alpha 0.4: {train} jsg-dual --alpha 0.4 --epochs 3",
        f"fashion MMD, weight 500 ({bare} has no model.safetensors): {train} mmd --weight 500 --epochs 3",
    ]
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    result = traversals.fig4(tmp_path)
    assert result.figure is None
    assert any(line.startswith("fashion KL(q||p): ") and "model.safetensors" in line for line in result.missing)
