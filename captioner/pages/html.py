"""HTML pages that need nothing else: templates, one style, pictures inside."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from captioner.data.images import load_thumbnail
from captioner.errors import ImageError, UsageError
from captioner.files import write_text

_SIDE = 480
"""Longest side of a thumbnail, in pixels: about 25 kB each."""


def check_pages(option: str, path: Path | None = None) -> None:
    """Raise ``UsageError`` if ``option`` cannot have its page: its file is to be HTML, made with what is installed."""
    if path and path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{option} writes HTML, and {path} is to be something else", "name a file that ends in .html")
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{option} needs Jinja2, which is not installed", "install it: pip install 'captioner[report]'"
        ) from None


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template of this folder. Raises ``StorageError``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    write_text(path, environment.get_template(template).render(**values))


def picture_of(file: Path | None) -> tuple[str, str]:
    """A picture's file -> what ``src`` takes, and what is wrong with the file; one of them is empty, or both."""
    if file is None:
        return "", ""
    try:
        return _source(load_thumbnail(file, _SIDE)), ""
    except ImageError as error:
        return "", f"{file.name}: {error.problem}"


def small_source(image: Image.Image, side: int) -> str:
    """A square picture -> what ``src`` takes, ``side`` pixels wide: about 4 kB at 120."""
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=75)
    return _source(buffer.getvalue())


def _source(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
