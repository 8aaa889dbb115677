"""What holds for every format: records, splits, missing pictures, and what the user is told."""

import os
import re
from pathlib import Path

import pytest
from dataset_files import load, pictures, refusal, write

from captioner.configfile import parse_config
from captioner.data.annotations import Record
from captioner.data.formats import READERS
from captioner.errors import DatasetError
from captioner.registry import FORMATS

DOCS = Path(__file__).parents[2] / "docs" / "data-formats.md"
HEADER = "image,caption,split\n"


def rows(*names: str, split: str = "") -> str:
    return "".join(f"{name},a caption of {name},{split}\n" for name in names)


def test_every_format_of_the_config_has_a_reader() -> None:
    assert set(READERS) == set(FORMATS)


def test_a_record_is_one_picture_with_all_its_captions(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + "a.jpg, one ,train\na.jpg,two,train\n"} | pictures("images/a.jpg"))
    assert load(tmp_path, "csv").records == (Record("a.jpg", tmp_path / "images" / "a.jpg", ("one", "two"), "train"),)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    remedy = "name its folder: --set dataset.root=FOLDER ('captioner download' fetches a known data set)"
    assert refusal(tmp_path / "no", "csv") == ("the data set's folder ROOT does not exist", remedy)
    write(tmp_path, {"file": ""})
    assert refusal(tmp_path / "file", "folder") == ("the data set's folder ROOT is not a folder", remedy)


def test_a_captions_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path, "csv") == (
        "ROOT has no captions file of the format 'csv' (looked for captions.csv, annotations.csv, metadata.csv)",
        "set dataset.captions to its path relative to dataset.root, or dataset.format to another format",
    )
    assert refusal(tmp_path, "csv", captions="my.csv") == (
        "there is no file ROOT/my.csv",
        "give its path relative to dataset.root, or put the file there",
    )
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path, "csv", captions="folder") == (
        "cannot read ROOT/folder: Is a directory",
        "give the path of a file that you may read",
    )


def test_a_folder_of_pictures_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + rows("a.jpg")})
    assert refusal(tmp_path, "csv", images="photos") == (
        "the folder of the pictures ROOT/photos does not exist",
        "set dataset.images to the folder of the pictures, relative to dataset.root",
    )
    assert refusal(tmp_path, "csv", images={"val": "photos"}) == (
        "dataset.images names no folder for pictures of no split",
        "give one folder for all pictures, or one for each split that dataset.captions names",
    )


def test_no_captions_at_all(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER})
    assert refusal(tmp_path, "csv") == (
        "ROOT/captions.csv has no captions",
        "set dataset.root and dataset.captions to a data set",
    )


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER.encode() + "a.jpg,ein Café,\n".encode("latin-1")})
    assert refusal(tmp_path, "csv") == (
        "ROOT/captions.csv:2: not UTF-8 text",
        "save captions.csv as UTF-8, and try again",
    )


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER + rows("a.jpg", split="train")).replace("\n", "\r\n")
    write(tmp_path, {"captions.csv": text.encode()} | pictures("a.jpg"))
    assert load(tmp_path, "csv").records[0].captions == ("a caption of a.jpg",)


def test_missing_pictures_are_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + rows(*"abcdef", split="train")} | pictures("f"))
    assert refusal(tmp_path, "csv") == (
        "5 of 6 pictures with captions not found in ROOT: a, b, c and 2 more",
        "put them there, or go on without them: --set dataset.allow_missing=true",
    )
    dataset = load(tmp_path, "csv", allow_missing=True)
    assert [record.image_id for record in dataset.records] == ["f"]
    assert [path.name for path in dataset.missing] == list("abcde")
    assert dataset.notes() == ["5 pictures missing on the disk, left out: a, b, c and 2 more"]


def test_missing_pictures_of_several_folders(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + rows("x/a", "x/b", "y/c", split="train")} | pictures("images/x/a"))
    assert refusal(tmp_path, "csv") == (
        "2 of 3 pictures with captions not found in ROOT/images: x/b, y/c",
        "put them there, or go on without them: --set dataset.allow_missing=true",
    )


