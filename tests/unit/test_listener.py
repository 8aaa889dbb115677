"""Workers that share a socket take its connections by turns; one that cannot serve leaves them to those that can."""

import socket
import time
from collections.abc import Iterator

import pytest

from captioner.serving.listener import Listener
from captioner.serving.metrics import Metrics, shared_table


class Workers:
    """Two of one socket, and those who connect to it."""

    def __init__(self) -> None:
        shared = socket.create_server(("127.0.0.1", 0))
        self.address = shared.getsockname()
        table = shared_table(2)
        self.metrics = [Metrics(table, number) for number in range(2)]
        ends = (shared.dup(), shared)
        self.listeners = [Listener(end, metrics) for end, metrics in zip(ends, self.metrics, strict=True)]
        for listener in self.listeners:
            listener.setblocking(False)
        self.clients: list[socket.socket] = []

    def ready(self, *numbers: int) -> None:
        for number in numbers:
            self.metrics[number].set("captioner_ready_workers", 1)

    def connect(self) -> None:
        self.clients.append(socket.create_connection(self.address))

    def accepts(self, number: int) -> bool:
        try:
            self.listeners[number].accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        for one in (*self.clients, *self.listeners):
            one.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    both = Workers()
    yield both
    both.close()


def test_who_has_more_connections_leaves_the_next_to_the_other(workers: Workers) -> None:
    workers.ready(0, 1)
    for _ in range(3):
        workers.connect()
    assert workers.accepts(0)
    assert not workers.accepts(0)
    assert workers.accepts(1)
    assert workers.accepts(0)
    assert "captioner_connections 3" in workers.metrics[0].text().splitlines()


def test_it_is_left_to_the_other_however_long_ago_the_last_one_was(workers: Workers) -> None:
    workers.ready(0, 1)
    workers.connect()
    assert workers.accepts(0)
    assert not workers.accepts(0)
    time.sleep(0.2)
    workers.connect()
    assert not workers.accepts(0)
    assert workers.accepts(1)


def test_a_closed_connection_counts_no_more(workers: Workers) -> None:
    workers.ready(0, 1)
    workers.connect()
    assert workers.accepts(0)
    workers.connect()
    assert not workers.accepts(0)
    workers.metrics[0].set("captioner_connections", 0)
    assert workers.accepts(0)


def test_a_worker_without_its_model_leaves_connections_to_one_that_has_it(workers: Workers) -> None:
    workers.ready(1)
    for _ in range(2):
        workers.connect()
    assert not workers.accepts(0)
    assert workers.accepts(1)
    assert workers.accepts(1)


def test_while_no_worker_has_its_model_any_answers(workers: Workers) -> None:
    workers.connect()
    assert workers.accepts(1)


def test_nobody_waits_long_for_a_worker_that_does_not_come(workers: Workers) -> None:
    workers.ready(1)
    workers.connect()
    end = time.monotonic() + 10
    while not workers.accepts(0):
        assert time.monotonic() < end
