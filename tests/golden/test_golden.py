"""A seeded tiny model of each kind gives the logits, loss and captions that it always gave, on any machine.

A change that is meant to alter them writes them anew: ``python tests/golden/test_golden.py``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from decoder_cases import KINDS, batch_of, build, features

from captioner.config import SamplingConfig
from captioner.model.encoder import Encoder
from captioner.model.loss import smoothed_cross_entropy
from captioner.sampling import Rules, sample

FILE = Path(__file__).with_name("tiny.json")
RULES = Rules(start=1, end=2, max_length=8, never=(0, 1, 3))


@torch.no_grad()
def decoder_values(kind: str) -> dict[str, Any]:
    decoder, batch = build(kind), batch_of()
    hidden = decoder(features(), batch).hidden
    smoothed, plain = smoothed_cross_entropy(hidden, decoder.output_weight, decoder.output_bias, batch.targets, 0.1)
    captions = {}
    for method in ("greedy", "beam"):
        config = SamplingConfig(method=method, beam_size=3, max_length=8)
        found = sample(decoder, features(), RULES, config, captions=3 if method == "beam" else 1)
        captions[method] = [[list(one.words), one.log_prob] for several in found for one in several]
    return {
        "logits": decoder.logits(hidden)[:3].flatten().tolist(),
        "loss": [float(smoothed), float(plain)],
        **captions,
    }


@torch.no_grad()
def encoder_values() -> dict[str, Any]:
    torch.manual_seed(0)
    encoder = Encoder.from_settings("mobilenet_v3_small", weights="none", grid=2, fine_tune=False, image_size=64)
    ramp = torch.arange(3 * 64 * 64, dtype=torch.int64).mul(7).remainder(256).to(torch.uint8).view(1, 3, 64, 64)
    # In single passes over random weights nearly all is lost; scaled up, digits can be compared.
    return {"features": (encoder(ramp)[0, :, :8] * 1e8).flatten().tolist()}


def values() -> dict[str, Any]:
    return {"encoder": encoder_values(), **{kind: decoder_values(kind) for kind in KINDS}}


def close(found: Any, expected: Any) -> None:
    """The same structure and words; numbers to float32's precision after some hundred operations."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            close(found[name], expected[name])
    else:
        assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_decoders(kind: str) -> None:
    close(decoder_values(kind), json.loads(FILE.read_text())[kind])


def test_the_encoder() -> None:
    close(encoder_values(), json.loads(FILE.read_text())["encoder"])


if __name__ == "__main__":
    FILE.write_text(json.dumps(values(), indent=1) + "\n")
