"""What training learns from: weighted words, the model's own words, and captions that score better than others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from decoder_cases import CAPTIONS, KINDS, WORDS, build, features
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from torch import Tensor
from torch.nn import functional as F

from captioner.batch import PAD, Batch, pack_captions
from captioner.checkpoint.reading import load_checkpoint
from captioner.compute import Compute
from captioner.config import Config
from captioner.configfile import load_config
from captioner.errors import CheckpointError, UsageError
from captioner.events import EpochDone, Event, Progress, ignore
from captioner.experiment import Experiment
from captioner.model.build import CaptionModel
from captioner.model.loss import smoothed_cross_entropy
from captioner.sampling import sample
from captioner.training.objectives import CrossEntropy, SelfCritical, means_of_others, with_own_words
from captioner.training.rewards import Reward
from captioner.vocab import Vocabulary

COMPUTE = Compute(torch.device("cpu"), torch.float32)
VOCABULARY = Vocabulary.build([[f"w{number:02}" for number in range(4, WORDS)]], 1)
REFERENCES = [[VOCABULARY.decode(words) for words in several] for several in CAPTIONS]


def model_of(kind: str, dropout: float = 0.0) -> CaptionModel:
    """With stored features the encoder does not run, so there is none."""
    return CaptionModel(torch.nn.Identity(), build(kind, dropout=dropout))  # type: ignore[arg-type]


def batch_of() -> Batch:
    return pack_captions(features(), CAPTIONS, start=1, end=2, numbers=(0, 1, 2))


def config_of(**sections: Any) -> Config:
    return Config.model_validate({"dataset": {"format": "shapes", "root": "shapes"}, **sections})


def rows_of(batch: Batch, packed: Tensor) -> dict[tuple[int, ...], list[int]]:
    """What is packed, for each row; rows are named by their targets."""
    targets: dict[int, list[int]] = {}
    values: dict[int, list[int]] = {}
    for row, target, value in zip(batch.rows.tolist(), batch.targets.tolist(), packed.tolist(), strict=True):
        if target != PAD:
            targets.setdefault(row, []).append(target)
            values.setdefault(row, []).append(value)
    return {tuple(targets[row]): values[row] for row in targets}


def test_weighted_loss_and_gradients_equal_those_of_torch() -> None:
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(40, 6), torch.randn(11, 6), torch.randn(11)
    targets, counts_for = torch.randint(11, (40,)), torch.randn(40)
    ours = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
    loss, _ = smoothed_cross_entropy(*ours, targets, counts_for=counts_for)
    loss.backward()
    theirs = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
    each = F.cross_entropy(F.linear(*theirs), targets, reduction="none", ignore_index=PAD)
    expected = (each * counts_for).sum()
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        torch.testing.assert_close(ours_one.grad, theirs_one.grad, rtol=1e-4, atol=1e-5)


def test_captions_keep_their_weights_when_they_are_packed() -> None:
    weights = [
        [[float(10 * place + step) for step in range(len(words) + 1)] for place, words in enumerate(several)]
        for several in CAPTIONS
    ]
    batch = pack_captions(features(), CAPTIONS, start=1, end=2, weights=weights)
    assert batch.weights is not None
    found = rows_of(batch, batch.weights)
    for captions, several in zip(CAPTIONS, weights, strict=True):
        for words, weight in zip(captions, several, strict=True):
            assert found[(*words, 2)] == weight


@pytest.mark.parametrize("kind", KINDS)
def test_own_words_are_those_predicted_one_step_before(kind: str) -> None:
    model, batch = model_of(kind), batch_of()
    with torch.no_grad():
        model.decoder.output_weight.mul_(1e3)  # So sure that drawing always takes the likeliest word.
        predicted = model.decoder.logits(model.decoder(batch.images, batch).hidden).argmax(dim=1)
    own = with_own_words(model, COMPUTE, batch, 1.0)
    inputs = rows_of(batch, own.inputs)
    for targets, words in rows_of(batch, predicted).items():
        assert inputs[targets] == [1, *words[:-1]]
    assert torch.equal(own.targets, batch.targets)


def test_scheduled_sampling_rises_from_none() -> None:
    model = model_of("lstm-first")
    objective = CrossEntropy(model, config_of(training={"scheduled_sampling": 0.5}), COMPUTE, total_steps=100)
    batch = batch_of()
    assert objective.prepare(batch, 0) == (batch, None)

    def replaced(step: int) -> float:
        found = [objective.prepare(batch, step)[0].inputs != batch.inputs for _ in range(100)]
        return float(torch.stack(found).float().mean())

    assert 0 < replaced(20) < replaced(60) < replaced(100) < 0.5


def test_without_scheduled_sampling_batches_stay_as_they_are() -> None:
    batch = batch_of()
    assert CrossEntropy(model_of("attention"), config_of(), COMPUTE, 10).prepare(batch, 9)[0] is batch


def test_reward_is_cider_and_bleu_of_coco_caption_with_the_end_as_a_word() -> None:
    references = [["a dog runs on grass", "the dog is running"], ["a red car", "a car on a road"], ["two men talk"]]
    captions = ["a dog runs on grass", "a car on the grass", "two men"]
    spoken = {number: [f"{text} <end>" for text in several] for number, several in enumerate(references)}
    heard = {number: [f"{text} <end>"] for number, text in enumerate(captions)}
    _, cider = Cider().compute_score(spoken, heard)
    _, bleu = Bleu(4).compute_score(spoken, heard, verbose=0)
    words = [[text.split() for text in several] for several in references]
    plain, mixed = Reward(words), Reward(words, bleu_weight=0.5)
    for number, caption in enumerate(captions):
        assert plain(number, [(caption.split(), True)]) == pytest.approx([cider[number]], abs=1e-6)
        assert mixed(number, [(caption.split(), True)]) == pytest.approx(
            [cider[number] + 0.5 * bleu[3][number]], abs=1e-6
        )


def test_a_caption_that_breaks_off_is_worth_less() -> None:
    words = [[["a", "dog", "runs"]], [["a", "car", "stops"]]]
    whole, broken_off = Reward(words)(0, [(["a", "dog", "runs"], True), (["a", "dog", "runs"], False)])
    assert whole > broken_off


def test_means_of_others() -> None:
    assert means_of_others([1.0, 2.0, 6.0]) == pytest.approx([4.0, 3.5, 1.5])
    assert means_of_others([3.0]) == [3.0]


@pytest.mark.parametrize("baseline", ["others", "greedy"])
@pytest.mark.parametrize("kind", ["attention", "lstm-initial", "transformer"])
def test_gradient_is_that_of_reinforce(kind: str, baseline: str) -> None:
    """Against the definition: minus the sum of each caption's advantage times the gradient of its log-probability."""
    model = model_of(kind)
    settings = {"captions": 3, "baseline": baseline, "bleu_weight": 0.2}
    config = config_of(self_critical=settings, sampling={"max_length": 6})
    objective = SelfCritical(model, VOCABULARY, REFERENCES, config, COMPUTE)
    prepared, reward = objective.prepare(batch_of(), 7)
    loss, _ = objective.loss(prepared)
    loss.backward()
    ours = {name: part.grad.clone() for name, part in model.decoder.named_parameters() if part.grad is not None}
    model.zero_grad()

    rewards = Reward(REFERENCES, 0.2)
    greedy = [worth(rewards, number, likeliest(model, number)) for number in range(3)]
    drawn: dict[int, list[list[int]]] = {0: [], 1: [], 2: []}
    for row, targets in captions_of(prepared).items():
        drawn[int(prepared.image_of[row])].append(targets)
    total, mean = torch.zeros(()), 0.0
    for number, several in drawn.items():
        assert len(several) == 3
        scores = [worth(rewards, number, targets) for targets in several]
        mean += sum(scores) / 9
        for place, targets in enumerate(several):
            others = sum(scores[:place] + scores[place + 1 :]) / 2
            advantage = scores[place] - (others if baseline == "others" else greedy[number])
            total = total - advantage * log_prob(model, number, targets)
    total.backward()
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-4, abs=1e-5)
    assert reward == pytest.approx(mean)
    for name, part in model.decoder.named_parameters():
        if part.grad is not None:
            torch.testing.assert_close(ours[name], part.grad, rtol=1e-3, atol=1e-5, msg=name)


