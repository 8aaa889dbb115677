"""Each program of examples/python does what its first line says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.config import DatasetConfig
from captioner.data.annotations import load_dataset

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"


def run(name: str, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = {"PYTHONPATH": str(EXAMPLES.parents[1]), "OMP_NUM_THREADS": "1", "PATH": ""}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == status, finished.stderr
    return finished


def test_every_example_is_tested() -> None:
    tests = Path(__file__).read_text() + (EXAMPLES.parents[1] / "tests/unit/test_export.py").read_text()
    assert not [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tests]


@pytest.mark.slow
def test_a_folder_is_captioned(tiny_run: Path, shapes: Path, tmp_path: Path, cli: Any) -> None:
    for number, picture in enumerate(sorted(shapes.rglob("*.png"))[:3]):
        (tmp_path / f"{number}.png").symlink_to(picture)
    (tmp_path / "broken.jpg").write_bytes(b"")
    lines = [line.split("\t") for line in run("caption_folder.py", tiny_run, tmp_path).stdout.splitlines()]
    expected = cli("caption", *(tmp_path / f"{number}.png" for number in range(3)), "--model", tiny_run).rows
    assert [caption for _, caption in lines[:3]] == [row[1] for row in expected]
    assert lines[3] == ["broken.jpg", "the file is empty"]


@pytest.mark.parametrize(
    ("name", "few", "wrong"),
    [
        ("caption_folder.py", ["run"], ["run", "holiday"]),
        ("attention_picture.py", ["run", "a.jpg"], ["run", "a.jpg", "a.png"]),
        ("onnx_caption.py", ["run"], ["run", "a.jpg"]),
    ],
)
def test_wrong_words_are_answered(name: str, few: list[str], wrong: list[str]) -> None:
    """With how it is called, or with what is wrong; no traceback."""
    assert f"python {name} " in run(name, *few, status=1).stderr
    said = run(name, *wrong, status=1).stderr
    assert "Traceback" not in said
    assert "run" in said.splitlines()[0]


@pytest.mark.slow
def test_a_decoder_of_ones_own(tiny_file: Path, shapes: Path, tmp_path: Path, cli: Any) -> None:
    model = tmp_path / "gru"
    run("gru_decoder.py", "train", "--config", tiny_file, "--set", "decoder.type=gru", "--run", model)
    picture = next(shapes.rglob("*.png"))
    captioned = run("gru_decoder.py", "caption", picture, "--model", model).stdout
    assert captioned.startswith(f"{picture}\tA ")
    assert cli("caption", picture, "--model", model).err.splitlines() == [
        f"error: {model}/best has a decoder of type 'gru', which is not known here",
        "       register it first, as the program that trained it did (docs/contributing.md)",
    ]


@pytest.mark.slow
def test_an_encoder_of_ones_own(tiny_file: Path, tmp_path: Path) -> None:
    settings = ["encoder.backbone=four-convolutions", "encoder.fine_tune=true", "training.epochs=1"]
    given = [word for setting in settings for word in ("--set", setting)]
    run("own_backbone.py", "train", "--config", tiny_file, *given, "--run", tmp_path / "four")
    run("own_backbone.py", "inspect", tmp_path / "four")
    refused = run(
        "own_backbone.py", "train", "--config", tiny_file, *given, "--set", "encoder.weights=default", status=1
    )
    assert refused.stderr.splitlines()[-2:] == [
        "error: four-convolutions is a backbone of your own, which has no default weights  [ModelError]",
        "       set encoder.weights to none, or to a state dict's path",
    ]


@pytest.mark.slow
def test_a_format_of_ones_own(shapes: Path, tmp_path: Path) -> None:
    records = load_dataset(DatasetConfig(format="shapes", root=str(shapes), size=80)).records[:20]
    for record in records:
        (tmp_path / record.file.name).symlink_to(record.file)
    lines = [f"{record.file.name} = {' | '.join(record.captions)}" for record in records]
    (tmp_path / "captions.lines").write_text("\n".join(lines))
    config = tmp_path / "lines.yaml"
    config.write_text(f"dataset:\n  format: lines\n  root: {tmp_path}\nvocab:\n  min_count: 1\n")
    found = run("own_format.py", "lint", "--config", config)
    assert "0 errors" in found.stderr or "nothing is wrong" in found.stderr
    (tmp_path / "captions.lines").write_text("beach.jpg a beach")
    refused = run("own_format.py", "vocab", "--config", config, status=1)
    assert f"error: {tmp_path}/captions.lines:1: expected 'picture = caption | caption'" in refused.stderr


@pytest.mark.slow
def test_where_a_model_looks(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "attention.png"
    caption = run("attention_picture.py", tiny_run, next(shapes.rglob("*.png")), drawn).stdout.split()
    tiles = min(7, 1 + len(caption))
    with Image.open(drawn) as image:
        assert image.width == 160 * tiles
