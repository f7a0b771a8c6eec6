"""Turns the command line of ``python -m vae.sweep`` into a list of cells: the settings of one training each."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException
from itertools import product
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import tyro

from vae import command_line
from vae.command_line import place
from vae.data import DatasetName
from vae.errors import UserError
from vae.likelihood import Likelihood
from vae.objective import Backend, Divergence
from vae.training.settings import Settings, check

DESCRIPTION = """\
Train many models: every alpha of every skewed divergence, and baselines, for several seeds. Lists are
separated by commas; numbers in them may be ranges start:stop:step, which include their stop.

  python -m vae.sweep --dataset mnist --seeds 3                            the paper's Figure 3, three times
  python -m vae.sweep --alphas .1:.9:.2 --weights 1,2,3,4 --baselines ''   its Appendix E
  python -m vae.sweep --baselines kl-qp,kl-pq,kl-qp:4,mmd:500              with the beta-VAE and InfoVAE of its Table 1
  python -m vae.sweep --divergences jsg-dual --alphas '' --learn-alpha     no grid: alpha is learnt

Other commands, which have their own --help:

  python -m vae.sweep best sweeps/mnist     which alpha is best
  python -m vae.sweep status                how far the sweeps are

To continue a sweep, give the same command again. The exit status is 0 if all runs have finished, 1 if some failed, 2
after a mistake, and 130 after Ctrl-C or SIGTERM.
"""

SKEWED = ("jsg", "jsg-dual")
BASELINES = tuple(name for name in get_args(Divergence) if name not in SKEWED)
MANY = 1000  # a range of more values is surely a mistake


@dataclass(frozen=True)
class Sweep:
    """Many training runs."""

    dataset: str = Settings.dataset
    """A list of the data sets of python -m vae.train; --data without --dataset means your own images."""

    divergences: str = "jsg,jsg-dual"
    """The skewed divergences: jsg, jsg-dual, or both."""

    alphas: str = ".1:.9:.1"
    """The skews of these divergences, in [0, 1]."""

    learn_alpha: bool = False
    """In addition to the grid of alphas, train each skewed divergence once with a learnt alpha, which starts at 0.3."""

    weights: str = "1"
    """Factors of the skewed divergences in the loss, the paper's lambda: each with every alpha."""

    baselines: str = "kl-qp,kl-pq"
    """Other divergences, as NAME or NAME:WEIGHT: kl-qp, kl-pq, mmd; kl-qp:4 is a beta-VAE, mmd:500 InfoVAE."""

    seeds: int = 1
    """How many times everything is trained: with the seeds 1234, 1235 and so on."""

    likelihood: Likelihood = Settings.likelihood
    """Error of the reconstruction. gaussian: sum of squares. bernoulli: cross-entropy. laplace: sum of magnitudes."""

    epochs: int = Settings.epochs
    """Passes over the training images."""

    backend: Backend = Settings.backend
    """Computes the divergence. triton: fused kernel, interpreted without a GPU. reference: NumPy, slow, for checks."""

    batch_size: int = Settings.batch_size
    """Images per step."""

    lr: float = Settings.lr
    """Adam's learning rate."""

    data: Annotated[Path | None, place("the usual places are searched")] = None
    """Where the images of --dataset are, or your own, in idx, npz or hdf5 files or a folder of pictures."""

    deterministic: bool = Settings.deterministic
    """Use only operations that give the same bits each time, also on a GPU, where they are slower."""

    out: Annotated[Path | None, place("a new one under sweeps/")] = None
    """The folder for the results, with a folder for each run."""

    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: as many as help)")] = None
    """Processes that train on this machine: by default one for each processor, or a single one with a GPU."""

    together: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: GPU 32, CPU 1)")] = None
    """Models that a process trains at once, as one program. With --scheduler the default is 1."""

    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="(default: none)")] = None
    """The address of a Dask scheduler, such as tcp://HOST:8786, whose workers train on other machines."""


def parse_sweep(arguments: list[str]) -> Sweep:
    """Reads the command line; the first mistake in it is a UserError of one line."""
    sweep = command_line.parse_options(Sweep, "python -m vae.sweep", DESCRIPTION, arguments)
    if sweep.data and not any(argument.partition("=")[0] == "--dataset" for argument in arguments):
        sweep = replace(sweep, dataset="own")
    command_line.require(
        (sweep.seeds >= 1, "--seeds must be at least 1", sweep.seeds),
        (sweep.seeds <= MANY, f"--seeds must be at most {MANY:,}", sweep.seeds),
        (sweep.workers is None or sweep.workers >= 1, "--workers must be at least 1", sweep.workers),
        (sweep.together is None or sweep.together >= 1, "--together must be at least 1", sweep.together),
        ("@" not in (sweep.scheduler or ""), "--scheduler must be tcp://HOST:PORT or the like", "a user or a password"),
        (not (sweep.workers and sweep.scheduler), "--workers cannot be used with --scheduler", sweep.workers),
    )
    cells(sweep)
    return sweep


