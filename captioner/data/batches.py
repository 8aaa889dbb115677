"""Captions and pictures -> batches, grouped by image, bucketed by length, read ahead in a thread."""

import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from captioner import processes
from captioner.batch import Batch, pack_captions
from captioner.data.pictures import Pictures
from captioner.parallel import compute_alone
from captioner.vocab import END, START

_Item = TypeVar("_Item")
_POOL = 50  # Batches among which pictures with captions of like length are looked for.


class Batches:
    """The training captions, in an order that only the seed and the epoch decide."""

    def __init__(
        self, captions: Sequence[Sequence[Sequence[int]]], pictures: Pictures, *, batch_size: int, seed: int
    ) -> None:
        """``captions[i]`` are picture i's, as word indices; ``batch_size`` counts pictures."""
        self.captions = captions
        self.pictures = pictures
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.captions) // self.batch_size)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, without its first ``skip``; the next ones are read while one is computed on.

        Of several processes each has its share of every batch.
        """
        rng = random.Random(f"{self.seed} {epoch}")
        plan = self._plan(rng)
        bits = self.pictures.view_bits
        drawn = [[rng.getrandbits(bits) for _ in indices] for indices in plan] if bits else None

        def batches() -> Iterator[Batch]:
            for number, indices in enumerate(plan[skip:], start=skip):
                own = processes.share(range(len(indices)))
                places = own or range(1)  # Where fewer pictures than processes are left, some borrow one.
                indices = [indices[place] for place in places]
                views = [drawn[number][place] for place in places] if drawn else None
                captions = [self.captions[index] for index in indices]
                images = self.pictures.read(indices, views)
                batch = pack_captions(images, captions, start=START, end=END, numbers=indices)
                yield batch if own else replace(batch, words=0)

        return read_ahead(batches)

    def _plan(self, rng: random.Random) -> list[list[int]]:
        """Pictures shuffled; within pools sorted by their longest caption, so that a batch's end together."""
        order = list(range(len(self.captions)))
        rng.shuffle(order)
        longest = [max(map(len, several)) for several in self.captions]
        pool = _POOL * self.batch_size
        bucketed = [
            index
            for start in range(0, len(order), pool)
            for index in sorted(order[start : start + pool], key=lambda i: longest[i])
        ]
        plan = [bucketed[start : start + self.batch_size] for start in range(0, len(bucketed), self.batch_size)]
        rng.shuffle(plan)
        return plan


def read_ahead(make: Callable[[], Iterator[_Item]], ahead: int = 2) -> Iterator[_Item]:
    """Run the iterator that ``make`` gives in a thread, ``ahead`` items before they are asked for."""
    items: queue.Queue[tuple[_Item | None, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: _Item | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            try:
                items.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        compute_alone()
        try:
            for item in make():
                put(item, None)
                if stopped.is_set():
                    return
            put(None, None)
        except BaseException as error:  # Whatever happens there belongs to whoever asks for the next item.
            put(None, error)

    thread = threading.Thread(target=work, name="read ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
