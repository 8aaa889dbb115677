"""The wheel and the source archive hold what is needed and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import captioner

REPOSITORY = Path(__file__).parents[2]
PARTS = {"captioner", "tests", "docs", "examples", "README.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
SUFFIXES = {".py", ".yaml", ".typed", ".j2", ".html", ".js", ".css", ".svg"}
"""Of files that the package itself may hold."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.mark.slow
def test_the_wheel(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(described).decode()
    assert f"\nVersion: {captioner.__version__}\n" in metadata
    package = {name for name in names if name.startswith("captioner/")}
    assert {name.split("/")[0] for name in names - package} == {f"captioner-{captioner.__version__}.dist-info"}
    files = {path for path in (REPOSITORY / "captioner").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert package == {path.relative_to(REPOSITORY).as_posix() for path in files}
    assert not {name for name in package if PurePosixPath(name).suffix not in SUFFIXES}
    assert {"captioner/py.typed", "captioner/pages/gallery.html.j2"} <= package


@pytest.mark.slow
def test_the_source_archive(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
    names = [PurePosixPath(member.name).relative_to(f"captioner-{captioner.__version__}") for member in members]
    assert {name.parts[0] for name in names} <= PARTS
    kept = {"pyproject.toml", "README.md", "LICENSE", "examples/shapes.yaml", "docs/README.md", "tests/conftest.py"}
    assert kept <= {str(name) for name in names}
    suffixes = {*SUFFIXES, ".md", ".png", ".toml", ".json", ".ipynb", ""}
    assert not [str(name) for name in names if name.suffix not in suffixes]
    assert not [str(name) for name in names if {"data", "runs", "features", "__pycache__"} & {*name.parts[:1]}]
    assert sum(member.size for member in members) < 5_000_000
    assert not [member.name for member in members if member.size > 500_000]


def test_the_version_is_written_once() -> None:
    files = [REPOSITORY / "pyproject.toml", *(REPOSITORY / "captioner").rglob("*.py")]
    holding = [
        path.relative_to(REPOSITORY).as_posix() for path in files if f'"{captioner.__version__}"' in path.read_text()
    ]
    assert holding == ["captioner/__init__.py"]