def cells(sweep: Sweep) -> list[Settings]:
    """One cell for each training; its ``out`` is unset, because the run goes to OUT/NAME, with its ``name()`` as NAME.

    All cells of the first seed come before those of the second, so that one whole grid is complete early.

    Raises:
        UserError: an entry of a list is unknown, senseless or named twice, or nothing is left to train.

    >>> [cell.name() for cell in cells(Sweep(alphas=".1:.3:.2", divergences="jsg", baselines="kl-qp:4", seeds=2))]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['fashion-mini-jsg-0.1', 'fashion-mini-jsg-0.3', 'fashion-mini-kl-qp-weight-4',
     'fashion-mini-jsg-0.1-seed-1235', 'fashion-mini-jsg-0.3-seed-1235', 'fashion-mini-kl-qp-weight-4-seed-1235']
    """
    datasets = known("--dataset", items(sweep.dataset), get_args(DatasetName))
    objectives = skewed(sweep) + baselines(sweep)
    command_line.require(
        (bool(datasets), "--dataset must name at least one", "none"),
        (bool(objectives), "--divergences or --baselines must name at least one", "none"),
    )
    shared = ("likelihood", "epochs", "backend", "batch_size", "lr", "data", "deterministic")
    common = {name: getattr(sweep, name) for name in shared}
    made = [
        Settings(dataset=cast(DatasetName, dataset), seed=Settings.seed + seed, **objective, **common)
        for seed in range(sweep.seeds)
        for dataset in datasets
        for objective in objectives
    ]
    for cell in made:
        check(cell)
    name, times = Counter(cell.name() for cell in made).most_common(1)[0]
    if times > 1:
        raise UserError(f"{name} is named {times} times; name each value once, numbers to at most six digits")
    return made


def skewed(sweep: Sweep) -> list[dict[str, Any]]:
    """The settings in which the runs of skewed divergences differ, without data set and seed."""
    divergences = known("--divergences", items(sweep.divergences), SKEWED)
    alphas, weights = numbers("--alphas", sweep.alphas), numbers("--weights", sweep.weights)
    command_line.require(
        *((alpha <= 1, "--alphas must lie in [0, 1]", alpha) for alpha in alphas),
        (bool(divergences) or not sweep.learn_alpha, "--learn-alpha needs --divergences", "none"),
        (bool(alphas) or sweep.learn_alpha or not divergences, "--divergences need --alphas or --learn-alpha", "none"),
        (bool(weights) or not divergences, "--divergences need --weights", "none"),
    )
    skews = [{"alpha": alpha} for alpha in alphas] + [{"learn_alpha": True}] * sweep.learn_alpha
    return [
        {"divergence": divergence, "weight": weight, **skew}
        for divergence, weight, skew in product(divergences, weights, skews)
    ]


def baselines(sweep: Sweep) -> list[dict[str, Any]]:
    """The settings in which the runs of baselines differ, without data set and seed."""
    pairs = [item.partition(":") for item in items(sweep.baselines)]
    found = known("--baselines", [name for name, _, _ in pairs], BASELINES)
    return [
        {"divergence": name, "weight": float(number("--baselines", weight)) if colon else Settings.weight}
        for name, (_, colon, weight) in zip(found, pairs, strict=True)
    ]


def items(text: str) -> list[str]:
    """The texts between the commas; none for an empty text."""
    return [item.strip() for item in text.split(",")] if text.strip() else []


def known(option: str, names: list[str], choice: Sequence[str]) -> list[str]:
    """Returns the names after checking that each is one of the choices."""
    for name in names:
        if name not in choice:
            raise UserError(f"{option}: unknown {name!r}; choose from {', '.join(choice)}")
    return names


def numbers(option: str, text: str) -> list[float]:
    """Reads a list of numbers and ranges, which include their stop.

    >>> numbers("--alphas", ".1:.4:.1,.75")
    [0.1, 0.2, 0.3, 0.4, 0.75]
    """
    found = [span(option, item) if ":" in item else [number(option, item)] for item in items(text)]
    return [float(value) for values in found for value in values]


def number(option: str, text: str) -> Decimal:
    """Reads one number."""
    try:
        value = Decimal(text)
    except DecimalException:
        raise UserError(f"{option}: {text!r} is not a number") from None
    if not (value.is_finite() and 0 <= float(value) < math.inf):
        raise UserError(f"{option}: numbers must be finite and not negative, got {text}")
    return value


def span(option: str, text: str) -> list[Decimal]:
    """Reads a range, in decimal numbers: there three steps of 0.1 are 0.3, and in binary they are not."""
    parts = text.split(":")
    if len(parts) != 3:
        raise UserError(f"{option}: a range is start:stop:step, got {text}")
    start, stop, step = (number(option, part) for part in parts)
    if step <= 0 or start > stop:
        raise UserError(f"{option}: a range goes up from its start to its stop by a positive step, got {text}")
    if stop - start >= MANY * step:
        raise UserError(f"{option}: a range has at most {MANY:,} values, {text} has more")
    steps = int((stop - start) / step)
    if start + steps * step != stop:
        raise UserError(f"{option}: the steps of {text} go past its stop, from {start + steps * step} on")
    return [start + index * step for index in range(steps + 1)]
