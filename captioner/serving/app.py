"""The paths, what each takes and gives, and their description as OpenAPI."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, get_args

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from captioner import __version__
from captioner.calibration import Calibration, doubt
from captioner.checkpoint.description import describe
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
    _add_captions(app, service, token=access.token is not None)
    _add_model(app, service)
    _add_state(app, service)
    _add_pages(app)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return Guard(app, access, service.limits, service.metrics)


async def _load(service: Service, ready: Callable[[], object], failed: Callable[[BaseException], object]) -> None:
    try:
        await service.load()
    except Exception as error:
        failed(error)
    else:
        ready()


def _add_captions(app: FastAPI, service: Service, token: bool) -> None:
    @app.post(
        CAPTIONS,
        summary="Caption pictures",
        response_model=Results,
        responses=examples.responses(),
        openapi_extra=examples.request(token),
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


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model", summary="What `captioner inspect` shows, and what requests may be", tags=["captions"])
    async def model() -> dict[str, dict[str, Any]]:
        engine, limits = service.ready(), service.limits
        shown = describe(service.files.paths[0])
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


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="Whether the server runs", response_class=PlainTextResponse, tags=["state"])
    async def healthz() -> str:
        return "ok\n"

    @app.get("/readyz", summary="Whether the model is loaded", response_class=PlainTextResponse, tags=["state"])
    async def readyz() -> str:
        service.ready()
        return "ready\n"

    @app.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse, tags=["state"])
    async def metrics() -> Response:
        service.count_now()
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

    app.add_api_route("/", page("index.html"), methods=["GET", "HEAD"], include_in_schema=False)
