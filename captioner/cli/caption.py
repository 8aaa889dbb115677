"""``captioner caption``: pictures -> captions."""

from pathlib import Path
from typing import Annotated

import typer

from captioner import processes
from captioner.cli.console import Console
from captioner.cli.options import Models, Quiet, setting
from captioner.cli.screen import Screen
from captioner.folder.destinations import choose_destination
from captioner.folder.inputs import expand_inputs
from captioner.folder.order import Engine, Order, choose_engine
from captioner.folder.sidecars import Existing
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
        Existing | None,
        typer.Option(help="What --sidecar does where a text is already; by default skip."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders.")] = False,
    prefix: Annotated[str, typer.Option(help="Text before each caption.")] = "",
    suffix: Annotated[str, typer.Option(help="Text after each caption.")] = "",
    full_stop: Annotated[bool, typer.Option("--full-stop", help="End each caption with a full stop.")] = False,
    num_captions: Annotated[int, typer.Option(min=1, metavar="N", help="Rows for each picture, best first.")] = 1,
    min_confidence: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="NUMBER", help="List captions of less confidence for review; 0.3 is 30 %."),
    ] = 0.0,
    attention: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", file_okay=False, help="Draw where each word looks: a PNG a photo, and a page of all."
        ),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="What does the work: this computer or a Ray cluster.")] = Engine.local,
    overrides: Annotated[list[str], setting("sampling.max_length=12")] = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Caption pictures. Those that cannot be read are listed with the reason, and the exit status is 3.

    With --output, a second run captions only what is new or changed, and a killed one is gone on with.

    Example: captioner caption photos/*.jpg --model runs/flickr8k-attention --output captions.json
    """
    with Console(quiet) as console:
        review = min_confidence > 0
        destination = choose_destination(output, form, sidecar, existing, num_captions, review) or Screen(console)
        files = processes.of_first(expand_inputs(inputs, recursive, attention) if processes.is_first() else [])
        if sidecar or form is Form.coco:  # These have one place for a picture, however often it is named.
            files = list(dict.fromkeys(files))
        destination.check(files)
        cluster = choose_engine(engine, model, overrides, attention)
        from captioner.folder.gallery import AttentionGallery
        from captioner.folder.job import Wording
        from captioner.loading import load_captioner
        from captioner.sampling import check_number

        captioner = load_captioner(model, overrides)
        check_number(captioner.sampling, num_captions)
        if min_confidence and captioner.doubt:
            console.warn(captioner.doubt)
        gallery = AttentionGallery(captioner, attention, files, console.listen) if attention else None
        watch, wording = gallery.add if gallery else None, Wording(prefix, suffix, full_stop)
        order = Order(captioner, wording, num_captions, min_confidence, console.listen, watch, cluster)
        failed = destination.write(files, order)
        if gallery:
            gallery.finish()
        failed = processes.of_first(failed)
        if failed:
            console.warn(f"{failed:,} of {len(files):,} pictures could not be captioned")
            raise typer.Exit(3)
