"""The socket that workers share: each connection goes to the one that has fewest, and has its model loaded."""

import socket
import time
from typing import Any

from captioner.serving.metrics import Metrics

_PATIENCE = 0.02
"""Seconds that a connection waits for the worker whose turn it is; then whoever sees it takes it."""
_NAP = 0.001
_SOON = 0.1
"""Seconds within which even a busy event loop asks again while a connection waits; later, it is another connection."""


class Listener(socket.socket):
    """One worker's end. Left to chance, one of two workers often has most of the connections, and the other idles."""

    def __init__(self, shared: socket.socket, metrics: Metrics) -> None:
        """Take over ``shared``, which listens; ``metrics`` count the connections."""
        super().__init__(shared.family, shared.type, shared.proto, fileno=shared.detach())
        self._metrics = metrics
        self._since = self._asked = 0.0

    def accept(self) -> tuple[socket.socket, Any]:
        """See ``socket.accept``; raises ``BlockingIOError`` also where it is another's turn."""
        if self._metrics.others_turn():
            now = time.monotonic()
            if now > self._asked + _SOON:
                self._since = now
            self._asked = now
            if now < self._since + _PATIENCE:
                time.sleep(_NAP)  # The event loop asks again at once.
                raise BlockingIOError
        accepted = super().accept()
        self._asked = 0.0
        self._metrics.count("captioner_connections")
        return accepted
