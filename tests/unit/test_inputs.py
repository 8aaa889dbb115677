"""What the command line names becomes a list of files in a fixed order, and every mistake is named."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from captioner.errors import UsageError
from captioner.folder.inputs import expand_inputs, refuse_clashes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_a_folder_holds_its_pictures(here: Path) -> None:
    made("b.jpg", "a.JPEG", "c.png", "d.webp", "e.gif", "f.bmp", "g.tif", "h.tiff", "i.avif", "j.heic", "k.HEIF")
    made("notes.txt", "jpg", "raw.cr2", "more/l.jpg")
    names = ["a.JPEG", "b.jpg", "c.png", "d.webp", "e.gif", "f.bmp", "g.tif", "h.tiff", "i.avif", "j.heic", "k.HEIF"]
    assert expand_inputs(["."]) == names
    assert expand_inputs([str(here)]) == [str(here / name) for name in names]


def test_sub_folders_come_after_and_in_order(here: Path) -> None:
    made("z.jpg", "b/2.jpg", "b/1.jpg", "a/3.jpg", "a/deep/4.jpg", "a.b/5.jpg")
    assert expand_inputs(["."]) == ["z.jpg"]
    assert expand_inputs(["."], recursive=True) == [
        "z.jpg", "a/3.jpg", "a/deep/4.jpg", "a.b/5.jpg", "b/1.jpg", "b/2.jpg",
    ]  # fmt: skip


def test_nothing_hidden_and_a_folder_named_like_a_picture_is_a_folder(here: Path) -> None:
    made("a.jpg", "._a.jpg", ".thumbs/b.jpg", "album.jpg/c.jpg")
    assert expand_inputs(["."]) == ["a.jpg"]
    assert expand_inputs(["."], recursive=True) == ["a.jpg", "album.jpg/c.jpg"]
    assert expand_inputs([".thumbs", "._a.jpg"]) == [".thumbs/b.jpg", "._a.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_folders_are_followed_once(here: Path) -> None:
    made("real/a.jpg", "other/b.jpg")
    Path("real/loop").symlink_to(here / "real")
    Path("real/other").symlink_to(here / "other")
    Path("real/gone.jpg").symlink_to("nothing")
    assert expand_inputs(["real"], recursive=True) == ["real/a.jpg", "real/gone.jpg", "real/other/b.jpg"]


def test_patterns_are_sorted_and_those_without_a_match_are_kept(here: Path) -> None:
    made("b.jpg", "a.jpg", ".c.jpg", "more/d.jpg", "dir.jpg/e.png")
    assert expand_inputs(["*.jpg"]) == ["a.jpg", "b.jpg"]
    assert expand_inputs(["./[ab].jpg", "**/*.jpg"]) == ["a.jpg", "b.jpg", "a.jpg", "b.jpg", "more/d.jpg"]
    assert expand_inputs(["*.gif", "a.jpg"]) == ["a.jpg", "*.gif"]
    with pytest.raises(UsageError, match=r"no pictures in \*.gif"):
        expand_inputs(["*.gif"])


def test_a_file_that_is_there_is_no_pattern(here: Path) -> None:
    made("a[1].jpg", "a1.jpg")
    assert expand_inputs(["a[1].jpg"]) == ["a[1].jpg"]


def test_names_that_cannot_be_are_kept_to_be_named(here: Path) -> None:
    assert expand_inputs(["none.jpg", "x" * 300]) == ["none.jpg", "x" * 300]


def test_a_list_on_standard_input(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"b.jpg\n\n./a [1].jpg\r\n\xff.jpg\nsome folder"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    assert expand_inputs(["first.jpg", "-", "last.jpg"]) == [
        "first.jpg", "b.jpg", "a [1].jpg", os.fsdecode(b"\xff.jpg"), "some folder", "last.jpg",
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(here: Path) -> None:
    made("a.jpg", "secret/b.jpg")
    Path("secret").chmod(0)
    try:
        assert expand_inputs(["."], recursive=True) == ["a.jpg", "./secret"]
    finally:
        Path("secret").chmod(0o700)


def test_clashes_name_both() -> None:
    refuse_clashes(["a/1.jpg", "a/2.jpg"], str, "{} {}", "")
    with pytest.raises(UsageError) as caught:
        refuse_clashes(["a/1.jpg", "b/2.jpg", "b/1.jpg"], lambda name: name[2:], "{} would be {}", "rename one")
    assert (caught.value.problem, caught.value.remedy) == ("a/1.jpg and b/1.jpg would be 1.jpg", "rename one")
