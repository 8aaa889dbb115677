"""A folder of 300 hostile files, made by rule: every good one is captioned, every bad one named, and nothing else."""

import io
import json
import os
import random
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there"),
]
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]
MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "I;16", "P", "RGB", "RGBA"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["L", "P", "RGB"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "LA", "I;16", "P", "RGB", "RGBA", "CMYK", "YCbCr"],
    "AVIF": ["RGB", "RGBA"],
}
ODD = [
    b"new\nline",
    b"tab\there",
    b"\xff\xfe",
    b"\xe4rger",
    b"back\\slash",
    b"'quote\"",
    b"-rf",
    b"*?[x]",
    b" ",
    b"%s{}",
]
ODD += ["😀".encode(), "👩‍🚀".encode(), "e\u0301".encode(), b"\x1b[31m", b"\r", b"a" * 245, b"a.b.c", b"$HOME;ls", b"~"]


def painted(mode: str, seed: int) -> Image.Image:
    drawn = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    image = Image.fromarray(drawn).resize((150, 120), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert("L").convert(mode) if mode == "LA" else image.convert(mode)


def encoded(kind: str, mode: str = "RGB", seed: int = 0, **options: object) -> bytes:
    stream = io.BytesIO()
    painted(mode, seed).save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bombs() -> list[bytes]:
    """Few bytes that would become many."""
    found = []
    for width, height in ((20_000, 6_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        pixels = zlib.compress(bytes(min(height, 20_000) * (min(width, 30_000) // 8 + 1)), 9)
        found.append(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    png = encoded("PNG")
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9))
    found.append(png[:33] + text * 3 + png[33:])  # Text that unpacks to 150 MB, before the pixels.
    jpeg = bytearray(encoded("JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = b"\xff\xff\xff\xff"
    gif = bytearray(encoded("GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    return [*found, bytes(jpeg), bytes(gif), bytes(bmp)]


def readable(data: bytes) -> bool:
    """What Pillow itself makes of it, without captioner."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[bytes, bool]]:
    """The folder, and for each name whether it is a good picture."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    top = os.fsencode(folder)
    good: dict[bytes, bool] = {}

    def put(name: bytes, data: bytes, is_good: bool) -> None:
        assert name not in good
        Path(os.fsdecode(top + b"/" + name)).write_bytes(data)
        good[name] = is_good

    for kind in KINDS:
        suffix = kind.lower().encode()
        for mode in MODES[kind]:
            put(b"good-" + mode.replace(";", "").encode() + b"." + suffix, encoded(kind, mode, len(good)), True)
        whole = encoded(kind)
        draw = random.Random(kind)
        cuts = {1, 2, 4, 8, 12, 16, 20, 26, 33, 64, 100, 200, len(whole) // 2, len(whole) * 9 // 10}
        cuts |= {len(whole) - less for less in (1, 2, 12, 13, 40)} | {draw.randrange(1, len(whole)) for _ in range(8)}
        for cut in sorted(cuts):
            put(b"cut-%05d." % cut + suffix, whole[:cut], readable(whole[:cut]))
        wrong = KINDS[KINDS.index(kind) - 1].lower().encode()
        put(b"really-" + suffix + b"." + wrong, encoded(kind, seed=len(good)), True)
    for number, name in enumerate(ODD):
        put(name + b".jpg", encoded("JPEG", seed=1000 + number), True)
        if len(name) < 200:
            put(name + b" bad.jpg", b"no picture", False)
    frames = [painted("RGB", seed) for seed in (1, 2, 3)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        stream = io.BytesIO()
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
        put(b"moving." + kind.lower().encode(), stream.getvalue(), True)
    for number, data in enumerate(bombs()):
        put(b"bomb-%d.png" % number, data, False)
    for number, data in enumerate(
        (b"", b"\0" * 10_000, b"<html>", b"%PDF-1.7\n", b"PK\3\4", b"\x7fELF", b"GIF89a", b"BM")
    ):
        put(b"other-%d.jpeg" % number, data, False)
    for name, broken in (
        (b"exif", {"exif": b"Exif\0\0MM\0*\xff\xff\xff\xff"}),
        (b"profile", {"icc_profile": b"x" * 500}),
    ):
        for kind in ("JPEG", "PNG", "WEBP"):
            put(b"odd-" + name + b"." + kind.lower().encode(), encoded(kind, **broken), True)
    for name, to in ((b"gone.png", "nothing"), (b"loop.png", "loop.png")):
        Path(os.fsdecode(top + b"/" + name)).symlink_to(to)
        good[name] = False
    os.mkfifo(top + b"/pipe.png")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(folder / "socket.png"))
    good |= {b"pipe.png": False, b"socket.png": False}
    for name in ("folder.jpg", "folder.png"):
        (folder / name).mkdir()
    if os.geteuid() != 0:
        put(b"secret.jpg", encoded("JPEG"), False)
        (folder / "secret.jpg").chmod(0)
    while len(good) < 300:
        put(b"noise-%03d.jpg" % len(good), random.Random(len(good)).randbytes(500), False)
    return folder, good


def last_line(text: str) -> str:
    """Without the time; before it there is at most the warning that so small a model says the same of everything."""
    *before, last = text.splitlines()
    assert all(line[9:].startswith("warning: captions hardly differ") for line in before)
    return last[9:]


def test_a_hostile_folder(folder: tuple[Path, dict[bytes, bool]], tiny_run: Path, tmp_path: Path) -> None:
    where, good = folder
    assert len(good) >= 300
    output = tmp_path / "captions.jsonl"
    command = [sys.executable, "-m", "captioner", "caption", str(where), "--model", str(tiny_run), "--quiet"]
    finished = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, check=False)
    failed = sum(not is_good for is_good in good.values())
    said = f"warning: {failed} of {len(good)} pictures could not be captioned"
    assert last_line(finished.stderr) == said
    assert (finished.returncode, finished.stdout) == (3, "")
    rows = {}
    for line in output.read_text().split("\n")[:-1]:
        row = json.loads(line)
        rows[os.path.basename(os.fsencode(row["file"]))] = row  # noqa: PTH119
    assert rows.keys() == good.keys()
    for name, is_good in good.items():
        row = rows[name]
        assert bool(row["caption"]) == (row["log_prob"] is not None) == is_good, row
        assert bool(row["error"]) != is_good, row
        assert row["error"].isprintable(), row
    piped = subprocess.run(command, capture_output=True, check=False)
    assert (piped.returncode, last_line(piped.stderr.decode())) == (3, said)
    assert len(piped.stdout.splitlines()) >= len(good)
