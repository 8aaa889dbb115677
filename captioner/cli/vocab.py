"""``captioner vocab``: builds and shows the vocabulary."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson, ConfigFile, Quiet, open_experiment, setting


def vocab(
    config: ConfigFile,
    overrides: Annotated[list[str], setting("vocab.min_count=3")] = [],  # noqa: B006 - typer copies it
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Also write it as JSON.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show which words a model would know, and how many words of each split it would not.

    Example: captioner vocab --config examples/flickr8k-attention.yaml --set vocab.min_count=3
    """
    with Console(quiet) as console:
        experiment = open_experiment(config, overrides, console.listen)
        vocabulary = experiment.vocabulary
        coverage = experiment.coverage()
        if output is not None:
            from captioner.files import write_text

            write_text(output, vocabulary.to_json())
    dropped = coverage["train"].dropped
    if as_json:
        rates = {split: part.unknown_rate for split, part in coverage.items()}
        console.json({"size": len(vocabulary), "unknown_rate": rates, "dropped": dropped})
        return
    console.table(
        ["", ""],
        [
            ("words, with 4 special ones", f"{len(vocabulary):,}"),
            ("occur at least", f"{vocabulary.min_count} times in the training captions"),
            *((f"unknown words, {split}", f"{part.unknown_rate:.2%}") for split, part in coverage.items()),
            *([("commonest dropped words", ", ".join(f"{word} ({n})" for word, n in dropped[:10]))] if dropped else []),
        ],
        title="Vocabulary",
    )
