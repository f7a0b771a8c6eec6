"""Trains the paper's variational auto-encoder: ``python -m vae.train --help``."""

import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed import is_torchelastic_launched
from tqdm import tqdm

from vae import command_line
from vae.errors import UserError
from vae.objective import TERMS
from vae.threads import choose_threads
from vae.training.processes import ALONE, Processes, joined, leave
from vae.training.settings import Settings, parse_settings
from vae.training.training import Training, prepare

REDRAW_AFTER = 60.0  # seconds between pictures of a long run; drawing them takes one or two


def train_one(settings: Settings, arguments: list[str], processes: Processes = ALONE) -> None:
    """Trains one model and writes everything about it to the run's folder."""
    dataset, backend = prepare(settings, processes)
    with Training(settings, dataset, backend, processes) as training:
        splits, folder = dataset.splits, training.path
        together = f"{processes.count} processes, each of " if processes.count > 1 else ""
        print(
            f"{settings.dataset}, {len(splits['train']):,} + {len(splits['test']):,} images ({dataset.split}); "
            f"{settings.title()}; {backend} on {training.environment['device']}, "
            f"{together}{torch.get_num_threads()} threads; {folder}",
            flush=True,
        )
        drawn = time.monotonic()
        total, done = (epochs * len(splits["train"]) for epochs in (settings.epochs, training.epoch))
        try:
            # The bar appears on a terminal only, the line per epoch everywhere.
            disable = None if processes.first else True
            with tqdm(total=total, initial=done, unit=" images", leave=False, disable=disable) as bar:
                for rows in training.epochs(bar):
                    bar.write(progress(rows, training.epoch, settings.epochs), file=sys.stdout)
                    sys.stdout.flush()  # so that a log file shows each epoch as it ends
                    if processes.first and time.monotonic() - drawn > REDRAW_AFTER and not training.finished:
                        training.draw()
                        drawn = time.monotonic()
            processes.from_first(training.finish)
        except KeyboardInterrupt:
            torchrun = ["torchrun", "--nproc-per-node", str(processes.count)]
            command = [*(torchrun if processes.count > 1 else ["python"]), "-m", "vae.train", *arguments]
            command += [] if settings.out else ["--out", str(folder)]
            command += [] if "--resume" in arguments else ["--resume"]
            stopped = f"stopped after epoch {training.epoch}; to continue: {shlex.join(command)}"
            raise KeyboardInterrupt(stopped) from None
        if processes.first:
            print(summary(training.metrics[-len(splits) :], training.seconds, folder))


def progress(rows: list[dict[str, Any]], epoch: int, epochs: int) -> str:
    train, test = rows
    return (
        f"epoch {epoch:3}/{epochs}   reconstruction: train {train['reconstruction']:7.3f}, test "
        f"{test['reconstruction']:7.3f}   divergence {test['divergence']:7.3f}   "
        f"{train['images_per_second']:7,.0f} images/s"
    )


def summary(rows: list[dict[str, Any]], seconds: float, folder: Path) -> str:
    lines = ["", " " * 8 + "".join(f"{name:>16}" for name in TERMS)]
    lines += [f"{row['split']:8}" + "".join(f"{row[name]:16.3f}" for name in TERMS) for row in rows]
    files = " ".join(sorted(path.name for path in folder.glob("[!.]*")))
    epochs = f"{rows[0]['epoch']} epoch{'s' * (rows[0]['epoch'] != 1)}"
    return "\n".join([*lines, "", f"{epochs} in {seconds:.0f} s; {folder} holds {files}"])


def settle(settings: Settings, processes: Processes) -> Settings:
    """Makes a run continue when torchrun, after a process died, starts the same command line again."""
    if is_torchelastic_launched() and settings.out is None:
        raise UserError("torchrun needs --out, so that restarted processes can find their run")
    if processes.begun and settings.out and (settings.out / "run.json").exists():
        return replace(settings, resume=True)
    return settings


def start_training(arguments: list[str]) -> None:
    with joined() as processes:
        settings = processes.from_first(lambda: settle(parse_settings(arguments), processes))
        train_one(settings, arguments, processes)


def main(arguments: list[str]) -> int:
    return command_line.run_program("vae.train", start_training, arguments)


if __name__ == "__main__":
    choose_threads()
    leave(main(sys.argv[1:]))
