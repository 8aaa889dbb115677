"""``torchrun -m captioner``: two processes do what one does, each picture once, and outlive each other's deaths."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.checkpoint.reading import load_checkpoint
from captioner.configfile import load_config
from captioner.events import ignore
from captioner.experiment import Experiment

pytestmark = pytest.mark.slow

PROGRAM = """\
import os, signal
from captioner import processes
from captioner.cli.app import main
from captioner.training.objectives import CrossEntropy
from captioner.training.optimisation import Optimisation

step, prepare = Optimisation.step, CrossEntropy.prepare

def mortal_step(self, batch):
    if self.steps == int(os.environ.get("DIE_AT", -1)) and processes.rank() == 1 and not processes.restarts():
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)

def short_prepare(self, batch, number):
    if processes.rank() == 1 and len(batch.images) > int(os.environ.get("PICTURES", 99)):
        raise MemoryError
    return prepare(self, batch, number)

Optimisation.step, CrossEntropy.prepare = mortal_step, short_prepare
main()
"""
SETTINGS = [
    "--set",
    "decoder.dropout=0",
    "--set",
    "training.batch_size=7",
    "--set",
    "training.checkpoint_minutes=1.0e-6",
]
"""64 pictures: the last batch has a single one, of which only one process has a share."""


def run(folder: Path, *words: object, number: int = 2, options: tuple[str, ...] = (), **environment: str) -> Any:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    paths = os.pathsep.join(sys.path)
    every = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "COLUMNS": "200", **environment}
    start = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number), *options, "--"]
        if number > 1
        else []
    )
    command = [sys.executable, *start, str(program), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=every, timeout=900, cwd=folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def runs(work: Path, tiny_file: Path) -> tuple[Path, Path]:
    """A run of one process, which computes features, and one of two."""
    for name, number in (("one", 1), ("two", 2)):
        finished = run(work, "train", "--config", tiny_file, "--run", work / name, *SETTINGS, number=number)
        assert finished.returncode == 0, finished.stderr
        told = [line for line in finished.stderr.splitlines() if " epoch 2: loss" in line]
        assert len(told) == 1, finished.stderr
    return work / "one", work / "two"


def test_two_processes_learn_as_one(runs: tuple[Path, Path]) -> None:
    one, two = map(rows, runs)
    assert [row["step"] for row in one] == [row["step"] for row in two] == [10, 20]
    for row, other in zip(one, two, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-5)
        assert other["val_perplexity"] == pytest.approx(row["val_perplexity"], rel=1e-4)
        assert other["learning_rate"] == row["learning_rate"]
    models = [load_checkpoint(folder / "last").model.decoder for folder in runs]
    weights, others = [torch.nn.utils.parameters_to_vector(model.parameters()).detach() for model in models]
    # All at once: over a random encoder some gradients are all rounding, and AdamW makes whole steps of them.
    assert torch.dist(weights, others) < 5e-3 * weights.norm()


def test_a_death_and_what_torchrun_starts_again(work: Path, runs: tuple[Path, Path], tiny_file: Path) -> None:
    """To the very bit of two processes that were left alone; and without a restart, an end with two lines."""
    words = ["train", "--config", tiny_file, "--run", work / "dead", *SETTINGS]
    died = run(work, *words, DIE_AT="13")
    assert died.returncode == 1
    (told,) = [line for line in died.stderr.splitlines() if line.startswith("error:")]
    assert told in (
        "error: another process of this job has died  [JobError]",
        "error: torchrun has ended this job: another of its processes has died, or it was told to  [JobError]",
    )
    words[4] = work / "again"
    again = run(work, *words, options=("--max-restarts", "1"), DIE_AT="13")
    assert again.returncode == 0, again.stderr
    expected = load_checkpoint(runs[1] / "last").model.state_dict()
    found = load_checkpoint(work / "again" / "last").model.state_dict()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert [row["val_CIDEr"] for row in rows(work / "again")] == [row["val_CIDEr"] for row in rows(runs[1])]


def test_one_of_two_has_little_memory(work: Path, runs: tuple[Path, Path], tiny_file: Path) -> None:
    finished = run(work, "train", "--config", tiny_file, "--run", work / "short", *SETTINGS, PICTURES="1")
    assert finished.returncode == 0, finished.stderr
    for row, other in zip(rows(runs[0]), rows(work / "short"), strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-5)


def test_two_processes_score_as_one(work: Path, runs: tuple[Path, Path]) -> None:
    shown = []
    for number in (1, 2):
        words = ["evaluate", "--model", runs[0], "--output", work / f"{number}.json"]
        finished = run(work, *words, "--per-image", work / f"{number}.jsonl", number=number)
        assert finished.returncode == 0, finished.stderr
        shown.append(finished.stdout)
    assert shown[1] == shown[0] != ""
    for name in ("json", "jsonl"):
        assert (work / f"2.{name}").read_bytes() == (work / f"1.{name}").read_bytes()


def test_two_processes_compute_each_picture_s_features_once(
    work: Path, runs: tuple[Path, Path], tiny_file: Path
) -> None:
    finished = run(work, "preprocess", "--config", tiny_file, "--set", f"features.path={work}/store")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("80 pictures' features are in") == 1
    listings = [json.loads(file.read_text()) for file in (work / "store").glob("[0-9]*.json")]
    names = Counter(name for listing in listings for name, *_ in listing)
    assert len(names) == 80
    assert set(names.values()) == {1}
    read = [
        Experiment(load_config(tiny_file, overrides), ignore).pictures("train")[1].read(range(64))
        for overrides in ([], [f"features.path={work}/store"])
    ]
    assert torch.equal(*read)
