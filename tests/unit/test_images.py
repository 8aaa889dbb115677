"""Any picture becomes the tensor that torchvision's own transform makes of it, or an error that names the reason."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from captioner.data.images import load_image, load_thumbnail, try_image
from captioner.errors import ImageError
from captioner.transform import ImageTransform

SQUARE = ImageTransform(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def painted(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours with some edges, as in a photograph."""
    drawn = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    return Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(image: Image.Image, transform: ImageTransform = SQUARE) -> Tensor:
    """As torchvision's presets do it, up to the point where numbers become floats."""
    how = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}[transform.interpolation]
    resized = TF.resize(image, [transform.resize], interpolation=how, antialias=True)
    return TF.pil_to_tensor(TF.center_crop(resized, [transform.crop]))


def reason(source: Path | bytes | Image.Image) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, SQUARE)
    return caught.value.problem


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(100, 80), (81, 200), (33, 57), (40, 40), (20, 31), (500, 33), (32, 47)], ids=str)
@pytest.mark.parametrize(("resize", "crop"), [(40, 32), (33, 32), (32, 32)])
def test_resize_and_crop_are_torchvision_s(size: tuple[int, int], resize: int, crop: int, interpolation: str) -> None:
    image = painted(*size)
    transform = ImageTransform(resize, crop, (0, 0, 0), (1, 1, 1), interpolation)
    assert torch.equal(load_image(encoded(image, "PNG"), transform), pixels(image, transform))
    assert torch.equal(load_image(image, transform), pixels(image, transform))


@pytest.mark.parametrize(
    "name", ["ResNet50_Weights", "MobileNet_V2_Weights", "Inception_V3_Weights", "ViT_B_16_Weights"]
)
def test_whole_presets(name: str) -> None:
    preset = models.get_weight(f"{name}.DEFAULT").transforms()
    image = painted(500, 375)
    transform = ImageTransform(
        preset.resize_size[0], preset.crop_size[0], tuple(preset.mean), tuple(preset.std), preset.interpolation.value
    )
    loaded = load_image(encoded(image, "JPEG", quality=95), transform)
    again = Image.open(io.BytesIO(encoded(image, "JPEG", quality=95)))
    ready = (loaded / 255 - torch.tensor(transform.mean).view(3, 1, 1)) / torch.tensor(transform.std).view(3, 1, 1)
    torch.testing.assert_close(ready, preset(again), rtol=0, atol=1e-6)


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same() -> None:
    image = painted(1600, 1200)
    data = encoded(image, "JPEG", quality=95)
    whole = pixels(Image.open(io.BytesIO(data)))
    difference = (load_image(data, SQUARE).int() - whole.int()).abs()
    assert difference.float().mean() < 1.0
    assert difference.max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_stand_upright(orientation: int, kind: str) -> None:
    upright = painted(120, 80)
    turned = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in turned[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    loaded = load_image(encoded(stored, kind, exif=exif, **options), SQUARE)
    difference = (loaded.int() - pixels(upright).int()).abs().float().mean()
    assert difference < 3
    if orientation != 1 and kind == "PNG":
        assert (loaded.int() - pixels(stored.resize(upright.size)).int()).abs().float().mean() > difference


def test_grey_is_the_same_in_all_colours() -> None:
    grey = painted(50, 40).convert("L")
    assert torch.equal(load_image(encoded(grey, "PNG"), SQUARE), pixels(grey.convert("RGB")))


def test_black_and_white() -> None:
    image = painted(50, 40).convert("1")
    assert torch.equal(load_image(encoded(image, "PNG"), SQUARE), pixels(image.convert("RGB")))


def test_sixteen_bits_become_eight() -> None:
    numbers = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    loaded = load_image(encoded(Image.fromarray(numbers), "PNG"), SQUARE)
    expected = pixels(Image.fromarray((numbers >> 8).astype(np.uint8)).convert("RGB"))
    assert torch.equal(loaded, expected)
    assert int(loaded.max()) > 240


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (64, 64), (255, 0, 0, 0))  # Cyan.
    red, green, blue = load_image(encoded(image, "JPEG", quality=95), SQUARE)[:, 16, 16].tolist()
    assert red < 60
    assert green > 190
    assert blue > 190


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_see_through_parts_become_white(mode: str) -> None:
    image = Image.new(mode, (64, 64), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.paste((10, 20, 30, 255) if mode == "RGBA" else (20, 255), (0, 0, 64, 32))
    loaded = load_image(encoded(image, "PNG"), SQUARE)
    assert loaded[:, 25, 5].tolist() == [255, 255, 255]
    assert loaded[:, 5, 5].tolist() == ([10, 20, 30] if mode == "RGBA" else [20, 20, 20])


def test_half_see_through_is_mixed_with_white() -> None:
    image = Image.new("RGBA", (64, 64), (0, 100, 200, 128))
    loaded = load_image(encoded(image, "PNG"), SQUARE)[:, 5, 5].tolist()
    assert loaded == pytest.approx([127, 177, 227], abs=1)


def test_palette_with_a_see_through_colour() -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 750)
    image.paste(1, (0, 0, 64, 32))
    loaded = load_image(encoded(image, "PNG", transparency=0), SQUARE)
    assert loaded[:, 25, 5].tolist() == [255, 255, 255]
    assert loaded[:, 5, 5].tolist() == [0, 0, 255]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_several(kind: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert load_image(data, SQUARE)[:, 5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)], ids=str)
