"""What a sampler needs of a decoder, and what it gives: small enough to be faked in a test."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor


class State(Protocol):
    """A decoder's memory for W rows of each of B images (row = image * W + beam)."""

    def select(self: "S", rows: Tensor, images: Tensor | None = None) -> "S":
        """The state of other rows, indices into B * W, and of fewer images, indices into B."""


S = TypeVar("S", bound=State)


class StepDecoder(Protocol[S]):
    """The step protocol."""

    def start(self, features: Tensor, width: int) -> S:
        """The state before the first word, for ``width`` rows of each image; features (B, P, D)."""

    def step(self, words: Tensor, state: S) -> tuple[Tensor, S]:
        """Previous words (B * W,) -> unnormalised scores of the next ones (B * W, V), and the state after them."""


@dataclass(frozen=True)
class Specials:
    """The words that have a meaning to a sampler."""

    start: int
    end: int
    never: tuple[int, ...]
    """Words never produced: padding, start, unknown."""


@dataclass(frozen=True)
class Hypothesis:
    """A caption as the sampler found it."""

    words: tuple[int, ...]
    """Indices, without start and end."""
    log_prob: float
    """Natural logarithm, summed over its words and the end."""
    finished: bool
    """Whether it came to its end, rather than to the longest length allowed."""


def log_probs(scores: Tensor, specials: Specials) -> Tensor:
    """Scores (..., V) -> log-probabilities in float32, minus infinity for the words that are never produced."""
    result = torch.log_softmax(scores.float(), dim=-1)
    result[..., list(specials.never)] = -torch.inf
    return result
