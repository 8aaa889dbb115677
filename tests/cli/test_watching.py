"""A training told to programs and to TensorBoard."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from captioner.events import EpochDone, Note, Progress, Warned, to_json


def test_train_for_programs(cli: Any, tiny_file: Path, tmp_path: Path) -> None:
    """Every line is one event; those of the epochs are the log."""
    run = tmp_path / "run"
    finished = cli("train", "--config", tiny_file, "--run", run, "--json")
    assert finished.status == 0
    events = [json.loads(line) for line in finished.out.splitlines()]
    assert {event["event"] for event in events} - {"warning"} == {"note", "progress", "epoch"}
    rows = [event["row"] for event in events if event["event"] == "epoch"]
    assert rows == [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    batches = [event for event in events if event["event"] == "progress" and event["task"].startswith("epoch ")]
    assert len(batches) == 32
    assert [event["values"]["step"] for event in batches] == list(range(1, 33))
    assert batches[16] == {
        "event": "progress",
        "task": "epoch 2/2",
        "done": 1,
        "total": 16,
        "unit": "batches",
        "detail": batches[16]["detail"],
        "values": {
            "epoch": 2,
            "epochs": 2,
            "step": 17,
            **{
                key: batches[16]["values"][key]
                for key in ("loss", "captions_per_second", "tokens_per_second", "waiting")
            },
        },
    }
    assert batches[16]["detail"].startswith(f"loss {batches[16]['values']['loss']:.3f}, ")
    assert events[-1] == {"event": "note", "text": f"try it: captioner caption PHOTO.jpg --model {run}"}
    assert finished.err == ""


def test_every_event_has_a_name_and_its_fields() -> None:
    assert to_json(Note("a")) == {"event": "note", "text": "a"}
    assert to_json(Warned("b")) == {"event": "warning", "text": "b"}
    assert to_json(EpochDone({"epoch": 1})) == {"event": "epoch", "row": {"epoch": 1}}
    assert to_json(Progress("t", 1, 2, "u"))["event"] == "progress"


def test_what_is_no_number_is_null_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    from captioner.cli.console import Console

    Console(events=True).listen(EpochDone({"epoch": 1, "loss": float("nan"), "best": float("inf"), "name": "é"}))
    assert (
        capsys.readouterr().out == '{"event": "epoch", "row": {"epoch": 1, "loss": null, "best": null, "name": "é"}}\n'
    )


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard would draw: for each name, the value at each step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    return {name: {event.step: event.value for event in read.Scalars(name)} for name in read.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_log(cli: Any, tiny_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = tmp_path / "run"
    finished = cli("train", "--config", tiny_file, "--run", run, "--tensorboard", "--quiet")
    assert finished.status == 0, finished.err
    drawn = scalars(run)
    for row in (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()):
        for name in set(row) - {"step"}:
            assert drawn[f"epoch/{name}"][row["step"]] == pytest.approx(row[name], rel=1e-6), name
    assert sorted(drawn["batch/loss"]) == list(range(1, 33))


def test_tensorboard_that_is_missing(
    cli: Any, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    finished = cli("train", "--config", tiny_file, "--run", tmp_path / "run", "--tensorboard")
    assert finished.status == 2
    assert finished.err.splitlines() == [
        "error: --tensorboard needs TensorBoard, which is not installed",
        "       install it: pip install 'captioner[tensorboard]'",
    ]
    assert not (tmp_path / "run").exists()