def captions_of(batch: Batch) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for row, target in zip(batch.rows.tolist(), batch.targets.tolist(), strict=True):
        if target != PAD:
            found.setdefault(row, []).append(target)
    return found


def worth(rewards: Reward, number: int, targets: list[int]) -> float:
    """Of a caption with its end, if it is not so long that it cannot have come to it."""
    words = VOCABULARY.decode(targets[:-1])
    return rewards(number, [(words, len(words) < 6)])[0]


def log_prob(model: CaptionModel, number: int, targets: list[int]) -> Tensor:
    """Of one caption by itself, with plain softmax."""
    batch = pack_captions(features()[number : number + 1], [[targets[:-1]]], start=1, end=2)
    scores = model.decoder.logits(model.decoder(batch.images, batch).hidden)
    scores[:, [0, 1, 3]] = -torch.inf  # Never said.
    said = targets if len(targets) <= 6 else targets[:-1]  # One of the longest length has not come to its end.
    return scores.log_softmax(dim=1)[range(len(said)), said].sum()


@torch.no_grad()
def likeliest(model: CaptionModel, number: int) -> list[int]:
    state = model.decoder.start(features()[number : number + 1])
    words: list[int] = []
    while len(words) < 6 and (not words or words[-1] != 2):
        scores, state = model.decoder.step(torch.tensor([words[-1] if words else 1]), state)
        scores[:, [0, 1, 3]] = -torch.inf
        words.append(int(scores.argmax()))
    return words if words[-1] == 2 else [*words, 2]


