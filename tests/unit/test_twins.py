"""Pictures that were nearly trained on are found; what was looked at is remembered, and damage made good."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from captioner.data.annotations import Record
from captioner.errors import StorageError
from captioner.evaluation import twins
from captioner.evaluation.twins import twins_in_training
from captioner.events import Event, Warned, ignore


def noise(file: Path, seed: int) -> Path:
    """A picture with much detail, which is like no other."""
    rows = bytes((seed * 7919 + place * place * (seed + 3)) % 251 for place in range(12 * 12 * 3))
    small = Image.frombytes("RGB", (12, 12), rows)
    small.resize((192, 192), Image.Resampling.BICUBIC).save(file)
    return file


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two training pictures; held out a copy, a smaller JPEG, one of its own, and a broken one."""
    root = tmp_path / "data"
    root.mkdir()
    found = {name: root / name for name in ("t1.png", "t2.png", "copy.png", "smaller.jpg", "own.png", "broken.png")}
    noise(found["t1.png"], 1)
    noise(found["t2.png"], 2)
    shutil.copy(found["t1.png"], found["copy.png"])
    Image.open(found["t2.png"]).resize((120, 120)).save(found["smaller.jpg"], quality=70)
    noise(found["own.png"], 3)
    found["broken.png"].write_text("no picture")
    return found


def record(file: Path) -> Record:
    return Record(file.name, file, ("a caption",), "val")


def find(files: dict[str, Path], memory: Path) -> list[str]:
    records = [record(file) for file in files.values()]
    found = twins_in_training(records[2:], records[:2], files["t1.png"].parent, memory, ignore)
    return [each.file.name for each in found]


def test_copies_are_found_and_others_are_not(files: dict[str, Path], tmp_path: Path) -> None:
    assert find(files, tmp_path / "m.json") == ["copy.png", "smaller.jpg"]
    records = [record(file) for file in files.values()]
    assert twins_in_training(records[4:], records[:2], tmp_path, tmp_path / "m.json", ignore) == []


def test_pictures_are_looked_at_once_and_again_when_they_change(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[list[str]] = []
    look_at = twins.look_at

    def watched(new: list[Path], listener: object) -> object:
        looked.append([file.name for file in new])
        return look_at(new, ignore)

    monkeypatch.setattr(twins, "look_at", watched)
    memory = tmp_path / "features" / "pictures.json"
    assert find(files, memory) == find(files, memory) == ["copy.png", "smaller.jpg"]
    assert looked == [list(files)]
    noise(files["own.png"], 2)
    assert find(files, memory) == ["copy.png", "smaller.jpg", "own.png"]
    assert looked[1:] == [["own.png"]]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 0, "pictures": []}', '{"version": 1, "pictures": [1]}']
)
def test_a_memory_that_cannot_be_read_is_made_anew(files: dict[str, Path], tmp_path: Path, content: str) -> None:
    memory = tmp_path / "m.json"
    memory.write_text(content)
    assert find(files, memory) == ["copy.png", "smaller.jpg"]
    assert '"version": 1' in memory.read_text()


def test_where_nothing_can_be_kept_a_warning_says_so(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: str) -> None:
        raise StorageError(f"cannot write {path}: Read-only file system", "")

    monkeypatch.setattr(twins, "write_text", refuse)
    events: list[Event] = []
    records = [record(file) for file in files.values()]
    assert len(twins_in_training(records[2:], records[:2], tmp_path, tmp_path / "m.json", events.append)) == 2
    said = f"cannot write {tmp_path}/m.json: Read-only file system: all pictures will be looked at again next time"
    assert [event for event in events if isinstance(event, Warned)] == [Warned(said)]
