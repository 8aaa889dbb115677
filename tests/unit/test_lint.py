"""Each kind of damage is found, alone, with its exact text; where there is none, nothing is found."""

import json
from pathlib import Path

import pytest
from lint_data import Data, jpeg, painted
from PIL import Image

from captioner.config import Config, SamplingConfig
from captioner.data.lint import lint_dataset
from captioner.data.lint.report import Finding
from captioner.events import Event, Progress, ignore

ALLOW = "mend or remove them, or go on without: --set dataset.allow_missing=true"
LEAK = "remove all but one: scores on pictures that were trained on are worth nothing"


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def told(finding: Finding) -> tuple[str, str, int, str, str]:
    return finding.kind, finding.severity, finding.count, finding.message, finding.remedy


def test_nothing_is_found_where_nothing_is_wrong(data: Data) -> None:
    report = data.lint()
    assert (report.findings, report.wrong) == ((), False)
    assert report.statistics == {
        "splits": {
            "train": {"pictures": 8, "captions": 16, "unknown_rate": 0.0},
            "val": {"pictures": 2, "captions": 4, "unknown_rate": 0.0},
        },
        "vocabulary": 4 + 17,
        "caption_lengths": {"3": 2, "4": 8, "5": 2, "6": 8},
        "pictures": {
            "read": 10,
            "width": {"min": 160, "median": 160, "max": 160},
            "height": {"min": 120, "median": 120, "max": 120},
            "modes": {"RGB": 10},
        },
    }


def test_the_built_in_set_is_clean(tiny_config: Config) -> None:
    config = tiny_config.model_copy(update={"sampling": SamplingConfig()})
    assert lint_dataset(config, ignore).findings == ()


def test_progress_is_told(data: Data) -> None:
    events: list[Event] = []
    lint_dataset(data.config(), events.append)
    progress = [(event.task, event.done, event.total) for event in events if isinstance(event, Progress)]
    assert progress[:2] == [("captions", 10, 10), ("pictures", 10, 10)]


