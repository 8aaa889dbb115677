"""``captioner lint``: what people and programs are shown, and the exit status."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in sub-folders that are their splits, with a caption each; nothing is wrong."""
    generator = np.random.default_rng(1)
    root = tmp_path / "data"
    for number in range(6):
        parent = root / ("val" if number > 3 else "train")
        parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC).save(parent / f"{number}.png")
        (parent / f"{number}.txt").write_text("a dog runs" + " and runs" * number)
    return root


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(f"dataset:\n  format: folder\n  root: {folder}\nvocab:\n  min_count: 1\n")
    return path


def test_nothing_is_wrong(cli: Any, config: Path) -> None:
    finished = cli("lint", "--config", config)
    assert finished.status == 0
    assert finished.rows == [
        ["split", "pictures", "captions", "unknown words"],
        ["train", "4", "4", "0.00%"],
        ["val", "2", "2", "0.00%"],
        ["words", "captions", "how often"],
        ["1-5", "2", "#" * 40],
        ["6-10", "2", "#" * 40],
        ["11-15", "2", "#" * 40],
    ]
    lines = finished.err.splitlines()
    assert lines[0] == "captions: 6 of 6 pictures"
    assert lines[1].startswith("pictures: 6 of 6 pictures, ")
    assert lines[-1] == "nothing is wrong"


def test_damage_is_shown_worst_first(cli: Any, config: Path, folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(folder / "train" / "0.png").save(folder / "train" / "0.png", exif=exif)
    (folder / "train" / "1.txt").unlink()
    Image.open(folder / "train" / "2.png").resize((30, 30)).save(folder / "train" / "2.png")
    finished = cli("lint", "--config", config)
    assert finished.status == 1
    assert finished.rows[:4] == [
        ["severity", "kind", "what is wrong", "what to do"],
        [
            "error",
            "pictures-without-captions",
            f"{folder}: 1 picture without captions: train/1.png",
            "write captions for them, in a folder as a .txt beside each, or remove them",
        ],
        [
            "warning",
            "tiny-pictures",
            "1 picture with a side below 64 pixels: train/2.png (30 x 30)",
            "replace icons and previews by the pictures",
        ],
        [
            "note",
            "rotated-pictures",
            "1 picture turned or mirrored by EXIF orientation: train/0.png",
            "nothing to do: captioner turns them upright; programs that do not will see them lying",
        ],
    ]
    assert finished.err.splitlines()[-1] == "1 error, 1 warning, 1 note"


def test_warnings_alone_do_not_fail(cli: Any, config: Path, folder: Path) -> None:
    Image.open(folder / "train" / "2.png").resize((30, 30)).save(folder / "train" / "2.png")
    finished = cli("lint", "--config", config)
    assert (finished.status, finished.err.splitlines()[-1]) == (0, "0 errors, 1 warning, 0 notes")


def test_for_programs(cli: Any, config: Path, folder: Path) -> None:
    (folder / "val" / "5.png").write_bytes((folder / "train" / "0.png").read_bytes())
    finished = cli("lint", "--config", config, "--json", "--quiet")
    assert (finished.status, finished.err) == (1, "")
    said = json.loads(finished.out)
    assert list(said) == ["wrong", "findings", "statistics"]
    assert said["wrong"] is True
    assert said["findings"] == [
        {
            "kind": "same-picture-across-splits",
            "severity": "error",
            "count": 1,
            "message": "1 picture in more than one split, byte for byte: train/0.png (train) = val/5.png (val)",
            "remedy": "remove all but one: scores on pictures that were trained on are worth nothing",
            "examples": ["train/0.png (train) = val/5.png (val)"],
        }
    ]
    assert list(said["statistics"]) == ["splits", "vocabulary", "caption_lengths", "pictures"]
    assert said["statistics"]["splits"]["val"] == {"pictures": 2, "captions": 2, "unknown_rate": 0.0}
    assert said["statistics"]["pictures"]["width"] == {"min": 120, "median": 120, "max": 120}


def test_a_broken_captions_file_is_a_finding(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,captions\na.jpg,a dog\n")
    path = tmp_path / "my.yaml"
    path.write_text(f"dataset:\n  format: csv\n  root: {tmp_path}\n")
    finished = cli("lint", "--config", path, "--quiet")
    assert (finished.status, finished.err) == (1, "")
    assert finished.rows == [
        ["severity", "kind", "what is wrong", "what to do"],
        [
            "error",
            "broken-annotations",
            f"{tmp_path}/captions.csv:1: no column 'caption', did you mean 'captions'?",
            "set dataset.caption_column to one of its columns: image, captions",
        ],
    ]


def test_a_wrong_config_is_a_config_error(cli: Any, config: Path) -> None:
    assert cli("lint", "--config", config, "--set", "dataset.rot=x").status == 2


def test_on_a_terminal_there_is_a_table(cli: Any, config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from captioner.cli import console

    shown = io.StringIO()
    real = console.RichConsole

    def terminal(**options: Any) -> Any:
        return real(**options) if options.get("stderr") else real(**options, file=shown, force_terminal=True, width=200)

    monkeypatch.setattr(console, "RichConsole", terminal)
    (folder / "val" / "5.png").write_bytes(b"no picture")
    assert cli("lint", "--config", config, "--quiet").status == 1
    lines = [line.strip() for line in shown.getvalue().splitlines()]
    assert any("what is wrong" in line and "what to do" in line for line in lines)
    assert any("unreadable-pictures" in line and "1 picture cannot be read: val/5.png" in line for line in lines)
    assert any("words" in line and "captions" in line for line in lines)
