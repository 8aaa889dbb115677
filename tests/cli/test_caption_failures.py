"""A text or a strip that cannot be written is its picture's failure; a full disk is everybody's."""

import csv
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> list[Path]:
    """Three pictures, each in a folder of its own."""
    folders = [tmp_path / "photos" / name for name in "abc"]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        shutil.copy(shapes / "images" / f"{number:06d}.png", folder / "1.png")
    return [folder / "1.png" for folder in folders]


def long_name(picture: Path, length: int) -> Path:
    return picture.rename(picture.with_name("x" * (length - 4) + ".png"))


@pytest.mark.parametrize("existing", ["skip", "overwrite", "append", "prepend"])
def test_a_text_that_cannot_be_written_stops_nothing(
    cli: Any, tiny_run: Path, photos: list[Path], existing: str
) -> None:
    texts = [photo.with_suffix(".txt") for photo in photos]
    texts[1].mkdir()
    command = ["caption", photos[0].parents[1], "-r", "--model", tiny_run, "--sidecar", "-q", "--existing", existing]
    for _ in range(2):  # The second run tries it again.
        finished = cli(*command)
        assert (finished.status, finished.out) == (3, "")
        assert finished.err.splitlines() == [
            f"warning: {photos[1]}: cannot write {texts[1]}: Is a directory",
            "warning: 1 of 3 pictures could not be captioned",
        ]
        assert [text.is_file() for text in texts] == [True, False, True]
        assert not list(photos[0].parents[1].rglob("*.part"))
    texts[1].rmdir()
    assert cli(*command).status == 0
    assert all(len(text.read_text().splitlines()) == 1 for text in texts)


def test_a_text_of_too_long_a_name(cli: Any, tiny_run: Path, photos: list[Path]) -> None:
    photos[0] = long_name(photos[0], 251)
    finished = cli("caption", *photos, "--model", tiny_run, "--sidecar")
    assert finished.status == 3
    assert finished.err.splitlines() == [
        f"warning: {photos[0]}: cannot write {photos[0].with_suffix('.txt')}: File name too long",
        "captioning: 3 of 3 pictures",
        "wrote texts beside 2 of 3 pictures",
        "warning: 1 of 3 pictures could not be captioned",
    ]
    assert [photo.with_suffix(".txt").exists() for photo in photos] == [False, True, True]


def test_a_strip_that_cannot_be_written_stops_nothing(
    cli: Any, tiny_run: Path, photos: list[Path], tmp_path: Path
) -> None:
    looks, output = tmp_path / "looks", tmp_path / "captions.csv"
    photos[0] = long_name(photos[0], 247)
    (looks / "b" / "1.png.png").mkdir(parents=True)
    reasons = ["File name too long", "Is a directory", ""]
    strips = [looks / f"{photo.parent.name}/{photo.name}.png" for photo in photos]
    command = ["caption", *photos, "--model", tiny_run, "--attention", looks, "-o", output, "-q"]
    for _ in range(2):
        finished = cli(*command)
        assert (finished.status, finished.out) == (3, "")
        assert finished.err == "warning: 2 of 3 pictures could not be captioned\n"
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file))
        errors = [f"cannot write {strip}: {why}" if why else "" for strip, why in zip(strips, reasons, strict=True)]
        assert [(row["file"], row["error"]) for row in rows] == list(zip(map(str, photos), errors, strict=True))
        assert [bool(row["caption"]) for row in rows] == [False, False, True]
        assert strips[2].is_file()
    assert (looks / "index.html").read_text().count("<article") == 1
    strips[1].rmdir()
    assert cli(*command).err == "warning: 1 of 3 pictures could not be captioned\n"
    assert strips[1].is_file()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_job(
    cli: Any, tiny_run: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    finished = cli("caption", *photos, "--model", tiny_run, "--sidecar", "-q")
    text = photos[0].with_suffix(".txt")
    assert finished.status == 1
    assert finished.err.splitlines()[0] == f"error: no space left on the device while writing {text}"
    assert not list(text.parent.glob("*.txt*"))
