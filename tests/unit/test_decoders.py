"""Teacher forcing, stepping and plain autograd agree, for every decoder; and a training step leaves nothing behind."""

import gc
import math

import attention_reference
import pytest
import torch
from decoder_cases import CAPTIONS, CASES, KINDS, POSITIONS, WORDS, batch_of, build, features
from torch import Tensor
from torch.nn import functional as F

from captioner.batch import PAD, pack_captions
from captioner.config import DecoderConfig
from captioner.model.build import build_decoder
from captioner.model.decoder import Decoder
from captioner.model.loss import doubly_stochastic_penalty, smoothed_cross_entropy
from captioner.model.soft_attention import EvenRows, Rows, compare, factors
from captioner.model.standardised import Standardised


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(("kind", "tied", "embedding", "hidden"), CASES)
def test_stepping_equals_teacher_forcing(kind: str, tied: bool, embedding: int, hidden: int, prepared: bool) -> None:
    decoder, batch = build(kind, tied=tied, embedding=embedding, hidden=hidden), batch_of()
    with torch.no_grad():
        forced = decoder.logits(decoder(features(), batch).hidden)
        if prepared:
            decoder.prepare()
        steps, rows = batch.steps.tolist(), batch.rows.tolist()
        places = {place: number for number, place in enumerate(zip(rows, steps, strict=True))}
        for row, image in enumerate(batch.image_of.tolist()):
            state = decoder.start(features()[image : image + 1])
            for step in range(steps[-1] + 1):
                if (row, step) not in places:
                    break
                place = places[row, step]
                scores, state = decoder.step(batch.inputs[place : place + 1], state)
                torch.testing.assert_close(scores[0], forced[place], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_beams_of_several_pictures_step_as_each_alone(kind: str) -> None:
    decoder, width = build(kind), 3
    words = torch.tensor([[4, 5, 6], [7, 8, 9], [10, 11, 12]])
    following = torch.tensor([[5, 4, 4], [9, 9, 7], [16, 1, 3]])
    with torch.no_grad():
        _, state = decoder.step(words.flatten(), decoder.start(features()).select(torch.arange(9) // width))
        kept, parents = torch.tensor([0, 2]), torch.tensor([[2, 0, 0], [1, 1, 2]])
        rows = (kept.unsqueeze(1) * width + parents).flatten()
        scores, _ = decoder.step(following[kept].flatten(), state.select(rows, kept))
        in_two, _ = decoder.step(following[kept].flatten(), state.select(torch.arange(9)).select(rows, kept))
        assert torch.equal(in_two, scores)
        scores = scores.view(2, width, WORDS)
        for number, image in enumerate(kept.tolist()):
            for beam in range(width):
                first = words[image, parents[number, beam]].view(1)
                _, alone = decoder.step(first, decoder.start(features()[image : image + 1]))
                expected, _ = decoder.step(following[image, beam].view(1), alone)
                torch.testing.assert_close(scores[number, beam], expected[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_of_a_batch_do_not_see_each_other(kind: str) -> None:
    decoder, together = build(kind), batch_of()
    with torch.no_grad():
        hidden, counted = decoder(features(), together).hidden, together.targets != PAD
        for image, several in enumerate(CAPTIONS):
            for words in several:
                alone = batch_of([[words]])
                expected = decoder(features()[image : image + 1], alone).hidden
                row = next(
                    row
                    for row in range(len(together.image_of))
                    if together.image_of[row] == image
                    and together.targets[(together.rows == row) & counted].tolist() == [*words, 2]
                )
                torch.testing.assert_close(hidden[(together.rows == row) & counted], expected, rtol=0, atol=1e-5)


def loss_of(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, attention: Tensor | None) -> Tensor:
    """The training loss in torch's own words."""
    scores = hidden @ weight.t() + bias
    loss = F.cross_entropy(scores, targets, label_smoothing=0.1, reduction="sum", ignore_index=PAD)
    return loss if attention is None else loss + ((1 - attention) ** 2).sum()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("embedding", "hidden"), [(8, 8), (7, 10)])
@pytest.mark.parametrize("captions", [CAPTIONS, [[[4]]], [[[]], [[5, 6, 7], [8]]]], ids=["many", "one", "an-empty-one"])
def test_attention_and_its_gradients_equal_the_plain_reference(
    tied: bool, embedding: int, hidden: int, captions: list[list[list[int]]]
) -> None:
    """The reference loops over captions and words in float64; the decoder's own backward pass runs in float32."""
    decoder, batch = build("attention", tied=tied, embedding=embedding, hidden=hidden), batch_of(captions)
    given = features(len(captions)).requires_grad_()
    decoded = decoder(given, batch)
    assert decoded.attention is not None
    loss, _ = smoothed_cross_entropy(
        decoded.hidden, decoder.output_weight, decoder.output_bias, batch.targets, smoothing=0.1
    )
    (loss + doubly_stochastic_penalty(decoded.attention)).backward()

    weights = {name: tensor.detach().double().requires_grad_() for name, tensor in decoder.named_parameters()}
    plain = given.detach().double().requires_grad_()
    outputs, attention = attention_reference.teacher_forced(weights, plain, batch)
    counted = batch.targets != PAD
    torch.testing.assert_close(decoded.hidden[counted].double(), outputs[counted], rtol=0, atol=1e-5)
    torch.testing.assert_close(decoded.attention.double(), attention, rtol=0, atol=1e-5)

    output = weights["embedding.weight"] if tied else weights["output.weight"]
    expected = loss_of(outputs, output, weights["output_bias"], batch.targets, attention)
    expected.backward()
    total = loss + doubly_stochastic_penalty(decoded.attention)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    gradients = {name: parameter.grad for name, parameter in decoder.named_parameters()} | {"features": given.grad}
    wanted = {name: tensor.grad for name, tensor in weights.items()} | {"features": plain.grad}
    for name, gradient in wanted.items():
        found = gradients[name]
        assert found is not None, f"{name} has no gradient"
        torch.testing.assert_close(
            found.double(), gradient, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_attention_of_many_rows_equals_that_of_few() -> None:
    """The comparison is formed a few rows at a time where all rows do not fit into the cache."""
    torch.manual_seed(3)
    decoder = build("attention")
    captions = [[[4 + (image + number) % 12, 5] for number in range(1 + image % 4)] for image in range(40)]
    batch, given = batch_of(captions), features(40)
    with torch.no_grad():
        wide = decoder(
            given.repeat_interleave(500, dim=1), batch
        )  # 2,500 positions: 100 rows are 2.25 million numbers.
        narrow = decoder(given, batch)
    torch.testing.assert_close(wide.hidden, narrow.hidden, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [EvenRows(2, 2), Rows(torch.tensor([1, 0, 0, 1]), 2)], ids=["even", "any"])
def test_the_comparison_is_a_tanh_of_a_sum_however_large(rows: Rows) -> None:
    keys = torch.tensor([[[0.0, 1e-3], [2.0, -3.0], [60.0, -60.0]], [[0.5, 19.0], [-19.0, 1e4], [-1e4, 7.0]]])
    queries = torch.tensor([[0.0, 1.0], [1e-3, -1.0], [18.9, -18.9], [-0.5, 2.0]])
    score = torch.tensor([1.0, 0.25])
    image_of = torch.tensor([0, 0, 1, 1]) if isinstance(rows, EvenRows) else rows.image_of
    expected = torch.tanh(keys.double()[image_of] + queries.double().unsqueeze(1)) @ score.double()
    found = compare(factors(keys), factors(queries), score, rows)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_scores_are_the_output_layer_s_product(tied: bool) -> None:
    decoder = build("attention", tied=tied)
    hidden = torch.randn(7, decoder.output_weight.shape[1], generator=torch.Generator().manual_seed(1))
    decoder.output_bias.normal_()
    expected = hidden.double() @ decoder.output_weight.double().t() + decoder.output_bias.double()
    torch.testing.assert_close(decoder.logits(hidden).double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind: str) -> None:
    decoder, batch = build(kind), batch_of()
    decoded = decoder(features(), batch)
    loss, _ = smoothed_cross_entropy(decoded.hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.1)
    loss.backward()
    idle = [name for name, one in decoder.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("refined")])
def test_pictures_are_told_apart_by_what_they_do_not_share(kind: str) -> None:
    """Features are never below 0, so most of each is common to all; a decoder that drowns in it learns one caption."""
    torch.manual_seed(0)
    settings = {"embedding_size": 32, "hidden_size": 32, "attention_size": 32, "dropout": 0.0, **KINDS[kind]}
    decoder = build_decoder(DecoderConfig.model_validate(settings), 256, 40)
    pictures = torch.rand(8, 4, 256) + 2
    if isinstance(decoder.grid, Standardised):
        decoder.grid.standardise(pictures)
    batch = pack_captions(pictures, [[[4 + i, 12 + i, 20 + i]] for i in range(8)], start=1, end=2)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=4e-3)
    for _ in range(200):
        hidden = decoder(pictures, batch).hidden
        loss, _ = smoothed_cross_entropy(hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.0, None)
        optimizer.zero_grad()
        (loss / batch.words).backward()
        optimizer.step()
    knowing_nothing = math.log(8) / 4  # Of four words only the first must be guessed.
    assert float(loss.detach()) / batch.words < knowing_nothing / 4


def test_attention_of_each_word_sums_to_one() -> None:
    decoder, batch = build("attention"), batch_of()
    with torch.no_grad():
        attention = decoder(features(), batch).attention
    assert attention is not None
    assert attention.shape == (len(batch.image_of), POSITIONS)
    assert attention.min() >= 0
    lengths = torch.bincount(batch.rows[batch.targets != PAD])  # A row's attention is summed over its words.
    torch.testing.assert_close(attention.sum(dim=1), lengths.float(), rtol=0, atol=1e-5)


def test_attention_penalty_is_equation_14() -> None:
    attention = torch.tensor([[1.0, 1.0], [0.5, 2.0]])
    assert float(doubly_stochastic_penalty(attention)) == pytest.approx(0 + (0.25 + 1.0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("words", [1, 40, 1300])
def test_loss_and_gradients_equal_those_of_torch(smoothing: float, words: int) -> None:
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(words, 6), torch.randn(11, 6), torch.randn(11)
    targets = torch.randint(11, (words,))
    ours = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
    loss, plain = smoothed_cross_entropy(*ours, targets, smoothing)
    (0.5 * loss).backward()
    theirs = [tensor.double().requires_grad_() for tensor in (hidden, weight, bias)]
    scores = theirs[0] @ theirs[1].t() + theirs[2]
    expected = F.cross_entropy(scores, targets, label_smoothing=smoothing, reduction="sum", ignore_index=PAD)
    (0.5 * expected).backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    likelihood = F.cross_entropy(scores.detach(), targets, reduction="sum", ignore_index=PAD)
    assert float(plain) == pytest.approx(float(likelihood), rel=1e-5)
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        assert ours_one.grad is not None
        assert theirs_one.grad is not None
        torch.testing.assert_close(ours_one.grad.double(), theirs_one.grad, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        assert float(smoothed_cross_entropy(*ours, targets, smoothing)[0]) == pytest.approx(
            float(loss.detach()), rel=1e-6
        )


def test_loss_of_large_scores_is_finite() -> None:
    hidden = torch.full((2, 3), 1e4)
    loss, _ = smoothed_cross_entropy(hidden, torch.eye(3), torch.zeros(3), torch.tensor([0, 1]), 0.1)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_comes_close_to_float32(kind: str) -> None:
    decoder, batch = build(kind), batch_of()
    with torch.no_grad():
        exact = decoder(features(), batch).hidden
        with torch.autocast("cpu", torch.bfloat16):
            rounded = decoder(features(), batch).hidden
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.05)


def gradients_of(decoder: Decoder, autocast: bool) -> dict[str, Tensor]:
    batch = batch_of()
    decoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        decoded = decoder(features(), batch)
    hidden = decoded.hidden.to(torch.bfloat16 if autocast else torch.float32)
    loss, _ = smoothed_cross_entropy(hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.1)
    loss.backward()
    return {name: one.grad.clone() for name, one in decoder.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_bfloat16_point_the_same_way(kind: str) -> None:
    decoder = build(kind)
    exact, rounded = gradients_of(decoder, False), gradients_of(decoder, True)
    for name, gradient in exact.items():
        assert rounded[name].dtype == torch.float32
        alike = F.cosine_similarity(rounded[name].flatten(), gradient.flatten(), dim=0)
        assert alike > 0.98, f"{name}: {float(alike)}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_leaves_no_tensors_behind(kind: str) -> None:
    """The gradients' own bookkeeping once kept every step's graph alive."""
    decoder, batch = build(kind, dropout=0.5).train(), batch_of()
    optimizer = torch.optim.AdamW(decoder.parameters())

    def step() -> None:
        decoded = decoder(features(), batch)
        loss, _ = smoothed_cross_entropy(decoded.hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.1)
        if decoded.attention is not None:
            loss = loss + doubly_stochastic_penalty(decoded.attention)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def alive() -> int:
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    gc.disable()  # What only the collector of cycles could free fills the memory until it runs.
    try:
        step()
        step()
        gc.collect()
        before = alive()
        for _ in range(5):
            step()
        assert alive() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_only_and_follows_the_seed(kind: str) -> None:
    decoder, batch = build(kind, dropout=0.5), batch_of()

    def trained(seed: int) -> Tensor:
        torch.manual_seed(seed)
        hidden: Tensor = decoder.train()(features(), batch).hidden.detach()
        return hidden

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))
    with torch.no_grad():
        torch.manual_seed(1)
        first = decoder.eval()(features(), batch).hidden
        torch.testing.assert_close(first, build(kind)(features(), batch).hidden)


def test_tied_embeddings_are_the_output_layer() -> None:
    decoder = build("attention", tied=True)
    assert decoder.output_weight is decoder.embedding.weight
    assert "output.weight" not in decoder.state_dict()
    assert "output.weight" in build("attention").state_dict()
