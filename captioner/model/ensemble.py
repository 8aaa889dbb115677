"""Several models that choose each word together, by the mean of their probabilities.

An ensemble as O. Vinyals et al. use it, "Show and Tell: Lessons Learned from the 2015 MSCOCO Image Captioning
Challenge", TPAMI 2017.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioner.batch import Batch
from captioner.model.build import CaptionModel
from captioner.model.decoder import Decoder, DecoderState
from captioner.model.encoder import Encoder


@dataclass(frozen=True)
class EnsembleState:
    """The members' states."""

    members: tuple[DecoderState, ...]

    def select(self, rows: Tensor, images: Tensor | None = None) -> "EnsembleState":
        """See ``DecoderState.select``."""
        return EnsembleState(tuple(member.select(rows, images) for member in self.members))


class Ensemble(nn.Module):
    """A step decoder over the members' features, which lie side by side in one vector a picture (``pack``)."""

    def __init__(self, decoders: Sequence[Decoder], shapes: Sequence[tuple[int, int]]) -> None:
        """``shapes`` are (P, D) of each member's features."""
        super().__init__()
        self.decoders = nn.ModuleList(decoders)
        self.shapes = shapes

    @property
    def _members(self) -> list[Decoder]:
        return list(self.decoders)  # type: ignore[arg-type]

    @staticmethod
    def pack(features: Sequence[Tensor]) -> Tensor:
        """Each member's features (B, P, D) -> all members' (B, sum of P * D)."""
        return torch.cat([part.flatten(1) for part in features], dim=1)

    def unpack(self, features: Tensor) -> list[Tensor]:
        """The inverse of ``pack``."""
        parts = torch.split(features, [math.prod(shape) for shape in self.shapes], dim=1)
        return [part.reshape(len(part), *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def start(self, features: Tensor) -> EnsembleState:
        """See ``Decoder.start``; features as ``pack`` gives them."""
        parts = zip(self._members, self.unpack(features), strict=True)
        return EnsembleState(tuple(decoder.start(part) for decoder, part in parts))

    def step(self, words: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """See ``Decoder.step``; the scores are the logarithms of the mean probabilities."""
        steps = [decoder.step(words, member) for decoder, member in zip(self._members, state.members, strict=True)]
        scores = _mean([scores.float().log_softmax(dim=-1) for scores, _ in steps])
        return scores, EnsembleState(tuple(after for _, after in steps))

    def attention(self, features: Tensor, inputs: Tensor) -> Tensor | None:
        """See ``Decoder.attention``: the mean of those members that have it; of other grids, the first one's."""
        parts = zip(self._members, self.unpack(features), strict=True)
        maps = [each for decoder, part in parts if (each := decoder.attention(part, inputs)) is not None]
        if len({each.shape for each in maps}) == 1:
            return torch.stack(maps).mean(dim=0)
        return maps[0] if maps else None


class EnsembleModel(nn.Module):
    """Stands where a ``CaptionModel`` does: each member with its own encoder, the decoders as an ``Ensemble``."""

    def __init__(self, members: Sequence[CaptionModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.decoder = Ensemble(
            [member.decoder for member in members], [member.encoder.feature_shape() for member in members]
        )

    @property
    def _members(self) -> list[CaptionModel]:
        return list(self.members)  # type: ignore[arg-type]

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The members' own."""
        return tuple(member.encoder for member in self._members)

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> "EnsembleModel":
        """See ``CaptionModel.for_inference``."""
        return EnsembleModel([member.for_inference(device, dtype) for member in self._members])

    def features(self, *images: Tensor) -> Tensor:
        """Each member's pictures or features, as ``CaptionModel.features`` takes them, or all features packed."""
        if len(images) == 1 and images[0].dim() == 2:
            return images[0].to(self._members[0].decoder.dtype)
        parts = zip(self._members, images, strict=True)
        return Ensemble.pack([member.features(part) for member, part in parts])

    def target_log_probs(self, features: Tensor, batch: Batch) -> Tensor:
        """See ``CaptionModel.target_log_probs``; features packed."""
        parts = zip(self._members, self.decoder.unpack(features), strict=True)
        return _mean([member.target_log_probs(part, batch) for member, part in parts])


AnyModel = CaptionModel | EnsembleModel
"""What captions pictures."""


def together(members: Sequence[CaptionModel]) -> AnyModel:
    """The model itself where there is one, else the ensemble."""
    return members[0] if len(members) == 1 else EnsembleModel(members)


def _mean(log_probs: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean probability."""
    return torch.stack(tuple(log_probs)).logsumexp(dim=0) - math.log(len(log_probs))
