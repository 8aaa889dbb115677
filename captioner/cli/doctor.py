"""``captioner doctor``: what is wrong with this machine."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson


def doctor(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to look for data sets, features and models, too.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", metavar="FOLDER", help="A run's directory, or a checkpoint's, to look at closely."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at Python, torch, processor, GPU, memory, disk and data; the exit status is 1 if something must be mended.

    Example: captioner doctor data/ --model runs/flickr8k-attention
    """
    from captioner.doctor import examine

    console = Console()
    findings = list(examine(folder, model))
    wrong = [one for one in findings if one.state == "error"]
    if as_json:
        console.json({"healthy": not wrong, "findings": [vars(one) for one in findings]})
    else:
        rows = [(one.state, one.part, one.text, one.remedy) for one in findings]
        console.advice(["", "part", "found", "what to do"], rows)
        console.done(f"{len(wrong)} to mend" if wrong else "nothing must be mended")
    if wrong:
        raise typer.Exit(1)
