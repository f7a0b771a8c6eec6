"""``python -m vae.sweep [worker | status | best]``: many trainings; without a word it starts or continues them."""

import shlex
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vae import command_line
from vae.errors import UserError
from vae.sweep import best, worker
from vae.sweep.grid import cells, parse
from vae.sweep.queue import Queue, Status
from vae.sweep.storage import shown
from vae.sweep.worker import Worker

JOURNAL = "queue.journal"


def sweep(arguments: list[str]) -> None:
    """Queues what is to be trained and has not been, and trains it."""
    options = parse(arguments)
    wanted = cells(options)
    out = options.out or unused_folder(options.dataset)
    storage = options.storage or str(out / JOURNAL)
    queue = Queue(storage, out.name)
    new = queue.add(wanted, out)
    command = ["python", "-m", "vae.sweep", *arguments, *([] if options.out else ["--out", str(out)])]
    print(f"{out}: {len(wanted)} runs, {new} of them queued now, in {shown(storage)}", flush=True)
    if options.workers == 0:
        print("to train them, on as many machines as you like: python -m vae.sweep worker --storage ...")
        return
    try:
        worker.run(Worker(storage, sweep=out.name, data=options.data, workers=options.workers))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; to go on: {shlex.join(command)}") from None
    names = {cell.name() for cell in wanted}
    failed = [status for status in queue.status() if status.name in names and status.state == "failed"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(wanted)} runs failed, the first because {failed[0].message}; "
            "the same command tries them again"
        )
    print(f"done; next: python -m vae.sweep best {out}, python -m vae.figures all --runs {out}")


def unused_folder(datasets: str) -> Path:
    """sweeps/DATASETS, with a number where that sweep exists."""
    name, number = datasets.replace(",", "-").replace(" ", ""), 1
    while (path := Path("sweeps") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


@dataclass(frozen=True)
class Which:
    """Whose status."""

    storage: Annotated[
        str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: the journals under sweeps/)")
    ] = None
    """The queue: postgresql://USER@HOST/NAME, mysql://..., or a journal."""


def status(arguments: list[str]) -> None:
    """Prints how far each sweep is, what is being trained and what failed."""
    options = command_line.parse(
        Which, "python -m vae.sweep status", "Show how far the sweeps of a queue are.", arguments
    )
    storages = (
        [options.storage] if options.storage else [str(path) for path in sorted(Path("sweeps").glob(f"*/{JOURNAL}"))]
    )
    if not storages:
        raise UserError(f"there is no sweeps/*/{JOURNAL}; name the queue with --storage")
    for storage in storages:
        for name in Queue.names(storage):
            queue = Queue(storage, name)
            print("\n".join(lines(name, queue.status())))


def lines(name: str, statuses: list[Status]) -> list[str]:
    count = Counter(status.state for status in statuses)
    states = ", ".join(f"{count[state]} {state}" for state in ("done", "running", "waiting", "failed"))
    said = [f"{name}: {len(statuses)} runs, {states}"]
    for status in statuses:
        if status.state == "running":
            seen = "not seen yet" if status.age is None else f"{status.worker}, seen {status.age:.0f} s ago"
            said.append(f"  running  {status.name}, {status.epoch or 0} of {status.settings.epochs} epochs; {seen}")
        if status.state == "failed":
            said.append(f"  failed   {status.name}: {status.message}")
    return said


def compare(arguments: list[str]) -> None:
    """Prints the best alphas of the runs in a folder."""
    best.best(command_line.parse(best.Best, "python -m vae.sweep best", best.Best.__doc__ or "", arguments))


COMMANDS = {"worker": lambda arguments: worker.run(worker.parse(arguments)), "status": status, "best": compare}


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return command_line.run(f"vae.sweep {arguments[0]}", COMMANDS[arguments[0]], arguments[1:])
    return command_line.run("vae.sweep", sweep, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
