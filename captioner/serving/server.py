"""One process that serves: its socket, its signals, and its end, before which it finishes what it took on."""

import errno
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from captioner.errors import UsageError
from captioner.serving.app import build_app
from captioner.serving.limits import Access, Limits
from captioner.serving.listener import Listener
from captioner.serving.metrics import Metrics
from captioner.serving.protocol import PunctualProtocol
from captioner.serving.service import ModelFiles, Service

_BACKLOG = 512
_REMEDIES = {
    errno.EADDRINUSE: "stop what listens there, or choose another --port (0 takes a free one)",
    errno.EACCES: "low ports are the administrator's: choose a --port of 1024 or more",
}
_NO_ADDRESS = "give as --host an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"


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
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Connections inherit it; asyncio sets it only where a socket names its protocol. Without it, an answer's body
        # waits 40 ms for the client to acknowledge its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {(error.strerror or str(error)).partition(' (while')[0]}",
            _REMEDIES.get(error.errno or 0, _NO_ADDRESS),
        ) from None


def build_server(
    serving: Serving, metrics: Metrics, ready: Callable[[], object], failed: Callable[[BaseException], object]
) -> uvicorn.Server:
    """A server that, run, loads the model and calls ``ready``, or ``failed`` with what went wrong."""
    service = Service(serving.files, serving.limits, metrics, serving.workers)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        build_app(service, serving.access, ready, failed),
        http=type("Protocol", (PunctualProtocol,), {"metrics": metrics}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(serving.limits.seconds) + 5,
    )
    return uvicorn.Server(config)


def serve(serving: Serving, listener: socket.socket, metrics: Metrics, ready: Callable[[], object]) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called once the model is loaded.

    Raises ``CaptionerError`` where it cannot be loaded.
    """
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    server = build_server(serving, metrics, ready, failed)
    # uvicorn raises the signal again that has ended it; to this program it is the usual end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[Listener(listener, metrics)])
    if failures:
        raise failures[0]
