"""Flickr8k and Flickr30k as their authors and as Kaggle hand them out."""

from pathlib import Path

import pytest
from dataset_files import load, pictures, refusal, write

NONE_DRAWN = {"val_fraction": 0.0, "test_fraction": 0.0}

TOKENS = "a.jpg#0\tA dog , running .\na.jpg#1\tDog #1\tin snow\nb.jpg#0\tA cat .\nc.jpg#0\tA bird .\n"
LISTS = {
    "Flickr_8k.trainImages.txt": "b.jpg\n",
    "Flickr_8k.devImages.txt": "a.jpg\n",
    "Flickr_8k.testImages.txt": "c.jpg\n",
}


@pytest.mark.parametrize("folder", ["Flicker8k_Dataset", "Images", "Flickr8k_Dataset/Flicker8k_Dataset"])
def test_flickr8k(tmp_path: Path, folder: str) -> None:
    names = [f"{folder}/{name}.jpg" for name in "abc"]
    write(tmp_path, {"Flickr8k.token.txt": TOKENS} | LISTS | pictures(*names))
    dataset = load(tmp_path, "flickr")
    assert dataset.sizes() == {"train": 1, "val": 1, "test": 1}
    (record,) = dataset.split("val")
    assert record.image_id == "a.jpg"
    assert record.file == tmp_path / folder / "a.jpg"
    assert record.captions == ("A dog , running .", "Dog #1\tin snow")


@pytest.mark.parametrize("absent", LISTS)
def test_any_list_may_be_absent(tmp_path: Path, absent: str) -> None:
    lists = {name: text for name, text in LISTS.items() if name != absent}
    write(tmp_path, {"Flickr8k.token.txt": TOKENS} | lists | pictures("a.jpg", "b.jpg", "c.jpg"))
    dataset = load(tmp_path, "flickr")
    assert len(dataset.records) == 2
    assert len(dataset.left_out) == 1


def test_captions_of_pictures_in_no_list_need_no_picture(tmp_path: Path) -> None:
    stray = "x.jpg.1#0\tStray .\n"
    write(tmp_path, {"Flickr8k.token.txt": TOKENS + stray} | LISTS | pictures("a.jpg", "b.jpg", "c.jpg"))
    assert load(tmp_path, "flickr").left_out == ("x.jpg.1",)


def test_without_lists_the_splits_are_drawn(tmp_path: Path) -> None:
    write(tmp_path, {"Flickr8k.token.txt": TOKENS} | pictures("a.jpg", "b.jpg", "c.jpg"))
    assert load(tmp_path, "flickr").sizes() == {"train": 1, "val": 1, "test": 1}


class TestStrayName:
    def test_it_stands_for_the_picture_without_the_suffix(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.txt": "image,caption\nx.jpg.1,A man .\n"} | pictures("x.jpg"))
        assert load(tmp_path, "flickr", **NONE_DRAWN).records[0].file == tmp_path / "x.jpg"

    def test_it_is_itself_where_it_exists(self, tmp_path: Path) -> None:
        write(tmp_path, {"captions.txt": "image,caption\nx.jpg.1,A man .\n"} | pictures("x.jpg.1", "x.jpg"))
        assert load(tmp_path, "flickr", **NONE_DRAWN).records[0].file == tmp_path / "x.jpg.1"

    def test_otherwise_it_is_left_out_and_counted(self, tmp_path: Path) -> None:
        text = "x.jpg.1#0\tA man .\nx.jpg.1#1\tA man .\n"
        write(tmp_path, {"Flickr8k.token.txt": TOKENS + text} | pictures("a.jpg", "b.jpg", "c.jpg"))
        dataset = load(tmp_path, "flickr")
        assert len(dataset.records) == 3
        assert dataset.notes() == ["1 picture in no split, left out: x.jpg.1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results_20130124.token", "a.jpg#0\tTwo dogs , one cat .\na.jpg#1\tDogs .\n"),
        ("results.csv", "image_name| comment_number| comment\na.jpg| 0| Two dogs , one cat .\na.jpg| 1   Dogs .\n"),
        ("captions.txt", "image,caption\na.jpg,Two dogs , one cat .\na.jpg,Dogs .\n"),
        ("captions.txt", 'image,caption\na.jpg,"Two dogs , one cat ."\na.jpg,Dogs .\n'),
        ("captions.txt", "image_name,comment_number,comment\na.jpg,0,Two dogs , one cat .\na.jpg,1,Dogs .\n"),
    ],
)
def test_other_forms(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, {name: text} | pictures("a.jpg"))
    assert load(tmp_path, "flickr", **NONE_DRAWN).records[0].captions == ("Two dogs , one cat .", "Dogs .")


