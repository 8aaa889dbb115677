"""``captioner export``: a model as ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.console import Console
from captioner.cli.options import Quiet


def export(
    directory: Annotated[Path, typer.Argument(help="A run's directory, or a checkpoint's.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", file_okay=False, help="Folder to write into, if not DIRECTORY/onnx."
        ),
    ] = None,
    pictures: Annotated[
        list[str], typer.Option(metavar="PATH", help="Pictures or folders to compare with torch on, if not drawn ones.")
    ] = [],  # noqa: B006 - typer copies it
    quiet: Quiet = False,
) -> None:
    """Write a model as ONNX, for programs without torch; it is first compared with torch, and refused if it differs.

    Example: captioner export runs/flickr8k-attention --pictures holiday/
    """
    from captioner.export import TOLERANCE, export_model
    from captioner.files import readable_size
    from captioner.folder.inputs import expand_inputs

    files = expand_inputs(pictures) if pictures else []
    with Console(quiet) as console:
        written = export_model(directory, output or directory / "onnx", files, console.listen)
    for file in written.files:
        console.line([str(file), readable_size(file.stat().st_size)])
    console.done(
        f"largest difference from torch: {written.difference:.1e} ({TOLERANCE:.0e} is allowed), "
        f"over {written.pictures} pictures and {written.steps} words each"
    )
