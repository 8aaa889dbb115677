"""Turning next-word scores into captions; sees only the step protocol."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.config import SEARCHES, SamplingConfig
from captioner.errors import UsageError
from captioner.sampling.beam import beam_search
from captioner.sampling.consensus import most_agreed_first
from captioner.sampling.protocol import Hypothesis, S, StepDecoder
from captioner.sampling.rules import Rules
from captioner.sampling.sampler import draw, greedy

__all__ = ["Hypothesis", "Rules", "StepDecoder", "check_number", "sample"]


def sample(
    decoder: StepDecoder[S],
    features: Tensor,
    rules: Rules,
    config: SamplingConfig,
    *,
    numbers: Sequence[int] | None = None,
    captions: int = 1,
) -> list[list[Hypothesis]]:
    """At most ``captions`` of every image of ``features`` (B, P, D), best first, by the configured method.

    ``numbers`` are the images' own, by which random draws differ; by default they are counted from 0. Raises
    ``UsageError`` as ``check_number`` does.
    """
    check_number(config, captions)
    if config.method == "greedy":
        return greedy(decoder, features, rules)
    if config.method == "sample":
        return draw(
            decoder,
            features,
            rules,
            pictures=torch.tensor(numbers if numbers is not None else range(len(features)), device=features.device),
            captions=captions,
            seed=config.seed,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            length_penalty=config.length_penalty,
        )
    found = beam_search(
        decoder,
        features,
        rules,
        beam_size=config.beam_size,
        groups=config.groups,
        diversity=config.diversity_strength,
        length_penalty=config.length_penalty,
    )
    if config.method == "consensus":
        found = [most_agreed_first(several) for several in found]
    return [several[:captions] for several in found]


def check_number(config: SamplingConfig, captions: int) -> None:
    """Raise ``UsageError`` unless the configured method can find that many captions of a picture."""
    if captions < 1:
        raise UsageError(f"{captions} captions of a picture are asked for", "ask for at least one")
    if config.method == "greedy" and captions > 1:
        raise UsageError(
            "greedy decoding finds one caption of a picture",
            "add --set sampling.method=beam, diverse_beam, consensus or sample",
        )
    if config.method in SEARCHES and captions > config.beam_size:
        raise UsageError(
            f"a beam of {config.beam_size} finds at most {config.beam_size} captions of a picture",
            f"ask for fewer, or widen it: --set sampling.beam_size={captions}",
        )
