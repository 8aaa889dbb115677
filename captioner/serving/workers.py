"""Several processes that serve behind one port: started together, replaced where one dies, ended together."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from captioner.errors import CaptionerError
from captioner.serving.metrics import Metrics, shared_table
from captioner.serving.server import Serving, serve

_READY = "ready"
_LONGEST_PAUSE = 60
"""Seconds before a worker that cannot load the model is started again: 1, then twice as many each time, up to this."""
_TICK = 0.2
"""Seconds between looks at the clock while a worker is to be started again."""


@dataclass
class _Worker:
    process: SpawnProcess
    loaded: bool = False
    failure: CaptionerError | None = None


class Workers:
    """The processes, each at the other end of a pipe that ends when it does."""

    def __init__(
        self,
        serving: Serving,
        listener: socket.socket,
        ready: Callable[[], object],
        warn: Callable[[str], object],
    ) -> None:
        """``ready`` is called when all of them have loaded the model; ``warn`` hears of one that ends after that."""
        self._serving, self._listener, self._ready, self._warn = serving, listener, ready, warn
        self._table = shared_table(serving.workers)
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}
        """When workers that have ended are started again."""
        self._in_vain = [0] * serving.workers
        """How often each has ended, of late, before the model was loaded."""
        self._were_ready = False
        self._stopping = False
        self._failure: CaptionerError | None = None

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM. Raises ``CaptionerError`` where the model cannot be loaded."""
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, lambda *_: self._stop())
        pipes = {self._start(number): number for number in range(self._serving.workers)}
        while pipes or (self._due and not self._stopping):
            for pipe in wait(list(pipes), _TICK if self._due else None):
                assert isinstance(pipe, Connection)
                number = pipes[pipe]
                try:
                    self._hear(number, pipe.recv())
                except (EOFError, OSError):
                    del pipes[pipe]
                    self._ended(number)
            for number in [number for number, at in self._due.items() if at <= time.monotonic()]:
                del self._due[number]
                if not self._stopping:
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
        if self._stopping:  # Told so meanwhile.
            process.terminate()
        return ours

    def _hear(self, number: int, message: str | tuple[type[CaptionerError], str, str]) -> None:
        if not isinstance(message, str):
            kind, problem, remedy = message
            self._workers[number].failure = kind(problem, remedy)
            return
        self._workers[number].loaded = True
        self._in_vain[number] = 0
        if all(worker.loaded for worker in self._workers.values()):
            self._were_ready = True
            self._ready()

    def _ended(self, number: int) -> None:
        """Have a worker that has ended replaced; at the start, where none can serve yet, end all."""
        worker = self._workers[number]
        worker.process.join()
        if self._stopping:
            return
        while_loading = "" if worker.loaded else " while it loaded the model,"
        ended = f"a worker ended{while_loading} with status {worker.process.exitcode}"
        if not self._were_ready and not worker.loaded:
            self._failure = worker.failure or CaptionerError(
                ended, "memory may not suffice for so many --workers: try fewer"
            )
            self._stop()
            return
        pause = 0
        if not worker.loaded:
            pause = min(_LONGEST_PAUSE, 2 ** self._in_vain[number])
            self._in_vain[number] += 1
        self._due[number] = time.monotonic() + pause
        reason = f"a worker cannot load the model: {worker.failure.problem}" if worker.failure else ended
        self._warn(f"{reason}; another is started" + (f" in {pause} s" if pause else ""))

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
