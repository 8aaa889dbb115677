"""The images on which two sides differ most, as one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from captioner.evaluation.contest import Contest, ImagePair
from captioner.evaluation.tables import contest_rows, contest_setting_rows
from captioner.pages.html import picture_of, write_page

ENTRIES = 50


def write_gallery(path: Path, contest: Contest) -> int:
    """Write the gallery; returns its number of images, which all have two captions. Raises ``StorageError``."""
    pairs = [pair for pair in contest.pairs() if pair.caption_a != pair.caption_b]
    entries = [_entry(pair, contest) for pair in pairs[:ENTRIES]]
    names, metrics, settings = contest.names, contest_rows(contest), contest_setting_rows(contest)
    write_page(path, "gallery.html.j2", names=names, metrics=metrics, settings=settings, entries=entries)
    return len(entries)


def _entry(pair: ImagePair, contest: Contest) -> dict[str, Any]:
    picture, problem = picture_of(contest.files.get(pair.image_id))
    references = contest.references.texts[pair.image_id]
    return {"pair": pair, "picture": picture, "problem": problem, "references": references}
