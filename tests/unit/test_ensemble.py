"""An ensemble is the mean of its members' probabilities, and a decoder like any other to every sampler."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from decoder_cases import FEATURES, POSITIONS, WORDS, batch_of, build, features
from torch import Tensor
from transition_decoder import END, rules

from captioner.config import DecoderConfig, EncoderConfig, SamplingConfig
from captioner.model.build import CaptionModel, build_decoder, build_encoder
from captioner.model.decoder import Decoder
from captioner.model.ensemble import Ensemble, EnsembleModel, together
from captioner.sampling import sample
from captioner.sampling.beam import beam_search
from captioner.sampling.sampler import draw, greedy

KINDS = ("attention", "lstm-first", "lstm-initial-2")
SHAPES = [(POSITIONS, FEATURES)] * len(KINDS)


def members() -> list[Decoder]:
    return [build(kind) for kind in KINDS]


def given(images: int = 6) -> list[Tensor]:
    """Other features for each member."""
    return [features(images).roll(number, dims=2) for number in range(len(KINDS))]


def probabilities(words: Sequence[int], image: int) -> Tensor:
    """The mean of the members' next-word probabilities, each member stepped by itself, in double precision."""
    found = []
    for decoder, own in zip(members(), given(), strict=True):
        state = decoder.start(own[image : image + 1])
        for word in (1, *words):
            scores, state = decoder.step(torch.tensor([word]), state)
        found.append(scores[0].double().softmax(dim=0))
    return torch.stack(found).mean(dim=0)


@torch.no_grad()
def log_prob_of(words: tuple[int, ...], finished: bool, image: int) -> float:
    sequence = (*words, END) if finished else words
    return sum(math.log(float(probabilities(sequence[:at], image)[word])) for at, word in enumerate(sequence))


def test_packing_loses_nothing() -> None:
    shapes = [(5, 6), (1, 3), (4, 4)]
    parts = [torch.randn(2, *shape) for shape in shapes]
    packed = Ensemble.pack(parts)
    assert packed.shape == (2, 30 + 3 + 16)
    for part, back in zip(parts, Ensemble([], shapes).unpack(packed), strict=True):
        assert torch.equal(part, back)


@torch.no_grad()
def test_every_sampler_sees_the_mean_probability() -> None:
    ensemble, packed = Ensemble(members(), SHAPES), Ensemble.pack(given())
    found = {
        "greedy": greedy(ensemble, packed, rules(5)),
        "beam": beam_search(ensemble, packed, rules(5), beam_size=3),
        "diverse": beam_search(ensemble, packed, rules(5), beam_size=4, groups=2, diversity=0.5),
        "draw": draw(ensemble, packed, rules(5), pictures=torch.arange(6), captions=2),
    }
    for captions in found.values():
        for image, several in enumerate(captions):
            for one in several:
                assert one.log_prob == pytest.approx(log_prob_of(one.words, one.finished, image), abs=1e-4)
    for image, (one,) in enumerate(found["greedy"]):
        sequence = (*one.words, END) if one.finished else one.words
        for at, word in enumerate(sequence):
            scores = probabilities(sequence[:at], image)
            scores[[0, 1, 3]] = 0.0
            assert word == int(scores.argmax())


@torch.no_grad()
def test_a_wide_beam_finds_the_best_of_all_captions() -> None:
    ensemble, packed = Ensemble(members(), SHAPES), Ensemble.pack(given())
    found = beam_search(ensemble, packed[:2], rules(2), beam_size=200, length_penalty=0.0)
    words = range(4, WORDS)
    every = [
        ((), True),
        *(((word,), True) for word in words),
        *((pair, False) for pair in itertools.product(words, words)),
    ]
    for image, several in enumerate(found):
        values = {caption: log_prob_of(*caption, image) for caption in every}
        assert len(several) == len(every)
        assert [one.log_prob for one in several] == pytest.approx(sorted(values.values(), reverse=True), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("method", ["greedy", "beam", "diverse_beam", "consensus", "sample"])
def test_all_pictures_at_once_is_each_alone(method: str) -> None:
    ensemble, packed = Ensemble(members(), SHAPES), Ensemble.pack(given(20))
    config = SamplingConfig.model_validate({"method": method, "beam_size": 4})
    together = sample(ensemble, packed, rules(6), config)
    alone = [sample(ensemble, packed[at : at + 1], rules(6), config, numbers=[at])[0] for at in range(20)]
    assert [[one.words for one in several] for several in together] == [
        [one.words for one in several] for several in alone
    ]


@torch.no_grad()
def test_twins_are_the_model_itself() -> None:
    decoder, own = build("attention"), features(8)
    ensemble = Ensemble([decoder, decoder], SHAPES[:2])
    alone = beam_search(decoder, own, rules(6), beam_size=3)
    twice = beam_search(ensemble, Ensemble.pack([own, own]), rules(6), beam_size=3)
    assert [[one.words for one in several] for several in twice] == [
        [one.words for one in several] for several in alone
    ]


def model(size: int, kind: str) -> CaptionModel:
    torch.manual_seed(size)
    encoder = build_encoder(EncoderConfig(backbone="mobilenet_v3_small", weights="none", image_size=size))
    config = {"attention": {"type": "attention"}, "lstm": {"type": "lstm"}}[kind]
    settings = DecoderConfig.model_validate({"embedding_size": 8, "hidden_size": 8, "attention_size": 8, **config})
    return CaptionModel(encoder, build_decoder(settings, encoder.feature_shape()[1], WORDS)).eval()


@torch.no_grad()
def test_models_with_other_encoders_go_together() -> None:
    """Pictures and features of each member's own size; the likelihood of given captions is the mean's, too."""
    models = [model(64, "attention"), model(96, "lstm")]
    ensemble = together(models)
    assert isinstance(ensemble, EnsembleModel)
    assert together(models[:1]) is models[0]
    assert [encoder.transform.crop for encoder in ensemble.encoders] == [64, 96]
    images = [torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8) for size in (64, 96)]
    own = [member.features(part) for member, part in zip(models, images, strict=True)]
    packed = ensemble.features(*images)
    assert torch.equal(packed, Ensemble.pack(own))
    assert torch.equal(ensemble.features(*own), packed)
    assert torch.equal(ensemble.features(packed), packed)

    batch = batch_of()
    each = [member.target_log_probs(part, batch) for member, part in zip(models, own, strict=True)]
    mean = torch.stack(each).double().exp().mean(dim=0).log()
    assert torch.allclose(ensemble.target_log_probs(packed, batch).double(), mean, atol=1e-5)
    for member, part, log_probs in zip(models, own, each, strict=True):
        scores = member.decoder.logits(member.decoder(part, batch).hidden).log_softmax(dim=1)
        assert torch.allclose(log_probs, scores.gather(1, batch.targets.unsqueeze(1)).squeeze(1), atol=1e-5)
