"""Any picture becomes the tensor that torchvision's own transform makes of it, or an error that names the reason."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from captioner.data import heic
from captioner.data.images import Source, load_image, load_thumbnail, try_image
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


def reason(source: Source) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, SQUARE)
    return caught.value.problem


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 2_001), (40, 5_000)], ids=str)
def test_a_strip_takes_no_more_memory_than_its_middle(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    strip, resized, resize = painted(*size), [], Image.Image.resize

    def noted(image: Image.Image, to: tuple[int, int], *others: object) -> Image.Image:
        resized.append(max(to))
        return resize(image, to, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "resize", noted)
        found = load_image(strip, SQUARE)
    assert max(resized, default=0) < 20 * SQUARE.resize
    if min(size) >= 32:  # Of the others torchvision would make gigabytes.
        assert (found.int() - pixels(strip).int()).abs().max() <= 12  # Another place by a fraction of a pixel.


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
    assert reason(text) == "not a picture in a format that can be read"
    assert reason(b"no picture") == "not a picture in a format that can be read"
    assert reason(empty) == "the file is empty"
    assert reason(tmp_path / "none.jpg") == "no such file"
    assert reason(tmp_path / "none") == "no such file or folder"
    (tmp_path / "holiday").mkdir()
    assert reason(tmp_path / "holidays") == f"no such file or folder, did you mean '{tmp_path}/holiday'?"
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_each_format_is_read(kind: str) -> None:
    image = painted(64, 64)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind in ("JPEG", "AVIF") else {}
    difference = (load_image(encoded(image, kind, **options), SQUARE).int() - pixels(image).int()).abs().float().mean()
    assert difference < (8 if kind in ("JPEG", "AVIF", "GIF") else 0.01)


def test_an_orientation_that_a_tiff_undoes_itself() -> None:
    upright = painted(120, 80)
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={0x0112: 6})
    assert torch.equal(load_image(data, SQUARE), pixels(upright))


def test_broken_exif_is_ignored() -> None:
    image = painted(40, 40)
    data = encoded(image, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert torch.equal(load_image(data, SQUARE), pixels(image))


def test_sixteen_bits_a_colour_become_eight() -> None:
    colours = np.random.default_rng(1).integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    expected = pixels(Image.fromarray((colours >> 8).astype(np.uint8)))
    assert torch.equal(load_image(data, SQUARE), expected)


def test_postscript_is_not_run() -> None:
    assert reason(encoded(painted(40, 40), "EPS")) == "is PostScript, a program rather than a picture"


def test_arrays_and_tensors() -> None:
    image = painted(50, 40)
    array = np.asarray(image)
    assert torch.equal(load_image(array, SQUARE), pixels(image))
    assert torch.equal(load_image(torch.from_numpy(array.copy()).permute(2, 0, 1), SQUARE), pixels(image))
    for numbers, problem in (
        (array[..., 0], "an array must be (H, W, 3), uint8 from 0 to 255; this one is (40, 50), uint8"),
        (array / 255, "an array must be (H, W, 3), uint8 from 0 to 255; this one is (40, 50, 3), float64"),
        (torch.zeros(3, 4, 5), "a tensor must be (3, H, W), uint8 from 0 to 255; this one is (3, 4, 5), float32"),
        (
            torch.zeros(4, 5, 3, dtype=torch.uint8),
            "a tensor must be (3, H, W), uint8 from 0 to 255; this one is (4, 5, 3), uint8",
        ),
    ):
        assert reason(numbers) == problem


def test_a_jpeg_that_the_caller_opened_keeps_its_size() -> None:
    with Image.open(io.BytesIO(encoded(painted(1600, 1200), "JPEG"))) as image:
        load_image(image, SQUARE)
        assert image.size == (1600, 1200)


def test_pipes_and_links_to_nothing(tmp_path: Path) -> None:
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.jpg")
        assert reason(tmp_path / "pipe.jpg") == "is a pipe or a device, not a file"
        (tmp_path / "link.jpg").symlink_to(tmp_path / "none.jpg")
        assert reason(tmp_path / "link.jpg") == "is a link to a file that is not there"
    assert reason(Path("a\0b.jpg")) == "cannot be read: embedded null byte"
    with (tmp_path / "long.jpg").open("wb") as file:
        file.truncate(2**30 + 1)
    assert reason(tmp_path / "long.jpg") == "has 1,074 MB; the limit is 1,074"


def test_warnings_of_many_threads_are_silent_and_then_as_they_were() -> None:
    """Python's filters are one for all threads: each leaving on its own would undo what another one needs."""
    data = encoded(painted(40, 40), "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert all(isinstance(one, Tensor) for one in pool.map(lambda _: try_image(data, SQUARE), range(200)))
    assert warnings.filters == before


# --- Headers that lie: a picture of 60,000 x 60,000 would take 10 GB; what refuses it must not even ask for them.


def lying(kind: str) -> bytes:
    """A small picture whose header says 60,000 x 60,000, or as much as its format can."""
    data = bytearray(encoded(painted(64, 64), kind, **({"lossless": True} if kind == "WEBP" else {})))
    width = 60_000
    if kind == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", width, width)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", width, width)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "GIF":  # The frame, rather than the screen.
        place = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1)) + 5
        data[place : place + 4] = struct.pack("<HH", width, width)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, width)
    elif kind == "WEBP":  # VP8L: 14 bits for each side.
        place = data.index(b"VP8L") + 9
        (bits,) = struct.unpack_from("<I", data, place)
        struct.pack_into("<I", data, place, bits & 0xF0000000 | 0x3FFF << 14 | 0x3FFF)
    elif kind == "TIFF":
        (place,) = struct.unpack_from("<I", data, 4)
        for tag in range(struct.unpack_from("<H", data, place)[0]):
            entry = place + 2 + 12 * tag
            if struct.unpack_from("<H", data, entry)[0] in (256, 257):
                struct.pack_into("<HII", data, entry + 2, 4, 1, width)
    elif kind == "AVIF":
        place = data.index(b"ispe") + 8
        data[place : place + 8] = struct.pack(">II", width, width)
    return bytes(data)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such measure there")
