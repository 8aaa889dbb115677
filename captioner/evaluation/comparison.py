"""Is B better than A? Paired bootstrap over images (Koehn 2004, https://aclanthology.org/W04-3250); pure numbers.

Both sides are scored on the same draw of images, again and again; the spread of the difference shows how much of it is
owed to the choice of images.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from captioner.errors import DatasetError
from captioner.evaluation.bootstrap import MEANS, RESAMPLES, Array, intervals
from captioner.evaluation.metrics import METRICS, Scores
from captioner.evaluation.metrics.bleu import scores_of_sums
from captioner.evaluation.references import ImageId

_NOISE = 1e-9  # Differences this small are rounding.


@dataclass(frozen=True)
class Difference:
    """One metric of both sides. ``low`` and ``high`` bound B - A with 95 % confidence."""

    a: float
    b: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """B - A."""
        return self.b - self.a

    @property
    def verdict(self) -> str:
        """For people, in one sentence."""
        if self.low > _NOISE:
            return "B is better"
        if self.high < -_NOISE:
            return "A is better"
        return "no difference can be seen"

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        return {**vars(self), "difference": self.difference, "verdict": self.verdict}


@dataclass(frozen=True)
class Comparison:
    """Every metric's difference, and on how many images which side has the higher CIDEr."""

    images: int
    metrics: dict[str, Difference]
    a_wins: int
    ties: int
    b_wins: int
    seed: int
    resamples: int


def compare(a: Scores[ImageId], b: Scores[ImageId], seed: int, resamples: int = RESAMPLES) -> Comparison:
    """Compare the scores of two sides on the same images, which come in the order of ``a``.

    BLEU is computed anew for each draw, from the summed counts of its images. ROUGE-L and CIDEr are means of the
    images' scores; CIDEr keeps the document frequencies of the whole set of references. Raises ``DatasetError``
    when the images are not the same, or there is only one.
    """
    keys = list(a.per_image)
    if set(keys) != set(b.per_image):
        raise DatasetError("A and B describe different images", "compare captions of the same images")
    if len(keys) < 2:
        raise DatasetError("one image cannot show which side is better", "compare captions of many images")
    bleu_a, bleu_b = (np.array([side.bleu_statistics[key].row() for key in keys], dtype=float) for side in (a, b))
    # The difference of means is the mean difference; so captions that are the same cancel out to the last bit.
    gaps = np.array([[b.per_image[key][name] - a.per_image[key][name] for name in MEANS] for key in keys])
    width = bleu_a.shape[1]

    def differences(sums: Array) -> Array:
        bleu = scores_of_sums(sums[:, width : 2 * width]) - scores_of_sums(sums[:, :width])
        return np.hstack([bleu, sums[:, 2 * width :] / len(keys)])

    found = intervals(np.hstack([bleu_a, bleu_b, gaps]), seed, resamples, differences)
    metrics = {
        name: Difference(a.corpus[name], b.corpus[name], *ends) for name, ends in zip(METRICS, found, strict=True)
    }
    ciders = gaps[:, MEANS.index("CIDEr")]
    a_wins, b_wins = int((ciders < -_NOISE).sum()), int((ciders > _NOISE).sum())
    return Comparison(len(keys), metrics, a_wins, len(keys) - a_wins - b_wins, b_wins, seed, resamples)
