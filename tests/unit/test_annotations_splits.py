"""Splits by lists, by what the captions say, and drawn."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import load, pictures, refusal, write
from hypothesis import given
from hypothesis import strategies as st

from captioner.data.formats.reading import Entry, split_named
from captioner.data.splits import draw_splits

HEADER = "image,caption,split\n"


def rows(*names: str, split: str = "") -> str:
    return "".join(f"{name},a caption of {name},{split}\n" for name in names)


def test_split_names() -> None:
    assert [split_named(name) for name in ("restval", " Dev ", "testing", "all")] == ["train", "val", "test", None]


class TestSplitLists:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
        write(tmp_path, {"captions.csv": HEADER + rows(*names), "train.txt": "b.jpg\na\n", "val.txt": "\nc.jpg\n"})
        write(tmp_path, pictures(*names))
        return tmp_path

    def test_lists_choose_the_pictures_and_count_the_rest(self, root: Path) -> None:
        dataset = load(root, "csv", split_lists={"train": "train.txt", "val": "val.txt"})
        assert [record.image_id for record in dataset.split("train")] == ["b.jpg", "a.jpg"]
        assert dataset.sizes() == {"train": 2, "val": 1}
        assert dataset.left_out == ("d.jpg",)
        assert dataset.notes() == ["1 picture in no split, left out: d.jpg"]

    def test_a_listed_picture_without_captions(self, root: Path) -> None:
        write(root, {"val.txt": "c.jpg\ne.jpg\n"})
        assert refusal(root, "csv", split_lists={"val": "val.txt"}) == (
            "ROOT/val.txt:2: e.jpg has no captions in ROOT/captions.csv",
            "delete that line, or add captions",
        )

    def test_one_list_for_two_splits(self, root: Path) -> None:
        assert refusal(root, "csv", split_lists={"train": "train.txt", "val": "train.txt"}) == (
            "ROOT/train.txt:1: b.jpg is listed twice (first at ROOT/train.txt:1)",
            "delete one of the two lines",
        )

    def test_a_picture_in_two_lists(self, root: Path) -> None:
        write(root, {"val.txt": "a.jpg\n"})
        assert refusal(root, "csv", split_lists={"train": "train.txt", "val": "val.txt"}) == (
            "ROOT/val.txt:1: a.jpg is listed twice (first at ROOT/train.txt:2)",
            "delete one of the two lines",
        )

    def test_a_list_that_is_empty_or_not_there(self, root: Path) -> None:
        write(root, {"val.txt": "\n"})
        assert refusal(root, "csv", split_lists={"val": "val.txt"}) == (
            "the split lists name no pictures: ROOT/val.txt",
            "write a picture's name on each line, or remove dataset.split_lists",
        )
        assert refusal(root, "csv", split_lists={"test": "test.txt"})[0] == "there is no file ROOT/test.txt"


class TestDrawnSplits:
    def entries(self, number: int) -> list[Entry]:
        return [Entry(index, f"{index}.jpg", Path(f"{index}.jpg"), ["x"]) for index in range(number)]

    def drawn(self, entries: list[Entry], *arguments: Any) -> dict[int | str, str | None]:
        draw_splits(entries, *arguments)
        return {entry.image_id: entry.split for entry in entries}

    def test_the_draw_is_the_same_everywhere(self) -> None:
        draw = self.drawn(self.entries(12), 0.2, 0.1, 1)
        assert [index for index, split in draw.items() if split == "val"] == [2, 3]
        assert [index for index, split in draw.items() if split == "test"] == [8]

    @given(number=st.integers(3, 300), seed=st.integers(), shares=st.tuples(*[st.floats(0, 0.45)] * 2))
    def test_sizes_are_the_shares_and_order_does_not_matter(
        self, number: int, seed: int, shares: tuple[float, float]
    ) -> None:
        draw = self.drawn(self.entries(number), *shares, seed)
        assert draw == self.drawn(self.entries(number)[::-1], *shares, seed)
        for split, share in zip(("val", "test"), shares, strict=True):
            expected = max(1, round(number * share)) if share else 0
            assert list(draw.values()).count(split) == expected

    def test_another_seed_draws_others(self) -> None:
        assert self.drawn(self.entries(100), 0.1, 0.1, 1) != self.drawn(self.entries(100), 0.1, 0.1, 2)

    def test_captions_of_a_picture_stay_together(self, tmp_path: Path) -> None:
        names = [f"{number}.jpg" for number in range(20)]
        write(tmp_path, {"captions.csv": HEADER + rows(*names) + rows(*names)} | pictures(*names))
        dataset = load(tmp_path, "csv")
        assert dataset.sizes() == {"train": 16, "val": 2, "test": 2}
        assert {len(record.captions) for record in dataset.records} == {2}

    def test_nothing_left_to_train_on(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.csv": HEADER + rows("a", "b")} | pictures("a", "b"))
        assert refusal(tmp_path, "csv") == (
            "of 2 pictures, 1 for validation and 1 for the test leave none to train on",
            "lower dataset.val_fraction or dataset.test_fraction",
        )

    def test_only_some_pictures_in_a_split(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.csv": HEADER + rows("a", split="train") + rows("b", "c")} | pictures(*"abc"))
        assert refusal(tmp_path, "csv") == (
            "ROOT/captions.csv: 2 pictures of 3 in no split: b, c",
            "give every picture a split, or none (they are then drawn by dataset.val_fraction and test_fraction)",
        )
