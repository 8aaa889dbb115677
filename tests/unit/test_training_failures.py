"""What goes wrong while training: crashes, full disks, too little memory, a loss that is no number, late data."""

import json
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_training import TIMES, assert_same_model, config_of, log_of, trainer_of, without_times

from captioner import processes
from captioner.batch import Batch
from captioner.checkpoint.reading import load_checkpoint, load_training_state
from captioner.data.pictures import StoredPictures
from captioner.errors import StorageError, TrainingError, UsageError
from captioner.events import EpochDone, Event, Note, Progress, Warned, ignore
from captioner.experiment import Experiment
from captioner.training.objectives import CrossEntropy
from captioner.training.saving import Saving

OFTEN = "training.checkpoint_minutes=1.0e-6"
NO_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)


class Crash(BaseException):
    """What no handler of errors sees, as a kill."""


class CrashAfter:
    """A listener at which everything ends once a number of batches has been trained on."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.task.startswith("epoch"):
            self.left -= 1
            if self.left < 0:
                raise Crash


def test_a_crashed_run_goes_on_from_its_last_checkpoint(tiny_file: Path, tmp_path: Path) -> None:
    """To the same end, wherever that checkpoint was; tests/e2e kills real processes."""
    settings = ["training.epochs=2", "training.average_decay=0.9", "decoder.dropout=0.4"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer_of(config_of(tiny_file, *settings), whole).fit()
    positions = []
    for number, batches in enumerate([6, 3, 12]):
        with pytest.raises(Crash):
            trainer_of(config_of(tiny_file, *settings, OFTEN), parts, CrashAfter(batches), resume=number > 0).fit()
        position = load_training_state(parts / "last")["position"]
        positions.append((position["epoch"], position["step_in_epoch"]))
        torch.manual_seed(number)  # Whatever happens between two processes.
    assert positions == sorted(positions)
    assert positions[0] > (0, 0)
    trainer_of(config_of(tiny_file, *settings), parts, resume=True).fit()
    assert without_times(log_of(parts)) == without_times(log_of(whole))
    assert_same_model(parts / "last", whole / "last")
    assert_same_model(parts / "best", whole / "best")
    states = [load_training_state(run / "last") for run in (whole, parts)]
    for one, other in zip(*(state["optimisation"]["optimizer"]["state"].values() for state in states), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(states[0]["processes"][0]["random"], states[1]["processes"][0]["random"])


def test_a_run_that_ended_before_its_first_checkpoint(tiny_file: Path, tmp_path: Path) -> None:
    """Both commands begin it anew, and a folder that holds no run is still an error."""
    config = config_of(tiny_file, "training.epochs=1")
    with pytest.raises(UsageError) as caught:
        trainer_of(config, tmp_path / "run", resume=True)
    assert caught.value.problem == f"there is no run to resume in {tmp_path}/run"
    assert caught.value.remedy == "leave out --resume to begin one"
    with pytest.raises(Crash):
        trainer_of(config, tmp_path / "run", CrashAfter(3)).fit()
    (tmp_path / "run" / "last").mkdir()  # A kill may leave it empty.
    events: list[Event] = []
    trainer_of(config, tmp_path / "run", events.append, resume=True)
    assert Note(f"the run in {tmp_path}/run has no checkpoint yet: beginning it anew") in events
    assert trainer_of(config, tmp_path / "run").fit().epoch == 1
    with pytest.raises(UsageError) as caught:
        trainer_of(config, tmp_path / "run")
    assert caught.value.problem == f"{tmp_path}/run already holds a run"


def test_what_torchrun_starts_again_goes_on(tiny_run: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "restarts", lambda: 1)
    assert trainer_of(config_of(tiny_file), tiny_run).position.epoch == 2


def test_a_resumed_run_keeps_its_precision(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one is faster may be measured otherwise the next time."""
    gains = True
    monkeypatch.setattr("captioner.compute._gains_by_bfloat16", lambda device: gains)
    config = config_of(tiny_file, "training.epochs=1", "training.precision=auto")
    trainer_of(config, tmp_path).fit()
    gains = False
    assert trainer_of(config, tmp_path, resume=True).compute.precision == "bfloat16"


