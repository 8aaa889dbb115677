"""The transformer and the grid's refiner equal torch's own modules; its cache changes nothing but the time."""

from dataclasses import dataclass

import pytest
import torch
from decoder_cases import CAPTIONS, KINDS, WORDS, batch_of, build, features
from torch import Tensor, nn
from transition_decoder import rules

from captioner.batch import PAD, pack_captions
from captioner.config import DecoderConfig
from captioner.model.build import build_decoder
from captioner.model.decoder import Decoder
from captioner.model.multi_head import CrossAttention, FeedForward, SelfAttention
from captioner.model.refiner import GridRefiner
from captioner.model.transformer import _POSITIONS, Transformer
from captioner.sampling.beam import beam_search

HIDDEN = 10


def transformer(**settings: int) -> Transformer:
    decoder = build("transformer", hidden=HIDDEN, **settings)
    assert isinstance(decoder, Transformer)
    return decoder


def copy(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())


def copy_attention(ours: SelfAttention | CrossAttention, theirs: nn.MultiheadAttention) -> None:
    """torch keeps the three projections in one matrix, without names for their parts."""
    if isinstance(ours, SelfAttention):
        weight, bias = ours.project.weight, ours.project.bias
    else:
        weight = torch.cat([ours.query.weight, ours.look.weight])
        bias = torch.cat([ours.query.bias, ours.look.bias])
    with torch.no_grad():
        theirs.in_proj_weight.copy_(weight)
        theirs.in_proj_bias.copy_(bias)
    copy(ours.output, theirs.out_proj)


def copy_feed_forward(ours: FeedForward, norm: nn.Module, theirs: nn.Module) -> None:
    for mine, other in zip((ours[0], ours[1], ours[3]), (norm, theirs.linear1, theirs.linear2), strict=True):
        copy(mine, other)


def torch_decoder(decoder: Transformer) -> nn.TransformerDecoder:
    """torch's pre-norm decoder with the same weights."""
    layer = nn.TransformerDecoderLayer(HIDDEN, 2, 12, 0.0, nn.functional.gelu, batch_first=True, norm_first=True)
    reference = nn.TransformerDecoder(layer, len(decoder.layers), nn.LayerNorm(HIDDEN))
    for ours, theirs in zip(decoder.layers, reference.layers, strict=True):
        copy_attention(ours.words, theirs.self_attn)
        copy_attention(ours.picture, theirs.multihead_attn)
        copy(ours.words.norm, theirs.norm1)
        copy(ours.picture.norm, theirs.norm2)
        copy_feed_forward(ours.feed_forward, theirs.norm3, theirs)
    copy(decoder.norm, reference.norm)
    return reference


@pytest.mark.parametrize("embedding", [7, HIDDEN])
@pytest.mark.parametrize("captions", [CAPTIONS, [[[4]]], [[[]], [[5, 6, 7], [8]]]], ids=["many", "one", "an-empty-one"])
def test_it_equals_torch_s_decoder_caption_by_caption(embedding: int, captions: list[list[list[int]]]) -> None:
    """Words, positions, grid and output layer are written out again; the layers are torch's; gradients are compared."""
    decoder, batch = transformer(embedding=embedding), batch_of(captions)
    given = features(len(captions)).requires_grad_()
    counted = batch.targets != PAD
    hidden = decoder(given, batch).hidden[counted]

    reference, expected = torch_decoder(decoder), torch.zeros_like(hidden)
    plain = given.detach().clone().requires_grad_()
    rows, steps = batch.rows[counted], batch.steps[counted]
    for row, image in enumerate(batch.image_of.tolist()):
        words = decoder.embedding.weight[batch.inputs[counted][rows == row]]
        words = decoder.from_embedding(decoder.word_norm(words)) + decoder.position.weight[: len(words)]
        assert torch.equal(steps[rows == row], torch.arange(len(words)))
        grid = decoder.image[1](decoder.image[0](plain[image]))
        mask = nn.Transformer.generate_square_subsequent_mask(len(words))
        seen = reference(words.unsqueeze(0), grid.unsqueeze(0), tgt_mask=mask, tgt_is_causal=True)
        expected = expected.index_put(((rows == row).nonzero().squeeze(1),), decoder.to_embedding(seen[0]))
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-5)

    direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    (hidden * direction).sum().backward()
    (expected * direction).sum().backward()
    first, same = decoder.layers[0], reference.layers[0]
    ours = [given, decoder.norm.weight, first.feed_forward[1].weight, first.words.project.weight]
    theirs = [plain, reference.norm.weight, same.linear1.weight, same.self_attn.in_proj_weight]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_the_refiner_equals_torch_s_encoder() -> None:
    decoder = build("refined-attention", hidden=HIDDEN)
    refiner = decoder.grid
    assert isinstance(refiner, GridRefiner)
    layer = nn.TransformerEncoderLayer(HIDDEN, 2, 12, 0.0, nn.functional.gelu, batch_first=True, norm_first=True)
    reference = nn.TransformerEncoder(layer, 2, nn.LayerNorm(HIDDEN), enable_nested_tensor=False)
    for attention, feed_forward, theirs in zip(refiner.attention, refiner.feed_forward, reference.layers, strict=True):
        copy_attention(attention, theirs.self_attn)
        copy(attention.norm, theirs.norm1)
        copy_feed_forward(feed_forward, theirs.norm2, theirs)
    copy(refiner.norm, reference.norm)
    expected = reference(refiner.image(features()))
    torch.testing.assert_close(refiner(features()), expected, rtol=0, atol=1e-5)


