"""``captioner evaluate``: scores a model on a split, or anybody's captions."""

from pathlib import Path
from typing import Annotated

import typer

from captioner import processes
from captioner.cli.console import Console
from captioner.cli.options import AsJson, Models, Overrides, Quiet
from captioner.errors import UsageError


def evaluate(
    model: Models = [],  # noqa: B006 - typer copies it
    split: Annotated[str, typer.Option(help="Split of the model's data set: val or test.")] = "val",
    predictions: Annotated[Path | None, typer.Option(help="Score this COCO results file instead of a model.")] = None,
    references: Annotated[Path | None, typer.Option(help="COCO captions file to score --predictions against.")] = None,
    beam_sizes: Annotated[str, typer.Option(metavar="N,N", help="Table of these beam sizes; 1 is greedy.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the scores as JSON.")] = None,
    per_image: Annotated[Path | None, typer.Option(help="Write each image's scores as JSON lines.")] = None,
    allow_training_split: Annotated[
        bool, typer.Option("--allow-training-split", help="Score even the pictures that the model was trained on.")
    ] = False,
    overrides: Overrides = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score captions: BLEU, ROUGE-L, CIDEr, how much they vary and, for a model, perplexity. No Java needed.

    Examples: captioner evaluate --model runs/flickr8k-attention --beam-sizes 1,3,5;
    captioner evaluate --predictions results.json --references captions_val2014.json
    """
    if bool(model) == bool(predictions) or (predictions is None) != (references is None):
        raise UsageError(
            "nothing to score, or too much",
            "give either --model (and --split), or --predictions with --references",
        )
    sizes = _sizes(beam_sizes)
    if sizes and (not model or per_image is not None):
        raise UsageError("--beam-sizes needs --model, and has no --per-image", "leave out one of them")
    if per_image is not None:
        from captioner.rows import form_of, write_rows

        form_of(per_image)
    from captioner.evaluation import tables

    with Console(quiet) as console:
        if model:
            from captioner.loading import evaluate_beams

            evaluations = evaluate_beams(model, split, overrides, console.listen, sizes, allow_training_split)
        else:
            from captioner.evaluation.files import evaluate_files

            assert predictions is not None
            assert references is not None
            evaluations = [evaluate_files(predictions, references)]
        for warning in tables.collapses(evaluations):
            console.warn(warning)
        result = [each.beam_json() for each in evaluations] if sizes else evaluations[0].to_json()
        if output is not None:
            console.write_json(output, result)
        if per_image is not None and processes.is_first():
            write_rows(per_image, evaluations[0].image_rows())
    title = f"{' + '.join(map(str, model))}, {split}" if model else f"{predictions}, {references}"
    if as_json:
        console.json(result)
    elif sizes:
        console.table(tables.BEAM_HEADERS, tables.beam_rows(evaluations), title=title)
        console.table(["", ""], tables.setting_rows(evaluations[0]))
    else:
        console.table(["", ""], tables.score_rows(evaluations[0]), title=title)


def _sizes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--beam-sizes {text}: expected whole numbers above 0", "for example --beam-sizes 1,3,5")
    return list(dict.fromkeys(map(int, parts)))
