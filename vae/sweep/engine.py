"""Gives work to Dask's workers: processes of this machine, or those of a scheduler elsewhere."""

import asyncio
import contextlib
import logging
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import dask.config
from distributed import Client, KilledWorker, LocalCluster, get_worker

from vae.errors import InUse, UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL = 0.5  # seconds between two counts of the workers
PATIENCE = 10.0  # seconds until a scheduler must have answered
SILENT = logging.CRITICAL + 1
CONFIG = {
    "distributed.scheduler.allowed-failures": 2,  # a task may kill two workers; with the third it has failed
    "distributed.deploy.lost-worker-timeout": "1 day",  # later than this, a worker that died is not started again
    "distributed.worker.profile.enabled": False,  # the profiler would examine the threads a hundred times a second
}


def run_groups(
    work: Callable[[list[Item]], list[Result | Exception]],
    groups: Iterable[list[Item]],
    scheduler: str | None = None,
    processes: int = 1,
) -> Iterator[tuple[Item, Result | Exception] | None]:
    """Gives each group to a worker; yields each of its items once, with its result or the error that prevented it.

    If a worker dies, its group goes to another one. If a group killed three workers, or its ``work`` raised, its items
    are tried one by one; a single item has then failed. An item that is in use elsewhere is tried again after all
    others.

    When a worker dies, Dask blames every task that the worker had, so a task is only submitted when a worker is free.

    Args:
        work: a function of a module, which the workers import; it returns a result for each item, or an exception.
        scheduler: the address of Dask's scheduler; without one, ``processes`` workers of one thread are started here,
            and none of them outlives this process.

    Yields:
        Also None, whenever nothing has ended for half a second.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM was sent.
        UserError: the scheduler cannot be reached, or the workers do not start.
    """
    events: SimpleQueue[Any] = SimpleQueue()  # futures that have ended, and None as a signal
    waiting, under_way = deque(groups), {}
    with stopped_by(events), workers(scheduler, processes) as client:
        while waiting or under_way:
            free = threads(client) - len(under_way)
            for group in [waiting.popleft() for _ in range(min(free, len(waiting)))]:
                future = client.submit(work, group, pure=False)
                under_way[future.key] = group
                future.add_done_callback(events.put)
            try:
                ended = events.get(timeout=POLL)
            except Empty:
                yield None
                continue
            if ended is None:
                raise KeyboardInterrupt
            group = under_way.pop(ended.key)
            if ended.cancelled():
                raise UserError("the scheduler is gone; give the same command again to continue")
            error = ended.exception()
            if isinstance(error, KilledWorker):
                error = UserError(f"it killed {error.allowed_failures + 1} workers")
            if error and len(group) > 1:
                waiting.extend([item] for item in group)
                continue
            for item, result in zip(group, [error] if error else ended.result(), strict=True):
                if isinstance(result, InUse):
                    waiting.append([item])
                else:
                    yield item, result


def abandoned() -> bool:
    """Whether no program waits any more for the work of this thread of a worker."""
    worker = get_worker()
    return worker.state.tasks[worker.get_current_task()].state == "cancelled"


def threads(client: Any) -> int:
    """The number of threads of all workers."""
    try:
        return sum(client.nthreads().values())
    except OSError:
        raise UserError("the scheduler is gone; give the same command again to continue") from None


@contextlib.contextmanager
def stopped_by(events: SimpleQueue[Any]) -> Iterator[None]:
    """Puts None among the events on SIGINT and SIGTERM, even if this process was started to ignore them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: events.put(None)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def workers(scheduler: str | None, processes: int) -> Iterator[Any]:
    """A client of the scheduler, or of a scheduler with workers that this process starts and later ends."""
    logging.getLogger("asyncio").setLevel(SILENT)
    for handler in logging.getLogger("distributed").handlers:  # all loggers of Dask have these handlers
        handler.setLevel(SILENT)
    if scheduler:
        with connect(scheduler) as client:
            yield client
    else:
        with dask.config.set(CONFIG), start_cluster(processes) as cluster, Client(cluster) as client:
            try:
                yield client
            finally:
                cluster.sync(end, cluster)


def connect(scheduler: str) -> Client:
    try:
        return Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError):
        said = "cannot reach the scheduler; start `dask scheduler`, and give --scheduler the address that it prints"
        raise UserError(said) from None


def start_cluster(processes: int) -> Any:
    # A terminal sends Ctrl-C to all processes, but only this one may react to it: it ends the others.
    resource_tracker.ensure_running()  # started here, because it unblocks SIGINT when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            memory_limit=0,  # none
            dashboard_address="127.0.0.1:0",  # a free port, because another sweep may use the default one
            silence_logs=SILENT,
        )
    except RuntimeError as error:
        raise UserError(f"the workers did not start ({error.__cause__ or error}); try the same command again") from None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


async def end(cluster: LocalCluster) -> None:
    """Ends the workers within a second; their work is kept up to its last epoch."""
    nannies = cluster.workers.values()
    # A nanny whose worker takes a while to die raises TimeoutError.
    await asyncio.gather(*(nanny.close(timeout=1) for nanny in nannies), return_exceptions=True)
