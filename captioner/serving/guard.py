"""What stands before the application: who may ask, how much at a time, and what browsers are told of every answer."""

import secrets
from collections import Counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
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
        self._token = (access.token or "").encode()
        self._busy: Counter[str] = Counter()
        self._shared: ASGIApp = self._admitted
        if access.origins:  # Outside of what refuses: pages of these origins may read refusals, too.
            self._shared = CORSMiddleware(
                self._admitted,
                allow_origins=access.origins,
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["Retry-After"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
            await self._shared(scope, receive, answer)
        finally:
            self._metrics.answered(scope["path"], status)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"][0] if scope["client"] else ""
        captions = scope["path"] == CAPTIONS and scope["method"] == "POST"
        try:
            self._admit(scope, client if captions else None)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # Answered as GET is; uvicorn, which has the scope as it was, sends no body.
            scope = {**scope, "method": "GET"}
        if captions:
            self._busy[client] += 1
            self._metrics.count("captioner_requests_in_progress")
        try:
            await self._app(scope, receive, send)
        finally:
            if captions:
                self._metrics.count("captioner_requests_in_progress", -1)
                self._busy[client] -= 1
                if not self._busy[client]:
                    del self._busy[client]

    def _admit(self, scope: Scope, client: str | None) -> None:
        """Raise ``Problem`` 401, 403 or 429; ``client`` asks for captions."""
        headers, path = Headers(scope=scope), scope["path"]
        if scope["method"] != "OPTIONS":  # By which browsers ask for other origins; CORS answers.
            self._check_origin(headers)
            is_open = path in _OPEN or path.startswith("/static/")
            if self._access.token and not is_open and not self._knows_token(headers.get("authorization", "")):
                challenge = {"WWW-Authenticate": "Bearer"}
                raise Problem(401, "the token is missing or wrong", "send Authorization: Bearer TOKEN", challenge)
        if client is not None and self._busy[client] >= self._limits.per_client:
            raise busy(f"{self._limits.per_client} requests of yours are being answered, which is the limit", 429)

    def _knows_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode("latin-1"), self._token)

    def _check_origin(self, headers: Headers) -> None:
        """Pages of other sites can send forms without asking first: what they send is refused, not only the answer."""
        origin = headers.get("origin")
        if origin is None or origin in self._access.origins or _host(origin) == headers.get("host", ""):
            return
        raise Problem(403, "a page of another site asks", "whoever runs the server may allow it: --allow-origin")


def _host(origin: str) -> str | None:
    """With its port, as ``Host`` says it; nothing where an origin has none or cannot be read."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
