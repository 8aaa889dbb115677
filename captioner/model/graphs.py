"""A model as two functions of tensors alone, as exporters need it: pictures -> a state; words, state -> the next."""

from collections.abc import Iterator

from torch import Tensor, nn

from captioner.model.build import CaptionModel
from captioner.model.decoder import Decoder, DecoderState


class Encode(nn.Module):
    """Pictures (B, 3, H, W), uint8 -> the decoder's state before the first word, one row a picture: rows, then images.

    What ``DecoderState`` calls rows changes with every word; its images stay.
    """

    def __init__(self, model: CaptionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        state = self.model.decoder.start(self.model.features(pixels))
        return *state.rows, *state.images


class Step(nn.Module):
    """Words (B,) and a state -> the log-probabilities of the next words (B, V), float32, and the new rows."""

    def __init__(self, decoder: Decoder, rows: int) -> None:
        """``rows`` of the state's tensors change with every word."""
        super().__init__()
        self.decoder = decoder
        self.rows = rows

    def forward(self, words: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        scores, after = self.decoder.step(words, DecoderState(state[: self.rows], state[self.rows :]))
        return scores.float().log_softmax(dim=-1), *after.rows


def growing(before: DecoderState, after: DecoderState) -> Iterator[tuple[int, ...]]:
    """For each of the rows, the dimensions that a word makes longer: where keys and values are kept."""
    for old, new in zip(before.rows, after.rows, strict=True):
        yield tuple(place for place, (was, now) in enumerate(zip(old.shape, new.shape, strict=True)) if was != now)
