"""``--engine ray``: a Ray cluster on this machine gives, byte for byte, the rows of one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from captioner.data.cloud import is_cloud, list_cloud, read_cloud
from captioner.errors import ImageError, UsageError


@pytest.fixture(scope="module")
def photos(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for number, file in enumerate(sorted((shapes / "images").glob("*.png"))[:20]):
        shutil.copy(file, folder / "more" if number % 5 == 0 else folder)
    shutil.copy(file, folder / ".hidden.png")
    (folder / "broken.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


SAME = ["--set", "training.precision=float32", "--set", "sampling.method=sample"]
"""Nothing that depends on who is computed with whom, and every picture something else."""


def caption(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "captioner",
        "caption",
        *map(str, arguments),
        "--set",
        "training.precision=float32",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=400)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["", "file://"], ids=["files", "addresses"])
def test_a_cluster_is_as_one_process(tiny_run: Path, photos: Path, tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    arguments = [
        f"{address}{photos}",
        "-r",
        "--model",
        tiny_run,
        "--set",
        "sampling.method=sample",
        "--num-captions",
        2,
    ]
    one, several = tmp_path / "one.csv", tmp_path / "several.csv"
    assert caption(*arguments, "-o", one).returncode == 3
    finished = caption(*arguments, "-o", several, "--engine", "ray")
    assert finished.returncode == 3, finished.stderr
    assert several.read_bytes() == one.read_bytes()
    assert len(one.read_text().splitlines()) == 1 + 2 * 20 + 1
    assert f"captioned 20 of 21 pictures into {several}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_what_an_address_names(photos: Path) -> None:
    pytest.importorskip("pyarrow")
    suffixes = {".png"}
    direct = list_cloud(f"file://{photos}/", suffixes, recursive=False)
    assert direct == [f"file://{path}" for path in sorted(photos.glob("[!.]*.png"))]
    every = list_cloud(f"file://{photos}", suffixes, recursive=True)
    assert len(every) == 21
    assert every == sorted(every)
    assert list_cloud(direct[0], suffixes, recursive=False) == direct[:1]
    assert read_cloud(direct[0], 1 << 20) == Path(direct[0].removeprefix("file://")).read_bytes()
    with pytest.raises(ImageError, match="no such file"):
        read_cloud(f"file://{photos}/none.png", 1 << 20)
    with pytest.raises(ImageError, match="the limit is 0"):
        read_cloud(direct[0], 10)
    with pytest.raises(ImageError, match="cannot be read: "):
        read_cloud("nowhere://bucket/dog.jpg", 10)
    with pytest.raises(UsageError, match="cannot look into nowhere://bucket/: "):
        list_cloud("nowhere://bucket/", suffixes, recursive=False)
    assert not is_cloud(photos)
    assert not is_cloud("photos/a.png")


def test_what_does_not_go_together(cli, tiny_run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["caption", photos, "--model", tiny_run, "--engine", "ray"]
    refused = cli(*command, "--attention", photos / "looks")
    assert (refused.status, refused.err) == (
        2, "error: --attention draws on this computer\n       leave out --engine ray\n",
    )  # fmt: skip
    for name in ("ray", "ray.data", "pyarrow", "pyarrow.fs"):
        monkeypatch.setitem(sys.modules, name, None)
    missing = cli(*command)
    assert (missing.status, missing.err) == (
        2,
        "error: --engine ray needs Ray, which is not installed\n       install it: pip install 'captioner[ray]'\n",
    )
    missing = cli("caption", "s3://bucket/dog.jpg", "--model", tiny_run)
    assert (missing.status, missing.err) == (
        2,
        "error: s3://bucket/dog.jpg needs pyarrow, which is not installed\n"
        "       install it: pip install 'captioner[ray]'\n",
    )
