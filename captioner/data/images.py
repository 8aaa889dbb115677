"""Picture files -> tensors: the only image transform in the project, for training and captioning alike.

Thumbnails for people are read in the same way.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from captioner.data.decoding import check_size, image_errors, on_white, open_image
from captioner.errors import ImageError
from captioner.transform import ImageTransform

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def load_image(source: Path | bytes | Image.Image, transform: ImageTransform) -> Tensor:
    """A file, its bytes, or a PIL image -> (3, crop, crop), uint8 RGB.

    Upright by its EXIF orientation, first frame, transparency on white. Raises ``ImageError`` naming the reason.
    """
    with _opened(source) as image:
        return _prepare(image, transform)


def try_image(source: Path | bytes | Image.Image, transform: ImageTransform) -> Tensor | ImageError:
    """As ``load_image``, but the error is the result, so that one bad picture among many ends nothing."""
    try:
        return load_image(source, transform)
    except ImageError as error:
        return error


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """Pictures (3, H, W) -> (B, 3, H, W) with the channels last in memory, as they were decoded and are convolved."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def load_thumbnail(source: Path, side: int) -> bytes:
    """A file, whole, as a JPEG for people: no side longer than ``side`` pixels. Raises ``ImageError`` as above."""
    with _opened(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        small = on_white(ImageOps.exif_transpose(image))
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        Image.fromarray(np.array(small)).save(buffer, "JPEG", quality=80)  # Anew, without the file's metadata.
        return buffer.getvalue()


@contextmanager
def _opened(source: Path | bytes | Image.Image) -> Iterator[Image.Image]:
    if isinstance(source, Image.Image):
        with image_errors():
            check_size(source)
            yield source
    else:
        with open_image(source) as image:
            yield image


def _prepare(image: Image.Image, transform: ImageTransform) -> Tensor:
    # A JPEG can be decoded at half, a quarter or an eighth of its size: several times faster for camera pictures.
    scale = 2 * transform.resize / min(image.size)
    if scale < 1:
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
    image = on_white(ImageOps.exif_transpose(image))
    width, height = image.size
    scale = transform.resize / min(width, height)
    # As torchvision does it: the shorter side exactly, the longer one rounded down.
    size = tuple(transform.resize if side == min(width, height) else int(side * scale) for side in (width, height))
    if size != image.size:
        image = image.resize(size, _RESAMPLING[transform.interpolation])  # type: ignore[arg-type]
    left, top = (round((side - transform.crop) / 2.0) for side in image.size)
    image = image.crop((left, top, left + transform.crop, top + transform.crop))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
