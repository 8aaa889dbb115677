"""Matrices packed for a CPU give the same scores, for whatever number of rows and threads."""

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from decoder_cases import KINDS, WORDS, build, features
from torch.nn import functional as F

from captioner.model.build import CaptionModel
from captioner.model.encoder import Encoder
from captioner.model.packing import PackedLinear, pack_linear, packs


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder.from_settings("resnet18", weights="none", grid=None, fine_tune=False, image_size=None)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_in_bfloat16_gives_the_scores_of_its_own_weights(kind: str, tied: bool, encoder: Encoder) -> None:
    decoder = build(kind, tied=tied)
    plain = copy.deepcopy(decoder).to(torch.bfloat16).eval()
    fast = CaptionModel(encoder, decoder).for_inference(torch.device("cpu"), torch.bfloat16).decoder
    words = torch.arange(1, 4)
    with torch.inference_mode():
        state = plain.start(features().bfloat16())
        expected, after = plain.step(words, state)
        expected_next, _ = plain.step(words, after)
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            scores, after = fast.step(words, fast.start(features().bfloat16()))
            assert scores.shape == (3, WORDS)
            torch.testing.assert_close(scores.float(), expected.float(), rtol=0.02, atol=0.02)
            scores, _ = fast.step(words, after)
            torch.testing.assert_close(scores.float(), expected_next.float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("rows", [1, 2, 7, 40])
def test_a_packed_layer_is_the_layer(rows: int) -> None:
    layer = torch.nn.Linear(24, 40).to(torch.bfloat16)
    whole = torch.nn.Sequential(layer, torch.nn.ReLU())
    x = torch.randn(rows, 24).bfloat16()
    expected = F.linear(x.float(), layer.weight.float(), layer.bias.float()).relu()
    with torch.inference_mode():
        pack_linear(whole)
        found = whole(x).float()
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    assert isinstance(whole[0], PackedLinear) == packs(layer.weight)
    assert set(whole.state_dict()) == {"0.weight", "0.bias"}


def test_what_has_been_used_can_be_copied(encoder: Encoder) -> None:
    used = CaptionModel(encoder, build("attention")).for_inference(torch.device("cpu"), torch.bfloat16)
    black = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    words = torch.ones(1, dtype=torch.int64)
    with torch.inference_mode():
        seen, (scores, _) = (
            used.features(black),
            used.decoder.step(words, used.decoder.start(features()[:1].bfloat16())),
        )
        again = pickle.loads(pickle.dumps(copy.deepcopy(used)))
        assert torch.equal(again.features(black), seen)
        assert torch.equal(again.decoder.step(words, again.decoder.start(features()[:1].bfloat16()))[0], scores)


def test_in_float32_nothing_is_packed() -> None:
    layer = torch.nn.Linear(24, 40)
    assert not packs(layer.weight)
    x, expected = torch.ones(2, 24), layer(torch.ones(2, 24))
    pack_linear(whole := torch.nn.Sequential(layer))
    assert type(whole[0]) is torch.nn.Linear
    torch.testing.assert_close(whole(x), expected)
