"""What many tests share: tiny data, one tiny trained model, and the command line run in this process."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# One thread computes tiny tensors faster than several, and others may be at work on this machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from captioner.cli.app import main
from captioner.config import Config
from captioner.configfile import load_config
from captioner.data.shapes.dataset import generate_shapes
from captioner.events import ignore

# The same examples on every machine: what passes here passes there.
hypothesis.settings.register_profile("same everywhere", derandomize=True)
hypothesis.settings.load_profile("same everywhere")

_MESSAGES = Path(__file__).parents[1] / "docs" / "error-reference.md"

SHAPES = 80
"""Pictures of the tiny data set: 64 to train on, 8 to validate, 8 to test."""

TINY = """\
version: 1
dataset:
  format: shapes
  root: {root}
  size: {size}
vocab:
  min_count: 1
encoder:
  backbone: mobilenet_v3_small
  weights: none
  image_size: 64
features:
  path: {features}
decoder:
  type: attention
  embedding_size: 24
  hidden_size: 32
  attention_size: 16
  dropout: 0.1
training:
  epochs: 2
  batch_size: 4
  precision: float32
  device: cpu
  learning_rate: 0.01
  warmup_steps: 2
sampling:
  method: beam
  beam_size: 2
  max_length: 8
"""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos, captions and encoder weights."""
    if "CAPTIONER_REAL_DATA" not in os.environ:
        pytest.skip("CAPTIONER_REAL_DATA is not set")
    return Path(os.environ["CAPTIONER_REAL_DATA"])


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny data set; read only."""
    root = tmp_path_factory.mktemp("shapes") / "data"
    generate_shapes(root, images=SHAPES, seed=1)
    return root


@pytest.fixture(scope="session")
def tiny_file(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config file over ``shapes`` that trains in a few seconds; its features are computed once a session."""
    folder = tmp_path_factory.mktemp("config")
    file = folder / "tiny.yaml"
    file.write_text(TINY.format(root=shapes, size=SHAPES, features=folder / "features"), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tiny_config(tiny_file: Path) -> Config:
    """``tiny_file``, read."""
    return load_config(tiny_file)


@pytest.fixture(scope="session")
def tiny_run(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of ``tiny_config``; read only."""
    from captioner.experiment import Experiment

    run = tmp_path_factory.mktemp("runs") / "tiny"
    Experiment(tiny_config, ignore).trainer(run, resume=False).fit()
    return run


@dataclass(frozen=True)
class Finished:
    """What a command did."""

    status: int
    out: str
    err: str
    """Standard error without the time of day that begins a note."""

    @property
    def rows(self) -> list[list[str]]:
        """The tab-separated cells of standard output."""
        return [line.split("\t") for line in self.out.splitlines()]


Cli = Callable[..., Finished]


def without_section(err: str) -> str:
    """What was printed, without the section of the error reference that an error names; it has to be there."""
    if not re.search("^error: ", err, flags=re.MULTILINE):
        return err
    (section,) = re.findall(r"  \[(\w+)\]$", err, flags=re.MULTILINE)
    assert f"\n## {section}\n" in _MESSAGES.read_text()
    return err.replace(f"  [{section}]\n", "\n")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``captioner ARGUMENT...`` in this process, as if its output were piped."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["captioner", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        captured = capsys.readouterr()
        err = re.sub(r"^\d\d:\d\d:\d\d ", "", captured.err, flags=re.MULTILINE)
        return Finished(status, captured.out, without_section(err))

    return run
