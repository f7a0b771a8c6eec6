"""The pictures show what their titles say."""

import dataclasses

import pytest
import torch

from vae.data import load
from vae.model import VAE
from vae.training.pictures import GAP, STEPS, choose, draw_all, draw_curves, draw_reconstructions, draw_traversal

CELL = 32 + GAP


@pytest.fixture
def trained():
    """An untrained model and its posteriors of 100 real images, which suffice for these pictures."""
    model = VAE().requires_grad_(False)
    model.initialise(torch.Generator().manual_seed(4))
    dataset = load("fashion-mini")
    images, labels = dataset.test_images[:100], dataset.test_labels[:100]
    mean, logvar = model.encode(images.float() / 255)
    return model, images, labels, mean, logvar


def cell(figure, row, column):
    array = torch.from_numpy(figure.axes[0].images[0].get_array().data)
    return array[row * CELL : row * CELL + 32, column * CELL : column * CELL + 32]


def close(actual, expected):
    """Asserts equality up to a convolution's rounding, which depends on the number of images; values are below 1."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_reconstructions_stand_below_two_images_of_each_class(trained):
    model, images, labels, mean, _ = trained
    figure = draw_reconstructions(model, images, mean, labels, "title")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["test image", "reconstruction"] * 2
    for label in range(10):
        for which, index in enumerate((labels == label).nonzero()[:2, 0].tolist()):
            close(cell(figure, 2 * which, label), images[index, 0].float() / 255)
            close(cell(figure, 2 * which + 1, label), model.decode(mean[index : index + 1])[0, 0])


def test_without_ten_classes_the_images_are_evenly_spaced():
    ten = torch.arange(40) % 10
    assert choose(ten, 40).tolist() == [list(range(10)), list(range(10, 20))]
    for labels in (None, torch.arange(40) % 9, torch.arange(40).clamp(max=9)):  # the last: one image of most classes
        chosen = choose(labels, 40)
        assert chosen.shape == (2, 10)
        assert chosen.flatten().tolist() == sorted(set(chosen.flatten().tolist()))
        assert chosen[0, 0] == 0
        assert chosen[1, 9] == 39
    assert choose(None, 5).tolist() == [[0, 1], [2, 4]]
    assert choose(None, 1).tolist() == [[0], [0]]


def test_the_traversal_moves_one_dimension_a_row_the_most_active_first(trained):
    model, _, _, mean, logvar = trained
    figure = draw_traversal(model, mean, logvar, "title")
    # KL(q||p) of one dimension, eq. 3 of the paper; float64, so that rounding cannot change the order.
    activity = (0.5 * (mean.double() ** 2 + logvar.double().exp() - 1 - logvar.double())).mean(0)
    order = activity.argsort(descending=True).tolist()
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == [f"z{dimension + 1}   {activity[dimension]:.2f} nats" for dimension in order]
    for row, dimension in enumerate(order):
        for column in (0, 9):
            z = mean[:1].clone()
            z[0, dimension] = STEPS[column]
            close(cell(figure, row, column), model.decode(z)[0, 0])
    assert STEPS.tolist() == pytest.approx([-2 + 4 * step / 9 for step in range(10)], abs=1e-6)


def test_the_curves_are_dashed_for_train_and_solid_for_test():
    rows = [
        {"epoch": epoch, "split": split, "reconstruction": offset + 10 / epoch, "divergence": offset + epoch}
        for epoch in (1, 2, 3)
        for split, offset in (("train", 0.0), ("test", 1.0))
    ]
    figure = draw_curves(rows, "title")
    for axes, values in zip(figure.axes, ([10.0, 5.0, 10 / 3], [1.0, 2.0, 3.0]), strict=True):
        for line, style, offset in zip(axes.get_lines(), ("--", "-"), (0, 1), strict=True):
            assert line.get_linestyle() == style
            assert list(line.get_xdata()) == [1, 2, 3]
            assert list(line.get_ydata()) == pytest.approx([value + offset for value in values])


def test_one_epoch_is_a_point_with_labelled_axes():
    rows = [{"epoch": 1, "split": split, "reconstruction": 119.41, "divergence": 2.22} for split in ("train", "test")]
    figure = draw_curves(rows, "title")
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert [line.get_marker() for line in axes.get_lines()] == ["o", "o"]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            shown = [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            assert shown
            assert "" not in shown
            assert axis.get_offset_text().get_text() == ""
        assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_all_three_are_written_for_a_run_of_one_epoch_too(trained, tmp_path):
    model, images, labels, _, _ = trained
    dataset = dataclasses.replace(load("fashion-mini"), test_images=images, test_labels=labels)
    row = {"epoch": 1, "reconstruction": 100.0, "divergence": 2.0}
    draw_all(tmp_path, model, dataset, [{**row, "split": "train"}, {**row, "split": "test"}], "title")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "reconstructions.png", "traversal.png"]
