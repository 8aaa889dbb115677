"""``captioner evaluate``: scores a model on a split, or anybody's captions."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson, Overrides, Quiet
from captioner.errors import UsageError


def evaluate(
    model: Annotated[Path | None, typer.Option("--model", "-m", help="A run's directory, or a checkpoint's.")] = None,
    split: Annotated[str, typer.Option(help="Split of the model's data set: train, val or test.")] = "val",
    predictions: Annotated[Path | None, typer.Option(help="Score this COCO results file instead of a model.")] = None,
    references: Annotated[Path | None, typer.Option(help="COCO captions file to score --predictions against.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the scores as JSON.")] = None,
    per_image: Annotated[Path | None, typer.Option(help="Write each image's scores as JSON lines.")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score captions: BLEU, ROUGE-L, CIDEr and, for a model, perplexity. No Java needed.

    Examples: captioner evaluate --model runs/flickr8k-attention --split val --set sampling.beam_size=3;
    captioner evaluate --predictions results.json --references captions_val2014.json
    """
    if (model is None) == (predictions is None) or (predictions is None) != (references is None):
        raise UsageError(
            "nothing to score, or too much",
            "give either --model (and --split), or --predictions with --references",
        )
    from captioner.rows import form_of, write_rows

    if per_image is not None:
        form_of(per_image)
    with Console(quiet) as console:
        if model is not None:
            from captioner.loading import evaluate_model

            evaluation = evaluate_model(model, split, overrides, console.listen)
        else:
            from captioner.evaluation.files import evaluate_files

            assert predictions is not None
            assert references is not None
            evaluation = evaluate_files(predictions, references)
        result = evaluation.to_json()
        if output is not None:
            from captioner.files import write_text

            write_text(output, console.to_json(result))
        if per_image is not None:
            write_rows(per_image, evaluation.image_rows())
    if as_json:
        console.json(result)
        return
    rows = [(name, f"{value:.4f}" if isinstance(value, float) else value) for name, value in result.items()]
    console.table(["", ""], rows, title=f"{model or predictions}, {split if model else references}")
