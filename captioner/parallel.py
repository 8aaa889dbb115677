"""Many independent pieces of work in several threads, with the results in order and memory flat."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """``work`` on each of ``items``, at most twice ``workers`` of them begun before their result is asked for.

    The workers share torch's threads, one each where there are as many: threads that never wait for each other caption
    pictures a fifth faster than threads that split each matrix product. What ``work`` raises is raised in its place.
    """
    threads = torch.get_num_threads()
    each = max(1, threads // workers)
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, "captioner", initializer=torch.set_num_threads, initargs=(each,))
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # What a worker sets, new threads would inherit.


def chunked(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