def test_when_no_picture_is_there_the_folder_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + rows("a", "b")})
    expected = (
        "none of the 2 pictures with captions is in ROOT: a, b",
        "set dataset.images to the folder of the pictures, relative to dataset.root",
    )
    assert refusal(tmp_path, "csv", val_fraction=0.0, test_fraction=0.0) == expected
    assert refusal(tmp_path, "csv", val_fraction=0.0, test_fraction=0.0, allow_missing=True) == expected


def test_pictures_are_looked_for_folder_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}.jpg" for number in range(50)]
    write(tmp_path, {"captions.csv": HEADER + rows(*names)} | pictures(*(f"images/{name}" for name in names)))
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scandir(folder))
    load(tmp_path, "csv")
    assert listed == [tmp_path / "images"]


def test_a_link_to_nothing_is_a_missing_picture(tmp_path: Path) -> None:
    write(tmp_path, {"captions.csv": HEADER + rows("a.jpg", "b.jpg", "c.jpg")} | pictures("images/a.jpg"))
    (tmp_path / "images" / "b.jpg").symlink_to(tmp_path / "images" / "a.jpg")
    (tmp_path / "images" / "c.jpg").symlink_to(tmp_path / "nothing.jpg")
    problem, _ = refusal(tmp_path, "csv")
    assert problem == "1 of 3 pictures with captions not found in ROOT/images: c.jpg"
    found = load(tmp_path, "csv", allow_missing=True)
    assert [file.name for file in found.missing] == ["c.jpg"]


def test_two_pictures_with_one_file(tmp_path: Path) -> None:
    images = [
        {"imgid": number, "filename": "a.jpg", "split": "train", "sentences": [{"raw": "x"}]} for number in range(2)
    ]
    write(tmp_path, {"dataset.json": {"images": images}} | pictures("a.jpg"))
    assert refusal(tmp_path, "karpathy") == (
        "ROOT/dataset.json: two pictures have the same file ROOT/a.jpg: a.jpg and a.jpg",
        "name every picture only once, with an id of its own",
    )


class TestSplit:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        text = HEADER + rows("a", "b", split="train") + rows("c", split="dev")
        write(tmp_path, {"captions.csv": text} | pictures("a", "b", "c"))
        return tmp_path

    @pytest.mark.parametrize("name", ["val", "dev", "valid", "validation", "VAL"])
    def test_a_split_has_several_names(self, root: Path, name: str) -> None:
        assert [record.image_id for record in load(root, "csv").split(name)] == ["c"]

    def test_an_empty_split(self, root: Path) -> None:
        with pytest.raises(DatasetError) as caught:
            load(root, "csv").split("test")
        assert str(caught.value).replace(str(root), "ROOT") == (
            "ROOT/captions.csv: no pictures in the split 'test'\nchoose one of: train (2), val (1)"
        )

    def test_an_unknown_split(self, root: Path) -> None:
        with pytest.raises(DatasetError) as caught:
            load(root, "csv").split("trian")
        assert str(caught.value).replace(str(root), "ROOT") == (
            "ROOT/captions.csv: no split is called 'trian', did you mean 'train'?\nchoose one of: train (2), val (1)"
        )


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL))
def test_the_documentation_shows_valid_configs(block: str) -> None:
    assert parse_config(block, "docs").dataset.format in READERS


@pytest.mark.skipif("CAPTIONER_REAL_DATA" not in os.environ, reason="CAPTIONER_REAL_DATA names no folder of real data")
def test_flickr8k_itself() -> None:
    dataset = load(Path(os.environ["CAPTIONER_REAL_DATA"]) / "flickr8k", "flickr")
    assert dataset.sizes() == {"train": 6000, "val": 1000}
    assert {len(record.captions) for record in dataset.records} == {5}
    assert dataset.missing == ()
    first = dataset.split("dev")[0]
    assert first.image_id == first.file.name == "2090545563_a4e66ec76b.jpg"
