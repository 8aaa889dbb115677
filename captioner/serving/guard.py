"""What stands before the application: who may ask, how much at a time, and what browsers are told of every answer."""

import secrets
from collections import Counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.serving.limits import Access, Limits
from captioner.serving.metrics import Metrics
from captioner.serving.problems import Problem, busy

CAPTIONS = "/v1/captions"
_OPEN = ("/", "/healthz", "/readyz")
"""Answered without a token, as the page's own files are: none tells anything of the model."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Wraps an application. It sees every request first and every answer last."""

    def __init__(self, app: ASGIApp, access: Access, limits: Limits, metrics: Metrics) -> None:
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._token = f"Bearer {access.token}".encode()
        self._busy: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope["client"][0] if scope["client"] else ""
        captions = scope["path"] == CAPTIONS and scope["method"] == "POST"
        status = 499

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._admit(scope, client if captions else None)
        except Problem as problem:
            await problem.response()(scope, receive, answer)
        else:
            if captions:
                self._busy[client] += 1
                self._metrics.count("captioner_requests_in_progress")
            try:
                await self._app(scope, receive, answer)
            finally:
                if captions:
                    self._metrics.count("captioner_requests_in_progress", -1)
                    self._busy[client] -= 1
                    if not self._busy[client]:
                        del self._busy[client]
        finally:
            self._metrics.answered(scope["path"], status)

    def _admit(self, scope: Scope, client: str | None) -> None:
        """Raise ``Problem`` 401, 403 or 429; ``client`` asks for captions."""
        headers, path = Headers(scope=scope), scope["path"]
        if scope["method"] != "OPTIONS":  # By which browsers ask for other origins; CORS answers.
            self._check_origin(headers)
            is_open = path in _OPEN or path.startswith("/static/")
            given = headers.get("authorization", "").encode("latin-1")
            if self._access.token and not is_open and not secrets.compare_digest(given, self._token):
                challenge = {"WWW-Authenticate": "Bearer"}
                raise Problem(401, "the token is missing or wrong", "send Authorization: Bearer TOKEN", challenge)
        if client is not None and self._busy[client] >= self._limits.per_client:
            raise busy(f"{self._limits.per_client} requests of yours are being answered, which is the limit", 429)

    def _check_origin(self, headers: Headers) -> None:
        """Pages of other sites can send forms without asking first: what they send is refused, not only the answer."""
        origin = headers.get("origin")
        if origin is None or origin in self._access.origins or urlsplit(origin).netloc == headers.get("host"):
            return
        raise Problem(403, "a page of another site asks", "whoever runs the server may allow it: --allow-origin")
