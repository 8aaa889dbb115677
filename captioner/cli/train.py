"""``captioner train``: trains a model."""

from pathlib import Path
from typing import Annotated

import typer

from captioner import processes
from captioner.cli.console import Console
from captioner.cli.options import ConfigFile, Quiet, open_experiment, setting
from captioner.events import Listener, to_all


def train(
    config: ConfigFile,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", file_okay=False, help="Folder of the run; by default runs/ and the config's name."
        ),
    ] = None,
    overrides: Annotated[list[str], setting("training.epochs=5")] = [],  # noqa: B006 - typer copies it
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard into the run's folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON, for programs.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; vocabulary and features are made first where they are missing.

    Curves of the epochs so far are in curves.html in the run's folder.

    Example: captioner train --config examples/flickr8k-attention.yaml --set dataset.root=Flickr8k --run runs/first
    """
    run = run or Path("runs") / config.stem
    with Console(quiet, events=as_json) as console:
        listeners: list[Listener] = [console.listen]
        if tensorboard and processes.is_first():
            from captioner.training.tensorboard import TensorBoard

            listeners.append(TensorBoard(run).listen)
        position = open_experiment(config, overrides, to_all(*listeners)).trainer(run, resume).fit()
    console.done(f"best validation CIDEr {position.best:.3f} in epoch {position.best_epoch}; the model is in {run}")
    console.done(f"try it: captioner caption PHOTO.jpg --model {run}")
