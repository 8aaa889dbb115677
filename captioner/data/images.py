"""Pictures -> tensors: the only image transform in the project, for training and captioning alike."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from captioner.data.colour import to_srgb
from captioner.data.heic import prepare_heic
from captioner.errors import ImageError
from captioner.transform import ImageTransform

MAX_PIXELS = 100_000_000
"""A picture with more is refused before it is decoded."""
MAX_BYTES = 2**30
"""A larger file is refused before it is read: even ``MAX_PIXELS``, uncompressed and with 16 bits a sample, are less."""

Source = Path | bytes | Image.Image | npt.NDArray[np.uint8] | Tensor
"""A file, its bytes, a PIL image, an array (H, W, 3) or a tensor (3, H, W), both uint8 RGB."""

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""


def load_image(source: Source, transform: ImageTransform) -> Tensor:
    """A picture -> (3, crop, crop), uint8 sRGB.

    Upright by its EXIF orientation, first frame, transparency on white. Raises ``ImageError`` naming the reason.
    """
    data = read_picture(source) if isinstance(source, Path) else source
    try:
        if not isinstance(data, bytes):
            return _prepare(data if isinstance(data, Image.Image) else _from_numbers(data), transform)
        prepare_heic(data)
        with _no_warnings(), Image.open(io.BytesIO(data)) as image:
            _check_size(image)
            _decode_smaller(image, transform)
            return _prepare(image, transform)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"has far more than {MAX_PIXELS / 1e6:.0f} megapixels, which is the limit") from None
    except UnidentifiedImageError:
        raise ImageError("not a picture in a format that Pillow reads") from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}") from None


def try_image(source: Source, transform: ImageTransform) -> Tensor | ImageError:
    """As ``load_image``, but the error is the result, so that one bad picture among many ends nothing."""
    try:
        return load_image(source, transform)
    except ImageError as error:
        return error


def read_picture(path: Path | str) -> bytes:
    """A file's bytes. Raises ``ImageError`` where there is no file of a picture's size."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a million names stay strings
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder" if os.access(path, os.R_OK | os.X_OK) else "no permission to look into it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is a pipe or a device, not a file")  # Opening it might wait for ever.
        if status.st_size > MAX_BYTES:
            raise ImageError(f"has {status.st_size / 1e6:,.0f} MB; the limit is {MAX_BYTES / 1e6:,.0f}")
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        link = os.path.islink(path)  # noqa: PTH114
        raise ImageError("is a link to a file that is not there" if link else "no such file") from None
    except PermissionError:
        raise ImageError("no permission to read it") from None
    except (OSError, ValueError) as error:  # A ValueError is a name that no file can have.
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise ImageError("the file is empty")
    return data


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS / 1e6:.0f}")
    if image.format == "EPS":
        raise ImageError("is PostScript, a program rather than a picture")  # Pillow would have Ghostscript run it.


def _decode_smaller(image: Image.Image, transform: ImageTransform) -> None:
    """A JPEG can be decoded at half, a quarter or an eighth of its size: several times faster for camera pictures."""
    width, height = image.size
    scale = 2 * transform.resize / min(width, height)
    if scale < 1:
        image.draft("RGB", (round(width * scale), round(height * scale)))


def _from_numbers(numbers: npt.NDArray[np.uint8] | Tensor) -> Image.Image:
    shape, dtype = tuple(numbers.shape), str(numbers.dtype).removeprefix("torch.")
    if isinstance(numbers, Tensor):
        if dtype != "uint8" or len(shape) != 3 or shape[0] != 3:
            raise ImageError(f"a tensor must be (3, H, W), uint8; this one is {shape}, {dtype}")
        return Image.fromarray(numbers.permute(1, 2, 0).cpu().numpy())
    if dtype != "uint8" or len(shape) != 3 or shape[2] != 3:
        raise ImageError(f"an array must be (H, W, 3), uint8; this one is {shape}, {dtype}")
    return Image.fromarray(numbers)


def _prepare(image: Image.Image, transform: ImageTransform) -> Tensor:
    _check_size(image)
    profile = image.info.get("icc_profile")
    image = _on_white(_upright(image), profile)
    width, height = image.size
    scale = transform.resize / min(width, height)
    # As torchvision does it: the shorter side exactly, the longer one rounded down.
    size = tuple(transform.resize if side == min(width, height) else int(side * scale) for side in (width, height))
    if size != image.size:
        image = image.resize(size, _RESAMPLING[transform.interpolation])  # type: ignore[arg-type]
    left, top = (round((side - transform.crop) / 2.0) for side in image.size)
    image = image.crop((left, top, left + transform.crop, top + transform.crop))
    return torch.from_numpy(np.array(to_srgb(image, profile))).permute(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # Some formats turn themselves here, and then say so.
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Broken EXIF raises almost anything; the pixels are what counts.
        turn = None
    return image if turn is None else image.transpose(turn)


def _on_white(image: Image.Image, profile: object) -> Image.Image:
    """To RGB; see-through parts become white, and 16 bits a sample become 8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        see_through = image.convert("RGBA")
        white = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(white, see_through).convert("RGB")
    if image.mode == "CMYK":  # Its profile is for four inks, so it comes first.
        return to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


_quiet_lock = threading.Lock()
_quiet_threads = 0
_quiet = warnings.catch_warnings()


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns of odd metadata; the pixels are what counts here.

    Python's warnings are one for all threads, so the first to begin silences them, and the last to end undoes it.
    """
    global _quiet, _quiet_threads
    with _quiet_lock:
        if _quiet_threads == 0:
            _quiet = warnings.catch_warnings()
            _quiet.__enter__()
            warnings.simplefilter("ignore")
        _quiet_threads += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_threads -= 1
            if _quiet_threads == 0:
                _quiet.__exit__(None, None, None)
