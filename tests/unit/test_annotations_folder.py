"""A folder of pictures with a text file beside each."""

from pathlib import Path

import pytest
from dataset_files import load, pictures, refusal, write

from captioner.data.annotations import Record

NONE_DRAWN = {"val_fraction": 0.0, "test_fraction": 0.0}


def test_pictures_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, {"b.txt": "one\n\n two \n", "x/y/a.v2.TXT": "three"} | pictures("b.JPG", "x/y/a.v2.png", ".c.jpg"))
    write(tmp_path, {"licences/licence.txt": "no picture here", ".hidden/d.jpg": b""})
    assert load(tmp_path, "folder", **NONE_DRAWN).records == (
        Record("b.JPG", tmp_path / "b.JPG", ("one", "two"), "train"),
        Record("x/y/a.v2.png", tmp_path / "x" / "y" / "a.v2.png", ("three",), "train"),
    )


def test_folders_that_are_splits(tmp_path: Path) -> None:
    files = {"train/a.txt": "x", "validation/a.txt": "y"}
    write(tmp_path, files | pictures("train/a.jpg", "validation/a.jpg"))
    assert load(tmp_path, "folder").sizes() == {"train": 1, "val": 1}
    dataset = load(tmp_path, "folder", images={"test": "train"})
    assert [record.image_id for record in dataset.split("test")] == ["train/a.jpg"]
    write(tmp_path, {"b.txt": "z"} | pictures("b.jpg"))
    assert refusal(tmp_path, "folder")[0] == "ROOT: 1 picture of 3 in no split: b.jpg"


def test_a_linked_folder_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"else/a.txt": "x", "set/b.txt": "y"} | pictures("else/a.jpg", "set/b.jpg"))
    (tmp_path / "set" / "link").symlink_to(tmp_path / "else")
    (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
    dataset = load(tmp_path / "set", "folder", **NONE_DRAWN)
    assert [record.image_id for record in dataset.records] == ["b.jpg", "link/a.jpg"]


def test_a_picture_without_captions(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "x", "b.txt": "\n"} | pictures("a.jpg", "b.jpg", "c.jpg"))
    assert refusal(tmp_path, "folder") == (
        "ROOT: 2 pictures without captions: b.jpg, c.jpg",
        "write captions for them, in a folder as a .txt beside each, or remove them",
    )


def test_captions_without_a_picture(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "x", "b.txt": "y"} | pictures("a.jpg"))
    assert refusal(tmp_path, "folder") == (
        "1 text in ROOT without a picture beside it: b.txt",
        "put the pictures there, or go on without them: --set dataset.allow_missing=true",
    )
    assert load(tmp_path, "folder", allow_missing=True, **NONE_DRAWN).left_out == ("b.txt",)


def test_pictures_that_share_a_text(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "x"} | pictures("a.jpg", "a.png"))
    assert refusal(tmp_path, "folder") == ("ROOT: a.jpg and a.png would share the captions a.txt", "rename one of them")


def test_a_captions_file_makes_no_sense(tmp_path: Path) -> None:
    assert refusal(tmp_path, "folder", captions="captions.csv") == (
        "the format 'folder' has no captions file, but dataset.captions names one",
        "remove dataset.captions, or set dataset.format to the format of that file",
    )


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from captioner.data.formats import folder

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    write(tmp_path, {"a.txt": "x"} | pictures("a.jpg"))
    monkeypatch.setattr(folder.os, "scandir", refuse)
    assert refusal(tmp_path, "folder") == ("cannot list ROOT: Permission denied", "make it readable, and try again")
