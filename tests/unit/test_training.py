"""Training can be interrupted and resumed to the same end, keeps its best epoch, and stops when nothing improves."""

import csv
import json
import math
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from captioner.checkpoint.reading import load_checkpoint, load_training_state
from captioner.config import Config
from captioner.configfile import load_config
from captioner.errors import Interrupted, UsageError
from captioner.evaluation.diversity import Diversity
from captioner.evaluation.evaluator import Evaluation, Validation
from captioner.evaluation.metrics import METRICS, Scores
from captioner.events import EpochDone, Event, Note, Progress, Warned, ignore
from captioner.experiment import Experiment
from captioner.scoring import evaluate_model
from captioner.text import tokenize
from captioner.training.average import WeightAverage
from captioner.training.optimisation import build_optimizer
from captioner.training.position import Position
from captioner.training.schedule import learning_rate_factor
from captioner.training.trainer import Trainer

TIMES = {"captions_per_second", "tokens_per_second", "waiting"}
"""What of a log differs from run to run."""


def config_of(tiny_file: Path, *overrides: str) -> Config:
    return load_config(tiny_file, overrides)


def trainer_of(config: Config, run: Path, listener: Any = ignore, resume: bool = False) -> Trainer:
    return Experiment(config, listener).trainer(run, resume)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def assert_same_model(one: Path, other: Path) -> None:
    states = [load_checkpoint(path).model.state_dict() for path in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), name


class StopAfter:
    """A listener that presses Ctrl-C once a number of batches has been trained on."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.task.startswith("epoch"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


CASES = {
    "attention": (["decoder.dropout=0.4"], [7, 9, 20]),
    "lstm": (["decoder.type=lstm", "decoder.conditioning=every", "decoder.layers=2", "decoder.dropout=0.4"], [20]),
    "plateau": (["training.schedule=plateau", "training.label_smoothing=0"], [36]),
    "transformer": (["decoder.type=transformer", "decoder.refiner_layers=1", "decoder.dropout=0.4"], [20]),
    "average": (["training.average_decay=0.9"], [7, 20]),
    "flip": (["features.flip=true", "features.path=null"], [3]),
}
"""Settings, and after how many batches each attempt is interrupted: an epoch has 16, so 7 and 9 more are its end."""


@pytest.mark.parametrize(("settings", "interruptions"), CASES.values(), ids=CASES)
def test_a_resumed_run_is_an_uninterrupted_one(
    tiny_file: Path,
    tmp_path: Path,
    settings: list[str],
    interruptions: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit by bit, wherever it was interrupted."""
    monkeypatch.chdir(tmp_path)  # Where features go by default.
    config = config_of(tiny_file, "training.epochs=3", *settings)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer_of(config, whole).fit()
    for number, batches in enumerate(interruptions):
        with pytest.raises(Interrupted) as caught:
            trainer_of(config, parts, StopAfter(batches), resume=number > 0).fit()
        assert caught.value.problem.endswith(f"; everything so far is saved in {parts}")
        assert caught.value.remedy == "the same command with --resume goes on from here"
        torch.manual_seed(number)  # Whatever happens between two processes.
    trainer_of(config, parts, resume=True).fit()
    assert without_times(log_of(parts)) == without_times(log_of(whole))
    assert_same_model(parts / "last", whole / "last")
    assert_same_model(parts / "best", whole / "best")


def test_a_resumed_run_that_trains_its_encoder(tiny_file: Path, tmp_path: Path) -> None:
    """Batch statistics move, too, and the same parts of the same pictures are drawn."""
    settings = ["encoder.fine_tune=features.11", "encoder.image_size=32", "training.epochs=2", "training.batch_size=16"]
    settings += ["encoder.smallest_crop=0.5", "features.flip=true"]
    config = config_of(tiny_file, *settings)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer_of(config, whole).fit()
    with pytest.raises(Interrupted):
        trainer_of(config, parts, StopAfter(2)).fit()
    trainer_of(config, parts, resume=True).fit()
    assert without_times(log_of(parts)) == without_times(log_of(whole))
    assert_same_model(parts / "last", whole / "last")


def test_a_finished_run_that_is_resumed_does_nothing(tiny_config: Config, tiny_run: Path) -> None:
    before = (tiny_run / "log.jsonl").read_text()
    position = trainer_of(tiny_config, tiny_run, resume=True).fit()
    assert position.epoch == 2
    assert (tiny_run / "log.jsonl").read_text() == before


