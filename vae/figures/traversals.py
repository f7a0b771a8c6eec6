"""Figure 4: latent traversals of models of Fashion-MNIST."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae.data import Images, load
from vae.errors import UserError
from vae.figures.output import WIDTH, Result
from vae.model import VAE
from vae.runs.groups import command, on, read_runs, settings_columns, settings_label, trained
from vae.runs.run import WEIGHTS, Run, load_model
from vae.style import LABELS
from vae.training.measure import by_activity, encode
from vae.training.pictures import STEPS, fill_grid, traverse
from vae.training.settings import Settings

DATASET = "fashion"
PANELS = {
    on(DATASET, trained("jsg-dual", alpha=0.4)): rf"{LABELS['jsg-dual']}, $\alpha=0.4$",
    on(DATASET, trained("kl-qp")): LABELS["kl-qp"],
    on(DATASET, trained("mmd", weight=500.0)): rf"{LABELS['mmd']}, $\lambda=500$",
}
DIMENSIONS = 5
CAPTION = (
    "Figure 4. Latent traversals on Fashion-MNIST. Each row moves one latent dimension through ten equidistant points "
    "from -2 to 2; the other nine stay where the encoder puts the first test image. Shown are the five dimensions that "
    "are used most, with their KL(q||p), a mean over the test images; the paper does not say which five it shows, nor "
    "how far it moves them. MMD compares draws of z with the prior, as InfoVAE does."
)


def fig4(folder: Path) -> Result:
    """Fig. 4: five latent dimensions of three models, each moved alone."""
    runs = read_runs(folder)
    choice = runs.choose(DATASET, list(PANELS), other_alphas=False)
    missing = [*choice.missing, *runs.damaged]
    models: dict[Settings, tuple[Run, VAE]] = {}
    images = None
    for settings, group in choice.groups.items():
        run = next((run for run in group.runs if (run.path / WEIGHTS).exists()), None)
        if run is None:
            path, again = group.runs[0].path, command(group.runs[0].settings)
            missing.append(f"{settings_label(settings)} ({path} has no {WEIGHTS}): {again}")
            continue
        try:
            images = load(DATASET).test_images if images is None else images
            models[settings] = run, load_model(run, images.shape[-1], torch.device("cpu"))
        except UserError as error:
            missing.append(f"{settings_label(settings)}: {error}")
    if images is None or not models:
        return Result(None, (), CAPTION, missing)
    figure = Figure(figsize=(WIDTH, 0.2 + 2.15 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), squeeze=False)[:, 0]
    rows = []
    for axes, (settings, (run, model)) in zip(panels, models.items(), strict=True):
        of_run = settings_columns(settings) | {"epochs": run.epochs, "seed": run.settings.seed}
        rows += [of_run | row for row in draw_panel(axes, model, images)]
        axes.set_title(PANELS[settings], loc="left")
    panels[-1].set_xlabel("value of the dimension that is moved")
    seeds = ", ".join(str(run.settings.seed) for run, _ in models.values())
    return Result(figure, rows, f"{CAPTION} Trained for {choice.epochs} epochs with seed {seeds}.", missing)


@torch.no_grad()
def draw_panel(axes: Axes, model: VAE, images: Images) -> list[dict[str, Any]]:
    """Draws a model's traversal; returns a row of numbers for each row of images: its dimension and the fixed z."""
    mean, logvar = encode(model, images)
    order, activity = by_activity(mean, logvar)
    start = mean[0].float()
    names = [rf"$z_{{{dimension + 1}}}$   {activity[dimension]:.2f} nats" for dimension in order[:DIMENSIONS]]
    fill_grid(axes, traverse(model, start, order[:DIMENSIONS]), names, [f"{step:.1f}" for step in STEPS.tolist()])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    fixed = {f"z{dimension + 1}": value for dimension, value in enumerate(start.tolist())}
    return [
        {"row": row + 1, "dimension": dimension + 1, "kl_qp": activity[dimension].item(), **fixed}
        for row, dimension in enumerate(order[:DIMENSIONS])
    ]