class TestFiles:
    def test_missing_pictures(self, data: Data) -> None:
        data.add("gone.jpg", None)
        assert told(data.only()) == (
            "missing-pictures", "error", 1,
            f"1 of 11 pictures with captions not found in {data.root}/images: gone.jpg",
            "put them there, or go on without them: --set dataset.allow_missing=true",
        )  # fmt: skip
        assert told(data.only(dataset={"allow_missing": True})) == (
            "missing-pictures", "warning", 1,
            "1 picture missing on the disk, left out as dataset.allow_missing says: gone.jpg",
            "put them there",
        )  # fmt: skip

    def test_unreadable_pictures(self, data: Data) -> None:
        whole = jpeg(painted(70))
        data.add("cut.jpg", whole[: len(whole) // 2])
        data.add("empty.jpg", b"")
        data.add("text.jpg", b"no picture")
        finding = data.only()
        assert told(finding)[:3] == ("unreadable-pictures", "error", 3)
        assert finding.message.startswith(
            "3 pictures cannot be read: cut.jpg (cannot be decoded: image file is truncated ("
        )
        assert finding.message.endswith(
            "), empty.jpg (the file is empty), text.jpg (not a picture in a format that can be read)"
        )
        assert finding.remedy == ALLOW
        assert data.only(dataset={"allow_missing": True}).severity == "warning"

    def test_a_jpeg_that_lacks_its_last_tenth_is_unreadable(self, data: Data) -> None:
        whole = jpeg(painted(70, 2000, 1500), progressive=True)
        data.add("cut.jpg", whole[: len(whole) * 9 // 10])
        assert data.only().kind == "unreadable-pictures"

    def test_tiny_pictures(self, data: Data) -> None:
        data.add("icon.jpg", jpeg(painted(71, 300, 63)))
        assert told(data.only()) == (
            "tiny-pictures", "warning", 1,
            "1 picture with a side below 64 pixels: icon.jpg (300 x 63)",
            "replace icons and previews by the pictures",
        )  # fmt: skip

    def test_enormous_pictures(self, data: Data) -> None:
        data.add("poster.jpg", jpeg(Image.new("L", (8000, 5001), 90), quality=10))
        assert told(data.only()) == (
            "enormous-pictures", "warning", 1,
            "1 picture of more than 40 megapixels: poster.jpg (8000 x 5001)",
            "scale them down: an encoder sees a few hundred pixels a side, and reading them takes long",
        )  # fmt: skip

    def test_cmyk_pictures(self, data: Data) -> None:
        data.add("print.jpg", jpeg(painted(72).convert("CMYK")))
        assert told(data.only()) == (
            "cmyk-pictures", "warning", 1,
            "1 picture in the colours of print (CMYK): print.jpg",
            "save them as RGB with their colour profile: converted without it, their colours are off",
        )  # fmt: skip

    def test_rotated_pictures(self, data: Data) -> None:
        for orientation in (1, 6):
            exif = Image.Exif()
            exif[0x0112] = orientation
            data.add(f"camera{orientation}.jpg", jpeg(painted(72 + orientation), exif=exif))
        assert told(data.only()) == (
            "rotated-pictures", "note", 1,
            "1 picture turned or mirrored by EXIF orientation: camera6.jpg",
            "nothing to do: captioner turns them upright; programs that do not will see them lying",
        )  # fmt: skip

    def test_broken_exif_is_no_finding(self, data: Data) -> None:
        data.add("camera.jpg", jpeg(painted(73), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"))
        assert not data.lint().findings


class TestDuplicates:
    def test_the_same_file_in_two_splits(self, data: Data) -> None:
        data.add("again.jpg", (data.root / "images" / "3.jpg").read_bytes(), split="val")
        assert told(data.only()) == (
            "same-picture-across-splits", "error", 1,
            "1 picture in more than one split, byte for byte: 3.jpg (train) = again.jpg (val)", LEAK,
        )  # fmt: skip

    def test_many_that_are_the_same(self, data: Data) -> None:
        for number in range(4):
            data.add(f"again{number}.jpg", (data.root / "images" / "3.jpg").read_bytes())
        data.add("last.jpg", (data.root / "images" / "3.jpg").read_bytes(), split="val")
        assert data.only().examples == ("3.jpg (train) = last.jpg (val) = again0.jpg (train) and 3 more",)

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_copies_in_two_splits(self, data: Data, split: str) -> None:
        image = painted(3)
        data.add("saved.jpg", jpeg(image, quality=40), split=split)
        data.add("small.jpg", jpeg(painted(4).resize((90, 70))), split=split)
        data.add("cropped.jpg", jpeg(painted(5).crop((8, 6, 152, 114))), split=split)
        finding = data.only()
        assert told(finding)[:3] == ("similar-pictures-across-splits", "error", 3)
        assert finding.message == (
            f"3 pairs of nearly the same picture in different splits: 3.jpg (train) = saved.jpg ({split}), "
            f"4.jpg (train) = small.jpg ({split}), 5.jpg (train) = cropped.jpg ({split})"
        )
        assert finding.remedy == LEAK

    def test_a_picture_and_its_upright_copy(self, data: Data) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data.add("lying.jpg", jpeg(painted(3).transpose(Image.Transpose.ROTATE_90), exif=exif), split="val")
        kinds = [finding.kind for finding in data.lint().findings]
        assert kinds == ["similar-pictures-across-splits", "rotated-pictures"]

    def test_plain_pictures_are_no_copies(self, data: Data) -> None:
        for number, split in enumerate(["train", "val"] * 3):
            data.add(f"blank{number}.jpg", jpeg(Image.new("L", (200, 150 + number), 250)), split=split)
        sky = Image.linear_gradient("L").resize((200, 150))
        data.add("dusk.jpg", jpeg(sky))
        data.add("dawn.jpg", jpeg(sky, quality=60), split="val")
        assert data.lint().findings == ()

    def test_the_same_file_twice_in_a_split(self, data: Data) -> None:
        data.add("again.jpg", (data.root / "images" / "3.jpg").read_bytes())
        assert told(data.only()) == (
            "same-picture-in-split", "note", 1,
            "1 picture more than once in a split, byte for byte: 3.jpg (train) = again.jpg (train)",
            "remove all but one, or put all captions with one of them: it counts double",
        )  # fmt: skip


class TestDataSet:
    def test_a_broken_captions_file(self, data: Data) -> None:
        config = data.config()
        with (data.root / "captions.jsonl").open("a") as file:
            file.write("{\n")
        report = lint_dataset(config, ignore)
        assert [told(finding) for finding in report.findings] == [
            (
                "broken-annotations", "error", 1,
                f"{data.root}/captions.jsonl:11: not valid JSON: "
                "Expecting property name enclosed in double quotes (column 2)",
                "mend that line, and try again",
            )
        ]  # fmt: skip
        assert report.statistics == {}

    def test_broken_splits(self, data: Data) -> None:
        data.rows[0]["split"] = None
        assert told(data.only()) == (
            "broken-splits", "error", 1,
            f"{data.root}/captions.jsonl: 1 picture of 10 in no split: 0.jpg",
            "give every picture a split, or none (they are then drawn by dataset.val_fraction and test_fraction)",
        )  # fmt: skip

    def test_empty_splits(self, data: Data) -> None:
        for row in data.rows:
            row["split"] = "train"
        assert told(data.only()) == (
            "empty-splits", "error", 1,
            "no pictures in the split 'val', so there is nothing to validate on",
            "put pictures into it, or remove the splits, so that dataset.val_fraction draws them",
        )  # fmt: skip

    def test_repeated_ids_and_files(self, data: Data) -> None:
        config = data.config()
        images = [
            {"filename": row["image"], "split": row["split"], "sentences": [{"raw": text} for text in row["caption"]]}
            for row in data.rows
        ]
        images = [{**image, "imgid": number} for number, image in enumerate(images)]
        images.append({**images[3], "imgid": 2})
        (data.root / "dataset.json").write_text(json.dumps({"images": images}))
        section = config.dataset.model_copy(update={"format": "karpathy"})
        report = lint_dataset(config.model_copy(update={"dataset": section}), ignore)
        name = f"{data.root}/dataset.json: two pictures have the same"
        assert [(one.kind, one.severity, one.message) for one in report.findings] == [
            ("repeated-ids", "error", f"{name} id 2: 2.jpg and 3.jpg"),
            ("repeated-files", "error", f"{name} file {data.root}/images/3.jpg: 3.jpg and 3.jpg"),
        ]

    def test_pictures_that_are_in_no_list(self, data: Data) -> None:
        for split, names in (("train", range(7)), ("val", range(8, 10))):
            (data.root / f"{split}.txt").write_text("".join(f"{number}.jpg\n" for number in names))
        assert told(data.only(dataset={"split_lists": {"train": "train.txt", "val": "val.txt"}})) == (
            "left-out", "note", 1,
            "1 picture with captions in no split, left out: 7.jpg",
            "nothing to do, if that is meant",
        )  # fmt: skip

    def test_all_is_found_at_once_and_the_worst_comes_first(self, data: Data) -> None:
        data.add("gone.jpg", None)
        data.add("text.jpg", b"no picture")
        data.add("silent.jpg", jpeg(painted(80)), [])
        data.add("icon.jpg", jpeg(painted(81, 40, 40)), ["a red dog runs", "", "a red dog runs", "a red dоg"])
        data.add("again.jpg", (data.root / "images" / "3.jpg").read_bytes(), ["a blue cat " * 30], "val")
        data.add("copy.jpg", jpeg(painted(4), quality=50), split="val")
        data.add("print.jpg", jpeg(painted(82).convert("CMYK")), ["...", "собака"])
        report = data.lint()
        assert [(finding.severity, finding.kind) for finding in report.findings] == [
            ("error", "empty-captions"),
            ("error", "pictures-without-captions"),
            ("error", "missing-pictures"),
            ("error", "wordless-captions"),
            ("error", "unreadable-pictures"),
            ("error", "same-picture-across-splits"),
            ("error", "similar-pictures-across-splits"),
            ("warning", "long-captions"),
            ("warning", "mixed-scripts"),
            ("warning", "other-scripts"),
            ("warning", "duplicate-captions"),
            ("warning", "tiny-pictures"),
            ("warning", "cmyk-pictures"),
        ]
        assert report.wrong
