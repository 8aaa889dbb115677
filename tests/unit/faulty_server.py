"""A server on loopback that serves files, and misbehaves as a script tells it to."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler", bytes], None]
"""Answers one request for a file of this content."""


@dataclass
class FaultyServer:
    """Serves ``files`` under ``address``; each request takes the next fault of the script, or none."""

    files: dict[str, bytes]
    script: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and ``Range`` of each request so far."""

    def __enter__(self) -> "FaultyServer":
        server = self

        class OfThis(Handler):
            owner = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), OfThis)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Answers as a good server does: entity tags, ranges, 304-free; faults change that."""

    owner: FaultyServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        self.owner.requests.append((path, self.headers.get("Range")))
        content = self.owner.files.get(path)
        if content is None:
            self.send_error(404)
            return
        fault = self.owner.script.popleft() if self.owner.script else Handler.serve
        with suppress(BrokenPipeError, ConnectionResetError):
            fault(self, content)
        self.close_connection = True

    def serve(
        self,
        content: bytes,
        *,
        tag: str = '"one"',
        ranges: bool = True,
        length_error: int = 0,
        cut: int | None = None,
        pause: float = 0.0,
    ) -> None:
        """The file, or the part that ``Range`` asks for."""
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        whole = not ranges or not start or self.headers.get("If-Range", tag) != tag
        if whole:
            body = content
            self.send_response(200)
        elif start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        else:
            body = content[start:]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(max(0, len(body) + length_error)))
        self.end_headers()
        body = body if cut is None else body[:cut]
        for begin in range(0, len(body), 97):
            self.wfile.write(body[begin : begin + 97])
            if pause:
                threading.Event().wait(pause)

    def log_message(self, *_: Any) -> None:
        pass


def cut(after: int) -> Fault:
    return lambda handler, content: handler.serve(content, cut=after)


def slow(handler: Handler, content: bytes) -> None:
    handler.serve(content, pause=0.001)


def ignores_range(handler: Handler, content: bytes) -> None:
    handler.serve(content, ranges=False)


def lies(difference: int) -> Fault:
    return lambda handler, content: handler.serve(content, length_error=difference)


def changed(handler: Handler, content: bytes) -> None:
    handler.serve(content[::-1], tag='"two"')


def corrupt(handler: Handler, content: bytes) -> None:
    middle = len(content) // 2
    handler.serve(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def status(code: int, **headers: str) -> Fault:
    def answer(handler: Handler, content: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(handler: Handler, content: bytes) -> None:
    status(302, Location=handler.path + "?again")(handler, content)


def without_length(handler: Handler, content: bytes) -> None:
    """Ends by closing the connection, so that nobody knows how long the file is."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)


def nothing(handler: Handler, content: bytes) -> None:
    """Closes the connection without an answer."""
