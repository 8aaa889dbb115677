"""Where and in which precision to compute: chosen once, by measuring."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, TypeVar, get_args

import torch

from captioner import processes
from captioner.errors import UsageError
from captioner.memory import keep_freed_memory
from captioner.parallel import in_order

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
T = TypeVar("T")
R = TypeVar("R")

_MOST_WORKERS = 16


@dataclass(frozen=True)
class Compute:
    """A device and the type of its matrix products."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def choose(cls, device: Device = "auto", precision: Precision = "auto") -> "Compute":
        """Take a GPU when there is one, and bfloat16 where it is measurably faster.

        Raises ``UsageError`` for other names, and when a GPU is asked for and there is none.
        """
        keep_freed_memory()
        for what, given, known in (("device", device, get_args(Device)), ("precision", precision, get_args(Precision))):
            if given not in known:
                raise UsageError(f"there is no {what} '{given}'", f"choose one of {', '.join(known)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("there is no GPU that torch can use", "set the device to cpu or auto")
        on_gpu = device != "cpu" and torch.cuda.is_available()
        # With its number: which GPU is meant without one is each thread's own matter.
        chosen = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        if precision == "auto":
            gains = processes.of_first(_gains_by_bfloat16(chosen))  # Measured by each, it might differ.
            return cls(chosen, torch.bfloat16 if gains else torch.float32)
        return cls(chosen, torch.float32 if precision == "float32" else torch.bfloat16)

    @property
    def workers(self) -> int:
        """Threads among which independent pictures are best shared: one a core; for a GPU, enough to feed it."""
        return min(_MOST_WORKERS, torch.get_num_threads() if self.device.type == "cpu" else os.cpu_count() or 1)

    @property
    def pictures_at_once(self) -> int:
        """For an encoder: on a CPU so few that a worker's activations stay in its core's cache."""
        return 8 if self.device.type == "cpu" else 64

    def in_order(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """``parallel.in_order`` for work that computes: the workers share torch's threads.

        Where there are as many threads, each worker has one: threads that never wait for each other caption pictures a
        fifth faster than threads that split each matrix product.
        """
        threads, workers = torch.get_num_threads(), self.workers
        begin = partial(self._begin_thread, max(1, threads // workers))
        try:
            yield from in_order(work, items, workers=workers, initializer=begin)
        finally:
            torch.set_num_threads(threads)  # What a worker sets, new threads would inherit.

    def _begin_thread(self, threads: int) -> None:
        torch.set_num_threads(threads)
        if self.device.type == "cuda" and self.device.index is not None:
            torch.cuda.set_device(self.device)  # Every thread begins with the first GPU.

    def shared_in_order(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """As ``in_order``, but the job's processes share the items; all have all results, which are pickled."""
        if processes.count() == 1:
            return self.in_order(work, items)
        own = list(self.in_order(work, processes.share(list(items))))
        return processes.merge(processes.gather(own))

    def autocast(self) -> AbstractContextManager[None]:
        """Matrix products in ``dtype`` while weights stay in float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``, for messages and logs."""
        return str(self.dtype).removeprefix("torch.")


@lru_cache(maxsize=2)
def _gains_by_bfloat16(device: torch.device) -> bool:
    """Whether a matrix product is clearly faster; takes some 20 ms on a CPU.

    A small product comes first: processors that must imitate bfloat16 take a third of a second for the large one.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return _gain_by_bfloat16(128) > 0.25 and _gain_by_bfloat16(512) > 1.25


def _gain_by_bfloat16(side: int) -> float:
    """How many times as fast as in float32 two square matrices are multiplied."""
    matrices = [torch.ones(side, side, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):  # In turns: what else the machine does slows both.
        for matrix, taken in zip(matrices, times, strict=True):
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            taken.append(time.perf_counter() - start)
    return min(times[0]) / min(times[1])
