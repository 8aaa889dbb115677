"""``captioner caption``: pictures -> captions."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import Models, Overrides, Quiet
from captioner.destinations import Existing, choose_destination
from captioner.inputs import expand_inputs
from captioner.rows import Form


def caption(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Picture files, folders, patterns such as 'photos/*.jpg', or - for a list of files."),
    ],
    model: Models,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write rows to this .json, .jsonl or .csv file.")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="Form of --output, if not its suffix; coco makes COCO results.")
    ] = None,
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Write photo.txt beside each photo.jpg.")] = False,
    existing: Annotated[
        Existing | None, typer.Option(help="What --sidecar does with a text that is there, if not skip.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders.")] = False,
    prefix: Annotated[str, typer.Option(help="Text before each caption.")] = "",
    suffix: Annotated[str, typer.Option(help="Text after each caption.")] = "",
    full_stop: Annotated[bool, typer.Option("--full-stop", help="End each caption with a full stop.")] = False,
    num_captions: Annotated[int, typer.Option(min=1, metavar="N", help="Rows for each picture, best first.")] = 1,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Caption pictures. Those that cannot be read are listed with the reason, and the exit status is 3.

    With --output, a second run captions only what is new or changed, and a killed one is gone on with.

    Example: captioner caption photos/*.jpg --model runs/flickr8k-attention --output captions.json
    """
    destination = choose_destination(output, form, sidecar, existing, num_captions)
    files = expand_inputs(inputs, recursive)
    if destination is not None:
        destination.check(files)
    from captioner.folder import FolderJob, Wording
    from captioner.loading import load_captioner
    from captioner.manifest import Manifest
    from captioner.sampling import check_number

    wording = Wording(prefix, suffix, full_stop)
    shown: list[list[str]] = []
    with Console(quiet) as console:
        captioner = load_captioner(model, overrides)
        check_number(captioner.sampling, num_captions)
        if destination is not None:
            failed = destination.write(captioner, files, wording, num_captions, console.listen)
        else:
            with Manifest(None) as manifest:
                job = FolderJob(captioner, files, console.listen, manifest, wording, num_captions)
                for row in job.rows():
                    if console.is_terminal:
                        shown.append([row.file, row.caption or f"error: {row.error}", _percent(row.confidence)])
                    else:
                        console.line([row.file, row.caption, *([row.error] if row.error else [])])
                failed = job.failed
    if shown:
        console.table(["file", "caption", "confidence"], shown)
    if failed:
        console.warn(f"{failed:,} of {len(files):,} pictures could not be captioned")
        raise typer.Exit(3)


def _percent(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.0%}"
