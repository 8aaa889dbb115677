"""Refusals as RFC 9457 problem details: what is wrong and what to do, in JSON, with the status that says so."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from captioner.errors import nearest

MEDIA_TYPE = "application/problem+json"
_NAMED = 10  # Mistakes; for each of thousands, the nearest name would take long to find.
_log = logging.getLogger(__name__)


class Problem(Exception):
    """A request that is not answered: ``detail`` says what is wrong, ``remedy`` what to do, each in a line."""

    def __init__(self, status: int, detail: str, remedy: str, headers: Mapping[str, str] | None = None, **members: Any):
        """``members`` stand in the body beside the others."""
        super().__init__(detail)
        self.status, self.headers = status, headers
        self.body = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "remedy": remedy,
            **members,
        }

    def response(self) -> JSONResponse:
        """As it is sent."""
        return JSONResponse(self.body, self.status, self.headers, MEDIA_TYPE)


def busy(detail: str, status: int = 503) -> Problem:
    """What passes by itself; clients may try again in a second."""
    return Problem(status, detail, "try again in a moment", {"Retry-After": "1"})


def add_handlers(app: FastAPI, options: Sequence[str]) -> None:
    """Let ``app`` answer every error as a problem; ``options`` are those that a query may hold."""
    app.state.options = list(options)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_fault)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return error.response()


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # What was sent is not repeated: it may be long, and it is nobody's business but the sender's.
    found, mistakes = [], error.errors()
    for one in mistakes[:_NAMED]:
        name = ".".join(map(str, one["loc"][1:]))
        if one["type"] == "extra_forbidden":
            found.append(f"there is no option '{name:.50}'{nearest(name, request.app.state.options)}")
        else:
            found.append(f"{name}: {_lower(one['msg']).replace('input should be', 'expected')}")
    if len(mistakes) > _NAMED:
        found.append(f"and {len(mistakes) - _NAMED:,} more")
    return Problem(422, "; ".join(found), "see /openapi.json for what the query may hold").response()


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        detail = f"{request.method} is not what this path is for"
        return Problem(405, detail, "see /openapi.json for what there is", error.headers).response()
    if error.status_code == 404:
        return Problem(404, "there is nothing at this path", "see /openapi.json for what there is").response()
    return Problem(error.status_code, str(error.detail), "see /openapi.json", error.headers).response()


async def _on_fault(_: Request, error: Exception) -> JSONResponse:
    _log.error("a request failed: %s", type(error).__name__)
    return Problem(500, "the server failed at this request", "tell whoever runs it; its log has the reason").response()