def test_the_same_seed_gives_the_same_model(tiny_config: Config, tiny_run: Path, tmp_path: Path) -> None:
    trainer_of(tiny_config, tmp_path / "again").fit()
    assert_same_model(tmp_path / "again" / "last", tiny_run / "last")


def test_another_seed_gives_another_model(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    # The features depend on the seed, too, where the encoder is random: they need a folder of their own.
    settings = ["training.seed=2", "training.epochs=1", f"features.path={tmp_path}/features"]
    trainer_of(config_of(tiny_file, *settings), tmp_path / "run").fit()
    one, other = (load_checkpoint(path / "last").model.decoder.output_bias for path in (tiny_run, tmp_path / "run"))
    assert not torch.equal(one, other)


def test_training_in_another_thread_works(tiny_file: Path, tmp_path: Path) -> None:
    """There no signal can be caught, and none is."""
    config = config_of(tiny_file, "training.epochs=1")
    thread = threading.Thread(target=trainer_of(config, tmp_path / "run").fit)
    thread.start()
    thread.join()
    assert len(log_of(tmp_path / "run")) == 1


def test_ctrl_c_means_what_it_did_before(tiny_file: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        trainer_of(config_of(tiny_file, "training.epochs=1"), tmp_path / "run", StopAfter(1)).fit()
    assert signal.getsignal(signal.SIGINT) is before


def scored(monkeypatch: pytest.MonkeyPatch, ciders: list[float]) -> None:
    """Give each epoch a CIDEr of our choice."""
    left = iter(ciders)

    def evaluate(self: Validation, *_: Any) -> Evaluation:
        corpus = dict.fromkeys(METRICS, 0.5) | {"CIDEr": next(left)}
        return Evaluation(Scores(corpus, {}), 10.0, {})

    monkeypatch.setattr(Validation, "evaluate", evaluate)


def test_the_best_checkpoint_is_the_epoch_with_the_highest_cider(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, [0.1, 0.4, 0.4, 0.2])
    position = trainer_of(config_of(tiny_file, "training.epochs=4"), tmp_path).fit()
    assert (position.best, position.best_epoch) == (0.4, 2)
    assert load_checkpoint(tmp_path).provenance["log_row"]["epoch"] == 2
    assert load_checkpoint(tmp_path / "last").provenance["log_row"]["epoch"] == 4


def test_training_stops_when_nothing_improves(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, [0.3, 0.5, 0.4, 0.5, 0.1, 0.9])
    events: list[Event] = []
    config = config_of(tiny_file, "training.epochs=9", "training.patience=3")
    position = trainer_of(config, tmp_path, events.append).fit()
    assert position.epoch == 5
    assert events[-1] == Note("no better CIDEr for 3 epochs: stopping early")
    assert trainer_of(config, tmp_path, resume=True).fit().epoch == 5


def test_a_collapse_is_warned_of_in_each_epoch_that_has_one(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["all alike", None, "all alike again"])
    collapsed = dict.fromkeys(Diversity.__dataclass_fields__, 0.0)

    def evaluate(self: Validation, *_: Any) -> Evaluation:
        diversity = Diversity(**{**collapsed, "collapse": next(said)})
        return Evaluation(Scores(dict.fromkeys(METRICS, 0.5), {}), 10.0, {}, diversity)

    monkeypatch.setattr(Validation, "evaluate", evaluate)
    events: list[Event] = []
    trainer_of(config_of(tiny_file, "training.epochs=3"), tmp_path, events.append).fit()
    warnings = [event for event in events if isinstance(event, Warned)]
    assert warnings == [Warned("epoch 1: all alike"), Warned("epoch 3: all alike again")]


def test_plateau_halves_the_learning_rate_when_nothing_improves(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, [0.3, 0.2, 0.5, 0.4, 0.4])
    config = config_of(tiny_file, "training.epochs=5", "training.schedule=plateau", "training.learning_rate=0.008")
    trainer_of(config, tmp_path).fit()
    assert [row["learning_rate"] for row in log_of(tmp_path)] == [0.008, 0.008, 0.004, 0.004, 0.002]


def test_the_log_has_a_row_an_epoch(tiny_run: Path) -> None:
    rows = log_of(tiny_run)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [16, 32]
    for row in rows:
        assert 0 < row["loss"] < 6
        assert 0 <= row["padding"] < 1
        assert row["val_perplexity"] > 1
        assert {f"val_{name}" for name in METRICS} < set(row)
    assert rows[1]["loss"] < rows[0]["loss"]
    with (tiny_run / "log.csv").open(newline="") as file:
        assert [row["val_CIDEr"] for row in csv.DictReader(file)] == [str(row["val_CIDEr"]) for row in rows]


def test_the_logged_loss_and_perplexity_are_those_of_the_model(tiny_file: Path, tmp_path: Path) -> None:
    """Pad tokens count in neither: both equal a plain sum over each caption's words."""
    from captioner.batch import pack_captions

    settings = ["training.epochs=1", "training.learning_rate=1.0e-30", "decoder.dropout=0", "training.warmup_steps=0"]
    experiment = Experiment(config_of(tiny_file, *settings), ignore)
    trainer = experiment.trainer(tmp_path, resume=False)
    trainer.fit()
    decoder = trainer.model.decoder.eval()
    for split, logged in (("train", "loss"), ("val", "val_perplexity")):
        records, pictures = experiment.pictures(split)
        total, count = 0.0, 0
        for index, record in enumerate(records):
            features = pictures.read([index]).float()
            for text in record.captions:
                words = experiment.vocabulary.encode(tokenize(text))
                batch = pack_captions(features, [[words]], start=1, end=2)
                with torch.no_grad():
                    scores = torch.log_softmax(decoder.logits(decoder(features, batch).hidden), dim=-1)
                total -= float(scores.gather(1, batch.targets.unsqueeze(1)).sum())
                count += len(words) + 1
        value = total / count if logged == "loss" else math.exp(total / count)
        assert log_of(tmp_path)[0][logged] == pytest.approx(value, rel=1e-5)


def test_only_the_stages_that_are_trained_move(tiny_file: Path, tmp_path: Path) -> None:
    """An encoder that is trained: its weights move, those of its frozen stages do not."""
    config = config_of(
        tiny_file,
        "encoder.fine_tune=features.11",
        "encoder.image_size=32",
        "training.epochs=1",
        "training.batch_size=16",
    )
    experiment = Experiment(config, ignore)
    trainer = experiment.trainer(tmp_path / "run", resume=False)
    before = {name: tensor.clone() for name, tensor in trainer.model.encoder.state_dict().items()}
    trainer.fit()
    for name, tensor in trainer.model.encoder.state_dict().items():
        moved = not torch.equal(tensor, before[name])
        assert moved == name.startswith(("stages.features/11.", "stages.features/12.")), name
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("trained", ["encoder.fine_tune=false", "encoder.fine_tune=layer4"])
def test_the_decoder_sees_training_pictures_features_standardised(
    tiny_file: Path, tmp_path: Path, trained: str
) -> None:
    """Over the pictures trained on, stored or not, each number has mean 0 and deviation 1, or hardly deviates."""
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), tmp_path / "weights.pth")
    own = [
        "encoder.backbone=resnet18",
        f"encoder.weights={tmp_path}/weights.pth",
        f"features.path={tmp_path}/features",
        "decoder.type=lstm",
    ]
    experiment = Experiment(config_of(tiny_file, *own, trained, "training.epochs=1"), ignore)
    trainer = experiment.trainer(tmp_path / "run", resume=False)
    _, pictures = experiment.pictures("train")
    with torch.no_grad():
        features = trainer.model.features(pictures.read(range(64))).float()
        seen = trainer.model.decoder.grid(features).flatten(0, 1)
    torch.testing.assert_close(seen.mean(0), torch.zeros(seen.shape[1]), rtol=0, atol=1e-4)
    deviation = features.flatten(0, 1).std(0)
    usual = deviation > 0.11 * deviation.mean()
    assert usual.float().mean() > 0.5
    torch.testing.assert_close(seen.std(0)[usual], torch.ones(int(usual.sum())), rtol=0, atol=1e-3)
    assert seen.std(0).max() < 1.001
    trainer.fit()
    kept = load_checkpoint(tmp_path / "run").model.decoder.grid
    torch.testing.assert_close(kept(features), trainer.model.decoder.grid(features), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.learning_rate=0.02", "training.learning_rate was 0.01, is 0.02"),
        ("sampling.beam_size=5", "sampling.beam_size was 2, is 5"),
        ("vocab.min_count=2", "vocab.min_count was 1, is 2"),
        ("decoder.hidden_size=64", "decoder.hidden_size was 32, is 64"),
    ],
)
def test_resuming_with_other_settings_is_refused(tiny_file: Path, tiny_run: Path, setting: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        trainer_of(config_of(tiny_file, setting), tiny_run, resume=True)
    assert caught.value.problem == f"{tiny_run} was begun with other settings: {said}"
    assert (
        caught.value.remedy
        == f"resume it with --config {tiny_run}/config.yaml --run {tiny_run}, or begin a new run in another folder"
    )


def test_resuming_with_other_captions_is_refused(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    """The numbers of a vocabulary built from other captions would mean other words."""
    settings = [f"dataset.root={tmp_path}/other", "dataset.seed=5", f"features.path={tmp_path}/features"]
    with pytest.raises(UsageError) as caught:
        trainer_of(config_of(tiny_file, *settings), tiny_run, resume=True)
    assert caught.value.problem == f"{tiny_run} was begun with other settings: dataset.seed was 1, is 5"


def test_resuming_from_the_run_s_own_config_works(tiny_run: Path) -> None:
    assert trainer_of(load_config(tiny_run / "config.yaml"), tiny_run, resume=True).position.epoch == 2


class TestWeightAverage:
    def test_it_follows_the_weights_slowly(self) -> None:
        layer = torch.nn.Linear(1, 1, bias=False)
        average = WeightAverage(layer, 0.5)
        begun = expected = layer.weight.item()
        for step, weight in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0), 1):
            with torch.no_grad():
                layer.weight.fill_(weight)
            average.update(step)
            kept = min(0.5, (1 + step) / (10 + step))
            expected = kept * expected + (1 - kept) * weight
        assert average.values[0].item() == pytest.approx(expected)
        assert begun != pytest.approx(expected)
        with average.applied():
            assert layer.weight.item() == pytest.approx(expected)
        assert layer.weight.item() == 10.0

    def test_trained_weights_that_it_begins_with_count_like_any_others(self) -> None:
        layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(layer.weight, 8.0)
        average = WeightAverage(layer, 0.75, trained=True)
        torch.nn.init.constant_(layer.weight, 0.0)
        for step, expected in enumerate((6.0, 4.5, 3.375), 1):
            average.update(step)
            assert average.values[0].item() == expected

    def test_without_decay_it_is_the_weights(self) -> None:
        layer = torch.nn.Linear(1, 1)
        average = WeightAverage(layer, 0.0)
        average.update(1)
        before = layer.weight.item()
        with average.applied():
            assert layer.weight.item() == before

    def test_frozen_weights_are_left_alone(self) -> None:
        layer = torch.nn.Linear(1, 1).requires_grad_(False)
        assert WeightAverage(layer, 0.9).values == []


