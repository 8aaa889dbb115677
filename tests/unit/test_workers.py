"""Workers that end are started again, unless none could serve yet; their processes are played here."""

import multiprocessing
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest

from captioner.errors import CaptionerError, CheckpointError
from captioner.serving import workers
from captioner.serving.limits import Access, Limits
from captioner.serving.server import Serving
from captioner.serving.service import ModelFiles
from captioner.serving.workers import Workers

GONE = (CheckpointError, "no model is there", "train one")


@dataclass
class Played:
    """A worker's process, which does no more than say what it is told to."""

    theirs: Connection
    exitcode: int = -9

    def join(self) -> None: ...

    def terminate(self) -> None:
        self.theirs.close()


@dataclass
class Play:
    """Two workers: ``parts`` are what each start of a worker says, in order, and whether it then ends."""

    parts: list[tuple[int, list[Any], bool]]
    said: list[str] = field(default_factory=list)
    readied: int = 0

    def run(self, enough: int) -> None:
        """Until all workers have been ready so often."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def ready() -> None:
                self.readied += 1
                if self.readied == enough:
                    company._stop()

            serving = Serving(ModelFiles(()), Limits(), Access(), workers=2)
            company = Workers(serving, listener, ready, self.said.append)
            company._start = lambda number: self.start(company, number)  # type: ignore[method-assign]
            company.run()

    def start(self, company: Workers, number: int) -> Connection:
        expected, messages, ends = self.parts.pop(0)
        assert number == expected
        ours, theirs = multiprocessing.Pipe(duplex=False)
        for message in messages:
            theirs.send(message)
        if ends:
            theirs.close()
        company._workers[number] = workers._Worker(Played(theirs))  # type: ignore[arg-type]
        return ours


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(workers, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(workers, "_TICK", 0.001)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_one_that_ends_while_it_loads_again_is_started_again() -> None:
    parts = [(0, ["ready"], False), (1, ["ready"], True), (1, [], True), (1, [GONE], True), (1, ["ready"], False)]
    play = Play(parts)
    play.run(enough=2)
    assert play.parts == []
    assert play.said == [
        "a worker ended with status -9; another is started",
        "a worker ended while it loaded the model, with status -9; another is started in 0.01 s",
        "a worker cannot load the model: no model is there; another is started in 0.01 s",
    ]


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(workers, "_LONGEST_PAUSE", 6)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: now))
    real_wait = workers.wait

    def wait(pipes: list[Any], timeout: float | None) -> list[Any]:
        nonlocal now
        now += 10
        return list(real_wait(pipes, timeout))

    monkeypatch.setattr(workers, "wait", wait)
    play = Play([(0, ["ready"], False), (1, ["ready"], True), *[(1, [], True)] * 4, (1, ["ready"], False)])
    play.run(enough=2)
    assert [line.rpartition(" in ")[2] for line in play.said[1:]] == ["1 s", "2 s", "4 s", "6 s"]


@pytest.mark.parametrize(
    ("message", "problem"),
    [([GONE], "no model is there"), ([], "a worker ended while it loaded the model, with status -9")],
)
def test_one_that_never_loads_ends_all(message: list[Any], problem: str) -> None:
    with pytest.raises(CaptionerError) as caught:
        Play([(0, ["ready"], False), (1, message, True)]).run(enough=1)
    assert caught.value.problem == problem
