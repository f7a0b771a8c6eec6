r"""Evaluates runs that have finished: ``python -m vae.evaluate RUN``.

The program prints a table and writes ``evaluation.json`` to the run's folder. Divergences and evidence are in nats:

- ``epoch``: the number of epochs that the model was trained for; ``alpha``: its skew, set or learnt, or null;
- ``train``, ``test``: means over all ``images`` of the split, with z = mean: the ``squared_error``, by which runs with
  different likelihoods compare, and the run's own ``reconstruction``, ``divergence`` and ``loss``;
- ``latent``: for each latent dimension, over all test images: mean ``kl_qp`` = KL(q||p) and ``kl_pq`` = KL(p||q), the
  ``variance_of_mean`` of q, and ``active``, whether this variance is large enough; ``active_units``: the number of
  active dimensions (Burda et al. 2016);
- ``evidence``: for randomly chosen test images, ``batches`` of ``batch_size``, with ``samples`` draws of z each:

  - ``likelihood``: the density p(x|z); ``binarised``: whether grey images were made black and white for it;
  - ``rate``: mean KL(q||p); ``distortion``: mean of -log p(x|z) over the draws; ``elbo``: minus their sum;
  - ``log_evidence``: mean of log p(x) by importance sampling; ``standard_error``: its standard error over the images;
  - ``interval``: as in Fig. 5, 95 % of 1000 bootstrap resamples of ``batch_log_evidence``, the means of the batches;
  - ``effective_samples``, ``fewest_effective_samples``: mean and minimum over the images. If they are small, the log
    evidence is well below log p(x): 16 times as many draws gave 0.27 nats more for 192 images of MNIST with the
    Gaussian likelihood and 0.64 with Bernoulli's (the run named below);
  - ``seed``: determines, together with the number of a batch, its images and draws;

- ``environment``: as in run.json.

Evidence needs a normalised p(x|z). Bernoulli's is normalised for black and white images only, so grey images are
binarised by one draw of each pixel. The posterior q is still that of the grey image, on which the encoder was trained.
Any q gives an unbiased estimate of p(x), and a better q gives a higher mean of its log. This q gives 0.32 +- 0.06 nats
more than the q of the binarised image on MNIST and 0.83 +- 0.07 more on Fashion-MNIST (JSG, alpha 0.3, 10 epochs, 128
draws, the same 1,280 images and noise).

The paper's released code uses the log-variance as log standard deviation and adds 1e-9 inside logs; this code does not.
"""

import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from jsgmath.torch import kl_standard_normal
from vae import command_line
from vae.command_line import place
from vae.data import Images
from vae.errors import UserError
from vae.evidence import Estimate, binarise, bootstrap_interval, importance_sampling
from vae.likelihood import UNITS, Likelihood, log_density
from vae.model import VAE
from vae.objective import TERMS, Objective, prepare_backend
from vae.runs.run import WEIGHTS, Run, check_digests, load_images, load_model, read_run
from vae.threads import choose_threads
from vae.training.environment import describe_environment
from vae.training.folder import RunFolder
from vae.training.measure import ACTIVE, describe_latent, encode, evaluate

DESCRIPTION = """\
Evaluate runs that have finished: errors, divergences of each latent dimension, active units, rate, distortion and
importance-weighted log evidence. Print a table and write evaluation.json to each run's folder. If a run cannot be
evaluated, it is named on stderr, the others are evaluated, and the exit status is 2.

  python -m vae.evaluate runs/fashion-jsg-0.3
  python -m vae.evaluate runs/* --likelihood bernoulli     as in Fig. 5, for runs trained with squared errors
"""


SAME = 1e-3  # relative; convolutions in TF32 on a GPU have a precision of 5e-4


@dataclass(frozen=True)
class EvaluateOptions:
    """The runs to evaluate, and how."""

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(at least one)"),
    ]
    """Folders of runs that have finished."""

    likelihood: Literal["own", Likelihood] = "own"
    """Likelihood for the evidence. own: that of the training. gaussian: variance 1/2. bernoulli: grey images are
    binarised. laplace: scale 1."""

    samples: int = 128
    """Draws of z for each image."""

    batches: int = 100
    """Batches of test images, or as many as there are."""

    batch_size: int = 64
    """Images in a batch."""

    data: Annotated[Path | None, place("where the run found them")] = None
    """Where the images of the runs are."""

    seed: int = 0
    """Determines the choice of images, their binarisation, the draws and the resamples."""