@dataclass(frozen=True)
class Beginnings:
    """A state without a cache: the features, and all words so far."""

    features: Tensor
    words: Tensor
    """(B * W, T)"""

    def select(self, rows: Tensor, images: Tensor | None = None) -> "Beginnings":
        return Beginnings(self.features if images is None else self.features[images], self.words[rows])


class Recomputing:
    """Steps by teacher-forcing every beginning anew."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def start(self, features: Tensor) -> Beginnings:
        return Beginnings(features, torch.empty(len(features), 0, dtype=torch.int64))

    def step(self, words: Tensor, state: Beginnings) -> tuple[Tensor, Beginnings]:
        so_far = torch.cat([state.words, words.unsqueeze(1)], dim=1)
        width = len(words) // len(state.features)
        scores = []
        for row, (start, *beginning) in enumerate(so_far.tolist()):
            batch = pack_captions(state.features[row // width :][:1], [[beginning]], start=start, end=2)
            scores.append(self.decoder.logits(self.decoder(batch.images, batch).hidden[-1:]))
        return torch.cat(scores), Beginnings(state.features, so_far)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "transformer" in kind])
@pytest.mark.parametrize("seed", [0, 2])
def test_beam_search_with_the_cache_is_that_without(kind: str, seed: int) -> None:
    given, decoder = features(6), build(kind, hidden=HIDDEN)
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in decoder.modules():
            for name, parameter in module.named_parameters(recurse=False):
                gain = isinstance(module, nn.LayerNorm) and name == "weight"
                nn.init.ones_(parameter) if gain else nn.init.normal_(parameter, std=0.5)
        decoder.output_bias.zero_()
        decoder.output_weight[rules(7).end] = 0  # How likely the end is depends on the other words,
        decoder.output_bias[rules(7).end] = 2  # so that pictures leave the search at different times.
    cached, plain = (beam_search(stepped, given, rules(7), beam_size=3) for stepped in (decoder, Recomputing(decoder)))
    assert len({len(one.words) for several in cached for one in several}) > 1
    for ours, theirs in zip(cached, plain, strict=True):
        assert [one.words for one in ours] == [one.words for one in theirs]
        assert [one.log_prob for one in ours] == pytest.approx([one.log_prob for one in theirs], abs=1e-4)


def test_the_picture_s_keys_and_values_are_computed_once_a_picture() -> None:
    decoder = transformer()
    state = decoder.start(features()).select(torch.arange(12) // 4)
    _, after = decoder.step(torch.arange(12), state)
    _, later = decoder.step(torch.arange(12), after)
    assert [tuple(part.shape) for part in state.images] == [(3, 2, 5, 5)] * 4
    assert all(one is other for one, other in zip(state.images, later.images, strict=True))
    assert [tuple(part.shape) for part in later.rows] == [(12, 2, 2, 5)] * 4


def test_captions_longer_than_the_positions_still_work() -> None:
    """All later words share the last position, stepping as well as teacher-forced."""
    decoder, caption = transformer(), [4 + number % (WORDS - 4) for number in range(_POSITIONS + 9)]
    batch = batch_of([[caption]])
    with torch.no_grad():
        forced = decoder.logits(decoder(features(1), batch).hidden)
        state = decoder.start(features(1))
        for step, word in enumerate(batch.inputs):
            scores, state = decoder.step(word.view(1), state)
            torch.testing.assert_close(scores[0], forced[step], rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 6])
@pytest.mark.parametrize("embedding", [48, 64])
def test_it_begins_without_an_opinion(layers: int, embedding: int) -> None:
    """Scores of about one, whatever the number of layers, and none the higher for the word before."""
    torch.manual_seed(0)
    config = DecoderConfig(type="transformer", layers=layers, hidden_size=64, embedding_size=embedding, heads=4)
    decoder = build_decoder(config, 6, 500).eval()
    batch = pack_captions(features(3), [[torch.randint(4, 500, (30,)).tolist()]] * 3, start=1, end=2)
    with torch.no_grad():
        scores = decoder.logits(decoder(features(3), batch).hidden)
    assert 0.5 < scores.std() < 1.5
    assert scores.gather(1, batch.inputs.unsqueeze(1)).mean().abs() < 0.5
