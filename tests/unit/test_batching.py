"""Requests share batches, in order; the queue is bounded; what nobody waits for leaves it; closing ends the rest."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from captioner.serving import batching
from captioner.serving.batching import Batcher
from captioner.serving.problems import Problem


class Gate:
    """Work that stands still until it is let go on; tells what came together."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[int]] = []
        self.waited: list[float] = []
        self.lengths: list[int] = []

    def work(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.open.wait(10)
        return [10 * item for item in items]

    def batcher(self, workers: int = 1, largest: int = 8, bound: int = 100) -> "Batcher[int, int]":
        return Batcher(
            self.work,
            workers=workers,
            largest=largest,
            bound=bound,
            initializer=lambda: None,
            changed=self.lengths.append,
            taken=lambda size, waited: self.waited.extend(waited),
        )

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


def run(scenario: Callable[[Gate], Coroutine[Any, Any, None]]) -> Gate:
    gate = Gate()
    asyncio.run(scenario(gate))
    return gate


async def waiting(batcher: "Batcher[int, int]", number: int) -> None:
    while len(batcher) != number:
        await asyncio.sleep(0.001)


def test_what_came_while_the_worker_was_busy_is_one_batch() -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher()
        first = asyncio.ensure_future(batcher.submit([1]))
        await gate.until_begun()
        others = [asyncio.ensure_future(batcher.submit([number, -number])) for number in (2, 3, 4)]
        await waiting(batcher, 6)
        gate.open.set()
        assert await first == [10]
        assert [await other for other in others] == [[20, -20], [30, -30], [40, -40]]
        batcher.close()

    gate = run(scenario)
    assert gate.batches == [[1], [2, -2, 3, -3, 4, -4]]
    assert len(gate.waited) == 7
    assert all(seconds >= 0 for seconds in gate.waited)


def test_no_batch_is_larger_than_the_largest() -> None:
    async def scenario(gate: Gate) -> None:
        gate.open.set()
        batcher = gate.batcher(largest=4)
        assert await batcher.submit(list(range(10))) == [10 * number for number in range(10)]
        batcher.close()

    assert [len(batch) for batch in run(scenario).batches] == [4, 4, 2]


def test_free_workers_share_what_waits() -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher(workers=2)
        answer = asyncio.ensure_future(batcher.submit(list(range(8))))
        while len(gate.batches) < 2:
            await asyncio.sleep(0.001)
        gate.open.set()
        await answer
        batcher.close()

    assert sorted(run(scenario).batches) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_free_worker_waits_for_its_usual_share(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher()
        first = asyncio.ensure_future(batcher.submit([1, 2, 3]))
        await gate.until_begun()
        await asyncio.sleep(0.1)  # So long it takes; a hundred times that is enough for any machine.
        gate.open.set()
        await first
        again = [asyncio.ensure_future(batcher.submit([4]))]
        await asyncio.sleep(0.05)
        assert len(batcher) == 1
        again += [asyncio.ensure_future(batcher.submit([number])) for number in (5, 6)]
        assert await asyncio.gather(*again) == [[40], [50], [60]]
        batcher.close()

    monkeypatch.setattr(batching, "_PATIENCE", 100)
    assert run(scenario).batches == [[1, 2, 3], [4, 5, 6]]


def test_it_does_not_wait_long_for_clients_that_have_gone() -> None:
    async def scenario(gate: Gate) -> None:
        gate.open.set()
        batcher = gate.batcher()
        await batcher.submit(list(range(8)))
        for number in range(20):
            assert await asyncio.wait_for(batcher.submit([number]), 5) == [10 * number]
        batcher.close()

    assert [len(batch) for batch in run(scenario).batches] == [8, *[1] * 20]


def test_a_full_queue_says_so() -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher(bound=3)
        first = asyncio.ensure_future(batcher.submit([0]))
        await gate.until_begun()
        second = asyncio.ensure_future(batcher.submit([1, 2]))
        await waiting(batcher, 2)
        batcher.check()
        with pytest.raises(Problem, match="too many pictures are waiting") as caught:
            await batcher.submit([3, 4])
        assert caught.value.status == 503
        assert caught.value.headers == {"Retry-After": "1"}
        gate.open.set()
        await asyncio.gather(first, second)
        batcher.close()

    assert run(scenario).batches == [[0], [1, 2]]


def test_what_is_cancelled_leaves_the_queue() -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher()
        first = asyncio.ensure_future(batcher.submit([1]))
        await gate.until_begun()
        gone, stays = (asyncio.ensure_future(batcher.submit([number, number])) for number in (2, 3))
        await waiting(batcher, 4)
        gone.cancel()
        await waiting(batcher, 2)
        first.cancel()  # Is being computed: its answer goes nowhere.
        gate.open.set()
        assert await stays == [30, 30]
        batcher.close()

    gate = run(scenario)
    assert gate.batches == [[1], [3, 3]]
    assert (gate.lengths[:5], gate.lengths[-1]) == ([1, 0, 2, 4, 2], 0)


def test_a_failure_reaches_its_batch_only() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if 1 in items:
            raise RuntimeError("no memory")
        return list(items)

    async def scenario() -> None:
        batcher = Batcher(
            work,
            workers=1,
            largest=2,
            bound=9,
            initializer=lambda: None,
            changed=lambda waiting: None,
            taken=lambda size, waited: None,
        )
        with pytest.raises(RuntimeError, match="no memory"):
            await batcher.submit([1, 2])
        assert await batcher.submit([3]) == [3]
        batcher.close()

    asyncio.run(scenario())


def test_closing_finishes_what_waits() -> None:
    async def scenario(gate: Gate) -> None:
        batcher = gate.batcher()
        answers = [asyncio.ensure_future(batcher.submit([number])) for number in range(3)]
        await gate.until_begun()
        closing = asyncio.ensure_future(asyncio.to_thread(batcher.close))
        time.sleep(0.01)
        gate.open.set()
        assert await asyncio.gather(*answers) == [[0], [10], [20]]
        await closing

    assert [item for batch in run(scenario).batches for item in batch] == [0, 1, 2]
