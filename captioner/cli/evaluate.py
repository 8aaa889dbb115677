"""``captioner evaluate``: scores a model on a split, or anybody's captions."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from captioner import processes
from captioner.cli.console import Console
from captioner.cli.options import AsJson, Models, Quiet, refuse_settings, setting, whole_numbers
from captioner.errors import UsageError
from captioner.rows import Form, write_rows


def evaluate(
    model: Models = [],  # noqa: B006 - typer copies it
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the model's data set: val or test.")] = "val",
    predictions: Annotated[Path | None, typer.Option(help="Score this COCO results file instead of a model.")] = None,
    references: Annotated[Path | None, typer.Option(help="COCO captions file to score --predictions against.")] = None,
    beam_sizes: Annotated[str, typer.Option(metavar="N,N", help="Table of these beam sizes; 1 is greedy.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write the scores as JSON.")
    ] = None,
    official: Annotated[bool, typer.Option("--official", help="METEOR, SPICE and official tokens, by Java.")] = False,
    report: Annotated[Path | None, typer.Option(dir_okay=False, help="Write all about it as one HTML page.")] = None,
    per_image: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write each image's scores as JSON lines.")
    ] = None,
    allow_training_split: Annotated[
        bool, typer.Option("--allow-training-split", help="Score even the pictures that the model was trained on.")
    ] = False,
    overrides: Annotated[list[str], setting("dataset.root=FOLDER")] = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score captions: BLEU, ROUGE-L, CIDEr, how much they vary and, for a model, perplexity. No Java needed.

    What each figure says is in docs/metrics.md and docs/evaluation.md.

    Examples: captioner evaluate --model runs/flickr8k-attention --beam-sizes 1,3,5;
    captioner evaluate --predictions results.json --references captions_val2014.json
    """
    if not (model or predictions or references):
        raise UsageError("nothing to score", "give --model FOLDER, or --predictions FILE with --references FILE")
    if bool(model) == bool(predictions) or bool(predictions) != bool(references):
        raise UsageError("--predictions and --references go together, without --model", "score a model, or a file")
    sizes = whole_numbers("--beam-sizes", beam_sizes)
    if sizes and not model:
        raise UsageError("files of captions have no beam for --beam-sizes", "leave it out, or score a model")
    if predictions and (split != "val" or allow_training_split):
        raise UsageError("files of captions have no splits", "leave out --split and --allow-training-split")
    for option, given in (("--per-image", per_image), ("--report", report)):
        if sizes and given is not None:
            raise UsageError(f"{option} shows one way of sampling, and --beam-sizes several", f"leave out {option}")
    title = f"{' + '.join(map(str, model))}, {split}" if model else f"{predictions}, {references}"
    with Console(quiet) as console:
        from captioner.evaluation import tables
        from captioner.evaluation.files import evaluate_files
        from captioner.evaluation.official import score_officially
        from captioner.evaluation.report import write_report
        from captioner.pages.html import check_pages
        from captioner.scoring import evaluate_beams, origin_of

        if report is not None:
            check_pages("--report", report)
        if predictions and references:
            refuse_settings(overrides)
            evaluations = [evaluate_files(predictions, references)]
        else:
            evaluations = evaluate_beams(model, split, overrides, console.listen, sizes, allow_training_split)
        if not processes.is_first():
            return
        if official:
            evaluations = score_officially(evaluations, console.listen)
        for warning in tables.collapses(evaluations):
            console.warn(warning)
        result = [each.beam_json() for each in evaluations] if sizes else evaluations[0].to_json()
        if output is not None:
            console.write_json(output, result)
        if per_image is not None:
            write_rows(per_image, evaluations[0].image_rows(), Form.jsonl)
        if report is not None:
            command = shlex.join(["captioner", *sys.argv[1:]])
            write_report(report, evaluations[0], origin_of(model, overrides, title, command))
            console.done(f"the report is in {report}")
    if as_json:
        console.json(result)
    for headers, rows in [] if as_json else tables.tables(evaluations, beams=bool(sizes)):
        console.table(headers, rows, title=title)
