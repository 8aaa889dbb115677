"""The processes of one job, as torchrun starts them: which one this is, and what they tell each other.

Without torchrun there is one process, and everything here is what one process would do alone. torch is only imported
where there are several.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from itertools import chain, zip_longest
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from captioner.errors import JobError, UsageError

T = TypeVar("T")

_REMEDY = (
    "the same command goes on where it stopped (train: with --resume); torchrun --max-restarts N does so by itself"
)
_threads_of_torch = False  # Whether there are any that talk to other processes.
_store: Any = None  # The job's notice board, which outlives any of its processes; None outside of ``joined``.


def rank() -> int:
    """Which process this is, from 0."""
    return _number("RANK", 0) if _store is not None else 0


def count() -> int:
    """Processes that work together: 1 outside of ``joined``, where nobody waits for others."""
    return started() if _store is not None else 1


def started() -> int:
    """Processes that torchrun has started."""
    return _number("WORLD_SIZE", 1)


def restarts() -> int:
    """How often torchrun has started them again after one of them had died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def is_first() -> bool:
    """Whether this is the process that writes and prints, joined or not."""
    return _number("RANK", 0) == 0


def _number(name: str, otherwise: int) -> int:
    """A number that torchrun gives; other launchers use the same names for other things."""
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise


@contextmanager
def joined() -> Iterator[None]:
    """Within, the job's processes can talk: gloo for what is on CPUs, NCCL for what is on GPUs, one GPU a process.

    All must enter and leave. Raises ``JobError`` when another one has died, and ``UsageError`` for too few GPUs.
    """
    global _store, _threads_of_torch
    if started() == 1:
        yield
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    gpus = torch.cuda.device_count()
    if gpus:
        here = _number("LOCAL_WORLD_SIZE", 1)
        if here > gpus:
            raise UsageError(
                f"{here} processes on a machine with {gpus} GPUs",
                f"start one a GPU: torchrun --nproc-per-node {gpus} -m -- captioner ...",
            )
        torch.cuda.set_device(_number("LOCAL_RANK", 0))
    with _ended_by_torchrun():
        try:
            _threads_of_torch = True
            store, _, _ = next(rendezvous("env://"))
            # What processes that have died wrote there may still be there: where to reach them, for one.
            _store = distributed.PrefixStore(f"start {restarts()}", store)  # type: ignore[attr-defined]
            backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
            distributed.init_process_group(backend, store=_store, rank=rank(), world_size=started())
            yield
            barrier()  # Nobody leaves before the first process has written everything.
        except RuntimeError as error:
            if isinstance(error, distributed.DistError) or "gloo" in str(error):
                raise JobError("another process of this job has died", _REMEDY) from error
            raise
    distributed.destroy_process_group()  # Not after an error: it may wait for processes that are no more.
    _store = None


@contextmanager
def _ended_by_torchrun() -> Iterator[None]:
    """When a process dies, torchrun ends the others by SIGTERM; within, that is an error that can be told."""

    def end(number: int, frame: FrameType | None) -> None:
        raise JobError("torchrun has ended this job: another of its processes has died, or it was told to", _REMEDY)

    if threading.current_thread() is not threading.main_thread():  # Only there can signals be caught.
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def barrier() -> None:
    """Wait until all have come here."""
    totals(0.0)


def gather(value: T) -> list[T]:
    """Everybody's values by rank, for everybody; they are pickled."""
    if count() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def of_first(value: T) -> T:
    """The first process's value, for everybody; it is pickled."""
    if count() == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def totals(*numbers: float) -> list[float]:
    """Sums over all processes, for everybody: the same bits everywhere."""
    if count() == 1:
        return list(numbers)
    import torch
    from torch import distributed

    sums = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(sums)
    return sums.tolist()


def share(items: Sequence[T]) -> Sequence[T]:
    """What of ``items`` is this process's work: every ``count()``-th one."""
    return items[rank() :: count()]


def merge(shares: Iterable[Iterable[T]]) -> Iterator[T]:
    """All items again, in order, from what each process made of its ``share``, one for one, by rank."""
    missing: Any = object()
    return (item for item in chain.from_iterable(zip_longest(*shares, fillvalue=missing)) if item is not missing)


@contextmanager
def first_before_others() -> Iterator[None]:
    """What is inside is done by the first process and only then by the others, who find what it has made."""
    if rank():
        barrier()
    yield
    if not rank():
        barrier()


@contextmanager
def only_first_prints() -> Iterator[None]:
    """Within, what the other processes print is lost. Errors that leave it can be told."""
    with ExitStack() as stack:
        if not is_first():
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Within, one of several processes that exits is gone at once.

    What Python does at its end may meet threads of torch's that still talk to the others, and abort.
    """
    try:
        yield
    except SystemExit as end:
        if not _threads_of_torch:
            raise
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else bool(end.code))


def tells_error() -> bool:
    """Whether it is this process's part to tell of its error: the first that fails knows why, and others follow it."""
    if _store is None:
        return is_first()  # Before they are joined, all fail alike.
    try:
        return int(_store.add("errors told", 1)) == 1
    except RuntimeError:  # torchrun itself has gone.
        return is_first()
