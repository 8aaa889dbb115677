"""Grey pictures of more than 8 bits, as scanners and instruments make them, are as bright as they look elsewhere."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from captioner.data.images import load_image
from captioner.transform import ImageTransform

SQUARE = ImageTransform(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def grey(data: bytes) -> list[int]:
    """The left and the right half's brightness; all colours are the same."""
    loaded = load_image(data, SQUARE)
    assert (loaded == loaded[:1]).all()
    return loaded[0, 16, [4, 28]].tolist()  # type: ignore[no-any-return]


def halves(left: float, right: float, kind: type[np.generic]) -> Image.Image:
    samples = np.full((64, 64), left, dtype=kind)
    samples[:, 32:] = right
    return Image.fromarray(samples)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_twelve_bits_become_eight() -> None:
    """Two samples in three bytes, and a directory of eight tags before them (TIFF 6.0)."""
    row = (bytes([0xC0, 0x0C, 0x00]) * 16) + (bytes([0x40, 0x04, 0x00]) * 16)
    start = 8 + 2 + 8 * 12 + 4
    tags = [(256, 64), (257, 64), (258, 12), (259, 1), (262, 1), (273, start), (278, 64), (279, len(row) * 64)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + row * 64
    assert grey(data) == [0xC0, 0x40]


def test_sixteen_bits_of_a_tiff_become_eight() -> None:
    assert grey(encoded(halves(0xC012, 0x40FF, np.uint16), "TIFF")) == [0xC0, 0x40]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [(0.75, 1, [191, 255]), (0, 0.25, [0, 63]), (20, 200, [20, 200]), (-5, 300, [0, 255]), (float("nan"), 1, [0, 255])],
)
def test_floats(left: float, right: float, expected: list[int]) -> None:
    assert grey(encoded(halves(left, right, np.float32), "TIFF")) == expected


def test_a_see_through_grey_of_sixteen_bits_is_white() -> None:
    data = encoded(halves(0x3001, 0x3002, np.uint16), "PNG", transparency=0x3001)
    assert grey(data) == [255, 0x30]
