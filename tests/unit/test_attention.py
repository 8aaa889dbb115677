"""Where a caption's words look: equal to what the decoder does step by step, and right to its place in the picture."""

from pathlib import Path

import pytest
import torch
from decoder_cases import KINDS, POSITIONS, build, features
from torch import Tensor
from torch.nn import functional as F

from captioner import Captioner
from captioner.checkpoint.reading import load_checkpoint
from captioner.config import DecoderConfig
from captioner.errors import ImageError, UsageError
from captioner.model import show_attend_tell
from captioner.model.build import CaptionModel, build_decoder
from captioner.model.decoder import Decoder
from captioner.model.ensemble import Ensemble, together

INPUTS = torch.tensor([[1, 4, 5, 6], [1, 7, 8, 9], [1, 10, 0, 0]])
LOOKING = [kind for kind in KINDS if "lstm" not in kind]


def looks_of_steps(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What the step path looks at, taken from its own arithmetic as it goes: (B, T, P)."""
    seen: list[Tensor] = []

    def advance(*arguments: Tensor) -> object:
        step = plain_advance(*arguments)  # type: ignore[arg-type]
        seen.append(step.weights)
        return step

    def attend(queries: Tensor, keys: Tensor, values: Tensor, is_causal: bool) -> Tensor:
        seen.append((queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5).softmax(dim=3).mean(dim=1)[:, 0])
        return plain_attend(queries, keys, values, is_causal=is_causal)

    plain_advance, plain_attend = show_attend_tell.advance, F.scaled_dot_product_attention
    state = decoder.start(features())
    found = []
    with monkeypatch.context() as patch:
        patch.setattr(show_attend_tell, "advance", advance)
        patch.setattr(F, "scaled_dot_product_attention", attend)
        for words in INPUTS.unbind(dim=1):
            seen.clear()
            _, state = decoder.step(words, state)
            found.append(seen[-1])  # A transformer's last layer looks at the picture last.
    return torch.stack(found, dim=1)


@torch.no_grad()
@pytest.mark.parametrize("kind", LOOKING)
def test_attention_is_that_of_the_step_path(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = build(kind)
    found = decoder.attention(features(), INPUTS)
    assert found is not None
    assert found.shape == (3, 4, POSITIONS)
    torch.testing.assert_close(found, looks_of_steps(decoder, monkeypatch), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(dim=2), torch.ones(3, 4), rtol=0, atol=1e-6)
    assert (found.amax(dim=2) > 1.001 / POSITIONS).all()  # Random weights look somewhere.


@torch.no_grad()
def test_a_decoder_without_attention_has_none() -> None:
    assert build("lstm-first").attention(features(), INPUTS) is None


@torch.no_grad()
def test_an_ensemble_looks_where_its_members_look_on_average() -> None:
    first, second, blind = build("attention"), build("transformer"), build("lstm-first")
    own, other = features(), features().flip(0)
    alone = [first.attention(own, INPUTS), second.attention(other, INPUTS)]
    shape = tuple(own.shape[1:])

    def found(decoders: list[Decoder], parts: list[Tensor]) -> Tensor | None:
        return Ensemble(decoders, [tuple(part.shape[1:]) for part in parts]).attention(Ensemble.pack(parts), INPUTS)

    assert alone[0] is not None
    assert alone[1] is not None
    torch.testing.assert_close(found([blind, first, second], [own, own, other]), (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(found([first, second], [own, other[:, : shape[0] - 1]]), alone[0])
    assert found([blind, blind], [own, own]) is None


@pytest.fixture(scope="module")
def captioner(tiny_run: Path) -> Captioner:
    return Captioner.load(tiny_run, device="cpu", precision="float32")


def test_attention_of_a_picture(captioner: Captioner, shapes: Path) -> None:
    file = sorted((shapes / "images").glob("*.png"))[0]
    caption = captioner.caption([file])[0]
    maps = captioner.attention(str(file), caption.words)
    assert (maps.shape, maps.dtype, maps.device.type) == ((len(caption.words), 2, 2), torch.float32, "cpu")
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(len(maps)), rtol=0, atol=1e-6)
    assert captioner.attention(file, []).shape == (0, 2, 2)
    images = captioner.read(file)
    assert not isinstance(images, ImageError)
    several = captioner.attend_features(
        captioner.encode(images[0].expand(3, -1, -1, -1)), [("a",), caption.words, ("a", "never-heard")]
    )
    assert [len(one) for one in several] == [1, len(maps), 2]
    torch.testing.assert_close(several[1], maps, rtol=0, atol=1e-5)


def test_rows_come_before_columns(tiny_run: Path, captioner: Captioner) -> None:
    """A decoder that looks at the first row's second position says so there."""
    model = load_checkpoint(tiny_run).model
    model.decoder.attention = lambda features, inputs: torch.eye(4)[1].expand(*inputs.shape, 4)  # type: ignore[method-assign]
    one = Captioner(model, captioner.vocabulary, captioner.sampling, captioner.compute)
    (found,) = one.attend_features(torch.zeros(1, 4, 576), [["a"]])
    assert found.tolist() == [[[0.0, 1.0], [0.0, 0.0]]]


def test_attention_in_bfloat16(tiny_run: Path, captioner: Captioner, shapes: Path) -> None:
    file = sorted((shapes / "images").glob("*.png"))[0]
    rounded = Captioner.load(tiny_run, device="cpu", precision="bfloat16").attention(file, ["a", "red"])
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.sum(dim=(1, 2)), torch.ones(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(rounded, captioner.attention(file, ["a", "red"]), rtol=0, atol=0.05)


def test_what_cannot_look(tiny_run: Path, captioner: Captioner, shapes: Path) -> None:
    checkpoint = load_checkpoint(tiny_run)
    file = sorted((shapes / "images").glob("*.png"))[0]
    decoder = build_decoder(DecoderConfig(type="lstm", hidden_size=8), 576, len(checkpoint.vocabulary))
    model = together([CaptionModel(checkpoint.model.encoder, decoder)] * 2)
    blind = Captioner(model, checkpoint.vocabulary, captioner.sampling, captioner.compute)
    with pytest.raises(UsageError) as caught:
        blind.attention(file, ["a"])
    assert str(caught.value) == (
        "this model's decoder has no attention: it does not look at parts of a picture\n"
        "use a model that was trained with decoder.type attention or transformer"
    )
    with pytest.raises(
        ImageError, match=r"^nowhere.jpg: no such file\nleave it out, or use stream\(\), which goes on$"
    ):
        captioner.attention("nowhere.jpg", ["a"])
    with pytest.raises(TypeError, match=r"give a list of words, \['A', 'dog'\], such as Caption.words"):
        captioner.attention(file, "A dog")
