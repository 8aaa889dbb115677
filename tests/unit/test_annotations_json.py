"""COCO's and Karpathy's captions files."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import load, pictures, refusal, write

from captioner.data.annotations import Record


def coco(*names: str, start: int = 1, captions: int = 2) -> dict[str, list[dict[str, Any]]]:
    ids = range(start, start + len(names))
    return {
        "images": [{"id": image_id, "file_name": name} for image_id, name in zip(ids, names, strict=True)],
        "annotations": [
            {"id": image_id * 10 + number, "image_id": image_id, "caption": f" Caption {number} of {image_id}.\n"}
            for number in range(captions)
            for image_id in ids
        ],
    }


def karpathy(**changes: Any) -> dict[str, Any]:
    image = {"filepath": "val2014", "filename": "a.jpg", "cocoid": 42, "imgid": 0, "split": "restval"}
    sentences = [{"raw": "A dog. ", "tokens": ["a", "dog"]}, {"tokens": ["a", "cat"]}]
    image = {**image, "sentences": sentences, **changes}
    return {"images": [{key: value for key, value in image.items() if value is not None}]}


class TestCoco:
    @pytest.mark.parametrize(
        ("annotations", "images"),
        [("annotations/", ""), ("", "images/")],
    )
    @pytest.mark.parametrize("year", ["2014", "2017"])
    def test_as_it_unpacks(self, tmp_path: Path, year: str, annotations: str, images: str) -> None:
        files = {
            f"{annotations}captions_train{year}.json": coco("a.jpg", "b.jpg"),
            f"{annotations}captions_val{year}.json": coco("c.jpg", start=7),
        }
        names = [f"train{year}/a.jpg", f"train{year}/b.jpg", f"val{year}/c.jpg"]
        write(tmp_path, files | pictures(*(images + name for name in names)))
        dataset = load(tmp_path, "coco")
        assert dataset.sizes() == {"train": 2, "val": 1}
        file = tmp_path / images / f"val{year}" / "c.jpg"
        assert dataset.split("val") == [Record(7, file, ("Caption 0 of 7.", "Caption 1 of 7."), "val")]

    def test_one_file_whose_splits_are_drawn_or_listed(self, tmp_path: Path) -> None:
        names = [f"{number}.jpg" for number in range(10)]
        write(tmp_path, {"captions.json": coco(*names), "val.txt": "3\n"} | pictures(*names))
        assert load(tmp_path, "coco").sizes() == {"train": 8, "val": 1, "test": 1}
        (record,) = load(tmp_path, "coco", split_lists={"val": "val.txt"}).records
        assert record.image_id == 3

    def test_it_prints_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(tmp_path, {"captions.json": coco("a", "b", "c")} | pictures("a", "b", "c"))
        load(tmp_path, "coco")
        assert capsys.readouterr() == ("", "")

    def test_a_picture_in_two_splits(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.json": coco("a"), "b.json": coco("b")})
        assert refusal(tmp_path, "coco", captions={"train": "a.json", "val": "b.json"}) == (
            "ROOT: two pictures have the same id 1: a and b",
            "name every picture only once, with an id of its own",
        )

    def test_an_image_without_captions(self, tmp_path: Path) -> None:
        content = coco("a", "b")
        write(tmp_path, {"captions.json": {**content, "annotations": content["annotations"][:1]}})
        assert refusal(tmp_path, "coco") == (
            "ROOT/captions.json: 1 picture without captions: b",
            "write captions for them, in a folder as a .txt beside each, or remove them",
        )

    @pytest.mark.parametrize(
        ("change", "problem", "remedy"),
        [
            (
                {"images": {}},
                "ROOT/captions.json has no lists 'images' and 'annotations', so it is not a COCO captions file",
                "set dataset.captions to a captions_*.json, or dataset.format to the format of the file",
            ),
            (
                {"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]},
                "ROOT/captions.json: two images have the id 1: a and b",
                "give every picture its own id, and name it only once",
            ),
            (
                {"images": [{"id": 1}]},
                "ROOT/captions.json: image 1 lacks a proper 'id' or 'file_name'",
                "mend or remove it, and try again",
            ),
            (
                {"annotations": [{"image_id": 1, "caption": "x"}, {"image_id": 1, "caption": None}]},
                "ROOT/captions.json: annotation 2 lacks a proper 'image_id' or 'caption'",
                "mend or remove it, and try again",
            ),
            (
                {"annotations": [{"image_id": 1, "caption": " "}]},
                "ROOT/captions.json: annotation 1 (image 1) has an empty caption",
                "write it or delete it, and try again",
            ),
            (
                {"annotations": [{"image_id": 1, "id": 5, "caption": "x"}] * 2},
                "ROOT/captions.json: two annotations have the id 5",
                "delete or renumber one of them",
            ),
            (
                {"annotations": [{"image_id": image, "caption": "x"} for image in (1, 8, 9)]},
                "ROOT/captions.json: 2 captions of images that it does not list: 8, 9",
                "add those images to its list 'images', or delete the captions",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, change: Any, problem: str, remedy: str) -> None:
        write(tmp_path, {"captions.json": {**coco("a"), **change}})
        assert refusal(tmp_path, "coco") == (problem, remedy)

    def test_broken_json_is_named_with_its_line(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.json": '{\n"images": [,]}'})
        assert refusal(tmp_path, "coco") == (
            "ROOT/captions.json:2: not valid JSON: Expecting value (column 12)",
            "mend that line, and try again",
        )
        write(tmp_path, {"captions.json": "[" * 100_000})
        assert refusal(tmp_path, "coco")[0] == "ROOT/captions.json:1: not usable JSON: it is nested too deeply"


class TestKarpathy:
    def test_restval_is_trained_on_and_cocoid_is_the_id(self, tmp_path: Path) -> None:
        write(tmp_path, {"dataset_coco.json": karpathy()} | pictures("images/val2014/a.jpg"))
        file = tmp_path / "images" / "val2014" / "a.jpg"
        assert load(tmp_path, "karpathy").records == (Record(42, file, ("A dog.", "a cat"), "train"),)

    def test_flickr_has_neither_folder_nor_cocoid(self, tmp_path: Path) -> None:
        content = karpathy(filepath=None, cocoid=None, split="test")
        write(tmp_path, {"dataset_flickr8k.json": content} | pictures("Images/a.jpg"))
        (record,) = load(tmp_path, "karpathy").split("test")
        assert record.image_id == 0
        assert record.file == tmp_path / "Images" / "a.jpg"

    @pytest.mark.parametrize(
        ("changes", "problem", "remedy"),
        [
            (
                {"filename": None},
                "image 1 lacks its filename, sentences or split",
                "mend or remove it, and try again",
            ),
            ({"split": None}, "image 1 lacks its filename, sentences or split", "mend or remove it, and try again"),
            (
                {"sentences": ["x"]},
                "image 1 lacks its filename, sentences or split",
                "mend or remove it, and try again",
            ),
            (
                {"sentences": [{"raw": None}]},
                "image 1 lacks its filename, sentences or split",
                "mend or remove it, and try again",
            ),
            ({"split": "all"}, "val2014/a.jpg is in an unknown split 'all'", "use train, restval, val or test"),
            (
                {"sentences": [{"raw": ""}]},
                "val2014/a.jpg has an empty caption",
                "write it or delete it, and try again",
            ),
            (
                {"sentences": []},
                "1 picture without captions: val2014/a.jpg",
                "write captions for them, in a folder as a .txt beside each, or remove them",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, changes: Any, problem: str, remedy: str) -> None:
        write(tmp_path, {"dataset.json": karpathy(**changes)})
        assert refusal(tmp_path, "karpathy") == (f"ROOT/dataset.json: {problem}", remedy)

    def test_another_json_file(self, tmp_path: Path) -> None:
        write(tmp_path, {"dataset.json": []})
        assert refusal(tmp_path, "karpathy") == (
            "ROOT/dataset.json has no list 'images', so it is not in Karpathy's form",
            "set dataset.captions to a dataset_*.json, or dataset.format to the format of the file",
        )
