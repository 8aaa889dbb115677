"""``captioner caption`` run once more: what an earlier run left, what people changed since, and what is named twice."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    """Three pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        shutil.copy(shapes / "images" / f"{number:06d}.png", folder)
    return folder


def test_a_picture_that_is_named_twice_has_one_text(
    cli: Any, tiny_run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    inputs = ["000000.png", "0*.png", "./000000.png"]
    finished = cli("caption", *inputs, "--model", tiny_run, "--sidecar")
    assert (finished.status, finished.out) == (0, "")
    assert finished.err.splitlines()[-1] == "wrote texts beside 3 of 3 pictures"
    results = cli("caption", *inputs, "--model", tiny_run, "-o", "results.json", "--format", "coco", "-q")
    assert (results.status, results.err) == (0, "")
    assert [entry["image_id"] for entry in json.loads(Path("results.json").read_text())] == [0, 1, 2]
    assert [row[0] for row in cli("caption", *inputs[::2], "--model", tiny_run, "-q").rows] == ["000000.png"] * 2


def test_strips_within_the_folder_are_no_photos(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    looks, output = photos / "looks", tmp_path / "captions.csv"
    command = ["--model", tiny_run, "-r", "--attention", looks, "-o", output, "-q"]
    assert cli("caption", photos, *command).status == 0
    first, drawn = output.read_bytes(), sorted(looks.iterdir())
    assert len(drawn) == 4
    for inputs in (photos, photos / "**", photos):
        finished = cli("caption", inputs, *command)
        assert (finished.status, finished.err) == (0, "")
        assert (output.read_bytes(), sorted(looks.iterdir())) == (first, drawn)
        (looks / "index.html").unlink()  # As after a killed run.
    refused = cli("caption", photos, looks / "000000.png.png", *command)
    assert refused.status == 2
    assert refused.err.splitlines()[0] == f"error: pictures in {looks} are to be captioned"
    shutil.copy(photos / "000000.png", looks / "mine.png")
    assert cli("caption", photos, *command).status == 2


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_the_list_for_review_goes_when_none_is_asked_for(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path, suffix: str
) -> None:
    output, review = tmp_path / f"c.{suffix}", tmp_path / f"c.review.{suffix}"
    command = ["caption", photos, "--model", tiny_run, "-q", "-o"]
    cli(*command, output)
    every = output.read_bytes()
    cli(*command, output, "--min-confidence", 1)
    assert review.exists()
    assert output.read_bytes() != every
    cli(*command, output)
    assert output.read_bytes() == every
    assert not review.exists()
    cli(*command, review)  # Another command's output.
    assert cli(*command, output).status == 0
    assert review.read_bytes() == every


def test_somebody_s_own_file_with_the_name_of_a_review(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    output, review = tmp_path / "c.csv", tmp_path / "c.review.csv"
    review.write_text("my,own\n")
    command = ["caption", photos, "--model", tiny_run, "-q", "-o", output]
    assert cli(*command).status == 0
    refused = cli(*command, "--min-confidence", 0.5)
    assert refused.status == 2
    assert refused.err.startswith(f"error: {review} is there, and was not written by captioner caption")
    assert review.read_text() == "my,own\n"


@pytest.mark.parametrize("existing", ["append", "prepend"])
def test_a_line_that_is_there_is_not_added_again(cli: Any, tiny_run: Path, photos: Path, existing: str) -> None:
    photo, text = photos / "000000.png", photos / "000000.txt"
    best, second = (row[1] for row in cli("caption", photo, "--model", tiny_run, "--num-captions", 2, "-q").rows)
    mine = [best, "note by hand"] if existing == "append" else ["note by hand", best]
    text.write_text("\n".join(mine))
    command = ["caption", photo, "--model", tiny_run, "--sidecar", "--existing", existing, "-q"]
    cli(*command)
    assert text.read_text().splitlines() == mine
    for _ in range(2):
        cli(*command, "--num-captions", 2)
        assert text.read_text().splitlines() == ([*mine, second] if existing == "append" else [second, *mine])


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_an_output_that_is_a_link_stays_one(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "rows", tmp_path / "o.csv"
    link.symlink_to("real/rows")
    for known in ("", "; 3 known from before"):
        finished = cli("caption", photos, "--model", tiny_run, "-o", link)
        captioned = 0 if known else 3
        assert finished.err.splitlines()[-1] == f"captioned {captioned} of 3 pictures into {real}{known}"
        assert link.is_symlink()
        assert len(real.read_text().splitlines()) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "photos", "real"]