def finished_run(path: Path) -> Run:
    """The run in a folder.

    Raises:
        UserError: there is no run, it is damaged, or it has not finished.
    """
    run = read_run(path)
    if not run.finished:
        raise UserError(f"{path} has not finished; wait for it, or continue it with python -m vae.train --resume")
    if not (path / WEIGHTS).exists():
        raise UserError(f"{path} has no {WEIGHTS}, which training writes at its end; train it again in another --out")
    return run


def evaluate_run(run: Run, options: EvaluateOptions) -> dict[str, Any]:
    """The contents of evaluation.json; see the docstring of this module."""
    settings = run.settings
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backend = prepare_backend("auto", device)
    dataset = load_images(run, options.data).to(device)
    test_images = dataset.test_images
    model = load_model(run, test_images.shape[-1], device)
    check_digests(run)
    objective = Objective(
        settings.divergence,
        run.alpha,
        settings.weight,
        "auto",
        mmd_of=settings.mmd_of,
        likelihood=settings.likelihood,
    )
    likelihood = settings.likelihood if options.likelihood == "own" else options.likelihood
    found = {split: measure_errors(model, objective, images) for split, images in dataset.splits.items()}
    check_measured(run, found)
    mean, logvar = encode(model, test_images)
    latent = describe_latent(mean, logvar)
    return {
        "epoch": run.epochs,
        "alpha": run.alpha if settings.skewed else None,
        **found,
        "latent": latent,
        "active_units": sum(latent["active"]),
        "evidence": estimate_evidence(model, test_images, mean, logvar, likelihood, options),
        "environment": describe_environment(device, backend),
    }


def check_measured(run: Run, found: dict[str, dict[str, float]]) -> None:
    """Compares the reconstruction errors with those in metrics.jsonl.

    Raises:
        UserError: they differ by more than the rounding of another machine.
    """
    for split, values in found.items():
        got, wanted = values["reconstruction"], run.values[f"{split}_reconstruction"]
        if not math.isclose(got, wanted, rel_tol=SAME):
            raise UserError(
                f"{run.path} has a reconstruction of {wanted:g} ({split}) in metrics.jsonl, but its model has {got:g}; "
                "the files do not belong together"
            )


def measure_errors(model: VAE, objective: Objective, images: Images) -> dict[str, float]:
    """The terms of ``evaluate``, and the squared error for a model trained with any likelihood."""
    terms = evaluate(model, objective, images)
    squares = terms if objective.likelihood == "gaussian" else evaluate(model, Objective("kl-qp", 0, 1, "auto"), images)
    return {"images": len(images), "squared_error": squares["reconstruction"], **terms}


