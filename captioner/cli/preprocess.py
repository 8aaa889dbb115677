"""``captioner preprocess``: computes image features once."""

from typing import Annotated

from captioner.cli.console import Console
from captioner.cli.options import ConfigFile, Quiet, open_experiment, setting


def preprocess(
    config: ConfigFile,
    overrides: Annotated[list[str], setting("features.path=FOLDER")] = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Compute the features of every picture once; interrupted, the same command goes on, and finished, does nothing.

    Example: captioner preprocess --config examples/flickr8k-attention.yaml --set features.path=features/flickr8k
    """
    from captioner.errors import UsageError

    with Console(quiet) as console:
        experiment = open_experiment(config, overrides, console.listen)
        if not experiment.encoder.frozen:
            raise UsageError(
                "this config trains the encoder, so its features change and cannot be computed once",
                "go on with captioner train, or keep the encoder as it is: --set encoder.fine_tune=false",
            )
        for split in experiment.dataset.sizes():
            experiment.pictures(split)
        console.done(f"{len(experiment.store):,} pictures' features are in {experiment.store.folder}")
