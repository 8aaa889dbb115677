"""A picture's file or bytes -> an opened PIL image, or an ``ImageError`` that names the reason. Imports no torch."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from captioner.data.cloud import is_cloud, read_cloud
from captioner.data.colour import to_srgb
from captioner.data.heic import prepare_heic
from captioner.errors import ImageError, nearest

MAX_PIXELS = 100_000_000
"""A picture with more is refused before it is decoded."""
MAX_BYTES = 2**30
"""A larger file is refused before it is read: even ``MAX_PIXELS``, uncompressed and with 16 bits a sample, are less."""

_BITS_PER_SAMPLE = 0x0102
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


def read_picture(path: Path | str) -> bytes:
    """A file's bytes. Raises ``ImageError`` where there is no file of a picture's size."""
    if is_cloud(path):
        return read_cloud(str(path), MAX_BYTES)
    try:
        status = os.stat(path)  # noqa: PTH116 - a million names stay strings
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder" if os.access(path, os.R_OK | os.X_OK) else "no permission to look into it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is a pipe or a device, not a file")  # Opening it might wait for ever.
        if status.st_size > MAX_BYTES:
            raise ImageError(f"has {status.st_size / 1e6:,.0f} MB; the limit is {MAX_BYTES / 1e6:,.0f}")
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        link = os.path.islink(path)  # noqa: PTH114
        raise ImageError("is a link to a file that is not there" if link else _no_such_file(str(path))) from None
    except PermissionError:
        raise ImageError("no permission to read it") from None
    except (OSError, ValueError) as error:  # A ValueError is a name that no file can have.
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _no_such_file(path: str) -> str:
    """With the nearest name beside it where a folder may be meant; folders of a million pictures are not searched."""
    folder, name = os.path.split(path)
    if not name or os.path.splitext(name)[1]:  # noqa: PTH122
        return "no such file"
    with suppress(OSError), os.scandir(folder or os.curdir) as entries:
        meant = nearest(name, [entry.name for entry in entries if entry.is_dir()])
        return "no such file or folder" + meant.replace("'", f"'{os.path.join(folder, '')}", 1)  # noqa: PTH118
    return "no such file or folder"


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """Open a picture, not yet decoded; what goes wrong while it is in use is an ``ImageError`` too."""
    data = source if isinstance(source, bytes) else read_picture(source)
    if not data:
        raise ImageError("the file is empty")
    with image_errors(), _no_warnings():
        prepare_heic(data)
        with Image.open(io.BytesIO(data)) as image:
            check_image(image)
            yield image


@contextmanager
def image_errors() -> Iterator[None]:
    """Turn whatever opening and decoding raise into an ``ImageError``."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"has far more than {MAX_PIXELS / 1e6:.0f} megapixels, which is the limit") from None
    except UnidentifiedImageError:
        raise ImageError("not a picture in a format that can be read") from None
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"cannot be decoded: {reason}") from None


def check_image(image: Image.Image) -> None:
    """Raise ``ImageError`` for a picture of more than ``MAX_PIXELS``, and for PostScript."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width * height / 1e6:.0f} megapixels; the limit is {MAX_PIXELS / 1e6:.0f}")
    if image.format == "EPS":
        raise ImageError("is PostScript, a program rather than a picture")  # Pillow would have Ghostscript run it.


def orientation(image: Image.Image) -> int:
    """What EXIF says of an opened picture, 1 to 8; 1 is upright."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Broken EXIF raises almost anything; the pixels are what counts.
        return 1
    return value if value in _UPRIGHT else 1


def upright(image: Image.Image) -> Image.Image:
    """Decoded, and turned as EXIF says."""
    image.load()  # Some formats turn themselves here, and then say so.
    turn = _UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def on_white(image: Image.Image, profile: object) -> Image.Image:
    """To RGB, and grey pictures to ``L``; see-through parts become white, and deeper samples 8 bits.

    ``profile``, the colour profile, is what still is to be applied (``to_srgb``), except to CMYK, which is sRGB after.
    """
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _eight_bits(image)
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        see_through = image.convert("RGBA")
        white = Image.new("RGBA", see_through.size, "white")
        return Image.alpha_composite(white, see_through).convert("L" if grey else "RGB")
    if image.mode == "CMYK":  # Its profile is for four inks, so it comes first.
        return to_srgb(image, profile)
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey samples of 16 bits, of as many as a TIFF file says, or floats, from 0 to 1 or to 255 -> ``L``."""
    samples = np.asarray(image)
    if image.mode == "F":
        samples = np.nan_to_num(samples)
        scale = 255 if samples.min() >= 0 and samples.max() <= 1 else 1
        return Image.fromarray((samples * scale).clip(0, 255).astype(np.uint8))
    bits = min(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0], 16)
    levels = (samples.clip(0, 65535) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    if isinstance(see_through := image.info.get("transparency"), int):
        levels[samples == see_through] = 255
    return Image.fromarray(levels)


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
