"""Dynamic batching: what several requests bring is computed together, in the order in which it came.

There is no timer to tune: whenever a worker is free it takes its share of what waits, so that batches grow with the
load and a single request waits for nobody. Only where more is known to be on its way does it wait for that, a moment.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from captioner.serving.problems import busy

T = TypeVar("T")
R = TypeVar("R")

_MOMENT = 0.01
"""Seconds that a free worker waits, at most, for what is on its way."""


@dataclass(eq=False)
class _Entry(Generic[T, R]):
    item: T
    answer: "asyncio.Future[R]"
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[T, R]):
    """A bounded queue before some threads. Its methods are the event loop's; ``work`` runs in the threads."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        *,
        workers: int,
        largest: int,
        bound: int,
        initializer: Callable[[], object],
        taken: Callable[[int, Sequence[float]], object],
    ) -> None:
        """``work`` on at most ``largest`` items at a time; no more than ``bound`` wait.

        ``initializer`` runs in each thread first. ``taken`` hears of each batch: its size, and the seconds that each of
        it had waited.
        """
        self._work, self._largest, self._bound, self._taken = work, largest, bound, taken
        self._waiting: deque[_Entry[T, R]] = deque()
        self._changed = threading.Condition()
        self._coming = 0
        self._free = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._run, args=(initializer,), name=f"batch-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def check(self, more: int = 1) -> None:
        """Raise ``Problem`` 503 unless there is room for ``more``."""
        if len(self._waiting) + more > self._bound:
            raise busy("too many pictures are waiting")

    @contextmanager
    def coming(self) -> Iterator[None]:
        """While in it, something is being prepared that will be submitted soon."""
        self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._changed.notify_all()

    async def submit(self, items: Sequence[T]) -> list[R]:
        """All answers, in order; cancelled, it takes the items out of the queue.

        Raises ``Problem`` 503 where the queue is full. What ``work`` raises is raised here.
        """
        self.check(len(items))
        entries = [_Entry[T, R](item, self._loop.create_future()) for item in items]
        with self._changed:
            self._waiting.extend(entries)
            self._changed.notify_all()
        try:
            return list(await asyncio.gather(*(entry.answer for entry in entries)))
        finally:
            if not all(entry.answer.done() and not entry.answer.cancelled() for entry in entries):
                self._withdraw(entries)

    def _withdraw(self, entries: Sequence[_Entry[T, R]]) -> None:
        gone = set(map(id, entries))
        with self._changed:
            left = [entry for entry in self._waiting if id(entry) not in gone]
            self._waiting.clear()
            self._waiting.extend(left)

    def close(self) -> None:
        """End the threads, after what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, initializer: Callable[[], object]) -> None:
        initializer()
        while batch := self._take():
            try:
                answers: Sequence[R] | BaseException = self._work([entry.item for entry in batch])
            except BaseException as error:  # Whatever it is, someone waits for an answer.
                answers = error
            self._loop.call_soon_threadsafe(_settle, batch, answers)

    def _take(self) -> list[_Entry[T, R]]:
        """A worker's share, oldest first; nothing once the batcher is closed and nobody waits."""
        with self._changed:
            self._free += 1
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._nothing_more_comes, timeout=_MOMENT)
            self._changed.wait_for(lambda: self._waiting or self._closed)  # Another may have taken them meanwhile.
            share = min(self._largest, -(-len(self._waiting) // self._free))
            self._free -= 1
            batch = [self._waiting.popleft() for _ in range(share)]
            if batch:
                now = time.monotonic()
                self._taken(len(batch), [now - entry.since for entry in batch])
        return batch

    def _nothing_more_comes(self) -> bool:
        return not self._coming or len(self._waiting) >= self._largest * self._free or self._closed


def _settle(batch: Sequence[_Entry[T, R]], answers: Sequence[R] | BaseException) -> None:
    """In the event loop: hand each answer to who waits for it, if somebody still does."""
    for number, entry in enumerate(batch):
        if entry.answer.done():
            continue
        if isinstance(answers, BaseException):
            entry.answer.set_exception(answers)
        else:
            entry.answer.set_result(answers[number])
