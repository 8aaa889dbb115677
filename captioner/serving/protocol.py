"""HTTP/1.1 as uvicorn speaks it, but patient only for so long with who does not say what they want."""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from captioner.serving.metrics import Metrics

_HEADER_SECONDS = 10
"""In which a connection must bring its next request's header, or be closed."""


class PunctualProtocol(H11Protocol):
    """Closes connections that take too long with a request's header, which uvicorn lets wait for ever."""

    metrics: ClassVar[Metrics]
    """Of the server's subclass: where it is counted how many connections are open."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``, as all these."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:  # noqa: D102
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        super().connection_lost(exc)
        self.metrics.set("captioner_connections", len(self.connections))
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
