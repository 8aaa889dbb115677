"""``captioner caption``: pictures -> captions."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import Models, Overrides, Quiet

if TYPE_CHECKING:
    from captioner.folder import Row


def caption(
    inputs: Annotated[list[str], typer.Argument(help="Picture files, folders, or patterns such as 'photos/*.jpg'.")],
    model: Models,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write rows to this .json, .jsonl or .csv file.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders.")] = False,
    full_stop: Annotated[bool, typer.Option("--full-stop", help="End each caption with a full stop.")] = False,
    num_captions: Annotated[int, typer.Option(min=1, metavar="N", help="Rows for each picture, best first.")] = 1,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Caption pictures. Those that cannot be read are listed with the reason, and the exit status is 3.

    Example: captioner caption photos/*.jpg --model runs/flickr8k-attention --output captions.json
    """
    from captioner.rows import check_output, write_rows

    if output is not None:
        check_output(output)
    from captioner.folder import caption_files, expand_inputs
    from captioner.loading import load_captioner

    failed = 0

    def counted(rows: Iterator["Row"]) -> Iterator["Row"]:
        nonlocal failed
        for row in rows:
            failed += bool(row.error)
            yield row

    with Console(quiet) as console:
        files = expand_inputs(inputs, recursive)
        captioner = load_captioner(model, overrides)
        rows = counted(caption_files(captioner, files, console.listen, full_stop, num_captions))
        if output is not None:
            write_rows(output, (row.to_json() for row in rows))
            console.done(f"captioned {len(files) - failed:,} of {len(files):,} pictures into {output}")
        elif console.is_terminal:
            shown = [(row.file, row.caption or f"error: {row.error}", _percent(row)) for row in rows]
        else:
            for row in rows:
                console.line([row.file, row.caption, *([row.error] if row.error else [])])
    if output is None and console.is_terminal:
        console.table(["file", "caption", "confidence"], shown)
    if failed:
        console.warn(f"{failed:,} of {len(files):,} pictures could not be captioned")
        raise typer.Exit(3)


def _percent(row: "Row") -> str:
    return "" if row.confidence is None else f"{row.confidence:.0%}"