def test_the_smallest_pictures(size: tuple[int, int]) -> None:
    assert load_image(encoded(Image.new("RGB", size, "red"), "PNG"), SQUARE).shape == (3, 32, 32)


def test_huge_pictures_are_refused_before_they_are_decoded() -> None:
    data = encoded(Image.new("1", (20_000, 6_000)), "PNG")
    assert reason(data) == "has 120 megapixels; the limit is 100"


def test_a_decompression_bomb_is_refused() -> None:
    """Beyond twice its own limit, Pillow refuses a picture itself."""
    problem = reason(encoded(Image.new("1", (20_000, 10_000)), "PNG"))
    assert problem == "has far more than 100 megapixels, which is the limit"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_a_truncated_file(kind: str, tmp_path: Path) -> None:
    data = encoded(painted(200, 150), kind)
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) // 2])
    assert reason(path).startswith("cannot be decoded: ")
    assert "\n" not in reason(path)


def test_what_is_no_picture(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.jpg", tmp_path / "empty.jpg"
    text.write_text("no picture")
    empty.touch()
    assert reason(text) == "not a picture in a format that Pillow reads"
    assert reason(b"no picture") == "not a picture in a format that Pillow reads"
    assert reason(empty) == "the file is empty"
    assert reason(tmp_path / "none.jpg") == "no such file"
    assert reason(tmp_path) == "is a folder"


def test_a_picture_of_the_caller_s_is_left_as_it_was() -> None:
    image = painted(100, 80)
    before = image.tobytes(), image.size, image.mode
    load_image(image, SQUARE)
    assert (image.tobytes(), image.size, image.mode) == before


def test_files_stay_closed_after_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(painted(40, 40), "PNG"))
    load_image(tmp_path / "a.png", SQUARE)  # An open file would be a ResourceWarning, and so an error.


def test_an_error_as_a_result(tmp_path: Path) -> None:
    error = try_image(tmp_path, SQUARE)
    assert isinstance(error, ImageError)
    assert error.problem == "is a folder"
    assert isinstance(try_image(Image.new("RGB", (40, 40)), SQUARE), torch.Tensor)


def test_thumbnails_are_whole_upright_and_without_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Held upright: to be turned by a quarter.
    exif[0x010E] = "whose picture this is"
    path = tmp_path / "p.jpg"
    painted(1600, 800).save(path, exif=exif)
    data = load_thumbnail(path, 200)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (100, 200))
        assert not image.getexif()
    assert b"whose" not in data


def test_thumbnails_of_small_and_see_through_pictures(tmp_path: Path) -> None:
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(tmp_path / "p.png")
    with Image.open(io.BytesIO(load_thumbnail(tmp_path / "p.png", 200))) as image:
        assert image.size == (30, 20)
        assert image.getpixel((5, 5)) == (255, 255, 255)


def test_thumbnails_of_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        load_thumbnail(tmp_path / "none.jpg", 200)
    assert refusal.value.problem == "no such file"
