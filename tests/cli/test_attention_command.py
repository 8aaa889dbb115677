"""``captioner caption --attention`` and ``--min-confidence``: strips, the page, and the list for review."""

import builtins
import csv
import io
import json
import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner
from captioner.folder import gallery as attention_gallery
from captioner.pages.overlays import strip
from captioner.text import tokenize


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    """Three pictures, two of one name, and something that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(shapes / "images" / "000000.png", folder / "a.png")
    shutil.copy(shapes / "images" / "000001.png", folder / "<b> & 'c'#.png")
    shutil.copy(shapes / "images" / "000002.png", folder / "more" / "a.png")
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture
def graded(tiny_run: Path, tmp_path: Path) -> Path:
    """The tiny model, as if it had learned which captions are right; it sees no difference, so it draws words."""
    folder = tmp_path / "graded"
    shutil.copytree(tiny_run / "best", folder)
    index = json.loads((folder / "checkpoint.json").read_text())
    calibration, sampling = index["provenance"]["calibration"], index["config"]["sampling"]
    calibration["sampling"]["method"] = sampling["method"] = "sample"
    calibration.update(slope=1.0, offset=2.0)
    index["encoder"]["transform"]["resize"] = 80  # So the encoder does not see what is near the edges.
    (folder / "checkpoint.json").write_text(json.dumps(index))
    return folder


def refused(finished: Any, problem: str, remedy: str) -> None:
    assert (finished.status, finished.out) == (2, "")
    assert finished.err == f"error: {problem}\n       {remedy}\n"


def test_a_strip_for_each_photo_and_a_page_of_all(cli: Any, graded: Path, photos: Path, tmp_path: Path) -> None:
    folder, output = tmp_path / "attention", tmp_path / "captions.json"
    finished = cli("caption", photos, "-r", "--model", graded, "-o", output, "--attention", folder)
    assert finished.status == 3
    assert f"where 3 captions look is in {folder}/index.html" in finished.err.splitlines()
    strips = ["<b> & 'c'#.png.png", "a.png.png", "more/a.png.png"]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == sorted([*strips, "index.html"])
    captioner = Captioner.load(graded, device="cpu", precision="float32")
    rows = [row for row in json.loads(output.read_text()) if not row["error"]]
    for name, row in zip(strips, rows, strict=True):
        words = tokenize(row["caption"])
        picture = captioner.read(Path(row["file"]))[0]  # type: ignore[index]
        expected = strip(picture, words, captioner.attention(row["file"], words))
        with Image.open(folder / name) as found:
            assert found.size == expected.size
            assert np.abs(np.asarray(found, np.int16) - np.asarray(expected, np.int16)).max() <= 1

    page = (folder / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", page)  # It needs nothing else.
    confidences = [float(each) for each in re.findall(r'data-confidence="(.*?)"', page)]
    assert confidences == [row["confidence"] for row in rows]
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', page)
    assert links[0] == ("%3Cb%3E%20%26%20%27c%27%23.png.png", "&lt;b&gt; &amp; &#39;c&#39;#.png")
    assert [name for _, name in links[1:]] == ["a.png", "more/a.png"]
    pictures = [Image.open(io.BytesIO(b64decode(each))).size for each in re.findall(r"base64,(.*?)\"", page)]
    said = [word for row in rows for word in tokenize(row["caption"])]
    assert len(pictures) == len(rows) + len(said)
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == said
    shares = [f" {100 * each:.0f} % · <a" for each in confidences]
    assert re.findall(r" \S+ % · <a", page.replace("\n", " ")) == shares
    assert page.count("Confidence is the probability that a caption is right. Right means close to") == 1
    assert all(row["caption"] in page for row in rows)


def test_the_page_has_no_per_cent_where_confidence_only_ranks(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path
) -> None:
    folder, output = tmp_path / "attention", tmp_path / "captions.json"
    cli("caption", photos, "-r", "--model", tiny_run / "last", "-o", output, "--attention", folder)
    page = (folder / "index.html").read_text()
    figures = [f"{row['confidence']:.2f}" for row in json.loads(output.read_text()) if not row["error"]]
    assert re.findall(r"(\d\.\d\d) · <a", page) == figures
    assert (
        '<p class="soft">This model has no calibration: its confidence ranks captions, and is no probability.</p>'
        in page
    )
    assert " %" not in page.partition("<body>")[2]


def test_one_photo_needs_no_page(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_import = builtins.__import__

    def without_jinja(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "jinja2":
            raise ImportError(name)
        return plain_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_jinja)
    folder = tmp_path / "attention"
    finished = cli("caption", photos / "a.png", "--model", tiny_run, "--attention", folder)
    assert (finished.status, len(finished.rows)) == (0, 1)
    assert [path.name for path in folder.iterdir()] == ["a.png.png"]
    refused(
        cli("caption", photos, "--model", tiny_run, "--attention", tmp_path / "other"),
        "--attention of several pictures needs Jinja2, which is not installed",
        "install it: pip install 'captioner[report]'",
    )


def test_a_long_list_has_a_page_of_its_first_photos(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_gallery, "ENTRIES", 2)
    folder = tmp_path / "attention"
    assert cli("caption", photos, "-r", "--model", tiny_run, "--attention", folder, "--quiet").status == 3
    page = (folder / "index.html").read_text()
    assert page.count("<article") == 2
    assert "These are the first 2 of\n3 photos; the others' strips lie beside this page." in page
    assert len(list(folder.rglob("*.png"))) == 3


def test_attention_goes_nowhere_near_the_photos(cli: Any, tiny_run: Path, photos: Path) -> None:
    refused(
        cli("caption", photos, "-r", "--model", tiny_run, "--attention", photos / "more"),
        f"pictures in {photos}/more are to be captioned",
        "choose another folder for --attention",
    )
    assert len(list(photos.rglob("*.png"))) == 4


def confidences(cli: Any, run: Path, photos: Path, output: Path) -> list[float]:
    cli("caption", photos, "-r", "--model", run, "-o", output, "--quiet")
    return [row["confidence"] for row in json.loads(output.read_text()) if not row["error"]]


@pytest.fixture
def middle(cli: Any, graded: Path, photos: Path, tmp_path: Path) -> float:
    """A confidence that some of the three captions have, and some have not."""
    found = sorted(confidences(cli, graded, photos, tmp_path / "all.json"))
    assert found[0] < found[-1]
    return round((found[0] + found[-1]) / 2, 6)


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_the_rest_is_on_a_list_for_review(
    cli: Any, graded: Path, photos: Path, tmp_path: Path, middle: float, suffix: str
) -> None:
    def rows(path: Path) -> list[dict[str, Any]]:
        text = path.read_text()
        if suffix == "csv":
            return list(csv.DictReader(io.StringIO(text)))
        return json.loads(text) if suffix == "json" else [json.loads(line) for line in text.splitlines()]  # type: ignore[no-any-return]

    output, review = tmp_path / f"captions.{suffix}", tmp_path / f"captions.review.{suffix}"
    command = ["caption", photos, "-r", "--model", graded, "-o", output]
    cli(*command)
    every = rows(output)
    finished = cli(*command, "--min-confidence", middle)
    kept = [row for row in every if row["error"] or float(row["confidence"]) >= middle]
    held = [row for row in every if row not in kept]
    assert (rows(output), rows(review)) == (kept, held)
    assert 0 < len(held) < 3
    assert f"{len(held)} below a confidence of {middle:g} are for review in {review}" in finished.err.splitlines()
    again = cli(*command, "--min-confidence", 0.000001)
    assert "for review" not in again.err
    assert (rows(output), rows(review)) == (every, [])
    if suffix == "csv":
        assert review.read_text() == "file,caption,log_prob,confidence,error\n"


def test_several_captions_of_a_picture_stay_together(
    cli: Any, graded: Path, photos: Path, tmp_path: Path, middle: float
) -> None:
    output = tmp_path / "captions.json"
    arguments = ["caption", photos, "-r", "--model", graded, "-o", output, "--num-captions", 2, "-q"]
    cli(*arguments, "--min-confidence", middle)
    kept, held = (json.loads(file.read_text()) for file in (output, tmp_path / "captions.review.json"))
    files = [[row["file"] for row in rows if not row["error"]] for rows in (kept, held)]
    assert files[0][::2] == files[0][1::2]
    assert files[1][::2] == files[1][1::2]
    assert sum(map(len, files)) == 6


def test_without_a_file_the_rest_is_named(cli: Any, graded: Path, photos: Path, tmp_path: Path, middle: float) -> None:
    rows = [row for row in json.loads((tmp_path / "all.json").read_text()) if not row["error"]]
    said = [
        f"warning: {row['file']}: for review, confidence {row['confidence']:.0%}: {row['caption']}"
        for row in rows
        if row["confidence"] < middle
    ]
    finished = cli("caption", photos, "-r", "--model", graded, "--min-confidence", middle, "-q")
    assert finished.err.splitlines() == [*said, "warning: 1 of 4 pictures could not be captioned"]
    assert len(finished.rows) == 4 - len(said)
    broken = f"warning: {photos}/broken.png: not a picture in a format that can be read"
    beside = cli("caption", photos, "-r", "--model", graded, "--min-confidence", middle, "-q", "--sidecar")
    assert beside.err.splitlines() == [broken, *said, "warning: 1 of 4 pictures could not be captioned"]
    assert len(list(photos.rglob("*.txt"))) == 3 - len(said)


def test_what_is_no_probability_is_said(cli: Any, tiny_run: Path, photos: Path) -> None:
    command = ["caption", photos / "a.png", "--min-confidence", 0.000001, "-q", "--model", tiny_run]
    assert cli(*command).err == ""
    assert cli(*command, "--set", "sampling.method=sample").err == (
        "warning: confidence was calibrated for method beam: random captions are right more often than it says\n"
    )
    assert cli(*command, "--model", tiny_run).err == (
        "warning: confidence was calibrated for the first model alone, not for several together\n"
    )


def test_a_person_sees_percentages_of_a_calibrated_model_alone(
    cli: Any, tiny_run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # As on a terminal.
    monkeypatch.setenv("COLUMNS", "200")
    command = ["caption", photos / "a.png", "--quiet", "--model"]
    calibrated, ranked = cli(*command, tiny_run / "best"), cli(*command, tiny_run / "last")
    lines = [re.sub(r"\x1b\[[\d;]*m", "", done.out).split("\n") for done in (calibrated, ranked)]
    assert re.fullmatch(r" +file +caption +confidence *", lines[0][1])
    assert re.fullmatch(rf" +{photos}/a.png .* \d+% *", lines[0][3])
    assert re.fullmatch(r" +file +caption +confidence \(ranks only\) *", lines[1][1])
    assert re.fullmatch(rf" +{photos}/a.png .* 0\.\d\d *", lines[1][3])
    assert calibrated.err == ""
    warning = "warning: this model has no calibration: its confidence ranks captions, and is no probability\n"
    assert re.sub(r"\x1b\[[\d;]*m", "", ranked.err) == warning
    held = cli(*command, tiny_run / "last", "--min-confidence", 1)
    assert re.sub(r"\x1b\[[\d;]*m", "", held.err) == warning
    assert "for review: confidence below 1.00" in held.out
