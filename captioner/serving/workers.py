"""Several processes that serve behind one port: started together, replaced where one dies, ended together."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from captioner.errors import CaptionerError
from captioner.serving.metrics import Metrics, shared_table
from captioner.serving.server import Serving, serve

_READY = "ready"


@dataclass
class _Worker:
    process: SpawnProcess
    loaded: bool = False


class Workers:
    """The processes, each at the other end of a pipe that ends when it does."""

    def __init__(self, serving: Serving, listener: socket.socket, ready: Callable[[], object]) -> None:
        """``ready`` is called once all of them have loaded the model."""
        self._serving, self._listener, self._ready = serving, listener, ready
        self._table = shared_table(serving.workers)
        self._workers: dict[int, _Worker] = {}
        self._stopping = False
        self._failure: CaptionerError | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM. Raises ``CaptionerError`` where the model cannot be loaded."""
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: self._stop())
        pipes = {self._start(number): number for number in range(self._serving.workers)}
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                number = pipes[pipe]
                try:
                    self._hear(number, pipe.recv())
                except (EOFError, OSError):
                    del pipes[pipe]
                    if self._goes_on(number):
                        pipes[self._start(number)] = number
        self._listener.close()
        if self._failure is not None:
            raise self._failure

    def _start(self, number: int) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self._serving, self._listener, self._table, number, theirs))
        process.start()
        theirs.close()
        self._workers[number] = _Worker(process)
        return ours

    def _hear(self, number: int, message: str | tuple[type[CaptionerError], str, str]) -> None:
        if not isinstance(message, str):
            kind, problem, remedy = message
            self._fail(kind(problem, remedy))
            return
        self._workers[number].loaded = True
        if all(worker.loaded for worker in self._workers.values()):
            self._ready()

    def _goes_on(self, number: int) -> bool:
        """Whether a worker that has ended is to be replaced."""
        worker = self._workers[number]
        worker.process.join()
        if not self._stopping and not worker.loaded:
            self._fail(
                CaptionerError(
                    f"a worker ended while it loaded the model, with status {worker.process.exitcode}",
                    "memory may not suffice for so many --workers: try fewer",
                )
            )
        return not self._stopping

    def _fail(self, error: CaptionerError) -> None:
        self._failure = self._failure or error
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for worker in self._workers.values():
            worker.process.terminate()


def _work(
    serving: Serving, listener: socket.socket, table: MutableSequence[float], number: int, pipe: Connection
) -> None:
    """In the worker's process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        serve(serving, listener, Metrics(table, number), lambda: pipe.send(_READY))
    except CaptionerError as error:
        pipe.send((type(error), error.problem, error.remedy))


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers; nobody would, and the port stayed taken."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
