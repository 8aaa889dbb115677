"""A picture's file or bytes -> an opened PIL image, or an ``ImageError`` that names the reason. Imports no torch."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from captioner.errors import ImageError

MAX_PIXELS = 100_000_000
"""A picture with more is refused before it is decoded."""


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """Open a picture, not yet decoded; what goes wrong while it is in use is an ``ImageError`` too."""
    with image_errors(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels are what counts here.
        with _opened(source) as image:
            check_size(image)
            yield image


def _opened(source: Path | bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        if not (source if isinstance(source, bytes) else source.stat().st_size):
            raise ImageError("the file is empty") from None
        raise


@contextmanager
def image_errors() -> Iterator[None]:
    """Turn whatever reading and decoding raise into an ``ImageError``."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except IsADirectoryError:
        raise ImageError("is a folder") from None
    except Image.DecompressionBombError:
        raise ImageError(f"has far more than {MAX_PIXELS / 1e6:.0f} megapixels, which is the limit") from None
    except UnidentifiedImageError:
        raise ImageError("not a picture in a format that Pillow reads") from None
    except PermissionError:
        raise ImageError("no permission to read it") from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}") from None


def check_size(image: Image.Image) -> None:
    """Raise ``ImageError`` for a picture of more than ``MAX_PIXELS``."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS / 1e6:.0f}")


def on_white(image: Image.Image) -> Image.Image:
    """To RGB; see-through parts become white, and 16 bits a sample become 8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        see_through = image.convert("RGBA")
        white = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(white, see_through).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
