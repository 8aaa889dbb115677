"""One caption of one picture: its words, how likely the model finds them, and how likely they are right."""

import math
from dataclasses import dataclass, field

from captioner.calibration import Calibration
from captioner.text import detokenize


@dataclass(frozen=True, repr=False)
class Caption:
    """What ``Captioner`` gives for a picture."""

    words: tuple[str, ...]
    """Lower-case tokens without punctuation, as the model was trained on and as metrics count them."""
    log_prob: float
    """Natural logarithm of the caption's probability: the sum over its words and its end."""
    finished: bool = True
    """False if the search stopped it at the longest length."""
    calibration: Calibration | None = field(default=None, compare=False)
    """The model's, if it has one."""

    def __repr__(self) -> str:
        return f"Caption({self.text!r}, confidence={self.confidence:.4f}, log_prob={self.log_prob:.4f})"

    @property
    def text(self) -> str:
        """For people: ``A dog runs``. ``captioner.text.detokenize`` can also end it with a full stop."""
        return detokenize(self.words)

    @property
    def score(self) -> float:
        """Mean log-probability of its words and its end."""
        return self.log_prob / max(1, len(self.words) + self.finished)

    @property
    def confidence(self) -> float:
        """The probability that it is right, 0 to 1: that its CIDEr against people's captions is 0.5 or more.

        Of a model without a calibration, the geometric mean of its words' probabilities, which only ranks captions.
        """
        return math.exp(self.score) if self.calibration is None else self.calibration(self.score)
