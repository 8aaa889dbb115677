"""Processes, sockets and signals: one server, or several workers behind one port."""

import asyncio
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from captioner.errors import CaptionerError, UsageError
from captioner.serving.app import build_app
from captioner.serving.limits import Access, Limits
from captioner.serving.metrics import Metrics, shared_table
from captioner.serving.service import ModelFiles, Service

_HEADER_SECONDS = 10
"""In which a connection must bring its next request's header, or be closed."""
_BACKLOG = 512


@dataclass(frozen=True)
class Serving:
    """All that a worker needs to know."""

    files: ModelFiles
    limits: Limits
    access: Access
    workers: int = 1


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ``UsageError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            "stop what listens there, or choose another --port (0 takes a free one)",
        ) from None


def serve(serving: Serving, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM, and then finish what was taken on; ``ready`` is called once models are loaded.

    Raises ``CaptionerError`` where the model cannot be loaded.
    """
    if serving.workers == 1:
        _serve(serving, listener, Metrics.alone(), ready)
    else:
        _supervise(serving, listener, ready)


class _Protocol(H11Protocol):
    """Closes connections that take too long with a request's header, which uvicorn lets wait for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._unwatch()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(_HEADER_SECONDS, self._close)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _serve(serving: Serving, listener: socket.socket, metrics: Metrics, ready: Callable[[], object]) -> None:
    service = Service(serving.files, serving.limits, metrics, serving.workers, ready)
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = build_app(service, serving.access, failed)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(serving.limits.seconds) + 5,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again that has ended it; to this program it is the usual end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    if failures:
        raise failures[0]


def _supervise(serving: Serving, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Start the workers, replace those that die, and end them together."""
    table = shared_table(serving.workers)
    context = multiprocessing.get_context("spawn")
    stopping: list[int] = []
    workers: dict[int, Any] = {}
    pipes: dict[int, Connection] = {}
    loaded: set[int] = set()

    def start(number: int) -> None:
        ours, theirs = context.Pipe(duplex=False)
        workers[number] = context.Process(target=_work, args=(serving, listener, table, number, theirs), daemon=False)
        workers[number].start()
        theirs.close()
        pipes[number] = ours

    def stop(*_: object) -> None:
        stopping.append(1)
        for worker in workers.values():
            if worker.is_alive():
                worker.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    for number in range(serving.workers):
        start(number)
    failure: CaptionerError | None = None
    while any(worker.is_alive() for worker in workers.values()):
        wait([worker.sentinel for worker in workers.values()] + list(pipes.values()), timeout=1)
        for number, pipe in list(pipes.items()):
            message = _receive(pipe)
            if isinstance(message, CaptionerError):
                failure = message
                stop()
            elif message == "ready":
                loaded.add(number)
                if len(loaded) == serving.workers:
                    ready()
        for number, worker in list(workers.items()):
            if not stopping and not worker.is_alive():
                start(number)
    listener.close()
    if failure is not None:
        raise failure
