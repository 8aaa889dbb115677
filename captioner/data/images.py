"""Picture files -> tensors: the only image transform in the project, for training and captioning alike.

Thumbnails for people are read in the same way.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from captioner.errors import ImageError
from captioner.transform import ImageTransform

MAX_PIXELS = 100_000_000
"""A picture with more is refused before it is decoded."""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def load_image(source: Path | bytes | Image.Image, transform: ImageTransform) -> Tensor:
    """A file, its bytes, or a PIL image -> (3, crop, crop), uint8 RGB.

    Upright by its EXIF orientation, first frame, transparency on white. Raises ``ImageError`` naming the reason.
    """
    return _read(source, lambda image: _prepare(image, transform))


def load_thumbnail(source: Path, side: int) -> bytes:
    """A file, whole, as a JPEG for people: no side longer than ``side`` pixels. Raises ``ImageError`` as above."""

    def shrink(image: Image.Image) -> bytes:
        _check_size(image)
        image.draft("RGB", (2 * side, 2 * side))
        small = _on_white(ImageOps.exif_transpose(image))
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        Image.fromarray(np.array(small)).save(buffer, "JPEG", quality=80)  # Anew, without the file's metadata.
        return buffer.getvalue()

    return _read(source, shrink)


_T = TypeVar("_T")


def _read(source: Path | bytes | Image.Image, use: Callable[[Image.Image], _T]) -> _T:
    try:
        if isinstance(source, Image.Image):
            return use(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels are what counts here.
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return use(image)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except IsADirectoryError:
        raise ImageError("is a folder") from None
    except Image.DecompressionBombError:
        raise ImageError(f"has far more than {MAX_PIXELS / 1e6:.0f} megapixels, which is the limit") from None
    except UnidentifiedImageError:
        empty = isinstance(source, Path) and source.stat().st_size == 0
        raise ImageError("the file is empty" if empty else "not a picture in a format that Pillow reads") from None
    except PermissionError:
        raise ImageError("no permission to read it") from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}") from None


def _prepare(image: Image.Image, transform: ImageTransform) -> Tensor:
    _check_size(image)
    width, height = image.size
    # A JPEG can be decoded at half, a quarter or an eighth of its size: several times faster for camera pictures.
    scale = 2 * transform.resize / min(width, height)
    if scale < 1:
        image.draft("RGB", (round(width * scale), round(height * scale)))
    image = _on_white(ImageOps.exif_transpose(image))
    width, height = image.size
    scale = transform.resize / min(width, height)
    # As torchvision does it: the shorter side exactly, the longer one rounded down.
    size = tuple(transform.resize if side == min(width, height) else int(side * scale) for side in (width, height))
    if size != image.size:
        image = image.resize(size, _RESAMPLING[transform.interpolation])  # type: ignore[arg-type]
    left, top = (round((side - transform.crop) / 2.0) for side in image.size)
    image = image.crop((left, top, left + transform.crop, top + transform.crop))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS / 1e6:.0f}")


def _on_white(image: Image.Image) -> Image.Image:
    """To RGB; see-through parts become white, and 16 bits a sample become 8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        see_through = image.convert("RGBA")
        white = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(white, see_through).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def try_image(source: Path | bytes | Image.Image, transform: ImageTransform) -> Tensor | ImageError:
    """As ``load_image``, but the error is the result, so that one bad picture among many ends nothing."""
    try:
        return load_image(source, transform)
    except ImageError as error:
        return error
