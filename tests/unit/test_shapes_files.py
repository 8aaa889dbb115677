"""The built-in data set on disk: files that are whole or not there, and nobody else's overwritten."""

import json
import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import load
from PIL import Image

from captioner.data.shapes.captions import captions
from captioner.data.shapes.dataset import generate_shapes, split_of
from captioner.data.shapes.drawing import draw
from captioner.data.shapes.scenes import scene
from captioner.errors import DatasetError, StorageError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(root: Path, **keys: int) -> tuple[str, str]:
    with pytest.raises(DatasetError) as caught:
        generate_shapes(root, **keys)
    return caught.value.problem.replace(str(root), "ROOT"), caught.value.remedy.replace(str(root), "ROOT")


def test_the_set_loads(tmp_path: Path) -> None:
    dataset = load(tmp_path / "new" / "shapes", "shapes", size=20)
    assert dataset.sizes() == {"train": 16, "val": 2, "test": 2}
    record = dataset.records[5]
    assert record.image_id == 5
    assert list(record.captions) == captions(scene(1, 5))
    with Image.open(record.file) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (96, 96))
        assert np.array_equal(np.asarray(picture), draw(scene(1, 5)))
    assert sorted(path.name for path in (tmp_path / "new" / "shapes").iterdir()) == ["images", "shapes.json"]


def test_a_larger_set_begins_with_the_smaller(tmp_path: Path) -> None:
    generate_shapes(tmp_path / "a", images=5, seed=3)
    generate_shapes(tmp_path / "b", images=8, seed=3)
    assert contents(tmp_path / "a" / "images").items() <= contents(tmp_path / "b" / "images").items()
    small, large = (json.loads((tmp_path / name / "shapes.json").read_bytes())["images"] for name in "ab")
    assert small == large[:5]


def test_no_two_pictures_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By chance two of some thousands are; here every second one at its first attempt."""
    monkeypatch.setattr(
        "captioner.data.shapes.dataset.scene", lambda seed, index, attempt: scene(seed, index // 2, attempt)
    )
    generate_shapes(tmp_path / "set", images=10)
    assert len({path.read_bytes() for path in (tmp_path / "set").rglob("*.png")}) == 10


def test_splits_are_80_10_10() -> None:
    assert Counter(split_of(index) for index in range(3000)) == {"train": 2400, "val": 300, "test": 300}


def test_a_complete_set_is_left_alone(tmp_path: Path) -> None:
    generate_shapes(tmp_path, images=3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    generate_shapes(tmp_path, images=3)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("killed_after", [0, 2, 4])
def test_a_killed_generation_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int) -> None:
    generate_shapes(tmp_path / "whole", images=4)
    left = [None] * killed_after
    save = Image.Image.save

    def die(*arguments: Any, **keywords: Any) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        save(*arguments, **keywords)

    monkeypatch.setattr(Image.Image, "save", die)
    with pytest.raises(KeyboardInterrupt):
        generate_shapes(tmp_path / "set", images=6, seed=2)
    monkeypatch.undo()
    assert not (tmp_path / "set" / "shapes.json").exists()
    generate_shapes(tmp_path / "set", images=4)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_several_processes_may_generate_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=generate_shapes, args=(tmp_path / "set",), kwargs={"images": 50}) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    generate_shapes(tmp_path / "alone", images=50)
    assert contents(tmp_path / "set") == contents(tmp_path / "alone")


def test_another_set_is_refused(tmp_path: Path) -> None:
    generate_shapes(tmp_path, images=3, seed=5)
    assert refusal(tmp_path, images=4) == (
        "ROOT holds 3 shapes of seed 5, not 4 of seed 1",
        "set dataset.size=3 and dataset.seed=5 to use them, or dataset.root to another folder",
    )


@pytest.mark.parametrize("content", ["{}", "[", '{"parameters": {"version": 0, "images": 3, "seed": 1}}'])
def test_a_set_of_another_version_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "shapes.json").write_text(content)
    assert refusal(tmp_path, images=3) == (
        "ROOT/shapes.json was not made by this version of captioner",
        "set dataset.root to another folder than ROOT",
    )


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    assert refusal(tmp_path) == (
        "ROOT holds other files and no shapes.json",
        "set dataset.root to an empty folder, or to one that does not exist yet",
    )
    assert refusal(tmp_path / "photo.jpg") == (
        "ROOT is a file",
        "set dataset.root to a folder, which may not exist yet",
    )


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError) as caught:
        generate_shapes(tmp_path / "set", images=3)
    assert str(caught.value).replace(str(tmp_path), "ROOT") == (
        "cannot write the shapes data set to ROOT/set: No space left on device\n"
        "free some space, or set dataset.root to a folder that you may write to"
    )
