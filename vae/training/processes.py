"""One model over several processes: ``torchrun --nproc-per-node 2 -m vae.train --out runs/x``.

Each process computes its share of every batch's rows, and its share of the evaluation. How many there are changes the
rounding of a run and nothing else, so that it may go on with more or fewer. The first process alone reads and writes
the run's folder, and speaks.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from vae.errors import UserError

T = TypeVar("T")

# Others may wait for the first while it reads data for the first time. If it dies, torchrun ends them at once.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Processes:
    """Those that train one model together, seen from one of them.

    >>> Processes(rank=1, count=2).share(range(10, 15))
    range(11, 15, 2)
    """

    rank: int = 0
    count: int = 1
    memory: Store | None = None
    """torchrun's, which outlives the processes that it starts again."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, rows: range) -> range:
        """Which of the rows are this process's: every ``count``-th, maybe none."""
        return rows[self.rank :: self.count]

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor, now its sum over the processes."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Gives the tensors the first process's values."""
        if self.count > 1:
            for tensor in tensors:
                values = tensor.contiguous()  # not all may lie in memory alike
                dist.broadcast(values, 0)
                tensor.copy_(values)

    def from_first(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which the first process alone does; where it fails there, all end."""
        if self.count == 1:
            return work()
        if not self.first:
            told: list[Any] = [None, None]
            dist.broadcast_object_list(told)
            value, status = told
            return value if status is None else follow(status)
        try:
            value = work()
        except (Exception, SystemExit) as error:  # SystemExit: of --help
            dist.broadcast_object_list([None, error.code if isinstance(error, SystemExit) else 2])
            raise
        dist.broadcast_object_list([value, None])
        return value

    def after_first(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which the others do after the first, so that what fails everywhere is said once."""
        done = []
        self.from_first(lambda: done.append(work()))
        return done[0] if self.first else work()

    @property
    def begun(self) -> bool:
        """Whether processes that this torchrun started before took the run up."""
        return self.memory is not None and self.memory.check(["vae.train"])

    def begin(self) -> None:
        if self.memory is not None:
            self.memory.set("vae.train", "begun")


ALONE = Processes()


def follow(status: int) -> NoReturn:
    """Ends this process after one that says why: torchrun names the one that ended first, and ends the others."""
    time.sleep(10 if status else 0)
    raise SystemExit(status)


def leave(status: int) -> NoReturn:
    """Ends this process with that status."""
    if not dist.is_torchelastic_launched():
        sys.exit(status)
    # As Python says goodbye, it aborts a process in which a thread of gloo's has something of Python's to let go of.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started together with this one, each with a GPU of its own where there are any."""
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if rank:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gpus = torch.cuda.device_count()
    if gpus:
        started = int(os.environ["LOCAL_WORLD_SIZE"])
        if started > gpus:
            if local:
                follow(2)
            raise UserError(f"{started} processes need a GPU each, and here are {gpus}; use --nproc-per-node {gpus}")
        torch.cuda.set_device(local)
    memory = today = None
    if os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "True":
        memory = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        if os.environ["GROUP_WORLD_SIZE"] == "1":
            # Else torch may take the addresses of processes that died for those of today's.
            today = PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], memory)
    try:
        if count > 1:
            dist.init_process_group(
                "nccl" if gpus else "gloo", store=today, rank=rank, world_size=count, timeout=PATIENCE
            )
        yield Processes(rank, count, memory)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "/gloo/" in str(error)):
            raise
        raise UserError(f"lost another process: {str(error).splitlines()[0].partition('. ')[0]}") from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


class Share(nn.Module):
    """What one process computes of a step: the module that torch's DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module, objective: nn.Module, processes: Processes):
        super().__init__()
        self.model, self.objective, self.processes = model, objective, processes

    def forward(self, images: Tensor, noise: Tensor, rows: int) -> Tensor:
        """Terms whose mean over the processes is that over the batch. Of gradients, too, the mean is taken.

        Args:
            images, noise: of this process's share of the batch, which may be empty.
            rows: of the whole batch.
        """

        def gather(points: Tensor) -> Tensor:
            whole = points.new_zeros(rows, points.shape[-1])
            whole[self.processes.rank :: self.processes.count] = points
            return Sum.apply(whole)  # pyright: ignore[reportReturnType]

        terms = self.objective(images, *self.model(images, noise), gather)
        return terms.sum(-1) * (self.processes.count / rows)


class Sum(torch.autograd.Function):
    """The sum over the processes, on each; the gradient is that of the sum of all processes' losses."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        return Sum.forward(ctx, grad_outputs[0])