def estimate_evidence(
    model: VAE, images: Images, mean: Tensor, logvar: Tensor, likelihood: Likelihood, options: EvaluateOptions
) -> dict[str, Any]:
    """Rate, distortion and log evidence of batches of images; mean and logvar are those of all images, float64."""
    count = min(options.batches, len(images) // options.batch_size)
    if count < 2:
        raise UserError(
            f"{len(images):,} test images give {count} batches of {options.batch_size}, and the bootstrap needs two; "
            "take a smaller --batch-size"
        )
    random = np.random.default_rng(options.seed)
    # In random order, as MNIST's test set starts with the images that are easier to read.
    order = torch.from_numpy(random.permutation(len(images))[: count * options.batch_size]).to(mean.device)
    estimates = []
    binarised = False
    for number, chosen in enumerate(tqdm(order.split(options.batch_size), unit=" batches", leave=False, disable=None)):
        draws = np.random.default_rng([options.seed, number + 1])  # [seed, 0] is the same as seed alone
        x = images[chosen].float() / 255
        if likelihood == "bernoulli":
            grey, x = x, binarise(x, draws)
            binarised |= not torch.equal(grey, x)
        estimates.append(estimate_batch(model, likelihood, x, mean[chosen], logvar[chosen], options.samples, draws))
    all_images = Estimate(*(torch.cat(tensors) for tensors in zip(*estimates, strict=True)))
    log_evidence = all_images.log_evidence
    batches = log_evidence.view(count, -1).mean(1).tolist()
    rate = kl_standard_normal(mean[order], logvar[order], backend="eager").mean().item()
    distortion = all_images.distortion.mean().item()
    return {
        "likelihood": likelihood,
        "binarised": binarised,
        "samples": options.samples,
        "batches": count,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "rate": rate,
        "distortion": distortion,
        "elbo": -rate - distortion,
        "log_evidence": log_evidence.mean().item(),
        "standard_error": log_evidence.std().item() / math.sqrt(len(log_evidence)),
        "interval": bootstrap_interval(np.array(batches), random),
        "batch_log_evidence": batches,
        "effective_samples": all_images.effective_samples.mean().item(),
        "fewest_effective_samples": all_images.effective_samples.min().item(),
    }


@torch.no_grad()
def estimate_batch(
    model: VAE,
    likelihood: Likelihood,
    images: Tensor,
    mean: Tensor,
    logvar: Tensor,
    samples: int,
    random: np.random.Generator,
) -> Estimate:
    """Estimates the evidence of one batch by importance sampling, with noise from ``random``."""
    noise = torch.from_numpy(random.standard_normal((samples, *mean.shape))).to(mean.device)
    return importance_sampling(lambda z: log_density(likelihood, images, model.decoder(z.float())), mean, logvar, noise)


def result_table(run: Run, result: dict[str, Any]) -> str:
    """The result as a printed table."""
    settings, latent, found = run.settings, result["latent"], result["evidence"]
    learnt = f", learnt {run.alpha:.4f}" if settings.learn_alpha else ""
    chosen = f"{found['batches'] * found['batch_size']:,} of {result['test']['images']:,} test images"
    names = ["squared_error", *TERMS]
    rows = [f"{run.path}: {settings.dataset}, {settings.title()}{learnt}; epoch {run.epochs}", ""]
    rows += [" " * 12 + "".join(f"{name.replace('_', ' '):>16}" for name in names)]
    rows += [f"{split:12}" + "".join(f"{result[split][name]:16.3f}" for name in names) for split in ("train", "test")]
    rows += [f"(z = mean; reconstruction in {UNITS[settings.likelihood]})", ""]
    rows += [f"{'latent':16}" + "".join(f"{f'z{number + 1}':>9}" for number in range(len(latent["active"])))]
    for name, title in (("kl_qp", "KL(q||p)"), ("kl_pq", "KL(p||q)"), ("variance_of_mean", "variance of mean")):
        rows += [f"{title:16}" + "".join(f"{value:9.3g}" for value in latent[name])]
    rows += [f"{'active':16}" + "".join(f"{'yes' if active else 'no':>9}" for active in latent["active"])]
    rows += [f"(over all test images; active, {result['active_units']}: variance of mean > {ACTIVE})", ""]
    rows += [
        f"log evidence    {found['log_evidence']:10.3f} +- {found['standard_error']:.3f} nats per image; 95 % of the "
        f"bootstrap {found['interval'][0]:.3f} to {found['interval'][1]:.3f}",
        f"ELBO            {found['elbo']:10.3f} = -(rate {found['rate']:.3f} + distortion {found['distortion']:.3f})",
        f"effective draws {found['effective_samples']:10.3f} of {found['samples']}, fewest "
        f"{found['fewest_effective_samples']:.3f}",
        f"({found['likelihood']} likelihood{' of binarised images' * found['binarised']}; {chosen}, {found['batches']} "
        f"batches of {found['batch_size']})",
    ]
    return "\n".join(rows) + "\n"


def evaluate_runs(options: EvaluateOptions) -> int:
    """Prints a table and writes evaluation.json for each run.

    Returns:
        2 if a run could not be evaluated, after a line on stderr that names it; otherwise 0.

    Raises:
        UserError: an option is out of range.
    """
    command_line.require(
        (len(options.runs) >= 1, "at least one RUN must be named", "none"),
        (options.samples >= 1, "--samples must be at least 1", options.samples),
        (options.batches >= 2, "--batches must be at least 2, for the bootstrap", options.batches),
        (options.batch_size >= 1, "--batch-size must be at least 1", options.batch_size),
        (options.seed >= 0, "--seed must not be negative", options.seed),
    )
    status = 0

    @contextlib.contextmanager
    def naming_errors(path: Path) -> Iterator[None]:
        nonlocal status
        try:
            yield
        except UserError as error:
            message = str(error) if str(path) in str(error) else f"{path}: {error}"
            print(f"vae.evaluate: {message}", file=sys.stderr, flush=True)
            status = 2

    # All runs are read before the first is evaluated, so that an error in the last is reported immediately.
    runs = []
    for path in options.runs:
        with naming_errors(path):
            runs.append(finished_run(path))
    for run in runs:
        with naming_errors(run.path), RunFolder(run.path) as folder:  # so that no process trains it at the same time
            result = evaluate_run(run, options)
            print(result_table(run, result), flush=True)  # printed first, in case the file cannot be written
            folder.write_facts("evaluation.json", result)
    return status


def main(arguments: list[str]) -> int:
    return command_line.run_command("vae.evaluate", EvaluateOptions, DESCRIPTION, evaluate_runs, arguments)


if __name__ == "__main__":
    choose_threads()
    sys.exit(main(sys.argv[1:]))
