"""How far training has come: everything but weights, optimiser and random state."""

import math
from dataclasses import dataclass, field

from captioner.training.log import Row
from captioner.training.optimisation import Learned

_TELLING = 0.01
"""CIDEr below this is chance; it is what captions get that share some common word with their references."""
_LEARNED = 0.05
"""CIDEr below this says little more than that captions are made of common words."""


@dataclass
class Position:
    """Where an interrupted run goes on, and the sums of its epoch so far, in all processes."""

    epoch: int = 0
    """Epochs completed."""
    step_in_epoch: int = 0
    loss: float = 0.0
    """Sums over this epoch so far: plain loss, reward, words to predict, captions, padded places, seconds of work."""
    reward: float = 0.0
    words: int = 0
    captions: int = 0
    places: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds in which nothing could be done, since no batch was there; not among the others."""
    best: float = -math.inf
    best_perplexity: float = math.inf
    best_epoch: int = 0
    rows: list[Row] = field(default_factory=list)
    """The log so far."""

    def add(self, learned: Learned, seconds: float) -> None:
        """Count a step."""
        self.step_in_epoch += 1
        self.seconds += seconds
        self.loss += learned.loss
        self.reward += learned.reward
        self.words += learned.words
        self.captions += learned.captions
        self.places += learned.places

    def take(self, cider: float, perplexity: float) -> bool:
        """Whether a validation is the best so far. While CIDEr is next to nothing, perplexity decides."""
        found, best = (score if score >= _TELLING else min(score, 0.0) for score in (cider, self.best))
        better = (found, -perplexity) > (best, -self.best_perplexity)
        if better:
            self.best, self.best_perplexity, self.best_epoch = cider, perplexity, self.epoch
        return better

    def doubt(self, steps: int, *, seeing: bool) -> str | None:
        """What to say of a training that has come to nothing; ``seeing``: its encoder has learned, before or now."""
        if self.best >= _LEARNED:
            return None
        remedy = (
            "train on more pictures, or for more epochs"
            if seeing
            else "with encoder.weights: none the encoder must learn too: add encoder.fine_tune: true"
        )
        return f"the model has hardly learned: validation CIDEr {self.best:.3f} after {steps:,} steps; {remedy}"

    def begin_epoch(self) -> None:
        """Sums start anew."""
        self.loss, self.reward, self.seconds, self.waited = 0.0, 0.0, 0.0, 0.0
        self.step_in_epoch, self.words, self.captions, self.places = 0, 0, 0, 0

    @property
    def waiting(self) -> float:
        """Share of this epoch's time so far in which no batch was there."""
        return self.waited / (self.waited + self.seconds)
