"""One file over HTTP: resumed after any interruption, verified as it arrives, and named only when it is whole."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import requests

from captioner.data.download.perseverance import Interruption, persevere, reason, seconds
from captioner.errors import DownloadError
from captioner.files import storage_error, write_text

CHUNK: Final = 1 << 20
TIMEOUT: Final = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next byte."""
_TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANEW: Final = "run the same command again: it begins this file anew (or name another server by --mirror)"


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    checksum: str = "",
    size: int | None = None,
    tell: Callable[[int, int | None], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """Download ``target`` from the first of ``urls`` that has it; returns its checksum.

    ``checksum`` is ``sha256:...``, ``md5:...`` or empty, ``size`` its exact bytes if known; ``tell`` is given the bytes
    that are here and the total if known, ``say`` why it is tried again, and when. What has arrived waits in ``target``
    + ``.part`` for the next attempt, or the next call. Raises ``DownloadError`` when no server has it, when one cannot
    resume or changed the file meanwhile, and when it is not the file expected; ``StorageError`` when it cannot be
    written.
    """
    error = DownloadError(f"{target.name} has no address", "give one by --mirror")
    for url in urls:
        try:
            return _Fetch(url, target, checksum, size, tell).run(say)
        except DownloadError as failed:
            error = failed
    raise error


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, as ``algorithm:hex``."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            found.update(piece)
    return f"{algorithm}:{found.hexdigest()}"


class _Fetch:
    """One file from one server."""

    def __init__(
        self,
        url: str,
        target: Path,
        checksum: str,
        size: int | None,
        tell: Callable[[int, int | None], None],
    ) -> None:
        self.url, self.target, self.checksum, self.tell = url, target, checksum, tell
        self.part = target.with_name(target.name + ".part")
        self.notes = target.with_name(target.name + ".part.json")
        self.total = size
        self.validator = ""
        self.algorithm = checksum.partition(":")[0] or "sha256"
        self.hash = hashlib.new(self.algorithm, usedforsecurity=False)
        self.have = self._take_up()

    def _take_up(self) -> int:
        """How many bytes of an earlier call can be continued."""
        try:
            notes: dict[str, Any] = json.loads(self.notes.read_text())
            same_server = notes["url"] == self.url
            if not same_server and not self.checksum:
                raise ValueError("bytes of another server, and nothing that would tell whether they fit")
            self.validator = notes["validator"] if same_server else ""
            if not self.validator and not self.checksum:
                raise ValueError("nothing that would tell whether the file has changed since")
            self.total = self.total or notes["total"]
            with self.part.open("rb") as file:
                while piece := file.read(CHUNK):
                    self.hash.update(piece)
            return self.part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def run(self, say: Callable[[str], None]) -> str:
        persevere(self._attempt, self.url, lambda: self.have, say)
        return self._finish()

    def _attempt(self) -> None:
        """Fetch what is not here yet."""
        if self.total is not None and self.have >= self.total and self.part.exists():
            return
        headers = {"Accept-Encoding": "identity"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            if self.validator:
                headers["If-Range"] = self.validator
        try:
            response = requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT)
        except (requests.TooManyRedirects, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise DownloadError(f"{self.url}: {reason(error)}", "name another server by --mirror") from None
        with response:
            self._check(response)
            self._receive(response)
        if self.total is not None and self.have < self.total:
            raise Interruption(f"the connection ended after {self.have:,} of {self.total:,} bytes")

    def _check(self, response: requests.Response) -> None:
        """Raise unless the answer is the file, or the rest of the file that was begun."""
        status, headers = response.status_code, response.headers
        if status in _TEMPORARY:
            raise Interruption(f"the server answers {status} {response.reason}", seconds(headers.get("Retry-After")))
        if status not in (200, 206, 416):
            raise DownloadError(
                f"{self.url}: the server answers {status} {response.reason}",
                "name another server that has the file by --mirror",
            )
        if not self.have:
            if status != 200:
                raise DownloadError(f"{self.url}: the server answers {status} to a plain request", _ANEW)
            self._begin(headers)
            return
        start, total = _content_range(headers.get("Content-Range", ""))
        validator = _validator(headers)
        changed = bool(self.validator and validator and validator != self.validator)
        if changed or (total is not None and self.total is not None and total != self.total):
            raise self._refuse("the file on the server changed since this download began")
        if status == 200:
            raise self._refuse("the server sends the whole file instead of the rest")
        if status == 416 or start != self.have:
            raise self._refuse("the server does not send the bytes that are asked for")
        self.total = self.total or total

    def _begin(self, headers: "requests.structures.CaseInsensitiveDict[str]") -> None:
        """Start the part file, and note what tells later whether the file on the server is still the same."""
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if total is not None and self.total is not None and total != self.total:
            raise DownloadError(
                f"{self.url}: the file there has {total:,} bytes, the one expected {self.total:,}",
                "name another server that has the file by --mirror",
            )
        self.total = self.total or total
        self.validator = _validator(headers)
        self.part.unlink(missing_ok=True)
        notes = {"url": self.url, "validator": self.validator, "total": self.total}
        write_text(self.notes, json.dumps(notes) + "\n")

    def _receive(self, response: requests.Response) -> None:
        with self.part.open("ab", buffering=0) as file:
            # read1() gives what has arrived: before a connection breaks, nothing is lost in a buffer.
            while piece := response.raw.read1(CHUNK):
                try:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError as error:
                    raise storage_error(error, self.part) from error
                self.hash.update(piece)
                self.have += len(piece)
                if self.total is not None and self.have > self.total:
                    raise self._refuse(f"the server sends more than the {self.total:,} bytes that it announced")
                self.tell(self.have, self.total)

    def _finish(self) -> str:
        """Verify the whole file and give it its name."""
        found = f"{self.algorithm}:{self.hash.hexdigest()}"
        if self.checksum and found != self.checksum:
            raise self._refuse(f"this is not the file expected: its checksum is {found}, not {self.checksum}")
        try:
            with self.part.open("rb+") as file:
                os.fsync(file.fileno())
            self.part.replace(self.target)
        except OSError as error:
            raise storage_error(error, self.target) from error
        self.notes.unlink(missing_ok=True)
        return found

    def _refuse(self, problem: str) -> DownloadError:
        """Forget what is here: it cannot become the file."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        lost = f"; {self.have:,} bytes are discarded" if self.have else ""
        return DownloadError(f"{self.url}: {problem}{lost}", _ANEW)


def _validator(headers: "requests.structures.CaseInsensitiveDict[str]") -> str:
    """What ``If-Range`` may carry: a strong entity tag, or else the date of the last change."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _content_range(value: str) -> tuple[int | None, int | None]:
    """``bytes 5-9/10`` -> (5, 10)."""
    span, _, total = value.removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return (int(start) if start.isdecimal() else None, int(total) if total.isdecimal() else None)
