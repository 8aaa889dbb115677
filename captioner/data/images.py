"""Pictures -> tensors: the only image transform in the project, for training and captioning alike.

Thumbnails for people are read in the same way.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from captioner.data.colour import to_srgb
from captioner.data.decoding import check_image, image_errors, on_white, open_image, upright
from captioner.errors import ImageError
from captioner.transform import ImageTransform

Source = Path | bytes | Image.Image | npt.NDArray[np.uint8] | Tensor
"""A file, its bytes, a PIL image, an array (H, W, 3) or a tensor (3, H, W), both uint8 RGB."""

_STRIP = 16  # How many times as long as wide: far more than a crop shows.
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def load_image(source: Source, transform: ImageTransform) -> Tensor:
    """A picture -> (3, crop, crop), uint8 sRGB.

    Upright by its EXIF orientation, first frame, transparency on white. Raises ``ImageError`` naming the reason.
    """
    if isinstance(source, Path | bytes):
        with open_image(source) as image:
            _decode_smaller(image, transform)
            return _prepare(image, transform)
    with image_errors():
        image = source if isinstance(source, Image.Image) else _from_numbers(source)
        check_image(image)
        return _prepare(image, transform)


def try_image(source: Source, transform: ImageTransform) -> Tensor | ImageError:
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
    with open_image(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        profile = image.info.get("icc_profile")
        small = on_white(upright(image), profile)
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        # Anew, without the file's metadata.
        Image.fromarray(np.array(to_srgb(small, profile))).save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def _decode_smaller(image: Image.Image, transform: ImageTransform) -> None:
    """A JPEG can be decoded at half, a quarter or an eighth of its size: several times faster for camera pictures."""
    width, height = image.size
    scale = 2 * transform.resize / min(width, height)
    if scale < 1:
        image.draft("RGB", (round(width * scale), round(height * scale)))


def _from_numbers(numbers: npt.NDArray[np.uint8] | Tensor) -> Image.Image:
    if not isinstance(numbers, np.ndarray | Tensor):
        known = "a path, bytes, a PIL image, an array or a tensor"
        raise ImageError(f"a picture must be {known}; this one is of type {type(numbers).__name__}")
    shape, dtype = tuple(numbers.shape), str(numbers.dtype).removeprefix("torch.")
    if isinstance(numbers, Tensor):
        if dtype != "uint8" or len(shape) != 3 or shape[0] != 3:
            raise ImageError(f"a tensor must be (3, H, W), uint8 from 0 to 255; this one is {shape}, {dtype}")
        return Image.fromarray(numbers.permute(1, 2, 0).cpu().numpy())
    if dtype != "uint8" or len(shape) != 3 or shape[2] != 3:
        raise ImageError(f"an array must be (H, W, 3), uint8 from 0 to 255; this one is {shape}, {dtype}")
    return Image.fromarray(numbers)


def _middle(image: Image.Image) -> Image.Image:
    """Without the ends of a long strip, which the crop leaves out: resized with them, it may need gigabytes."""
    shorter, longer = sorted(image.size)
    ends = (longer - _STRIP * shorter) // 2
    if ends <= 0:
        return image
    width, height = image.size
    return image.crop((ends, 0, width - ends, height) if width > height else (0, ends, width, height - ends))


def _prepare(image: Image.Image, transform: ImageTransform) -> Tensor:
    profile = image.info.get("icc_profile")
    image = _middle(on_white(upright(image), profile))
    width, height = image.size
    scale = transform.resize / min(width, height)
    # As torchvision does it: the shorter side exactly, the longer one rounded down.
    size = tuple(transform.resize if side == min(width, height) else int(side * scale) for side in (width, height))
    if size != image.size:
        image = image.resize(size, _RESAMPLING[transform.interpolation])  # type: ignore[arg-type]
    left, top = (round((side - transform.crop) / 2.0) for side in image.size)
    image = image.crop((left, top, left + transform.crop, top + transform.crop))
    return torch.from_numpy(np.array(to_srgb(image, profile))).permute(2, 0, 1)