class TestSaving:
    def test_one_at_a_time_and_after_another(self) -> None:
        saving, go, done = Saving(1e-6), threading.Event(), []
        time.sleep(0.001)
        assert saving.due
        saving.begin(lambda: done.append(go.wait()))
        time.sleep(0.001)
        assert not saving.due  # The first is still being written.
        go.set()
        saving.begin(lambda: done.append("second"))
        assert done[0] is True
        saving.wait()
        assert done == [True, "second"]
        saving.close()

    def test_it_leaves_the_threads_to_what_trains(self) -> None:
        saving, threads, before = Saving(1), list[int](), torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            saving.begin(lambda: threads.append(torch.get_num_threads()))
            saving.close()
            assert [*threads, torch.get_num_threads()] == [1, 2]
        finally:
            torch.set_num_threads(before)

    def test_it_is_due_after_so_many_minutes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("captioner.training.saving.monotonic", lambda: now)
        saving = Saving(10)
        now = 599.0
        assert not saving.due
        now = 600.0
        assert saving.due
        saving.begin(lambda: None)
        saving.wait()
        assert not saving.due
        now = 1200.0
        assert saving.due

    @pytest.mark.parametrize("ask", [lambda saving: saving.due, lambda saving: saving.begin(print), Saving.wait])
    def test_what_goes_wrong_is_raised_once(self, ask: Any) -> None:
        def fail() -> None:
            raise StorageError("no space")

        saving = Saving(10)
        saving.begin(fail)
        while saving._job and not saving._job.done():
            time.sleep(0.001)
        with pytest.raises(StorageError, match="no space"):
            ask(saving)
        saving.wait()
        saving.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint(tiny_file: Path, small_disk: Path) -> None:
    """The training goes on while it is written, and hears of it."""
    run = small_disk / "run"

    def fill(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row["epoch"] == 1:
            trainer._saving.wait()
            with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 12))

    trainer = trainer_of(config_of(tiny_file, "training.epochs=3"), run, fill)
    with pytest.raises(StorageError, match=f"^no space left on the device while writing {run}/"):
        trainer.fit()
    assert not list(run.rglob(".*"))
    assert load_training_state(run / "last")["position"]["epoch"] == 1
    assert load_checkpoint(run / "best").provenance["log_row"]["epoch"] == 1
    (small_disk / "ballast").unlink()
    assert trainer_of(config_of(tiny_file, "training.epochs=3"), run, resume=True).fit().epoch == 3


def test_a_training_state_s_parts(tiny_file: Path, tmp_path: Path) -> None:
    batch = next(trainer_of(config_of(tiny_file), tmp_path).batches.epoch(1))
    parts = [batch.part(0, 1), batch.part(1, 3), batch.part(3, 4)]
    assert sum(part.words for part in parts) == batch.words
    assert [len(part.images) for part in parts] == [1, 2, 1]
    assert sum((part.numbers for part in parts), ()) == batch.numbers
    for part in parts:
        assert sum(part.active) == len(part.inputs) == len(part.targets)
        assert list(part.active) == sorted(part.active, reverse=True)
        assert set(part.image_of.tolist()) == set(range(len(part.images)))

    def captions(one: Batch) -> list[tuple[int, list[int], list[int]]]:
        """Each row's picture, inputs and targets."""
        return sorted(
            (one.numbers[image], one.inputs[one.rows == row].tolist(), one.targets[one.rows == row].tolist())
            for row, image in enumerate(one.image_of.tolist())
        )

    def trimmed(rows: list[tuple[int, list[int], list[int]]]) -> list[tuple[int, list[int], list[int]]]:
        return [(image, [w for w in before if w], [w for w in after if w]) for image, before, after in rows]

    assert sorted(row for part in parts for row in trimmed(captions(part))) == sorted(trimmed(captions(batch)))


def little_memory(monkeypatch: pytest.MonkeyPatch, images: int, says: str = NO_MEMORY) -> list[int]:
    """Memory suffices for so many pictures; returns how many were tried each time, and 0 where it was given back."""
    real, tried = CrossEntropy.prepare, []

    def prepare(self: CrossEntropy, batch: Batch, step: int) -> Any:
        tried.append(len(batch.images))
        if len(batch.images) > images:
            raise RuntimeError(says)
        return real(self, batch, step)

    monkeypatch.setattr(CrossEntropy, "prepare", prepare)
    monkeypatch.setattr("captioner.training.optimisation.return_freed_memory", lambda: tried.append(0))
    return tried


