"""``captioner serve``: a web page and a JSON interface."""

from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import Models, Quiet, setting
from captioner.errors import UsageError


def serve(
    model: Models,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Processes, each with the model; fastest: one a core.")
    ] = 1,
    token: Annotated[
        str | None, typer.Option(envvar="CAPTIONER_TOKEN", help="What clients must send as a bearer token.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A site whose pages may ask; repeatable.")
    ] = None,
    max_body: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Largest request.")] = 32,
    max_pictures: Annotated[int, typer.Option(min=1, metavar="N", help="Most pictures of a request.")] = 16,
    max_megapixels: Annotated[float, typer.Option(min=0.01, max=100, metavar="MP", help="Largest picture.")] = 40,
    max_seconds: Annotated[float, typer.Option(min=0.1, metavar="S", help="Longest time for a request.")] = 30,
    max_per_client: Annotated[int, typer.Option(min=1, metavar="N", help="Requests of one address at a time.")] = 32,
    overrides: Annotated[list[str], setting("sampling.max_length=12")] = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Serve a web page and a JSON interface (docs/serving.md), until Ctrl-C; what was taken on is finished first.

    Example: captioner serve --model runs/flickr8k-attention
    """
    try:
        from captioner.serving.server import Serving, listen
        from captioner.serving.server import serve as serve_alone
    except ImportError as error:
        raise UsageError(
            f"serving needs {error.name}, which is not installed", "install it: pip install 'captioner[serve]'"
        ) from None
    from captioner.serving.limits import Access, Limits, origin_of
    from captioner.serving.metrics import Metrics
    from captioner.serving.service import ModelFiles
    from captioner.serving.workers import Workers

    limits = Limits(
        body=round(max_body * 1e6),
        pictures=max_pictures,
        pixels=round(max_megapixels * 1e6),
        seconds=max_seconds,
        per_client=max_per_client,
    )
    access = Access(token, tuple(map(origin_of, allow_origin or ())))
    serving = Serving(ModelFiles(tuple(model), tuple(overrides)), limits, access, workers)
    console = Console(quiet)
    listener = listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    if host not in ("127.0.0.1", "::1", "localhost") and not token:
        console.warn("whoever reaches this machine may ask for captions: set CAPTIONER_TOKEN to keep strangers out")

    def ready() -> None:
        console.done(f"ready: {address}")

    console.done(f"loading {', '.join(map(str, model))}")
    if workers == 1:
        serve_alone(serving, listener, Metrics.alone(), ready)
    else:
        Workers(serving, listener, ready, console.warn).run()
    console.done("stopped")
