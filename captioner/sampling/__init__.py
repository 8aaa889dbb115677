"""Turning next-word scores into captions; sees only the step protocol."""

from torch import Tensor

from captioner.config import SamplingConfig
from captioner.sampling.beam import beam_search
from captioner.sampling.protocol import Hypothesis, S, Specials, StepDecoder
from captioner.sampling.sampler import greedy

__all__ = ["Hypothesis", "Specials", "StepDecoder", "sample"]


def sample(
    decoder: StepDecoder[S], features: Tensor, specials: Specials, config: SamplingConfig
) -> list[list[Hypothesis]]:
    """The captions of every image of ``features`` (B, P, D), best first, by the configured method."""
    if config.method == "greedy":
        return [[hypothesis] for hypothesis in greedy(decoder, features, specials, config.max_length)]
    return beam_search(
        decoder,
        features,
        specials,
        beam_size=config.beam_size,
        max_length=config.max_length,
        length_penalty=config.length_penalty,
    )
