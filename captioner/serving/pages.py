"""The page's files, read once at start: requests name one of them, and no path ever reaches the disk."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from fastapi import Request
from fastapi.responses import Response

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True)
class Page:
    """A file and what browsers are told of it."""

    content: bytes
    media_type: str
    tag: str

    def response(self, request: Request) -> Response:
        """Whole, or 304 for a browser that has it."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def load_pages() -> dict[str, Page]:
    """By name."""
    pages = {}
    for file in (files("captioner.serving") / "static").iterdir():
        suffix = file.name.rpartition(".")[2]
        if suffix in _TYPES:
            content = file.read_bytes()
            pages[file.name] = Page(content, _TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return pages
