"""The paths, what each takes and gives, and their description as OpenAPI."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from functools import partial
from typing import Annotated, Any, get_args

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from captioner import __version__
from captioner.calibration import Calibration, doubt
from captioner.config import SamplingConfig
from captioner.pages.confidence import meaning
from captioner.serving import examples
from captioner.serving.guard import CAPTIONS, Guard
from captioner.serving.limits import Access
from captioner.serving.metrics import MEDIA_TYPE
from captioner.serving.options import MOST_CAPTIONS, Options
from captioner.serving.pages import load_pages
from captioner.serving.problems import add_handlers
from captioner.serving.results import Results
from captioner.serving.service import Service


def build_app(
    service: Service, access: Access, ready: Callable[[], object], failed: Callable[[BaseException], object]
) -> ASGIApp:
    """The application. Started, it loads the model, and then calls ``ready``, or ``failed`` with what went wrong."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(service, ready, failed))
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        service.stop()

    app = FastAPI(
        title="captioner",
        version=__version__,
        summary="Captions for pictures.",
        lifespan=lifespan,
        docs_url=None,  # Its pages load scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
    )
    add_handlers(app, list(Options.model_fields))
    # Only for the description: the guard asks for the token before any of this.
    asked = [Depends(HTTPBearer(scheme_name="bearer", auto_error=False))] if access.token else []
    _add_captions(app, service, asked)
    _add_model(app, service, asked)
    _add_state(app, service, asked)
    _add_pages(app)
    return Guard(app, access, service.limits, service.metrics)


async def _load(service: Service, ready: Callable[[], object], failed: Callable[[BaseException], object]) -> None:
    try:
        await service.load()
    except Exception as error:
        failed(error)
    else:
        ready()


def _add_captions(app: FastAPI, service: Service, asked: Sequence[Any]) -> None:
    @app.post(
        CAPTIONS,
        summary="Caption pictures",
        response_model=Results,
        responses=examples.responses(),
        openapi_extra=examples.request(),
        dependencies=asked,
        tags=["captions"],
    )
    async def captions(request: Request, options: Annotated[Options, Query()]) -> Response:
        """One or many, as a form's files, as JSON with base64, or one as the body itself; nothing is kept of them."""
        try:
            results = await service.captions(request, options)
        except ClientDisconnect:
            return Response(status_code=499)  # For the count: nobody receives it.
        model = service.ready().fingerprint
        return JSONResponse({"model": model, "results": [result.to_json() for result in results]})


def _add_model(app: FastAPI, service: Service, asked: Sequence[Any]) -> None:
    @app.get(
        "/v1/model",
        summary="What `captioner inspect` shows, and what requests may be",
        responses=examples.errors(401, 403, 503),
        dependencies=asked,
        tags=["captions"],
    )
    async def model() -> dict[str, dict[str, Any]]:
        engine, limits = service.ready(), service.limits
        shown = deepcopy(engine.description)
        shown["checkpoint"].pop("directory")  # Where things lie on this machine is nobody's business.
        shown["training"]["data"] = shown["training"]["data"].rpartition("/")[2]
        shown["sampling"] = engine.captioner.sampling.model_dump()
        shown["serving"] = {
            "fingerprint": engine.fingerprint,
            "models": len(service.files.paths),
            "attention": engine.attends,
            "confidence": _worth(engine.captioner.calibration, len(service.files.paths)),
            "most captions": MOST_CAPTIONS,
            "most pictures": limits.pictures,
            "most bytes": limits.body,
            "most pixels": limits.pixels,
            "most seconds": limits.seconds,
        }
        return shown


def _worth(calibration: Calibration | None, models: int) -> dict[str, dict[str, Any]]:
    """For each ``sampling.method``, whether confidence is a probability, and what pages say of it."""
    doubts = {
        method: doubt(calibration, method, models)
        for method in get_args(SamplingConfig.model_fields["method"].annotation)
    }
    return {
        method: {"probability": not doubtful, "means": meaning(calibration, doubtful)}
        for method, doubtful in doubts.items()
    }


def _add_state(app: FastAPI, service: Service, asked: Sequence[Any]) -> None:
    state = partial(app.get, response_class=PlainTextResponse, tags=["state"])

    @state("/healthz", summary="Whether the server runs", responses=examples.errors(403))
    async def healthz() -> str:
        return "ok\n"

    @state("/readyz", summary="Whether the model is loaded", responses=examples.errors(403, 503))
    async def readyz() -> str:
        service.ready()
        return "ready\n"

    @state("/metrics", summary="For Prometheus", responses=examples.errors(401, 403), dependencies=asked)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)


def _add_pages(app: FastAPI) -> None:
    pages = load_pages()

    def page(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def show(request: Request) -> Response:
            return pages[name].response(request)

        return show

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        if name not in pages:
            raise HTTPException(404)
        return pages[name].response(request)

    app.add_api_route("/", page("index.html"), methods=["GET"], include_in_schema=False)
