"""Colour profiles: pixels in a camera's or a printer's colours -> sRGB, which is what encoders were trained on."""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""The colour space that bytes 16 to 19 of a profile name (ICC.1:2022, section 7.2.8) -> Pillow's mode."""

_UNSEEN = 3
"""A profile that moves no colour by more, of 255, is sRGB under another name."""

_LARGEST = 4_000_000
"""Bytes of a profile, at most: a printer's has some two million, and those of the last pictures are kept."""


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """A grey, RGB or CMYK picture as sRGB; ``profile`` is what Pillow calls ``icc_profile``, and None costs nothing.

    A profile that is broken, larger than any printer's, or of colours that the picture has not, is ignored.
    """
    conversion = _conversion(profile) if isinstance(profile, bytes) and len(profile) <= _LARGEST else None
    if conversion is not None:
        mode, transform = conversion
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode == image.mode:
            return _apply(image, transform)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _conversion(profile: bytes) -> tuple[str, Any] | None:
    """The mode that a profile takes and what converts it, kept as most pictures of a folder share theirs."""
    mode = _MODES.get(profile[16:20])
    if mode is None:
        return None
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        return None if mode != "CMYK" and _changes_nothing(mode, transform) else (mode, transform)
    except Exception:  # A broken profile raises almost anything; the pixels are what counts.
        return None


def _changes_nothing(mode: str, transform: Any) -> bool:
    if mode == "L":
        samples = np.arange(256, dtype=np.uint8)[None]
        expected = np.repeat(samples[..., None], 3, axis=2)
    else:
        levels = np.arange(0, 256, 51, dtype=np.uint8)
        samples = expected = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = np.asarray(_apply(Image.fromarray(samples), transform)).astype(int)
    return int(np.abs(converted - expected).max()) <= _UNSEEN


def _apply(image: Image.Image, transform: Any) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # It is None only where the picture itself is changed.
    return converted
