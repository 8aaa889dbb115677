"""``captioner caption`` over a folder, killed at any moment and started again, ends in the file of a run left alone."""

import json
import multiprocessing
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL and no fork there"),
]
KILLS = 25  # For each of two precisions.
Run = Callable[..., int | None]


def caption(*words: str) -> None:
    """``captioner caption`` in a process of its own."""
    from captioner.cli.app import main

    sys.argv = ["captioner", "caption", "--quiet", *words]
    main()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tiny_run: Path) -> Run:
    """The command's exit status; None if it was killed, by SIGKILL, ``seconds`` after its start.

    Processes are forks of one that has imported everything, so that kills fall into the work. They have four threads,
    so that 400 pictures are eight groups.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["captioner.cli.app", "captioner.folder.job", "captioner.loading", "captioner.folder.manifest"]
    )
    first = context.Process(target=int)  # The imports are not to count in how long a run lasts.
    first.start()
    first.join()

    def start(*words: object, seconds: float | None = None) -> int | None:
        process = context.Process(target=caption, args=["--model", str(tiny_run), *map(str, words)])
        process.start()
        process.join(seconds)
        if process.exitcode is not None:
            return process.exitcode
        process.kill()
        process.join()
        return None

    return start


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 small pictures, some of them equal, some broken."""
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(5)
    for number in range(400):
        file = folder / f"{number:03d}.png"
        if number % 40 == 7:
            file.write_text("no picture")
        elif number % 10 == 3 and number > 100:
            shutil.copy(folder / f"{number - 100:03d}.png", file)
        else:
            Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((64, 64)).save(file)
    return folder


def entries(manifest: Path) -> int:
    if not manifest.exists():
        return 0
    connection = sqlite3.connect(manifest)
    try:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
    except sqlite3.OperationalError:  # Killed before it had its table.
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("suffix", ["jsonl"])
def test_kills(run: Run, photos: Path, tmp_path: Path, precision: str, suffix: str) -> None:
    def words(name: str) -> list[object]:
        return [photos, "--output", tmp_path / name / f"out.{suffix}", "--set", f"training.precision={precision}"]

    started = time.monotonic()
    assert run(*words("whole")) == 3
    lasts = time.monotonic() - started
    expected = (tmp_path / "whole" / f"out.{suffix}").read_bytes()
    rows = [json.loads(line) for line in expected.decode().splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in sorted(photos.iterdir())]
    assert sum(bool(row["error"]) for row in rows) == 10

    draw = random.Random(f"seed 1, {precision}")
    kills, resumed = 0, 0
    for trial in range(4 * KILLS):
        folder = tmp_path / str(trial)
        output, manifest = folder / f"out.{suffix}", folder / f"out.{suffix}.manifest"
        status: int | None = None
        for _ in range(draw.randint(1, 4)):
            status = run(*words(folder.name), seconds=draw.uniform(0.02, lasts))
            if status is not None:
                break
            kills += 1
            assert not output.exists() or output.read_bytes() == expected
        if status is None:
            resumed += 0 < entries(manifest) < 350
            status = run(*words(folder.name))
        assert status == 3
        assert output.read_bytes() == expected
        assert sorted(folder.iterdir()) == [output, manifest]
        if kills >= KILLS and resumed >= 3:  # Kills that left a part of the work.
            return
    raise AssertionError(f"{kills} kills, of which {resumed} left a part of the work")


def test_a_killed_second_run(run: Run, photos: Path, tmp_path: Path) -> None:
    """With half of the pictures known, from another list, so that groups choose pictures here and there."""
    half = tmp_path / "half"
    half.mkdir()
    for file in sorted(photos.iterdir())[1::2]:
        shutil.copy(file, half)
    (tmp_path / "start").mkdir()
    assert run(half, "--output", tmp_path / "start" / "out.csv", "--set", "training.precision=bfloat16") == 3

    def go(name: str, seconds: float | None = None) -> int | None:
        output = tmp_path / name / "out.csv"
        if not output.exists():
            shutil.copytree(tmp_path / "start", output.parent)
        return run(photos, "--output", output, "--set", "training.precision=bfloat16", seconds=seconds)

    started = time.monotonic()
    assert go("whole") == 3
    lasts = time.monotonic() - started
    draw = random.Random(3)
    for trial in range(4):
        while go(str(trial), draw.uniform(0.1, 2 * lasts)) is None:
            pass
        assert (tmp_path / str(trial) / "out.csv").read_bytes() == (tmp_path / "whole" / "out.csv").read_bytes()


def test_killed_sidecars(run: Run, photos: Path, tmp_path: Path) -> None:
    """What is beside a picture is whole at any moment; the next run writes the others."""
    some, whole, killed = (tmp_path / name for name in ("some", "whole", "killed"))
    some.mkdir()
    for file in sorted(photos.iterdir())[:100]:
        shutil.copy(file, some)
    shutil.copytree(some, whole)
    started = time.monotonic()
    assert run(whole, "--sidecar", "--set", "training.precision=float32") == 3
    lasts = time.monotonic() - started
    expected = {file.name: file.read_bytes() for file in whole.glob("*.txt")}
    assert len(expected) == 97
    draw = random.Random(4)
    for _ in range(3):
        shutil.copytree(some, killed)
        status: int | None = None
        while status is None:
            status = run(
                killed, "--sidecar", "--set", "training.precision=float32", seconds=draw.uniform(0.3, 2 * lasts)
            )
            texts = {file.name: file.read_bytes() for file in killed.glob("*.txt")}
            assert texts.items() <= expected.items()
        assert status == 3
        assert texts == expected
        assert not list(killed.glob("*.part"))
        shutil.rmtree(killed)
