"""Work in threads gives its results in order, no sooner than asked for, and leaves nothing running."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from captioner.compute import Compute
from captioner.parallel import chunked, in_order


def test_results_come_in_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 5))
        return number * number

    assert list(in_order(work, range(40), workers=3)) == [number * number for number in range(40)]


def test_nothing_to_do() -> None:
    assert list(in_order(str, [], workers=2)) == []


def test_no_more_is_begun_than_told() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    results = in_order(str, items(), workers=2)
    assert next(results) == "0"
    assert taken == 4
    assert next(results) == "1"
    assert taken == 5
    results.close()


def test_an_error_comes_in_its_place_and_ends_the_work() -> None:
    def work(number: int) -> int:
        return 12 // (number - 3)

    results = in_order(work, range(100), workers=2)
    assert [next(results) for _ in range(3)] == [-4, -6, -12]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("captioner")]


def test_each_worker_has_its_share_of_the_threads() -> None:
    compute = Compute(torch.device("cpu"), torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(20)
    try:
        assert compute.workers == 16
        assert set(compute.in_order(lambda _: torch.get_num_threads(), range(9))) == {1}
        assert torch.get_num_threads() == 20
        fresh: list[int] = []
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [20]
    finally:
        torch.set_num_threads(before)


def test_each_worker_has_the_process_s_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread begins with the first one, whichever the thread that starts it has."""
    found: list[tuple[torch.device, str]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda gpu: found.append((gpu, threading.current_thread().name)))
    compute = Compute.choose("auto", "float32")
    assert compute.device == torch.device("cuda", 1)
    workers = set(compute.in_order(lambda _: threading.current_thread().name, range(9)))
    assert set(found) >= {(compute.device, name) for name in workers}


def test_chunks() -> None:
    assert list(chunked(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunked([], 3)) == []
