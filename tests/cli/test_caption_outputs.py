"""``captioner caption`` into files and sidecars: forms, names, what is known, and what clashes."""

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    """Six pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        shutil.copy(shapes / "images" / f"{number:06d}.png", folder)
    return folder


def captions(cli: Any, run: Path, *arguments: object) -> list[str]:
    """What the table says."""
    return [row[1] for row in cli("caption", *arguments, "--model", run, "--quiet").rows]


def last(finished: Any) -> str:
    return finished.err.splitlines()[-1]


def test_a_second_run_captions_what_is_new_or_changed(
    cli: Any, tiny_run: Path, photos: Path, shapes: Path, tmp_path: Path
) -> None:
    output = tmp_path / "captions.jsonl"
    command = ["caption", photos, "--model", tiny_run, "--output", output]
    assert last(cli(*command)) == f"captioned 6 of 6 pictures into {output}"
    first = output.read_bytes()
    assert last(cli(*command)) == f"captioned 0 of 6 pictures into {output}; 6 known from before"
    assert output.read_bytes() == first
    shutil.copy(shapes / "images" / "000010.png", photos / "000000a.png")  # New, and moves the others on.
    shutil.copy(shapes / "images" / "000011.png", photos / "000004.png")  # Changed.
    (photos / "000005.png").rename(photos / "another name.png")
    assert last(cli(*command)) == f"captioned 2 of 7 pictures into {output}; 5 known from before"
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in sorted(photos.iterdir())]
    assert [row["caption"] for row in rows] == captions(cli, tiny_run, photos)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.jsonl", "captions.jsonl.manifest", "photos"]


@pytest.mark.parametrize("name", ["mine.json", "mine.jsonl", "mine.csv"])
def test_a_file_of_something_else_is_not_written_over(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    text = {"mine.json": '{"my": "thesis"}', "mine.jsonl": '{"my": "thesis"}', "mine.csv": "file,size\na.jpg,3\n"}[name]
    output.write_text(text)
    command = ["caption", photos, "--model", tiny_run, "--output", output, "--quiet"]
    finished = cli(*command)
    assert (finished.status, finished.out, output.read_text()) == (2, "", text)
    assert finished.err.splitlines() == [
        f"error: {output} is there, and was not written by captioner caption",
        "       choose another name, or remove it",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "photos"]
    output.write_text("")
    for more in ([], [], ["--format", "coco"], ["--format", "csv"], []):  # Captions may be replaced, in any form.
        assert cli(*command, *more).status == 0


@pytest.fixture
def other(tiny_run: Path, tmp_path: Path) -> Path:
    """A model that differs from the tiny one in one weight."""
    from captioner.checkpoint.reading import load_checkpoint, save_checkpoint

    known = load_checkpoint(tiny_run)
    with torch.no_grad():
        next(known.model.decoder.parameters()).view(-1)[0] += 1e-3
    save_checkpoint(tmp_path / "other", known.model, known.vocabulary, known.config, known.provenance)
    return tmp_path / "other"


def test_another_sampling_or_model_captions_anew_and_another_wording_does_not(
    cli: Any, tiny_run: Path, other: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "captions.csv"
    command = ["caption", photos, "--output", output, "--model"]
    cli(*command, tiny_run)
    worded = cli(*command, tiny_run, "--prefix", "so: ", "--suffix", " (!)", "--full-stop")
    assert last(worded) == f"captioned 0 of 6 pictures into {output}; 6 known from before"
    plain = captions(cli, tiny_run, photos)
    with output.open(newline="") as file:
        assert [row["caption"] for row in csv.DictReader(file)] == [f"so: {caption}. (!)" for caption in plain]
    sampled = cli(*command, tiny_run, "--set", "sampling.max_length=3")
    assert last(sampled) == f"captioned 6 of 6 pictures into {output}"
    assert last(cli(*command, other)) == f"captioned 6 of 6 pictures into {output}"
    assert last(cli(*command, tiny_run)) == f"captioned 0 of 6 pictures into {output}; 6 known from before"


def test_equal_pictures_are_captioned_once(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    for number in range(30):
        shutil.copy(photos / "000003.png", photos / f"copy {number:02d}.png")
    output = tmp_path / "captions.json"
    finished = cli("caption", photos, "--model", tiny_run, "--output", output)
    assert last(finished) == f"captioned 6 of 36 pictures into {output}; 30 known from before"
    rows = json.loads(output.read_text())
    assert len({row["caption"] for row in rows if row["file"].endswith(("000003.png", "copy 17.png"))}) == 1


def test_unreadable_pictures_are_tried_again(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "captions.jsonl"
    late = photos / "late.png"
    command = ["caption", photos / "000000.png", late, "--model", tiny_run, "--output", output]
    assert cli(*command).status == 3
    shutil.copy(photos / "000001.png", late)
    finished = cli(*command)
    assert (finished.status, last(finished)) == (0, f"captioned 1 of 2 pictures into {output}; 1 known from before")


def test_coco_results(cli: Any, tiny_run: Path, photos: Path, shapes: Path, tmp_path: Path) -> None:
    """pycocotools takes them, and so does evaluate; what could not be captioned is named instead."""
    from pycocotools.coco import COCO

    (photos / "000005.png").rename(photos / "COCO_val2014_000000391895.png")
    (photos / "000006.png").write_text("no picture")
    output = tmp_path / "results.json"
    finished = cli("caption", photos, "--model", tiny_run, "--output", output, "--format", "coco", "--quiet")
    assert finished.status == 3
    assert finished.err.splitlines() == [
        f"warning: {photos}/000006.png: not a picture in a format that can be read",
        "warning: 1 of 7 pictures could not be captioned",
    ]
    results = json.loads(output.read_text())
    ids = [0, 1, 2, 3, 4, 391895]
    assert [list(entry) for entry in results] == [["image_id", "caption"]] * 6
    assert [entry["image_id"] for entry in results] == ids
    references = tmp_path / "references.json"
    annotations = [{"id": number, "image_id": one, "caption": "A red circle."} for number, one in enumerate(ids)]
    references.write_text(json.dumps({"images": [{"id": one} for one in ids], "annotations": annotations}))
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(references)).loadRes(str(output))
    assert sorted(loaded.getImgIds()) == ids
    scored = cli("evaluate", "--predictions", output, "--references", references, "--json")
    assert json.loads(scored.out)["images"] == 6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("COCO_val2014_000000391895.jpg", 391895),
        ("a/000000000009.jpg", 9),
        ("7.png", 7),
        ("IMG_0007.jpg", "IMG_0007"),
        ("photo.of.me.jpg", "photo.of.me"),
        ("٣.jpg", "٣"),
        ("9" * 30 + ".jpg", "9" * 30),
    ],
)
def test_image_ids(name: str, expected: int | str) -> None:
    from captioner.folder.destinations import image_id

    assert image_id(name) == expected


def refused(finished: Any, problem: str, remedy: str) -> None:
    assert (finished.status, finished.out) == (2, "")
    assert finished.err.splitlines() == [f"error: {problem}", f"       {remedy}"]


def test_clashes_are_refused(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    shutil.copy(photos / "000001.png", tmp_path / "b" / "1.png")
    refused(
        cli("caption", photos, tmp_path / "b", "--model", tiny_run, "-o", tmp_path / "r.json", "--format", "coco"),
        f"{photos}/000001.png and {tmp_path}/b/1.png would both be image 1",
        "caption them into files of their own, or rename one",
    )
    shutil.copy(photos / "000001.png", photos / "000001.gif")
    refused(
        cli("caption", photos, "--model", tiny_run, "--sidecar"),
        f"{photos}/000001.gif and {photos}/000001.png would share {photos}/000001.txt",
        "rename one of them, or write to one file by --output",
    )
    assert not list(photos.glob("*.txt"))


def test_options_that_do_not_go_together(cli: Any, tiny_run: Path, photos: Path) -> None:
    command = ["caption", photos, "--model", tiny_run]
    refused(cli(*command, "--format", "coco"), "--format coco is about --output, which is missing", "add --output")
    refused(
        cli(*command, "--existing", "skip"), "--existing skip is about --sidecar, which is missing", "add --sidecar"
    )
    refused(
        cli(*command, "--sidecar", "-o", "x.json"),
        "--output and --sidecar are two destinations",
        "run the command once for each",
    )
    refused(cli(*command, "-o", photos), f"{photos} is a folder", "name a file in it")


def test_sidecars(cli: Any, tiny_run: Path, photos: Path) -> None:
    expected = captions(cli, tiny_run, photos)
    (photos / "000002.txt").write_text("mine")
    command = ["caption", photos, "--model", tiny_run, "--sidecar"]
    finished = cli(*command)
    assert (finished.status, finished.out) == (0, "")
    assert last(finished) == "wrote texts beside 5 of 6 pictures; 1 had one already (see --existing)"
    texts = [f"{caption}\n" for caption in expected]
    texts[2] = "mine"
    assert [(photos / f"{number:06d}.txt").read_text() for number in range(6)] == texts
    assert last(cli(*command)) == "wrote texts beside 0 of 6 pictures; 6 had one already (see --existing)"
    (photos / "000004.png").write_text("no picture")
    broken = cli(*command, "--existing", "overwrite", "--prefix", "ohne Zweifel: ")
    assert broken.status == 3
    assert broken.err.splitlines() == [
        f"warning: {photos}/000004.png: not a picture in a format that can be read",
        "captioning: 6 of 6 pictures",
        "wrote texts beside 5 of 6 pictures",
        "warning: 1 of 6 pictures could not be captioned",
    ]
    assert (photos / "000002.txt").read_text() == f"ohne Zweifel: {expected[2]}\n"
    assert (photos / "000004.txt").read_text() == texts[4]
    assert not list(photos.glob("*.part"))


@pytest.mark.parametrize("existing", ["append", "prepend"])
@pytest.mark.parametrize("text", ["mine\nand yours", "mine\nand yours\n", ""])
def test_a_caption_is_added_once(cli: Any, tiny_run: Path, photos: Path, existing: str, text: str) -> None:
    (caption,) = captions(cli, tiny_run, photos / "000000.png")
    sidecar = photos / "000000.txt"
    sidecar.write_text(text)
    for _ in range(2):  # As after a killed run.
        cli("caption", photos / "000000.png", "--model", tiny_run, "--sidecar", "--existing", existing)
        lines = [*text.splitlines(), caption] if existing == "append" else [caption, *text.splitlines()]
        assert sidecar.read_text() == "\n".join(lines) + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
def test_strange_names_survive(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    names = [
        b"tab\there.png",
        b"line\nend.png",
        b"return\rhere.png",
        b"\xff\xfe.png",
        '👩‍🚀, "ä".png'.encode(),
        b"\x1b[2J.png",
    ]
    folder = tmp_path / "strange"
    folder.mkdir()
    for number, name in enumerate(names):
        shutil.copy(photos / f"{number:06d}.png", os.fsencode(folder) + b"/" + name)
    files = [os.fsencode(folder) + b"/" + name for name in sorted(names, key=os.fsdecode)]
    for suffix in ("json", "jsonl", "csv"):
        output = tmp_path / f"captions.{suffix}"
        finished = cli("caption", folder, "--model", tiny_run, "--output", output)
        assert finished.status == 0
        text = output.read_bytes().decode()  # It is UTF-8 throughout.
        if suffix == "csv":
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            found = [row["file"].replace("\\udcff\\udcfe", "\udcff\udcfe") for row in rows]
        else:
            rows = json.loads(text) if suffix == "json" else [json.loads(line) for line in text.split("\n")[:-1]]
            found = [row["file"] for row in rows]
        assert [os.fsencode(name) for name in found] == files
    output = tmp_path / "results.json"
    assert cli("caption", folder, "--model", tiny_run, "--output", output, "--format", "coco").status == 0
    assert {entry["image_id"] + ".png" for entry in json.loads(output.read_text())} == {os.fsdecode(n) for n in names}
    for file in files:
        Path(os.fsdecode(file)).write_text("no picture")
    said = cli("caption", folder, "--model", tiny_run, "--sidecar", "--quiet").err.splitlines()
    assert len(said) == len(names) + 1
    assert f"warning: {folder}/\\x1b[2J.png: not a picture in a format that can be read" in said
    assert f"warning: {folder}/\\udcff\\udcfe.png: not a picture in a format that can be read" in said


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
def test_bytes_of_names_stay_in_a_pipe(tiny_run: Path, photos: Path) -> None:
    shutil.copy(photos / "000000.png", os.fsdecode(os.fsencode(photos) + b"/\xff.png"))
    command = [sys.executable, "-m", "captioner", "caption", "-", "--model", str(tiny_run), "--quiet"]
    finished = subprocess.run(command, input=os.fsencode(photos) + b"/\xff.png\n", capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(os.fsencode(photos) + b"/\xff.png\t")


def test_another_captioner_at_work(cli: Any, tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    from captioner.folder.manifest import Manifest

    with Manifest(tmp_path / "captions.csv.manifest"):
        refused(
            cli("caption", photos, "--model", tiny_run, "--output", tmp_path / "captions.csv"),
            f"another captioner is at work with {tmp_path}/captions.csv.manifest",
            "wait for it to end, or choose another --output",
        )


def test_a_large_picture_is_refused_in_a_folder(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    Image.new("1", (20_000, 6_000)).save(tmp_path / "huge.png")
    finished = cli("caption", tmp_path, "--model", tiny_run)
    assert finished.rows == [[str(tmp_path / "huge.png"), "", "has 120 megapixels; the limit is 100"]]
