"""``captioner quickstart``: the whole path, one command after the other, on built-in pictures or on one's own."""

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.errors import Interrupted


def quickstart(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A folder of your pictures, each with a .txt beside it, a caption a line."),
    ] = None,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", file_okay=False, help="Where all that is made is put.")
    ] = Path("quickstart"),
) -> None:
    """Go the whole way once, offline and without any weights, and show the command for each step.

    Draws pictures of shapes, looks for mistakes in them, builds the vocabulary, trains a small model from nothing,
    scores it, and captions ten pictures that it has never seen. Interrupted, the same command goes on.

    Examples: captioner quickstart; captioner quickstart --data holiday --folder first-try
    """
    from captioner.quickstart import steps

    start, console = time.monotonic(), Console()
    for step in steps(folder, data):
        console.command(["captioner", *step.words], step.purpose)
        sys.argv[1:] = step.words  # Which a report gives as its origin.
        try:
            # The command line itself: what is shown is what runs.
            status = context.find_root().command.main(step.words, "captioner", standalone_mode=False)
        except Interrupted as stopped:
            given = ["--data", str(data)] if data else []
            again = shlex.join(["captioner", "quickstart", *given, "--folder", str(folder)])
            raise Interrupted(stopped.problem, f"go on from here: {again}") from None
        if status:
            console.warn(
                "the quickstart ends here: mend that and run it again, or go on by hand from the command above"
            )
            raise typer.Exit(status)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    took = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    console.done(f"all done in {took}; what was made is in {folder}")
    for page in ("run/curves.html", "report.html", "attention/index.html"):
        # Of a single picture there is no page, only its own picture in that folder.
        console.done(f"to look at: {folder / page if (folder / page).exists() else (folder / page).parent}")
    if data is None:
        console.done("this model knows such shapes and nothing else; how to train on photographs: docs/tutorial.md")
        return
    console.done(f"try another picture: captioner caption PICTURE.jpg --model {folder / 'run'}")
    console.done("better captions take an encoder that has seen millions of pictures: docs/tutorial.md")
