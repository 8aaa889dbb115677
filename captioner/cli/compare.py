"""``captioner compare``: whether B is better than A."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import AsJson, Quiet, refuse_settings, setting
from captioner.errors import UsageError


def compare(
    a: Annotated[Path, typer.Argument(help="A run's directory, a checkpoint's, or a COCO results file.")],
    b: Annotated[Path, typer.Argument(help="The other one, of the same kind as A.")],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of A's data set that two models caption: val or test.")
    ] = "val",
    references: Annotated[Path | None, typer.Option(help="COCO captions file to score two files against.")] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the pictures that --references names.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Write the comparison as JSON.")
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write an HTML page of the images that differ most.")
    ] = None,
    overrides: Annotated[list[str], setting("dataset.root=FOLDER")] = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say whether B is better than A, metric by metric: paired bootstrap over images, 95 % intervals.

    Examples: captioner compare runs/first runs/second --gallery differences.html;
    captioner compare a.json b.json --references captions_val2014.json
    """
    _check_inputs([a, b], references, images, gallery)
    if gallery is not None:
        from captioner.pages.html import check_pages

        check_pages("--gallery", gallery)
    from captioner.evaluation import tables

    with Console(quiet) as console:
        if references is None:
            from captioner.scoring import compare_models

            contest = compare_models((a, b), split, overrides, seed, console.listen)
        else:
            from captioner.evaluation.files import compare_files

            refuse_settings(overrides)
            contest = compare_files((a, b), references, images, seed)
        for warning in contest.warnings():
            console.warn(warning)
        if output is not None:
            console.write_json(output, contest.to_json())
        if gallery is not None:
            from captioner.evaluation.gallery import write_gallery

            if not contest.files:
                console.warn("the gallery has no pictures: --images names their folder")
            console.done(f"{write_gallery(gallery, contest)} images that differ most are in {gallery}")
    if as_json:
        console.json(contest.to_json())
        return
    console.table(tables.CONTEST_HEADERS, tables.contest_rows(contest), title=f"A: {a}, B: {b}")
    console.table(["", ""], tables.contest_setting_rows(contest))


def _check_inputs(inputs: list[Path], references: Path | None, images: Path | None, gallery: Path | None) -> None:
    models, files = any(path.is_dir() for path in inputs), any(path.is_file() for path in inputs)
    if models and files:
        raise UsageError("one of A and B is a file, the other a model", "compare two models, or two COCO results files")
    if files and references is None:
        raise UsageError("A and B are files, with nothing to score them against", "add --references FILE")
    if models and (references or images):
        raise UsageError("--references and --images belong to COCO results files", "leave them out to compare models")
    if images and not gallery:
        raise UsageError("--images is of use to --gallery alone", "add --gallery FILE.html, or leave out --images")
