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
    made("b.jpg", "a.jpg", ".c.jpg", "more/d.jpg", "more/.e/f.jpg", "[x]/g.jpg")
    assert expand_inputs(["*.jpg"]) == ["a.jpg", "b.jpg"]
    deep = ["[x]/g.jpg", "a.jpg", "b.jpg", "more/d.jpg"]
    assert expand_inputs(["./[ab].jpg", "**/*.jpg"]) == ["a.jpg", "b.jpg", *deep]
    assert expand_inputs(["**"]) == expand_inputs(["**/**"]) == deep
    assert expand_inputs(["**/more/**/*.jpg"]) == expand_inputs(["more**/*.jpg"]) == ["more/d.jpg"]
    assert expand_inputs([f"{here}/**/d.*"]) == [str(here / "more" / "d.jpg")]
    assert expand_inputs(["b.jpg", "*.gif", "a.jpg"]) == ["b.jpg", "*.gif", "a.jpg"]
    with pytest.raises(UsageError, match=r"no pictures in \*.gif, \*\*/x"):
        expand_inputs(["*.gif", "**/x"])


def test_folders_that_a_pattern_matches_are_looked_into(here: Path) -> None:
    made("2023/b.jpg", "2023/a.png", "2023/notes.txt", "2024/more/c.jpg", "20.jpg", "album.jpg/d.jpg", "20-empty/x.txt")
    assert expand_inputs(["20*"]) == ["20.jpg", "2023/a.png", "2023/b.jpg"]
    assert expand_inputs(["20*"], recursive=True) == ["20.jpg", "2023/a.png", "2023/b.jpg", "2024/more/c.jpg"]
    assert expand_inputs(["*.jpg"]) == ["20.jpg", "album.jpg/d.jpg"]
    assert expand_inputs(["**/more"]) == ["2024/more/c.jpg"]
    with pytest.raises(UsageError, match=r"no pictures in 20-\*"):
        expand_inputs(["20-*"])


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_patterns_follow_links_to_folders_once(here: Path) -> None:
    made("q.jpg", "s/z.jpg", "other/b.jpg")
    for name in ("s/loop", "s/again"):  # Either way, for ever.
        Path(name).symlink_to(here)
    Path("s/other").symlink_to(here / "other")
    pictures = ["other/b.jpg", "q.jpg", "s/z.jpg"]
    assert expand_inputs(["**/*.jpg"]) == expand_inputs(["**"]) == pictures
    assert sorted(expand_inputs(["**"], recursive=True)) == sorted(expand_inputs(["."], recursive=True)) == pictures


def test_strips_of_an_earlier_run_are_left_out(here: Path) -> None:
    made("a.jpg", "looks/a.jpg.png", "looks/more/b.HEIC.png", "looks2/a.jpg.png", "looks/mine.png", "b.jpg.png")
    kept = ["a.jpg", "b.jpg.png", "looks/mine.png", "looks2/a.jpg.png"]
    for given in ("looks", "./looks/", str(here / "looks")):
        assert expand_inputs(["."], True, Path(given)) == kept
        assert expand_inputs(["**"], True, Path(given)) == kept
        assert expand_inputs(["looks/a.jpg.png"], True, Path(given)) == ["looks/a.jpg.png"]
    assert len(expand_inputs(["."], True)) == 6


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