def test_the_average_is_what_is_validated_and_kept(tiny_file: Path, tmp_path: Path) -> None:
    """The best checkpoint scores as the log says; the weights that training goes on with are others."""
    config = config_of(tiny_file, "training.average_decay=0.9", "training.epochs=1")
    trainer_of(config, tmp_path).fit()
    (row,) = log_of(tmp_path)
    scored = evaluate_model([tmp_path / "best"], "val", [], ignore)
    assert scored.perplexity == pytest.approx(row["val_perplexity"], rel=1e-5)
    best, last = (load_checkpoint(tmp_path / name).model.decoder.state_dict() for name in ("best", "last"))
    assert not torch.equal(best["embedding.weight"], last["embedding.weight"])
    average = load_training_state(tmp_path / "last")["optimisation"]["average"]
    assert any(torch.equal(best["embedding.weight"], value) for value in average)


def test_a_slow_average_stays_near_the_model_that_was_begun_with(
    tiny_run: Path, tiny_file: Path, tmp_path: Path
) -> None:
    settings = [f"training.begin_with={tiny_run}", "training.epochs=1", "training.average_decay=0.999"]
    trainer_of(config_of(tiny_file, *settings), tmp_path).fit()
    begun, kept, last = (
        load_checkpoint(folder).model.decoder.embedding.weight
        for folder in (tiny_run, tmp_path / "best", tmp_path / "last")
    )
    assert 0 < (kept - begun).norm() < 0.1 * (last - begun).norm()