def test_captions_differ_from_step_to_step_and_are_repeatable() -> None:
    objective = SelfCritical(model_of("attention", 0.5), VOCABULARY, REFERENCES, config_of(), COMPUTE)
    first, again, later = (captions_of(objective.prepare(batch_of(), step)[0]) for step in (3, 3, 4))
    assert first == again != later


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_a_seed_of_31_bits_is_followed_by_the_step(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So they draw what they have always drawn."""
    assert drawn_with(seed, monkeypatch) == [(seed << 32) + step for step in range(3)]


def test_a_seed_may_have_63_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [1, 2**31, 2**32, 2**62, 2**63 - 2, 2**63 - 1]
    drawn = [number for seed in seeds for number in drawn_with(seed, monkeypatch)]
    assert len(set(drawn)) == 3 * len(seeds)


def drawn_with(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of what self-critical training draws in its first three steps."""
    found: list[int] = []

    def note(*arguments: Any, **options: Any) -> Any:
        found.append(arguments[3].seed)
        return sample(*arguments, **options)

    monkeypatch.setattr("captioner.training.objectives.sample", note)
    config = config_of(training={"seed": seed}, self_critical={"captions": 2})
    objective = SelfCritical(model_of("attention"), VOCABULARY, REFERENCES, config, COMPUTE)
    for step in range(3):
        objective.prepare(batch_of(), step)
    return found


@pytest.mark.parametrize("kind", ["scheduled sampling", "self-critical"])
def test_what_is_said_beforehand_leaves_the_encoder_as_it_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are looked at as for captioning: batch statistics move once a step, when it is learned from."""
    encoder = torch.nn.Sequential(torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.5), torch.nn.Unflatten(0, (3, -1)))
    model = CaptionModel(encoder, build("attention")).train()  # type: ignore[arg-type]
    monkeypatch.setattr(model, "features", lambda images: encoder(images.flatten(0, 1)))
    batch = batch_of()
    if kind == "self-critical":
        SelfCritical(model, VOCABULARY, REFERENCES, config_of(), COMPUTE).prepare(batch, 5)
    else:
        CrossEntropy(model, config_of(training={"scheduled_sampling": 0.5}), COMPUTE, 10).prepare(batch, 5)
    assert torch.equal(encoder[0].running_mean, torch.zeros(6))
    assert all(part.training for part in encoder)


def test_captions_may_come_from_beam_search() -> None:
    config = config_of(self_critical={"method": "beam", "captions": 4})
    prepared, _ = SelfCritical(model_of("attention"), VOCABULARY, REFERENCES, config, COMPUTE).prepare(batch_of(), 0)
    found = captions_of(prepared)
    of_image = [[tuple(found[row]) for row in found if prepared.image_of[row] == image] for image in range(3)]
    assert all(1 < len(several) <= 4 and len(set(several)) == len(several) for several in of_image)


def test_a_trained_model_learns_to_score_better(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    config = load_config(
        tiny_file,
        [
            "training.objective=self_critical",
            f"training.begin_with={tiny_run}",
            "training.epochs=8",
            "training.learning_rate=5e-3",
        ],
    )
    Experiment(config, events.append).trainer(tmp_path / "run", False).fit()
    rewards = [event.row["reward"] for event in events if isinstance(event, EpochDone)]
    assert float(rewards[-1]) > float(rewards[0]) + 0.04
    told = [event.detail for event in events if isinstance(event, Progress) and "captions/s" in event.detail]
    assert told
    assert all(detail.startswith("reward ") for detail in told)


def test_training_begins_with_the_words_and_weights_of_another_run(
    tiny_file: Path, tiny_run: Path, tmp_path: Path
) -> None:
    config = load_config(tiny_file, [f"training.begin_with={tiny_run}", "vocab.min_count=40", "decoder.dropout=0.1"])
    trainer = Experiment(config, ignore).trainer(tmp_path / "run", False)
    before = load_checkpoint(tiny_run)
    assert trainer.vocabulary.words == before.vocabulary.words
    after = trainer.model.state_dict()
    for name, value in before.model.state_dict().items():
        assert torch.equal(after[name], value), name


def test_an_encoder_in_training_goes_on_with_larger_pictures_of_which_parts_are_as_large_as_before(
    tiny_file: Path, tiny_run: Path, tmp_path: Path
) -> None:
    size = load_checkpoint(tiny_run).config.encoder.image_size
    assert size == 64
    settings = ["encoder.image_size=75", "encoder.fine_tune=features.8", "encoder.smallest_crop=0.5"]
    config = load_config(tiny_file, [f"training.begin_with={tiny_run}", *settings, "training.epochs=1"])
    trainer = Experiment(config, ignore).trainer(tmp_path / "run", False)
    batch = next(trainer.batches.epoch(0))
    assert batch.images.shape[2:] == (64, 64)
    assert trainer.validation.pictures.read([0])[0].shape[1:] == (75, 75)
    trainer.fit()
    assert load_checkpoint(tmp_path / "run").model.encoder.transform.crop == 75


def test_another_decoder_cannot_be_begun_with(tiny_file: Path, tiny_run: Path, tmp_path: Path) -> None:
    size = load_checkpoint(tiny_run).config.decoder.hidden_size
    config = load_config(tiny_file, [f"training.begin_with={tiny_run}", f"decoder.hidden_size={2 * size}"])
    with pytest.raises(UsageError) as caught:
        Experiment(config, ignore).trainer(tmp_path / "run", False)
    assert caught.value.problem == f"{tiny_run} cannot be begun with: decoder.hidden_size was {size}, is {2 * size}"
    assert caught.value.remedy == "set these as they were there"


def test_nothing_to_begin_with(tiny_file: Path, tmp_path: Path) -> None:
    config = load_config(tiny_file, [f"training.begin_with={tmp_path / 'none'}"])
    with pytest.raises(CheckpointError, match="none"):
        Experiment(config, ignore).trainer(tmp_path / "run", False)
