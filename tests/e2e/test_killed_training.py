"""``captioner train``, killed at any moment and resumed, ends bit for bit where a run left alone ends."""

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner.checkpoint.reading import load_checkpoint, load_training_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL and no fork there"),
]
KILLS = 8
SETTINGS = [
    "training.epochs=2",
    "training.average_decay=0.9",
    "training.schedule=plateau",
    "training.checkpoint_minutes=1.0e-6",  # Whenever the one before is written.
    "decoder.dropout=0.4",
    "decoder.hidden_size=256",  # Takes some time to write.
]


def train(*words: str) -> None:
    """``captioner train`` in a process of its own."""
    from captioner.cli.app import main

    sys.argv = ["captioner", "train", "--quiet", *words]
    main()


def state_of(run: Path) -> dict[str, Any]:
    """All that a finished run leaves, but for times."""
    times = {"captions_per_second", "tokens_per_second", "waiting"}
    last = load_training_state(run / "last")
    position = last["position"]
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {
        "last": load_checkpoint(run / "last").model.state_dict(),
        "best": load_checkpoint(run / "best").model.state_dict(),
        "optimisation": last["optimisation"],
        "processes": last["processes"],
        "position": {name: value for name, value in position.items() if name not in {"rows", "seconds", "waited"}},
        "log": [{name: value for name, value in row.items() if name not in times} for row in rows],
    }


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_equal(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for place, part in enumerate(one):
            assert_equal(part, other[place], f"{where}[{place}]")
    else:
        assert one == other, where


def test_kills(tiny_file: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captioner.cli.app", "captioner.experiment"])
    first = context.Process(target=int)  # Imports are not to count in how long a run lasts.
    first.start()
    first.join()

    def run(folder: Path, *words: str, seconds: float | None = None) -> int | None:
        """The exit status; None if it was killed."""
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        process = context.Process(
            target=train, args=["--config", str(tiny_file), "--run", str(folder), *settings, *words]
        )
        process.start()
        process.join(seconds)
        if process.exitcode is not None:
            return process.exitcode
        process.kill()
        process.join()
        return None

    run(tmp_path / "features")  # Which are then there.
    started = time.monotonic()
    assert run(tmp_path / "whole") == 0
    lasts = time.monotonic() - started
    expected = state_of(tmp_path / "whole")
    assert [row["epoch"] for row in expected["log"]] == [1, 2]

    draw = random.Random(7)
    kills = early = trial = 0
    while kills < KILLS or not early:
        folder = tmp_path / str(trial)
        trial += 1
        status: int | None = None
        patience = 1.0
        while status is None:
            begun, known = (folder / "last" / "checkpoint.json").exists(), (folder / "config.yaml").exists()
            words = ["--resume"] if begun or (known and draw.random() < 0.5) else []
            # Every other first kill falls into the beginning, before there is a checkpoint.
            latest = lasts / 4 if trial % 2 and not known else 1.5 * lasts
            status = run(folder, *words, seconds=draw.uniform(0.1, latest * patience))
            patience *= 1.2  # Beside other programs a run may take longer than the one that was timed.
            if status is None:
                kills += 1
                early += not (folder / "last" / "checkpoint.json").exists()
        assert status == 0
        assert_equal(state_of(folder), expected)
        assert not list(folder.rglob("*.part")), "what killed processes left"
