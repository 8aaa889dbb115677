"""What a sampler needs of a decoder, and what it gives: small enough to be faked in a test."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor


class State(Protocol):
    """A decoder's memory for W rows of each of B images (row = image * W + beam)."""

    def select(self: "S", rows: Tensor, images: Tensor | None = None) -> "S":
        """The state of other rows, indices into B * W, and of fewer images, indices into B."""


S = TypeVar("S", bound=State)


class StepDecoder(Protocol[S]):
    """The step protocol."""

    def start(self, features: Tensor) -> S:
        """The state before the first word, one row for each image; features (B, P, D)."""

    def step(self, words: Tensor, state: S) -> tuple[Tensor, S]:
        """Previous words (B * W,) -> unnormalised scores of the next ones (B * W, V), and the state after them."""


@dataclass(frozen=True)
class Hypothesis:
    """A caption as the sampler found it."""

    words: tuple[int, ...]
    """Indices, without start and end."""
    log_prob: float
    """Natural logarithm, summed over its words and the end."""
    finished: bool
    """Whether it came to its end, rather than to the longest length allowed."""


def best_first(hypotheses: Iterable[Hypothesis], length_penalty: float) -> list[Hypothesis]:
    """By log-probability / length ** ``length_penalty``, where the end counts as a word, and ties by the words."""
    return sorted(
        hypotheses,
        key=lambda one: (-one.log_prob / (len(one.words) + one.finished) ** length_penalty, one.words),
    )
