"""Work for the tests of the engine, in a separate module, from which workers can import it.

An item is a pair of a file, which each try adds a line to, and a number.
"""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from vae.errors import InUse
from vae.sweep import engine


def tries(log):
    """How often each number was tried."""
    return Counter(int(line.split()[0]) for line in lines(log))


def processes(log):
    """The processes that tried something."""
    return {int(line.split()[1]) for line in lines(log)}


def lines(log):
    return Path(log).read_text().splitlines() if Path(log).exists() else []


def wait_until(condition):
    """Fails after minutes, so that a test does not hang."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within five minutes"
        time.sleep(0.02)


def note(items):
    for log, number in items:
        with open(log, "a") as file:
            file.write(f"{number} {os.getpid()}\n")
    return [number for _, number in items]


def short(items):
    time.sleep(0.01)
    return note(items)


def deadly(items):
    """Number 0 kills its worker."""
    numbers = note(items)
    if 0 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers


def failing(items):
    """Number 1 raises."""
    numbers = note(items)
    if 1 in numbers:
        raise ValueError("one is not a number")
    return numbers


def in_use(items):
    """Numbers above 1 are in use at their first try."""
    numbers = note(items)
    return [
        InUse("elsewhere") if number > 1 and tries(log)[number] == 1 else number
        for (log, _), number in zip(items, numbers, strict=True)
    ]


def endless(items):
    note(items)
    while True:
        time.sleep(1)


def until_abandoned(items):
    note(items)
    while not engine.abandoned():
        time.sleep(0.01)
    note([(log, -1) for log, _ in items])


def main(log):
    """A program whose two workers have work that never ends."""
    print("begun", flush=True)
    try:
        for _ in engine.run_groups(endless, [[(log, 0)], [(log, 1)]], processes=2):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
