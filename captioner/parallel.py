"""Many independent pieces of work in several threads, with the results in order and memory flat."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int | None = None,
    ahead: int | None = None,
    initializer: Callable[[], object] | None = None,
) -> Iterator[R]:
    """``work`` on each of ``items``, at most ``ahead`` of them begun before their result is asked for.

    By default there are as many workers as cores, up to eight, and twice as many pieces are begun. Threads suffice for
    pictures and matrices: Pillow and torch work without Python's lock. ``initializer`` runs in each thread first. What
    ``work`` raises is raised in its place.
    """
    workers = workers or min(8, os.cpu_count() or 1)
    ahead = ahead or 2 * workers
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, "captioner", initializer)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def compute_alone() -> None:
    """Let this thread compute without helpers: for a thread beside the one that all of torch's threads work for.

    Otherwise OpenMP makes it a team of its own. With more threads than cores, GNU's lets every waiting thread sleep at
    once, to the end of the process, which took a third of the speed from the training of small models.
    """
    import torch

    torch.set_num_threads(1)


def chunked(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
