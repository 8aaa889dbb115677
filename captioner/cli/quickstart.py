"""``captioner quickstart``: the whole path, one command after the other, on data that comes along or on one's own."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.errors import Interrupted, UsageError
from captioner.files import write_text

_CONFIG = Path(__file__).with_name("quickstart.yaml")
_SHAPES = "  format: shapes\n  root: data/shapes\n"
_UNSEEN = 10
_Step = tuple[str, list[str]]
"""What a command is good for, and its words."""


def quickstart(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="A folder of your pictures, each with a .txt beside it, a caption a line.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where everything is put.")] = Path("quickstart"),
) -> None:
    """Go the whole way once, offline and without any weights, and show the command for each step.

    Draws pictures of shapes, checks them, builds the vocabulary, trains a small model from nothing, scores it and
    captions ten pictures that it has never seen. Interrupted, the same command goes on; finished, it shows all anew.

    Examples: captioner quickstart; captioner quickstart --data holiday --folder first-try
    """
    start, console = time.monotonic(), Console()
    given = ["--data", str(data)] if data else []
    again = shlex.join(["captioner", "quickstart", *given, "--folder", str(folder)])
    _write_config(folder, data)
    for purpose, words in _steps(folder, data):
        console.command(["captioner", *words])
        console.done(f"# {purpose}")
        try:
            # The command line itself: what is shown is what is run.
            status = context.find_root().command.main(words, "captioner", standalone_mode=False)
        except Interrupted as stopped:
            raise Interrupted(stopped.problem, f"{again} goes on from here") from None
        if status:
            raise typer.Exit(status)
    seconds = round(time.monotonic() - start)
    console.done(
        f"\nthat was all, in {seconds // 60} min {seconds % 60} s; {folder} holds the config, the run and curves"
    )
    console.done(f"caption a picture of yours: captioner caption PHOTO.jpg --model {folder / 'run'}")


def _write_config(folder: Path, data: Path | None) -> None:
    form, root = ("folder", data) if data else ("shapes", folder / "data")
    text = _CONFIG.read_text(encoding="utf-8")
    text = text.replace(_SHAPES, f"  format: {form}\n  root: {json.dumps(str(root))}\n")
    file = folder / "config.yaml"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{folder} holds a quickstart of other data or settings", "choose another --folder, or delete it"
        )
    write_text(file, text)


def _steps(folder: Path, data: Path | None) -> Iterator[_Step]:
    """Each is made when those before it are done."""
    config, run = str(folder / "config.yaml"), str(folder / "run")
    if data is None:
        yield (
            "draws 2,000 pictures of shapes, each with five captions",
            ["download", "shapes", "--root", str(folder / "data")],
        )
    yield "looks for mistakes in the data", ["lint", "--config", config]
    yield "counts the words that the model is going to know", ["vocab", "--config", config]
    resume = ["--resume"] if (folder / "run" / "last").is_dir() else []
    yield (
        "trains encoder and decoder together, so that no features are stored",
        ["train", "--config", config, "--run", run, *resume],
    )
    yield "scores captions of pictures that it was not trained on", ["evaluate", "--model", run, "--split", "val"]
    yield "captions pictures that it has never seen", ["caption", *_unseen(config), "--model", run]


def _unseen(config: str) -> list[str]:
    """Files of the test split."""
    from captioner.configfile import load_config
    from captioner.data.annotations import load_dataset

    return [str(record.file) for record in load_dataset(load_config(config).dataset).split("test")[:_UNSEEN]]
