"""Every kind of decoder, small, and batches for them."""

from typing import Any

import torch
from torch import Tensor

from captioner.batch import Batch, pack_captions
from captioner.config import DecoderConfig
from captioner.model.build import build_decoder
from captioner.model.decoder import Decoder

WORDS, FEATURES, POSITIONS = 17, 6, 5

KINDS: dict[str, dict[str, Any]] = {
    "attention": {"type": "attention"},
    **{f"lstm-{how}": {"type": "lstm", "conditioning": how} for how in ("first", "initial", "every")},
    "transformer": {"type": "transformer", "layers": 2, "heads": 2, "feed_forward_size": 12},
    **{
        f"refined-{kind}": {"type": kind, "refiner_layers": 2, "heads": 2, "feed_forward_size": 12}
        for kind in ("attention", "lstm", "transformer")
    },
    **{f"lstm-{how}-2": {"type": "lstm", "conditioning": how, "layers": 2} for how in ("first", "initial", "every")},
}
CASES = [
    (kind, tied, embedding, hidden)
    for kind in KINDS
    for tied in (False, True)
    for embedding, hidden in ((8, 8), (7, 10))
]


def build(kind: str, *, tied: bool = False, embedding: int = 7, hidden: int = 10, dropout: float = 0.0) -> Decoder:
    """A decoder with random weights, biases included."""
    torch.manual_seed(0)
    settings = {
        "embedding_size": embedding,
        "hidden_size": hidden,
        "attention_size": 9,
        "dropout": dropout,
        "tie_embeddings": tied,
        **KINDS[kind],
    }
    decoder = build_decoder(DecoderConfig.model_validate(settings), FEATURES, WORDS)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder.eval()


CAPTIONS = [[[4, 5, 6], [7]], [[8, 9, 10, 11, 12]], [[13], [14, 15], [16, 4, 4, 4]]]
"""Of three pictures, of several lengths."""


def features(images: int = 3) -> Tensor:
    return torch.randn(images, POSITIONS, FEATURES, generator=torch.Generator().manual_seed(1))


def batch_of(captions: list[list[list[int]]] = CAPTIONS) -> Batch:
    return pack_captions(features(len(captions)), captions, start=1, end=2)
