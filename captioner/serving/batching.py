"""Dynamic batching: what several requests bring is computed together, in the order in which it came.

Whenever a worker is free it takes its share of what waits, so that batches grow with the load and a single request
waits for nobody. Clients that have just been answered are mostly about to ask again, and a larger batch costs less a
picture: so where more has been usual, a worker waits for that, a small part of the time that its work takes.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from captioner.serving.problems import busy

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 0.15
"""How long a free worker waits for its usual share, at most: this part of what its last batch took."""
_FORGETTING = 0.8
"""What is left of a load that has gone, after each batch."""


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
        changed: Callable[[int], object],
        taken: Callable[[int, Sequence[float]], object],
    ) -> None:
        """``work`` on at most ``largest`` items at a time; no more than ``bound`` wait.

        ``initializer`` runs in each thread first. ``changed`` hears how many wait. ``taken`` hears of each batch: its
        size, and the seconds that each of it had waited.
        """
        self._work, self._largest, self._bound = work, largest, bound
        self._tell, self._taken = changed, taken
        self._waiting: deque[_Entry[T, R]] = deque()
        self._changed = threading.Condition()
        self._free = 0
        self._at_work = 0
        self._usual = 0.0  # How many wait or are at work, of late.
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

    async def submit(self, items: Sequence[T]) -> list[R]:
        """All answers, in order; cancelled, it takes the items out of the queue.

        Raises ``Problem`` 503 where the queue is full. What ``work`` raises is raised here.
        """
        self.check(len(items))
        entries = [_Entry[T, R](item, self._loop.create_future()) for item in items]
        with self._changed:
            self._waiting.extend(entries)
            self._tell(len(self._waiting))
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
            self._tell(len(left))

    def close(self) -> None:
        """End the threads, after what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, initializer: Callable[[], object]) -> None:
        initializer()
        seconds = 0.0
        while batch := self._take(_PATIENCE * seconds):
            start = time.monotonic()
            try:
                answers: Sequence[R] | BaseException = self._work([entry.item for entry in batch])
            except BaseException as error:  # Whatever it is, someone waits for an answer.
                answers = error
            self._loop.call_soon_threadsafe(_settle, batch, answers)
            seconds = time.monotonic() - start
            with self._changed:
                self._at_work -= len(batch)

    def _take(self, patience: float) -> list[_Entry[T, R]]:
        """A worker's share, oldest first; nothing once the batcher is closed and nobody waits."""
        with self._changed:
            self._free += 1
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._as_many_as_usual, timeout=patience)
            self._changed.wait_for(lambda: self._waiting or self._closed)  # Another may have taken them meanwhile.
            share = min(self._largest, -(-len(self._waiting) // self._free))
            self._free -= 1
            self._usual = max(self._at_work + len(self._waiting), _FORGETTING * self._usual)
            self._at_work += share
            batch = [self._waiting.popleft() for _ in range(share)]
            if batch:
                self._tell(len(self._waiting))
                now = time.monotonic()
                self._taken(len(batch), [now - entry.since for entry in batch])
        return batch

    def _as_many_as_usual(self) -> bool:
        share = min(self._largest, self._usual / len(self._threads))
        return len(self._waiting) >= round(share) or self._closed


def _settle(batch: Sequence[_Entry[T, R]], answers: Sequence[R] | BaseException) -> None:
    """In the event loop: hand each answer to who waits for it, if somebody still does."""
    for number, entry in enumerate(batch):
        if entry.answer.done():
            continue
        if isinstance(answers, BaseException):
            entry.answer.set_exception(answers)
        else:
            entry.answer.set_result(answers[number])
