"""The three pictures of a run, drawn with matplotlib's Figure and without pyplot, so without global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from torch import Tensor
from torch.nn.functional import pad

from vae.data import Dataset, Images
from vae.files import replacing
from vae.model import VAE
from vae.style import INK
from vae.training.measure import by_activity, encode

COLOURS = {"reconstruction": "#0b6e99", "divergence": "#c4562f"}
GAP = 3  # pixels between two images
STEPS = torch.linspace(-2, 2, 10)  # the range that holds 95 % of the prior


@torch.no_grad()
def draw_all(folder: Path, model: VAE, dataset: Dataset, metrics: list[dict[str, Any]], title: str) -> None:
    """Writes reconstructions.png, traversal.png and curves.png."""
    images = dataset.test_images
    mean, logvar = encode(model, images)
    figures = {
        "reconstructions": draw_reconstructions(model, images, mean, dataset.test_labels, title),
        "traversal": draw_traversal(model, mean, logvar, title),
        "curves": draw_curves(metrics, title),
    }
    for name, figure in figures.items():
        with replacing(folder / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=160)


def draw_reconstructions(model: VAE, images: Images, mean: Tensor, labels: Tensor | None, title: str) -> Figure:
    """Test images in two rows, and below each row its reconstructions with z = mean."""
    names = ["test image", "reconstruction"] * 2
    return draw_grid(reconstruct(model, images, mean, labels), names, f"{title}: reconstructions of test images")


def reconstruct(model: VAE, images: Images, mean: Tensor, labels: Tensor | None) -> Tensor:
    """Two rows of test images, each followed by the row of its reconstructions: ``4 x columns x 1 x size x size``."""
    chosen = choose(labels, len(images))
    rows = [row for index in chosen for row in (images[index].float() / 255, model.decode(mean[index].float()))]
    return torch.stack(rows)


def choose(labels: Tensor | None, count: int) -> Tensor:
    """Indices of two images of each of ten classes, ``2 x 10``; without ten classes, of evenly spaced images."""
    if labels is not None:
        classes = [(labels == label).nonzero()[:2, 0] for label in labels.unique()]
        if len(classes) == 10 and all(len(indices) == 2 for indices in classes):
            return torch.stack(classes, 1)
    columns = max(1, min(count, 20) // 2)
    return torch.linspace(0, count - 1, 2 * columns).long().view(2, columns)


def draw_traversal(model: VAE, mean: Tensor, logvar: Tensor, title: str) -> Figure:
    """Each row moves one latent dimension from -2 to 2; the others stay where the encoder puts the first image."""
    order, activity = by_activity(mean, logvar)
    names = [f"z{dimension + 1}   {activity[dimension]:.2f} nats" for dimension in order]
    values = [f"{step:.1f}" for step in STEPS.tolist()]
    title = f"{title}: latent dimensions and their mean KL(q||p), each moved alone"
    return draw_grid(traverse(model, mean[0].float(), order), names, title, values)


def traverse(model: VAE, z: Tensor, dimensions: Sequence[int]) -> Tensor:
    """Decoded images, ``dimensions x steps x 1 x size x size``: each row moves one dimension of ``z``."""
    points = z.repeat(len(dimensions), len(STEPS), 1)
    for row, dimension in enumerate(dimensions):
        points[row, :, dimension] = STEPS.to(z.device)
    return model.decode(points.flatten(0, 1)).unflatten(0, points.shape[:2])


def draw_grid(rows: Tensor, names: list[str], title: str, values: Sequence[str] = ()) -> Figure:
    """A figure of images, ``rows x columns x 1 x size x size``, with names on the left and values below."""
    count, columns = rows.shape[:2]
    figure = Figure(figsize=(0.62 * columns + 1.6, 0.62 * count + 0.5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    fill_grid(axes, rows, names, values)
    tidy(axes, title)
    axes.spines[:].set_visible(False)
    return figure


def fill_grid(axes: Axes, rows: Tensor, names: list[str], values: Sequence[str] = ()) -> None:
    count, size = len(rows), rows.shape[-1]
    cell = size + GAP
    axes.imshow(tile(rows).numpy(force=True), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([row * cell + size / 2 for row in range(count)], names)
    axes.set_xticks([column * cell + size / 2 for column in range(len(values))], values)


def tile(rows: Tensor) -> Tensor:
    """Images, ``rows x columns x 1 x size x size``, joined into one, with gaps of zeros between them."""
    count, columns, _, size, _ = rows.shape
    cell = size + GAP
    canvas = pad(rows, (0, GAP, 0, GAP)).squeeze(2).transpose(1, 2).reshape(count * cell, columns * cell)
    return canvas[:-GAP, :-GAP]


def draw_curves(metrics: list[dict[str, Any]], title: str) -> Figure:
    """Reconstruction and divergence after each epoch; as in the paper, train is dashed and test is solid."""
    figure = Figure(figsize=(8, 3.2), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    figure.suptitle(title, color=INK, fontsize=11)
    for axes, term in zip(panels, COLOURS, strict=True):
        for split, dashes in (("train", "--"), ("test", "-")):
            rows = [row for row in metrics if row["split"] == split]
            epochs, values = [row["epoch"] for row in rows], [row[term] for row in rows]
            marker = "o" if len(epochs) == 1 else ""  # one point makes no line
            axes.plot(epochs, values, marker + dashes, color=COLOURS[term], label=f"{split}  {values[-1]:.2f}")
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        axes.set_xlabel("epoch", color=INK, fontsize=9)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        tidy(axes, {"reconstruction": "error of the reconstruction", "divergence": "divergence"}[term])
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    panels[0].yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    panels[0].yaxis.set_minor_locator(NullLocator())
    low, high = panels[0].get_ylim()
    if high < 1.6 * low:  # two labels are at most a factor of 1.5 apart
        panels[0].set_ylim(low / 1.6, 1.6 * high)
    return figure


def tidy(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=INK, length=0, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
