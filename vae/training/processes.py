"""One model over several processes: ``torchrun --nproc-per-node 2 -m vae.train --out runs/x``.

Each process computes its share of every batch and of the evaluation. The number of processes changes only the rounding,
so a run may continue with more or fewer of them. Only the first process reads and writes the run's folder and prints.
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

# How long the others wait for the first, which may have to read data. If it dies, torchrun ends them immediately.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Processes:
    """The processes that train one model together, seen from one of them.

    >>> Processes(rank=1, count=2).share(range(10, 15))
    range(11, 15, 2)
    """

    rank: int = 0
    count: int = 1
    memory: Store | None = None
    """torchrun's store, which survives when torchrun restarts the processes."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, rows: range) -> range:
        """The rows of this process: every ``count``-th, which may be none."""
        return rows[self.rank :: self.count]

    def sum(self, tensor: Tensor) -> Tensor:
        """Replaces the tensor by its sum over the processes and returns it."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Copies the values of the first process into the tensors."""
        if self.count > 1:
            for tensor in tensors:
                values = tensor.contiguous()  # memory layouts may differ
                dist.broadcast(values, 0)
                tensor.copy_(values)

    def from_first(self, work: Callable[[], T]) -> T:
        """Does the work in the first process only and returns its result in all; if it fails, all end."""
        if self.count == 1:
            return work()
        if not self.first:
            told: list[Any] = [None, None]
            dist.broadcast_object_list(told)
            value, status = told
            return value if status is None else follow(status)
        try:
            value = work()
        except (Exception, SystemExit) as error:  # --help raises SystemExit
            dist.broadcast_object_list([None, error.code if isinstance(error, SystemExit) else 2])
            raise
        dist.broadcast_object_list([value, None])
        return value

    def after_first(self, work: Callable[[], T]) -> T:
        """Does the work in the first process, then in the others, so that an error in all is reported only once."""
        done = []
        self.from_first(lambda: done.append(work()))
        return done[0] if self.first else work()

    @property
    def begun(self) -> bool:
        """Whether earlier processes of this torchrun have begun the run."""
        return self.memory is not None and self.memory.check(["vae.train"])

    def begin(self) -> None:
        if self.memory is not None:
            self.memory.set("vae.train", "begun")


ALONE = Processes()


def follow(status: int) -> NoReturn:
    """Ends this process after the one that reports the error, because torchrun names the first that ended."""
    time.sleep(10 if status else 0)
    raise SystemExit(status)


def leave(status: int) -> NoReturn:
    """Ends this process with the status."""
    if not dist.is_torchelastic_launched():
        sys.exit(status)
    # At exit Python aborts a process if a thread of gloo still has to release a Python object.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def joined() -> Iterator[Processes]:
    """Joins the processes that torchrun started together; if there are GPUs, each process uses one of them."""
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    rank, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if rank:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gpus = torch.cuda.device_count()
    if gpus:
        started = int(os.environ["LOCAL_WORLD_SIZE"])
        if started > gpus:
            if local:
                follow(2)
            raise UserError(f"{started} processes need a GPU each, got {gpus}; use --nproc-per-node {gpus}")
        torch.cuda.set_device(local)
    memory = today = None
    if os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "True":
        memory = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        if os.environ["GROUP_WORLD_SIZE"] == "1":
            # A new prefix, or torch may use the addresses of processes that died.
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
        raise UserError(f"another process was lost: {str(error).splitlines()[0].partition('. ')[0]}") from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


class Share(nn.Module):
    """One process's share of a step, as the module that torch's DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module, objective: nn.Module, processes: Processes):
        super().__init__()
        self.model, self.objective, self.processes = model, objective, processes

    def forward(self, images: Tensor, noise: Tensor, rows: int) -> Tensor:
        """Terms whose mean over the processes is the mean over the batch; the gradients are averaged as well.

        Args:
            images, noise: this process's share of the batch, which may be empty.
            rows: number of rows in the whole batch.
        """

        def gather(points: Tensor) -> Tensor:
            whole = points.new_zeros(rows, points.shape[-1])
            whole[self.processes.rank :: self.processes.count] = points
            return Sum.apply(whole)  # pyright: ignore[reportReturnType]

        terms = self.objective(images, *self.model(images, noise), gather)
        return terms.sum(-1) * (self.processes.count / rows)


class Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is that of the sum of the losses of all processes."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        return Sum.forward(ctx, grad_outputs[0])
