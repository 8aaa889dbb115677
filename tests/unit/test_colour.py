"""Colour profiles of strangers: those of grey pictures, and those of any size."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from captioner.data.images import load_image, load_thumbnail
from captioner.transform import ImageTransform

SQUARE = ImageTransform(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def grey_profile() -> bytes:
    """A gamma of 1: the middle grey of light is a light grey to the eye."""
    header = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:128])
    header[16:20] = b"GRAY"
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    start = 128 + 4 + 2 * 12
    tags = b"wtpt" + struct.pack(">II", start, 20) + b"kTRC" + struct.pack(">II", start + 20, 12)
    body = struct.pack(">I", 2) + tags + white + curve
    return struct.pack(">I", 128 + len(body)) + bytes(header[4:]) + body


def swapped_profile(size: int) -> bytes:
    """sRGB with red and green exchanged, and zeros up to ``size`` bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ", 128), profile.index(b"gXYZ", 128)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return struct.pack(">I", size) + bytes(profile[4:]) + bytes(size - len(profile))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colour(data: bytes) -> list[int]:
    return load_image(data, SQUARE)[:, 16, 16].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "P"), ("PNG", "RGBA")])
def test_a_grey_profile_leaves_colours_alone(kind: str, mode: str) -> None:
    image = Image.new("RGB", (64, 64), (250, 20, 20))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    options = {"quality": 95} if kind == "JPEG" else {}
    assert colour(encoded(image, kind, icc_profile=grey_profile(), **options)) == pytest.approx([250, 20, 20], abs=4)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "L"), ("JPEG", "L"), ("PNG", "LA"), ("PNG", "I;16")])
def test_a_grey_profile_is_for_grey_pictures(kind: str, mode: str) -> None:
    image = Image.new("L", (64, 64), 128)
    image = Image.fromarray(np.full((64, 64), 128 << 8, np.uint16)) if mode == "I;16" else image.convert(mode)
    assert colour(encoded(image, kind, icc_profile=grey_profile())) == pytest.approx([188] * 3, abs=2)


def test_a_grey_thumbnail(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("grey") / "grey.png"
    file.write_bytes(encoded(Image.new("L", (64, 64), 128), "PNG", icc_profile=grey_profile()))
    with Image.open(io.BytesIO(load_thumbnail(file, 32))) as small:
        assert (small.mode, small.size) == ("RGB", (32, 32))
        assert small.getpixel((16, 16)) == pytest.approx((188, 188, 188), abs=3)


def test_a_grey_picture_may_bring_a_profile_for_colours() -> None:
    data = encoded(Image.new("L", (64, 64), 128), "JPEG", icc_profile=swapped_profile(10_000))
    assert colour(data)[1] == pytest.approx(128, abs=8)


@pytest.mark.parametrize(("size", "expected"), [(3_900_000, [0, 255, 0]), (4_100_000, [255, 0, 0])])
def test_a_profile_that_is_larger_than_any_is_ignored(size: int, expected: list[int]) -> None:
    data = encoded(Image.new("RGB", (64, 64), (255, 0, 0)), "TIFF", icc_profile=swapped_profile(size))
    assert colour(data) == pytest.approx(expected, abs=8)
