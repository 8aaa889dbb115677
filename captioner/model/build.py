"""The one registry: configuration -> encoder and decoder."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from captioner.batch import Batch
from captioner.config import DecoderConfig, EncoderConfig
from captioner.model.decoder import Decoder
from captioner.model.encoder import Encoder
from captioner.model.loss import target_log_probs
from captioner.model.packing import pack_linear
from captioner.model.refiner import GridRefiner
from captioner.model.show_attend_tell import ShowAttendTell
from captioner.model.show_tell import ShowTell
from captioner.model.standardised import Standardised
from captioner.model.transformer import Transformer
from captioner.registry import DECODERS


class CaptionModel(nn.Module):
    """Encoder and decoder side by side; with stored features the encoder does not run."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The one; an ensemble has more."""
        return (self.encoder,)

    def features(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), uint8, or features (B, P, D) as stored -> features in the computing precision."""
        if images.dim() == 4:
            features: Tensor = self.encoder(images)
            return features
        return images.to(self.decoder.dtype)

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Let a decoder that standardises do so by these training pictures, given as ``features`` takes them."""
        assert isinstance(self.decoder.grid, Standardised)
        self.decoder.grid.standardise(torch.cat([self.features(few) for few in torch.split(images, 16)]))

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> "CaptionModel":
        """A copy that is faster and cannot be trained."""
        decoder = copy.deepcopy(self.decoder).to(device, dtype).eval()
        pack_linear(decoder)
        decoder.prepare()
        return CaptionModel(self.encoder.for_inference(device, dtype), decoder)

    def target_log_probs(self, features: Tensor, batch: Batch) -> Tensor:
        """The log-probability of each of the batch's targets (M,), teacher-forced, in float32 after the decoder."""
        hidden = self.decoder(features, batch).hidden
        return target_log_probs(hidden, self.decoder.output_weight, self.decoder.output_bias, batch.targets)


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder as configured. Raises ``ModelError`` for an unknown backbone or stage, or unfit weights."""
    return Encoder.from_settings(
        config.backbone,
        weights=config.weights,
        grid=config.grid,
        fine_tune=config.fine_tune,
        image_size=config.image_size,
        last_stage=config.last_stage,
    )


def build_decoder(config: DecoderConfig, feature_size: int, vocabulary_size: int) -> Decoder:
    """The decoder as configured, for features of size D = ``feature_size`` and V = ``vocabulary_size`` words."""
    refiner: nn.Module = nn.Identity()
    if not config.refiner_layers:
        decoder = _unrefined(config, feature_size, vocabulary_size)
    else:
        decoder = _unrefined(config, config.hidden_size, vocabulary_size)
        refiner = GridRefiner(
            feature_size,
            config.hidden_size,
            layers=config.refiner_layers,
            heads=config.heads,
            feed_forward_size=config.inner_size,
            dropout=config.dropout,
        )
    decoder.grid = Standardised(feature_size, refiner) if decoder.standardises else refiner
    decoder.embedding.weight.requires_grad_(config.tune_word_vectors)
    return decoder


def _unrefined(config: DecoderConfig, feature_size: int, vocabulary_size: int) -> Decoder:
    return _BUILDERS[config.type](config, feature_size, vocabulary_size)


def _made(kind: Callable[..., Decoder], config: DecoderConfig, *sizes: int, **own: Any) -> Decoder:
    """A decoder of what all of ours are made with, and of its ``own``."""
    return kind(
        *sizes,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        dropout=config.dropout,
        tie_embeddings=config.tied,
        **own,
    )


DecoderBuilder = Callable[[DecoderConfig, int, int], Decoder]
"""Settings, feature size D and vocabulary size V -> a decoder."""

_BUILDERS: dict[str, DecoderBuilder] = {
    "lstm": lambda config, *sizes: _made(
        ShowTell, config, *sizes, layers=config.layers, conditioning=config.conditioning
    ),
    "attention": lambda config, *sizes: _made(ShowAttendTell, config, *sizes, attention_size=config.attention_size),
    "transformer": lambda config, *sizes: _made(
        Transformer, config, *sizes, layers=config.layers, heads=config.heads, feed_forward_size=config.inner_size
    ),
}


def register_decoder(name: str, build: DecoderBuilder) -> None:
    """Let ``decoder.type: name`` be built by ``build``; docs/contributing.md has an example."""
    _BUILDERS[name] = build
    if name not in DECODERS:
        DECODERS.append(name)
