"""The images on which two sides differ most, as one HTML file that needs nothing else."""

import base64
from pathlib import Path
from typing import Any

from captioner.data.images import load_thumbnail
from captioner.errors import ImageError, UsageError
from captioner.evaluation.contest import Contest, ImagePair
from captioner.evaluation.tables import contest_rows, contest_setting_rows
from captioner.files import write_text

ENTRIES = 50
_SIDE = 480
"""Longest side of a thumbnail, in pixels: about 25 kB each."""


def check_gallery() -> None:
    """Raise ``UsageError`` if what galleries are made with is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise UsageError(
            "--gallery needs Jinja2, which is not installed", "install it: pip install 'captioner[report]'"
        ) from None


def write_gallery(path: Path, contest: Contest) -> int:
    """Write the gallery; returns its number of images. Raises ``StorageError``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    entries = [_entry(pair, contest) for pair in contest.pairs()[:ENTRIES]]
    template = environment.get_template("gallery.html.j2")
    names, metrics, settings = contest.names, contest_rows(contest), contest_setting_rows(contest)
    write_text(path, template.render(names=names, metrics=metrics, settings=settings, entries=entries))
    return len(entries)


def _entry(pair: ImagePair, contest: Contest) -> dict[str, Any]:
    file, picture, problem = contest.files.get(pair.image_id), "", ""
    if file is not None:
        try:
            picture = base64.b64encode(load_thumbnail(file, _SIDE)).decode()
        except ImageError as error:
            problem = f"{file.name}: {error.problem}"
    return {
        "pair": pair,
        "picture": picture,
        "problem": problem,
        "references": contest.references.texts[pair.image_id],
    }