def test_quotes_that_belong_to_a_caption_stay(tmp_path: Path) -> None:
    text = 'image,caption\na.jpg,"Stop" says a sign\na.jpg,"A sign , ""Stop"" ."\n'
    write(tmp_path, {"captions.txt": text} | pictures("a.jpg"))
    captions = load(tmp_path, "flickr", **NONE_DRAWN).records[0].captions
    assert captions == ('"Stop" says a sign', 'A sign , "Stop" .')


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (
            "Flickr8k.token.txt",
            "a.jpg#0\tA dog\nno tab here\n",
            ":2: expected 'picture#number<TAB>caption', found 'no tab here'",
        ),
        ("captions.txt", "image,caption\na.jpg,A dog\nb.jpg\n", ":3: expected 'picture,caption', found 'b.jpg'"),
        ("results.csv", "image_name| n| c\na.jpg| x\n", ":2: expected 'picture| number| caption', found 'a.jpg| x'"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    write(tmp_path, {name: text})
    assert refusal(tmp_path, "flickr") == (f"ROOT/{name}{problem}", "mend that line, and try again")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("Flickr8k.token.txt", "a.jpg#0\t \n", 1),
        ("captions.txt", "image,caption\na.jpg,A dog\na.jpg,\n", 3),
        ("results.csv", "image_name| n| c\na.jpg| 0|\n", 2),
    ],
)
def test_an_empty_caption_is_named(tmp_path: Path, name: str, text: str, line: int) -> None:
    write(tmp_path, {name: text})
    assert refusal(tmp_path, "flickr") == (
        f"ROOT/{name}:{line}: a.jpg has an empty caption",
        "write it or delete it, and try again",
    )


def test_a_caption_given_twice(tmp_path: Path) -> None:
    write(tmp_path, {"Flickr8k.token.txt": "a.jpg#0\tA dog\n\na.jpg#0\tA cat\n"})
    assert refusal(tmp_path, "flickr") == (
        "ROOT/Flickr8k.token.txt:3: caption 0 of a.jpg is given twice (first on line 1)",
        "delete or renumber one of them, and try again",
    )


def test_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path, {"captions.txt": "\n"})
    assert refusal(tmp_path, "flickr") == (
        "the captions file ROOT/captions.txt is empty",
        "set dataset.captions to a file with captions",
    )


def test_one_captions_file_for_each_split(tmp_path: Path) -> None:
    files = {"one.txt": "a.jpg#0\tA dog\n", "two.txt": "b.jpg#0\tA cat\n"}
    write(tmp_path, files | pictures("x/a.jpg", "y/b.jpg"))
    splits = {"train": "one.txt", "test": "two.txt"}
    dataset = load(tmp_path, "flickr", captions=splits, images={"train": "x", "test": "y"})
    assert dataset.sizes() == {"train": 1, "test": 1}
    write(tmp_path, {"two.txt": "b.jpg#0\tA cat\na.jpg#1\tA cat\n"})
    assert refusal(tmp_path, "flickr", captions=splits) == (
        "ROOT/two.txt:2: a.jpg is in split 'test' here and in split 'train' at ROOT/one.txt:1",
        "put all rows of a picture into one split: its captions in two would leak from training into the test",
    )
