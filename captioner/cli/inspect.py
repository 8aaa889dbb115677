"""``captioner inspect``: what is in a checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson


def inspect(
    directory: Annotated[Path, typer.Argument(help="A run's directory, or a checkpoint's.")],
    as_json: AsJson = False,
) -> None:
    """Show what a checkpoint holds, without loading its weights or torch.

    Example: captioner inspect runs/flickr8k-attention
    """
    from captioner.checkpoint.description import describe, in_words

    console = Console()
    description = describe(directory)
    if as_json:
        console.json(description)
        return
    rows = [(section, key, value) for section, values in in_words(description).items() for key, value in values.items()]
    shown = [
        (section if index == 0 or rows[index - 1][0] != section else "", key, value)
        for index, (section, key, value) in enumerate(rows)
    ]
    console.table(["", "", ""], shown, title=str(directory))
