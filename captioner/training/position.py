"""How far training has come: everything but weights, optimiser and random state."""

import math
from dataclasses import dataclass, field

from captioner.training.log import Row
from captioner.training.optimisation import Learned


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

    def begin_epoch(self) -> None:
        """Sums start anew."""
        self.loss, self.reward, self.seconds, self.waited = 0.0, 0.0, 0.0, 0.0
        self.step_in_epoch, self.words, self.captions, self.places = 0, 0, 0, 0

    @property
    def waiting(self) -> float:
        """Share of this epoch's time so far in which no batch was there."""
        return self.waited / (self.waited + self.seconds)
