"""``captioner train``: trains a model."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import ConfigFile, Overrides, Quiet, open_experiment


def train(
    config: ConfigFile,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/ and the config's name.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; vocabulary and features are made first where they are missing.

    Example: captioner train --config examples/flickr8k-attention.yaml --set dataset.root=Flickr8k --run runs/first
    """
    run = run or Path("runs") / config.stem
    with Console(quiet) as console:
        position = open_experiment(config, overrides, console).trainer(run, resume).fit()
        console.done(f"best validation CIDEr {position.best:.3f} in epoch {position.best_epoch}; the model is in {run}")
        console.done(f"try it: captioner caption PHOTO.jpg --model {run}")
