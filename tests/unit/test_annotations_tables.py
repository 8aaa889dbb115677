"""CSV and JSON lines, with columns of any name."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import load, pictures, refusal, write

NONE_DRAWN = {"val_fraction": 0.0, "test_fraction": 0.0}


class TestCsv:
    def test_columns_of_another_name(self, tmp_path: Path) -> None:
        text = 'part,file_name,id,text\nvalid,x/a.png,1,"one, two\nand ""three"""\n\ntraining,b.png,2,four\n'
        write(tmp_path, {"metadata.csv": text} | pictures("x/a.png", "b.png"))
        names = {"image_column": "file_name", "caption_column": "text", "split_column": "part"}
        dataset = load(tmp_path, "csv", **names)
        assert dataset.sizes() == {"train": 1, "val": 1}
        assert dataset.split("val")[0].captions == ('one, two\nand "three"',)

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_what_spreadsheets_write_for_commas(self, tmp_path: Path, separator: str) -> None:
        text = "image,caption\na.png,one\nb.png,two\n".replace(",", separator)
        write(tmp_path, {"captions.csv": text + f'c.png{separator}"sand, sea"\n'} | pictures("a.png", "b.png", "c.png"))
        dataset = load(tmp_path, "csv", val_fraction=0, test_fraction=0)
        assert [record.captions for record in dataset.split("train")] == [("one",), ("two",), ("sand, sea",)]

    def test_a_file_for_each_split(self, tmp_path: Path) -> None:
        files = {"train.csv": "image,caption\na,x\n", "val.csv": "image,caption\nb,y\n"}
        write(tmp_path, files | pictures("a", "b"))
        dataset = load(tmp_path, "csv", captions={"train": "train.csv", "val": "val.csv"})
        assert dataset.sizes() == {"train": 1, "val": 1}
        assert dataset.name == str(tmp_path)

    @pytest.mark.parametrize(
        ("text", "problem", "remedy"),
        [
            (
                "image,captions\na,x\n",
                ":1: no column 'caption', did you mean 'captions'?",
                "set dataset.caption_column to one of its columns: image, captions",
            ),
            ("", ":1: no column 'image'", "set dataset.image_column to one of its columns: (none)"),
            (
                "image,caption\na,one\nb,one, two\n",
                ":3: 3 fields where the header has 2",
                'put text that contains a separator between quotes ("), and try again',
            ),
            ("image,caption\na, \n", ":2: a has an empty caption", "write it or delete it, and try again"),
            (
                "image,caption\na,x\na,\nb,\n",
                ":3: a has an empty caption (1 of 2)",
                "write it or delete it, and try again",
            ),
            ("image,caption\n,x\n", ":2: the picture is empty", "mend that line, and try again"),
            (
                'image,caption\na,"one\n',
                ":2: not valid CSV: unexpected end of data",
                "mend that line, and try again",
            ),
            ("image,caption,split\na,x,half\n", ":2: unknown split 'half'", "use train, val or test"),
            (
                "image,caption,split\na,x,train\na,y,test\n",
                ":3: a is in split 'test' here and in split 'train' at ROOT/captions.csv:2",
                "put all rows of a picture into one split: its captions in two would leak from training into the test",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, text: str, problem: str, remedy: str) -> None:
        write(tmp_path, {"captions.csv": text})
        assert refusal(tmp_path, "csv") == (f"ROOT/captions.csv{problem}", remedy)


class TestJsonl:
    def test_an_empty_list_of_captions(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.jsonl": '{"image": "a", "caption": []}\n'})
        assert refusal(tmp_path, "jsonl") == (
            "ROOT/captions.jsonl: 1 picture without captions: a",
            "write captions for them, in a folder as a .txt beside each, or remove them",
        )

    def test_a_caption_or_a_list_of_them(self, tmp_path: Path) -> None:
        text = '{"image": "a", "caption": "one"}\n\n{"image": "a", "caption": ["two ", "thr\u2028ee"]}\n'
        write(tmp_path, {"captions.jsonl": text} | pictures("a"))
        assert load(tmp_path, "jsonl", **NONE_DRAWN).records[0].captions == ("one", "two", "thr\u2028ee")

    def test_keys_of_another_name_and_a_split(self, tmp_path: Path) -> None:
        text = '{"file": "a", "texts": ["x"], "fold": "dev"}\n{"file": "b", "texts": ["y"], "fold": "train"}\n'
        write(tmp_path, {"data.jsonl": text} | pictures("a", "b"))
        names = {"image_column": "file", "caption_column": "texts", "split_column": "fold"}
        assert load(tmp_path, "jsonl", captions="data.jsonl", **names).sizes() == {"train": 1, "val": 1}

    @pytest.mark.parametrize(
        ("row", "problem", "remedy"),
        [
            ("{", "not valid JSON: Expecting property name enclosed in double quotes (column 2)", None),
            ("[]", "expected an object such as {...}", None),
            ('{"image": "", "caption": "x"}', "'image' is not the path of a picture", None),
            ('{"image": "a", "caption": ["x", 3]}', "'caption' is neither a caption nor a list of captions", None),
            ('{"image": "a", "caption": null}', "'caption' is neither a caption nor a list of captions", None),
            ('{"image": "a", "caption": " "}', "a has an empty caption", "write it or delete it, and try again"),
            (
                '{"images": "a", "caption": "x"}',
                "no key 'image', did you mean 'images'?",
                "set dataset.image_column to one of its keys: images, caption",
            ),
            ('{"image": "a", "caption": "x", "split": 3}', "unknown split '3'", "use train, val or test"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, row: str, problem: str, remedy: Any) -> None:
        write(tmp_path, {"captions.jsonl": '{"image": "z", "caption": "fine"}\n' + row + "\n"})
        expected = remedy or "mend that line, and try again"
        assert refusal(tmp_path, "jsonl") == (f"ROOT/captions.jsonl:2: {problem}", expected)
