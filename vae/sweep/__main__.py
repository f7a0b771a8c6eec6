"""``python -m vae.sweep`` trains many models; its commands ``status`` and ``best`` show their progress and results."""

import functools
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from vae import command_line
from vae.data import load
from vae.errors import UserError
from vae.sweep import best, engine, folders, status
from vae.sweep.grid import Sweep, cells, parse_sweep
from vae.sweep.train import TOGETHER, grouped, train_cells
from vae.threads import processors
from vae.training.settings import Settings

QUIET = 60.0  # after so many seconds without an ended run, the number of epochs is printed


def sweep(arguments: list[str]) -> int:
    """Trains the cells that have not finished; returns the exit status, which is 1 if some failed."""
    options = parse_sweep(arguments)
    out = options.out or unused_sweep_folder(options.dataset)
    wanted = [replace(cell, data=absolute(cell.data), out=absolute(out / cell.name())) for cell in cells(options)]
    missing = [cell for cell in wanted if not folders.finished(cell)]
    for cell in {cell.dataset: cell for cell in missing}.values() if not options.scheduler else ():
        load(cell.dataset, cell.data)  # so that missing images are reported before anything is written
    folders.record_cells(out, wanted)
    for cell in wanted:
        folders.forgive(cell)
    print(f"{out}: {len(wanted)} runs, {len(missing)} of them to train", flush=True)
    try:
        failed = train_all(missing, options, len(wanted))
    except KeyboardInterrupt:
        command = ["python", "-m", "vae.sweep", *arguments]
        command += [] if options.out else ["--out", str(out)]
        raise KeyboardInterrupt(f"stopped; to go on: {shlex.join(command)}") from None
    if failed:
        count = f"{len(failed)} of {len(wanted)} runs failed"
        print(f"vae.sweep: {count}, the first because {failed[0]}; the same command tries them again", file=sys.stderr)
        return 1
    if gone := [cell for cell in wanted if not folders.finished(cell)]:
        raise UserError(f"{gone[0].name()} was trained, but is not in {out} here; all machines must share that folder")
    folder = shlex.quote(str(out))
    print(f"done; next: python -m vae.sweep best {folder}, python -m vae.figures all --runs {folder}")
    return 0


def train_all(missing: list[Settings], options: Sweep, count: int) -> list[str]:
    """Trains the missing cells of ``count`` and prints a line for each; returns the reasons of those that failed."""
    gpu = torch.cuda.is_available() and not options.scheduler
    together = 1 if options.backend == "reference" else options.together or (TOGETHER if gpu else 1)
    groups = grouped(missing, together)
    processes = min(len(groups), options.workers or (1 if gpu else processors()))
    work = functools.partial(train_cells, command=sys.orig_argv)
    failed, ended, said = [], count - len(missing), time.monotonic()
    for event in engine.run_groups(work, groups, options.scheduler, processes) if missing else ():
        if event is None and time.monotonic() - said < QUIET:
            continue
        if event is None:
            line = f"{sum(map(folders.epochs_done, missing))} of {sum(cell.epochs for cell in missing)} epochs"
        else:
            cell, result = event
            ended += 1
            if isinstance(result, Exception):
                failed.append(reason(result))
                folders.fail(cell, failed[-1])
                line = f"{cell.name()} failed: {failed[-1]}"
            else:
                values = (result[f"{split}_reconstruction"] for split in ("train", "test"))
                line = "{}: train {:.3f}, test {:.3f}".format(cell.name(), *values)
        print(f"[{ended}/{count}] {line}", flush=True)
        said = time.monotonic()
    return failed


def reason(error: Exception) -> str:
    """The reason why a run failed, in one line."""
    said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())


def absolute(path: Path | None) -> Path | None:
    """The absolute path, for workers that were started in other folders."""
    return path and path.absolute()


def unused_sweep_folder(datasets: str) -> Path:
    """sweeps/DATASETS, with a number where that sweep exists."""
    name, number = datasets.replace(",", "-").replace(" ", ""), 1
    while (path := Path("sweeps") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


COMMANDS = {
    "status": lambda arguments: status.show_status(status.parse_status(arguments)),
    "best": lambda arguments: best.show_best(best.parse_best(arguments)),
}


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return command_line.run_program(f"vae.sweep {arguments[0]}", COMMANDS[arguments[0]], arguments[1:])
    return command_line.run_program("vae.sweep", sweep, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
