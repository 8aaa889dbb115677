"""torchrun: a list that several processes caption gives, byte for byte, what one process gives."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from captioner.folder.manifest import Manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, file in enumerate(sorted((shapes / "images").glob("*.png"))[:70]):
        shutil.copy(file, folder)
        if number % 10 == 0:
            shutil.copy(file, folder / f"copy of {file.name}")
    (folder / "broken.png").write_text("no picture")
    return folder


def run(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command = [*start, "captioner", "caption", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_are_as_one(tiny_run: Path, photos: Path, tmp_path: Path, processes: int) -> None:
    one, several = tmp_path / "one.csv", tmp_path / "several.csv"
    arguments = [photos, "--model", tiny_run, "--set", "sampling.method=sample", "--output"]
    assert run(1, *arguments, one).returncode == 3
    finished = run(processes, *arguments, several)
    assert finished.returncode == 1  # torchrun's own word for the 3 of its processes.
    assert several.read_bytes() == one.read_bytes()
    assert len(several.read_text().splitlines()) == 1 + 70 + 7 + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.csv", "one.csv.manifest", "several.csv", "several.csv.manifest",
    ]  # fmt: skip
    assert "warning: 1 of 78 pictures could not be captioned" in finished.stderr
    again = run(1, *arguments, several)
    assert f"captioned 0 of 78 pictures into {several}; 77 known from before" in again.stderr


def test_what_a_killed_job_has_left_is_known(tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "captions.jsonl"
    (photos / "broken.png").unlink(missing_ok=True)
    run(1, photos, "--model", tiny_run, "--output", output)
    expected = output.read_bytes()
    (tmp_path / "captions.jsonl.manifest").rename(tmp_path / "captions.jsonl.manifest.4")
    output.unlink()
    (tmp_path / "captions.jsonl.manifest.1.part").write_bytes(b"half of something")
    finished = run(2, photos, "--model", tiny_run, "--output", output)
    assert finished.returncode == 0, finished.stderr
    assert f"captioned 0 of 77 pictures into {output}; 77 known from before" in finished.stderr
    assert output.read_bytes() == expected
    with Manifest(tmp_path / "captions.jsonl.manifest"):
        assert not (tmp_path / "captions.jsonl.manifest.4").exists()


def test_lines_and_texts_come_from_the_first_process(tiny_run: Path, photos: Path, tmp_path: Path) -> None:
    files = sorted(str(path) for path in photos.glob("*.png"))[:20]
    one = run(1, *files, "--model", tiny_run, "--quiet")
    several = run(2, *files, "--model", tiny_run, "--quiet")
    assert several.stdout == one.stdout
    assert run(2, *files, "--model", tiny_run, "--sidecar", "--quiet").returncode == 0
    texts = [Path(file).with_suffix(".txt").read_text() for file in files]
    assert texts == [line.split("\t")[1] + "\n" for line in one.stdout.splitlines()]
    assert json.dumps(texts) != "[]"