def test_headers_that_lie_are_refused_without_the_memory(tmp_path: Path) -> None:
    kinds = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"]
    for kind in kinds:
        (tmp_path / kind).write_bytes(lying(kind))
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from captioner.data.images import try_image\nfrom captioner.transform import ImageTransform\n"
        "for file in sys.argv[1:]:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    error = try_image(Path(file), ImageTransform(32, 32, (0, 0, 0), (1, 1, 1)))\n"
        "    print(getattr(error, 'problem', error))\n"
        "    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, file\n"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / kind) for kind in kinds)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    refused = ("has far more than 100 megapixels", "not a picture in a format", "cannot be decoded: ")
    problems = finished.stdout.splitlines()
    assert len(problems) == len(kinds)
    assert all(problem.startswith(refused) for problem in problems), problems
    assert sum(problem.startswith(refused[0]) for problem in problems) >= 5, problems


# --- Colour profiles


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and green exchanged: what it means by red is green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ", 128), profile.index(b"gXYZ", 128)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_is_converted_to_srgb(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(Image.new("RGB", (64, 64), (255, 0, 0)), kind, icc_profile=swapped_profile(), **options)
    red, green, blue = load_image(data, SQUARE)[:, 16, 16].tolist()
    assert (red < 10, green > 245, blue < 10) == (True, True, True)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_profile_of_a_picture_of_another_mode(mode: str) -> None:
    image = Image.new("RGB", (64, 64), (255, 0, 0)).convert(mode)
    loaded = load_image(encoded(image, "PNG", icc_profile=swapped_profile()), SQUARE)
    assert loaded[:, 16, 16].tolist() == pytest.approx([0, 255, 0], abs=8)


def test_srgb_is_left_as_it_is() -> None:
    image = painted(100, 80)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert torch.equal(load_image(encoded(image, "PNG", icc_profile=profile), SQUARE), pixels(image))


@pytest.mark.parametrize("profile", [b"broken", b"\0" * 16 + b"RGB " + b"\0" * 200, swapped_profile()[:300]], ids=len)
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    image = painted(100, 80)
    assert torch.equal(load_image(encoded(image, "PNG", icc_profile=profile), SQUARE), pixels(image))


def test_a_profile_of_other_colours_is_ignored() -> None:
    """A picture in four inks with a profile for three."""
    image = Image.new("CMYK", (64, 64), (0, 0, 0, 0))
    assert load_image(encoded(image, "JPEG", icc_profile=swapped_profile()), SQUARE)[:, 5, 5].tolist() == [255] * 3


# --- HEIC

HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"the rest"


def test_heic_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic._register.cache_clear()
    assert reason(HEIC) == "is a HEIC picture, which is read after: pip install 'captioner[heic]'"
    heic._register.cache_clear()


def test_heic_is_looked_for_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = []
    module = SimpleNamespace(register_heif_opener=lambda: registered.append(1))
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    heic._register.cache_clear()
    load_image(encoded(painted(40, 40), "PNG"), SQUARE)
    load_image(encoded(painted(40, 40), "AVIF"), SQUARE)
    assert registered == []
    for _ in range(2):
        assert reason(HEIC) == "not a picture in a format that can be read"  # The stand-in reads nothing.
    assert registered == [1]
    heic._register.cache_clear()


def test_heic_with_its_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    pillow_heif.register_heif_opener()
    image = painted(64, 64)
    assert (load_image(encoded(image, "HEIF", quality=95), SQUARE).int() - pixels(image).int()).abs().float().mean() < 8


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


def test_thumbnails_are_srgb(tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (64, 64), (255, 0, 0)), "PNG", icc_profile=swapped_profile())
    (tmp_path / "p.png").write_bytes(data)
    with Image.open(io.BytesIO(load_thumbnail(tmp_path / "p.png", 32))) as image:
        assert image.getpixel((5, 5)) == pytest.approx((0, 255, 0), abs=10)
        assert "icc_profile" not in image.info


def test_thumbnails_of_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as refusal:
        load_thumbnail(tmp_path / "none.jpg", 200)
    assert refusal.value.problem == "no such file"