@pytest.mark.parametrize("says", [NO_MEMORY, "could not create a primitive"])
def test_batches_are_split_where_memory_does_not_suffice(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    config = config_of(tiny_file, "training.batch_size=16", "training.epochs=1", "decoder.dropout=0")
    trainer_of(config, tmp_path / "whole").fit()
    events: list[Event] = []
    tried = little_memory(monkeypatch, 5, says)
    trainer_of(config, tmp_path / "split", events.append).fit()
    assert tried == [16, 0, 8, 0] + [4] * 16
    assert [event.text for event in events if isinstance(event, Warned)] == [
        "memory does not suffice: from now on a batch is learned from in 4 parts"
    ]
    (whole,), (split,) = (without_times(log_of(tmp_path / name)) for name in ("whole", "split"))
    assert split["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert trainer_of(config, tmp_path / "split", resume=True).optimisation.parts == 4


@pytest.mark.parametrize("kind", ["attention", "lstm", "transformer"])
def test_split_gradients_are_those_of_the_whole_batch(tiny_file: Path, tmp_path: Path, kind: str) -> None:
    config = config_of(tiny_file, "training.batch_size=16", "decoder.dropout=0", f"decoder.type={kind}")
    gradients = []
    for parts in (1, 3, 16):
        trainer = trainer_of(config, tmp_path / str(parts))
        optimisation, batch = trainer.optimisation, next(trainer.batches.epoch(1))
        optimisation.parts = parts
        found: dict[str, torch.Tensor] = {}

        def keep(found: dict[str, torch.Tensor] = found, optimisation: Any = optimisation) -> None:
            found.update((name, part.grad.clone()) for name, part in optimisation.model.decoder.named_parameters())

        optimisation.optimizer.step = keep
        learned = optimisation.step(batch)
        assert learned.words == batch.words
        gradients.append(found)
    for other in gradients[1:]:
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-7)


def test_memory_for_no_picture_at_all(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    little_memory(monkeypatch, 0)
    with pytest.raises(TrainingError) as caught:
        trainer_of(config_of(tiny_file), tmp_path).fit()
    assert caught.value.problem == "memory does not suffice to learn from 1 picture at once"
    assert caught.value.remedy == "set a smaller training.batch_size, decoder.hidden_size or encoder.image_size"


def test_other_errors_are_not_taken_for_it(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(*_: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(CrossEntropy, "prepare", prepare)
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2"):
        trainer_of(config_of(tiny_file), tmp_path).fit()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_run(
    cli: Any, tiny_file: Path, tmp_path: Path, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(config_of(tiny_file), ignore)
    records, _ = experiment.pictures("train")
    real = StoredPictures.read

    def read(self: StoredPictures, indices: Any, mirrored: Any = None) -> torch.Tensor:
        images = real(self, indices, mirrored)
        if 5 in indices and len(self._pictures) == len(records):
            images[list(indices).index(5), 0, 0] = bad
        return images

    run = tmp_path / "run"
    assert cli("train", "--config", tiny_file, "--run", run, "--set", "training.epochs=1", "--quiet").status == 0
    before = {file.name: file.read_bytes() for file in (run / "last").iterdir()}
    monkeypatch.setattr(StoredPictures, "read", read)
    plan = experiment.trainer(tmp_path / "plan", resume=False).batches
    number = next(place for place, batch in enumerate(plan.epoch(1), 1) if 5 in batch.numbers)
    result = cli("train", "--config", tiny_file, "--run", tmp_path / "bad", "--quiet")
    folder = tmp_path / "bad" / "bad-batch"
    assert result.status == 1
    first, second = result.err.splitlines()
    assert first.startswith(
        f"error: training diverged at batch {number} of epoch 1, which is saved in {folder}: loss nan a word, gradient "
    )
    assert "checkpoint" not in first  # None has been written.
    assert second == "       begin a new run with training.learning_rate below 0.01"
    saved = json.loads((folder / "batch.json").read_text())
    assert (saved["epoch"], saved["batch"], saved["loss"]) == (1, number, "nan")
    poisoned = [picture for picture in saved["pictures"] if not picture["finite"]]
    (name,) = [picture["file"] for picture in poisoned]
    assert (experiment.root / name) == records[5].file
    assert len(saved["pictures"]) == 4
    assert sorted(poisoned[0]["captions"]) == sorted(
        " ".join(words) for words in experiment.training_captions[records[5].image_id]
    )
    assert load_file(folder / "tensors-0.safetensors")["images"].shape[0] == 4
    assert {file.name: file.read_bytes() for file in (run / "last").iterdir()} == before


def test_an_exploding_loss_stops_the_run(tiny_file: Path, tmp_path: Path) -> None:
    config = config_of(tiny_file, "training.learning_rate=1.0e4", "training.epochs=9", OFTEN)
    last = tmp_path / "last"
    with pytest.raises(TrainingError, match=r"^training diverged at batch [0-9]+ of epoch 1, ") as caught:
        trainer_of(config, tmp_path).fit()
    assert caught.value.problem.endswith(f"; the checkpoint before it is {last}")
    assert caught.value.remedy == (
        "begin a new run with training.learning_rate below 10000; to go on from that checkpoint: "
        f"--set training.begin_with={last}"
    )
    model = load_checkpoint(last).model
    assert all(bool(part.isfinite().all()) for part in model.parameters())


def test_waiting_for_data_is_told(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoredPictures.read

    def read(*arguments: Any) -> torch.Tensor:
        time.sleep(0.4)
        return real(*arguments)

    monkeypatch.setattr(StoredPictures, "read", read)
    events: list[Event] = []
    config = config_of(tiny_file, "training.epochs=1", "training.batch_size=16")
    trainer_of(config, tmp_path, events.append).fit()
    (row,) = log_of(tmp_path)
    assert 0.5 < row["waiting"] < 1
    told = [event.detail for event in events if isinstance(event, Progress) and event.task == "epoch 1/1"]
    assert told[-1].endswith(f", waiting {row['waiting']:.1%}")
    assert "waiting" in TIMES