class TestLearningRateFactor:
    def test_rises_linearly_from_the_first_step(self) -> None:
        assert [learning_rate_factor(step, 4, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]

    def test_falls_down_a_half_cosine(self) -> None:
        assert learning_rate_factor(52, 4, 100) == pytest.approx(0.5)
        assert learning_rate_factor(28, 4, 100) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
        assert learning_rate_factor(100, 4, 100) == 0.0
        assert learning_rate_factor(500, 4, 100) == 0.0

    def test_never_rises_after_the_warm_up_nor_is_negative(self) -> None:
        factors = [learning_rate_factor(step, 10, 60) for step in range(9, 80)]
        assert factors == sorted(factors, reverse=True)
        assert min(factors) >= 0

    def test_stays_at_the_peak_without_an_end(self) -> None:
        assert [learning_rate_factor(step, 2, None) for step in (2, 10, 10_000)] == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize("warm_up", [0, 1, 5, 6])
    def test_odd_lengths(self, warm_up: int) -> None:
        for step in range(8):
            assert 0 <= learning_rate_factor(step, warm_up, 5) <= 1


@pytest.mark.parametrize("kind", ["attention", "lstm", "transformer"])
@pytest.mark.parametrize("fine_tune", ["false", "features.12", "true"])
@pytest.mark.parametrize("tied", ["false", "true"])
def test_optimiser_groups(tiny_file: Path, kind: str, fine_tune: str, tied: str) -> None:
    from captioner.model.build import CaptionModel, build_decoder

    config = config_of(
        tiny_file, f"decoder.type={kind}", f"encoder.fine_tune={fine_tune}", f"decoder.tie_embeddings={tied}",
        "training.weight_decay=0.3", "training.encoder_learning_rate=0.0005",
    )  # fmt: skip
    model = CaptionModel(Experiment(config, ignore).encoder, build_decoder(config.decoder, 576, 30))
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[str, tuple[float, float]] = {}
    for group in build_optimizer(model, config).param_groups:
        for parameter in group["params"]:
            assert names[parameter] not in found
            found[names[parameter]] = group["lr"], group["weight_decay"]
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert name not in found
            continue
        rate, decay = found[name]
        assert rate == (0.01 if name.startswith("decoder.") else 0.0005)
        matrix = parameter.dim() > 1 and name not in ("decoder.embedding.weight", "decoder.position.weight")
        assert decay == (0.3 if matrix else 0.0), name
    trained = any(name.startswith("encoder.") for name in found)
    assert trained == (fine_tune != "false")
    if fine_tune == "features.12":
        assert all(name.startswith("encoder.stages.features/12.") for name in found if name.startswith("encoder."))


def test_every_epoch_is_told(tiny_file: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    trainer_of(config_of(tiny_file), tmp_path, events.append).fit()
    epochs = [event.row for event in events if isinstance(event, EpochDone)]
    assert without_times(epochs) == without_times(log_of(tmp_path))
    told = [event for event in events if isinstance(event, Progress) and event.task == "epoch 2/2"]
    assert [(event.done, event.total, event.unit) for event in told] == [(n, 16, "batches") for n in range(1, 17)]
    assert told[0].detail.startswith("loss ")


def test_while_cider_says_nothing_perplexity_decides() -> None:
    position = Position()
    found = []
    for epoch, (cider, perplexity) in enumerate(
        [(0.004, 900), (0.0, 300), (0.003, 400), (0.3, 90), (0.2, 80), (0.31, 95)]
    ):
        position.epoch = epoch
        found.append(position.take(cider, perplexity))
    assert found == [True, True, False, True, False, True]
    assert (position.best, position.best_epoch) == (0.31, 5)


def test_a_training_that_has_come_to_nothing_is_doubted() -> None:
    assert Position(best=0.0123).doubt(1200, seeing=True) == (
        "the model has hardly learned: validation CIDEr 0.012 after 1,200 steps; "
        "train on more pictures, or for more epochs"
    )
    assert Position(best=0.0123).doubt(1200, seeing=False) == (
        "the model has hardly learned: validation CIDEr 0.012 after 1,200 steps; "
        "with encoder.weights: none the encoder must learn too: add encoder.fine_tune: true"
    )
    assert Position(best=0.3).doubt(10, seeing=True) is None


def test_warm_up_is_a_tenth_of_all_steps_at_most(tiny_file: Path, tmp_path: Path) -> None:
    trainer = trainer_of(config_of(tiny_file, "training.warmup_steps=100000", "training.epochs=10"), tmp_path / "run")
    total, rates = 10 * len(trainer.batches), []
    for batch in [*trainer.batches.epoch(1), *trainer.batches.epoch(2)]:
        trainer.optimisation.step(batch)
        rates.append(trainer.optimisation.learning_rate)
    assert rates.index(max(rates)) in (total // 10 - 1, total // 10)
