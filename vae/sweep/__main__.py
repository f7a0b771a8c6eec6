"""``python -m vae.sweep [worker | status | best]``: many trainings; without a word it starts or continues them."""

import os
import shlex
import sys
from pathlib import Path

from vae import command_line
from vae.errors import UserError
from vae.sweep import best, status, worker
from vae.sweep.grid import cells, parse
from vae.sweep.queue import Queue
from vae.sweep.storage import JOURNAL
from vae.sweep.worker import Images, Worker
from vae.training.environment import without_password


def sweep(arguments: list[str]) -> None:
    """Queues what is to be trained and has not been, and trains it."""
    options = parse(arguments)
    wanted = cells(options)
    out = options.out or unused_folder(options.dataset)
    name = Path(os.path.abspath(out)).name
    storage = options.storage or str(out / JOURNAL)
    images = Images(options.data)
    for cell in wanted if options.workers != 0 else []:  # what is missing here is missed before anything is queued
        images.prepare(cell)
    queue = Queue(storage, name)
    new = queue.add(wanted, out)
    command = ["python", "-m", "vae.sweep", *map(without_password, arguments)]
    command += [] if options.out else ["--out", str(out)]
    print(f"{out}: {len(wanted)} runs, {new} of them queued now, in {without_password(storage)}", flush=True)
    if options.workers == 0:
        print("to train them, on as many machines as you like: python -m vae.sweep worker --storage ...")
        return
    try:
        worker.run(Worker(storage, sweep=name, data=options.data, workers=options.workers), images)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; to go on: {shlex.join(map(without_password, command))}") from None
    names = {cell.name() for cell in wanted}
    failed = [cell for cell in queue.status() if cell.name in names and cell.state == "failed"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(wanted)} runs failed, the first because {failed[0].message}; "
            "the same command tries them again"
        )
    if gone := [name for name in names if not (out / name).exists()]:
        raise UserError(f"{min(gone)} was trained, but its folder in {out} is gone; another --out trains it again")
    folder = shlex.quote(str(out))
    print(f"done; next: python -m vae.sweep best {folder}, python -m vae.figures all --runs {folder}")


def unused_folder(datasets: str) -> Path:
    """sweeps/DATASETS, with a number where that sweep exists."""
    name, number = datasets.replace(",", "-").replace(" ", ""), 1
    while (path := Path("sweeps") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


COMMANDS = {
    "worker": lambda arguments: worker.run(worker.parse(arguments)),
    "status": lambda arguments: status.show(status.parse(arguments)),
    "best": lambda arguments: best.show(best.parse(arguments)),
}


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return command_line.run(f"vae.sweep {arguments[0]}", COMMANDS[arguments[0]], arguments[1:])
    return command_line.run("vae.sweep", sweep, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
